"""Rebuild a commit from scratch and compare its outputs with its own `dvc.lock`.

The rebuild happens in a temporary clone with an empty cache and no `dvc.lock`, so that nothing
made before can be used. It runs with the Python and libraries of this process.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from safetensors.numpy import load

from pipeline.common import paths
from pipeline.common.environment import Facts
from pipeline.common.errors import MissingOutputError, RevisionError
from pipeline.common.files import flatten
from pipeline.revisions import revision as revisions
from pipeline.revisions.diff import changed_facts, recorded
from pipeline.revisions.render import old_to_new
from pipeline.revisions.revision import Revision, changed_keys, git

STDERR = 2  # file descriptor
SHOWN = 5  # files of an output that differ
NOT_AVAILABLE = "the original is not available, so the size of the difference is unknown"
EQUAL, DIFFERENT, MISSING = "equal", "different", "missing"


class Output(NamedTuple):
    """An output, compared: `equal`, `different` or `missing`, and a line for each difference."""

    path: str
    status: str
    details: Sequence[str] = ()


def verify(revision: Revision, stages: Sequence[str]) -> bool:
    """Rebuild a revision, and print where, every output, and what explains a difference.

    Args:
        revision: A commit; it need not be on a branch.
        stages: Names of stages to rebuild, with all that they depend on; all stages if empty.

    Returns:
        Whether the pipeline ran to its end and every output is equal.

    Raises:
        RevisionError: It is the workspace, its source is not on this machine, or there is no such
            stage.
    """
    if revision.commit is None:
        raise RevisionError("the workspace is no commit; commit it, then verify HEAD")
    wanted, params = revision.outputs_of(stages), revision.read_params()
    with _clone(revision.commit) as folder:
        completed = _reproduce(folder, stages)
        rebuilt = revisions.open_revision(revisions.WORKSPACE, folder)
        outputs = [_compare(path, revision, rebuilt) for path in wanted]
        locked_on, rebuilt_on = recorded(revision), recorded(rebuilt)
    facts = changed_facts(locked_on, rebuilt_on)
    unequal = [output.path for output in outputs if output.status != EQUAL]
    title, stale = revision.title, revision.stale_stages()
    if completed and not unequal:
        conclusion = [f"{title}: all {len(outputs)} outputs are equal"]
    else:
        conclusion = [
            f"{title}: {len(unequal)} of {len(outputs)} outputs differ: {', '.join(unequal)}"
        ]
        if not completed:
            conclusion.append("the pipeline did not run to its end: its message is above")
        if stale:
            conclusion.append(
                f"expected: params, code or data of {', '.join(stale)} changed after dvc.lock was "
                "made"
            )
        # With train.portable another processor explains nothing, but other instructions do.
        if facts.keys() - ({"processor"} if params.get("train.portable") else set()):
            conclusion.append(
                "expected: the environment is not the one that dvc.lock was made in (above), which "
                "changes at least the last bits of results"
            )
        elif completed and not stale:
            conclusion.append("no known change of the environment explains it")

    environment, table = Table.grid(padding=(0, 2)), Table.grid(padding=(0, 2))
    threads = params.get("train.threads")
    for name, lines in {
        "lock made on": _machines(locked_on) or ["not recorded in that revision"],
        "rebuilt on": _machines(rebuilt_on) or ["not recorded: the revision is too old"],
        "changed": [f"{name} {old_to_new(pair)}" for name, pair in facts.items()],
        "threads": [] if threads is None else [f"{threads} (train.threads)"],
    }.items():
        if lines:
            environment.add_row(Text(name, style="dim"), Text("\n".join(lines)))
    for output in outputs:
        style = "green" if output.status == EQUAL else "red"
        lines = [output.path, *(f"  {detail}" for detail in output.details)]
        table.add_row(Text(output.status, style=style), Text("\n".join(lines)))
    below = Padding(Text("\n".join(conclusion), style="bold"), (1, 0, 0, 0))
    Console().print(Padding(environment, (1, 0)), table, below)
    return completed and not unequal


@contextmanager
def _clone(commit: str) -> Iterator[Path]:
    """Make a temporary clone of a commit, without `dvc.lock` and with an empty cache."""
    with tempfile.TemporaryDirectory(prefix="bluelight-") as temporary:
        folder = Path(temporary) / "clone"
        git(Path(temporary), "init", "--quiet", folder.name)
        git(folder, "fetch", "--quiet", "--depth=1", str(Path.cwd()), commit)
        git(folder, "checkout", "--quiet", "--detach", "FETCH_HEAD")
        # A local source is a link, which leads nowhere on a machine without the files.
        link = folder / paths.SOURCE / "files"
        if link.is_symlink() and not link.exists():
            raise RevisionError(
                f"the revision was made from {link.readlink()}, which is not on this machine (or "
                "not in git, if it lies in the project), so it cannot be rebuilt here; put the "
                "files there first"
            )
        (folder / "dvc.lock").unlink(missing_ok=True)
        (folder / paths.ENVIRONMENT).unlink(missing_ok=True)
        # The revision or the machine may be configured to share a cache; this one must be empty.
        local = "[cache]\n    dir = cache\n[core]\n    analytics = false\n"
        (folder / ".dvc/config.local").write_text(local, encoding="utf-8")
        yield folder


def _reproduce(folder: Path, stages: Sequence[str]) -> bool:
    """Run the pipeline of a clone, printing to stderr; returns whether it ran to its end."""
    beside = folder.parent
    environment = revisions.git_environment() | {
        # Stages are started as `python`, which must be this one; DVC must find nothing outside.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder),
        "DVC_SITE_CACHE_DIR": str(beside / "site"),
        "DVC_GLOBAL_CONFIG_DIR": str(beside / "global"),
        "DVC_SYSTEM_CONFIG_DIR": str(beside / "system"),
    }
    command = [sys.executable, "-m", "dvc", "repro", "--no-run-cache", *stages]
    done = subprocess.run(command, cwd=folder, env=environment, stdout=STDERR, check=False)
    return done.returncode == 0


def _compare(path: str, revision: Revision, rebuilt: Revision) -> Output:
    """Compare one output with what the lock says."""
    locked, made = revision.hashes[path], rebuilt.hashes.get(path)
    if not locked:
        return Output(path, MISSING, ["not in dvc.lock: `dvc repro`, then commit the lock"])
    if not made:
        return Output(path, MISSING, ["it was not made"])
    if locked == made:
        return Output(path, EQUAL)
    if not locked.endswith(".dir"):
        return Output(path, DIFFERENT, [_difference(Path(path), revision, rebuilt)])
    before, after = (each.file_hashes(Path(path)) for each in (revision, rebuilt))
    if not before:
        return Output(path, DIFFERENT, [NOT_AVAILABLE])
    details = []
    for name in changed_keys(before, after):
        if name in before and name in after:
            details.append(_difference(Path(path) / name, revision, rebuilt))
        else:
            only = "original" if name in before else "rebuild"
            details.append(f"{path}/{name}: only in the {only}")
    more = [f"and {len(details) - SHOWN:,} more files"] if len(details) > SHOWN else []
    return Output(path, DIFFERENT, details[:SHOWN] + more)


def _difference(path: Path, revision: Revision, rebuilt: Revision) -> str:
    """Describe by how much a file differs, if it holds numbers."""
    try:
        size = largest_difference(path.suffix, revision.read(path), rebuilt.read(path))
    except MissingOutputError:
        size = NOT_AVAILABLE
    return f"{path}: {size}" if size else str(path)


def largest_difference(suffix: str, old: bytes, new: bytes) -> str:
    """Describe the largest difference of a number in two versions of a file of this suffix.

    The description is empty if the file holds no numbers or cannot be read.
    """
    try:
        before, after = _numbers(suffix, old), _numbers(suffix, new)
    except (ValueError, KeyError):  # damaged, or written by something else
        return ""
    if not before and not after:
        return ""
    shapes = [{name: np.shape(value) for name, value in each.items()} for each in (before, after)]
    if shapes[0] != shapes[1]:
        return "names, shapes or the number of rows differ"
    gaps = {
        name: float(np.abs(np.subtract(after[name], value, dtype=np.float64)).max(initial=0))
        for name, value in before.items()
    }
    worst = max(gaps, key=lambda name: gaps[name])
    if not gaps[worst]:
        return "no number differs"
    return f"numbers differ by at most {gaps[worst]:.2g} ({worst})"


def _numbers(suffix: str, content: bytes) -> Mapping[str, Any]:
    """The numbers in a file, by name; none in other kinds of files."""
    if suffix == ".safetensors":
        return load(content)
    if suffix == ".json":
        tree = json.loads(content)
        leaves = flatten(
            {str(i): x for i, x in enumerate(tree)} if isinstance(tree, list) else tree
        )
        return {name: value for name, value in leaves.items() if isinstance(value, int | float)}
    if suffix == ".csv":
        cells = pd.read_csv(BytesIO(content)).select_dtypes("number").stack().dropna()
        return {f"{column} of row {row}": value for (row, column), value in cells.items()}
    return {}


def _machines(stages: Mapping[str, Facts]) -> list[str]:
    """A line for each kind of machine, with its stages if there are several kinds."""
    kinds: dict[str, list[str]] = {}
    for stage, facts in stages.items():
        words = [f"Python {facts['python']}", facts["system"], facts["processor"]]
        words += facts["instructions"][-1:]
        words += [f"{name}={value}" for name, value in facts["variables"].items()]
        kinds.setdefault(", ".join(filter(None, words)), []).append(stage)
    several = len(kinds) > 1
    return [kind + f": {', '.join(names)}" * several for kind, names in kinds.items()]
