"""Metrics with bootstrap intervals, and calibration compared with what chance would show.

The calibration error of a perfectly calibrated model is not 0: each bin holds few images, so chance
alone moves the observed frequency. Drawing outcomes from the predicted probabilities themselves
shows by how much (consistency resampling: Bröcker & Smith, 2007).
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.common.metrics import BINS, Predictions, Values, bin_of, confidences, sum_by_group
from pipeline.common.randomness import Purpose, generator
from pipeline.common.resampling import Groups, Interval, Resampling, chunks, percentile, resampled

Metrics = Callable[[Predictions, Values], dict[str, Values]]

CALIBRATION = "calibration_error"
CHANCE = "calibration_error_by_chance"  # of a perfectly calibrated model, on average


@dataclass(frozen=True)
class Estimates:
    """Metrics of one model on one set of images.

    Attributes:
        values: By name; metrics that these images leave undefined are missing.
        intervals: By the names of `values`, except for `calibration_error_by_chance`.
        resamples: float64 [resamples] by the names of `intervals`.
    """

    values: dict[str, float]
    intervals: dict[str, Interval]
    resamples: dict[str, Values]

    def as_data(self) -> dict[str, Any]:
        """Return the values, and under `interval` the ends of their intervals."""
        ends = {name: asdict(interval) for name, interval in self.intervals.items()}
        return {**self.values, "interval": ends}


def estimate(
    predictions: Predictions, metrics: Metrics, groups: Groups, how: Resampling
) -> Estimates:
    """Estimate metrics and their intervals.

    Args:
        predictions: For N images.
        metrics: As `common.metrics` has them: of predictions and weights [N, R].
        groups: Group of each image, int64 [N]; duplicates share one and are drawn together.
        how: How to make intervals.
    """

    def weighted(weights: Values) -> dict[str, Values]:
        return metrics(predictions, weights)

    once = weighted(np.ones((len(groups), 1)))
    values = {name: float(value[0]) for name, value in once.items() if np.isfinite(value[0])}
    drawn = resampled(weighted, len(groups), how, groups)
    resamples = {name: drawn[name] for name in values}
    intervals = {name: percentile(found, how) for name, found in resamples.items()}
    if CALIBRATION in values:
        by_chance = calibration_errors_by_chance(predictions, how)
        values[CHANCE] = float(by_chance.mean())
        intervals[CALIBRATION] = calibration_interval(
            values[CALIBRATION], intervals[CALIBRATION], float(np.quantile(by_chance, how.tails[1]))
        )
    return Estimates(values, intervals, resamples)


def difference(ours: Estimates, theirs: Estimates, metric: str, how: Resampling) -> dict[str, Any]:
    """Our metric less theirs on the same images, resampled in pairs: `value`, `low`, `high`."""
    value = ours.values[metric] - theirs.values[metric]
    interval = percentile(ours.resamples[metric] - theirs.resamples[metric], how)
    return {"value": value, **asdict(interval)}


def reliability(predictions: Predictions, how: Resampling) -> pd.DataFrame:
    """Compute the table of a reliability diagram.

    Args:
        predictions: For N images.
        how: How to draw what chance would do to a calibrated model.

    Returns:
        A row for each bin that holds images. Columns: `low` and `high`, its edges; `images`, their
        number; `probability`, mean of what was predicted; `frequency`, share in which that was
        true; `chance_low` and `chance_high`, between which the frequency of a perfectly calibrated
        model would lie with the confidence of `how`.
    """
    confidence, outcome = confidences(predictions)
    bins = bin_of(confidence)
    columns = np.stack([np.ones_like(outcome), confidence, outcome], axis=1)
    images, probability, frequency = sum_by_group(bins, BINS, columns).T
    by_chance = np.concatenate(
        [sum_by_group(bins, BINS, drawn) for drawn in _outcomes(confidence, how)], axis=1
    )
    filled = np.flatnonzero(images)
    ends = np.quantile(by_chance[filled], how.tails, axis=1) / images[filled]
    return pd.DataFrame(
        {
            "low": filled / BINS,
            "high": (filled + 1) / BINS,
            "images": images[filled].astype(int),
            "probability": probability[filled] / images[filled],
            "frequency": frequency[filled] / images[filled],
            "chance_low": ends[0],
            "chance_high": ends[1],
        }
    )


def calibration_errors_by_chance(predictions: Predictions, how: Resampling) -> Values:
    """Calibration errors that chance gives a model whose probabilities are right, [resamples]."""
    confidence, _ = confidences(predictions)
    bins, found = bin_of(confidence), []
    for drawn in _outcomes(confidence, how):
        distances = sum_by_group(bins, BINS, drawn - confidence[:, np.newaxis])
        found.append(np.abs(distances).sum(axis=0) / len(confidence))
    return np.concatenate(found)


def calibration_interval(error: float, resamples: Interval, chance_high: float) -> Interval:
    """Correct the percentile interval of a calibration error.

    Resampling adds the error that chance makes a second time, so the resamples lie too high and
    their quantiles miss the truth of a calibrated model. The lower end is therefore mirrored at the
    estimate (the basic bootstrap: Davison & Hinkley, 1997, section 5.2), and is 0 where chance
    alone would give a calibrated model as much. The upper end is left rather too high.
    `chance_high` is the upper quantile of `calibration_errors_by_chance`.
    """
    high = max(resamples.high, error)
    return Interval(0.0 if error <= chance_high else max(2 * error - high, 0.0), high)


def _outcomes(confidence: Values, how: Resampling) -> Iterator[Values]:
    """Draw what would be true if the probabilities were right: 0 or 1, float64 [N, R] a time."""
    draw = generator(how.seed, Purpose.BOOTSTRAP, 1)
    for count in chunks(len(confidence), how):
        chances = draw.random((len(confidence), count))
        yield (chances < confidence[:, np.newaxis]).astype(np.float64)
