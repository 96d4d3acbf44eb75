"""An interrupted run continues, and ends in the same bytes as one that was never interrupted."""

import multiprocessing
import os
import random
import resource
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
from pipeline.common.datasets import read_table
from pipeline.common.files import digest
from pipeline.common.params import Params
from pipeline.train.resume import Resume, fingerprint
from tests.helpers.data import Pack

pytestmark = pytest.mark.slow

KILLS = 8
EPOCHS = 6
OUTPUTS = (paths.NETWORK, paths.TRAIN_REPORT, paths.TRAIN_LOGS)

# What an uninterrupted run leaves: the same in every test's folder.
WHOLE: dict[str, str] = {}

# Its server imports torch once, and starts no thread: a child is there at once.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.train.test_resume", "pipeline.train.stage"])


@pytest.fixture(autouse=True)
def project(pack: Pack, elsewhere: Path, params: Params) -> Path:
    """A run of a second or two, with a worker, dropout and a schedule that have a state to lose."""
    pack("train", 96)
    pack("validation", 40)
    write_params(params)
    return elsewhere


def write_params(params: Params, **train: Any) -> None:
    tree = params.model_dump()
    tree["train"] |= {"epochs": EPOCHS, "batch_size": 32, "workers": 1, "learning_rate": 0.003}
    tree["train"] |= train
    tree["early_stopping"] |= {"patience": 1000}
    with paths.PARAMS.open("w", encoding="utf-8") as file:
        YAML().dump(tree, file)


