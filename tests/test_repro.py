"""The main job: in a fresh clone `dvc repro` makes everything, and a second has nothing to do."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import environment
from tests.imports import ROOT

SMALL = {
    "  images: 2352": "  images: 200",
    "  exact_copies: 134": "  exact_copies: 12",
    "  near_copies: 12": "  near_copies: 3",
    "  hidden: [512, 128]": "  hidden: [16]",
    "  epochs: ": "  epochs: 2 # ",
}


def run(clone: Path, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=clone,
        env=environment() | {"PYTHONPATH": str(clone)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def commit(clone: Path, message: str) -> None:
    run(clone, "git", "add", "--all")
    run(clone, "git", "commit", "--quiet", "--message", message)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the working tree, committed or not, at small size, reproduced once."""
    folder = tmp_path_factory.mktemp("clone")
    listed = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    params = (folder / "params.yaml").read_text(encoding="utf-8")
    for old, new in SMALL.items():
        assert params.count(old) == 1, old
        params = params.replace(old, new)
    (folder / "params.yaml").write_text(params, encoding="utf-8")
    run(folder, "git", "init", "--quiet")
    commit(folder, "clone")
    (folder / "printed.log").write_text(dvc(folder, "repro"), encoding="utf-8")
    (folder / ".git/info/exclude").write_text("printed.log\n", encoding="utf-8")
    return folder


def dvc(clone: Path, *arguments: str) -> str:
    return run(clone, sys.executable, "-m", "dvc", *arguments)


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
