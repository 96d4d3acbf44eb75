"""The comparison claims a difference where there is one, and seldom where there is none."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.ablate.comparison import (
    ACCURACY,
    difference_in_accuracy,
    differences,
    mean_over_seeds,
)
from pipeline.ablate.outcomes import Comparison, as_data, compare, load_outcome, ordered, statement
from pipeline.common.errors import BluelightError
from pipeline.common.resampling import Estimate, Interval, Resampling
from pipeline.common.wording import MINUS, number, verdict
from tests.helpers.techniques import NAMES, settings, write_technique

HOW = Resampling(confidence=0.95, resamples=400)


def simulated(
    draw: np.random.Generator, gain: float, seed_effect: float, image_effect: float
) -> Estimate:
    """A technique and the baseline: 5 seeds, 200 images; both kinds of luck are drawn anew."""
    luck = draw.normal(0, seed_effect, (5, 1)) + draw.normal(0, image_effect, (1, 200))
    baseline = draw.random((5, 200)) < np.clip(0.7 - luck / 2, 0, 1)
    technique = draw.random((5, 200)) < np.clip(0.7 + gain + luck / 2, 0, 1)
    return difference_in_accuracy(technique, baseline, HOW)


def compared(folder: Path, names: list[str], **sizes: int) -> Comparison:
    outcomes = [
        load_outcome(write_technique(folder, name, **sizes), settings(name)) for name in names
    ]
    return compare(outcomes, HOW)


def test_the_mean_and_its_interval_are_students() -> None:
    # Mean 3, deviation sqrt(2.5), t of 4 degrees of freedom 2.776445: 3 ± 2.776445 · 0.707107.
    found = mean_over_seeds(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), 0.95)
    assert found.value == 3
    assert found.interval is not None
    assert [found.interval.low, found.interval.high] == pytest.approx([1.036757, 4.963243])


def test_one_seed_has_no_interval() -> None:
    alone = np.ones((1, 50), dtype=np.bool_)
    found = difference_in_accuracy(alone, ~alone, HOW)
    assert found == Estimate(1.0, None)
    assert not found.shown


def test_differences_are_taken_pair_by_pair() -> None:
    right = np.array([[1, 1, 1, 0], [1, 1, 0, 0]], dtype=np.bool_)
    plain = np.array([[1, 0, 1, 0], [1, 0, 0, 0]], dtype=np.bool_)
    found = differences(
        {ACCURACY: right.mean(1), "test_loss": np.array([0.5, 0.7])},
        right,
        {ACCURACY: plain.mean(1), "test_loss": np.array([0.6, 0.8])},
        plain,
        HOW,
    )
    assert found[ACCURACY].value == 0.25
    assert found["test_loss"].value == pytest.approx(-0.1)
    loss = found["test_loss"].interval
    assert loss is not None  # both seeds differ by the same, so nothing is left to chance
    assert [loss.low, loss.high] == pytest.approx([-0.1, -0.1])
    accuracy = found[ACCURACY].interval
    assert accuracy is not None  # one image of four makes the difference: another draw has 0 to 4
    assert accuracy.low <= 0 < accuracy.high


@pytest.mark.parametrize(
    ("seed_effect", "image_effect"), [(0.0, 0.0), (0.0, 0.3), (0.03, 0.2), (0.15, 0.0)]
)
def test_without_a_difference_zero_is_in_the_interval(
    seed_effect: float, image_effect: float
) -> None:
    draw = np.random.default_rng(1)
    cases = [simulated(draw, 0, seed_effect, image_effect) for _ in range(120)]
    assert np.mean([not case.shown for case in cases]) >= 0.9


def test_a_large_difference_is_found() -> None:
    draw = np.random.default_rng(2)
    cases = [simulated(draw, 0.12, 0.01, 0.1) for _ in range(50)]
    assert np.mean([case.shown and case.value > 0 for case in cases]) >= 0.9


def test_more_images_and_more_seeds_narrow_the_interval() -> None:
    draw = np.random.default_rng(3)
    tables = draw.random((2, 10, 800)) < 0.7

    def width(seeds: int, images: int) -> float:
        found = difference_in_accuracy(
            tables[0, :seeds, :images], tables[1, :seeds, :images], HOW
        ).interval
        assert found is not None
        return found.high - found.low

    assert width(10, 800) < width(10, 100)
    assert width(10, 800) < width(3, 800)


def test_few_seeds_that_disagree_are_not_taken_for_many() -> None:
    # Every image is answered alike by a seed: resampled seeds alone would stay within 0 and 1.
    right = np.repeat(np.array([[False], [True], [True]]), 50, axis=1)
    found = difference_in_accuracy(right, np.zeros_like(right), HOW).interval
    student = mean_over_seeds(np.array([0.0, 1.0, 1.0]), HOW.confidence).interval
    assert found == student
    assert found is not None
    assert found.low < 0


def test_the_same_results_give_the_same_intervals() -> None:
    right, plain = np.random.default_rng(4).random((2, 5, 100)) < 0.7
    first, second = (difference_in_accuracy(right, plain, HOW) for _ in range(2))
    assert first == second


def test_baseline_comes_first_and_combined_last() -> None:
    assert ordered(["b", "combined", "a", "baseline"]) == ["baseline", "b", "a", "combined"]


def test_results_are_read_back(tmp_path: Path) -> None:
    outcome = load_outcome(write_technique(tmp_path, "early_stopping"), settings("early_stopping"))
    assert outcome.seeds == ["1", "2", "3", "4", "5"]
    assert outcome.right.shape == (5, 352)
    assert outcome.right.mean(axis=1) == pytest.approx(outcome.runs[ACCURACY], abs=1e-6)
    lengths = [len(history["val_loss"]) for history in outcome.histories]
    assert lengths == outcome.runs["epochs_run"].tolist()


def test_other_seeds_cannot_be_compared(tmp_path: Path) -> None:
    first = load_outcome(write_technique(tmp_path, "baseline"), {})
    second = load_outcome(write_technique(tmp_path, "dropout", seeds=3), {})
    with pytest.raises(BluelightError, match=r"baseline and dropout .* different seeds.*dvc repro"):
        compare([first, second], HOW)


def test_a_missing_result_is_told(tmp_path: Path) -> None:
    with pytest.raises(BluelightError, match=r"runs\.csv not found"):
        load_outcome(tmp_path / "gone", {})


def test_what_a_technique_changes_is_listed(tmp_path: Path) -> None:
    entry = compared(tmp_path, ["baseline", "dropout"]).entries[1]
    assert entry.changes == {"model.dropout": 0.5}


def test_as_data_it_has_every_interval(tmp_path: Path) -> None:
    comparison = compared(tmp_path, ["baseline", "dropout"])
    data = as_data(comparison)["techniques"]
    found = comparison.entries[1].differences[ACCURACY]
    assert found.interval is not None
    assert data["dropout"]["differences"][ACCURACY] == {
        "mean": pytest.approx(found.value, abs=1e-6),
        "low": pytest.approx(found.interval.low, abs=1e-6),
        "high": pytest.approx(found.interval.high, abs=1e-6),
    }
    assert data["baseline"]["differences"] == {}


def test_the_statement_is_the_best_supported_difference(tmp_path: Path) -> None:
    comparison = compared(tmp_path, NAMES)
    combined = comparison.entries[-1].differences[ACCURACY]
    points = f"{100 * combined.value:.1f}"
    assert statement(comparison).startswith(f"combined beats baseline by {points} points (")
    assert statement(comparison).endswith(", 5 seeds)")


@pytest.mark.parametrize(
    ("names", "seeds", "said"),
    [
        (["dropout", "combined"], 5, "no technique is called baseline"),
        (["baseline"], 5, "no technique beside the baseline"),
        (["baseline", "combined"], 1, "one seed gives no interval"),
        (["baseline", "batch_norm"], 5, "no difference shown between techniques and baseline"),
    ],
)
def test_nothing_is_claimed_without_grounds(
    tmp_path: Path, names: list[str], seeds: int, said: str
) -> None:
    assert said in statement(compared(tmp_path, names, seeds=seeds))


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [
        (0.031, 0.012, 0.05, "3.1 points more (1.2 to 5.0)"),
        (-0.031, -0.05, -0.012, "3.1 points less (1.2 to 5.0)"),
        (0.031, -0.012, 0.05, f"no difference shown ({MINUS}1.2 to 5.0 points)"),
    ],
)
def test_a_difference_in_words(value: float, low: float, high: float, said: str) -> None:
    assert verdict(Estimate(value, Interval(low, high)), "points", 100, 1) == said


def test_a_difference_of_one_seed_in_words() -> None:
    assert verdict(Estimate(0.02, None), "points", 100, 1) == "+2.0 points (one seed: no interval)"


def test_zero_has_no_sign() -> None:
    found = [number(-0.001), number(0, signed=True), number(-1.5, 1)]
    assert found == ["0.00", "0.00", f"{MINUS}1.5"]
