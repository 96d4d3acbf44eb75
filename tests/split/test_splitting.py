"""The split keeps duplicates together, classes in proportion, and images where they were."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.common import paths
from pipeline.common.datasets import (
    LABEL_COLUMNS,
    SPLIT_COLUMNS,
    USED_SPLITS,
    read_table,
    write_table,
)
from pipeline.common.errors import SplitError
from pipeline.common.files import write_json
from pipeline.common.params import Params, SplitParams
from pipeline.split import stage as split
from pipeline.split.splitting import divide
from pipeline.split.stage import audit, leaking
from tests.helpers.pictures import contents, encode, picture, split_params, write


class Data(NamedTuple):
    """Images, and the number of each one's group."""

    images: pd.DataFrame
    groups: list[int]

    def divide(self, params: SplitParams) -> pd.DataFrame:
        return divide(self.images, np.array(self.groups), params)

    def reordered(self, order: Sequence[int]) -> "Data":
        """Return the same content under other names, in another order, with other group numbers."""
        images = self.images.iloc[list(order)].reset_index(drop=True)
        names = [f"new{place}" for place in range(len(order))]
        return Data(images.assign(image=names), [1000 - self.groups[i] for i in order])


def data_of(sizes: Sequence[tuple[str, int]], start: int = 0) -> Data:
    """Make groups of these classes and sizes."""
    images, groups = [], []
    for group, (label, size) in enumerate(sizes, start=start):
        names = [f"{group:05}-{index}" for index in range(size)]
        images += [(name, label, "", content(name)) for name in names]
        groups += [group] * size
    return Data(pd.DataFrame(images, columns=LABEL_COLUMNS), groups)


def content(name: str) -> str:
    return np.random.default_rng(list(name.encode())).bytes(32).hex()


def singles(count: int, classes: str = "ab", start: int = 0) -> Data:
    return data_of([(classes[i % len(classes)], 1) for i in range(count)], start)


def split_of(rows: pd.DataFrame) -> dict[str, str]:
    return dict(zip(rows["image"], rows["split"], strict=True))


def with_conflict(where: int) -> Data:
    """Make forty images, two of them duplicates with different labels, and two with the same."""
    data = data_of([("ab"[i % 2], 2 if i < 2 else 1) for i in range(38)])
    data.images.loc[where, "label"] = "b"
    return data


PAIR_COLUMNS = ["image", "other", "ratio", "grouped"]
SIZES = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 5)), min_size=9, max_size=120
).filter(lambda sizes: all(count >= 3 for count in Counter(name for name, _ in sizes).values()))
SHARES = st.sampled_from([(0.7, 0.15, 0.15), (0.5, 0.25, 0.25), (0.8, 0.1, 0.1), (0.2, 0.2, 0.6)])


def shared(shares: tuple[float, float, float], seed: int = 11) -> SplitParams:
    return split_params(
        train=shares[0], validation=shares[1], test=1 - shares[0] - shares[1], seed=seed
    )


@settings(deadline=None, max_examples=40)
@given(sizes=SIZES, shares=SHARES, seed=st.integers(0, 2**32 - 1))
def test_no_group_crosses_splits_and_no_class_misses_one(
    sizes: list[tuple[str, int]], shares: tuple[float, float, float], seed: int
) -> None:
    rows = data_of(sizes).divide(shared(shares, seed))
    splits = rows.groupby("group")["split"].nunique()
    assert (splits == 1).all()
    assert len(splits) == len(sizes)
    present = set(zip(rows["label"], rows["split"], strict=True))
    assert present == {(label, name) for label, _ in sizes for name in USED_SPLITS}


@settings(deadline=None, max_examples=40)
@given(count=st.integers(30, 400), shares=SHARES, seed=st.integers(0, 2**32 - 1))
def test_classes_are_divided_to_within_one_image(
    count: int, shares: tuple[float, float, float], seed: int
) -> None:
    rows = singles(count, "aab").divide(shared(shares, seed))
    totals = Counter(rows["label"])
    counts = Counter(zip(rows["label"], rows["split"], strict=True))
    for label, total in totals.items():
        for name, share in zip(USED_SPLITS, shares, strict=True):
            assert abs(counts[label, name] - total * share) <= 1


@settings(deadline=None, max_examples=40)
@given(several=st.lists(st.integers(2, 6), max_size=30), seed=st.integers(0, 2**32 - 1))
def test_single_images_make_up_for_groups_of_any_size(several: list[int], seed: int) -> None:
    data = data_of([("a", size) for size in several] + [("a", 1), ("b", 1)] * 100)
    rows = data.divide(split_params(seed=seed))
    counts = Counter(rows["split"][rows["label"] == "a"])
    total = 100 + sum(several)
    assert abs(counts["train"] - 0.7 * total) <= 1
    assert abs(counts["test"] - 0.15 * total) <= 1


