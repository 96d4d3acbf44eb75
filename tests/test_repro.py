"""The main job: in a fresh clone `dvc repro` makes everything, and a second has nothing to do."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.common import paths
from pipeline.common.params import load_params
from pipeline.techniques import stage as techniques
from tests.helpers.clones import clone_into, commit, dvc, run, set_params

pytestmark = pytest.mark.slow

SMALL = {
    "synthetic.images": 120,
    "synthetic.size": 64,
    "synthetic.exact_duplicates": 8,
    "synthetic.near_duplicates": 3,
    "model.hidden": [16],
    "train.epochs": 2,
    "ablate.epochs": 2,
    "ablate.folds": 3,
    "techniques.early_stopping": None,
    "techniques.batch_norm": None,
    "techniques.augmentation": None,
    "techniques.checkpointing": None,
    "evaluate.bootstrap": 400,
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
        "models/vehicle-classifier/model.onnx",
        "models/vehicle-classifier/README.md",
        "logs/train/events.out.tfevents.0",
        "logs/train/training/events.out.tfevents.0",
        "logs/train/validation/events.out.tfevents.0",
        "reports/train/augmentation.png",
        "reports/test/metrics.json",
        "reports/ablation/dropout/params.json",
        "reports/ablation/combined/predictions.csv",
        "logs/ablation/baseline/run-2/training/events.out.tfevents.0",
        "reports/index.html",
        "logs/techniques/baseline/validation/events.out.tfevents.0",
        "reports/comparison.json",
        "reports/techniques.csv",
        "reports/histories.csv",
    ):
        assert (clone / name).stat().st_size > 0, name


def test_what_is_made_is_tracked_or_ignored(clone: Path) -> None:
    commit(clone, "results")
    assert run(clone, "git", "ls-files", "--others", "--exclude-standard") == ""
    tracked = run(clone, "git", "ls-files").split()
    heavy = ("data/raw", "data/packed", "models/", "logs/", "reports/index")
    assert not [n for n in tracked if n.startswith(heavy) and not n.endswith(".gitignore")]
    assert "reports/techniques.csv" in tracked
    assert "reports/ablation/dropout/predictions.csv" not in tracked


def test_a_second_run_has_nothing_to_do(clone: Path) -> None:
    before = os.times()
    command = [sys.executable, "-m", "dvc", "repro"]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=True)
    after = os.times()
    assert "Data and pipelines are up to date." in done.stdout
    assert "Running stage" not in done.stdout
    # Of a processor, as others may be at work; 3 on an idle one.
    assert after.children_user - before.children_user < 8


def test_a_rerun_makes_the_same_bytes(clone: Path) -> None:
    before = (clone / "dvc.lock").read_bytes()
    dvc(clone, "repro", "--force", "--single-item", "train", "ablate@combined")
    assert (clone / "dvc.lock").read_bytes() == before


def rerun(clone: Path, changes: dict[str, Any]) -> set[str]:
    """The stages that read these params.

    A dry run does not tell those that follow: it cannot know what the first would change. The
    files that stage `techniques` writes are therefore written first, and it is not listed.
    """
    settings = (clone / paths.ABLATION_REPORT).glob(f"*/{paths.TECHNIQUE_PARAMS}")
    before = {file: file.read_bytes() for file in (clone / paths.PARAMS, *settings)}
    set_params(clone, changes)
    params = load_params(clone / paths.PARAMS)
    with contextlib.chdir(clone):
        for name in params.techniques:
            techniques.run(params, name)
    printed = dvc(clone, "repro", "--dry")
    for file, content in before.items():
        file.write_bytes(content)
    found = re.findall(r"Running stage '(.+)'", printed)
    return {stage for stage in found if not stage.startswith(("techniques@", "compare", "report"))}


def test_a_parameter_reruns_only_what_reads_it(clone: Path) -> None:
    # Package tests by the bootstrap whether a temperature is needed.
    assert rerun(clone, {"evaluate.bootstrap": 500}) == {"package", "evaluate"}


def test_a_technique_reruns_only_its_own_item(clone: Path) -> None:
    assert rerun(clone, {"techniques.dropout": {"model.dropout": 0.8}}) == {"ablate@dropout"}


def test_a_parameter_reruns_only_the_techniques_that_have_it(clone: Path) -> None:
    # The other techniques set dropout themselves, or have the baseline's.
    assert rerun(clone, {"model.dropout": 0.2}) == {"train", "ablate@combined"}
    assert rerun(clone, {"early_stopping.patience": 3}) == {"train"}


def test_what_only_ablate_reads_does_not_retrain(clone: Path) -> None:
    items = {f"ablate@{name}" for name in ("baseline", "dropout", "combined")}
    assert rerun(clone, {"ablate.seed": 2}) == items
    changed = {"ablate.baseline": {"model.dropout": 0.1}}  # combined is not over the baseline
    assert rerun(clone, changed) == items - {"ablate@combined"}


def test_what_only_train_reads_does_not_repeat_the_comparison(clone: Path) -> None:
    assert rerun(clone, {"train.seed": 2}) == {"train"}


def test_another_threshold_does_not_retrain(clone: Path) -> None:
    assert rerun(clone, {"decision.miss_cost": 5.0}) == {"package", "evaluate"}


def test_more_processes_rerun_nothing(clone: Path) -> None:
    assert rerun(clone, {"ablate.processes": 3}) == set()


def test_another_technique_appears_everywhere_and_leaves_no_trace(clone: Path) -> None:
    path, lock = clone / "params.yaml", clone / "dvc.lock"
    before = {file: file.read_bytes() for file in (path, lock)}
    set_params(clone, {"techniques.rotation": {"augment.rotation.probability": 0.7}})
    dvc(clone, "repro")
    for name in ("comparison.json", "techniques.csv", "histories.csv", "index.html", "report.md"):
        assert "rotation" in (clone / "reports" / name).read_text(encoding="utf-8"), name
    for file, content in before.items():
        file.write_bytes(content)
    printed = dvc(clone, "repro")
    assert "compare: removing reports/ablation/rotation" in printed
    assert lock.read_bytes() == before[lock]
    assert not (clone / "logs/ablation/rotation").exists()
