"""The environment of a revision: which libraries it locks, and what its stages ran on."""

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.markers import Marker

from pipeline.common import paths
from pipeline.common.environment import Facts, by_stage
from pipeline.common.errors import MissingOutputError
from pipeline.revisions.revisions import Revision, leaves

Pair = tuple[Any, Any]

REQUIREMENTS = Path("requirements.lock")

PIN = re.compile(r"^([\w.-]+)(?:\[[^\]]*\])?==([^\s;]+)\s*(?:;\s*(.*?))?\s*\\?$", re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    """Every pinned version by library; where markers choose between versions, all of them.

    Args:
        lock: Content of `requirements.lock`.
    """
    found: dict[str, list[str]] = {}
    for name, pinned, _ in PIN.findall(lock):
        found.setdefault(name, []).append(pinned)
    return {name: " or ".join(versions) for name, versions in found.items()}


def pins_here(lock: str) -> dict[str, str]:
    """The pinned version by library of those that this machine and Python would install."""
    return {
        name: pinned
        for name, pinned, marker in PIN.findall(lock)
        if not marker or Marker(marker).evaluate()
    }


def differing(pinned: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Libraries whose installed version is not the pinned one: (pinned, installed) by name."""
    installed = {name: _installed(name) for name in pinned}
    return {
        name: (wanted, installed[name])
        for name, wanted in pinned.items()
        if installed[name].partition("+")[0] != wanted.partition("+")[0]
    }


def recorded(revision: Revision) -> dict[str, Facts]:
    """What each stage ran on; nothing where the revision is older than that record."""
    try:
        return by_stage(revision.read_json(paths.ENVIRONMENT))
    except MissingOutputError:
        return {}


def moved(before: Mapping[str, Facts], after: Mapping[str, Facts]) -> dict[str, Pair]:
    """What a stage ran on otherwise: (then, now) by dotted name, over all stages of both.

    Args:
        before: What `recorded` gave of one revision.
        after: Of another.
    """
    found: dict[str, Pair] = {}
    for stage in before.keys() & after.keys():
        then, now = (dict(leaves(facts[stage])) for facts in (before, after))
        names = (name for name in then | now if then.get(name) != now.get(name))
        found |= {name: (then.get(name), now.get(name)) for name in names}
    return dict(sorted(found.items()))


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
