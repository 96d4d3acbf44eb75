"""Intervals of what each technique reached, and of its paired differences to the baseline.

Every technique predicts the same images with the same folds and seeds, so a difference is taken
image by image, and what an easy image or a lucky fold gives to both cancels out. A difference is
uncertain for two reasons, and its variance has a part for each:

- *images*: others would have given another difference. Groups of duplicates are resampled, since
  duplicates are predicted alike (bootstrap; Efron, 1979);
- *runs*: other seeds would have trained other networks, which shifts all images of a fold together.
  The variance of differences between folds, less what the images explain of it, is that of a run
  (the method of moments of a random-effects model; DerSimonian & Laird, 1986). Five runs tell
  little about it, so it is pooled over all techniques: it is the residual of the two-way table of
  techniques and folds (Scheffé, 1959).

An interval is the value plus and minus some standard errors: a quantile of Student's t, whose
degrees of freedom say how well both parts together are known (Satterthwaite, 1946).

The claim about `combined` was fixed before anything was measured, so its interval stands alone.
Those of all other techniques hold together with the stated confidence: their reach is the quantile
of the largest of the standardised deviations in the resamples (max-t; Westfall & Young, 1993).

`benchmarks/coverage.py` measures how often these intervals hold the truth, also where techniques
differ in how much their runs vary. They say nothing about other training images: all runs share
theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import sub
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm, t

from pipeline.common.metrics import Predictions, label_metrics, probability_metrics
from pipeline.common.resampling import Estimate, Interval, Resampling, resampled

BASELINE, COMBINED = "baseline", "combined"
METRICS = ("accuracy", "loss", "brier", "calibration_error")  # of the held-out predictions
POWER = 0.8  # probability with which a difference should be shown
WORTH_SHOWING = 0.02  # of accuracy

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """What the runs of one technique gave."""

    name: str
    settings: Mapping[str, Any]  # the params of its runs, by section
    runs: pd.DataFrame  # a row for each run
    history: pd.DataFrame  # for each epoch of each run
    predictions: pd.DataFrame  # for each image and repeat
    activations: pd.DataFrame  # for each epoch, layer and stage of each run


@dataclass(frozen=True)
class Measured:
    """The metrics of one technique, and what they would have been with other images."""

    pooled: Values  # float64 [metrics]; over all images, the mean of all repeats
    runs: Values  # float64 [repeats, folds, metrics]; of each run
    pooled_resampled: Values  # float64 [metrics, resamples]
    runs_resampled: Values  # float64 [repeats, folds, metrics, resamples]

    def __sub__(self, other: "Measured") -> "Measured":
        """The paired differences to another technique."""
        return Measured(*map(sub, vars(self).values(), vars(other).values()))


@dataclass(frozen=True)
class Between:
    """How the difference between two techniques varies from fold to fold."""

    observed: Values  # float64 [metrics]; its variance
    explained: Values  # float64 [metrics]; as much of it as other images would give
    freedom: int  # degrees of freedom of `observed`
    runs: int  # of each technique


@dataclass(frozen=True)
class Error:
    """Standard error of each metric, by its parts: float64 [metrics]."""

    images: Values
    runs: Values
    freedom: Values  # of both together; infinite where images explain all differences of runs

    @property
    def total(self) -> Values:
        """Both parts together."""
        return np.hypot(self.images, self.runs)

    def reach(self, quantile: float | Values) -> Values:
        """Half the width of an interval in standard errors: float64 [metrics].

        Args:
            quantile: Normal quantiles; Student's t with the same tails is taken.
        """
        student: Values = t.ppf(norm.cdf(quantile), self.freedom)
        return student


def measure_technique(
    predictions: pd.DataFrame, folds: int, how: Resampling, positive: str
) -> Measured:
    """Measure the metrics of a technique, with the images as they are and resampled.

    Techniques that predict the same images in the same order are resampled alike.

    Args:
        predictions: Columns `run`, `image`, `label`, `group`, and `probability_<class>` for each
            class; each image once per repeat.
        folds: How many runs make a repeat.
        how: How to resample.
        positive: The class whose probability the calibration error of two classes looks at.
    """
    columns = [name for name in predictions if str(name).startswith("probability_")]
    classes = [str(name).removeprefix("probability_") for name in columns]
    chosen = classes.index(positive) if positive in classes else None
    probabilities = predictions[columns].to_numpy(float)
    labels = pd.Index(classes).get_indexer(pd.Index(predictions["label"]))
    groups = np.unique(predictions["group"], return_inverse=True)[1]
    run = predictions["run"].to_numpy() - 1
    repeats = (int(run.max()) + 1) // folds
    parts = [run == number for number in range(repeats * folds)]
    parts += [run // folds == number for number in range(repeats)]

    def metrics(weights: Values) -> dict[str, Values]:
        """Every metric of every run and repeat, for weights [images, R]."""
        found: dict[str, Values] = {}
        for part, rows in enumerate(parts):
            own = Predictions.most_probable(labels[rows], probabilities[rows], chosen)
            values = label_metrics(own, weights[rows]) | probability_metrics(own, weights[rows])
            found |= {f"{metric} {part}": values[metric] for metric in METRICS}
        return found

    def arranged(found: Mapping[str, Values]) -> tuple[Values, Values]:
        """The metrics pooled over each repeat's images, and by run."""
        values = [[found[f"{metric} {part}"] for metric in METRICS] for part in range(len(parts))]
        runs, pooled = np.split(np.array(values), [repeats * folds])
        return pooled.mean(axis=0), runs.reshape(repeats, folds, *runs.shape[1:])

    pooled, runs = arranged(metrics(np.ones((len(predictions), 1))))
    return Measured(
        pooled[..., 0], runs[..., 0], *arranged(resampled(metrics, len(predictions), how, groups))
    )


