"""Stage `ablate`: every image predicted once, by a run that never saw it; the same bytes however
many processes ran, and after any interruption."""

import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from pipeline import run as runner
from pipeline.ablate.stage import divide, mean_history, plan, write_splits
from pipeline.common import paths
from pipeline.common.datasets import load_packed, read_table
from pipeline.common.files import digest, write_json
from pipeline.common.params import Params
from pipeline.techniques.stage import resolve
from tests.helpers.data import Pack

FOLDS = 3
IMAGES = 136
EPOCHS = 4
TECHNIQUE = "combined"
REPORT = paths.ABLATION_REPORT / TECHNIQUE
LOGS = paths.ABLATION_LOGS / TECHNIQUE
MEAN_LOGS = paths.TECHNIQUE_LOGS / TECHNIQUE
SETTINGS = REPORT / paths.TECHNIQUE_PARAMS
KEPT = paths.RESUME / "ablation" / TECHNIQUE

# Its server imports torch once, and computes nothing: the stage can fork.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.ablate.test_ablation", "pipeline.ablate.stage"])


# What a run with these params makes, with what it printed: the same in every test's folder.
MADE = [REPORT, LOGS, MEAN_LOGS, Path("printed.log")]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that needs such a run keeps what it makes, for the others."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def whole(project: Path, kept: Path) -> dict[str, str]:
    """The outputs of a run that nothing interrupted, which are there."""
    if list(kept.iterdir()):
        shutil.copytree(kept, project, dirs_exist_ok=True)
        return outputs()
    made = finish()
    for path in filter(Path.is_file, [path for top in MADE for path in (top, *top.rglob("*"))]):
        (kept / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, kept / path)
    return made


@pytest.fixture(autouse=True)
def project(pack: Pack, elsewhere: Path, params: Params) -> Path:
    """Runs of a second or so, each with all techniques; there is no test split to read."""
    pack("train", 96)
    pack("validation", 40)
    rename("validation", "validation-")
    write_params(params)
    return elsewhere


def rename(split: str, prefix: str) -> None:
    """Give the images of a split names of their own, and groups of two."""
    path = paths.PACKED / split / "meta.json"
    meta = json.loads(path.read_text())
    meta["names"] = [prefix + name for name in meta["names"]]
    meta["groups"] = [f"{prefix}{index // 2}" for index in range(len(meta["names"]))]
    path.write_text(json.dumps(meta))


def write_params(
    params: Params, technique: dict[str, Any] | None = None, train: Any = None, **ablate: Any
) -> None:
    """Write params.yaml, and what stage `techniques` makes of it."""
    tree = params.model_dump()
    tree["pack"] |= {"size": 8}
    tree["train"] |= train or {}
    tree["ablate"] |= {"folds": FOLDS, "epochs": EPOCHS, "size": 8, "processes": 2, **ablate}
    if technique is not None:
        tree["techniques"][TECHNIQUE] = technique
    with paths.PARAMS.open("w", encoding="utf-8") as file:
        YAML().dump(tree, file)
    write_json(SETTINGS, resolve(Params.model_validate(tree), TECHNIQUE)[0])


