"""The environment of a revision: the libraries it locks, and what its stages ran on."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from pipeline.common import paths
from pipeline.common.environment import Facts, by_stage
from pipeline.common.errors import MissingOutputError
from pipeline.common.files import flatten
from pipeline.revisions.revision import Revision, changed_keys


@dataclass(frozen=True)
class Change:
    """A value in the first and the second revision; None where there is none."""

    old: Any
    new: Any


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Change]:
    """Return the values that differ, old and new, by key."""
    return {key: Change(old.get(key), new.get(key)) for key in changed_keys(old, new)}


def locked_versions(revision: Revision, *, here: bool = False) -> dict[str, str]:
    """Return the versions in `requirements.lock` by library.

    Args:
        revision: Which; nothing is returned if it has no such file.
        here: Only what this machine and Python would install. Otherwise alternatives for other
            machines are joined, as in `1.2 or 1.3`.
    """
    try:
        lock = revision.read(Path("requirements.lock")).decode()
    except MissingOutputError:
        return {}
    found: dict[str, list[str]] = {}
    for line in lock.splitlines():
        if "==" in line and not line.startswith((" ", "#")):
            pin = Requirement(line.rstrip(" \\"))
            if not here or pin.marker is None or pin.marker.evaluate():
                found.setdefault(pin.name, []).append(str(pin.specifier).removeprefix("=="))
    return {name: " or ".join(versions) for name, versions in found.items()}


def unlocked_libraries(revision: Revision) -> dict[str, Change]:
    """Return the libraries whose installed version is not the locked one: locked, installed."""
    found: dict[str, Change] = {}
    for name, locked in locked_versions(revision, here=True).items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            installed = "not installed"
        # A local version such as 2.11.0+cpu is the same release.
        if installed.partition("+")[0] != locked.partition("+")[0]:
            found[name] = Change(locked, installed)
    return found


def recorded(revision: Revision) -> dict[str, Facts]:
    """Return what each stage ran on; nothing if the revision is older than that record."""
    try:
        return by_stage(revision.read_json(paths.ENVIRONMENT))
    except MissingOutputError:
        return {}


def changed_facts(old: Mapping[str, Facts], new: Mapping[str, Facts]) -> dict[str, Change]:
    """Return what changed for stages recorded in both, old and new value by dotted name."""
    found: dict[str, Change] = {}
    for stage in old.keys() & new.keys():
        found |= changes(flatten(old[stage]), flatten(new[stage]))
    return dict(sorted(found.items()))
