"""Curves over all thresholds (ROC, precision and recall, cost), and the cost of a decision."""

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve, roc_curve

from pipeline.common.metrics import Predictions, Values

GRID = np.arange(101) / 100  # thresholds, and where the curves of several classes are averaged


def roc(predictions: Predictions) -> pd.DataFrame:
    """Compute the true positive rate against the false positive rate.

    Returns:
        Columns `fpr`, rising, and `tpr`: of the positive class; without one, of the second class
        of two, or the mean of the curves of each class against the rest at 101 false positive
        rates. Empty where all images are of one class.
    """
    curves = [roc_curve(*_against_rest(predictions, row))[:2] for row in _separable(predictions)]
    if len(predictions.ranked) > 1 and curves:
        mean = np.mean([np.interp(GRID, fpr, tpr) for fpr, tpr in curves], axis=0)
        curves = [(GRID, mean)]
    return pd.DataFrame(dict(zip(("fpr", "tpr"), *curves, strict=True)) if curves else {})


def precision_recall(predictions: Predictions) -> pd.DataFrame:
    """Compute precision against recall.

    Returns:
        Columns `recall`, rising, and `precision`; of which class, and when empty, as for `roc`.
    """
    curves = []
    for row in _separable(predictions):
        precision, recall, _ = precision_recall_curve(
            *_against_rest(predictions, row), drop_intermediate=True
        )
        curves.append((recall[::-1], precision[::-1]))
    if len(predictions.ranked) > 1 and curves:
        # The precision at which each recall is first reached.
        reached = [precision[np.searchsorted(recall, GRID)] for recall, precision in curves]
        curves = [(GRID, np.mean(reached, axis=0))]
    return pd.DataFrame(dict(zip(("recall", "precision"), *curves, strict=True)) if curves else {})


def threshold_curve(predictions: Predictions, miss_cost: float) -> pd.DataFrame:
    """Compute what each threshold on the positive class's probability finds, misses and costs.

    Args:
        predictions: For N images; the label in them is not read.
        miss_cost: Cost of a missed positive, in false alarms.

    Returns:
        Columns `threshold` from 0 to 1, `precision` (NaN where no image reaches the threshold),
        `recall` (NaN without positives), and `cost`, per image, in false alarms. Empty without a
        positive class.
    """
    if predictions.positive is None:
        return pd.DataFrame()
    scores = predictions.probabilities[:, predictions.positive]
    is_positive = predictions.labels == predictions.positive
    hits, alarms = (
        chosen.sum() - np.searchsorted(np.sort(scores[chosen]), GRID, side="left")
        for chosen in (is_positive, ~is_positive)
    )
    positives = is_positive.sum()
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, as intended
        precision, recall = hits / (hits + alarms), hits / positives
    cost = (miss_cost * (positives - hits) + alarms) / len(scores)
    return pd.DataFrame({"threshold": GRID, "precision": precision, "recall": recall, "cost": cost})


def cost(predictions: Predictions, miss_cost: float, weights: Values) -> dict[str, Values]:
    """Mean cost per image, in false alarms: a missed positive costs `miss_cost` of them.

    A metric as in `pipeline.common.metrics`; nothing without a positive class.
    """
    if predictions.positive is None:
        return {}
    missed, alarms = errors(predictions)
    return {"cost": (miss_cost * missed + alarms) @ weights / weights.sum(axis=0)}


def errors(predictions: Predictions) -> tuple[Values, Values]:
    """Which images are missed positives, and which are false alarms: 0 or 1, float64 [N] each."""
    is_positive = predictions.labels == predictions.positive
    called = predictions.predicted == predictions.positive
    return (is_positive & ~called).astype(np.float64), (called & ~is_positive).astype(np.float64)


def _separable(predictions: Predictions) -> list[int]:
    """The ranked classes that some images belong to, and others do not."""
    counts = np.bincount(predictions.labels, minlength=predictions.classes)
    return [row for row in predictions.ranked if 0 < counts[row] < len(predictions.labels)]


def _against_rest(predictions: Predictions, row: int) -> tuple[Values, Values]:
    return (predictions.labels == row).astype(np.float64), predictions.probabilities[:, row]
