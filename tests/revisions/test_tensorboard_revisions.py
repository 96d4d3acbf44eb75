"""`bluelight tensorboard`: the logs of revisions beside the workspace's, one name for each."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.common.errors import MissingOutputError, RevisionError
from tests.helpers.clones import run

LOG = "training/events.out.tfevents.0"


def gather(*arguments: str) -> Path:
    """The folder that TensorBoard would be given."""
    command = ["tensorboard", *arguments, "--print"]
    return Path(CliRunner().invoke(app, command, catch_exceptions=False).stdout.strip())


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_each_revision_has_a_name_of_its_own(project: Path) -> None:
    old, new = (run(project, "git", "rev-parse", name)[:7] for name in ("HEAD~1", "HEAD"))
    folder = gather("HEAD~1", new)
    assert names(folder) == {"workspace", f"HEAD~1-{old}", new}
    assert all((place / LOG).is_file() for place in folder.iterdir())
    assert run(project, "git", "status", "--porcelain") == ""


def test_only_what_was_asked_for_is_shown(project: Path) -> None:
    del project
    gather("HEAD~1", "HEAD")
    assert names(gather()) == {"workspace"}


def test_the_mean_runs_of_the_techniques_are_shown_on_demand(project: Path) -> None:
    old = run(project, "git", "rev-parse", "HEAD~1")[:7]
    folder = gather("HEAD~1", "--logs", "techniques")
    for place in ("workspace", f"HEAD~1-{old}"):
        assert [path.name for path in (folder / place).iterdir()] == ["one"]


def test_the_workspaces_logs_are_seen_as_they_grow(project: Path) -> None:
    folder = gather()
    (project / "logs/train/training/events.out.tfevents.1").touch()
    assert (folder / "workspace/training/events.out.tfevents.1").exists()


def test_a_name_with_a_slash_is_one_folder(project: Path) -> None:
    run(project, "git", "branch", "try/drier", "HEAD~1")
    assert {name.partition("-")[0] for name in names(gather("try/drier"))} == {
        "workspace",
        "try_drier",
    }


def test_logs_that_are_missing_are_explained_and_leave_nothing(project: Path) -> None:
    shutil.rmtree(project / ".dvc/cache")
    with pytest.raises(MissingOutputError, match=r"missing logs/train of HEAD~1 \(.*dvc repro"):
        gather("HEAD~1")
    assert not [path for path in (project / ".cache").rglob("*") if not path.is_dir()]


def test_without_any_logs_the_remedy_is_named(project: Path) -> None:
    shutil.rmtree(project / "logs")
    with pytest.raises(
        RevisionError, match="no logs to show in logs/train; `dvc repro` makes them"
    ):
        gather()


def test_tensorboard_is_started_on_the_port_asked_for(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, command: started.append(command))
    CliRunner().invoke(app, ["tensorboard", "--port", "6123"], catch_exceptions=False)
    logs = f"--logdir={project / '.cache/tensorboard'}"
    assert started == [[sys.executable, "-m", "tensorboard.main", logs, "--port=6123"]]
