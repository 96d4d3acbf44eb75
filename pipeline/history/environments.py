"""What a lock file of libraries says: which versions, and which are installed here."""

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.markers import Marker

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


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
