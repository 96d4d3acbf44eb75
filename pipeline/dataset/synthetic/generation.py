"""Writing the dataset: the plan's photos, by one process or several, to the same bytes."""

import csv
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from pipeline.dataset.synthetic.copies import near_copy
from pipeline.dataset.synthetic.photograph import photograph
from pipeline.dataset.synthetic.plan import Task, make_plan
from pipeline.randomness import Purpose, generator

if TYPE_CHECKING:
    from pipeline.params import SyntheticParams

BATCH = 24  # originals handed to a worker at a time: about 0.1 s of work
HEADER = ("image_names", "emergency_or_not")


def generate(
    params: "SyntheticParams",
    destination: Path,
    *,
    processes: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Write a labelled set of photos of vehicles.

    The bytes depend on `params` alone, not on the number of processes.

    Args:
        params: How many, how large, and which copies are planted.
        destination: A folder, made if missing, for `labels.csv` (columns `image_names` and
            `emergency_or_not`) and `images/`; files of the same names are overwritten.
        processes: How many work at it; all usable CPUs by default; 1 starts no other process.
        progress: Called in this process after each batch of images with the number of images
            finished so far, copies among them: not the batch's size, but the total, which rises
            to `params.images`.

    Raises:
        ParamsError: The copies asked for cannot be planted.
    """
    plan = make_plan(params)
    images = destination / "images"
    images.mkdir(parents=True, exist_ok=True)
    batches = [plan.tasks[i : i + BATCH] for i in range(0, len(plan.tasks), BATCH)]
    workers = min(processes or _usable_cpus(), len(batches))
    finished = 0
    for written in _run(batches, params.seed, params.size, images, workers):
        finished += written
        if progress is not None:
            progress(finished)
    with (destination / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([HEADER, *plan.rows])


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _run(
    batches: list[tuple[Task, ...]], seed: int, size: int, images: Path, workers: int
) -> Iterator[int]:
    """Write all batches; yields the number of files of each as it is finished."""
    if workers <= 1:
        with _one_thread():
            for batch in batches:
                yield write_batch(batch, seed, size, images)
        return
    # spawn, as a fork of a process with threads may hang
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)
    try:
        jobs = [pool.submit(write_batch, batch, seed, size, images) for batch in batches]
        for job in as_completed(jobs):
            yield job.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep OpenCV from sharing small pictures among threads: it costs more than it saves."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and other cores to the other workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


def write_batch(tasks: Sequence[Task], seed: int, size: int, images: Path) -> int:
    """Take the photos of some tasks and write their files; returns how many files."""
    written = 0
    for task in tasks:
        photo = photograph(seed, task.index, task.label, size)
        for name in task.names:
            (images / name).write_bytes(photo)
        if task.variants:
            rng = generator(seed, Purpose.SYNTHETIC, 3, task.index)
            for name in task.variants:
                (images / name).write_bytes(near_copy(photo, rng))
        written += len(task.names) + len(task.variants)
    return written
