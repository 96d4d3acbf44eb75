"""split: find duplicates, divide the images without leaks, and account for it."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from pipeline.common import paths
from pipeline.common.datasets import LABEL_COLUMNS, SPLITS, USED_SPLITS, read_table, write_table
from pipeline.common.drawing import (
    FAINT,
    INK,
    PAPER,
    WRONG,
    encode_png,
    image_grid,
    write_text,
)
from pipeline.common.files import atomic_file, read_json, write_json
from pipeline.common.images import Pixels, decode
from pipeline.common.params import Params, SplitParams
from pipeline.common.randomness import Purpose, generator
from pipeline.split.duplicates import find_duplicates
from pipeline.split.splitting import divide

# Above these, what was found causes a warning: so much is rarely right.
NEAR_SHARE = 0.02  # of the images, in groups of near-duplicates
GROUP_SHARE = 0.05  # of the images, in one group
GROUP = 50  # images in one group
FEW = 10  # images of which neither share causes a warning
RANDOM_SPLITS = 100  # over which leaks are averaged
DOUBTFUL = 40  # pairs listed for a person to look at
RATIO_DIGITS = 2  # further ones may differ between processors

TILE = 96  # pixels a side of an image in the picture
GAP = 6
HEADING = 28  # pixels high
SAMPLES = 12  # of each class in each split
COLUMNS = 6  # of groups of duplicates
SHOWN_GROUPS = 30
SHOWN_CLASSES = 10


def run(params: Params) -> None:
    """Write the three files in `data/split`: the assignment, the audit and a contact sheet."""
    images = read_table(paths.RAW_LABELS, LABEL_COLUMNS, text=True)
    manifest = read_json(paths.RAW_MANIFEST)
    classes = manifest["classes"]
    groups, pairs = find_duplicates(images, paths.RAW_IMAGES, params.split)
    rows = divide(images, groups, params.split)
    account = audit(rows, images, pairs, classes, params.split, manifest["skipped"])
    sheet = contact_sheet(paths.RAW_IMAGES, rows, classes, account["groups"])
    write_table(paths.SPLIT_CSV, rows.sort_values("image"))
    write_json(paths.SPLIT_AUDIT, account)
    with atomic_file(paths.SPLIT_CONTACT_SHEET) as partial:
        partial.write_bytes(encode_png(sheet))
    _summarise(account)


def _summarise(account: dict[str, Any]) -> None:
    """Print what was done, and warn of what would spoil a result."""
    counts = {split: sum(classes.values()) for split, classes in account["counts"].items()}
    sizes = ", ".join(f"{counts[split]:,} {split}" for split in USED_SPLITS)
    found = sum(len(group["images"]) for group in account["groups"]) - counts["dropped"]
    print(f"split: {sizes}; {found:,} duplicates found, {counts['dropped']:,} dropped")
    images, near = account["images"], account["near_duplicates"]["files"]
    remedy = (
        f"look at them in {paths.SPLIT_CONTACT_SHEET}, and if they differ, lower "
        "split.near_duplicate_ratio or list the pairs in split.not_duplicates"
    )
    if account["largest_group"] > min(GROUP, max(FEW, GROUP_SHARE * images)):
        largest = max(account["groups"], key=lambda group: len(group["images"]))["images"]
        _warn(
            f"{len(largest):,} of {images:,} images are one group of duplicates, "
            f"{next(iter(largest))} among them, and all go to one split; {remedy}"
        )
    if near > max(FEW, NEAR_SHARE * images):
        _warn(f"{near:,} of {images:,} images are near-duplicates of others; {remedy}")
    if account["leaks"]:
        _warn(
            f"the publisher's split is kept, and {account['leaks']:,} of its {counts['test']:,} "
            "test images have a duplicate in train, so test metrics will flatter "
            f"({paths.SPLIT_AUDIT} names them); set split.published to ignore for a split without "
            "leaks"
        )


def _warn(message: str) -> None:
    print(f"bluelight: split: warning: {message}", file=sys.stderr)


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
    places = rows["split"].to_numpy()
    ends = [places[pairs.loc[pairs["alike"], end]] for end in ("image", "other")]
    across = (ends[0] != ends[1]) & ~np.isin(ends, "dropped").any(axis=0)
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
        "alike_across_splits": int(across.sum()),
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
        "mean": float(np.mean(leaks)),
        "least": min(leaks),
        "most": max(leaks),
    }


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

    def grid(names: Sequence[str], columns: int) -> Pixels:
        pictures = [decode((folder / name).read_bytes(), name) for name in names]
        return image_grid(pictures, columns, tile=TILE, gap=GAP)

    parts = []
    for split in USED_SPLITS:
        for label in classes[:SHOWN_CLASSES]:
            chosen = rows[(rows["split"] == split) & (rows["label"] == label)]
            # The names of groups come from hashes of content: their order is a fair draw.
            different = chosen.sort_values(["group", "image"]).drop_duplicates("group")
            title = f"{split}: {label}, {len(chosen):,} images"
            parts.append((title, grid(list(different["image"][:SAMPLES]), SAMPLES)))
    shown = sorted(groups, key=lambda group: (not conflicting(group), group["kind"] == "exact"))
    shown = shown[:SHOWN_GROUPS]
    captions = []
    for group in shown:
        labels = " / ".join(sorted(set(group["images"].values())))
        facts = f"{len(group['images'])} {group['kind']}, {group['split']}"
        captions.append([(labels, WRONG if conflicting(group) else INK), (facts, FAINT)])
    conflicts = sum(map(conflicting, groups))
    title = f"{len(groups):,} groups of duplicates, {conflicts:,} with conflicting labels"
    title += f"; the first {len(shown)}" if len(groups) > len(shown) else ""
    cards = [grid(list(group["images"])[:2], 2) for group in shown]
    parts.append((title, image_grid(cards, COLUMNS, gap=GAP, captions=captions)))

    height = sum(HEADING + part.shape[0] for _, part in parts)
    width = max(SAMPLES * (TILE + GAP) + GAP, parts[-1][1].shape[1])
    sheet, top = Image.new("RGB", (width, height), PAPER), 0
    for title, part in parts:
        write_text(sheet, (GAP, top + GAP), title, size=18)
        sheet.paste(Image.fromarray(part), (0, top + HEADING))
        top += HEADING + part.shape[0]
    return np.asarray(sheet)
