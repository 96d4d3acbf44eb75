"""One function over blocks of many items, on every core, in little memory.

Threads rather than processes: nothing has to start, and a caller's script needs no
`if __name__ == "__main__"`. Decoders and the runtime release Python's lock for most of their time
(`benchmarks/predict.py` tells what is reached).
"""

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from pipeline.common.parallel import available_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

BLOCK = 32  # images: enough for a product of matrices, few enough to share among cores


def blockwise(
    function: Callable[[Sequence[Item]], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """Apply `function` to block after block; the results come in order, as they are wanted.

    Args:
        function: Called with a block of items, in any thread.
        items: As many as one likes: no more than a few blocks for each core are taken ahead.

    Yields:
        The result of each block.
    """
    threads = available_cores()
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for block in _blocks(items):
            waiting.append(pool.submit(function, block))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def decoding_quietly() -> Iterator[None]:
    """Ignore warnings while images are decoded in threads.

    `decode` itself ignores them, but the filters are the whole process's: of two threads, the one
    that ends last would put back what it found, and that is what the other had set.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _blocks(items: Iterable[Item]) -> Iterator[list[Item]]:
    remaining = iter(items)
    while block := list(islice(remaining, BLOCK)):
        yield block
