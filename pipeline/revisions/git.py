"""The few git commands that a comparison needs; none of them writes to the index."""

import os
import subprocess
from pathlib import Path

from pipeline.common.errors import RevisionError


def environment() -> dict[str, str]:
    """The environment without git's own variables, which in a hook name another repository."""
    return {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}


def git(folder: Path, *arguments: str, given: str = "") -> str:
    """Run git in a folder.

    Args:
        folder: Where.
        arguments: After `git`.
        given: What it reads from standard input.

    Returns:
        What it printed.

    Raises:
        RevisionError: It failed; the message has its last line.
    """
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=environment(),
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise RevisionError(f"`git {' '.join(arguments)}` failed: {reason}")
    return done.stdout


def changed_files(root: Path, old: str | None, new: str | None, *folders: str) -> list[str]:
    """Files that differ between two commits, or between a commit and the workspace.

    Not by `git diff`, which notes in the index which files it found unchanged.

    Args:
        root: Of the project.
        old: A commit; None is the workspace.
        new: The same.
        folders: Where to look.

    Returns:
        Paths relative to `root`, in order; in the workspace, files that are new to git count too.
    """
    before, after = (_contents(root, commit, *folders) for commit in (old, new))
    return sorted(path for path in before | after if before.get(path) != after.get(path))


def _contents(root: Path, commit: str | None, *folders: str) -> dict[str, str]:
    """Git's hash of each file, by path."""
    if commit is None:
        return _workspace(root, *folders)
    listed = git(root, "ls-tree", "-r", "-z", commit, "--", *folders)
    entries = (entry.split("\t", 1) for entry in filter(None, listed.split("\0")))
    return {path: fields.split()[2] for fields, path in entries}


def _workspace(root: Path, *folders: str) -> dict[str, str]:
    kinds = ("--cached", "--others", "--exclude-standard", "--deduplicate")
    listed = git(root, "ls-files", *kinds, "-z", "--", *folders)
    paths = [path for path in listed.split("\0") if path and (root / path).is_file()]
    hashes = git(root, "hash-object", "--stdin-paths", given="\n".join(paths))
    return dict(zip(paths, hashes.split(), strict=True))
