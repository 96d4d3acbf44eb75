"""The publisher's own splits are read, audited always, and kept where that is asked."""

import csv
import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.common import paths
from pipeline.common.datasets import LABEL_COLUMNS, SPLIT_COLUMNS, read_table
from pipeline.common.errors import BluelightError, SourceError, SplitError
from pipeline.common.files import read_json
from pipeline.common.params import Params
from pipeline.fetch.stage import fetch
from pipeline.split import stage as split
from pipeline.split.splitting import divide
from tests.helpers.pictures import (
    SYNTHETIC,
    encoded,
    fetch_params,
    split_params,
    write,
    write_csv_source,
    write_folders,
)


def fetched(source: Path, root: Path, **changes: object) -> dict[str, str]:
    """Fetch and return the published split of each image."""
    fetch(fetch_params(source, **changes), SYNTHETIC, root / "data/raw")
    rows = read_table(root / "data/raw/labels.csv", LABEL_COLUMNS, text=True)
    return dict(zip(rows["image"], rows["split"], strict=True))


def write_splits(root: Path, *names: str, count: int = 3) -> Path:
    return write_folders(root, {f"{name}/{kind}": count for name in names for kind in "ab"})


def write_rows(root: Path, rows: Sequence[tuple[str, ...]], *columns: str) -> Path:
    for index in range(8):
        write(root / "images" / f"{index}.png", encoded(index))
    with (root / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image_names", "emergency_or_not", *columns), *rows])
    return root


# ---- reading


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("train", "val", "test"), {"train", "validation", "test"}),
        (("Train", "Valid"), {"train", "validation"}),
        (("training", "validation", "testing"), {"train", "validation", "test"}),
        (("train", "dev", "test"), {"train", "validation", "test"}),
        (("seg_train", "seg_test"), {"train", "test"}),
        (("Train-Set", "valid-set", "test_set"), {"train", "validation", "test"}),
    ],
)
def test_folders(tmp_path: Path, names: tuple[str, ...], expected: set[str]) -> None:
    splits = fetched(write_splits(tmp_path / "source/wrapped", *names), tmp_path)
    assert splits[f"{names[0]}/a/0.png"] == "train"
    assert set(splits.values()) == expected
    assert read_json(tmp_path / "data/raw/manifest.json")["classes"] == ["a", "b"]
    assert len(splits) == 6 * len(names)


def test_one_folder_alone_is_a_wrapper(tmp_path: Path) -> None:
    assert set(fetched(write_splits(tmp_path / "source", "train"), tmp_path).values()) == {""}


def test_classes_beside_a_folder_called_test_are_classes(tmp_path: Path) -> None:
    fetched(write_folders(tmp_path / "source", {"dog": 3, "test": 3}), tmp_path)
    assert read_json(tmp_path / "data/raw/manifest.json")["classes"] == ["dog", "test"]


@pytest.mark.parametrize(
    "classes", [("train", "test_tube"), ("train_track", "test_tube"), ("training", "train")]
)
def test_classes_named_like_splits_are_classes(tmp_path: Path, classes: tuple[str, str]) -> None:
    splits = fetched(write_folders(tmp_path / "source", dict.fromkeys(classes, 3)), tmp_path)
    assert set(splits.values()) == {""}
    assert read_json(tmp_path / "data/raw/manifest.json")["classes"] == sorted(classes)


def test_a_split_folder_in_one_of_its_name(tmp_path: Path) -> None:
    source = write_splits(tmp_path / "source", "seg_train/seg_train", "seg_test/seg_test")
    splits = fetched(source, tmp_path)
    assert splits["seg_train/seg_train/a/0.png"] == "train"
    assert read_json(tmp_path / "data/raw/manifest.json")["classes"] == ["a", "b"]


def test_a_split_with_a_single_class_keeps_it(tmp_path: Path) -> None:
    source = write_folders(tmp_path / "source", {"train/a": 3, "train/b": 3, "test/a": 3})
    assert fetched(source, tmp_path)["test/a/0.png"] == "test"


@pytest.mark.parametrize("other", ["seg_pred/seg_pred", "dog", "cat_train"])
def test_splits_beside_something_else_are_an_error(tmp_path: Path, other: str) -> None:
    source = write_splits(tmp_path / "source", "seg_train", "seg_test")
    write(source / other / "0.png", encoded(99))
    words = rf"splits \(seg_test, seg_train\) beside others \({Path(other).parts[0]}\); move"
    with pytest.raises(SourceError, match=words):
        fetched(source, tmp_path)


def test_images_without_a_class_are_named(tmp_path: Path) -> None:
    source = write_splits(tmp_path / "source", "train", "test")
    write(source / "test/unlabelled.png", encoded(99))
    with pytest.raises(SourceError, match=r"beside the folders .* test/unlabelled\.png; move them"):
        fetched(source, tmp_path)


