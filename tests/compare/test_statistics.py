"""Intervals hold the truth as often as they say, and claim a difference where there is one."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from benchmarks.coverage import CLASSES, simulated_images
from pipeline.common.metrics import Predictions
from pipeline.common.resampling import Resampling, mean_over_runs
from pipeline.compare.statistics import (
    METRICS,
    Error,
    Measured,
    between_runs,
    estimates,
    measure_technique,
    sensitivity,
    simultaneous_quantile,
    single_quantile,
    standard_error,
)
from tests.helpers.metrics import measure

HOW = Resampling(confidence=0.95, resamples=300)
FOLDS = 5


def measured(predictions: pd.DataFrame) -> Measured:
    return measure_technique(predictions, FOLDS, HOW, CLASSES[1])


def difference(
    seed: int, images: int = 400, repeats: int = 1, gain: float = 0.0
) -> tuple[Measured, Error]:
    """Of two techniques on the same images; the second is better by a gain in log-odds."""
    draw = np.random.default_rng(seed)
    tables = simulated_images(draw, images, FOLDS, repeats, techniques=2, gain=gain)
    return compared(*tables)


def compared(plain: pd.DataFrame, technique: pd.DataFrame) -> tuple[Measured, Error]:
    """The difference of two techniques, and its standard error."""
    both = [measured(plain), measured(technique)]
    found = both[1] - both[0]
    return found, standard_error(found, between_runs(both))


def test_metrics_are_those_of_all_images_at_once() -> None:
    (predictions,) = simulated_images(np.random.default_rng(0), 400, FOLDS, 1, techniques=1)
    found = measured(predictions)
    columns = [f"probability_{name}" for name in CLASSES]
    labels = (predictions["label"] == CLASSES[1]).to_numpy().astype(np.int64)
    expected = measure(Predictions.most_probable(labels, predictions[columns].to_numpy(), 1))
    assert found.pooled == pytest.approx([expected[name] for name in METRICS])
    assert found.runs.shape == (1, FOLDS, len(METRICS))
    assert found.runs[0, :, 0].mean() == pytest.approx(expected["accuracy"], abs=0.01)


def test_the_same_predictions_give_the_same_intervals_and_no_difference_to_themselves() -> None:
    (predictions,) = simulated_images(np.random.default_rng(0), 200, FOLDS, 2, techniques=1)
    first, second = measured(predictions), measured(predictions)
    found = first - second
    none = estimates(found, standard_error(found, between_runs([first, second])), 1.96)
    assert all(found.value == 0 and not found.shown for found in none.values())


def test_duplicates_count_as_one() -> None:
    (alone,) = simulated_images(np.random.default_rng(1), 300, FOLDS, 1, techniques=1)
    alone["group"] = alone["image"]
    doubled = pd.concat([alone, alone], ignore_index=True)
    # Twice the images, but as many groups: the standard error from images stays.
    once, twice = (standard_error(measured(rows)).images[0] for rows in (alone, doubled))
    assert twice == pytest.approx(once, rel=0.02)
    doubled["group"] = [str(row) for row in range(len(doubled))]
    assert standard_error(measured(doubled)).images[0] == pytest.approx(once / 2**0.5, rel=0.1)


def test_runs_that_shift_whole_folds_widen_the_interval() -> None:
    (steady,) = simulated_images(np.random.default_rng(2), 1000, FOLDS, 1, techniques=1)
    shifted = steady.copy()
    bad = shifted["run"].isin([1, 2])  # two runs predict nothing but the first class
    shifted.loc[bad, [f"probability_{name}" for name in CLASSES]] = [0.9, 0.1]
    _, found = compared(steady, shifted)
    assert found.runs[0] > 2 * found.images[0]
    assert found.total[0] == pytest.approx(np.hypot(found.images[0], found.runs[0]))


def test_few_runs_that_differ_have_students_quantile() -> None:
    tables = simulated_images(np.random.default_rng(2), 1000, FOLDS, 1, techniques=6)
    steady, shifted = tables[0], tables[0].copy()
    shifted.loc[shifted["run"] == 1, [f"probability_{name}" for name in CLASSES]] = [0.9, 0.1]
    _, alone = compared(steady, shifted)
    # Between images and runs: as many degrees of freedom as folds less one, or somewhat more.
    assert 1.959964 < alone.reach(1.959964)[0] < 2.776445
    assert alone.freedom[0] == pytest.approx(4, rel=0.3)
    together = between_runs([measured(table) for table in [*tables, shifted]])
    assert together.freedom == 24
    found = measured(shifted) - measured(steady)
    assert standard_error(found, together).freedom[0] == pytest.approx(24, rel=0.1)
    _, agreeing = compared(steady, steady)
    assert agreeing.reach(1.959964) == pytest.approx(1.959964)


def test_the_variance_between_runs_is_that_of_the_differences_between_any_two() -> None:
    tables = simulated_images(np.random.default_rng(8), 500, FOLDS, 2, techniques=3)
    techniques = [measured(table) for table in tables]
    pairs = [between_runs(list(pair)) for pair in combinations(techniques, 2)]
    together = between_runs(techniques)
    for name in ("observed", "explained"):
        mean = np.mean([getattr(pair, name) for pair in pairs], axis=0)
        assert getattr(together, name) == pytest.approx(mean)
    first, second = techniques[:2]
    own = (second.runs - first.runs).var(axis=1, ddof=1).mean(axis=0)
    assert pairs[0].observed == pytest.approx(own)


def test_repeats_narrow_the_interval() -> None:
    once, often = (difference(3, repeats=r)[1].total[0] for r in (1, 6))
    assert often < once


def test_more_images_narrow_the_interval() -> None:
    few, many = (difference(4, images=n)[1].total[0] for n in (300, 1500))
    assert many < few


def test_a_large_difference_is_found_and_none_is_seldom_claimed() -> None:
    quantile = single_quantile(0.95)
    large = [estimates(*difference(seed, gain=1.5), quantile)["accuracy"] for seed in range(12)]
    assert all(found.shown and found.value > 0 for found in large)
    none = [estimates(*difference(seed), quantile)["accuracy"].shown for seed in range(40)]
    assert np.mean(none) <= 0.15  # 0.05 expected: benchmarks/coverage.py counts 1,000


def test_intervals_of_a_family_reach_further_the_more_there_are() -> None:
    family = [difference(seed)[0] for seed in range(6)]
    found = [simultaneous_quantile(family[:size], 0.95)[0] for size in (1, 3, 6)]
    assert single_quantile(0.95) <= found[0] < found[1] < found[2] < 3.5


def test_what_it_could_have_shown() -> None:
    found, error = difference(5, images=600)
    told = sensitivity(found, error, single_quantile(0.95), images=600)
    factor = error.reach(1.959964)[0] + 0.841621
    assert told["smallest"] == pytest.approx(factor * error.total[0])
    assert told["repeats"] is None  # one repeat does not tell what repeating changes
    if told["images"] is not None:
        left = np.hypot(error.images[0] * (600 / told["images"]) ** 0.5, error.runs[0])
        assert left * factor == pytest.approx(0.02, rel=0.01)


def test_more_repeats_are_counted_where_there_are_two() -> None:
    told = sensitivity(*difference(6, images=1500, repeats=3), single_quantile(0.95), images=1500)
    assert told["repeats"] is None or told["repeats"] >= 1


def test_the_mean_of_runs_has_students_interval() -> None:
    # Mean 3, std sqrt(2.5), t of 4 degrees of freedom 2.776445: 3 ± 2.776445 · 0.707107.
    found = mean_over_runs(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), 0.95)
    assert found.value == 3
    assert found.interval is not None
    assert [found.interval.low, found.interval.high] == pytest.approx([1.036757, 4.963243])
    assert mean_over_runs(np.array([1.0]), 0.95).interval is None
