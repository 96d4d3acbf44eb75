"""Intervals of a difference between two models, and which answers changed."""

from typing import Any

import numpy as np
import pytest

from pipeline.common.errors import RevisionError
from pipeline.revisions.predictions import Predictions, changes, intervals, parse


def predictions(images: int, classes: int, positive: int | None, seed: int) -> Predictions:
    """Labels that depend on the image alone, probabilities on the seed too; with ties."""
    labels = np.arange(images) % classes
    scores = np.random.default_rng(seed).normal(0, 1, (images, classes)).round(1)
    scores[np.arange(images), labels] += 1
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    names = [f"{index:04}" for index in range(images)]
    return Predictions(names, list("abcd"[:classes]), labels, probabilities, positive)


def test_pairing_narrows_the_interval() -> None:
    old = predictions(300, 2, 1, seed=1)
    probabilities = old.probabilities.copy()
    lost = np.flatnonzero(old.predicted == old.labels)[:6]
    probabilities[lost] = probabilities[lost, ::-1]
    new = Predictions(old.images, old.classes, old.labels, probabilities, 1)
    how: Any = {"resamples": 500, "confidence": 0.95}
    paired = intervals(old, new, paired=True, **how)["accuracy"]
    unpaired = intervals(old, new, paired=False, **how)["accuracy"]
    # Six of 300 are lost; the standard error of a paired difference of 0.02 is 0.008.
    assert (paired.low, paired.high) == pytest.approx((-0.037, -0.007), abs=0.005)
    assert unpaired.low < paired.low
    assert paired.high < unpaired.high


def test_models_alike_have_an_interval_of_nothing() -> None:
    made = predictions(50, 2, 1, seed=1)
    ends = intervals(made, made, paired=True, resamples=100, confidence=0.95)
    assert {"accuracy", "f1", "roc_auc", "loss"} < ends.keys()
    assert all((interval.low, interval.high) == (0, 0) for interval in ends.values())


def test_the_same_call_gives_the_same_interval() -> None:
    old, new = predictions(50, 2, 1, seed=1), predictions(50, 2, 1, seed=2)
    first, second = (
        intervals(old, new, paired=True, resamples=300, confidence=0.9) for _ in range(2)
    )
    assert first == second


def test_answers_are_matched_by_the_name_of_the_image() -> None:
    table = {
        "image": ["b", "a", "c"],
        "label": ["x", "y", "y"],
        "probability_x": ["0.9", "0.2", "0.4"],
        "probability_y": ["0.1", "0.8", "0.6"],
    }
    other = {
        "image": ["c", "a", "d"],
        "label": ["y", "y", "x"],
        "probability_x": ["0.7", "0.3", "0.4"],
        "probability_y": ["0.3", "0.7", "0.6"],
    }
    (change,) = changes(parse(table, "y", "old"), parse(other, "y", "new"))
    assert (change.image, change.label, change.old, change.new) == ("c", "y", "y", "x")
    assert (change.kind, change.certainty) == ("lost", 0.7)


@pytest.mark.parametrize(
    "table",
    [
        {"image": ["a"], "label": ["x"]},
        {"image": ["a"], "label": ["z"], "probability_x": ["1"]},
        {"image": ["a"], "label": ["x"], "probability_x": ["much"]},
    ],
)
def test_damaged_predictions_are_named(table: dict[str, list[str]]) -> None:
    with pytest.raises(RevisionError, match=r"predictions\.csv of HEAD cannot be read: "):
        parse(table, "x", "predictions.csv of HEAD")
