"""Temperature and threshold: the best that there is on the images given, and always the same."""

from itertools import pairwise

import numpy as np
import pytest

from pipeline.common.errors import TrainingError
from pipeline.common.params import DecisionParams
from pipeline.common.resampling import Resampling
from pipeline.package.decision import (
    calibrated,
    choose_threshold,
    cross_entropy,
    fit_temperature,
    prior_correction,
)

HOW = Resampling(confidence=0.9, resamples=500)
DRAW = np.random.default_rng(3)
TRUE_LOGITS = DRAW.normal(0, 2, (4000, 3)).astype(np.float32)
SHARES = np.exp(TRUE_LOGITS) / np.exp(TRUE_LOGITS).sum(axis=1, keepdims=True)
LABELS = (SHARES.cumsum(axis=1) < DRAW.random((4000, 1))).sum(axis=1).clip(0, 2)


def decision(rule: str, miss_cost: float = 2.0, recall: float = 0.95) -> DecisionParams:
    return DecisionParams.model_validate({"rule": rule, "miss_cost": miss_cost, "recall": recall})


def fitted(logits: np.ndarray, labels: np.ndarray) -> float:
    return fit_temperature(logits, labels, [], np.arange(len(labels)), HOW)[0]


@pytest.mark.parametrize("heat", [0.3, 1, 4])
def test_logits_too_large_by_a_factor_are_cooled_by_it(heat: float) -> None:
    found = fitted(TRUE_LOGITS * np.float32(heat), LABELS)
    assert found == pytest.approx(heat, rel=0.05)


def test_no_other_temperature_is_likelier() -> None:
    best = fitted(TRUE_LOGITS, LABELS)
    losses = [
        cross_entropy(TRUE_LOGITS, LABELS, best * factor, [])
        for factor in (0.9, 0.999, 1, 1.001, 1.1)
    ]
    assert losses.index(min(losses)) == 2


def test_cross_entropy_is_of_the_softmax() -> None:
    logits = np.array([[0, np.log(3)], [0, 0]], dtype=np.float32)
    expected = -(np.log(3 / 4) + np.log(1 / 2)) / 2
    assert cross_entropy(logits, np.array([1, 0]), 1.0, []) == pytest.approx(expected)


def test_the_temperature_of_faultless_predictions_is_bounded() -> None:
    logits = np.array([[2, -2], [-2, 2]], dtype=np.float32)
    assert 1 / 20 <= fitted(logits, np.array([0, 1])) < 0.2


def test_the_interval_is_that_of_fits_of_their_own() -> None:
    logits, labels, draw = TRUE_LOGITS[:300] * np.float32(2), LABELS[:300], np.random.default_rng(5)
    groups = np.arange(300) // 2  # pairs
    _, interval = fit_temperature(logits, labels, [], groups, HOW)
    slow = []
    for _ in range(100):
        chosen = draw.integers(0, 150, 150)
        rows = np.concatenate([2 * chosen, 2 * chosen + 1])
        slow.append(fitted(logits[rows], labels[rows]))
    expected = np.quantile(slow, HOW.tails)
    assert [interval.low, interval.high] == pytest.approx(expected, rel=0.06)


def test_the_correction_gives_back_the_real_frequencies() -> None:
    # Logits of a network that was taught as if all three classes were equally frequent.
    labels = LABELS[:2000]
    correction = prior_correction(labels, 3)
    shares = np.bincount(labels) / 2000
    flat = np.zeros((2000, 3), dtype=np.float32)
    assert calibrated(flat, 1.0, correction) == pytest.approx(np.tile(shares, (2000, 1)), abs=1e-5)
    entropy = -(shares * np.log(shares)).sum()
    assert cross_entropy(flat, labels, 1.0, correction) == pytest.approx(entropy, abs=1e-5)


SCORES = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
POSITIVE = np.array([0, 0, 1, 0, 1, 0, 1, 1], dtype=bool)


def cost(threshold: float, miss_cost: float) -> float:
    called = threshold <= SCORES
    return float(miss_cost * (POSITIVE & ~called).sum() + (~POSITIVE & called).sum())


@pytest.mark.parametrize("miss_cost", [0.1, 0.4, 1, 2, 3, 50])
def test_no_threshold_costs_less(miss_cost: float) -> None:
    found = choose_threshold(decision("cost", miss_cost), SCORES, POSITIVE)
    costs = [cost(threshold, miss_cost) for threshold in np.linspace(0, 1.01, 102)]
    assert cost(found, miss_cost) == min(costs)


def test_the_dearer_a_miss_the_lower_the_threshold() -> None:
    found = [choose_threshold(decision("cost", c), SCORES, POSITIVE) for c in (0.2, 1, 5)]
    assert all(lower < higher for higher, lower in pairwise(found))


@pytest.mark.parametrize(
    ("scores", "expected"),
    [([0.1, 0.4, 0.55, 0.9], 0.725), ([0.1, 0.45, 0.6, 0.9], 0.275)],
)
def test_of_equally_cheap_thresholds_the_one_near_a_half_is_taken(
    scores: list[float], expected: float
) -> None:
    """One false alarm at the lower, one miss at the higher; both as bad, so 1/2 is calibrated."""
    positive = np.array([False, True, False, True])
    found = choose_threshold(decision("cost", 1), np.array(scores), positive)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("recall", "expected"), [(0.5, 0.75), (0.75, 0.5), (0.76, 0.25), (1, 0.25)]
)
def test_the_highest_threshold_that_finds_enough(recall: float, expected: float) -> None:
    found = choose_threshold(decision("recall", recall=recall), SCORES, POSITIVE)
    assert found == pytest.approx(expected)
    assert (SCORES[POSITIVE] >= found).mean() >= recall


def test_no_score_lies_at_the_threshold() -> None:
    for miss_cost in (0.1, 1, 10):
        assert choose_threshold(decision("cost", miss_cost), SCORES, POSITIVE) not in SCORES


def test_without_a_positive_image_nothing_can_be_chosen() -> None:
    with pytest.raises(TrainingError, match=r"set decision\.rule to most_probable"):
        choose_threshold(decision("cost"), SCORES, np.zeros(8, dtype=bool))
