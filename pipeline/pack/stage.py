"""pack: decode and resize every image once, into one array per split."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap

from pipeline.common import paths
from pipeline.common.datasets import (
    IMAGES,
    LABEL_COLUMNS,
    LABELS,
    META,
    SPLIT_COLUMNS,
    SPLITS,
    USED_SPLITS,
    read_table,
)
from pipeline.common.errors import SplitError
from pipeline.common.files import atomic_directory, read_json, write_json
from pipeline.common.images import decode, resize
from pipeline.common.parallel import parallel_map
from pipeline.common.params import Params
from pipeline.features.backbone import input_size

BLOCK = 32  # images decoded between two writes


def run(params: Params) -> None:
    """Write `data/packed` from the images of `data/raw` as `data/split/split.csv` divides them."""
    rows = read_table(paths.SPLIT_CSV, SPLIT_COLUMNS, text=True)
    images = read_table(paths.RAW_LABELS, LABEL_COLUMNS, text=True)
    check_assignment(rows, images, may_leak=params.split.published == "keep")
    classes = read_json(paths.RAW_MANIFEST)["classes"]
    size = input_size(params)
    pack(size, paths.RAW_IMAGES, rows, classes, paths.PACKED)
    used = rows["split"].isin(USED_SPLITS).sum()
    print(f"pack: {used:,} images of {size}x{size} pixels")


def check_assignment(rows: pd.DataFrame, images: pd.DataFrame, *, may_leak: bool) -> None:
    """Refuse a `split.csv` that would leak, or that does not fit the images.

    The table can be edited by hand, or come from elsewhere; `pack` is the last to see it whole.

    Args:
        rows: `split.csv`.
        images: `labels.csv`.
        may_leak: Allow duplicates in several splits, for a published split that is kept.

    Raises:
        SplitError: A row names an unknown image, label or split, an image is missing or listed
            twice, or duplicates are in two splits.
    """
    for fault in _faults(rows, images, may_leak=may_leak):
        raise SplitError(
            f"{paths.SPLIT_CSV}: {fault}; run `dvc repro --force split` to divide the images "
            "again, or correct the row"
        )


def _faults(rows: pd.DataFrame, images: pd.DataFrame, *, may_leak: bool) -> Iterator[str]:
    label_of = dict(zip(images["image"], images["label"], strict=True))
    for row in rows.itertuples():
        if row.image not in label_of:
            yield f"there is no image {row.image!r}"
        elif row.label != label_of[row.image]:
            yield f"{row.image} is labelled {row.label!r}, in the source {label_of[row.image]!r}"
        elif row.split not in SPLITS:
            yield f"{row.image} is in {row.split!r}, which is none of {', '.join(SPLITS)}"
    times = rows["image"].value_counts().reindex(images["image"], fill_value=0)
    for image, count in times[times != 1].items():
        yield f"{image} is listed {count} times instead of once"
    used = rows[rows["split"].isin(USED_SPLITS)]
    first = used.groupby("group")[["image", "split"]].transform("first")
    leaks = pd.Series(used["split"] != first["split"]) & (not may_leak)
    for one, other in zip(first[leaks].itertuples(), used[leaks].itertuples(), strict=True):
        yield (
            f"{one.image} is in {one.split} and its duplicate {other.image} in {other.split}, so "
            "what is learnt from one leaks into the other"
        )


def pack(
    size: int,
    images: Path,
    rows: pd.DataFrame,
    classes: Sequence[str],
    destination: Path,
) -> None:
    """Write `train/`, `validation/` and `test/` below `destination`; see `common.datasets`.

    Args:
        size: Pixels a side.
        images: The folder below which the images lie.
        rows: `split.csv`; dropped images are not packed.
        classes: Names of the classes, in the order of the labels.
        destination: Where to write the three folders; replaced where they exist, all untouched if
            anything fails.

    Raises:
        ImageError: An image cannot be decoded.
    """
    blocks: list[tuple[Path, int, list[str]]] = []
    with ExitStack() as stack:
        for split in USED_SPLITS:
            folder = stack.enter_context(atomic_directory(destination / split))
            chosen = rows[rows["split"] == split].sort_values("image")
            names, groups = chosen["image"].tolist(), chosen["group"].tolist()
            labels = [classes.index(label) for label in chosen["label"]]
            np.save(folder / LABELS, np.array(labels, dtype=np.int64))
            meta = {"classes": list(classes), "names": names, "groups": groups, "size": size}
            write_json(folder / META, meta)
            array = folder / IMAGES  # of the right size and still empty: every process fills a part
            open_memmap(array, "w+", np.uint8, (len(names), size, size, 3))
            starts = range(0, len(names), BLOCK)
            blocks += [(array, start, names[start : start + BLOCK]) for start in starts]
        fill = partial(_fill, images, size)
        parallel_map(fill, blocks, label="pack", weight=lambda block: len(block[2]))


def _fill(images: Path, size: int, block: tuple[Path, int, list[str]]) -> None:
    """Decode images into the rows of an array from a start on; it is never whole in memory."""
    cv2.setNumThreads(1)
    path, start, names = block
    pixels = [resize(decode((images / name).read_bytes(), name), size) for name in names]
    open_memmap(path, "r+")[start : start + len(names)] = np.stack(pixels)
