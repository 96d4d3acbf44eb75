"""One function over many items, on every core, with a progress bar.

Processes rather than threads: decoding holds Python's lock (measured: two threads are no faster
than one). They are spawned, not forked, so nothing is inherited by accident and every system
behaves alike.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import accumulate
from multiprocessing import get_context
from typing import Any, Literal, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

Item = TypeVar("Item")
Result = TypeVar("Result")

# Starting a process costs about as much as decoding this many photos.
WORTH_A_PROCESS = 200


def available_cores() -> int:
    """The cores this process may use: fewer than the machine's in a container or batch job."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def parallel_map(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    label: str,
    weight: Callable[[Item], int] = lambda _: 1,
    processes: int | None = None,
) -> list[Result]:
    """Apply `function` to every item; the result does not depend on how many processes there are.

    Args:
        function: Importable by name, with picklable arguments and results.
        items: What to apply it to.
        label: Shown beside the progress bar, which appears on stderr if that is a terminal.
        weight: How many images an item stands for.
        processes: How many; by default one per core, as far as the number of images pays for them.

    Returns:
        The results, in the order of `items`.
    """
    weights = [weight(item) for item in items]
    if processes is None:
        processes = min(available_cores(), 1 + sum(weights) // WORTH_A_PROCESS)
    with _mapping(processes) as mapping, progress_bar(label, sum(weights)) as show:
        return _drain(mapping(function, items), weights, show)


@contextmanager
def progress_bar(
    label: str, total: int | None, unit: Literal["items", "bytes"] = "items"
) -> Iterator[Callable[[int], object]]:
    """Show a progress bar on stderr where that is a terminal.

    Args:
        label: Shown beside it.
        total: How much there is to do; None where nobody knows.
        unit: What is counted.

    Yields:
        A function to call with the number done so far.
    """
    console = Console(stderr=True)
    count = MofNCompleteColumn() if unit == "items" else DownloadColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), count)
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(label, total=total)
        yield lambda done: progress.update(task, completed=done)


@contextmanager
def _mapping(processes: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """Something like `map`, in this process or in others."""
    if processes <= 1:
        yield map
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), _leave_interrupts) as pool:
        try:
            yield partial(_map_in_chunks, pool, processes)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _leave_interrupts() -> None:
    """Let the parent alone answer Ctrl-C, lest every worker prints a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _map_in_chunks(
    pool: ProcessPoolExecutor,
    processes: int,
    function: Callable[[Item], Result],
    items: Sequence[Item],
) -> Iterable[Result]:
    # Small enough for an even load and a moving bar, large enough to pay for their message.
    chunk = max(1, min(256, len(items) // (processes * 8)))
    return pool.map(function, items, chunksize=chunk)


def _drain(
    results: Iterable[Result], weights: Iterable[int], show: Callable[[int], object]
) -> list[Result]:
    collected = []
    for result, done in zip(results, accumulate(weights), strict=True):
        collected.append(result)
        show(done)
    return collected