@settings(deadline=None, max_examples=40)
@given(sizes=SIZES, order=st.randoms(use_true_random=False))
def test_names_and_order_do_not_matter(sizes: list[tuple[str, int]], order: object) -> None:
    data = data_of(sizes)
    places = list(range(len(data.groups)))
    order.shuffle(places)  # type: ignore[attr-defined]
    first = data.divide(split_params())
    second = data.reordered(places).divide(split_params())
    assert list(first["split"][places]) == list(second["split"])


def test_another_seed_divides_otherwise() -> None:
    data = singles(200)
    assert split_of(data.divide(split_params(seed=1))) != split_of(
        data.divide(split_params(seed=2))
    )


@pytest.mark.parametrize("seed", range(5))
def test_more_images_move_few_of_those_that_were_there(seed: int) -> None:
    params = split_params(seed=seed)
    before = split_of(singles(2000).divide(params))
    after = split_of(singles(2100).divide(params))
    moved = [(before[name], after[name]) for name in before if before[name] != after[name]]
    assert len(moved) <= 0.02 * len(before)
    assert ("test", "train") not in moved
    assert ("train", "test") not in moved


def test_large_groups_fall_into_splits_as_often_as_small_ones() -> None:
    # A place taken as the least of the members' would send most large groups to train.
    data = data_of([("a", 2), ("a", 8)] * 500 + [("b", 1)] * 20)
    rows = data.divide(split_params())
    sizes = rows.groupby("group")["image"].transform("size")
    counts = Counter(rows["split"][sizes == 8])
    assert abs(counts["train"] / 4000 - 0.7) < 0.06


def test_a_split_overfull_with_duplicates_takes_no_more_from_the_others() -> None:
    # Of the two groups, the second fills validation with 20 of the 12 images that are its share.
    rows = data_of([("a", 20)] * 2 + [("a", 1), ("b", 1)] * 40).divide(split_params())
    counts = Counter(rows["split"][rows["label"] == "a"])
    assert counts == {"train": 56, "validation": 20, "test": 4}


def test_conflicting_duplicates_are_dropped() -> None:
    rows = with_conflict(1).divide(split_params())
    assert list(rows["image"][rows["split"] == "dropped"]) == ["00000-0", "00000-1"]


def test_conflicting_duplicates_can_be_kept_together() -> None:
    rows = with_conflict(1).divide(split_params(conflicting_labels="keep"))
    assert rows["split"][0] == rows["split"][1] != "dropped"
    assert list(rows["label"][:2]) == ["a", "b"]


def test_conflicting_duplicates_can_be_an_error() -> None:
    with pytest.raises(SplitError, match=r"00000-0 \(a\), 00000-1 \(b\); correct the labels"):
        with_conflict(1).divide(split_params(conflicting_labels="error"))


def test_a_class_too_small_for_three_splits_is_an_error() -> None:
    data = data_of([("a", 1)] * 20 + [("b", 5), ("b", 1)])
    with pytest.raises(SplitError, match=r"class 'b' has 6 usable images in 2 groups.*add"):
        data.divide(split_params())


def test_a_class_whose_duplicates_all_conflict_is_an_error() -> None:
    data = data_of([("a", 1)] * 20 + [("b", 2)])
    data.images.loc[len(data.groups) - 1, "label"] = "a"
    with pytest.raises(SplitError, match="class 'b' has 0 usable images"):
        data.divide(split_params())


def test_a_leak_planted_by_hand_is_caught() -> None:
    groups = np.array([0, 0, 1, 1, 2, 3, 3])
    clean = np.array(["train", "train", "test", "test", "test", "validation", "dropped"])
    assert not leaking(groups, clean).any()
    leaky = np.array(["train", "test", "test", "train", "test", "train", "dropped"])
    assert leaking(groups, leaky).tolist() == [False, True, True, False, False, False, False]


def account_of(data: Data, pairs: Sequence[tuple[int, int, float, bool]] = ()) -> dict[str, Any]:
    """Audit the division of `data` of the classes a and b."""
    params, table = split_params(), pd.DataFrame(pairs, columns=PAIR_COLUMNS)
    table = table.astype({"grouped": bool}).assign(alike=table["ratio"] < 0.25)
    return audit(data.divide(params), data.images, table, ["a", "b"], params)


