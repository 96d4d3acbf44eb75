"""Run docs/experiments.md in a small clone; `python -m tests.helpers.walkthrough` rewrites it."""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.helpers.clones import clone_into, commit, dvc, run
from tests.helpers.imports import ROOT
from tests.helpers.processes import environment

PAGE = ROOT / "docs" / "experiments.md"
BLOCK = re.compile(r"(?<=```console\n)(.*?)(?=```)", re.DOTALL)
WIDTH = "100"
PATIENCE = 300  # seconds for queued experiments

TINY = {
    "synthetic.images": 80,
    "synthetic.exact_duplicates": 4,
    "synthetic.near_duplicates": 2,
    "model.hidden": [16],
    "train.epochs": 2,
    "ablate.epochs": 2,
    "ablate.folds": 3,
    "techniques": {"baseline": {}, "dropout": {"model.dropout": 0.5}},
}

# A tiny network's numbers mean nothing, and those of another machine may differ in late digits.
SHAPES = (
    (r"lock made on.*(?=threads)", "PLACES\n"),
    (r"\d\d:\d\d [AP]M", "TIME"),
    (r"\b[0-9a-f]{7,40}\b", "COMMIT"),
    (r"[-+\N{MINUS SIGN}]?\d+(\.\d+)?%?", "NUMBER"),
    (r"[^\S\n\N{NO-BREAK SPACE}]+|─+", " "),
)


def made(folder: Path) -> Path:
    """A clone of the working tree at small size, its results committed."""
    clone = clone_into(folder, TINY)
    run(clone, "git", "branch", "--move", "main")
    dvc(clone, "repro", "--quiet")
    commit(clone, "results")
    return clone


def commands(block: str) -> list[str]:
    """The commands of a block."""
    return [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]


def play(clone: Path, block: str) -> str:
    """Run the commands of a block; the block with what they printed."""
    return "".join(f"$ {command}\n{_run(clone, command)}" for command in commands(block))


def shape(block: str, clone: Path) -> list[str]:
    """The lines of a block, in any order, but for numbers, commits, times, widths and places."""
    text = block.replace(str(clone), "PROJECT").replace("/path/to/project", "PROJECT")
    for pattern, word in SHAPES:
        text = re.sub(pattern, word, text, flags=re.DOTALL)
    return sorted(line.strip() for line in text.splitlines() if line.strip())


def _run(clone: Path, command: str) -> str:
    started = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=clone,
        env=environment() | {"PYTHONPATH": str(clone), "COLUMNS": WIDTH},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    if command == "dvc queue start":
        _wait(clone)
    print(f"{time.monotonic() - started:6.1f} s  {command}", file=sys.stderr)
    text = done.stdout.replace(str(clone), "/path/to/project")
    lines = text.replace(str(clone.parent), "/path/to").splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines if line.strip())


def _wait(clone: Path) -> None:
    """Until nothing in the queue waits or runs."""
    until = time.monotonic() + PATIENCE
    while re.search("Queued|Running", _run(clone, "dvc queue status")):
        assert time.monotonic() < until, "queued experiments did not end"
        time.sleep(3)  # a look takes a second of a core, which the experiments need


def _write() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = made(Path(folder, "project"))
        page = BLOCK.sub(lambda found: play(clone, found[0]), PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    _write()
