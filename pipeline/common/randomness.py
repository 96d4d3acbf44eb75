"""Randomness as an argument: every draw is a pure function of what it is for.

A stream is named by (seed, purpose, indices), so no result depends on how many workers drew, in
what order, or what else was drawn before. Source: `numpy.random.SeedSequence`.
"""

from enum import IntEnum, unique

import numpy as np


@unique
class Purpose(IntEnum):
    """What a stream of random numbers is for; the numbers are part of every result: never reuse."""

    SYNTHETIC = 1
    SPLIT = 2
    ORDER = 3
    AUGMENT = 4
    WEIGHTS = 5
    DROPOUT = 6
    BOOTSTRAP = 7
    PREVIEW = 8
    COMPARISON = 9
    REFERENCES = 10
    FOLDS = 11
    VIEWS = 12


def seed_sequence(seed: int, purpose: Purpose, *indices: int) -> np.random.SeedSequence:
    """The seed of one stream.

    The indices, each >= 0, say which of the streams for a purpose: an epoch, an image, a step.
    """
    return np.random.SeedSequence([seed, purpose, *indices])


def generator(seed: int, purpose: Purpose, *indices: int) -> np.random.Generator:
    """An independent generator for (seed, purpose, indices); see `seed_sequence`."""
    return np.random.Generator(np.random.PCG64(seed_sequence(seed, purpose, *indices)))


def integer_seed(seed: int, purpose: Purpose, *indices: int) -> int:
    """A 63-bit integer for libraries that take a seed rather than a generator."""
    return int(seed_sequence(seed, purpose, *indices).generate_state(1, np.uint64)[0] >> 1)
