"""Figures for a set of predictions, with intervals."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, log_loss, roc_auc_score

from pipeline.randomness import Purpose, generator

Labels = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]
Counts = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float


def confusion(labels: Labels, predicted: Labels, classes: int) -> npt.NDArray[np.int64]:
    """Counts [classes, classes]: rows are the true class, columns the predicted one."""
    matrix: npt.NDArray[np.int64] = confusion_matrix(labels, predicted, labels=np.arange(classes))
    return matrix


def measure(labels: Labels, probabilities: Probabilities, positive: int | None) -> dict[str, float]:
    """Every metric of a set of predictions.

    Args:
        labels: int64 [N].
        probabilities: float64 [N, classes]; the most probable class is the prediction.
        positive: The class of precision, recall, F1 and ROC AUC; None averages over classes.

    Returns:
        Metrics by name; `loss` is the mean cross-entropy in nats, `majority_accuracy` what always
        answering the commonest class would reach.
    """
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    counts = confusion(labels, predicted, classes)
    return {
        **{name: float(value) for name, value in from_counts(counts, positive).items()},
        "balanced_accuracy": float(balanced_accuracy_score(labels, predicted)),
        "roc_auc": _roc_auc(labels, probabilities, positive),
        "loss": float(log_loss(labels, probabilities, labels=np.arange(classes))),
        "majority_accuracy": float(counts.sum(axis=1).max() / len(labels)),
    }


def from_counts(counts: npt.NDArray[np.integer], positive: int | None) -> dict[str, Counts]:
    """Accuracy, precision, recall and F1 of one confusion matrix or of many at once.

    Args:
        counts: Integers [..., classes, classes], true class by predicted class.
        positive: The class to report, or None for the unweighted mean over classes.

    Returns:
        float64 [...] each; 0 where a ratio has an empty denominator, as scikit-learn has it.
    """
    right = np.diagonal(counts, axis1=-2, axis2=-1).astype(np.float64)
    called, true = counts.sum(axis=-2), counts.sum(axis=-1)
    per_class = {
        "precision": _ratio(right, called),
        "recall": _ratio(right, true),
        "f1": _ratio(2 * right, called + true),
    }
    chosen = {
        name: values.mean(axis=-1) if positive is None else values[..., positive]
        for name, values in per_class.items()
    }
    return {"accuracy": _ratio(right.sum(axis=-1), counts.sum(axis=(-2, -1))), **chosen}


def bootstrap(
    counts: npt.NDArray[np.int64],
    positive: int | None,
    *,
    resamples: int,
    confidence: float,
    seed: int = 0,
) -> dict[str, Interval]:
    """Percentile bootstrap intervals (Efron, 1979) of the metrics of `from_counts`.

    Drawing images with replacement and counting them is a multinomial draw of the confusion
    matrix's cells, so all resamples are made at once.

    Args:
        counts: int64 [classes, classes].
        positive: As for `from_counts`.
        resamples: Number of resamples.
        confidence: Share of the resamples inside the interval.
        seed: Seed of the draws.
    """
    total = int(counts.sum())
    draws = generator(seed, Purpose.BOOTSTRAP).multinomial(
        total, counts.ravel() / total, size=resamples
    )
    figures = from_counts(draws.reshape(resamples, *counts.shape), positive)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    return {
        name: Interval(*map(float, np.quantile(values, tails))) for name, values in figures.items()
    }


def _ratio(numerator: Counts, denominator: npt.NDArray[np.number]) -> Counts:
    ratio: Counts = np.zeros(np.shape(numerator))
    np.divide(numerator, denominator, out=ratio, where=np.asarray(denominator) > 0)
    return ratio


def _roc_auc(labels: Labels, probabilities: Probabilities, positive: int | None) -> float:
    """Area under the ROC curve; one-vs-rest averages for more than two classes."""
    if probabilities.shape[1] == 2:
        chosen = 1 if positive is None else positive
        return float(roc_auc_score(labels == chosen, probabilities[:, chosen]))
    if positive is not None:
        return float(roc_auc_score(labels == positive, probabilities[:, positive]))
    return float(roc_auc_score(labels, probabilities, multi_class="ovr"))
