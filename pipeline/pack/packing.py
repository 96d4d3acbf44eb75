"""Write the packed format: decode and resize every image once, on every core, in little memory."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.lib.format import open_memmap

from pipeline.common.files import atomic_directory, write_json
from pipeline.common.images import decode, resize
from pipeline.common.packed import IMAGES, LABELS, META
from pipeline.common.parallel import parallel_map
from pipeline.common.tables import USED_SPLITS, Assigned

BLOCK = 32  # images decoded between two writes


class Task(NamedTuple):
    """A run of rows to fill."""

    array: Path
    start: int
    folder: Path
    names: Sequence[str]
    size: int


def pack(
    size: int,
    images: Path,
    rows: Sequence[Assigned],
    classes: Sequence[str],
    destination: Path,
) -> None:
    """Write `train/`, `validation/` and `test/` below `destination`; see `pipeline.common.packed`.

    Args:
        size: Pixels a side.
        images: The folder below which the images lie.
        rows: What goes where; `dropped` goes nowhere.
        classes: Names of the classes, in the order of the labels to be.
        destination: Where to write the three folders; replaced where they exist, all untouched if
            anything fails.

    Raises:
        ImageError: An image cannot be decoded.
    """
    with ExitStack() as stack:
        tasks: list[Task] = []
        for split in USED_SPLITS:
            folder = stack.enter_context(atomic_directory(destination / split))
            chosen = sorted(row for row in rows if row.split == split)
            _write_labels(folder, chosen, classes, size)
            tasks += _plan(folder, chosen, images, size)
        parallel_map(_fill, tasks, label="pack", weight=lambda task: len(task.names))


def _write_labels(
    folder: Path, rows: Sequence[Assigned], classes: Sequence[str], size: int
) -> None:
    labels = [classes.index(row.label) for row in rows]
    np.save(folder / LABELS, np.array(labels, dtype=np.int64))
    names = [row.image for row in rows]
    groups = [row.group for row in rows]
    meta = {"classes": list(classes), "names": names, "groups": groups, "size": size}
    write_json(folder / META, meta)


def _plan(folder: Path, rows: Sequence[Assigned], images: Path, size: int) -> list[Task]:
    """Make an array of the right size, still empty, and divide the work of filling it."""
    array = folder / IMAGES
    open_memmap(array, "w+", np.uint8, (len(rows), size, size, 3))
    names = [row.image for row in rows]
    return [
        Task(array, start, images, names[start : start + BLOCK], size)
        for start in range(0, len(names), BLOCK)
    ]


def _fill(task: Task) -> None:
    """Decode a block into its rows; every process writes to the file itself, none holds it all."""
    cv2.setNumThreads(1)
    block = [
        resize(decode((task.folder / name).read_bytes(), name), task.size) for name in task.names
    ]
    rows = open_memmap(task.array, "r+")
    rows[task.start : task.start + len(block)] = np.stack(block)
