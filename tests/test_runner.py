"""A user's mistake is one clear line on stderr and exit status 1; a defect keeps its traceback."""

import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from pipeline import cli
from pipeline import run as runner
from pipeline.common.errors import BluelightError
from tests.helpers.imports import ROOT
from tests.helpers.processes import environment


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_misspelt_parameter_stops_a_stage(elsewhere: Path) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8").replace("epochs: 120", "epoch: 120")
    (elsewhere / "params.yaml").write_text(text, encoding="utf-8")
    done = run("pipeline.run", "fetch", cwd=elsewhere)
    assert done.returncode == 1
    place = "bluelight: fetch: params.yaml:"
    assert done.stderr.splitlines() == [
        f"{place} `train.epochs` is missing; every parameter is set in the file",
        f"{place} unknown key `train.epoch`; did you mean `epochs`?",
    ]
    assert [path.name for path in elsewhere.iterdir()] == ["params.yaml"]


def test_a_stage_without_its_input_says_what_makes_it(elsewhere: Path) -> None:
    (elsewhere / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    done = run("pipeline.run", "report", cwd=elsewhere)
    assert done.returncode == 1
    assert "not found; `dvc repro` makes it" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_says_how_to_go_on(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    (elsewhere / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.setattr("pipeline.fetch.stage.run", interrupt)
    assert runner.main("fetch") == 130
    assert "interrupted; `dvc repro` starts again" in capsys.readouterr().err


def test_a_signal_that_meets_a_lock_half_taken_ends_as_any_other(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `Condition.wait` does: what it raises has the signal's exit as its context."""

    def wait(*_: object, number: int = signal.SIGTERM) -> None:
        try:
            os.kill(os.getpid(), number)
        finally:
            threading.Lock().release()

    before = signal.getsignal(signal.SIGTERM)
    (elsewhere / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.setattr("pipeline.fetch.stage.run", wait)
    try:
        assert runner.main("fetch") == 130
        assert "interrupted; `dvc repro` starts again" in capsys.readouterr().err
        for number, status in ((signal.SIGTERM, "143"), (signal.SIGINT, "130")):
            monkeypatch.setattr(cli, "app", partial(wait, number=number))
            with pytest.raises(SystemExit, match=status):
                cli.main()
        assert capsys.readouterr().err == ""
    finally:
        signal.signal(signal.SIGTERM, before)


def test_two_processes_do_not_run_the_same_stage(elsewhere: Path) -> None:
    with (
        runner.locked("train"),
        pytest.raises(BluelightError, match=rf"process {os.getpid()} is running this very stage"),
        runner.locked("train"),
    ):
        pass
    with runner.locked("ablate@dropout"), runner.locked("ablate@combined"):
        pass  # items are stages of their own
    with runner.locked("train"):
        pass
    assert list((elsewhere / ".resume").iterdir()) == []  # no lock is left behind


def test_check_accepts_the_projects_params() -> None:
    done = run("pipeline", "check", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "params.yaml is valid\n"


def test_check_tells_of_a_technique_whose_values_do_not_go_together(elsewhere: Path) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    text = text.replace("{model.dropout: 0.5}", "{model.dropout: [0.5]}")
    (elsewhere / "params.yaml").write_text(text, encoding="utf-8")
    done = run("pipeline", "check", cwd=elsewhere)
    assert done.returncode == 1
    assert done.stderr.startswith("bluelight: techniques.dropout, over its base: `model`: ")


def test_the_command_names_a_mistake(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bluelight", "check"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    assert capsys.readouterr().err.startswith("bluelight: params.yaml not found;")
    assert list(elsewhere.iterdir()) == []
