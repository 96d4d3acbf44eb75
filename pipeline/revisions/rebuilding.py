"""Making a revision anew: a clone of that commit alone, with nothing of what was made before."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.common import paths
from pipeline.common.errors import RevisionError
from pipeline.revisions.git import environment, git

LOCK = Path("dvc.lock")
STDERR = 2  # the file, whatever `sys.stderr` stands for


@contextmanager
def clone(root: Path, commit: str) -> Iterator[Path]:
    """A temporary clone of a commit, without its lock, and with an empty cache.

    Args:
        root: Of the project.
        commit: Its full hash; it need not be on a branch.

    Yields:
        The clone's folder, which is gone afterwards.

    Raises:
        RevisionError: The commit was made from files that are not on this machine.
    """
    with tempfile.TemporaryDirectory(prefix="bluelight-") as temporary:
        folder = Path(temporary) / "clone"
        git(Path(temporary), "init", "--quiet", folder.name)
        git(folder, "fetch", "--quiet", "--depth=1", str(root), commit)
        git(folder, "checkout", "--quiet", "--detach", "FETCH_HEAD")
        _check_source(folder)
        (folder / LOCK).unlink(missing_ok=True)
        (folder / paths.ENVIRONMENT).unlink(missing_ok=True)
        # A revision, or the machine, may name a cache that is shared: this one must be empty.
        local = "[cache]\n    dir = cache\n[core]\n    analytics = false\n"
        (folder / ".dvc/config.local").write_text(local, encoding="utf-8")
        yield folder


def reproduce(folder: Path, stages: Sequence[str]) -> bool:
    """Run the pipeline of a clone with this Python; what it prints goes to standard error.

    Args:
        folder: Of the clone.
        stages: These, and what they need; all where there are none.

    Returns:
        Whether it ran to the end.
    """
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "--no-run-cache", *stages],
        cwd=folder,
        env=_environment(folder),
        stdout=STDERR,
        check=False,
    )
    return done.returncode == 0


def _environment(folder: Path) -> dict[str, str]:
    """Stages are started as `python`: that must be this one; DVC must find nothing outside."""
    beside = folder.parent
    return environment() | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder),
        "DVC_SITE_CACHE_DIR": str(beside / "site"),
        "DVC_GLOBAL_CONFIG_DIR": str(beside / "global"),
        "DVC_SYSTEM_CONFIG_DIR": str(beside / "system"),
    }


def _check_source(folder: Path) -> None:
    """A local source is a link in git, which leads nowhere on a machine that lacks the files."""
    link = folder / paths.SOURCE / "files"
    if link.is_symlink() and not link.exists():
        raise RevisionError(
            f"the revision was made from {link.readlink()}, which is not on this machine (or not "
            "in git, if it lies in the project), so it cannot be made again here; put the files "
            "there first"
        )
