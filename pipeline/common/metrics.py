"""Metrics of a set of predictions, for the images as they are and for any weighting of them.

A resample of the images is a weighting by how often each was drawn, so every metric takes many
weightings at once: an estimate and its interval come from one formula. scikit-learn has most of
these metrics for one weighting; the tests hold each against its.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]
Values = npt.NDArray[np.float64]

BINS = 15  # of the calibration error: Guo et al. (2017), and torchmetrics' default
SMALLEST = float(np.finfo(np.float64).eps)  # what the loss takes for 0, as scikit-learn does

RANKING = ("roc_auc", "average_precision")


@dataclass(frozen=True)
class Answers:
    """Answers to images whose labels are known.

    Attributes:
        labels: int64 [N].
        predicted: int64 [N].
        classes: How many there are.
        positive: The class of precision, recall and F1; None for averages over classes.
    """

    labels: Labels
    predicted: Labels
    classes: int
    positive: int | None


@dataclass(frozen=True)
class Predictions:
    """Answers to images whose labels are known.

    Attributes:
        labels: int64 [N].
        probabilities: float64 [N, classes]; rows sum to 1.
        positive: The class of precision, recall, F1, ROC AUC and average precision; None for
            averages over classes.
    """

    labels: Labels
    probabilities: Probabilities
    positive: int | None

    @property
    def classes(self) -> int:
        """How many there are."""
        return int(self.probabilities.shape[1])

    @property
    def predicted(self) -> Labels:
        """int64 [N], the most probable class."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def ranked(self) -> list[int]:
        """The classes whose rankings count: the positive one; of two, one tells of both."""
        if self.positive is not None:
            return [self.positive]
        return [1] if self.classes == 2 else list(range(self.classes))


def measure(labels: Labels, probabilities: Probabilities, positive: int | None) -> dict[str, float]:
    """Every metric of a set of predictions.

    Args:
        labels: int64 [N].
        probabilities: float64 [N, classes]; the most probable class is the prediction.
        positive: As in `Predictions`.

    Returns:
        Metrics by name, those of `weighted`; NaN where all labels are of one class, so that there
        is nothing to rank.
    """
    found = weighted(Predictions(labels, probabilities, positive), np.ones((len(labels), 1)))
    return {name: float(values[0]) for name, values in found.items()}


def weighted(predictions: Predictions, weights: Values) -> dict[str, Values]:
    """Every metric, for each of many weightings of the images.

    Args:
        predictions: Of N images.
        weights: float64 [N, R], at least 0.

    Returns:
        float64 [R] each: those of `of_answers`, `of_ranking` and `of_probabilities`.
    """
    answers = Answers(
        predictions.labels, predictions.predicted, predictions.classes, predictions.positive
    )
    return {
        **of_answers(answers, weights),
        **of_ranking(predictions, weights),
        **of_probabilities(predictions, weights),
    }


def of_answers(answers: Answers, weights: Values) -> dict[str, Values]:
    """Accuracy, balanced accuracy, precision, recall and F1: what labels alone tell.

    Balanced accuracy is the mean recall over the classes that occur. Where a ratio has nothing to
    divide by it is 0; averages over classes leave out classes that neither occur nor are
    predicted: both as scikit-learn has it.

    Args:
        answers: To N images.
        weights: float64 [N, R].

    Returns:
        float64 [R] each.
    """
    labels, predicted, classes = answers.labels, answers.predicted, answers.classes
    true, called = (sums(groups, classes, weights) for groups in (labels, predicted))
    hit = labels == predicted
    right = sums(labels[hit], classes, weights[hit])
    recall = _ratio(right, true)
    per_class = {
        "precision": _ratio(right, called),
        "recall": recall,
        "f1": _ratio(2 * right, called + true),
    }
    return {
        "accuracy": _ratio(right.sum(axis=0), weights.sum(axis=0)),
        "balanced_accuracy": _mean_where(recall, true > 0),
        **{
            name: _mean_where(values, called + true > 0)
            if answers.positive is None
            else values[answers.positive]
            for name, values in per_class.items()
        },
    }


def of_ranking(predictions: Predictions, weights: Values) -> dict[str, Values]:
    """ROC AUC and average precision; undefined (NaN) where all images are of the class, or none.

    For more than two classes without a positive one: the mean over classes, each against the
    rest, of those that are defined. Average precision is the sum of precisions, each weighted by
    the step in recall, without interpolation. Equal probabilities are one step of either curve.

    Args:
        predictions: Of N images.
        weights: float64 [N, R].

    Returns:
        float64 [R] each.
    """
    pairs = [_areas(predictions, chosen, weights) for chosen in predictions.ranked]
    return {
        name: _mean_where(np.stack(areas), np.isfinite(areas))
        for name, areas in zip(RANKING, zip(*pairs, strict=True), strict=True)
    }


