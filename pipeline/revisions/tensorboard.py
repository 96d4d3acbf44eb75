"""TensorBoard's logs of several revisions side by side, one name for each."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pipeline.common import paths
from pipeline.common.errors import RevisionError
from pipeline.common.files import atomic_directory
from pipeline.revisions.revisions import WORKSPACE, Revision, within

LOGS = Path("logs")  # outputs below it are TensorBoard's
STORE = paths.CACHE / "logs"  # a folder for each commit, by its hash
VIEW = paths.CACHE / "tensorboard"  # what TensorBoard is shown: links into the store


def gather(root: Path, revisions: Sequence[Revision]) -> Path:
    """Put the logs of revisions beside the workspace's, which are seen as they grow.

    Destructive: what was gathered before is taken from the view; the store keeps it.

    Args:
        root: Of the project.
        revisions: Whose logs to show.

    Returns:
        The folder to give to TensorBoard: `workspace`, and one for each revision.

    Raises:
        MissingOutputError: Logs are in no place that can be reached.
        RevisionError: There is nothing to show.
    """
    places = {_run_name(each): _stored(root, each) for each in revisions if each.commit}
    if (root / LOGS).is_dir():
        places = {WORKSPACE: root / LOGS} | places
    if not any(any(place.rglob("*tfevents*")) for place in places.values()):
        raise RevisionError(f"no logs to show in {LOGS}; `dvc repro` makes them")
    with atomic_directory(root / VIEW) as folder:
        for name, place in places.items():
            (folder / name).symlink_to(place.resolve())
    return root / VIEW


def show(folder: Path, port: int) -> NoReturn:
    """Become TensorBoard, so that what ends this process ends it.

    Args:
        folder: Of the logs.
        port: To serve on.
    """
    logs = [f"--logdir={folder}", f"--port={port}"]
    os.execv(sys.executable, [sys.executable, "-m", "tensorboard.main", *logs])  # noqa: S606


def _run_name(revision: Revision) -> str:
    """As the user gave it, and the commit, which tells what a branch was then."""
    if not revision.is_named:
        return revision.short
    return f"{revision.name.replace('/', '_')}-{revision.short}"


def _stored(root: Path, revision: Revision) -> Path:
    """The folder that holds a commit's logs, filled at first use."""
    place = root / STORE / str(revision.commit)
    outputs = [path for path in revision.hashes if within(path, LOGS.as_posix())]
    if not outputs:
        raise RevisionError(f"{revision.title} has no output in {LOGS}")
    if not place.is_dir():
        with atomic_directory(place) as folder:
            for path in outputs:
                target = folder / Path(path).relative_to(LOGS)
                target.parent.mkdir(parents=True, exist_ok=True)
                revision.copy_output(path, target)
    return place
