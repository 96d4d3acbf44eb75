"""One small project with two commits, made once, and a copy of it for each test."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.helpers.processes import environment
from tests.helpers.projects import make_project


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, cache included, to change at will."""
    copy = tmp_path / "project"
    shutil.copytree(made, copy, symlinks=True)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("COLUMNS", "200")
    # What runs DVC with this interpreter runs it without its imports.
    monkeypatch.setattr(sys, "executable", shutil.which("python", path=environment()["PATH"]))
    return copy
