"""Metrics agree with scikit-learn; intervals cover what they should."""

import numpy as np
import pytest
from sklearn import metrics as sk

from pipeline.evaluation.metrics import bootstrap, confusion, from_counts, measure

DRAW = np.random.default_rng(0)
LABELS = DRAW.integers(0, 3, 200)
PROBABILITIES = DRAW.dirichlet([1, 1, 1], 200) * 0.6 + 0.4 * np.eye(3)[LABELS]
PREDICTED = PROBABILITIES.argmax(axis=1)
PAIR_LABELS, PAIR = LABELS % 2, PROBABILITIES[:, :2] / PROBABILITIES[:, :2].sum(1, keepdims=True)


def test_averages_over_classes_are_scikit_learns() -> None:
    found = measure(LABELS, PROBABILITIES, positive=None)
    macro = {"average": "macro", "zero_division": 0}
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(LABELS, PREDICTED))
    assert found["precision"] == pytest.approx(sk.precision_score(LABELS, PREDICTED, **macro))
    assert found["recall"] == pytest.approx(sk.recall_score(LABELS, PREDICTED, **macro))
    assert found["f1"] == pytest.approx(sk.f1_score(LABELS, PREDICTED, **macro))
    assert found["majority_accuracy"] == pytest.approx(np.bincount(LABELS).max() / 200)


@pytest.mark.parametrize("positive", [0, 1])
def test_the_positive_class_of_two(positive: int) -> None:
    found = measure(PAIR_LABELS, PAIR, positive)
    guess = PAIR.argmax(axis=1)
    assert found["precision"] == pytest.approx(
        sk.precision_score(PAIR_LABELS, guess, pos_label=positive)
    )
    assert found["f1"] == pytest.approx(sk.f1_score(PAIR_LABELS, guess, pos_label=positive))
    assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(PAIR_LABELS, PAIR[:, 1]))
    assert found["loss"] == pytest.approx(sk.log_loss(PAIR_LABELS, PAIR))


def test_a_class_never_predicted_counts_zero() -> None:
    found = from_counts(np.array([[5, 0], [3, 0]]), positive=1)
    assert found["precision"] == found["recall"] == found["f1"] == 0


def test_bootstrap_agrees_with_resampling_images() -> None:
    counts = confusion(LABELS, PREDICTED, 3)
    quick = bootstrap(counts, None, resamples=20_000, confidence=0.9)["f1"]
    draw = np.random.default_rng(1)
    slow = []
    for _ in range(1000):
        rows = draw.integers(0, 200, 200)
        slow.append(sk.f1_score(LABELS[rows], PREDICTED[rows], average="macro"))
    assert [quick.low, quick.high] == pytest.approx(np.quantile(slow, [0.05, 0.95]), abs=0.01)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    truth, images = 0.8, 300
    covered = 0
    for right in np.random.default_rng(2).binomial(images, truth, size=400):
        counts = np.array([[right, images - right], [0, 0]])
        interval = bootstrap(counts, None, resamples=1000, confidence=0.9)["accuracy"]
        covered += interval.low <= truth <= interval.high
    assert covered / 400 == pytest.approx(0.9, abs=0.05)
