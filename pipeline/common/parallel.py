"""One function over many items, on every core, with a progress bar.

Processes rather than threads: decoding holds Python's lock (measured: two threads are no faster
than one). They end with the process that started them, however it ends.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from itertools import accumulate
from multiprocessing import active_children, get_context, parent_process
from types import FrameType
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

from pipeline.common.errors import BluelightError

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
    fork: bool = False,
) -> list[Result]:
    """Apply `function` to every item; the result does not depend on how many processes there are.

    Args:
        function: Importable by name, with picklable arguments and results.
        items: What to apply it to.
        label: Shown beside the progress bar, which appears on stderr if that is a terminal.
        weight: How many images an item stands for.
        processes: How many; by default one per core, as far as the number of images pays for them.
        fork: Start the processes, even a single one, as copies of this one where the system can:
            they share its imported libraries. Only before a library has started threads here.
            Otherwise they are spawned and inherit nothing.

    Returns:
        The results, in the order of `items`.

    Raises:
        BluelightError: A process was killed. What `function` raises is raised here too.
    """
    weights = [weight(item) for item in items]
    if processes is None:
        processes = min(available_cores(), 1 + sum(weights) // WORTH_A_PROCESS)
    context = get_context("fork" if fork and os.uname().sysname == "Linux" else "spawn")
    with _mapping(
        min(processes, len(items)), context if fork or processes > 1 else None
    ) as mapping:
        results = mapping(function, items)
        # The bar has a thread of its own, so the processes are started before it.
        with progress_bar(label, sum(weights)) as show:
            try:
                return _drain(results, weights, show)
            except BrokenProcessPool:
                raise BluelightError(
                    "a worker process was killed, perhaps for lack of memory; free some, then "
                    "`dvc repro` continues"
                ) from None


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
def _mapping(processes: int, context: Any) -> Iterator[Callable[..., Iterable[Any]]]:  # noqa: ANN401
    """Something like `map`, in processes of a context, or in this one where there is none."""
    if context is None:
        yield map
        return
    with ProcessPoolExecutor(max(1, processes), context, _enter_worker) as pool:
        try:
            yield partial(_map_in_chunks, pool, processes)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in active_children():
                process.kill()  # what must survive is on disk at any time
            raise


def _enter_worker() -> None:
    """Leave Ctrl-C to the parent, end when asked to, and end with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _leave(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    os._exit(1)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _map_in_chunks(
    pool: ProcessPoolExecutor,
    processes: int,
    function: Callable[[Item], Result],
    items: Sequence[Item],
) -> Iterable[Result]:
    # Small enough for an even load and a moving bar, large enough to pay for their message.
    chunk = max(1, min(256, len(items) // (max(1, processes) * 8)))
    return pool.map(function, items, chunksize=chunk)


def _drain(
    results: Iterable[Result], weights: Iterable[int], show: Callable[[int], object]
) -> list[Result]:
    collected = []
    for result, done in zip(results, accumulate(weights), strict=True):
        collected.append(result)
        show(done)
    return collected
