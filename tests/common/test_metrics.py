"""Metrics are scikit-learn's and torchmetrics', and those of any resample of the images."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from torchmetrics.functional.classification import (
    binary_calibration_error,
    multiclass_calibration_error,
)

from pipeline.common.metrics import BINS, Labels, Predictions, Probabilities, weighted_metrics
from tests.helpers.metrics import measure

DRAW = np.random.default_rng(0)
LABELS = DRAW.integers(0, 3, 200)
# To one digit, so that many are equal.
PROBABILITIES = (DRAW.dirichlet([1, 1, 1], 200) * 0.6 + 0.4 * np.eye(3)[LABELS]).round(1)
PROBABILITIES[:, 2] = 1 - PROBABILITIES[:, :2].sum(axis=1)
PAIR_LABELS = LABELS % 2
PAIR = np.stack([PROBABILITIES[:, 0], 1 - PROBABILITIES[:, 0]], axis=1)


def measured(
    labels: Labels, probabilities: Probabilities, positive: int | None
) -> dict[str, float]:
    return measure(Predictions.most_probable(labels, probabilities, positive))


def expected(
    labels: Labels, probabilities: Probabilities, positive: int | None
) -> dict[str, float]:
    """What scikit-learn says."""
    guess = probabilities.argmax(axis=1)
    names = np.arange(probabilities.shape[1])
    how = {"average": "macro"} if positive is None else {"labels": [positive], "average": "macro"}
    one_hot = np.eye(len(names))[labels]
    chosen = names if positive is None else [positive]
    ranks = [(one_hot[:, row], probabilities[:, row]) for row in chosen]
    return {
        "accuracy": sk.accuracy_score(labels, guess),
        "balanced_accuracy": sk.recall_score(
            labels, guess, labels=np.unique(labels), average="macro", zero_division=0
        ),
        "precision": sk.precision_score(labels, guess, zero_division=0, **how),
        "recall": sk.recall_score(labels, guess, zero_division=0, **how),
        "f1": sk.f1_score(labels, guess, zero_division=0, **how),
        "roc_auc": float(np.mean([sk.roc_auc_score(*rank) for rank in ranks])),
        "average_precision": float(np.mean([sk.average_precision_score(*rank) for rank in ranks])),
        "loss": sk.log_loss(labels, probabilities, labels=names),
        "brier": sk.brier_score_loss(labels, probabilities, labels=names),
    }


@pytest.mark.parametrize("positive", [None, 0, 2])
def test_three_classes_are_scikit_learns(positive: int | None) -> None:
    found = measured(LABELS, PROBABILITIES, positive)
    reference = expected(LABELS, PROBABILITIES, positive)
    assert {name: found[name] for name in reference} == pytest.approx(reference)


@pytest.mark.parametrize("positive", [0, 1])
def test_the_positive_class_of_two_is_scikit_learns(positive: int) -> None:
    found = measured(PAIR_LABELS, PAIR, positive)
    reference = expected(PAIR_LABELS, PAIR, positive)
    assert {name: found[name] for name in reference} == pytest.approx(reference)


def test_two_classes_without_a_positive_one_are_ranked_by_the_second() -> None:
    found, second = (measured(PAIR_LABELS, PAIR, positive) for positive in (None, 1))
    assert found["average_precision"] == second["average_precision"]
    assert found["f1"] == pytest.approx(
        sk.f1_score(PAIR_LABELS, PAIR.argmax(axis=1), average="macro")
    )


def test_the_calibration_error_is_torchmetrics() -> None:
    of_two = binary_calibration_error(
        torch.tensor(PAIR[:, 1]), torch.tensor(PAIR_LABELS), n_bins=BINS
    )
    assert measured(PAIR_LABELS, PAIR, 1)["calibration_error"] == pytest.approx(float(of_two))
    of_three = multiclass_calibration_error(
        torch.tensor(PROBABILITIES), torch.tensor(LABELS), num_classes=3, n_bins=BINS
    )
    assert measured(LABELS, PROBABILITIES, None)["calibration_error"] == pytest.approx(
        float(of_three)
    )


def test_four_images_by_hand() -> None:
    labels = np.array([1, 0, 1, 0])
    score = np.array([0.9, 0.8, 0.7, 0.1])
    found = measured(labels, np.stack([1 - score, score], axis=1), positive=1)
    assert found["accuracy"] == 0.75
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["recall"] == 1
    assert found["roc_auc"] == 0.75  # of four pairs one is the wrong way round
    assert found["average_precision"] == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    assert found["brier"] == pytest.approx((0.01 + 0.64 + 0.09 + 0.01) / 4)
    # Each in a bin of its own, a fifteenth wide: off by 0.1, 0.8, 0.3 and 0.1.
    assert found["calibration_error"] == pytest.approx((0.1 + 0.8 + 0.3 + 0.1) / 4)
    assert found["loss"] == pytest.approx(-math.log(0.9 * 0.2 * 0.7 * 0.9) / 4)


def test_images_of_one_bin_make_up_for_each_other() -> None:
    probabilities = np.tile([0.25, 0.75], (4, 1))
    assert measured(np.array([1, 1, 1, 0]), probabilities, 1)["calibration_error"] == pytest.approx(
        0
    )
    assert measured(np.array([1, 1, 0, 0]), probabilities, 1)["calibration_error"] == pytest.approx(
        0.25
    )


def test_certainty_that_is_wrong_has_a_finite_loss() -> None:
    found = measured(np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]]), positive=1)
    assert found["calibration_error"] == 0.5
    assert 10 < found["loss"] < 20


def test_a_class_never_predicted_counts_zero() -> None:
    found = measured(np.array([0, 0, 1]), np.array([[0.9, 0.1]] * 3), positive=1)
    assert found["precision"] == found["recall"] == found["f1"] == 0


def test_one_class_alone_cannot_be_ranked() -> None:
    found = measured(np.zeros(3, dtype=np.int64), np.array([[0.9, 0.1]] * 3), positive=1)
    assert math.isnan(found["roc_auc"])
    assert math.isnan(found["average_precision"])
    assert found["accuracy"] == found["balanced_accuracy"] == 1


def test_a_class_without_images_is_left_out_of_averages() -> None:
    labels, probabilities = LABELS[LABELS < 2], PROBABILITIES[LABELS < 2]
    found = measured(labels, probabilities, None)
    pairs = [(labels == row, probabilities[:, row]) for row in (0, 1)]
    assert found["roc_auc"] == pytest.approx(np.mean([sk.roc_auc_score(*pair) for pair in pairs]))


@given(seed=st.integers(0, 10_000), positive=st.sampled_from([None, 0, 1]), two=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_weighting_is_as_many_copies_of_each_image(
    seed: int, positive: int | None, *, two: bool
) -> None:
    labels, probabilities = (PAIR_LABELS, PAIR) if two else (LABELS, PROBABILITIES)
    labels, probabilities = labels[:40], probabilities[:40]
    times = np.random.default_rng(seed).integers(0, 4, (40, 3))
    found = weighted_metrics(
        Predictions.most_probable(labels, probabilities, positive), times.astype(np.float64)
    )
    for column, repeats in enumerate(times.T):
        rows = np.repeat(np.arange(40), repeats)
        copies = measured(labels[rows], probabilities[rows], positive)
        assert {name: values[column] for name, values in found.items()} == pytest.approx(copies)
