"""What a threshold on the positive class's probability finds, misses and costs."""

import numpy as np
import numpy.typing as npt

from pipeline.common.metrics import Labels, Predictions, Values, label_metrics

STEPS = 100  # thresholds at every hundredth, whatever the images


def threshold_curve(
    scores: Values, is_positive: npt.NDArray[np.bool_], miss_cost: float
) -> dict[str, Values]:
    """Precision, recall and cost at each threshold.

    Args:
        scores: Probability of the positive class, float64 [N].
        is_positive: Which images are of it, bool [N].
        miss_cost: How many false alarms a missed positive is as bad as.

    Returns:
        float64 [101] each: `threshold` from 0 to 1, `precision` (NaN where no image reaches the
        threshold), `recall` (NaN without positives), and `cost`, per image, in false alarms.
    """
    thresholds = np.arange(STEPS + 1) / STEPS
    hits, alarms = (_reaching(thresholds, scores[chosen]) for chosen in (is_positive, ~is_positive))
    misses = is_positive.sum() - hits
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, and means it
        precision, recall = hits / (hits + alarms), hits / is_positive.sum()
    cost = (miss_cost * misses + alarms) / len(scores)
    return {"threshold": thresholds, "precision": precision, "recall": recall, "cost": cost}


def at_threshold(predictions: Predictions, miss_cost: float, weights: Values) -> dict[str, Values]:
    """The metrics of `label_metrics`, and `cost`: per image, in false alarms.

    Args:
        predictions: For N images; one class must be the positive one.
        miss_cost: As for `threshold_curve`.
        weights: float64 [N, R].

    Returns:
        float64 [R] each.
    """
    misses, alarms = mistakes(predictions)
    cost = (miss_cost * misses + alarms) @ weights / weights.sum(axis=0)
    return {**label_metrics(predictions, weights), "cost": cost}


def mistakes(predictions: Predictions) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which images are missed positives, and which are false alarms: bool [N] each."""
    is_positive, called = (
        _of_positive(predictions.labels, predictions),
        _of_positive(predictions.predicted, predictions),
    )
    return is_positive & ~called, called & ~is_positive


def _of_positive(labels: Labels, predictions: Predictions) -> npt.NDArray[np.bool_]:
    return np.asarray(labels == predictions.positive)


def _reaching(thresholds: Values, scores: Values) -> Values:
    """How many scores are at least each threshold."""
    below = np.searchsorted(np.sort(scores), thresholds, side="left")
    return (len(scores) - below).astype(np.float64)
