"""Fetch a folder or archive from a git repository at one commit, with the data that DVC tracks.

git fetches neither history nor the files of other folders. In a DVC repository, what DVC tracks
comes from its remotes through DVC's own file system.
"""

import hashlib
import os
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from rich.console import Console

from pipeline.common.errors import SourceError
from pipeline.common.files import atomic_directory

FORM = "git+https://host/repository@revision#folder"
SCHEMES = ("https", "ssh", "file")
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
CLONE = ".clone"

# Set by git where a hook runs this program: they would point git at the hook's repository.
HOOK_VARIABLES = frozenset(
    {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX"}
)
# A password prompt would block the pipeline for ever.
WITHOUT_PROMPTS = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -o BatchMode=yes"}


class Address(NamedTuple):
    """A folder or archive in a repository."""

    url: str  # of the repository, as git accepts it
    revision: str  # a commit, branch or tag
    path: str  # POSIX path of a folder or archive; empty for the whole repository


def checkout(source: str, cache: Path) -> tuple[Path, str]:
    """Fetch what `source` names, or find it fetched before.

    Args:
        source: `git+https://host/repository@revision#folder`; or `git+ssh`, or `git+file`.
        cache: The folder below which checkouts are kept, by commit.

    Returns:
        The folder or archive, and its commit.

    Raises:
        SourceError: The address is malformed or names no revision; the repository, revision or
            folder is not found; or DVC cannot read the data from its remote.
    """
    address = parse(source)
    with Console(stderr=True).status(f"fetch {address.url}"):
        commit = _resolve(address)
        key = hashlib.sha256(f"{address.url} {commit} {address.path}".encode()).hexdigest()
        folder = cache / "git" / key[:16]
        name = PurePosixPath(address.path).name or "repository"
        if not folder.exists():
            with atomic_directory(folder) as partial:
                _export(address, commit, partial.resolve(), name)
    return folder / name, commit


def parse(source: str) -> Address:
    """Parse an address.

    Raises:
        SourceError: It does not have the form `git+https://host/repository@revision#folder`.
    """
    repository_at, _, path = source.removeprefix("git+").partition("#")
    scheme, _, rest = repository_at.partition("://")
    # The @ after the host's name: the one in `ssh://git@host` belongs to the host.
    host, slash, repository = rest.partition("/")
    name, _, revision = repository.rpartition("@")
    if scheme not in SCHEMES or not (slash and (name or revision)):
        raise SourceError(f"fetch.source: {source} is no address of a repository; write {FORM}")
    if not (name and revision):
        raise SourceError(
            f"fetch.source: {source} names no revision, so its data could change unnoticed; write "
            f"{FORM}, best with a full commit hash"
        )
    parts = PurePosixPath(path).parts
    if ".." in parts or path.startswith("/") or revision.startswith("-"):
        raise SourceError(
            f"fetch.source: {source} leads out of the repository; write a folder within it, as in "
            f"{FORM}"
        )
    return Address(f"{scheme}://{host}/{name}", revision, "/".join(parts))


def _resolve(address: Address) -> str:
    """Return the commit that a branch or tag points to now."""
    if COMMIT.fullmatch(address.revision):
        return address.revision
    tag, branch = f"refs/tags/{address.revision}", f"refs/heads/{address.revision}"
    listed = _git(address, "ls-remote", address.url, f"{tag}^{{}}", tag, branch)
    found = {name: commit for commit, name in map(str.split, listed.splitlines())}
    for name in (f"{tag}^{{}}", tag, branch):  # an annotated tag is an object of its own
        if name in found:
            return found[name]
    raise SourceError(
        f"fetch.source: {address.url} has no branch or tag {address.revision!r}; check it, or give "
        "a commit as its full hash"
    )


def _export(address: Address, commit: str, folder: Path, name: str) -> None:
    clone = folder / CLONE
    _git(address, "init", "--quiet", str(clone))
    _git(address, "remote", "add", "origin", address.url, at=clone)
    # A link becomes a small text file, which the check of images refuses: it could lead anywhere.
    _git(address, "config", "core.symlinks", "false", at=clone)
    options = ("--quiet", "--depth=1", "--filter=blob:none")
    _git(address, "fetch", *options, "origin", commit, at=clone)
    listed = partial(_git, address, "ls-tree", "--name-only", at=clone)
    with_dvc = ".dvc" in listed(commit).splitlines()
    if address.path and not with_dvc:
        if not listed(commit, address.path):
            raise _no_path(address, listed("-d", "-r", commit).splitlines())
        pattern = "/" + re.sub(r"([\\*?\[\]!#])", r"\\\1", address.path)
        _git(address, "sparse-checkout", "set", "--no-cone", pattern, at=clone)
    _git(address, "checkout", "--quiet", "--detach", commit, at=clone)
    if with_dvc:
        _get_with_dvc(address, commit, clone, folder / name)
    else:
        (clone / address.path).rename(folder / name)
    shutil.rmtree(folder / name / ".git", ignore_errors=True)
    shutil.rmtree(clone, ignore_errors=True)


def _no_path(address: Address, folders: list[str]) -> SourceError:
    shown = ", ".join(folders[:10]) + (", ..." if len(folders) > 10 else "")
    return SourceError(
        f"fetch.source: {address.url} has no {address.path!r} at {address.revision}; its folders "
        f"are {shown or 'none'}"
    )


def _get_with_dvc(address: Address, commit: str, clone: Path, target: Path) -> None:
    # Imported here, because DVC takes a second to import and few sources need it.
    from dvc.api import DVCFileSystem  # noqa: PLC0415

    # A repository on this machine may name its remote by a relative path, or have the data cached.
    parts = urlsplit(address.url)
    url, revision = (unquote(parts.path), commit) if parts.scheme == "file" else (str(clone), None)
    try:
        files = DVCFileSystem(url, rev=revision)
        if not files.exists(address.path):
            found = [entry.lstrip("/") for entry in files.ls("", detail=False)]
            raise _no_path(address, sorted(found))
        files.get(address.path, str(target), recursive=files.isdir(address.path))
    except SourceError:
        raise
    except Exception as error:  # each kind of remote raises errors of its own
        raise SourceError(
            f"{address.url}: DVC cannot read {address.path or 'the data'} at {commit[:10]} "
            f"({_one_line(str(error))}); check that its remote is reachable and holds the data"
        ) from error


def _git(address: Address, *arguments: str, at: Path | None = None) -> str:
    command = ["git", *(("-C", str(at)) if at else ()), *arguments]
    own = {name: value for name, value in os.environ.items() if name not in HOOK_VARIABLES}
    try:
        done = subprocess.run(
            command,
            env=WITHOUT_PROMPTS | own,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
    except FileNotFoundError:
        raise SourceError("git is not installed; install it, or download the source") from None
    except subprocess.CalledProcessError as error:
        raise SourceError(
            f"{address.url} cannot be fetched at {address.revision} ({_one_line(error.stderr)}); "
            "check the address, the revision and your access"
        ) from None
    return done.stdout


def _one_line(text: str) -> str:
    """Return git's `fatal:` line, or the last line, which says what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("fatal:")), lines[-1] if lines else "")
