"""What each stage ran on is noted in git, once it is done, and never in an output of DVC's."""

from importlib.metadata import version
from pathlib import Path

import pytest

from pipeline import run as runner
from pipeline.common import paths
from pipeline.common.environment import by_stage, facts, record
from pipeline.common.files import read_json
from tests.helpers.imports import ROOT

ONE, TWO = {"processor": "one"}, {"processor": "two"}


@pytest.mark.usefixtures("elsewhere")
def test_stages_that_ran_on_the_same_are_noted_together() -> None:
    for stage, found in (("train", ONE), ("fetch", ONE), ("split", TWO)):
        record(stage, found)
    assert read_json(paths.ENVIRONMENT) == [
        {"stages": ["fetch", "train"], **ONE},
        {"stages": ["split"], **TWO},
    ]


@pytest.mark.usefixtures("elsewhere")
def test_a_stage_is_noted_where_it_ran_last() -> None:
    for stage, found in (("train", ONE), ("split", ONE), ("train", TWO), ("split", TWO)):
        record(stage, found)
    assert by_stage(read_json(paths.ENVIRONMENT)) == {"train": TWO, "split": TWO}


def test_the_order_of_stages_leaves_the_same_file(elsewhere: Path) -> None:
    def written(*stages: str) -> bytes:
        for stage in stages:
            record(stage, ONE)
        return (elsewhere / paths.ENVIRONMENT).read_bytes()

    assert written("a", "b") == written("b", "a")


def test_facts_tell_libraries_instructions_and_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    found = facts()
    assert found["libraries"]["torch"] == version("torch")
    assert found["libraries"]["bluelight"] == version("bluelight")
    assert found["variables"]["MKL_CBWR"] == "COMPATIBLE"
    assert found["instructions"]
    assert found == facts()


@pytest.fixture
def stage(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place to run a stage in, which does nothing but set a variable."""
    (elsewhere / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(
        "pipeline.fetch.stage.run", lambda _: monkeypatch.setenv("OMP_NUM_THREADS", "1")
    )
    return elsewhere


@pytest.mark.usefixtures("stage")
def test_the_runner_notes_what_was_found_before_the_stage_ran() -> None:
    assert runner.main("fetch") == 0
    noted = by_stage(read_json(paths.ENVIRONMENT))
    assert noted.keys() == {"fetch"}
    assert "OMP_NUM_THREADS" not in noted["fetch"]["variables"]


def test_a_stage_that_failed_is_not_noted(stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.fetch.stage.run", fail)
    assert runner.main("fetch") == runner.INTERRUPTED
    assert not (stage / paths.ENVIRONMENT).exists()


@pytest.mark.parametrize("rank", ["RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"])
def test_of_several_processes_one_takes_notes_and_the_lock(
    stage: Path, monkeypatch: pytest.MonkeyPatch, rank: str
) -> None:
    monkeypatch.setenv(rank, "1")
    with runner.locked("fetch"):  # by the main process
        assert runner.main("fetch") == 0
    assert not (stage / paths.ENVIRONMENT).exists()
