"""A model's metrics with their intervals, and what it has over another on the same images."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from pipeline.common.metrics import Predictions, Values, probability_metrics, weighted_metrics
from pipeline.common.resampling import Interval, Metrics, Resampling, percentile, resampled
from pipeline.evaluate.reliability import error_interval, errors_if_calibrated

DIGITS = 6  # beyond them, processors differ


@dataclass(frozen=True)
class Estimates:
    """Metrics of one model on one set of images.

    Attributes:
        values: By name; metrics that these images leave undefined are missing.
        intervals: By the names of `values`, but for `ece_if_calibrated`.
        resamples: float64 [resamples] by the names of `intervals`.
    """

    values: dict[str, float]
    intervals: dict[str, Interval]
    resamples: dict[str, Values]

    def as_data(self) -> dict[str, Any]:
        """The values, and under `interval` the ends of their intervals; to 6 digits."""
        ends = {name: rounded(asdict(interval)) for name, interval in self.intervals.items()}
        return {**rounded(self.values), "interval": ends}


def rounded(figures: dict[str, float]) -> dict[str, float]:
    """Figures to 6 digits."""
    return {name: round(value, DIGITS) for name, value in figures.items()}


def estimate(metrics: Metrics, images: int, how: Resampling) -> Estimates:
    """Metrics and their percentile intervals.

    Args:
        metrics: As for `resampling.resampled`.
        images: How many there are.
        how: How to make intervals.
    """
    once = metrics(np.ones((images, 1)))
    values = {name: float(value[0]) for name, value in once.items() if np.isfinite(value[0])}
    found = resampled(metrics, images, how)
    resamples = {name: found[name] for name in values}
    intervals = {name: percentile(drawn, how) for name, drawn in resamples.items()}
    return Estimates(values, intervals, resamples)


def estimate_all(predictions: Predictions, how: Resampling) -> Estimates:
    """Every metric of `metrics.weighted_metrics`, and `ece_if_calibrated`: the floor of `ece`."""
    images = len(predictions.labels)
    found = estimate(lambda weights: weighted_metrics(predictions, weights), images, how)
    return _with_floor(found, predictions, how)


def estimate_calibration(predictions: Predictions, how: Resampling) -> Estimates:
    """Loss, Brier score and calibration error alone, and `ece_if_calibrated`."""
    images = len(predictions.labels)
    found = estimate(lambda weights: probability_metrics(predictions, weights), images, how)
    return _with_floor(found, predictions, how)


def gain(ours: Estimates, theirs: Estimates, metric: str, how: Resampling) -> dict[str, float]:
    """Our metric less theirs on the same images, resampled in pairs: value, low and high."""
    value = ours.values[metric] - theirs.values[metric]
    interval = percentile(ours.resamples[metric] - theirs.resamples[metric], how)
    return rounded({"value": value, **asdict(interval)})


def _with_floor(found: Estimates, predictions: Predictions, how: Resampling) -> Estimates:
    by_chance = errors_if_calibrated(predictions, how)
    interval = error_interval(found.values["ece"], found.resamples["ece"], by_chance, how)
    floor = {"ece_if_calibrated": float(by_chance.mean())}
    intervals = found.intervals | {"ece": interval}
    return replace(found, values=found.values | floor, intervals=intervals)
