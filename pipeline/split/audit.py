"""What the split found and did, as numbers and as one picture."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from pipeline.common.datasets import SPLITS, USED_SPLITS
from pipeline.common.drawing import FAINT, INK, PAPER, WRONG, image_grid, write_text
from pipeline.common.images import Pixels, decode
from pipeline.common.params import SplitParams
from pipeline.common.randomness import Purpose, generator

RANDOM_SPLITS = 100  # over which leaks are averaged
DOUBTFUL = 40  # pairs listed for a person to look at
RATIO_DIGITS = 3  # further ones may differ between processors


def audit(
    rows: pd.DataFrame,
    images: pd.DataFrame,
    pairs: pd.DataFrame,
    classes: Sequence[str],
    params: SplitParams,
    skipped: Sequence[dict[str, str]] = (),
) -> dict[str, Any]:
    """Account for a split.

    Args:
        rows: `split.csv`.
        images: `labels.csv`, in the same order.
        pairs: The pairs that are alike, as `find_duplicates` returns them.
        classes: Names of the classes, in their order.
        params: What was asked for.
        skipped: The files that fetch left out, and why.

    Returns:
        For JSON: the numbers of images, duplicates and conflicts, the size of the largest group,
        counts per split and class, the leaks of this split, of the publisher's and of plain random
        ones, the files left out, and every group of duplicates: its name in `split.csv`, its kind
        (`exact` where all files have the same bytes, otherwise `near`), its split (several only
        where a published split leaks and is kept), the ratio of its most doubtful pair (0 where
        none was measured) and the label of each of its images. `doubtful` lists the pairs nearest
        to the limit, the most doubtful first: those grouped, then those not grouped.
    """
    grouped = pairs[pairs["grouped"]]
    ratios = grouped.groupby(rows["group"].to_numpy()[grouped["image"]])["ratio"].max()
    repeated = rows.assign(sha256=images["sha256"])[rows["group"].duplicated(keep=False)]
    groups: list[dict[str, Any]] = []
    for name, members in repeated.sort_values("image").groupby("group", sort=False):
        present = set(members["split"])
        groups.append(
            {
                "group": name,
                "kind": "exact" if members["sha256"].nunique() == 1 else "near",
                "split": ", ".join(split for split in SPLITS if split in present),
                "ratio": round(float(ratios.get(name, 0)), RATIO_DIGITS),
                "images": dict(zip(members["image"], members["label"], strict=True)),
            }
        )
    counts = Counter(zip(rows["split"], rows["label"], strict=True))
    contents = images["sha256"].value_counts()
    numbers = np.unique(rows["group"], return_inverse=True)[1]
    return {
        "images": len(rows),
        "exact_duplicates": {
            "groups": int((contents > 1).sum()),
            "files": int(contents[contents > 1].sum()),
        },
        "near_duplicates": _total([group for group in groups if group["kind"] == "near"]),
        "largest_group": max((len(group["images"]) for group in groups), default=0),
        "conflicts": _total(list(filter(conflicting, groups)))
        | {"action": params.conflicting_labels},
        "counts": {split: {name: counts[split, name] for name in classes} for split in SPLITS},
        "leaks": int(leaking(numbers, rows["split"]).sum()),
        "leaks_of_random_splits": _random_leaks(numbers, params),
        "published": _published(numbers, images, params),
        "skipped": list(skipped),
        "doubtful": _doubtful(pairs, images),
        "groups": groups,
    }


def leaking(groups: npt.NDArray[np.int64], splits: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Return which test images have a duplicate in train.

    Args:
        groups: int64 [N], number of the group of duplicates that each image belongs to.
        splits: str [N], the split of each image.

    Returns:
        bool [N].
    """
    places = np.asarray(splits, dtype=str)
    trained = np.unique(groups[places == "train"])
    return np.asarray(np.isin(groups, trained) & (places == "test"), dtype=np.bool_)


def conflicting(group: dict[str, Any]) -> bool:
    """Return whether the images of a group, as `audit` describes it, disagree on their label."""
    return len(set(group["images"].values())) > 1


def _total(groups: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"groups": len(groups), "files": sum(len(group["images"]) for group in groups)}