def between_runs(techniques: Sequence[Measured]) -> Between:
    """Estimate how differences vary between folds, from two or more techniques together."""
    runs = np.array([one.runs for one in techniques])
    often = np.array([one.runs_resampled for one in techniques])
    count, repeats, folds = runs.shape[:3]
    apart = runs - runs.mean(axis=0)
    apart -= apart.mean(axis=2, keepdims=True)
    freedom = (count - 1) * repeats * (folds - 1)
    # The residuals have the variance of one technique, a difference that of two.
    observed = 2 * np.square(apart).sum(axis=(0, 1, 2)) / freedom
    by_images = np.nanvar(often - often.mean(axis=0), axis=-1, ddof=1).mean(axis=(1, 2))
    explained = 2 * by_images.sum(axis=0) / (count - 1)
    return Between(observed, explained, freedom, repeats * folds)


def standard_error(found: Measured, between: Between | None = None) -> Error:
    """Estimate the standard error of pooled values.

    Args:
        found: The differences of a technique to another, or its metrics.
        between: How differences vary; None for metrics, which vary as their own runs do.
    """
    if between is None:
        between = between_runs([found, found - found])
    images = found.pooled_resampled.std(axis=-1, ddof=1)
    variance = np.maximum(between.observed - between.explained, 0) / between.runs
    total, uncertain = images**2 + variance, between.observed / between.runs
    freedom = np.full_like(total, np.inf)
    np.divide(between.freedom * total**2, uncertain**2, out=freedom, where=variance > 0)
    return Error(images, np.sqrt(variance), freedom)


def single_quantile(confidence: float) -> float:
    """The normal quantile of an interval that stands alone."""
    return float(norm.ppf((1 + confidence) / 2))


def simultaneous_quantile(family: Sequence[Measured], confidence: float) -> Values:
    """The normal quantiles with which all intervals of a family hold together.

    Args:
        family: The differences of one or more techniques.
        confidence: Share of the cases in which all should hold the truth.

    Returns:
        float64 [metrics]; at least the quantile of a single interval.
    """
    deviations = []
    for found in family:
        spread = found.pooled_resampled.std(axis=-1, ddof=1, keepdims=True)
        apart = found.pooled_resampled - found.pooled_resampled.mean(axis=-1, keepdims=True)
        deviations.append(np.abs(apart) / np.where(spread > 0, spread, 1))
    largest = np.max(deviations, axis=0)
    together: Values = np.quantile(largest, confidence, axis=-1)
    return np.maximum(together, single_quantile(confidence))


def estimates(found: Measured, error: Error, quantile: float | Values) -> dict[str, Estimate]:
    """Each metric, or difference in it, with its interval; `quantile` as for `Error.reach`."""
    half = error.reach(quantile) * error.total
    return {
        name: Estimate(float(value), Interval(float(value - wide), float(value + wide)))
        for name, value, wide in zip(METRICS, found.pooled, half, strict=True)
    }


def sensitivity(
    found: Measured, error: Error, quantile: float, images: int
) -> dict[str, float | None]:
    """How small a difference in accuracy these runs could show, and what two points would take.

    Args:
        found: The differences of a technique.
        error: Their standard error.
        quantile: The normal quantile of its interval.
        images: How many were predicted.

    Returns:
        `smallest`: the difference that would be shown with 80 % power; `images`: how many images
        would show a difference of 0.02 with these runs, None where no number would; `repeats`: how
        many repeats would with these images, None where no number would, and where a single
        repeat does not tell what repeating changes.
    """
    factor = float(error.reach(quantile)[0] + norm.ppf(POWER))
    by_images, by_runs = (float(part[0]) ** 2 for part in (error.images, error.runs))
    target = (WORTH_SHOWING / factor) ** 2
    needed = images * by_images / (target - by_runs) if target > by_runs else None
    result: dict[str, float | None] = {
        "smallest": factor * float(error.total[0]),
        "images": None if needed is None else float(np.ceil(needed)),
        "repeats": None,
    }
    repeats, folds = found.runs.shape[:2]
    if repeats > 1:
        # Each repeat's own variance from the images holds what repeating averages out, too.
        alone = float(np.nanvar(found.runs_resampled[..., 0, :], axis=-1, ddof=1).mean()) / folds
        averaged = max(alone - by_images, 0) * repeats / (repeats - 1)  # falls with 1 / repeats
        lasting = max(by_images - averaged / repeats, 0)
        falling = averaged + by_runs * repeats
        if target > lasting:
            result["repeats"] = float(np.ceil(falling / (target - lasting)))
    return result
