"""A clone of the working tree, committed or not, in which to run git and DVC for real."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dvc.utils.serialize import load_yaml, modify_yaml

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
    return run(clone, "dvc", *arguments, fails=fails)


def commit(clone: Path, message: str) -> None:
    run(clone, "git", "add", "--all")
    run(clone, "git", "commit", "--quiet", "--message", message)


def clone_into(folder: Path, changes: Mapping[str, Any]) -> Path:
    """Copy what git knows or would take, with these params changed, and commit it."""
    listed = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        # A `dvc repro` beside the tests takes files away and writes them again.
        with suppress(FileNotFoundError):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, folder / name, follow_symlinks=False)
    lock = run(ROOT, "git", "show", "HEAD:dvc.lock")
    (folder / "dvc.lock").write_text(lock, encoding="utf-8")
    set_params(folder, changes)
    drop_other_techniques(folder)
    run(folder, "git", "init", "--quiet")
    commit(folder, "clone")
    return folder


def drop_other_techniques(clone: Path) -> None:
    """Take out of `dvc.lock` the items of techniques that params have no longer.

    Two thirds of the lock are about techniques, and most of DVC's time goes into reading it.
    """
    names = "|".join(load_yaml(clone / "params.yaml")["techniques"])
    lock = clone / "dvc.lock"
    others = re.compile(rf"^  \w+@(?!(?:{names}):).*\n(?:    .*\n)*", re.MULTILINE)
    lock.write_text(others.sub("", lock.read_text(encoding="utf-8")), encoding="utf-8")


def set_params(clone: Path, changes: Mapping[str, Any]) -> None:
    """Set values of params.yaml by dotted key, written as DVC writes them; None removes a key.

    Each key must be there already, but for those of `techniques`.
    """
    with modify_yaml(clone / "params.yaml") as params:
        for key, value in changes.items():
            *sections, leaf = key.split(".")
            section = params
            for name in sections:
                section = section[name]
            assert leaf in section or sections == ["techniques"], key
            if value is None:
                del section[leaf]
            else:
                section[leaf] = value