def test_column(tmp_path: Path) -> None:
    parts = ["train", "TRAIN", " val ", "valid", "test", "testing", "", "train"]
    rows = [(f"{i}.png", str(i % 2), part) for i, part in enumerate(parts)]
    splits = fetched(write_rows(tmp_path / "source", rows, "split"), tmp_path)
    assert [splits[f"{i}.png"] for i in range(8)] == [
        "train",
        "train",
        "validation",
        "validation",
        "test",
        "test",
        "",
        "train",
    ]


def test_a_column_that_says_something_else(tmp_path: Path) -> None:
    rows = [(f"{i}.png", str(i % 2), "left") for i in range(8)]
    with pytest.raises(SourceError, match=r"line 2: split is 'left'; it must be train.*rename"):
        fetched(write_rows(tmp_path / "source", rows, "split"), tmp_path)


def test_a_column_that_is_the_label(tmp_path: Path) -> None:
    rows = [(f"{i}.png", str(i % 2), "ab"[i % 2]) for i in range(8)]
    source = write_rows(tmp_path / "source", rows, "split")
    assert set(fetched(source, tmp_path, label_column="split").values()) == {""}


def test_two_places_for_one_image(tmp_path: Path) -> None:
    rows = [(f"{i % 8}.png", str(i % 2), "test" if i == 8 else "train") for i in range(9)]
    with pytest.raises(
        SourceError, match=r"line 10: 0\.png is in the split 'test', but 'train' further up"
    ):
        fetched(write_rows(tmp_path / "source", rows, "split"), tmp_path)


# ---- choosing a table


@pytest.mark.parametrize("chosen", ["train.csv", "wrapped/train.csv"])
def test_one_of_several_tables(tmp_path: Path, chosen: str) -> None:
    source = write_csv_source(tmp_path / "source/wrapped")
    write(source / "sample_submission.csv", b"image_names,emergency_or_not\n0.png,0\n")
    with pytest.raises(SourceError, match=r"several tables .*sample_submission\.csv.*fetch\.table"):
        fetched(tmp_path / "source", tmp_path)
    assert len(fetched(tmp_path / "source", tmp_path, table=chosen)) == 8


@pytest.mark.parametrize("chosen", ["rain.csv", "other.csv", "train.csv/train.csv"])
def test_no_such_table(tmp_path: Path, chosen: str) -> None:
    source = write_csv_source(tmp_path / "source")
    write(source / "other.csv", b"name,size\n")
    with pytest.raises(SourceError, match=r"no table .*set it to one of train\.csv"):
        fetched(source, tmp_path, table=chosen)


# ---- keeping


def labelled(*rows: str) -> pd.DataFrame:
    """Make images of the form "class split", named by number."""
    images = []
    for index, row in enumerate(rows):
        label, where = row.split(" ")
        sha256 = hashlib.sha256(str(index).encode()).hexdigest()
        images.append((f"{index:02}", label, where, sha256))
    return pd.DataFrame(images, columns=LABEL_COLUMNS)


def divided(images: pd.DataFrame, groups: list[int] | None = None, **changes: object) -> list[str]:
    params = split_params(**({"published": "keep"} | changes))
    rows = divide(images, np.array(groups or range(len(images))), params)
    return list(rows["split"])


def test_a_whole_split_is_kept_as_it_is() -> None:
    images = labelled(*["a train", "b train", "a validation", "b validation", "a test", "b test"])
    assert divided(images) == list(images["split"])


def test_leaking_images_are_not_moved() -> None:
    images = labelled("a train", "b train", "a validation", "b validation", "a test", "b test")
    assert divided(images, [0, 1, 2, 3, 0, 1]) == list(images["split"])


@pytest.mark.parametrize(
    ("given", "shares"),
    [
        (("train", "test"), {"train": 82, "validation": 18}),
        (("train", "validation"), {"train": 82, "test": 18}),
        (("train",), {"train": 70, "validation": 15, "test": 15}),
    ],
)
def test_missing_parts_are_carved_out_of_train(
    given: tuple[str, ...], shares: dict[str, int]
) -> None:
    images = labelled(*(f"{kind} {where}" for where in given for kind in "ab" for _ in range(100)))
    splits = pd.Series(divided(images))
    of_train = images["split"] == "train"
    for kind in "ab":
        assert Counter(splits[of_train & (images["label"] == kind)]) == shares
    assert (splits == images["split"])[~of_train].all()


def test_a_training_image_with_a_duplicate_in_test_is_not_carved_out() -> None:
    images = labelled(*["a train"] * 20, *["b train"] * 20, "a test", "b test")
    groups = [*range(40), 0, 20]
    for seed in range(20):
        splits = divided(images, groups, seed=seed)
        assert (splits[0], splits[20]) == ("train", "train")


