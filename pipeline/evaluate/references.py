"""Reference points: what is reached without a network, on the same images.

A network that does not beat them has learnt nothing that the pixels did not give away. All are
fitted on training images alone; the validation split chooses how strongly logistic regression is
regularised. They see what the network sees, the packed pixels, but shrunk where a side is over 32,
and of more than 5,000 training images a random 5,000, which bounds time and memory.
"""

import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

from pipeline.common.images import resize
from pipeline.common.metrics import Labels, Predictions, Probabilities, Values, losses
from pipeline.common.packed import PackedSplit
from pipeline.common.randomness import Purpose, generator

IMAGES = 5000  # of a split to learn from or to choose by
SIDE = 32  # pixels
AT_ONCE = 1000  # images in memory as floats: 25 MB
STRENGTHS = (0.001, 0.003, 0.01, 0.03)  # scikit-learn's C, from the most regularised on
ITERATIONS = 200

Pixels = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Reference:
    """What a reference answers to the test images.

    Attributes:
        predicted: int64 [N].
        probabilities: float64 [N, classes]; None for the nearest neighbour, which has none.
    """

    predicted: Labels
    probabilities: Probabilities | None


def references(
    train: PackedSplit, validation: PackedSplit, test: PackedSplit
) -> dict[str, Reference]:
    """The answers of each reference, by its name.

    Args:
        train: To learn from.
        validation: To choose logistic regression's C by.
        test: To answer.
    """
    rows, asked = sample(train, stream=0), np.arange(len(test))
    # One thread: their number changes the last bits of a sum, and so where a fit comes to rest.
    with threadpool_limits(1):
        pixels, labels = _pixels(train, rows), train.labels[rows]
        neighbour = KNeighborsClassifier(1, algorithm="brute").fit(pixels, labels)
        regression = _fit_regression(pixels, labels, validation)
        return {
            "majority_class": _majority(train, len(test)),
            "nearest_neighbour": Reference(
                _in_parts(test, asked, neighbour.predict).astype(np.int64), None
            ),
            "logistic_regression": _answers(_probabilities(regression, test, asked)),
        }


def sample(split: PackedSplit, stream: int) -> Rows:
    """The rows to use: all, or 5,000 at random in their own order."""
    if len(split) <= IMAGES:
        return np.arange(len(split))
    drawn = generator(0, Purpose.REFERENCES, stream).choice(len(split), IMAGES, replace=False)
    return np.sort(drawn)


def _majority(train: PackedSplit, images: int) -> Reference:
    """Each class as probable as it is common in training."""
    counts = np.bincount(train.labels, minlength=len(train.classes))
    return _answers(np.tile(counts / len(train), (images, 1)))


def _answers(probabilities: Probabilities) -> Reference:
    return Reference(probabilities.argmax(axis=1), probabilities)


def _fit_regression(pixels: Pixels, labels: Labels, validation: PackedSplit) -> LogisticRegression:
    """Of the strengths, the one with the least loss on validation images."""
    rows = sample(validation, stream=1)
    path = _regressions(pixels, labels)
    return min(path, key=lambda fitted: _loss(fitted, validation, rows))


def _regressions(pixels: Pixels, labels: Labels) -> Iterator[LogisticRegression]:
    """One for each strength, each starting where the one before came to rest."""
    regression = LogisticRegression(max_iter=ITERATIONS, warm_start=True)
    for strength in STRENGTHS:
        with warnings.catch_warnings():
            # After so many steps, what more of them would gain is overfitting.
            warnings.simplefilter("ignore", ConvergenceWarning)
            regression.set_params(C=strength).fit(pixels, labels)
        yield deepcopy(regression)


def _loss(regression: LogisticRegression, split: PackedSplit, rows: Rows) -> float:
    probabilities = _probabilities(regression, split, rows)
    return float(losses(Predictions.most_probable(split.labels[rows], probabilities, None)).mean())


def _probabilities(regression: LogisticRegression, split: PackedSplit, rows: Rows) -> Probabilities:
    """float64 [rows, classes]; 0 for a class of which no image was learnt from."""
    found = np.zeros((len(rows), len(split.classes)))
    found[:, regression.classes_] = _in_parts(split, rows, regression.predict_proba)
    return found


def _in_parts(split: PackedSplit, rows: Rows, answer: Callable[[Pixels], Values]) -> Values:
    parts = [rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE)]
    return np.concatenate([answer(_pixels(split, part)) for part in parts])


def _pixels(split: PackedSplit, rows: Rows) -> Pixels:
    """float64 [rows, values], from -0.5 to 0.5."""
    images = split.images[rows]
    if split.size > SIDE:
        images = np.stack([resize(image, SIDE) for image in images])
    pixels: Pixels = images.reshape(len(rows), -1) / 255 - 0.5
    return pixels
