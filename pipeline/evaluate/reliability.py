"""Calibration: do answers said to be 80 % probable come true in 80 % of the cases?

The calibration error has a floor: even of a perfectly calibrated model it is not 0, because each
bin holds few images, so that chance alone moves their share. Drawing outcomes from the very
probabilities that were stated shows how much (consistency resampling: Bröcker & Smith, 2007).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pipeline.common.metrics import BINS, Predictions, Values, bin_of, confidences, sum_by_group
from pipeline.common.randomness import Purpose, generator
from pipeline.common.resampling import Interval, Resampling, chunks


class Bin(NamedTuple):
    """The images whose stated probability lies between two edges.

    Attributes:
        low: Lower edge, inclusive.
        high: Upper edge, exclusive but for the last.
        images: How many; at least one.
        probability: Mean of what was stated.
        frequency: Share of them in which it was so.
        chance_low: Where that share would begin to lie, were the model calibrated.
        chance_high: Where it would end.
    """

    low: float
    high: float
    images: int
    probability: float
    frequency: float
    chance_low: float
    chance_high: float


def reliability(predictions: Predictions, how: Resampling) -> list[Bin]:
    """The bins of the calibration error that hold images: a reliability diagram.

    Args:
        predictions: Of N images.
        how: How to draw what chance would do to a calibrated model.
    """
    stated, true = confidences(predictions)
    bins = bin_of(stated)
    counts, said, was = (
        np.bincount(bins, weights=values, minlength=BINS)
        for values in (np.ones_like(true), stated, true)
    )
    outcomes = np.concatenate(
        [sum_by_group(bins, BINS, drawn) for drawn in _outcomes(stated, how)], axis=1
    )
    filled = np.flatnonzero(counts)
    chance = np.quantile(outcomes[filled], how.tails, axis=1) / counts[filled]
    return [
        Bin(
            row / BINS,
            (row + 1) / BINS,
            int(counts[row]),
            float(said[row] / counts[row]),
            float(was[row] / counts[row]),
            *map(float, ends),
        )
        for row, ends in zip(filled, chance.T, strict=True)
    ]


def errors_if_calibrated(predictions: Predictions, how: Resampling) -> Values:
    """The calibration errors that chance gives a calibrated model on as many images.

    Args:
        predictions: Whose stated probabilities are taken to be right.
        how: How many times to draw the outcomes.

    Returns:
        float64 [resamples].
    """
    stated, _ = confidences(predictions)
    bins = bin_of(stated)
    return np.concatenate(
        [
            np.abs(sum_by_group(bins, BINS, drawn - stated[:, np.newaxis])).sum(axis=0)
            / len(stated)
            for drawn in _outcomes(stated, how)
        ]
    )


def error_interval(error: float, resampled: Values, by_chance: Values, how: Resampling) -> Interval:
    """An interval of the calibration error.

    Resampling adds the floor a second time, so the resamples lie too high: between their quantiles
    the truth of a calibrated model is never found. The lower end is therefore mirrored at the
    estimate (the basic bootstrap: Davison & Hinkley, 1997, section 5.2), and is 0 where chance
    alone would give a calibrated model as much. The upper end is left rather too high.

    Args:
        error: The calibration error found.
        resampled: That of each resample, float64 [resamples].
        by_chance: `errors_if_calibrated`.
        how: With which confidence.
    """
    high, by_luck = (float(np.quantile(drawn, how.tails[1])) for drawn in (resampled, by_chance))
    high = max(high, error)
    return Interval(0.0 if error <= by_luck else max(2 * error - high, 0.0), high)


def _outcomes(stated: Values, how: Resampling) -> Iterator[Values]:
    """What comes true if what was stated is right: 0 or 1, float64 [N, r], chunk by chunk."""
    draw = generator(how.seed, Purpose.BOOTSTRAP, 1)
    for count in chunks(len(stated), how):
        chances = draw.random((len(stated), count))
        yield (chances < stated[:, np.newaxis]).astype(np.float64)