def _doubtful(pairs: pd.DataFrame, images: pd.DataFrame) -> list[dict[str, Any]]:
    grouped = pairs[pairs["grouped"]].sort_values("ratio", ascending=False, kind="stable")
    others = pairs[~pairs["grouped"]].sort_values("ratio", kind="stable")
    shown = pd.concat([grouped[: DOUBTFUL * 3 // 4], others[: DOUBTFUL // 4]])
    names, labels = images["image"].to_numpy(), images["label"].to_numpy()
    return [
        {
            "ratio": round(float(pair.ratio), RATIO_DIGITS),
            "grouped": bool(pair.grouped),
            "images": {names[i]: labels[i] for i in sorted((pair.image, pair.other))},
        }
        for pair in shown.itertuples()
    ]


def _published(
    numbers: npt.NDArray[np.int64], images: pd.DataFrame, params: SplitParams
) -> dict[str, Any] | None:
    """Account for the publisher's splits with every image in place, whether they are kept or not.

    None where the publisher has no splits.
    """
    if not images["split"].any():
        return None
    leaks = leaking(numbers, images["split"])
    counts = Counter(images["split"])
    return {
        "kept": params.published == "keep",
        "counts": {split: counts[split] for split in USED_SPLITS},
        "leaks": int(leaks.sum()),
        "leaking": sorted(images["image"][leaks]),
    }


def _random_leaks(numbers: npt.NDArray[np.int64], params: SplitParams) -> dict[str, float]:
    """Count the leaks of splits that shuffle the images."""
    shares = (params.train, params.train + params.validation)
    edges = [round(len(numbers) * share) for share in shares]
    leaks = []
    for index in range(RANDOM_SPLITS):
        order = generator(params.seed, Purpose.SPLIT, index).permutation(len(numbers))
        splits = np.array(USED_SPLITS)[np.searchsorted(edges, order, side="right")]
        leaks.append(int(leaking(numbers, splits).sum()))
    return {
        "splits": RANDOM_SPLITS,
        "first": leaks[0],
        "mean": float(np.mean(leaks)),
        "least": min(leaks),
        "most": max(leaks),
    }


# ---- the picture

TILE = 96  # pixels a side of an image
GAP = 6
MARGIN = 28
LABELS = 190  # pixels wide, left of the samples
SAMPLES = 12
COLUMNS = 6  # of groups of duplicates
SHOWN_GROUPS = 30
SHOWN_CLASSES = 10
LINE = 20  # pixels high
WIDTH = LABELS + SAMPLES * (TILE + GAP) + GAP


def contact_sheet(
    folder: Path, rows: pd.DataFrame, classes: Sequence[str], groups: Sequence[dict[str, Any]]
) -> Pixels:
    """Compose a picture of samples of every class in every split, and of the duplicates found.

    Args:
        folder: The folder below which the images lie.
        rows: `split.csv`.
        classes: Names of the classes, in their order; the first ten are shown.
        groups: The groups of duplicates, as `audit` describes them; conflicting ones are shown
            first, then near-duplicates.

    Returns:
        uint8 RGB [height, width, 3].
    """
    shown = sorted(groups, key=lambda group: (not conflicting(group), group["kind"] == "exact"))
    shown = shown[:SHOWN_GROUPS]
    title = "No duplicates found"
    if groups:
        conflicts = sum(map(conflicting, groups))
        title = f"{len(groups):,} groups of duplicates, {conflicts:,} with conflicting labels"
        title += f"; the first {len(shown)}" if len(groups) > len(shown) else ""
    cards, captions = [], []
    for group in shown:
        pair = [_decode(folder, name) for name in list(group["images"])[:2]]
        cards.append(image_grid(pair, 2, tile=TILE, gap=GAP))
        labels = " / ".join(sorted(set(group["images"].values())))
        facts = f"{len(group['images'])} {group['kind']}, {group['split']}"
        captions.append([(labels, WRONG if conflicting(group) else INK), (facts, FAINT)])
    parts = [_heading(f"{len(rows):,} images in three splits")]
    for split in USED_SPLITS:
        parts += [_samples(folder, rows, split, name) for name in classes[:SHOWN_CLASSES]]
    parts += [_heading(title), image_grid(cards, COLUMNS, gap=GAP, captions=captions)]
    return _stack(parts)


def _samples(folder: Path, rows: pd.DataFrame, split: str, label: str) -> Pixels:
    """Draw a row of samples of one class in one split, with its title to the left."""
    chosen = rows[(rows["split"] == split) & (rows["label"] == label)]
    title = Image.new("RGB", (LABELS, TILE + 2 * GAP), PAPER)
    lines = [(split, FAINT), (label, INK), (f"{len(chosen):,} images", FAINT)]
    for line, (text, colour) in enumerate(lines):
        write_text(title, (GAP, LINE * (line + 1)), text, size=15, colour=colour, width=LABELS)
    # The names of groups come from hashes of content: their order is a fair draw that stays.
    names = chosen.sort_values(["group", "image"]).drop_duplicates("group")["image"][:SAMPLES]
    if names.empty:
        return np.asarray(title)
    pixels = [_decode(folder, name) for name in names]
    return np.hstack([np.asarray(title), image_grid(pixels, SAMPLES, tile=TILE, gap=GAP)])


def _decode(folder: Path, name: str) -> Pixels:
    return decode((folder / name).read_bytes(), name)


def _heading(text: str) -> Pixels:
    sheet = Image.new("RGB", (WIDTH, 3 * LINE), PAPER)
    write_text(sheet, (GAP, LINE), text, size=24)
    return np.asarray(sheet)


def _stack(parts: Sequence[Pixels]) -> Pixels:
    """Stack pictures of any width, in a margin."""
    width = max(part.shape[1] for part in parts)
    rows = [
        np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=255)
        for part in parts
    ]
    edges = ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0))
    return np.pad(np.vstack(rows), edges, constant_values=255)
