"""Calibration is compared with chance: few images never look perfectly calibrated."""

import numpy as np
import pytest
from numpy.typing import ArrayLike

from pipeline.common.metrics import Predictions, Values, probability_metrics
from pipeline.common.resampling import Interval, Resampling, percentile
from pipeline.evaluate.estimates import (
    CHANCE,
    Estimates,
    calibration_errors_by_chance,
    estimate,
    reliability,
)
from tests.helpers.metrics import measure

HOW = Resampling(confidence=0.95, resamples=300)


def binary(labels: ArrayLike, scores: ArrayLike) -> Predictions:
    score = np.array(scores, dtype=np.float64)
    return Predictions.most_probable(
        np.array(labels, dtype=np.int64), np.stack([1 - score, score], axis=1), 1
    )


def estimated(predictions: Predictions, how: Resampling = HOW) -> Estimates:
    return estimate(predictions, probability_metrics, np.arange(len(predictions.labels)), how)


def test_bins_by_hand() -> None:
    found = reliability(binary([0, 1, 1, 1, 0], [0.0, 0.41, 0.45, 0.98, 1.0]), HOW)
    assert found["low"].tolist() == [0, 6 / 15, 14 / 15]
    assert found["high"].tolist() == [1 / 15, 7 / 15, 1]
    assert found["images"].tolist() == [1, 2, 2]
    assert found["probability"].tolist() == pytest.approx([0.0, 0.43, 0.99])
    assert found["frequency"].tolist() == [0.0, 1.0, 0.5]


def test_where_chance_would_put_a_calibrated_model() -> None:
    found = reliability(binary([1] * 100, [0.5] * 100), Resampling(0.95, 4000))
    # 1.96 standard deviations of 0.05 either way.
    ends = found[["chance_low", "chance_high"]].to_numpy()
    np.testing.assert_allclose(ends, [[0.4, 0.6]], rtol=0, atol=0.011)


def test_of_three_classes_the_predicted_one_is_looked_at() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3]])
    found = reliability(Predictions.most_probable(np.array([0, 2]), probabilities, None), HOW)
    assert found[["probability", "frequency"]].to_numpy().tolist() == [[0.5, 0.5]]


def test_bins_explain_the_calibration_error() -> None:
    draw = np.random.default_rng(0)
    shown = binary(draw.integers(0, 2, 200), draw.random(200))
    found = reliability(shown, HOW)
    distances = (found["frequency"] - found["probability"]).abs()
    mean_distance = (found["images"] * distances).sum() / 200
    assert measure(shown)["calibration_error"] == pytest.approx(mean_distance)


def test_chance_gives_calibrated_models_an_error() -> None:
    draw = np.random.default_rng(3)
    scores = draw.random(300)
    shown = [binary(draw.random(300) < scores, scores) for _ in range(200)]
    errors = [measure(predictions)["calibration_error"] for predictions in shown]
    by_chance = calibration_errors_by_chance(shown[0], HOW).mean()
    assert np.mean(errors) == pytest.approx(by_chance, rel=0.08)
    assert by_chance > 0.05
    assert estimated(shown[0]).values[CHANCE] == by_chance


@pytest.mark.parametrize(("sharpened", "by_percentiles"), [(1.0, 0), (1.3, 10), (2.0, 70)])
def test_intervals_hold_the_truth_which_percentiles_miss(
    sharpened: float, by_percentiles: int
) -> None:

    def overconfident(share: Values) -> Values:
        return np.asarray(1 / (1 + ((1 - share) / share) ** sharpened))

    draw = np.random.default_rng(4)
    many = draw.beta(0.8, 0.8, 400_000)
    bins = (overconfident(many) * 15).astype(int).clip(0, 14)
    apart = np.bincount(bins, many - overconfident(many))
    truth = np.abs(apart).sum() / len(many)
    held, held_by_percentiles = 0, 0
    for _ in range(100):
        share = draw.beta(0.8, 0.8, 352)
        shown = binary(draw.random(352) < share, overconfident(share))
        found = estimated(shown)
        held += holds(found.intervals["calibration_error"], truth)
        held_by_percentiles += holds(percentile(found.resamples["calibration_error"], HOW), truth)
    assert held >= 80
    assert held_by_percentiles <= by_percentiles


def holds(interval: Interval, truth: float) -> bool:
    return interval.low <= truth + 1e-3 and truth <= interval.high