def stage(name: str) -> None:
    """What `python -m pipeline.run ablate NAME` does, in a process group of its own."""
    os.setsid()
    log = os.open("printed.log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.exit(runner.main("ablate", name))


def start(name: str = TECHNIQUE) -> Any:
    process = PROCESSES.Process(target=stage, args=[name])
    process.start()
    return process


def fail(name: str = TECHNIQUE) -> str:
    """Run a stage that a user's mistake stops; returns what it printed."""
    process = start(name)
    process.join()
    assert process.exitcode == 1, printed()
    assert "Traceback" not in printed()
    return printed()


def finish() -> dict[str, str]:
    process = start()
    process.join()
    assert process.exitcode == 0, printed()
    assert not KEPT.exists(), "what was kept is left though the outputs are written"
    return outputs()


def printed() -> str:
    return Path("printed.log").read_text(encoding="utf-8")


def outputs() -> dict[str, str]:
    folders = (REPORT, LOGS, MEAN_LOGS)
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {path.as_posix(): digest(path) for path in sorted(files) if path != SETTINGS}


def clear() -> None:
    """What DVC does before it runs a stage."""
    for path in map(Path, outputs()):
        path.unlink()


def results() -> list[Path]:
    return sorted(KEPT.glob("*/result.json"))


def wait_for(count: int, process: Any) -> None:
    while process.is_alive() and len(results()) < count:
        time.sleep(0.002)
    assert process.is_alive(), printed()


def members(group: int) -> list[int]:
    """The processes of a group that are running."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, members_of = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(members_of) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


def gone(group: int, within: float = 10) -> bool:
    patience = time.monotonic() + within
    while members(group) and time.monotonic() < patience:
        time.sleep(0.02)
    return not members(group)


def read(name: str) -> pd.DataFrame:
    return read_table(REPORT / f"{name}.csv")


def test_the_number_of_processes_changes_no_byte(whole: dict[str, str], params: Params) -> None:
    for processes in (1, 5):
        clear()
        write_params(params, processes=processes)
        assert finish() == whole
    # Four tables, three files of TensorBoard for each run, and two for their mean.
    assert len(whole) == 4 + 3 * FOLDS + 2


def test_every_image_is_predicted_once_in_each_repeat_and_never_by_a_run_that_saw_it(
    params: Params,
) -> None:
    write_params(params, repeats=2)
    finish()
    predictions = read("predictions")
    assert len(predictions) == 2 * IMAGES
    first, second = (predictions[predictions["run"].between(*ends)] for ends in ((1, 3), (4, 6)))
    assert first["image"].is_unique
    assert set(first["image"]) == set(second["image"])
    # The repeats have other folds.
    folds = [half.sort_values("image")["run"].to_numpy() % FOLDS for half in (first, second)]
    assert not np.array_equal(*folds)
    assert predictions.groupby("group")["run"].nunique().max() == 2  # one of each repeat


def test_a_run_is_given_what_the_others_are_not() -> None:
    settings = json.loads(SETTINGS.read_text())
    held_out: list[str] = []
    validating: list[str] = []
    for run in plan(settings, KEPT):
        write_splits(run, run.folder / "data")
        splits = {path.name: load_packed(path) for path in (run.folder / "data").iterdir()}
        groups = {name: set(split.groups) for name, split in splits.items()}
        assert not groups["train"] & groups["validation"]
        assert not groups["train"] & groups["held_out"]
        assert not groups["validation"] & groups["held_out"]
        assert sum(map(len, splits.values())) == IMAGES
        held_out += splits["held_out"].names
        validating += splits["validation"].names
    assert len(held_out) == len(set(held_out)) == IMAGES
    assert sorted(validating) == sorted(held_out)


def test_images_keep_their_pixels_and_labels() -> None:
    settings = json.loads(SETTINGS.read_text())
    run = plan(settings, KEPT)[0]
    write_splits(run, run.folder / "data")
    split = load_packed(run.folder / "data" / "train")
    source = load_packed(paths.PACKED / "train")
    row = next(row for row, name in enumerate(split.names) if name in source.names)
    original = source.names.index(split.names[row])
    assert np.array_equal(split.images[row], source.images[original])
    assert split.labels[row] == source.labels[original]


@pytest.mark.usefixtures("whole")
def test_the_outputs_have_every_run_and_epoch() -> None:
    runs = read("runs")
    assert runs["run"].tolist() == [1, 2, 3]
    assert runs["seed"].tolist() == [1, 2, 3]
    history = read("history")
    assert history[["run", "epoch"]].to_numpy().tolist() == [
        [run, epoch] for run in (1, 2, 3) for epoch in range(EPOCHS)
    ]
    stages = set(read("activations")[["layer", "stage"]].itertuples(index=False, name=None))
    assert stages == {
        (layer, stage)
        for layer in ("layer_1", "layer_2")
        for stage in ("linear", "batch_norm", "activation")
    }
    assert f"ablate: {TECHNIQUE}: accuracy {runs['accuracy'].mean():.3f} ± " in printed()


@pytest.mark.usefixtures("whole")
def test_the_metrics_are_those_of_the_predictions_and_of_the_epoch_used() -> None:
    history, predictions = read("history"), read("predictions")
    for run in read("runs").itertuples():
        epochs = history[history["run"] == run.run].set_index("epoch")
        assert epochs.loc[run.used_epoch, "val_loss"] == run.val_loss == epochs["val_loss"].min()
        own = predictions[predictions["run"] == run.run]
        assert len(own) == run.images
        correct = [row[f"probability_{row['label']}"] > 0.5 for _, row in own.iterrows()]
        assert run.accuracy == pytest.approx(np.mean(correct), abs=1e-6)


def test_without_checkpointing_the_weights_are_the_last(params: Params) -> None:
    write_params(params, {"base": "params", "checkpoint.enabled": False})
    finish()
    assert set(read("runs")["used_epoch"]) == {EPOCHS - 1}


def test_a_mean_curve_ends_where_the_first_run_does() -> None:
    history = pd.DataFrame({"run": [1, 1, 2], "epoch": [0, 1, 0], "val_loss": [1.0, 3.0, 2.0]})
    assert mean_history(history)["val_loss"].to_dict() == {0: 1.5}


def test_folds_are_even_in_images_and_classes_and_keep_groups_together() -> None:
    draw = np.random.default_rng(0)
    labels = (draw.random(500) < 0.3).astype(np.int64)
    groups = [f"{label}-{draw.integers(150)}" for label in labels]
    folds = divide(labels, groups, 5, draw)
    assert pd.Series(folds).groupby(groups).nunique().max() == 1
    for chosen in (labels == 0, labels == 1, labels >= 0):
        counts = np.bincount(folds[chosen], minlength=5)
        assert np.ptp(counts) <= 4
    assert not np.array_equal(folds, divide(labels, groups, 5, np.random.default_rng(9)))


def test_a_set_too_small_for_its_folds_is_refused() -> None:
    for split in ("train", "validation"):
        path = paths.PACKED / split / "meta.json"
        meta = json.loads(path.read_text())
        meta["groups"] = ["same"] * len(meta["names"])
        path.write_text(json.dumps(meta))
    assert "136 images without the test split are too few for 3 folds" in fail()


def test_a_killed_comparison_repeats_no_finished_run(whole: dict[str, str]) -> None:
    clear()
    process = start()
    wait_for(1, process)
    process.kill()
    process.join()
    assert gone(process.pid), "its runs go on without it"
    done = results()
    # A mark that training would not leave again.
    path = done[0].with_name("history.csv")
    history = read_table(path)
    history.loc[0, "learning_rate"] = 0.125
    history.to_csv(path, index=False)
    assert finish() != whole
    assert f"{len(done)} of {FOLDS} runs are done already" in printed()
    assert (read("history")["learning_rate"] == 0.125).sum() == 1, "a finished run was repeated"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_interrupted_comparison_ends_in_the_same_bytes(
    how: signal.Signals, whole: dict[str, str]
) -> None:
    clear()
    process = start()
    wait_for(1, process)
    os.kill(process.pid, how)
    process.join()
    assert gone(process.pid), "its runs go on without it"
    assert not outputs(), "something half-done is left"
    if how != signal.SIGKILL:
        assert process.exitcode == runner.INTERRUPTED
        done = f"keeps {len(results())} of {FOLDS} runs and continues"
        assert printed().endswith(f" thread\nbluelight: ablate: interrupted; `dvc repro` {done}\n")
    assert finish() == whole


def test_ctrl_c_reaches_the_whole_group_and_is_one_line() -> None:
    process = start()
    wait_for(1, process)
    os.killpg(process.pid, signal.SIGINT)
    process.join()
    assert process.exitcode == runner.INTERRUPTED
    assert len(printed().splitlines()) == 2, "what it computes on, and that it was interrupted"
    assert gone(process.pid)


def test_a_kept_run_is_not_taken_for_that_of_other_images(pack: Pack) -> None:
    process = start()
    wait_for(1, process)
    process.kill()
    process.join()
    assert gone(process.pid)
    shutil.rmtree(paths.PACKED / "validation")
    shutil.rmtree(paths.FEATURES / "validation")
    pack("validation", 30, seed=6)
    rename("validation", "validation-")
    finish()
    assert "are done already" not in printed()
    assert len(read("predictions")) == 126


def test_a_run_that_diverges_is_named(params: Params) -> None:
    technique = {"train.weight_decay": 10.0, "train.learning_rate": 10.0}
    write_params(params, technique, epochs=400, processes=1)
    first, text = fail().split("\n", 1)
    assert first == f"ablate: {TECHNIQUE}: {FOLDS} runs, 1 at a time, each on the CPU, 1 thread"
    assert text.startswith(f"bluelight: ablate: {TECHNIQUE}, run 1: ")
    assert "lower train.learning_rate" in text


def test_a_run_that_is_killed_is_reported() -> None:
    process = start()
    while not list(KEPT.glob("*/logs")):
        time.sleep(0.002)
    workers = [member for member in members(process.pid) if member != process.pid]
    os.kill(workers[0], signal.SIGKILL)
    process.join()
    assert process.exitcode == 1
    assert "a worker process was killed" in printed().splitlines()[-1]
    assert "Traceback" not in printed()
    assert gone(process.pid)


def test_without_the_file_of_stage_techniques_it_names_it() -> None:
    assert fail("dropuot") == (
        "bluelight: ablate: reports/ablation/dropuot/params.json not found; `dvc repro` makes it\n"
    )