def test_duplicates_are_carved_out_together() -> None:
    images = labelled(*["a train"] * 40, *["b train"] * 40, "a test", "b test")
    groups = [*(i // 2 for i in range(80)), 80, 81]
    splits = divided(images, groups)
    assert splits[:80:2] == splits[1:80:2]
    assert set(splits) == {"train", "validation", "test"}


def test_an_image_without_a_place_goes_to_its_duplicates_or_to_train() -> None:
    images = labelled(
        *["a train", "b train", "a validation", "b validation", "a test", "b test"],
        *["a ", "b ", "a "],
    )
    assert divided(images, [0, 1, 2, 3, 4, 5, 4, 3, 6])[6:] == ["test", "validation", "train"]


@pytest.mark.parametrize(("action", "expected"), [("drop", "dropped"), ("keep", "test")])
def test_conflicting_duplicates(action: str, expected: str) -> None:
    images = labelled(
        *["a train", "b train", "a train", "b train", "a validation", "b validation"],
        *["a test", "b test"],
    )
    splits = divided(images, [0, 1, 2, 3, 4, 5, 6, 0], conflicting_labels=action)
    assert splits[-1] == expected


def test_nothing_published() -> None:
    with pytest.raises(SplitError, match=r"no splits of its own.*set split\.published to ignore"):
        divided(labelled(*["a ", "b "] * 9))


def test_a_class_without_training_images() -> None:
    with pytest.raises(SplitError, match="no training image of b; set"):
        divided(labelled("a train", "a train", "a validation", "a test", "b test"))


# ---- the stage


def params_of(params: Params, **changes: object) -> Params:
    return params.model_copy(update={"split": params.split.model_copy(update=changes)})


def planted(root: Path) -> dict[str, Any]:
    """A source with one of four test images and one of validation copied from train."""
    source = write_splits(root / "source", "train", "val", "test", count=4)
    write(source / "test/a/0.png", (source / "train/a/0.png").read_bytes())
    write(source / "val/b/1.png", (source / "train/b/1.png").read_bytes())
    return fetched(source, root)


def test_a_leak_is_kept_and_causes_a_warning(
    elsewhere: Path, params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    given = planted(elsewhere)
    split.run(params_of(params, published="keep"))
    rows = read_table(paths.SPLIT_CSV, SPLIT_COLUMNS, text=True)
    assert dict(zip(rows["image"], rows["split"], strict=True)) == given
    audit = read_json(paths.SPLIT_AUDIT)
    assert audit["leaks"] == 1
    assert audit["published"] == {
        "kept": True,
        "counts": {"train": 8, "validation": 8, "test": 8},
        "leaks": 1,
        "leaking": ["test/a/0.png"],
    }
    assert {group["split"] for group in audit["groups"]} == {"train, test", "train, validation"}
    [warning] = capsys.readouterr().err.splitlines()
    assert "warning" in warning
    assert "1 of its 8 test images have a duplicate in train" in warning


def test_a_leak_is_mended_and_reported_where_splits_are_ignored(
    elsewhere: Path, params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    planted(elsewhere)
    split.run(params)
    audit = read_json(paths.SPLIT_AUDIT)
    assert audit["leaks"] == 0
    assert (audit["published"]["leaks"], audit["published"]["kept"]) == (1, False)
    assert capsys.readouterr().err == ""


# ---- bad images


def test_bad_images_are_skipped_and_listed(elsewhere: Path, params: Params) -> None:
    source = write_folders(elsewhere / "source", {"dog": 4, "cat": 4})
    write(source / "cat/bad.png", b"")
    write(source / "dog/notes.txt", b"about dogs")
    images = fetched(source, elsewhere, on_bad_image="skip")
    assert len(images) == 8
    assert not (paths.RAW_IMAGES / "cat/bad.png").exists()
    skipped = read_json(paths.RAW_MANIFEST)["skipped"]
    assert [fault["image"] for fault in skipped] == ["cat/bad.png", "dog/notes.txt"]
    assert "0 bytes" in skipped[0]["reason"]
    assert read_json(paths.RAW_MANIFEST)["counts"] == {"cat": 4, "dog": 4}
    split.run(params)
    assert read_json(paths.SPLIT_AUDIT)["skipped"] == skipped


def test_a_class_that_skipping_leaves_too_small_is_an_error(tmp_path: Path) -> None:
    source = write_folders(tmp_path / "source", {"dog": 3, "cat": 3})
    write(source / "cat/0.png", b"")
    with pytest.raises(BluelightError, match="2 of class 'cat' after 1 bad files were skipped; 3"):
        fetched(source, tmp_path, on_bad_image="skip")
    assert not (tmp_path / "data/raw").exists()


def test_the_error_names_the_way_to_skip(tmp_path: Path) -> None:
    source = write_folders(tmp_path / "source", {"dog": 3, "cat": 3})
    write(source / "cat/bad.png", b"")
    with pytest.raises(BluelightError, match=r"or set fetch\.on_bad_image to skip"):
        fetched(source, tmp_path)
