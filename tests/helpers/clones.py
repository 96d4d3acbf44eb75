"""A clone of the working tree, committed or not, in which to run git and DVC for real."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.helpers.imports import ROOT
from tests.helpers.processes import environment


def run(folder: Path, *command: str, fails: bool = False) -> str:
    """Run a command there and return what it printed, on either stream."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment() | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def dvc(clone: Path, *arguments: str, fails: bool = False) -> str:
    return run(clone, sys.executable, "-m", "dvc", *arguments, fails=fails)


def commit(clone: Path, message: str) -> None:
    run(clone, "git", "add", "--all")
    run(clone, "git", "commit", "--quiet", "--message", message)


def clone_into(folder: Path, changes: Mapping[str, str]) -> Path:
    """Copy what git knows or would take, with these changes to params.yaml, and commit it."""
    listed = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name, follow_symlinks=False)
    set_params(folder, changes)
    run(folder, "git", "init", "--quiet")
    commit(folder, "clone")
    return folder


def set_params(clone: Path, changes: Mapping[str, str]) -> None:
    """Replace parts of params.yaml, each of which must be there once."""
    path = clone / "params.yaml"
    params = path.read_text(encoding="utf-8")
    for old, new in changes.items():
        assert params.count(old) == 1, old
        params = params.replace(old, new)
    path.write_text(params, encoding="utf-8")
