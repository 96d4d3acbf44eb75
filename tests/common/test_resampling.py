"""Intervals cover what they should, quickly and in bounded memory."""

import time
import tracemalloc
from collections.abc import Callable
from functools import partial

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
from pipeline.evaluate.estimates import estimate, estimate_all, gain

Score = Callable[[Labels], float]

HOW = Resampling(confidence=0.9, resamples=1000)


def predictions(images: int, classes: int = 2, seed: int = 0) -> Predictions:
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, classes, images)
    noise = draw.dirichlet(np.ones(classes), images)
    return Predictions.most_probable(labels, 0.7 * noise + 0.3 * np.eye(classes)[labels], None)


def by_label(labels: Labels, predicted: Labels) -> Predictions:
    return Predictions(labels, predicted, np.eye(2)[predicted], 1)


def test_every_metric_has_an_interval_that_holds_its_value() -> None:
    found = estimate_all(predictions(300, classes=3), HOW)
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
    quick = estimate_all(shown, HOW).intervals[metric]
    assert [quick.low, quick.high] == pytest.approx(np.quantile(slow, HOW.tails), abs=0.02)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    truth, images, covered = 0.8, 300, 0
    for right in np.random.default_rng(2).binomial(images, truth, size=300):
        labels = np.zeros(images, dtype=np.int64)
        predicted = (np.arange(images) >= right).astype(np.int64)
        found = estimate(partial(label_metrics, by_label(labels, predicted)), images, HOW)
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


def test_resamples_without_a_class_are_left_out_of_its_interval() -> None:
    values = np.array([np.nan, *np.linspace(0, 1, 101)])
    interval = percentile(values, HOW)
    assert [interval.low, interval.high] == pytest.approx([0.05, 0.95])


def test_what_is_undefined_is_left_out() -> None:
    alone = Predictions.most_probable(np.zeros(9, dtype=np.int64), np.tile([0.9, 0.1], (9, 1)), 1)
    found = estimate_all(alone, HOW)
    assert found.values.keys().isdisjoint({"roc_auc", "average_precision"})
    assert found.intervals.keys() == found.values.keys() - {"ece_if_calibrated"}


def test_two_models_are_compared_on_the_same_resamples() -> None:
    labels = np.arange(100) % 2
    nearly = labels.copy()
    nearly[0] = 1 - nearly[0]
    ours, theirs = (
        estimate(partial(label_metrics, by_label(labels, predicted)), 100, HOW)
        for predicted in (labels, nearly)
    )
    found = gain(ours, theirs, "accuracy", HOW)
    assert found["value"] == 0.01
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
    estimate_all(shown, Resampling(0.95, 2000))
    assert time.process_time() - started < 2  # 0.2 measured
