"""Areas under the curves are the metrics of that name; a threshold costs what its labels cost."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.metrics import Predictions, label_metrics
from pipeline.evaluate.curves import cost, errors, precision_recall, roc, threshold_curve
from tests.helpers.metrics import measure


def predictions(classes: int, positive: int | None, images: int = 300) -> Predictions:
    draw = np.random.default_rng(classes)
    labels = draw.integers(0, classes, images)
    noise = draw.dirichlet(np.ones(classes), images)
    probabilities = (0.7 * noise + 0.3 * np.eye(classes)[labels]).round(2)
    return Predictions.most_probable(labels, probabilities, positive)


@pytest.mark.parametrize(
    ("classes", "positive", "off"), [(2, 0, 0), (2, None, 0), (3, 1, 0), (4, None, 0.01)]
)
def test_areas(classes: int, positive: int | None, off: float) -> None:
    shown = predictions(classes, positive)
    metrics = measure(shown)
    curve = roc(shown)
    area = np.trapezoid(curve["tpr"], curve["fpr"])
    assert area == pytest.approx(metrics["roc_auc"], abs=off + 1e-9)
    curve = precision_recall(shown)
    steps = (np.diff(curve["recall"]) * curve["precision"][1:]).sum()
    assert steps == pytest.approx(metrics["average_precision"], abs=off + 1e-9)


def test_curves_run_from_left_to_right() -> None:
    for classes in (2, 5):
        shown = predictions(classes, None)
        assert (np.diff(roc(shown)["fpr"]) >= 0).all()
        assert (np.diff(precision_recall(shown)["recall"]) >= 0).all()


def test_a_class_without_images_is_left_out_of_the_mean() -> None:
    shown = predictions(3, None)
    kept = shown.labels < 2
    fewer = Predictions.most_probable(shown.labels[kept], shown.probabilities[kept], None)
    area = np.trapezoid(roc(fewer)["tpr"], roc(fewer)["fpr"])
    assert area == pytest.approx(measure(fewer)["roc_auc"], abs=0.01)


@pytest.mark.parametrize("classes", [2, 3])
def test_images_of_one_class_have_no_curve(classes: int) -> None:
    labels, uniform = np.zeros(4, dtype=np.int64), np.full((4, classes), 1 / classes)
    alone = Predictions.most_probable(labels, uniform, None)
    assert roc(alone).empty
    assert precision_recall(alone).empty


# ---- thresholds

SCORES = np.array([0.1, 0.4, 0.5, 0.8])
LABELS = np.array([0, 1, 0, 1])


def of_scores(labels: np.ndarray, scores: np.ndarray, threshold: float = 0.5) -> Predictions:
    called = (scores >= threshold).astype(np.int64)
    return Predictions(labels, called, np.stack([1 - scores, scores], axis=1), 1)


def row_at(threshold: float, scores: np.ndarray = SCORES) -> pd.Series:
    curve = threshold_curve(of_scores(LABELS, scores), miss_cost=3)
    return curve.set_index("threshold").loc[threshold]


def test_thresholds_by_hand() -> None:
    assert row_at(0.0).to_dict() == {"precision": 0.5, "recall": 1, "cost": 2 / 4}
    assert row_at(0.5).to_dict() == {"precision": 0.5, "recall": 0.5, "cost": (3 + 1) / 4}
    assert row_at(0.51).to_dict() == {"precision": 1, "recall": 0.5, "cost": 3 / 4}


def test_precision_is_undefined_where_nothing_is_predicted_positive() -> None:
    last = row_at(1.0)
    assert np.isnan(last["precision"])
    assert (last["recall"], last["cost"]) == (0, 6 / 4)


def test_a_probability_that_equals_the_threshold_reaches_it() -> None:
    assert row_at(0.29, np.array([0.29, 0.29, 0.29, 0.29]))["recall"] == 1


def test_without_a_positive_class_there_is_no_threshold_and_no_cost() -> None:
    shown = predictions(3, None)
    assert threshold_curve(shown, miss_cost=2).empty
    assert cost(shown, 2, np.ones((300, 1))) == {}


@given(threshold=st.integers(0, 100), seed=st.integers(0, 1000))
def test_the_curve_agrees_with_the_labels_at_each_threshold(threshold: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    scores, labels = draw.random(30).round(2), draw.integers(0, 2, 30)
    curve = threshold_curve(of_scores(labels, scores), miss_cost=2.5).iloc[threshold]
    shown = of_scores(labels, scores, curve["threshold"])
    once = np.ones((30, 1))
    metrics = label_metrics(shown, once) | cost(shown, 2.5, once)
    missed, alarms = errors(shown)
    assert metrics["cost"][0] == pytest.approx(curve["cost"])
    assert metrics["cost"][0] == pytest.approx((2.5 * missed.sum() + alarms.sum()) / 30)
    if shown.predicted.any():
        assert metrics["precision"][0] == pytest.approx(curve["precision"])
    if labels.any():
        assert metrics["recall"][0] == pytest.approx(curve["recall"])
