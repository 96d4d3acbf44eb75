"""Write the data set: the images of the plan, and the table of their labels."""

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import cv2

from scenes.duplicates import near_duplicate
from scenes.photo import photograph
from scenes.plan import DatasetSpec, Original, make_plan
from scenes.randomness import Stream, generator

Item = TypeVar("Item")

BATCH = 24  # originals drawn by one call: about 0.1 s of work, enough to pay for a message
HEADER = ("image_names", "emergency_or_not")


class Apply(Protocol):
    """Apply a picklable function to each item, in any order and in any number of processes."""

    def __call__(
        self,
        function: Callable[[Item], None],
        items: Sequence[Item],
        *,
        weight: Callable[[Item], int],
    ) -> object:
        """`weight` is the number of files that an item stands for, for a progress bar."""


def one_by_one(
    function: Callable[[Item], None], items: Sequence[Item], *, weight: Callable[[Item], int]
) -> None:
    """Apply a function in this process, without a progress bar."""
    del weight
    for item in items:
        function(item)


def generate(spec: DatasetSpec, destination: Path, apply: Apply = one_by_one) -> None:
    """Write a labelled set of drawn photos of vehicles.

    The bytes depend on `spec` alone, not on how `apply` distributes the work.

    Args:
        spec: How many photos, how large, and which duplicates are planted.
        destination: A folder, created if missing, for `labels.csv` (columns `image_names` and
            `emergency_or_not`) and `images/`; files of the same names are overwritten.
        apply: How to run the work; by default one batch after the other in this process.

    Raises:
        ValueError: The duplicates asked for cannot be planted.
    """
    plan = make_plan(spec)
    images = destination / "images"
    images.mkdir(parents=True, exist_ok=True)
    batches = [plan.originals[i : i + BATCH] for i in range(0, len(plan.originals), BATCH)]
    write = partial(write_batch, seed=spec.seed, size=spec.size, images=images)
    apply(write, batches, weight=count_files)
    with (destination / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([HEADER, *plan.rows])


def count_files(originals: Sequence[Original]) -> int:
    """Count the files of a batch, duplicates included."""
    return sum(len(original.names) + len(original.near_duplicates) for original in originals)


def write_batch(originals: Sequence[Original], *, seed: int, size: int, images: Path) -> None:
    """Draw some originals and write all their files into the folder `images`."""
    with _single_threaded():
        for original in originals:
            photo = photograph(seed, original.index, original.label, size)
            for name in original.names:
                (images / name).write_bytes(photo)
            if original.near_duplicates:
                rng = generator(seed, Stream.NEAR_DUPLICATE, original.index)
                for name in original.near_duplicates:
                    (images / name).write_bytes(near_duplicate(photo, rng))


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Keep OpenCV to one thread: for small pictures, starting others costs more than it saves."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
