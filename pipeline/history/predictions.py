"""What a revision's model answered, image by image, and how sure a difference of two is.

Two models tested on the same images are compared image by image: a resample of the images is drawn
once and applied to both, so that what an easy image gives to both cancels out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.errors import HistoryError
from pipeline.evaluation.metrics import Interval, from_counts
from pipeline.history.revisions import Table
from pipeline.randomness import Purpose, generator

PROBABILITY = "probability_"  # begins the name of a column
CHUNK = 200  # resamples at once: 16 MB for 10,000 images

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """What `predictions.csv` holds, in the order of the images' names.

    Attributes:
        images: Names.
        classes: Names.
        labels: int64 [N].
        probabilities: float64 [N, classes].
        positive: The class of precision, recall, F1 and ROC AUC; None averages over classes.
    """

    images: list[str]
    classes: list[str]
    labels: npt.NDArray[np.int64]
    probabilities: Values
    positive: int | None

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """The most probable class of each image: int64 [N]."""
        predicted: npt.NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return predicted


@dataclass(frozen=True)
class Change:
    """An image of which two models say different things.

    Attributes:
        image: Its name.
        label: The true class.
        old: The class that the first model gave.
        new: The class that the second gave.
        certainty: The probability that the second gave it.
    """

    image: str
    label: str
    old: str
    new: str
    certainty: float

    @property
    def kind(self) -> str:
        """`lost`: wrong now; `gained`: right now; `other`: wrong before and after."""
        if self.old == self.label:
            return "lost"
        return "gained" if self.new == self.label else "other"


def parse(table: Table, positive: str, title: str) -> Predictions:
    """Read the columns of `predictions.csv`.

    Args:
        table: Columns by name.
        positive: Name of the positive class; where the data lack it, metrics are class averages.
        title: What to call it in messages.

    Raises:
        HistoryError: A column is missing, or a cell makes no sense.
    """
    classes = [name.removeprefix(PROBABILITY) for name in table if name.startswith(PROBABILITY)]
    try:
        order = np.argsort(table["image"])
        labels = np.array([classes.index(label) for label in table["label"]], dtype=np.int64)
        columns = [np.array(table[PROBABILITY + name], dtype=np.float64) for name in classes]
        return Predictions(
            images=sorted(table["image"]),
            classes=classes,
            labels=labels[order],
            probabilities=np.stack(columns, axis=1)[order],
            positive=classes.index(positive) if positive in classes else None,
        )
    except (KeyError, ValueError) as error:
        raise HistoryError(f"{title} cannot be read: {error}; `dvc repro` makes it") from None


def changes(old: Predictions, new: Predictions) -> list[Change]:
    """The images, common to both, whose answer is another now; those answered wrong now first.

    Args:
        old: Of the first revision.
        new: Of the second.
    """
    rows = {name: row for row, name in enumerate(old.images)}
    found = [
        Change(
            image=name,
            label=new.classes[new.labels[row]],
            old=old.classes[old.predicted[rows[name]]],
            new=new.classes[new.predicted[row]],
            certainty=float(new.probabilities[row].max()),
        )
        for row, name in enumerate(new.images)
        if name in rows
    ]
    order = ["lost", "gained", "other"]
    return sorted(
        (change for change in found if change.old != change.new),
        key=lambda change: (order.index(change.kind), -change.certainty),
    )


def intervals(
    old: Predictions, new: Predictions, *, paired: bool, resamples: int, confidence: float
) -> dict[str, Interval]:
    """Percentile bootstrap intervals (Efron, 1979) of new less old, for each metric.

    Args:
        old: Of the first revision.
        new: Of the second.
        paired: Whether both have the same images: then one draw of images serves both.
        resamples: Number of resamples.
        confidence: Share of the resamples inside the interval.

    Returns:
        By the metric's name in `metrics.json`. They allow for other test images, not for other
        seeds of the training.
    """
    parts: dict[str, list[Values]] = {}
    draws = zip(
        _draws(len(old.images), resamples, 0),
        _draws(len(new.images), resamples, 0 if paired else 1),
        strict=True,
    )
    for first, second in draws:
        before, after = figures(old, first), figures(new, second)
        for name in before.keys() & after.keys():
            parts.setdefault(name, []).append(after[name] - before[name])
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    return {
        name: Interval(*map(float, np.nanquantile(np.concatenate(parts[name]), tails)))
        for name in sorted(parts)
    }


def figures(predictions: Predictions, weights: npt.NDArray[np.int64]) -> dict[str, Values]:
    """The metrics of `pipeline.evaluation.metrics.measure`, for many resamples at once.

    Args:
        predictions: N images.
        weights: int64 [resamples, N]: how often each image was drawn.

    Returns:
        float64 [resamples] each; NaN where a resample lacks a class that the metric needs.
    """
    size = len(predictions.classes)
    cells = np.eye(size * size)[predictions.labels * size + predictions.predicted]
    counts = (weights @ cells).reshape(len(weights), size, size)
    found = from_counts(counts.astype(np.int64), predictions.positive)
    found["balanced_accuracy"] = _balanced_accuracy(counts)
    found["loss"] = weights @ _losses(predictions) / weights.sum(axis=1)
    positive = 1 if predictions.positive is None and size == 2 else predictions.positive
    if positive is not None:
        found["roc_auc"] = _roc_auc(predictions, positive, weights)
    return found


def _draws(images: int, resamples: int, stream: int) -> Iterator[npt.NDArray[np.int64]]:
    """How often each image is drawn: int64 [at most CHUNK, images], `resamples` rows in all."""
    draw = generator(0, Purpose.BOOTSTRAP, stream)
    share = np.full(images, 1 / images)
    for start in range(0, resamples, CHUNK):
        yield draw.multinomial(images, share, size=min(CHUNK, resamples - start))


def _balanced_accuracy(counts: Values) -> Values:
    """Mean recall over the classes that are present, as scikit-learn has it."""
    true = counts.sum(axis=-1)
    recall = np.divide(
        np.diagonal(counts, axis1=-2, axis2=-1), true, out=np.zeros_like(true), where=true > 0
    )
    balanced: Values = recall.sum(axis=-1) / (true > 0).sum(axis=-1)
    return balanced


def _losses(predictions: Predictions) -> Values:
    """Cross-entropy of each image in nats, bounded as scikit-learn bounds it."""
    rows = predictions.probabilities / predictions.probabilities.sum(axis=1, keepdims=True)
    true = rows[np.arange(len(rows)), predictions.labels]
    losses: Values = -np.log(np.clip(true, np.finfo(np.float64).eps, 1))
    return losses


def _roc_auc(predictions: Predictions, positive: int, weights: npt.NDArray[np.int64]) -> Values:
    """The share of pairs (positive, negative) in the right order; ties count half."""
    scores = predictions.probabilities[:, positive]
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    is_positive = predictions.labels[order] == positive
    drawn = weights[:, order]
    positives = np.add.reduceat(drawn * is_positive, starts, axis=1)
    negatives = np.add.reduceat(drawn * ~is_positive, starts, axis=1)
    below = negatives.cumsum(axis=1) - negatives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    area: Values = np.full(len(weights), np.nan)
    np.divide((positives * below).sum(axis=1), pairs, out=area, where=pairs > 0)
    return area