def of_probabilities(predictions: Predictions, weights: Values) -> dict[str, Values]:
    """Loss, Brier score and expected calibration error, over all classes.

    The loss is the mean cross-entropy in nats. The Brier score (Brier, 1950) is the mean squared
    error of the probabilities, summed over classes: 0 to 2; of two classes it is that of one, 0
    to 1, as is usual. The calibration error (Naeini et al., 2015) is the mean distance between
    how probable an answer was said to be and how often it was right, over 15 bins of equal
    width, each weighted by its images. With two classes it looks at the probability of the
    positive one; with more at that of the predicted class (Guo et al., 2017).

    Args:
        predictions: Of N images.
        weights: float64 [N, R].

    Returns:
        float64 [R] each.
    """
    total = weights.sum(axis=0)
    stated, true = stated_probabilities(predictions)
    apart = sums(bin_of(stated), BINS, weights * (true - stated)[:, np.newaxis])
    return {
        "loss": _ratio(losses(predictions) @ weights, total),
        "brier": _ratio(_squared_errors(predictions) @ weights, total),
        "ece": _ratio(np.abs(apart).sum(axis=0), total),
    }


def losses(predictions: Predictions) -> Values:
    """float64 [N], the cross-entropy of each answer in nats."""
    rows = np.arange(len(predictions.labels))
    losses: Values = -np.log(predictions.probabilities[rows, predictions.labels].clip(SMALLEST, 1))
    return losses


def stated_probabilities(predictions: Predictions) -> tuple[Values, Values]:
    """What calibration is about: how probable something was said to be, and whether it was so.

    Returns:
        float64 [N] in 0…1, and float64 [N] of 0 and 1.
    """
    labels, probabilities = predictions.labels, predictions.probabilities
    if predictions.classes == 2:
        chosen = predictions.ranked[0]
        return probabilities[:, chosen], (labels == chosen).astype(np.float64)
    return probabilities.max(axis=1), (labels == predictions.predicted).astype(np.float64)


def bin_of(stated: Values) -> npt.NDArray[np.int64]:
    """int64 [N], which of the bins of equal width each probability lies in; 1 is in the last."""
    edges = np.linspace(0, 1, BINS + 1)
    bins: npt.NDArray[np.int64] = np.searchsorted(edges, stated, side="right") - 1
    return bins.clip(0, BINS - 1)


def _squared_errors(predictions: Predictions) -> Values:
    apart = predictions.probabilities - np.eye(predictions.classes)[predictions.labels]
    errors: Values = np.square(apart).sum(axis=1)
    return errors / 2 if predictions.classes == 2 else errors


def _areas(predictions: Predictions, chosen: int, weights: Values) -> tuple[Values, Values]:
    """Under the ROC curve and under the precision-recall curve of one class, float64 [R] each.

    Both curves are sums over the scores that images of the class have, however many others lie
    between: each other image goes to an even slot below such a score or to the odd slot of its own.
    """
    scores, belongs = predictions.probabilities[:, chosen], predictions.labels == chosen
    steps, step = np.unique(scores[belongs], return_inverse=True)
    slot = sum(np.searchsorted(steps, scores[~belongs], side) for side in ("left", "right"))
    inside = sums(step, len(steps), weights[belongs])
    up_to = sums(slot, 2 * len(steps) + 1, weights[~belongs]).cumsum(axis=0)
    hits = inside[::-1].cumsum(axis=0)[::-1]
    positives, negatives = inside.sum(axis=0), up_to[-1]
    below, at_most = up_to[:-1:2], up_to[1::2]
    precision = _ratio(hits, hits + negatives - below)
    pairs = positives * negatives
    roc = _ratio((inside * (below + at_most)).sum(axis=0) / 2, pairs, np.nan)
    average = _ratio((inside * precision).sum(axis=0), positives)
    return roc, np.where(pairs > 0, average, np.nan)


def sums(groups: Labels, count: int, weights: Values) -> Values:
    """Weights [N, R] summed by group: float64 [count, R]."""
    images = np.arange(len(groups))
    ones = np.ones(len(groups))
    summed: Values = csr_array((ones, (groups, images)), shape=(count, len(groups))) @ weights
    return summed


def _ratio(numerator: Values, denominator: Values, otherwise: float = 0.0) -> Values:
    ratio: Values = np.full(np.shape(numerator), otherwise)
    np.divide(numerator, denominator, out=ratio, where=denominator > 0)
    return ratio


def _mean_where(values: Values, counts: npt.NDArray[np.bool_]) -> Values:
    """The mean along the first axis of the values that count; NaN where none does."""
    total = np.where(counts, values, 0.0).sum(axis=0)
    return _ratio(total, counts.sum(axis=0).astype(np.float64), np.nan)