def test_audit_lists_doubtful_pairs_first_grouped_then_not() -> None:
    data = data_of([("a", 3), ("a", 2)] + [("a", 1), ("b", 1)] * 20)
    pairs = [(0, 1, 0.01, True), (1, 2, 0.2, True), (3, 4, 0.1, True), (5, 6, 0.3, False)]
    account = account_of(data, [*pairs, (5, 7, 0.4, False)])
    assert [(pair["ratio"], pair["grouped"]) for pair in account["doubtful"]] == [
        *[(0.2, True), (0.1, True), (0.01, True)],
        *[(0.3, False), (0.4, False)],
    ]
    assert account["doubtful"][0]["images"] == {"00000-1": "a", "00000-2": "a"}
    assert [group["ratio"] for group in account["groups"]] == [0.2, 0.1]


def test_audit_counts_pairs_that_are_alike_but_in_different_splits() -> None:
    data = singles(40)
    splits = data.divide(split_params())["split"]
    train, test = (np.flatnonzero(splits == split)[:2].tolist() for split in ("train", "test"))
    pairs = [(train[0], test[0], 0.1, False), (train[1], test[1], 0.3, False)]
    assert account_of(data, [*pairs, (*train, 0.2, False)])["alike_across_splits"] == 1


def test_audit_counts_duplicates_conflicts_and_leaks() -> None:
    data = with_conflict(1)
    data.images.loc[2, "sha256"] = data.images["sha256"][3]
    account = account_of(data)
    assert account["images"] == 40
    assert account["exact_duplicates"] == {"groups": 1, "files": 2}
    assert account["near_duplicates"] == {"groups": 1, "files": 2}
    assert account["largest_group"] == 2
    assert account["conflicts"] == {"groups": 1, "files": 2, "action": "drop"}
    assert account["counts"]["dropped"] == {"a": 1, "b": 1}
    assert sum(sum(counts.values()) for counts in account["counts"].values()) == 40
    assert account["leaks"] == 0
    assert [group["kind"] for group in account["groups"]] == ["near", "exact"]
    assert account["groups"][0]["images"] == {"00000-0": "a", "00000-1": "b"}


def test_expected_leaks_of_random_splits_agree_with_their_formula() -> None:
    data = data_of([("a", 2)] * 100 + [("a", 1)] * 800 + [("b", 1)] * 20)
    account = account_of(data)
    leaks = account["leaks_of_random_splits"]
    # Of the 200 files with a duplicate, 15 % are in test, and 70 % of those have theirs in train.
    assert abs(leaks["mean"] - 200 * 0.15 * 0.7) < 2
    assert leaks["least"] <= leaks["mean"] <= leaks["most"]


@pytest.mark.usefixtures("elsewhere")
def test_a_group_that_takes_in_much_of_the_data_causes_a_warning(
    params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    write_raw([0 if index % 2 == 0 and index < 24 else index for index in range(40)], "ab" * 20)
    split.run(params)
    warning = capsys.readouterr().err
    assert "12 of 40 images are one group of duplicates, 00.png among them" in warning
    assert "lower split.near_duplicate_ratio" in warning


def write_raw(seeds: Sequence[int], labels: str) -> list[str]:
    """Write `data/raw` with a picture of each seed; return the names."""
    rows = []
    for index, (seed, label) in enumerate(zip(seeds, labels, strict=True)):
        data = encode(picture(seed))
        write(paths.RAW_IMAGES / f"{index:02}.png", data)
        rows.append((f"{index:02}.png", label, "", hashlib.sha256(data).hexdigest()))
    write_table(paths.RAW_LABELS, pd.DataFrame(rows, columns=LABEL_COLUMNS))
    write_json(paths.RAW_MANIFEST, {"classes": sorted(set(labels)), "skipped": []})
    return [name for name, *_ in rows]


def test_the_stage_writes_the_same_bytes_again(elsewhere: Path, params: Params) -> None:
    names = write_raw([index - index % 6 // 5 for index in range(24)], "aabb" * 6)
    split.run(params)
    first = contents(elsewhere / "data/split")
    split.run(params)
    assert contents(elsewhere / "data/split") == first
    assert sorted(first) == ["audit.json", "contact_sheet.png", "split.csv"]
    assert json.loads(first["audit.json"])["exact_duplicates"] == {"groups": 4, "files": 8}
    assert list(read_table(paths.SPLIT_CSV, SPLIT_COLUMNS, text=True)["image"]) == names
    with Image.open(paths.SPLIT_CONTACT_SHEET) as sheet:
        assert sheet.width > 1000
        assert len(np.unique(np.asarray(sheet).reshape(-1, 3), axis=0)) > 1000
