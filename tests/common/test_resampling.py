"""Intervals cover what they should, quickly and in bounded memory."""

import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics as sk

from pipeline.common import resampling
from pipeline.common.metrics import (
    Labels,
    Predictions,
    Values,
    label_metrics,
    weighted_metrics,
)
from pipeline.common.resampling import Resampling, percentile, resampled
from pipeline.evaluate.estimates import CHANCE, Estimates, Metrics, difference, estimate

Score = Callable[[Labels], float]

HOW = Resampling(confidence=0.9, resamples=1000)


def predictions(images: int, classes: int = 2, seed: int = 0) -> Predictions:
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, classes, images)
    noise = draw.dirichlet(np.ones(classes), images)
    return Predictions.most_probable(labels, 0.7 * noise + 0.3 * np.eye(classes)[labels], None)


def by_label(labels: Labels, predicted: Labels) -> Predictions:
    return Predictions(labels, predicted, np.eye(2)[predicted], 1)


def estimated(
    predictions: Predictions, how: Resampling = HOW, metrics: Metrics = weighted_metrics
) -> Estimates:
    return estimate(predictions, metrics, np.arange(len(predictions.labels)), how)


def test_every_metric_has_an_interval_that_holds_its_value() -> None:
    found = estimated(predictions(300, classes=3))
    assert len(found.intervals) == 10
    for name, interval in found.intervals.items():
        assert interval.low <= found.values[name] <= interval.high, name
        assert interval.low < interval.high, name


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision", "f1", "loss"])
def test_intervals_agree_with_resampling_one_by_one(metric: str) -> None:
    shown = predictions(200)
    labels, scores = shown.labels, shown.probabilities[:, 1]
    score_of: dict[str, Score] = {
        "roc_auc": lambda rows: sk.roc_auc_score(labels[rows], scores[rows]),
        "average_precision": lambda rows: sk.average_precision_score(labels[rows], scores[rows]),
        "f1": lambda rows: sk.f1_score(labels[rows], scores[rows] > 0.5, average="macro"),
        "loss": lambda rows: sk.log_loss(labels[rows], scores[rows]),
    }
    score = score_of[metric]
    draw = np.random.default_rng(1)
    slow = [score(draw.integers(0, 200, 200)) for _ in range(500)]
    quick = estimated(shown).intervals[metric]
    assert [quick.low, quick.high] == pytest.approx(np.quantile(slow, HOW.tails), abs=0.02)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    truth, images, covered = 0.8, 300, 0
    for right in np.random.default_rng(2).binomial(images, truth, size=300):
        labels = np.zeros(images, dtype=np.int64)
        predicted = (np.arange(images) >= right).astype(np.int64)
        found = estimated(by_label(labels, predicted), HOW, label_metrics)
        interval = found.intervals["accuracy"]
        covered += interval.low <= truth <= interval.high
    assert covered / 300 == pytest.approx(0.9, abs=0.05)


def test_every_resample_has_as_many_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "AT_ONCE", 350)  # seven at a time

    def count(weights: Values) -> dict[str, Values]:
        assert weights.shape[1] <= 7
        return {"images": weights.sum(axis=0), "of the first": weights[0]}

    found = resampled(count, 50, HOW)
    assert found["images"].tolist() == [50.0] * 1000
    assert found["of the first"].mean() == pytest.approx(1, abs=0.1)


def test_duplicates_are_drawn_together() -> None:
    groups = np.array([0, 0, 1, 2, 2, 2])

    def count(weights: Values) -> dict[str, Values]:
        assert (weights[0] == weights[1]).all()
        assert (weights[3] == weights[5]).all()
        return {"groups": weights[[0, 2, 3]].sum(axis=0), "images": weights.sum(axis=0)}

    found = resampled(count, 6, HOW, groups)
    assert set(found["groups"]) == {3.0}
    assert found["images"].min() == 3
    assert found["images"].max() == 9


def test_an_interval_is_wider_where_images_repeat_each_other() -> None:
    once = predictions(60)
    rows, groups = np.repeat(np.arange(60), 4), np.repeat(np.arange(60), 4)
    repeated = Predictions.most_probable(once.labels[rows], once.probabilities[rows], None)
    honest = estimate(repeated, label_metrics, groups, HOW).intervals["accuracy"]
    naive = estimated(repeated, HOW, label_metrics).intervals["accuracy"]
    alone = estimated(once, HOW, label_metrics).intervals["accuracy"]
    assert honest == alone
    assert honest.high - honest.low > 1.6 * (naive.high - naive.low)


def test_resamples_without_a_class_are_left_out_of_its_interval() -> None:
    values = np.array([np.nan, *np.linspace(0, 1, 101)])
    interval = percentile(values, HOW)
    assert [interval.low, interval.high] == pytest.approx([0.05, 0.95])


def test_what_is_undefined_is_left_out() -> None:
    alone = Predictions.most_probable(np.zeros(9, dtype=np.int64), np.tile([0.9, 0.1], (9, 1)), 1)
    found = estimated(alone)
    assert found.values.keys().isdisjoint({"roc_auc", "average_precision"})
    assert found.intervals.keys() == found.values.keys() - {CHANCE}


def test_two_models_are_compared_on_the_same_resamples() -> None:
    labels = np.arange(100) % 2
    nearly = labels.copy()
    nearly[0] = 1 - nearly[0]
    ours, theirs = (
        estimated(by_label(labels, predicted), HOW, label_metrics) for predicted in (labels, nearly)
    )
    found = difference(ours, theirs, "accuracy", HOW)
    assert found["value"] == pytest.approx(0.01)
    # One image makes all the difference: it is drawn once on average, hardly ever five times.
    assert found["low"] == 0
    assert 0.01 <= found["high"] <= 0.04


def test_ten_thousand_images_are_resampled_in_bounded_memory() -> None:
    shown = predictions(10_000, classes=10)
    tracemalloc.start()
    resampled(lambda weights: weighted_metrics(shown, weights), 10_000, Resampling(0.95, 250))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120e6  # all 2,000 weightings alone would be 160 MB


def test_the_test_split_is_resampled_within_two_seconds() -> None:
    shown = predictions(352)
    started = time.process_time()
    estimated(shown, Resampling(0.95, 2000))
    assert time.process_time() - started < 2  # 0.2 measured
