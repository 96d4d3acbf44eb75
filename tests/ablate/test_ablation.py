"""Stage `ablate`: the same bytes however many processes ran, and after any interruption."""

import csv
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline import run as runner
from pipeline.common import paths
from pipeline.common.files import digest
from pipeline.common.params import Params
from tests.helpers.data import Pack

SEEDS = [3, 1, 2]
EPOCHS = 4
TECHNIQUE = "combined"
REPORT = paths.ABLATION_REPORT / TECHNIQUE
LOGS = paths.ABLATION_LOGS / TECHNIQUE
KEPT = paths.RESUME / "ablation" / TECHNIQUE

# Its server imports torch once, and computes nothing: the stage can fork.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.ablate.test_ablation", "pipeline.ablate.stage"])


@pytest.fixture(autouse=True)
def project(pack: Pack, elsewhere: Path, params: Params) -> Path:
    """Runs of a second or so, each with all techniques."""
    pack("train", 96)
    pack("validation", 40)
    pack("test", 40, seed=5)
    write_params(params)
    return elsewhere


def write_params(
    params: Params, technique: dict[str, Any] | None = None, train: Any = None, **ablate: Any
) -> None:
    tree = params.model_dump(exclude_unset=True)
    tree["early_stopping"] |= {"patience": 1000}
    tree["train"] |= train or {}
    tree["ablate"] |= {"seeds": SEEDS, "epochs": EPOCHS, **ablate}
    if technique is not None:
        tree["techniques"][TECHNIQUE] = technique
    with paths.PARAMS.open("w", encoding="utf-8") as file:
        YAML().dump(tree, file)


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
    files = [path for folder in (REPORT, LOGS) for path in folder.rglob("*") if path.is_file()]
    return {path.as_posix(): digest(path) for path in sorted(files)}


def clear() -> None:
    """What DVC does before it runs a stage."""
    shutil.rmtree(REPORT)
    shutil.rmtree(LOGS)


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


def read(name: str) -> list[dict[str, str]]:
    with (REPORT / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_number_of_processes_changes_no_byte(params: Params) -> None:
    made = []
    for processes in (1, 2, 3):
        write_params(params, processes=processes)
        made.append(finish())
        clear()
    assert made[0] == made[1] == made[2]
    assert len(made[0]) == 5 + 3 * len(SEEDS)


def test_the_outputs_tell_of_every_seed_and_epoch() -> None:
    finish()
    runs = read("runs.csv")
    assert [int(row["seed"]) for row in runs] == SEEDS
    assert [(int(row["seed"]), int(row["epoch"])) for row in read("history.csv")] == [
        (seed, epoch) for seed in SEEDS for epoch in range(EPOCHS)
    ]
    assert len(read("predictions.csv")) == 40 * len(SEEDS)
    stages = {(row["layer"], row["stage"]) for row in read("activations.csv")}
    assert stages == {
        (layer, stage)
        for layer in ("layer_1", "layer_2")
        for stage in ("linear", "batch_norm", "activation")
    }
    metrics = json.loads((REPORT / "metrics.json").read_text())
    assert metrics["runs"] == len(SEEDS)
    mean = sum(float(row["test_loss"]) for row in runs) / len(SEEDS)
    assert metrics["test_loss"] == pytest.approx(mean, abs=1e-6)
    assert f"ablate: {TECHNIQUE}: accuracy " in printed()


def test_the_figures_are_those_of_the_predictions_and_of_the_epoch_used() -> None:
    finish()
    history = {(row["seed"], row["epoch"]): row for row in read("history.csv")}
    answers = read("predictions.csv")
    for run in read("runs.csv"):
        used = history[run["seed"], run["used_epoch"]]
        assert used["val_loss"] == run["val_loss"]
        epochs = [row for (seed, _), row in history.items() if seed == run["seed"]]
        assert used["val_loss"] == min((row["val_loss"] for row in epochs), key=float)
        own = [row for row in answers if row["seed"] == run["seed"]]
        right = sum(float(row[f"probability_{row['label']}"]) > 0.5 for row in own)
        assert float(run["test_accuracy"]) == pytest.approx(right / len(own))


def test_without_checkpointing_the_weights_are_the_last(params: Params) -> None:
    write_params(params, {"keep": ["model"]})
    finish()
    assert {row["used_epoch"] for row in read("runs.csv")} == {str(EPOCHS - 1)}


def test_a_killed_comparison_repeats_no_finished_seed() -> None:
    whole = finish()
    clear()
    process = start()
    wait_for(1, process)
    process.kill()
    process.join()
    assert gone(process.pid), "its runs go on without it"
    done = results()
    # A mark that training would not leave again.
    kept = json.loads(done[0].read_text())
    kept["epochs"][0]["learning_rate"] = 0.125
    done[0].write_text(json.dumps(kept))
    assert finish() != whole
    assert f"{len(done)} of {len(SEEDS)} seeds are done already" in printed()
    marked = [row for row in read("history.csv") if row["learning_rate"] == "0.125"]
    assert len(marked) == 1, "the finished seed was trained again"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_interrupted_comparison_ends_in_the_same_bytes(how: signal.Signals) -> None:
    whole = finish()
    clear()
    process = start()
    wait_for(1, process)
    os.kill(process.pid, how)
    process.join()
    assert gone(process.pid), "its runs go on without it"
    assert not outputs(), "something half-done is left"
    if how != signal.SIGKILL:
        assert process.exitcode == runner.INTERRUPTED
        done = f"keeps {len(results())} of {len(SEEDS)} seeds and goes on"
        assert printed() == f"bluelight: ablate: interrupted; `dvc repro` {done}\n"
    assert finish() == whole


def test_ctrl_c_reaches_the_whole_group_and_is_one_line() -> None:
    process = start()
    wait_for(1, process)
    os.killpg(process.pid, signal.SIGINT)
    process.join()
    assert process.exitcode == runner.INTERRUPTED
    assert len(printed().splitlines()) == 1
    assert gone(process.pid)


def test_a_kept_seed_is_not_taken_for_that_of_another_test_split(pack: Pack) -> None:
    process = start()
    wait_for(1, process)
    process.kill()
    process.join()
    assert gone(process.pid)
    shutil.rmtree(paths.PACKED / "test")
    pack("test", 30, seed=6)
    finish()
    assert "are done already" not in printed()
    assert len(read("predictions.csv")) == 30 * len(SEEDS)


def test_a_run_that_diverges_is_named(params: Params) -> None:
    write_params(
        params,
        {"keep": ["train.weight_decay"]},
        {"learning_rate": 10.0, "weight_decay": 10.0},
        epochs=400,
        seeds=[4],
    )
    text = fail()
    assert text.startswith(f"bluelight: ablate: {TECHNIQUE}, seed 4: ")
    assert "lower train.learning_rate" in text


def test_a_run_that_is_killed_is_told() -> None:
    process = start()
    while not list(KEPT.glob("*/logs")):
        time.sleep(0.002)
    workers = [member for member in members(process.pid) if member != process.pid]
    os.kill(workers[0], signal.SIGKILL)
    process.join()
    assert process.exitcode == 1
    assert "lower ablate.processes, then `dvc repro` goes on" in printed().splitlines()[-1]
    assert "Traceback" not in printed()
    assert gone(process.pid)


def test_an_unknown_technique_names_the_nearest() -> None:
    assert fail("dropuot") == (
        "bluelight: ablate: params.yaml has no technique `dropuot`; did you mean `dropout`?\n"
    )
