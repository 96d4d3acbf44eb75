"""Whether a revision can be made again: its outputs, made anew, against its own `dvc.lock`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pipeline.common.environment import Facts
from pipeline.common.errors import MissingOutputError, RevisionError
from pipeline.revisions.environments import (
    REQUIREMENTS,
    Pair,
    differing,
    moved,
    pins_here,
    recorded,
)
from pipeline.revisions.numbers import largest_difference
from pipeline.revisions.rebuilding import clone, reproduce
from pipeline.revisions.revisions import WORKSPACE, Revision, open_revision

SHOWN = 5  # files of an output that differ
NOT_AT_HAND = "the original is not at hand, so by how much cannot be told"


class Status(StrEnum):
    """How an output compares."""

    EQUAL = "equal"
    DIFFERENT = "different"
    MISSING = "missing"


@dataclass(frozen=True)
class Output:
    """An output of the revision.

    Attributes:
        path: Where it is.
        status: How it compares.
        details: What is known of a difference, a line each.
    """

    path: str
    status: Status
    details: list[str]


@dataclass(frozen=True)
class Verification:
    """A revision made anew.

    Attributes:
        revision: Which.
        completed: Whether the pipeline ran to its end.
        outputs: All that were to be made.
        stale: Stages whose lock was made with other params, code or inputs than the commit has.
        made: What each stage ran on when the lock was made; empty where that is not recorded.
        rebuilt: What it ran on now.
        libraries: Those whose installed version is not the revision's: (pinned, installed).
        threads: Of a training step, by the revision's params; None where they do not say.
        portable: Whether its params have made results the same on other processors.
    """

    revision: Revision
    completed: bool
    outputs: list[Output]
    stale: list[str]
    made: dict[str, Facts]
    rebuilt: dict[str, Facts]
    libraries: dict[str, tuple[str, str]]
    threads: int | None
    portable: bool

    @property
    def holds(self) -> bool:
        """Whether every output is equal."""
        return self.completed and all(o.status is Status.EQUAL for o in self.outputs)

    @property
    def moved(self) -> dict[str, Pair]:
        """What is otherwise now than when the lock was made, by name: (then, now)."""
        return moved(self.made, self.rebuilt)


def verify(root: Path, revision: Revision, stages: Sequence[str]) -> Verification:
    """Make a revision anew in a temporary clone with an empty cache, and compare.

    The clone's pipeline runs with the Python and libraries of this process, whatever the
    revision's lock file of libraries says.

    Args:
        root: Of the project.
        revision: A commit.
        stages: What to make: these, and what they need; everything where there are none.

    Raises:
        RevisionError: It is the workspace, its source is not on this machine, or it has no such
            stage.
    """
    if revision.commit is None:
        raise RevisionError("the workspace is no commit; commit it, then verify HEAD")
    wanted, params = revision.outputs_of(stages), revision.read_params()
    with clone(root, revision.commit) as folder:
        completed = reproduce(folder, stages)
        rebuilt = open_revision(folder, WORKSPACE)
        return Verification(
            revision=revision,
            completed=completed,
            outputs=_outputs(wanted, revision, rebuilt),
            stale=revision.stale_stages(),
            made=recorded(revision),
            rebuilt=recorded(rebuilt),
            libraries=_libraries(revision),
            threads=params.get("train.threads"),
            portable=params.get("train.portable", False),
        )


def _outputs(paths: Sequence[str], revision: Revision, rebuilt: Revision) -> list[Output]:
    locked, made = revision.hashes, rebuilt.hashes
    return [_output(path, locked[path], made.get(path, ""), revision, rebuilt) for path in paths]


def _output(path: str, locked: str, made: str, revision: Revision, rebuilt: Revision) -> Output:
    if not locked:
        why = "not in dvc.lock: `dvc repro`, then commit the lock"
        return Output(path, Status.MISSING, [why])
    if not made:
        return Output(path, Status.MISSING, ["it was not made"])
    if locked == made:
        return Output(path, Status.EQUAL, [])
    return Output(path, Status.DIFFERENT, _details(path, revision, rebuilt))


def _details(path: str, revision: Revision, rebuilt: Revision) -> list[str]:
    """Which files of an output differ, and by how much."""
    before, after = (_listing(path, each) for each in (revision, rebuilt))
    if not before:
        return [NOT_AT_HAND]
    names = sorted(name for name in before | after if before.get(name) != after.get(name))
    lines = [_detail(path, name, before, after, revision, rebuilt) for name in names[:SHOWN]]
    more = len(names) - SHOWN
    return [*lines, f"and {more:,} more files"] if more > 0 else lines


def _listing(path: str, revision: Revision) -> dict[str, str]:
    """The hash of each file of an output by its name in the folder; `.` for a file by itself."""
    recorded_hash = revision.hashes[path]
    is_folder = recorded_hash.endswith(".dir")
    return revision.digests(Path(path)) if is_folder else {".": recorded_hash}


def _detail(
    path: str,
    name: str,
    before: Mapping[str, str],
    after: Mapping[str, str],
    revision: Revision,
    rebuilt: Revision,
) -> str:
    place = Path(path) / name
    if name not in after or name not in before:
        return f"{place}: {'not made now' if name in before else 'not made then'}"
    try:
        gap = largest_difference(place.name, revision.read(place), rebuilt.read(place))
    except MissingOutputError:
        gap = NOT_AT_HAND
    return f"{place}: {gap}" if gap else str(place)


def _libraries(revision: Revision) -> dict[str, tuple[str, str]]:
    try:
        return differing(pins_here(revision.read(REQUIREMENTS).decode()))
    except MissingOutputError:
        return {}
