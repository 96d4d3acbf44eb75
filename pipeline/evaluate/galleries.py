"""Which test images to show, and what to write above them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.common.metrics import Predictions

SHOWN = 18  # images in a gallery
WIDTH = 23  # characters that fit above an image

Rows = npt.NDArray[np.int64]


def surest_mistakes(predictions: Predictions) -> Rows:
    """The wrong answers that were thought most probable: up to 18 rows, the surest first."""
    certainty = predictions.probabilities.max(axis=1)
    wrong = np.flatnonzero(predictions.predicted != predictions.labels)
    return wrong[np.argsort(-certainty[wrong], kind="stable")][:SHOWN]


def least_certain(predictions: Predictions) -> Rows:
    """The answers, right or wrong, that were thought least probable: up to 18 rows."""
    certainty = predictions.probabilities.max(axis=1)
    return np.argsort(certainty, kind="stable")[:SHOWN]


def captions(
    predictions: Predictions, rows: Rows, names: Sequence[str], classes: Sequence[str]
) -> list[str]:
    """The file's name, then the true class and what was predicted, with which probability.

    Args:
        predictions: Of all images.
        rows: Those to caption.
        names: Of all images.
        classes: Names in the order of the labels.
    """
    return [_caption(predictions, row, names[row], classes) for row in rows]


def _caption(predictions: Predictions, row: int, name: str, classes: Sequence[str]) -> str:
    guess, label = predictions.predicted[row], predictions.labels[row]
    certainty = predictions.probabilities[row, guess]
    said = f"said {classes[guess]}" if guess != label else "right"
    lines = (name, classes[label], f"{said}, {certainty:.0%}")
    return "\n".join(_shortened(line) for line in lines)


def _shortened(line: str) -> str:
    """The end of a name tells images apart, and so does its beginning: the middle gives way."""
    if len(line) <= WIDTH:
        return line
    head = (WIDTH - 1) // 2
    return f"{line[:head]}…{line[-(WIDTH - 1 - head) :]}"
