"""Every supported source and layout becomes the same tidy folder."""

import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from pipeline.common.datasets import LABEL_COLUMNS, read_table
from pipeline.common.files import digest
from pipeline.fetch.stage import fetch
from tests.helpers.pictures import (
    SYNTHETIC,
    contents,
    encoded,
    fetch_params,
    write,
    write_csv_source,
    write_folders,
    write_table,
)


def run(source: Path | str, destination: Path, **changes: object) -> dict[str, Any]:
    """Fetch and return the manifest."""
    fetch(fetch_params(source, **changes), SYNTHETIC, destination)
    manifest: dict[str, Any] = json.loads((destination / "manifest.json").read_bytes())
    return manifest


def labels(destination: Path) -> list[tuple[str, ...]]:
    """Return the rows of `labels.csv`: image, label, published split and SHA-256."""
    table = read_table(destination / "labels.csv", LABEL_COLUMNS, text=True)
    return list(table.itertuples(index=False, name=None))


def test_csv_and_images(tmp_path: Path) -> None:
    source = write_csv_source(tmp_path / "source")
    manifest = run(source, tmp_path / "raw")
    assert manifest["layout"] == "csv"
    assert manifest["classes"] == ["other", "emergency"]
    assert manifest["counts"] == {"other": 4, "emergency": 4}
    assert manifest["images"] == 8
    assert labels(tmp_path / "raw")[:2] == [
        ("0.png", "other", "", digest(source / "images/0.png")),
        ("1.png", "emergency", "", digest(source / "images/1.png")),
    ]
    assert contents(tmp_path / "raw/images") == contents(source / "images")
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == [
        "images",
        "labels.csv",
        "manifest.json",
    ]


def test_one_folder_per_class(tmp_path: Path) -> None:
    source = write_folders(tmp_path / "source", {"dog": 3, "cat": 4})
    manifest = run(source, tmp_path / "raw")
    assert manifest["layout"] == "folders"
    assert manifest["classes"] == ["cat", "dog"]
    assert ("cat/3.png", "cat") in [row[:2] for row in labels(tmp_path / "raw")]
    assert contents(tmp_path / "raw/images") == contents(source)


def test_wrapping_folders_are_looked_through(tmp_path: Path) -> None:
    write_folders(tmp_path / "source/a/b", {"dog": 3, "cat": 3})
    write(tmp_path / "source/a/README.txt", b"about")
    run(tmp_path / "source", tmp_path / "raw")
    assert {row[0] for row in labels(tmp_path / "raw")} >= {"cat/0.png", "dog/2.png"}


def test_folders_within_a_class_belong_to_it(tmp_path: Path) -> None:
    source = write_folders(tmp_path / "source", {"dog": 3, "cat/tabby": 3, "cat/grey": 1})
    assert run(source, tmp_path / "raw")["counts"] == {"cat": 4, "dog": 3}


def test_hidden_files_and_junk_are_passed_over(tmp_path: Path) -> None:
    source = write_folders(tmp_path / "source", {"dog": 3, "cat": 3})
    for junk in (".DS_Store", "Thumbs.db", "__MACOSX/0.png", ".git/0.png"):
        write(source / junk, b"junk")
        write(source / "dog" / junk, b"junk")
    assert run(source, tmp_path / "raw")["images"] == 6


@pytest.mark.parametrize("form", ["zip", "tar", "gztar", "bztar", "xztar"])
@pytest.mark.parametrize("layout", ["csv", "folders"])
def test_archives_equal_their_folder(tmp_path: Path, form: str, layout: str) -> None:
    folder = tmp_path / "source"
    if layout == "csv":
        write_csv_source(folder)
    else:
        write_folders(folder, {"dog": 3, "cat": 3})
    archive = shutil.make_archive(str(tmp_path / "archive"), form, folder)
    from_folder = run(folder, tmp_path / "one") | {"source": ""}
    from_archive = run(archive, tmp_path / "two") | {"source": ""}
    assert from_archive == from_folder
    for name in ("images", "labels.csv"):
        assert contents(tmp_path / "one" / name) == contents(tmp_path / "two" / name)


def test_tgz_suffix(tmp_path: Path) -> None:
    folder = write_folders(tmp_path / "source", {"dog": 3, "cat": 3})
    with tarfile.open(tmp_path / "a.TGZ", "w:gz") as tar:
        tar.add(folder, "source")
    assert run(tmp_path / "a.TGZ", tmp_path / "raw")["images"] == 6


