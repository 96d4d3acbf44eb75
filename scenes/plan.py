"""Decide which files there will be: originals, their duplicates, labels and names."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenes.randomness import Stream, generator

Indices = NDArray[np.int64]

EXACT_DUPLICATES_PER_GROUP = 134 / 104  # in the article's data: 134 duplicates of 104 photos


@dataclass(frozen=True)
class DatasetSpec:
    """A data set to draw; every byte of it follows from these values.

    Attributes:
        seed: Another seed gives other photos.
        images: Number of files, duplicates included.
        size: Pixels a side.
        emergency_fraction: Share of the files labelled as emergency vehicles.
        exact_duplicates: Files that repeat another byte for byte.
        near_duplicates: Files that show the same as another, slightly changed.
        label_conflicts: Exact duplicates whose label contradicts the original's.
    """

    seed: int
    images: int
    size: int
    emergency_fraction: float
    exact_duplicates: int = 0
    near_duplicates: int = 0
    label_conflicts: int = 0


@dataclass(frozen=True)
class Original:
    """A photo to draw, and the files made of it.

    Attributes:
        index: Number of the photo.
        label: 1 for an emergency vehicle, 0 for another one.
        names: The files with the photo's bytes: one, and its exact duplicates.
        near_duplicates: The files that hold it slightly changed.
    """

    index: int
    label: int
    names: tuple[str, ...]
    near_duplicates: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """The originals to draw, and the rows (name, label) of the table in their order."""

    originals: tuple[Original, ...]
    rows: tuple[tuple[str, int], ...]


def make_plan(spec: DatasetSpec) -> Plan:
    """Choose labels, duplicates and names.

    Raises:
        ValueError: A duplicate is asked for of a label that no original has.
    """
    rng = generator(spec.seed, Stream.PLAN)
    planted = spec.exact_duplicates + spec.near_duplicates
    wanted = round(spec.emergency_fraction * spec.images)
    positive = _positive_duplicates(spec, wanted, planted)
    labels = _spread(spec.images - planted, wanted - positive)
    sources, duplicate_labels = _choose_sources(rng, spec, labels, positive)
    names = [f"{number}.jpg" for number in rng.permutation(spec.images)]

    same = [[name] for name in names[: len(labels)]]
    changed: list[list[str]] = [[] for _ in labels]
    for place, (source, name) in enumerate(zip(sources, names[len(labels) :], strict=True)):
        (same if place < spec.exact_duplicates else changed)[source].append(name)
    originals = tuple(
        Original(index, label, tuple(same[index]), tuple(changed[index]))
        for index, label in enumerate(labels)
    )
    all_labels = [*labels, *duplicate_labels]
    order = rng.permutation(spec.images)
    return Plan(originals, tuple((names[i], all_labels[i]) for i in order))


def _positive_duplicates(spec: DatasetSpec, wanted: int, planted: int) -> int:
    """Count the duplicates to label 1, leaving both labels an original where possible."""
    originals = spec.images - planted
    low = max(wanted - max(originals - 1, 0), 0)
    high = max(min(wanted - 1, planted), 0)
    return int(np.clip(round(spec.emergency_fraction * planted), min(low, high), high))


def _spread(count: int, positive: int) -> list[int]:
    """Return `count` labels, `positive` of which are 1, evenly spread."""
    return [(i + 1) * positive // count - i * positive // count for i in range(count)]


def _choose_sources(
    rng: np.random.Generator, spec: DatasetSpec, labels: list[int], positive: int
) -> tuple[list[int], list[int]]:
    """Return the original and the label of each duplicate, the exact ones first."""
    planted = spec.exact_duplicates + spec.near_duplicates
    given = rng.permutation([1] * positive + [0] * (planted - positive))
    place = np.arange(planted)
    shown = np.where(place < spec.label_conflicts, 1 - given, given)
    exact = place < spec.exact_duplicates
    sources = np.zeros(planted, dtype=int)
    for label in (0, 1):
        pool = rng.permutation(np.flatnonzero(np.array(labels) == label))
        repeated, changed = exact & (shown == label), ~exact & (shown == label)
        if len(pool) == 0 and (repeated | changed).any():
            raise ValueError(
                f"no original is labelled {label} to make duplicates of; change "
                "emergency_fraction, or set exact_duplicates, near_duplicates and "
                "label_conflicts to 0"
            )
        sources[repeated] = _grouped(rng, pool, int(repeated.sum()))
        sources[changed] = np.resize(pool[::-1], int(changed.sum()))
    return sources.tolist(), given.tolist()


def _grouped(rng: np.random.Generator, pool: Indices, count: int) -> Indices:
    """Return the originals of `count` exact duplicates: one for most groups, more for a few."""
    groups = min(int(np.ceil(count / EXACT_DUPLICATES_PER_GROUP)), len(pool))
    again = rng.integers(max(groups, 1), size=count - groups)
    return np.concatenate([pool[:groups], pool[again]])
