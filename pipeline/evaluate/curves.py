"""ROC and precision-recall curves: of one class against the rest, or a mean over all classes."""

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from pipeline.common.metrics import Predictions, Values

GRID = np.arange(101) / 100  # where curves of several classes are averaged

Curve = dict[str, Values]


def roc(predictions: Predictions) -> Curve:
    """True against false positive rate.

    Args:
        predictions: Of N images.

    Returns:
        `fpr` and `tpr`, float64 [P] each: of the positive class; where there is none, of the
        second of two, or the mean over more of the curves of each against the rest, at a hundred
        false positive rates. Empty where the images are all of one class.
    """
    chosen = _separable(predictions)
    if not chosen:
        return {"fpr": np.empty(0), "tpr": np.empty(0)}
    if len(predictions.ranked) > 1:
        return _mean("fpr", "tpr", [_tpr_on_grid(predictions, row) for row in chosen])
    fpr, tpr, _ = roc_curve(*_against_rest(predictions, chosen[0]))
    return {"fpr": fpr, "tpr": tpr}


def precision_recall(predictions: Predictions) -> Curve:
    """Precision against recall.

    Args:
        predictions: Of N images.

    Returns:
        `recall`, rising, and `precision`, float64 [P] each; of which class, and when empty, as for
        `roc`.
    """
    chosen = _separable(predictions)
    if not chosen:
        return {"recall": np.empty(0), "precision": np.empty(0)}
    if len(predictions.ranked) > 1:
        return _mean(
            "recall", "precision", [_precision_on_grid(predictions, row) for row in chosen]
        )
    recall, precision = _rising(predictions, chosen[0])
    return {"recall": recall, "precision": precision}


def _separable(predictions: Predictions) -> list[int]:
    """The ranked classes that some images belong to, and others do not."""
    counts = np.bincount(predictions.labels, minlength=predictions.classes)
    images = len(predictions.labels)
    return [row for row in predictions.ranked if 0 < counts[row] < images]


def _against_rest(predictions: Predictions, row: int) -> tuple[Values, Values]:
    return (predictions.labels == row).astype(np.float64), predictions.probabilities[:, row]


def _rising(predictions: Predictions, row: int) -> tuple[Values, Values]:
    """Recall, rising, and precision."""
    precision, recall, _ = precision_recall_curve(
        *_against_rest(predictions, row), drop_intermediate=True
    )
    return recall[::-1], precision[::-1]


def _tpr_on_grid(predictions: Predictions, row: int) -> Values:
    fpr, tpr, _ = roc_curve(*_against_rest(predictions, row))
    found: Values = np.interp(GRID, fpr, tpr)
    return found


def _precision_on_grid(predictions: Predictions, row: int) -> Values:
    """The precision at which each recall is first reached."""
    recall, precision = _rising(predictions, row)
    found: Values = precision[np.searchsorted(recall, GRID)]
    return found


def _mean(x: str, y: str, curves: list[Values]) -> Curve:
    return {x: GRID, y: np.mean(curves, axis=0)}