def stage(largest_file: int) -> None:
    """What `python -m pipeline.run train` does, in a process group of its own."""
    os.setsid()
    # Its own workers are forked, as in use; from a server of their own they would import all again.
    multiprocessing.set_start_method("fork", force=True)
    log = os.open("printed.log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if largest_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    sys.exit(runner.main("train"))


def start(largest_file: int = 0) -> Any:
    process = PROCESSES.Process(target=stage, args=[largest_file])
    process.start()
    assert process.pid is not None
    while process.is_alive() and os.getpgid(process.pid) != process.pid:
        time.sleep(0.001)
    return process


def finish() -> dict[str, str]:
    process = start()
    process.join()
    assert process.exitcode == 0
    assert not list(paths.RESUME.glob("*/after-*")), "a state is left though the run is over"
    return outputs()


def printed() -> str:
    """What the last run printed."""
    return Path("printed.log").read_text(encoding="utf-8")


def outputs() -> dict[str, str]:
    files = [path for folder in OUTPUTS for path in folder.rglob("*") if path.is_file()]
    return {path.as_posix(): digest(path) for path in sorted(files)}


def clear() -> None:
    """What DVC does before it runs a stage."""
    for folder in OUTPUTS:
        shutil.rmtree(folder, ignore_errors=True)


def states() -> list[Path]:
    return sorted(paths.RESUME.glob("*/after-*"))


def epochs_kept() -> int:
    return max((int(state.name[-6:]) for state in states()), default=0)


def wait_for_epoch(process: Any, epoch: int) -> None:
    while process.is_alive() and epochs_kept() < epoch:
        time.sleep(0.002)


def stop(process: Any, how: signal.Signals) -> int:
    """Signal the process and its workers; returns its exit code."""
    if process.is_alive():
        os.killpg(process.pid, how)
    process.join()
    return int(process.exitcode)


def interrupt(how: signal.Signals = signal.SIGKILL, epoch: int = 1) -> int:
    """Start a run and stop it once it has kept the state of an epoch."""
    process = start()
    wait_for_epoch(process, epoch)
    return stop(process, how)


@pytest.fixture
def uninterrupted(project: Path) -> dict[str, str]:
    del project
    if not WHOLE:
        WHOLE.update(finish())
        assert any(name.endswith("model.safetensors") for name in WHOLE)
        clear()
    return WHOLE


def test_kills_at_random_times(uninterrupted: dict[str, str]) -> None:
    """Of two runs or more, each killed four times and then left to end."""
    draw = random.Random(1)  # noqa: S311
    kills = resumed = 0
    while kills < KILLS:
        for _ in range(4):
            process = start()
            wait_for_epoch(process, epochs_kept() + draw.choice([0, 1, 1, 2]))
            time.sleep(draw.uniform(0, 0.1))
            if stop(process, signal.SIGKILL) == 0:
                clear()  # it had ended: another begins
            else:
                kills += 1
            resumed += "train: continuing after" in printed()
        assert finish() == uninterrupted
        resumed += "train: continuing after" in printed()
        clear()
    assert resumed > KILLS / 4, "hardly a kill met a state to continue from"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_polite_stop_says_where_it_continues(
    how: signal.Signals, uninterrupted: dict[str, str]
) -> None:
    assert interrupt(how) == runner.INTERRUPTED
    assert printed().splitlines()[-1] == (
        f"bluelight: train: interrupted; `dvc repro` continues after {epochs_kept()} epochs"
    )
    assert not paths.NETWORK.exists()
    assert not paths.TRAIN_METRICS.exists()
    after = epochs_kept()
    assert len(read_table(paths.TRAIN_HISTORY)) >= after, "the history is written as it trains"
    assert finish() == uninterrupted
    assert f"train: continuing after {after} of {EPOCHS} epochs" in printed()


def test_a_stop_before_the_first_state_says_that_it_starts_again() -> None:
    process = start()
    while not paths.TRAIN_LOGS.exists() and process.is_alive():
        time.sleep(0.001)
    assert stop(process, signal.SIGTERM) == runner.INTERRUPTED
    assert "interrupted; `dvc repro` " in printed()


def test_a_damaged_state_is_reported_and_done_again(
    uninterrupted: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt()
    state = states()[-1]  # a kill between writing one and removing the last leaves two
    for older in states()[:-1]:
        shutil.rmtree(older)
    kept = shutil.copytree(state, "kept")
    for damaged in ("state.ckpt", "digests.json", "logs/training"):
        shutil.rmtree(state)
        shutil.copytree(kept, state)
        assert Resume(state.parent, paths.TRAIN_LOGS).restore() == state / "state.ckpt"
        place = next(
            path for path in (state / damaged, *(state / damaged).rglob("*")) if path.is_file()
        )
        content = bytearray(place.read_bytes())
        content[len(content) // 2] ^= 1
        place.write_bytes(content)
        damage = shutil.copytree(state, f"damaged {place.name}")
        assert Resume(state.parent, paths.TRAIN_LOGS).restore() is None
        assert f"the state in {state} is damaged and is removed" in capsys.readouterr().err
        assert states() == []
        shutil.copytree(damage, state)
    clear()
    assert finish() == uninterrupted
    assert f"the state in {state} is damaged and is removed" in printed()


def test_other_params_start_another_run(uninterrupted: dict[str, str], params: Params) -> None:
    interrupt()
    left = states()[-1]
    write_params(params, learning_rate=0.002)
    process = start()
    process.join()
    other = outputs()
    assert other.keys() == uninterrupted.keys()
    assert other != uninterrupted
    text = printed()
    assert "continuing" not in text
    assert f"{left.parent} holds an interrupted run with other params" in text
    clear()
    write_params(params)
    assert finish() == uninterrupted
    assert "continuing" in printed(), "the state was not left for when params come back"


def test_the_number_of_workers_changes_neither_state_nor_bytes(
    uninterrupted: dict[str, str], params: Params
) -> None:
    interrupt()
    write_params(params, workers=0)
    assert finish() == uninterrupted
    assert "continuing" in printed()


def test_a_full_disk_is_one_line_and_the_run_continues_later(uninterrupted: dict[str, str]) -> None:
    interrupt()
    weights = paths.NETWORK / "model.safetensors"
    process = start(largest_file=8_000)
    process.join()
    assert process.exitcode == 1
    complaint = printed().splitlines()[-1]
    assert "File too large; raise the limit of file sizes" in complaint
    assert not weights.exists()
    assert finish() == uninterrupted
    assert "continuing" in printed()


def test_a_run_that_diverged_leaves_no_state(params: Params) -> None:
    wild = params.model_copy(
        update={"model": params.model.model_copy(update={"batch_norm": False, "dropout": 0.0})}
    )
    write_params(wild, epochs=400, learning_rate=10.0, weight_decay=10.0)
    process = start()
    process.join()
    assert process.exitcode == 1
    assert "lower train.learning_rate" in printed()
    assert list(paths.RESUME.iterdir()) == []
    assert not paths.NETWORK.exists()


def test_a_fingerprint_covers_params_data_code_and_libraries(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = {fingerprint({"epochs": 3}, "data"), fingerprint({"epochs": 4}, "data")}
    names.add(fingerprint({"epochs": 3}, "other data"))
    with monkeypatch.context() as patch:
        (tmp_path / "edited.py").touch()
        patch.setattr("pipeline.train.resume.CODE", tmp_path)
        names.add(fingerprint({"epochs": 3}, "data"))
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.train.resume.version", lambda name: f"{name} 99")
        names.add(fingerprint({"epochs": 3}, "data"))
    assert len(names) == 5
    assert fingerprint({"epochs": 3}, "data") in names


def test_a_stage_that_outlived_its_dvc_is_ended_by_the_next(
    uninterrupted: dict[str, str], project: Path
) -> None:
    parent = PROCESSES.Process(target=start_and_wait)
    parent.start()
    wait_for_epoch(parent, 1)
    parent.kill()
    parent.join()
    clear()
    child = int((project / "child").read_text())
    os.kill(child, 0)  # it is there
    assert finish() == uninterrupted
    assert gone(child, within=20), "it trains on, beside the next one"


def start_and_wait() -> None:
    """What DVC does with a stage; this one is slow, so that it is not over before the next."""
    os.environ["DVC_STAGE"] = "train"
    child = os.fork()
    if child == 0:
        keep = Resume.on_train_epoch_start

        def keep_slowly(*arguments: Any) -> None:
            keep(*arguments)
            time.sleep(0.5)

        pytest.MonkeyPatch().setattr(Resume, "on_train_epoch_start", keep_slowly)
        stage(0)
    Path("child").write_text(str(child))
    os.waitpid(child, 0)


def gone(process: int, within: float) -> bool:
    patience = time.monotonic() + within
    while time.monotonic() < patience:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
