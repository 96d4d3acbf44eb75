"""One function over many items, on every core, with a progress bar.

Processes rather than threads: decoding holds Python's lock (measured: two threads are no faster
than one).
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import accumulate
from multiprocessing import active_children, get_context, parent_process
from typing import Literal, TypeVar

from rich.console import Console
from rich.progress import Progress

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

    Raises:
        BluelightError: A process was killed.
    """
    done = list(accumulate(map(weight, items), initial=0))
    if processes is None:
        processes = min(available_cores(), 1 + done[-1] // WORTH_A_PROCESS)
    results: list[Result] = []
    with progress_bar(label, done[-1]) as show:
        if processes <= 1:
            for item in items:
                results.append(function(item))
                show(done[len(results)])
            return results
        # Small enough for an even load and a moving bar, large enough to pay for their message.
        chunk = max(1, min(256, len(items) // (processes * 8)))
        with process_pool(processes) as pool:
            for result in pool.map(function, items, chunksize=chunk):
                results.append(result)
                show(done[len(results)])
    return results


@contextmanager
def process_pool(
    processes: int, method: Literal["spawn", "fork"] = "spawn"
) -> Iterator[ProcessPoolExecutor]:
    """Start worker processes that end with this one, however it ends, and leave Ctrl-C to it.

    Args:
        processes: How many.
        method: `spawn` inherits nothing by accident, and every system behaves alike. `fork` spares
            the imports, where this process has started no threads and torch has not computed yet.

    Yields:
        The pool; if the block fails, its processes are killed.

    Raises:
        BluelightError: A worker was killed from outside.
    """
    with ProcessPoolExecutor(processes, get_context(method), _enter) as pool:
        try:
            yield pool
        except BrokenProcessPool:
            raise BluelightError(
                "a worker process was killed, perhaps because memory ran out; free some memory and "
                "run this again"
            ) from None
        except BaseException:
            for process in active_children():
                process.kill()
            raise


def _enter() -> None:
    """Ignore Ctrl-C, which the parent handles, and end with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def progress_bar(label: str, total: int | None) -> Iterator[Callable[..., object]]:
    """Show a progress bar on stderr where that is a terminal; `total` is None where it is unknown.

    Yields:
        A function to call with how much is done so far, and with another label where it changes.
    """
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(label, total=total)
        yield lambda done, label=label: progress.update(bar, completed=done, description=label)