def test_synthetic_whatever_the_columns_are_called(tmp_path: Path) -> None:
    manifest = run("synthetic", tmp_path / "raw", layout="folders", image_column="file")
    assert (manifest["images"], manifest["layout"]) == (20, "csv")
    assert manifest["classes"] == ["other", "emergency"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_table_with_byte_order_mark_crlf_quotes_and_spaces(tmp_path: Path, encoding: str) -> None:
    source = tmp_path / "source"
    names = ["plain.png", "com,ma.png", 'quo"te.png', "café.png", "sp ace.png", "x.png"]
    for index, name in enumerate(names):
        write(source / "images" / name, encoded(index))
    write_table(
        source, [(f" {name} ", str(i % 2)) for i, name in enumerate(names)], encoding=encoding
    )
    assert b"\r\n" in (source / "train.csv").read_bytes()
    run(source, tmp_path / "raw")
    assert [row[0] for row in labels(tmp_path / "raw")] == sorted(names)
    assert b"\r" not in (tmp_path / "raw/labels.csv").read_bytes()


def test_images_are_found_beside_below_and_anywhere(tmp_path: Path) -> None:
    source = tmp_path / "source"
    places = ["data/0.png", "data/images/1.png", "photos/2.png", "deep/er/3.png", "data/sub/4.png"]
    for index, place in enumerate([*places, "data/5.png"]):
        write(source / place, encoded(index))
    names = ["0.png", "1.png", "2.png", "er/3.png", "sub\\4.png", "./5.png"]
    write_table(source / "data", [(name, str(i % 2)) for i, name in enumerate(names)])
    run(source, tmp_path / "raw")
    images = contents(tmp_path / "raw/images")
    assert images["2.png"] == encoded(2)
    assert sorted(images) == ["0.png", "1.png", "2.png", "5.png", "er/3.png", "sub/4.png"]


def test_repeated_rows_count_once_and_unlisted_images_not_at_all(tmp_path: Path) -> None:
    source = write_csv_source(tmp_path / "source")
    write(source / "images/unlisted.png", encoded(99))
    write_table(source, [(f"{i}.png", str(i % 2)) for i in (*range(8), *range(8))])
    assert run(source, tmp_path / "raw")["images"] == 8


def test_a_file_with_two_names_counts_once(tmp_path: Path) -> None:
    source = write_csv_source(tmp_path / "source")
    names = [*(f"{i}.png" for i in range(8)), *(f"images/{i}.png" for i in range(8))]
    write_table(source, [(name, str(i % 2)) for i, name in enumerate(names)])
    assert run(source, tmp_path / "raw")["images"] == 8


def test_other_columns_and_other_tables(tmp_path: Path) -> None:
    source = write_csv_source(tmp_path / "source")
    rows = [(f"{i}.png", "ab"[i % 2]) for i in range(8)]
    write_table(source, rows, columns=("file", "kind"))
    (source / "sizes.csv").write_text("file,size\n0.png,12\n")
    manifest = run(source, tmp_path / "raw", image_column="file", label_column="kind")
    assert manifest["classes"] == ["a", "b"]


def test_numeric_labels_are_ordered_as_numbers_and_renamed(tmp_path: Path) -> None:
    source = write_folders(tmp_path / "source", {"10": 3, "9": 3, "1": 3})
    names = {"9": "nine", "10": "ten", "1": "one"}
    manifest = run(source, tmp_path / "raw", class_names=names)
    assert manifest["classes"] == ["one", "nine", "ten"]


def test_labels_that_are_the_same_number_have_an_order(tmp_path: Path) -> None:
    source = write_folders(tmp_path / "source", {"1": 3, "01": 3, "001": 3, "0": 3})
    assert run(source, tmp_path / "raw")["classes"] == ["0", "001", "01", "1"]


def test_names_for_some_labels_are_for_other_data(tmp_path: Path) -> None:
    source = write_folders(tmp_path / "source", {"0": 3, "1": 3, "2": 3})
    manifest = run(source, tmp_path / "raw", class_names={"0": "other", "1": "emergency"})
    assert manifest["classes"] == ["0", "1", "2"]


def test_layout_can_be_forced(tmp_path: Path) -> None:
    source = write_folders(tmp_path / "source", {"dog": 3, "cat": 3})
    write_table(source, [("dog/0.png", "0")])
    assert run(source, tmp_path / "raw", layout="folders")["images"] == 6


def test_same_bytes_again_and_another_table_for_any_change(tmp_path: Path) -> None:
    source = write_folders(tmp_path / "source", {"dog": 3, "cat": 3})
    run(source, tmp_path / "one")
    run(source, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    tables = {(tmp_path / "one/labels.csv").read_bytes()}
    write(source / "dog/0.png", encoded(77))
    run(source, tmp_path / "one")
    tables.add((tmp_path / "one/labels.csv").read_bytes())
    (source / "dog/0.png").rename(source / "dog/9.png")
    run(source, tmp_path / "one")
    tables.add((tmp_path / "one/labels.csv").read_bytes())
    assert len(tables) == 3


def test_an_old_result_is_replaced_and_a_killed_one_cleared_away(tmp_path: Path) -> None:
    source = write_folders(tmp_path / "source", {"dog": 3, "cat": 3})
    write(tmp_path / "raw/old.txt", b"old")
    write(tmp_path / ".raw.999999999.partial/half.txt", b"half")
    run(source, tmp_path / "raw")
    assert sorted(os.listdir(tmp_path)) == ["raw", "source"]  # noqa: PTH208 - hidden ones too
    assert not (tmp_path / "raw/old.txt").exists()


def test_the_source_is_left_as_it_was(tmp_path: Path) -> None:
    source = write_csv_source(tmp_path / "source")
    before = contents(source)
    run(source, tmp_path / "raw")
    assert contents(source) == before
