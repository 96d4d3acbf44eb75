"""The threshold curve says what each threshold finds, misses and costs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.metrics import Predictions
from pipeline.evaluate.thresholds import at_threshold, mistakes, threshold_curve

SCORES = np.array([0.1, 0.4, 0.5, 0.8])
IS_POSITIVE = np.array([False, True, False, True])


def row_at(threshold: float, scores: np.ndarray = SCORES) -> dict[str, float]:
    curve = threshold_curve(scores, IS_POSITIVE, miss_cost=3)
    index = int(np.flatnonzero(curve["threshold"] == threshold)[0])
    return {name: float(column[index]) for name, column in curve.items()}


def test_by_hand() -> None:
    assert row_at(0.0) == {"threshold": 0, "precision": 0.5, "recall": 1, "cost": 2 / 4}
    assert row_at(0.5) == {"threshold": 0.5, "precision": 0.5, "recall": 0.5, "cost": (3 + 1) / 4}
    assert row_at(0.51) == {"threshold": 0.51, "precision": 1, "recall": 0.5, "cost": 3 / 4}


def test_precision_is_undefined_where_nothing_is_called_positive() -> None:
    last = row_at(1.0)
    assert np.isnan(last.pop("precision"))
    assert last == {"threshold": 1, "recall": 0, "cost": 6 / 4}


def test_a_probability_that_equals_the_threshold_reaches_it() -> None:
    assert row_at(0.29, np.array([0.29, 0.29, 0.29, 0.29]))["recall"] == 1


@given(threshold=st.integers(0, 100), seed=st.integers(0, 1000))
def test_the_curve_agrees_with_the_answers_at_each_threshold(threshold: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    scores, labels = draw.random(30).round(2), draw.integers(0, 2, 30)
    curve = threshold_curve(scores, labels == 1, miss_cost=2.5)
    called = (scores >= curve["threshold"][threshold]).astype(np.int64)
    predictions = Predictions(labels, called, np.stack([1 - scores, scores], axis=1), positive=1)
    found = at_threshold(predictions, 2.5, np.ones((30, 1)))
    missed, alarms = mistakes(predictions)
    assert found["cost"][0] == pytest.approx(curve["cost"][threshold])
    assert found["cost"][0] == pytest.approx((2.5 * missed.sum() + alarms.sum()) / 30)
    if called.any():
        assert found["precision"][0] == pytest.approx(curve["precision"][threshold])
    if labels.any():
        assert found["recall"][0] == pytest.approx(curve["recall"][threshold])
