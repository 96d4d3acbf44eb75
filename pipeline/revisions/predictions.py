"""What a revision's model answered, image by image, and how sure a difference of two is.

Two models tested on the same images are compared image by image: a resample of the images is drawn
once and applied to both, so that what an easy image gives to both cancels out.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.common import metrics
from pipeline.common.errors import RevisionError
from pipeline.common.resampling import Interval, Resampling, percentile, resampled
from pipeline.revisions.revisions import Table

PROBABILITY = "probability_"  # begins the name of a column

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
        RevisionError: A column is missing, or a cell makes no sense.
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
        raise RevisionError(f"{title} cannot be read: {error}; `dvc repro` makes it") from None


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
    before, after = (
        _resampled(predictions, Resampling(confidence, resamples, seed))
        for predictions, seed in ((old, 0), (new, 0 if paired else 1))
    )
    how = Resampling(confidence, resamples)
    apart = {name: after[name] - before[name] for name in sorted(before.keys() & after.keys())}
    return {name: percentile(x, how) for name, x in apart.items() if np.isfinite(x).any()}


def _resampled(predictions: Predictions, how: Resampling) -> dict[str, Values]:
    """Every metric of every resample of the images, float64 [resamples] each."""
    shown = metrics.Predictions(
        predictions.labels, predictions.predicted, predictions.probabilities, predictions.positive
    )
    return resampled(
        lambda weights: metrics.weighted_metrics(shown, weights), len(predictions.images), how
    )
