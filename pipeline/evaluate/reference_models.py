"""Reference models: what is reached without a network, on the same images.

A network that does not beat them has learnt nothing that the pixels alone do not show. All are
fitted on training images; the validation split chooses how strongly logistic regression is
regularised. They see the packed pixels, as the network does. To bound time and memory, images of
more than 32 pixels a side are shrunk, and of more than 5,000 images a random 5,000 are used.
"""

import warnings
from collections.abc import Callable
from copy import deepcopy

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


def reference_models(
    train: PackedSplit, validation: PackedSplit, test: PackedSplit, positive: int | None
) -> dict[str, Predictions]:
    """Fit the reference models and predict the most probable class of each test image.

    Args:
        train: To learn from.
        validation: To choose logistic regression's C by.
        test: To predict; its labels are only passed on.
        positive: As in `Predictions`.

    Returns:
        `majority_class`, each class as probable as it is frequent in training;
        `nearest_neighbour`, whose probabilities are only 0 and 1; and `logistic_regression`.
    """
    rows, test_rows = sample(train, stream=0), np.arange(len(test))
    # On one thread, as their number changes the last bits of a sum, and so where a fit stops.
    with threadpool_limits(1):
        pixels, labels = _pixels(train, rows), train.labels[rows]
        neighbour = KNeighborsClassifier(1, algorithm="brute").fit(pixels, labels)
        nearest = _in_parts(test, test_rows, neighbour.predict).astype(np.int64)
        regression = _fit_regression(pixels, labels, validation)
        shares = np.bincount(train.labels, minlength=len(train.classes)) / len(train)
        probabilities = {
            "majority_class": np.tile(shares, (len(test), 1)),
            "nearest_neighbour": np.eye(len(train.classes))[nearest],
            "logistic_regression": _probabilities(regression, test, test_rows),
        }
    return {
        name: Predictions.most_probable(test.labels, values, positive)
        for name, values in probabilities.items()
    }


def sample(split: PackedSplit, stream: int) -> Rows:
    """Choose the rows to use: all, or 5,000 at random in their own order."""
    if len(split) <= IMAGES:
        return np.arange(len(split))
    draw = generator(0, Purpose.REFERENCES, stream)
    return np.sort(draw.choice(len(split), IMAGES, replace=False))


def _fit_regression(pixels: Pixels, labels: Labels, validation: PackedSplit) -> LogisticRegression:
    """Fit with each strength, starting from the one before; keep the least validation loss."""
    rows = sample(validation, stream=1)
    regression = LogisticRegression(max_iter=ITERATIONS, warm_start=True)
    fitted = []
    for strength in STRENGTHS:
        with warnings.catch_warnings():
            # After so many steps, further ones would only overfit.
            warnings.simplefilter("ignore", ConvergenceWarning)
            regression.set_params(C=strength).fit(pixels, labels)
        predictions = Predictions.most_probable(
            validation.labels[rows], _probabilities(regression, validation, rows), None
        )
        fitted.append((float(losses(predictions).mean()), deepcopy(regression)))
    return min(fitted, key=lambda pair: pair[0])[1]


def _probabilities(regression: LogisticRegression, split: PackedSplit, rows: Rows) -> Probabilities:
    """float64 [rows, classes]; 0 for a class without a training image."""
    found = np.zeros((len(rows), len(split.classes)))
    found[:, regression.classes_] = _in_parts(split, rows, regression.predict_proba)
    return found


def _in_parts(split: PackedSplit, rows: Rows, predict: Callable[[Pixels], Values]) -> Values:
    parts = [rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE)]
    return np.concatenate([predict(_pixels(split, part)) for part in parts])


def _pixels(split: PackedSplit, rows: Rows) -> Pixels:
    """float64 [rows, values], from -0.5 to 0.5."""
    images = split.images[rows]
    if split.size > SIDE:
        images = np.stack([resize(image, SIDE) for image in images])
    pixels: Pixels = images.reshape(len(rows), -1) / 255 - 0.5
    return pixels
