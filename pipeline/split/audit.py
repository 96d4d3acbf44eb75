"""What the split found and did, and what a plain random split would have done."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from pipeline.common.params import SplitParams
from pipeline.common.randomness import Purpose, generator
from pipeline.common.tables import SPLITS, USED_SPLITS, Assigned
from pipeline.split.splitting import Division, Group

RANDOM_SPLITS = 100  # over which leaks are averaged


class DuplicateGroup(TypedDict):
    """Images that are copies of one another, as the audit tells of them.

    Attributes:
        group: Its name in `split.csv`.
        kind: `exact` where all files have the same bytes, else `near`.
        split: Where it went; several only where the publisher's own splits leak and are kept.
        images: The label of each image.
    """

    group: str
    kind: str
    split: str
    images: dict[str, str]


class PublishedAudit(TypedDict):
    """The publisher's own splits, as the audit tells of them.

    Attributes:
        kept: Whether they were kept.
        counts: Images in each.
        leaks: Test images that have a copy in train.
        leaking: Their names.
    """

    kept: bool
    counts: dict[str, int]
    leaks: int
    leaking: list[str]


def audit(
    division: Division,
    sha256: Sequence[str],
    classes: Sequence[str],
    params: SplitParams,
    published: Sequence[str] = (),
    skipped: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """Account for a split.

    Args:
        division: The split.
        sha256: Content hash of each image, in the order of `division.rows`.
        classes: Names of the classes, in their order.
        params: What was asked for.
        published: Where the publisher put each image; empty where nowhere.
        skipped: The files that fetch left out, and why.

    Returns:
        For JSON: numbers of images, copies and conflicts, size of the largest group, counts
        per split and class, the leaks of the publisher's split and of a plain random one, the files
        left out, and every group of copies.
    """
    groups = [group for group in division.groups if len(group.members) > 1]
    conflicts = [group for group in groups if group.conflicting]
    return {
        "images": len(division.rows),
        "exact_duplicates": _exact_duplicates(sha256),
        "near_duplicates": _size([group for group in groups if _kind(group, sha256) == "near"]),
        "largest_group": max((len(group.members) for group in groups), default=0),
        "conflicts": _size(conflicts) | {"action": params.conflicting_labels},
        "counts": _counts(division.rows, classes),
        "leaks": leaking(
            _group_numbers(division.rows), np.array([row.split for row in division.rows])
        ),
        "leaks_of_random_splits": _random_leaks(division, params),
        "published": _published(division, published, params) if any(published) else None,
        "skipped": list(skipped),
        "groups": [_describe(group, division.rows, sha256) for group in groups],
    }


def leaking(group_of: npt.NDArray[np.int64], splits: npt.NDArray[np.str_]) -> int:
    """Count the test images that have a copy in train.

    Args:
        group_of: int64 [N], number of the group of copies that each image belongs to.
        splits: str [N], the split of each image.
    """
    return int(_leaks(group_of, splits).sum())


def _leaks(group_of: npt.NDArray[np.int64], splits: npt.NDArray[np.str_]) -> npt.NDArray[np.bool_]:
    """Which images are in test and have a copy in train: bool [N]."""
    trained = np.unique(group_of[splits == "train"])
    return np.asarray(np.isin(group_of, trained) & (splits == "test"), dtype=np.bool_)


def _published(division: Division, published: Sequence[str], params: SplitParams) -> PublishedAudit:
    """Of the publisher's splits with every image in place, whatever was done with it since."""
    leaks = _leaks(_group_numbers(division.rows), np.array(published))
    names = [row.image for row, leak in zip(division.rows, leaks, strict=True) if leak]
    counts = Counter(published)
    return {
        "kept": params.published == "keep",
        "counts": {split: counts[split] for split in USED_SPLITS},
        "leaks": len(names),
        "leaking": sorted(names),
    }


def _exact_duplicates(sha256: Sequence[str]) -> dict[str, int]:
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


def _describe(group: Group, rows: Sequence[Assigned], sha256: Sequence[str]) -> DuplicateGroup:
    members = [rows[index] for index in group.members]
    return {
        "group": group.name,
        "kind": _kind(group, sha256),
        "split": ", ".join(name for name in SPLITS if name in {row.split for row in members}),
        "images": {row.image: row.label for row in members},
    }
