"""Intervals of a difference between two models, and which predictions changed."""

import numpy as np
import pandas as pd
import pytest

from pipeline.common.resampling import Interval, Resampling
from pipeline.revisions.diff import changed_predictions, difference_intervals, parse_predictions


def predictions(images: int, seed: int) -> pd.DataFrame:
    """Labels that depend on the image alone, probabilities on the seed too; with ties."""
    labels = np.arange(images) % 2
    scores = np.random.default_rng(seed).normal(0, 1, (images, 2)).round(1)
    scores[np.arange(images), labels] += 1
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return table(labels, probabilities)


def table(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    names = np.array(["a", "b"])
    columns = {"label": names[labels], "predicted": names[probabilities.argmax(axis=1)]}
    columns |= {f"probability_{name}": probabilities[:, i] for i, name in enumerate(names)}
    images = [f"{index:04}" for index in range(len(labels))]
    return pd.DataFrame({"group": images, **columns}, index=images)


def intervals(
    old: pd.DataFrame, new: pd.DataFrame, resamples: int, *, paired: bool = True
) -> dict[str, Interval]:
    how = Resampling(0.95, resamples)
    return difference_intervals(old, new, ["b", "b"], how, paired=paired)


def test_pairing_narrows_the_interval() -> None:
    old = predictions(300, seed=1)
    labels = (old["label"] == "b").to_numpy().astype(int)
    probabilities = old[["probability_a", "probability_b"]].to_numpy(copy=True)
    lost = np.flatnonzero(old["predicted"] == old["label"])[:6]
    probabilities[lost] = probabilities[lost, ::-1]
    new = table(labels, probabilities)
    paired = intervals(old, new, 500)["accuracy"]
    unpaired = intervals(old, new, 500, paired=False)["accuracy"]
    # Six of 300 are lost; the standard error of a paired difference of 0.02 is 0.008.
    assert (paired.low, paired.high) == pytest.approx((-0.037, -0.007), abs=0.005)
    assert unpaired.low < paired.low
    assert paired.high < unpaired.high


def test_duplicates_are_resampled_together() -> None:
    """With every image twice, the interval is as wide as with each of them once."""
    old, new = predictions(100, seed=1), predictions(100, seed=2)
    old_twice, new_twice = (
        pd.concat([table, table.set_axis([f"{name}b" for name in table.index])])
        for table in (old, new)
    )
    alone, twice = (
        intervals(old, new, 2000)["accuracy"],
        intervals(old_twice, new_twice, 2000)["accuracy"],
    )
    assert (twice.low, twice.high) == pytest.approx((alone.low, alone.high), abs=0.02)
    old_alone, new_alone = (each.assign(group=each.index) for each in (old_twice, new_twice))
    narrow = intervals(old_alone, new_alone, 2000)["accuracy"]
    assert narrow.high - narrow.low < 0.8 * (alone.high - alone.low)


def test_equal_models_have_an_interval_of_zero() -> None:
    made = predictions(50, seed=1)
    found = intervals(made, made, 100)
    assert {"accuracy", "f1", "roc_auc", "loss"} < found.keys()
    assert all((interval.low, interval.high) == (0, 0) for interval in found.values())


def test_the_same_call_gives_the_same_interval() -> None:
    old, new = predictions(50, seed=1), predictions(50, seed=2)
    assert intervals(old, new, 300) == intervals(old, new, 300)


def test_predictions_are_matched_by_the_name_of_the_image() -> None:
    old = {
        "image": ["b", "a", "c"],
        "label": ["x", "y", "y"],
        "predicted": ["x", "y", "y"],
        "probability_x": ["0.9", "0.2", "0.4"],
        "probability_y": ["0.1", "0.8", "0.6"],
    }
    new = {
        "image": ["c", "a", "d"],
        "label": ["y", "y", "x"],
        "predicted": ["x", "y", "y"],
        "probability_x": ["0.7", "0.3", "0.4"],
        "probability_y": ["0.3", "0.7", "0.6"],
    }
    tables = (parse_predictions(written(each)) for each in (old, new))
    (change,) = changed_predictions(*tables).to_dict("records")
    assert change == {
        "image": "c",
        "label": "y",
        "old": "y",
        "new": "x",
        "probability": 0.7,
        "kind": "lost",
    }


def written(table: dict[str, list[str]]) -> bytes:
    """The bytes of a `predictions.csv`."""
    return bytes(pd.DataFrame(table).to_csv(index=False), "utf-8")


@pytest.mark.parametrize(
    "table",
    [
        {"image": ["a"], "label": ["x"], "probability_x": ["1"]},
        {"image": ["a"], "label": ["z"], "predicted": ["x"], "probability_x": ["1"]},
        {"image": ["a"], "label": ["x"], "predicted": ["x"], "probability_x": ["much"]},
        {"image": [], "label": [], "predicted": [], "probability_x": []},
    ],
)
def test_damaged_predictions_are_refused(table: dict[str, list[str]]) -> None:
    with pytest.raises((KeyError, ValueError)):
        parse_predictions(written(table))
