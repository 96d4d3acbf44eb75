"""Reference models: what is reached without a network, on the same images.

A network that does not beat them has learnt nothing that its inputs alone do not show. All are
fitted on training images; the validation split chooses how strongly logistic regression is
regularised. They see what the MLP sees of unaugmented images: the packed pixels, or standardised
vectors. To bound time and memory, images of more than 32 pixels a side are shrunk, and of more
than 5,000 images a random 5,000 are used.
"""

import warnings
from collections.abc import Callable
from copy import deepcopy

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from pipeline.common.datasets import PackedSplit
from pipeline.common.images import resize
from pipeline.common.metrics import Labels, Predictions, Probabilities, Values, losses
from pipeline.common.randomness import Purpose, generator

IMAGES = 5000  # of a split to learn from or to choose by
SIDE = 32  # pixels
AT_ONCE = 1000  # images in memory as floats: 25 MB
STRENGTHS = (0.001, 0.003, 0.01, 0.03)  # scikit-learn's C, from the most regularised on
ITERATIONS = 200

Inputs = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


def reference_models(
    train: PackedSplit, validation: PackedSplit, test: PackedSplit, positive: int | None
) -> dict[str, Predictions]:
    """Fit the reference models and predict the most probable class of each test image.

    Returns:
        `majority_class`, each class as probable as it is frequent in training;
        `nearest_neighbour`, whose probabilities are only 0 and 1; and `logistic_regression`.
    """
    rows, test_rows = sample(train, stream=0), np.arange(len(test))
    # On one thread, as their number changes the last bits of a sum, and so where a fit stops.
    with threadpool_limits(1):
        inputs, labels = _inputs(train, rows), train.labels[rows]
        neighbour = _scaled(KNeighborsClassifier(1, algorithm="brute"), train)
        neighbour.fit(inputs, labels)
        nearest = _in_parts(test, test_rows, neighbour.predict).astype(np.int64)
        regression = _fit_regression(inputs, labels, validation)
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


def _scaled(model: BaseEstimator, split: PackedSplit) -> Pipeline:
    """Precede a model by standardisation where each value has a scale of its own."""
    return make_pipeline("passthrough" if split.vectors is None else StandardScaler(), model)


def _fit_regression(inputs: Inputs, labels: Labels, validation: PackedSplit) -> Pipeline:
    """Fit with each strength, starting from the one before; keep the least validation loss."""
    rows = sample(validation, stream=1)
    regression = _scaled(LogisticRegression(max_iter=ITERATIONS, warm_start=True), validation)
    fitted = []
    for strength in STRENGTHS:
        with warnings.catch_warnings():
            # After so many steps, further ones would only overfit.
            warnings.simplefilter("ignore", ConvergenceWarning)
            regression.set_params(logisticregression__C=strength).fit(inputs, labels)
        predictions = Predictions.most_probable(
            validation.labels[rows], _probabilities(regression, validation, rows), None
        )
        fitted.append((float(losses(predictions).mean()), deepcopy(regression)))
    return min(fitted, key=lambda pair: pair[0])[1]


def _probabilities(regression: Pipeline, split: PackedSplit, rows: Rows) -> Probabilities:
    """float64 [rows, classes]; 0 for a class without a training image."""
    found = np.zeros((len(rows), len(split.classes)))
    found[:, regression.classes_] = _in_parts(split, rows, regression.predict_proba)
    return found


def _in_parts(split: PackedSplit, rows: Rows, predict: Callable[[Inputs], Values]) -> Values:
    parts = [rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE)]
    return np.concatenate([predict(_inputs(split, part)) for part in parts])


def _inputs(split: PackedSplit, rows: Rows) -> Inputs:
    """float64 [rows, values]: vectors, or pixels from -0.5 to 0.5."""
    if split.vectors is not None:
        vectors: Inputs = split.inputs[rows].astype(np.float64)
        return vectors
    images = split.images[rows]
    if split.size > SIDE:
        images = np.stack([resize(image, SIDE) for image in images])
    pixels: Inputs = images.reshape(len(rows), -1) / 255 - 0.5
    return pixels
