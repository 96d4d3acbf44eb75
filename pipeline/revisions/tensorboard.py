"""TensorBoard logs of several revisions side by side, a name for each."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pipeline.common import paths
from pipeline.common.errors import RevisionError
from pipeline.common.files import atomic_directory
from pipeline.revisions.revision import WORKSPACE, Revision, is_within

LOGS = Path("logs")  # outputs below it are TensorBoard's
STORE = paths.CACHE / "logs"  # a folder for each commit, by hash
VIEW = paths.CACHE / "tensorboard"  # what TensorBoard is given: links into the store


def gather(root: Path, revisions: Sequence[Revision], kind: str) -> Path:
    """Collect the logs of revisions beside the workspace's, which are shown as they grow.

    Destructive: replaces the folder of an earlier call, whose logs stay in the store.

    Args:
        root: Of the project.
        revisions: Whose logs to show.
        kind: Which folder in `logs/`: `train`, or one of the comparison of techniques.

    Returns:
        A folder for TensorBoard: `workspace` in it, and one folder for each revision.

    Raises:
        MissingOutputError: Neither cache nor remote has the logs.
        RevisionError: There are no logs to show.
    """
    folders = {}
    if (root / LOGS / kind).is_dir():
        folders[WORKSPACE] = root / LOGS / kind
    for revision in revisions:
        if revision.commit is not None:
            # The name alone would not do: a branch moves on.
            name = revision.name.replace("/", "_")
            run = f"{name}-{revision.short}" if revision.is_named else revision.short
            folders[run] = _store(root, revision, LOGS / kind)
    if not any(any(folder.rglob("*tfevents*")) for folder in folders.values()):
        raise RevisionError(f"no logs to show in {LOGS / kind}; `dvc repro` makes them")
    with atomic_directory(root / VIEW) as view:
        for name, folder in folders.items():
            (view / name).symlink_to(folder.resolve())
    return root / VIEW


def show(folder: Path, port: int) -> NoReturn:
    """Replace this process by TensorBoard, so that whatever ends this process ends it."""
    logs = [f"--logdir={folder}", f"--port={port}"]
    os.execv(sys.executable, [sys.executable, "-m", "tensorboard.main", *logs])  # noqa: S606


def _store(root: Path, revision: Revision, logs: Path) -> Path:
    """Return the folder with a commit's logs, copied there on first use."""
    store = root / STORE / str(revision.commit)
    outputs = [path for path in revision.hashes if is_within(path, logs.as_posix())]
    if not outputs:
        raise RevisionError(f"{revision.title} has no output in {logs}")
    for path in outputs:
        target = store / Path(path).relative_to(LOGS)
        if not target.is_dir():
            with atomic_directory(target) as partial:
                partial.rmdir()  # DVC would copy into a folder that exists
                revision.copy_output(path, partial)
    return store / logs.relative_to(LOGS)
