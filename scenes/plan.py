"""Which files there will be: the originals, their copies, their labels and their names."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.common.errors import ParamsError
from pipeline.common.randomness import Purpose, generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.common.params import SyntheticParams

    Indices = NDArray[np.int64]

COPIES_PER_GROUP = 134 / 104  # the article's set: 134 copies of 104 photos


@dataclass(frozen=True)
class Task:
    """One original and all files made of it.

    Attributes:
        index: The original's number.
        label: What it shows, 1 for emergency.
        names: The files that hold it, byte for byte the same.
        variants: The files that hold it slightly changed.
    """

    index: int
    label: int
    names: tuple[str, ...]
    variants: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """The work, and the rows (name, label) of the table in their order."""

    tasks: tuple[Task, ...]
    rows: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class _Copy:
    source: int
    label: int
    exact: bool


def make_plan(params: "SyntheticParams") -> Plan:
    """Decide on labels, copies and names.

    Raises:
        ParamsError: A copy is asked for of a label that no original has.
    """
    rng = generator(params.seed, Purpose.SYNTHETIC, 1)
    planted = params.exact_duplicates + params.near_duplicates
    wanted = round(params.emergency_fraction * params.images)
    positive = _positive_copies(params, wanted, planted)
    labels = _spread(params.images - planted, wanted - positive)
    copies = _choose_copies(rng, params, labels, positive)
    numbers = rng.permutation(params.images)
    files = [f"{number}.jpg" for number in numbers]
    tasks = _tasks(labels, copies, files)
    all_labels = [*labels, *(copy.label for copy in copies)]
    order = rng.permutation(params.images)
    return Plan(tasks, tuple((files[i], all_labels[i]) for i in order))


def _positive_copies(params: "SyntheticParams", wanted: int, planted: int) -> int:
    """How many copies are labelled 1, such that both labels keep an original where they can."""
    originals = params.images - planted
    low = max(wanted - max(originals - 1, 0), 0)
    high = max(min(wanted - 1, planted), 0)
    return int(np.clip(round(params.emergency_fraction * planted), min(low, high), high))


def _spread(count: int, positive: int) -> list[int]:
    """`count` labels of which `positive` are 1, evenly spread."""
    return [(i + 1) * positive // count - i * positive // count for i in range(count)]


def _choose_copies(
    rng: np.random.Generator, params: "SyntheticParams", labels: list[int], positive: int
) -> list[_Copy]:
    planted = params.exact_duplicates + params.near_duplicates
    copy_labels = rng.permutation([1] * positive + [0] * (planted - positive))
    shown = np.where(np.arange(planted) < params.label_conflicts, 1 - copy_labels, copy_labels)
    exact = np.arange(planted) < params.exact_duplicates
    sources = np.zeros(planted, dtype=int)
    for label in (0, 1):
        pool = rng.permutation(np.flatnonzero(np.array(labels) == label))
        repeated, varied = exact & (shown == label), ~exact & (shown == label)
        if len(pool) == 0 and (repeated | varied).any():
            raise ParamsError(
                f"synthetic: no original is labelled {label} to be copied; change "
                "emergency_fraction, or set exact_duplicates, near_duplicates and "
                "label_conflicts to 0"
            )
        sources[repeated] = _grouped(rng, pool, int(repeated.sum()))
        sources[varied] = np.resize(pool[::-1], int(varied.sum()))
    return [
        _Copy(*row)
        for row in zip(sources.tolist(), copy_labels.tolist(), exact.tolist(), strict=True)
    ]


def _grouped(rng: np.random.Generator, pool: "Indices", count: int) -> "Indices":
    """The sources of `count` copies: each of some groups once, and a few of them again."""
    groups = min(int(np.ceil(count / COPIES_PER_GROUP)), len(pool))
    again = rng.integers(max(groups, 1), size=count - groups)
    return np.concatenate([pool[:groups], pool[again]])


def _tasks(labels: list[int], copies: list[_Copy], files: list[str]) -> tuple[Task, ...]:
    same: list[list[str]] = [[name] for name in files[: len(labels)]]
    varied: list[list[str]] = [[] for _ in labels]
    for copy, name in zip(copies, files[len(labels) :], strict=True):
        (same if copy.exact else varied)[copy.source].append(name)
    return tuple(Task(i, label, tuple(same[i]), tuple(varied[i])) for i, label in enumerate(labels))
