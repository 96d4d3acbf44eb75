"""Writing the dataset: the plan's photos, by one process or several, to the same bytes."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from pipeline.common.parallel import parallel_map
from pipeline.common.randomness import Purpose, generator
from scenes.copies import near_copy
from scenes.photograph import photograph
from scenes.plan import Task, make_plan

if TYPE_CHECKING:
    from pipeline.common.params import SyntheticParams

BATCH = 24  # originals handed to a worker at a time: about 0.1 s of work
HEADER = ("image_names", "emergency_or_not")


def generate(params: "SyntheticParams", destination: Path, *, processes: int | None = None) -> None:
    """Write a labelled set of photos of vehicles.

    The bytes depend on `params` alone, not on the number of processes.

    Args:
        params: How many, how large, and which copies are planted.
        destination: A folder, made if missing, for `labels.csv` (columns `image_names` and
            `emergency_or_not`) and `images/`; files of the same names are overwritten.
        processes: How many work at it; by default as many as pay; 1 starts no other process.

    Raises:
        ParamsError: The copies asked for cannot be planted.
    """
    plan = make_plan(params)
    images = destination / "images"
    images.mkdir(parents=True, exist_ok=True)
    batches = [plan.tasks[i : i + BATCH] for i in range(0, len(plan.tasks), BATCH)]
    write = partial(write_batch, seed=params.seed, size=params.size, images=images)
    parallel_map(write, batches, label="generate", weight=files_of, processes=processes)
    with (destination / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([HEADER, *plan.rows])


def files_of(tasks: Sequence[Task]) -> int:
    """How many files a batch comes to, copies among them."""
    return sum(len(task.names) + len(task.variants) for task in tasks)


def write_batch(tasks: Sequence[Task], *, seed: int, size: int, images: Path) -> None:
    """Take the photos of some tasks and write their files."""
    with _one_thread():
        for task in tasks:
            _write(task, seed, size, images)


def _write(task: Task, seed: int, size: int, images: Path) -> None:
    photo = photograph(seed, task.index, task.label, size)
    for name in task.names:
        (images / name).write_bytes(photo)
    if task.variants:
        rng = generator(seed, Purpose.SYNTHETIC, 3, task.index)
        for name in task.variants:
            (images / name).write_bytes(near_copy(photo, rng))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep OpenCV from sharing small pictures among threads: it costs more than it saves."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
