"""Folds keep what splits promise: duplicates together, classes in proportion, stable."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.datasets import SPLIT_COLUMNS, read_table, write_table
from pipeline.common.errors import SplitError
from tests.helpers.pictures import split_params
from tests.split.test_splitting import data_of, singles, with_conflict

FOLDS = st.integers(2, 6)
SIZES = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 5)), min_size=30, max_size=120
).filter(lambda sizes: all(n >= 15 for n in Counter(name for name, _ in sizes).values()))


def rows_of(sizes: list[tuple[str, int]], **changes: object) -> pd.DataFrame:
    return data_of(sizes).divide(split_params(train=0.6, validation=0.2, test=0.2, **changes))


@settings(deadline=None, max_examples=30)
@given(sizes=SIZES, folds=FOLDS, seed=st.integers(0, 2**32 - 1), data=st.data())
def test_no_group_crosses_folds_and_no_class_misses_one(
    sizes: list[tuple[str, int]], folds: int, seed: int, data: st.DataObject
) -> None:
    fold = data.draw(st.integers(0, folds - 1))
    rows = rows_of(sizes, seed=seed, folds=folds, fold=fold)
    assert len(rows[["group", "fold"]].drop_duplicates()) == len(sizes)
    used = rows[rows["split"] != "test"]
    assert set(zip(used["label"], used["fold"], strict=True)) == {
        (label, str(i)) for label, _ in sizes for i in range(folds)
    }
    expected = [{"": "test", str(fold): "validation"}.get(own, "train") for own in rows["fold"]]
    assert list(rows["split"]) == expected


@settings(deadline=None, max_examples=30)
@given(sizes=SIZES, folds=FOLDS, seed=st.integers(0, 2**32 - 1))
def test_the_test_split_is_the_same_with_and_without_folds(
    sizes: list[tuple[str, int]], folds: int, seed: int
) -> None:
    without, within = rows_of(sizes, seed=seed), rows_of(sizes, seed=seed, folds=folds)
    assert ((without["split"] == "test") == (within["split"] == "test")).all()
    assert set(without["fold"]) == {""}


@settings(deadline=None, max_examples=30)
@given(count=st.integers(60, 400), folds=FOLDS, seed=st.integers(0, 2**32 - 1))
def test_folds_of_a_class_differ_by_one_image_at_most(count: int, folds: int, seed: int) -> None:
    rows = singles(count, "aab").divide(split_params(seed=seed, folds=folds))
    for label in "ab":
        sizes = Counter(rows["fold"][(rows["label"] == label) & (rows["fold"] != "")])
        assert max(sizes.values()) - min(sizes.values()) <= 1


@settings(deadline=None, max_examples=20)
@given(order=st.permutations(range(60)), seed=st.integers(0, 2**32 - 1))
def test_names_and_order_do_not_matter(order: list[int], seed: int) -> None:
    data, params = singles(60), split_params(seed=seed, folds=3)
    first, second = data.divide(params), data.reordered(order).divide(params)
    assert list(first["fold"][order]) == list(second["fold"])


def test_every_fold_validates_in_its_turn() -> None:
    validated: list[str] = []
    for fold in range(5):
        rows = singles(200).divide(split_params(folds=5, fold=fold))
        validated += rows["image"][rows["split"] == "validation"].tolist()
    assert len(validated) == len(set(validated)) == 170


def test_more_images_move_few_of_those_that_were_there() -> None:
    params = split_params(folds=5)
    before, after = (singles(count).divide(params)["fold"] for count in (2000, 2100))
    assert (before != after[:2000]).sum() <= 0.03 * len(before)


def test_dropped_images_have_no_fold() -> None:
    rows = with_conflict(1).divide(split_params(folds=2))
    assert set(rows["fold"][rows["split"] == "dropped"]) == {""}


def test_a_class_too_small_for_the_folds_is_an_error() -> None:
    data = data_of([("a", 1)] * 40 + [("b", 1)] * 4)
    with pytest.raises(
        SplitError, match=r"class 'b' has 3 groups.*too few for 5 folds: set.* to 3"
    ):
        data.divide(split_params(folds=5))


def test_folds_come_back_from_the_table(tmp_path: Path) -> None:
    rows = singles(40).divide(split_params(folds=4))
    write_table(tmp_path / "split.csv", rows)
    assert read_table(tmp_path / "split.csv", SPLIT_COLUMNS, text=True).equals(rows)
