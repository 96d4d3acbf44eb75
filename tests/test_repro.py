"""The main job: in a fresh clone `dvc repro` makes everything, and a second has nothing to do."""

import time
from pathlib import Path

import pytest

from tests.clones import clone_into, commit, dvc, run

SMALL = {
    "  images: 2352": "  images: 200",
    "  exact_copies: 134": "  exact_copies: 12",
    "  near_copies: 12": "  near_copies: 3",
    "  hidden: [512, 128]": "  hidden: [16]",
    "  epochs: ": "  epochs: 2 # ",
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the working tree, committed or not, at small size, reproduced once."""
    folder = clone_into(tmp_path_factory.mktemp("clone"), SMALL)
    (folder / "printed.log").write_text(dvc(folder, "repro"), encoding="utf-8")
    (folder / ".git/info/exclude").write_text("printed.log\n", encoding="utf-8")
    return folder


def test_it_ends_with_a_summary(clone: Path) -> None:
    printed = (clone / "printed.log").read_text(encoding="utf-8")
    for word in ("test accuracy", "test F1", "reports/index.html", "make tensorboard"):
        assert word in printed.split("Running stage 'report'")[1]
    assert "Warning" not in printed


def test_everything_promised_is_there(clone: Path) -> None:
    for name in (
        "data/raw/labels.csv",
        "data/split/audit.json",
        "models/vehicle-classifier/model.safetensors",
        "models/vehicle-classifier/model.json",
        "models/vehicle-classifier/README.md",
        "logs/train/events.out.tfevents.0",
        "logs/train/training/events.out.tfevents.0",
        "logs/train/validation/events.out.tfevents.0",
        "reports/train/augmentation.png",
        "reports/test/metrics.json",
        "reports/index.html",
    ):
        assert (clone / name).stat().st_size > 0, name


def test_what_is_made_is_tracked_or_ignored(clone: Path) -> None:
    commit(clone, "results")
    assert run(clone, "git", "ls-files", "--others", "--exclude-standard") == ""
    tracked = run(clone, "git", "ls-files").split()
    heavy = ("data/raw", "data/packed", "models/", "logs/", "reports/index")
    assert not [n for n in tracked if n.startswith(heavy) and not n.endswith(".gitignore")]


def test_a_second_run_has_nothing_to_do(clone: Path) -> None:
    started = time.monotonic()
    printed = dvc(clone, "repro")
    assert "Data and pipelines are up to date." in printed
    assert "Running stage" not in printed
    assert time.monotonic() - started < 10  # 5 on an idle machine


def test_a_rerun_makes_the_same_bytes(clone: Path) -> None:
    before = (clone / "dvc.lock").read_bytes()
    dvc(clone, "repro", "--force", "--single-item", "train")
    assert (clone / "dvc.lock").read_bytes() == before


def test_a_parameter_reruns_only_what_reads_it(clone: Path) -> None:
    path = clone / "params.yaml"
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace("bootstrap: 2000", "bootstrap: 500"), encoding="utf-8")
    printed = dvc(clone, "repro", "--dry")
    assert "Running stage 'evaluate'" in printed
    assert "Running stage 'train'" not in printed
    path.write_text(before, encoding="utf-8")
