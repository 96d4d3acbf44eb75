"""Own photos in a fresh clone: experiments on them work again and again, and from the queue."""

import re
import time
from pathlib import Path

import pytest

from tests.helpers.clones import clone_into, dvc, run
from tests.helpers.pictures import write_folders

PATIENCE = 120  # seconds for the queued experiment


@pytest.mark.slow
def test_experiments_on_own_photos_repeat_with_an_empty_cache(tmp_path: Path) -> None:
    """The cache lacks what `dvc.lock` names: the outputs of the dataset in git."""
    photos = write_folders(tmp_path / "photos", {"dog": 12, "cat": 12})
    clone = clone_into(tmp_path / "clone", {"techniques": {"baseline": {}}})
    experiment = ("exp", "run", "--set-param", f"fetch.source={photos}")
    for _ in range(2):
        assert "Ran experiment" in dvc(clone, *experiment, "pack")
        assert (clone / "data/packed/train/images.npy").is_file()
        run(clone, "git", "checkout", ".")
    dvc(clone, *experiment, "--queue", "--name", "queued", "pack")
    dvc(clone, "queue", "start")
    until = time.monotonic() + PATIENCE
    while re.search("Queued|Running", printed := dvc(clone, "queue", "status")):
        assert time.monotonic() < until, printed
        time.sleep(3)  # a look takes a second of a core, which the experiments need
    assert re.search(r"queued .*Success", printed), dvc(clone, "queue", "logs", "queued")
