"""What the split found and did, and what a plain random split would have done."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from pipeline.dataset.labels import SPLITS, USED_SPLITS, Assigned
from pipeline.dataset.splitting import Division, Group
from pipeline.params import SplitParams
from pipeline.randomness import Purpose, generator

RANDOM_SPLITS = 100  # over which leaks are averaged


class CopyGroup(TypedDict):
    """Images that are copies of one another, as the audit tells of them.

    Attributes:
        group: Its name in `split.csv`.
        kind: `exact` where all files have the same bytes, else `near`.
        split: Where it went.
        images: The label of each image.
    """

    group: str
    kind: str
    split: str
    images: dict[str, str]


def audit(
    division: Division, sha256: Sequence[str], classes: Sequence[str], params: SplitParams
) -> dict[str, Any]:
    """Account for a split.

    Args:
        division: The split.
        sha256: Content hash of each image, in the order of `division.rows`.
        classes: Names of the classes, in their order.
        params: What was asked for.

    Returns:
        For JSON: numbers of images, copies and conflicts, counts per split and class, the leaks of
        a plain random split, and every group of copies.
    """
    groups = [group for group in division.groups if len(group.members) > 1]
    conflicts = [group for group in groups if group.conflicting]
    return {
        "images": len(division.rows),
        "exact_copies": _exact_copies(sha256),
        "near_copies": _size([group for group in groups if _kind(group, sha256) == "near"]),
        "conflicts": _size(conflicts) | {"action": params.conflicting_labels},
        "counts": _counts(division.rows, classes),
        "leaks": leaking(
            _group_numbers(division.rows), np.array([row.split for row in division.rows])
        ),
        "leaks_of_random_splits": _random_leaks(division, params),
        "groups": [_describe(group, division.rows, sha256) for group in groups],
    }


def leaking(group_of: npt.NDArray[np.int64], splits: npt.NDArray[np.str_]) -> int:
    """Count the test images that have a copy in train.

    Args:
        group_of: int64 [N], number of the group of copies that each image belongs to.
        splits: str [N], the split of each image.
    """
    trained = np.unique(group_of[splits == "train"])
    return int(np.isin(group_of[splits == "test"], trained).sum())


def _exact_copies(sha256: Sequence[str]) -> dict[str, int]:
    repeated = [count for count in Counter(sha256).values() if count > 1]
    return {"groups": len(repeated), "files": sum(repeated)}


def _size(groups: Sequence[Group]) -> dict[str, int]:
    return {"groups": len(groups), "files": sum(len(group.members) for group in groups)}


def _kind(group: Group, sha256: Sequence[str]) -> str:
    return "exact" if len({sha256[index] for index in group.members}) == 1 else "near"


def _counts(rows: Sequence[Assigned], classes: Sequence[str]) -> dict[str, dict[str, int]]:
    counts = Counter((row.split, row.label) for row in rows)
    return {split: {name: counts[split, name] for name in classes} for split in SPLITS}


def _random_leaks(division: Division, params: SplitParams) -> dict[str, float]:
    """The leaks of splits that shuffle the images, the first of them with the seed as it is."""
    group_of = _group_numbers(division.rows)
    leaks = [leaking(group_of, _shuffled(len(group_of), params, i)) for i in range(RANDOM_SPLITS)]
    return {
        "splits": RANDOM_SPLITS,
        "first": leaks[0],
        "mean": float(np.mean(leaks)),
        "least": min(leaks),
        "most": max(leaks),
    }


def _group_numbers(rows: Sequence[Assigned]) -> npt.NDArray[np.int64]:
    numbers = np.unique([row.group for row in rows], return_inverse=True)[1]
    return np.asarray(numbers, dtype=np.int64)


def _shuffled(count: int, params: SplitParams, index: int) -> npt.NDArray[np.str_]:
    edges = [round(count * params.train), round(count * (params.train + params.validation))]
    order = generator(params.seed, Purpose.SPLIT, index).permutation(count)
    return np.array(USED_SPLITS)[np.searchsorted(edges, order, side="right")]


def _describe(group: Group, rows: Sequence[Assigned], sha256: Sequence[str]) -> CopyGroup:
    members = [rows[index] for index in group.members]
    return {
        "group": group.name,
        "kind": _kind(group, sha256),
        "split": members[0].split,
        "images": {row.image: row.label for row in members},
    }
