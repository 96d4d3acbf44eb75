"""Packing decodes each image once, in order, and what is damaged is not loaded."""

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.common.datasets import SPLIT_COLUMNS, PackedSplit, load_packed
from pipeline.common.errors import BluelightError
from pipeline.common.images import resize
from pipeline.pack.stage import pack
from tests.helpers.pictures import contents, encoded, picture, write

CLASSES = ["cat", "dog"]


def rows_in(folder: Path, count: int = 70) -> pd.DataFrame:
    """Images on disk, each tenth in validation, test and dropped, the rest in train."""
    splits = ["validation", "test", "dropped", *["train"] * 7]
    rows = []
    for index in range(count):
        name = f"{'ab'[index % 2]}/{count - index:03}.png"
        write(folder / name, encoded(index))
        rows.append((name, CLASSES[index % 2], splits[index % 10], str(index), ""))
    return pd.DataFrame(rows, columns=SPLIT_COLUMNS)


def packed_in(root: Path) -> Path:
    pack(16, root / "images", rows_in(root / "images"), CLASSES, root / "packed")
    return root / "packed"


def test_every_image_once_in_its_split_sorted_by_name(tmp_path: Path) -> None:
    rows = rows_in(tmp_path / "images")
    pack(16, tmp_path / "images", rows, CLASSES, tmp_path / "packed")
    for name in ("train", "validation", "test"):
        split = load_packed(tmp_path / "packed" / name)
        expected = rows[rows["split"] == name].sort_values("image")
        assert split.names == list(expected["image"])
        assert split.groups == list(expected["group"])
        assert [split.classes[label] for label in split.labels] == list(expected["label"])
        assert (split.size, split.classes, len(split)) == (16, CLASSES, len(expected))
    assert sorted(os.listdir(tmp_path / "packed")) == ["test", "train", "validation"]  # noqa: PTH208


def test_pixels_are_the_images_resized(tmp_path: Path) -> None:
    split = load_packed(packed_in(tmp_path) / "train")
    assert split.images.dtype == np.uint8
    for row, name in enumerate(split.names):
        seed = 70 - int(name[2:5])
        assert np.array_equal(split.images[row], resize(picture(seed), 16))


def test_bytes_do_not_depend_on_the_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = contents(packed_in(tmp_path))
    monkeypatch.setattr("pipeline.common.parallel.WORTH_A_PROCESS", 10)
    monkeypatch.setattr("pipeline.common.parallel.available_cores", lambda: 3)
    assert contents(packed_in(tmp_path)) == one


def test_images_stay_on_disk(tmp_path: Path) -> None:
    assert isinstance(load_packed(packed_in(tmp_path) / "test").images, np.memmap)


def test_a_memory_map_cannot_be_written_to(tmp_path: Path) -> None:
    split = load_packed(packed_in(tmp_path) / "test")
    with pytest.raises(ValueError, match="read-only"):
        split.images[0] = 0


def assert_equal(one: PackedSplit, other: PackedSplit) -> None:
    for field in filter(lambda field: field.init, fields(PackedSplit)):
        assert np.array_equal(getattr(one, field.name), getattr(other, field.name))


def test_a_pickle_holds_the_path_of_mapped_pixels(tmp_path: Path) -> None:
    split = load_packed(packed_in(tmp_path) / "train")
    assert split.images.nbytes > 30_000
    data = pickle.dumps(split)
    assert len(data) < 3000
    restored = pickle.loads(data)  # noqa: S301 - what was just pickled
    assert isinstance(restored.images, np.memmap)
    assert not restored.images.flags.writeable
    assert_equal(restored, split)


def test_a_pickle_holds_pixels_that_are_not_a_whole_file(tmp_path: Path) -> None:
    folder = packed_in(tmp_path) / "train"
    mapped = load_packed(folder)
    part = replace(mapped, images=mapped.images[5:9], labels=mapped.labels[5:9])
    assert_equal(pickle.loads(pickle.dumps(part)), part)  # noqa: S301


def test_a_failure_leaves_the_old_arrays_and_nothing_else(tmp_path: Path) -> None:
    rows = rows_in(tmp_path / "images")
    pack(16, tmp_path / "images", rows, CLASSES, tmp_path / "packed")
    before = contents(tmp_path / "packed")
    damaged = rows["image"][7]
    write(tmp_path / "images" / damaged, b"")
    with pytest.raises(BluelightError, match=damaged):
        pack(24, tmp_path / "images", rows, CLASSES, tmp_path / "packed")
    assert contents(tmp_path / "packed") == before


def damage_meta(key: str, value: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        meta = json.loads((folder / "meta.json").read_text())
        (folder / "meta.json").write_text(json.dumps(meta | {key: value}))

    return damage


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (lambda folder: folder.rename(folder.with_name("x")), "meta.json not found"),
    "no images": (lambda folder: (folder / "images.npy").unlink(), "images.npy not found"),
    "no labels": (lambda folder: (folder / "labels.npy").unlink(), "labels.npy not found"),
    "half the images": (
        lambda folder: os.truncate(folder / "images.npy", 900),
        "images.npy is damaged",
    ),
    "empty labels": (lambda folder: os.truncate(folder / "labels.npy", 0), "labels.npy is damaged"),
    "text as labels": (
        lambda folder: write(folder / "labels.npy", b"labels"),
        "labels.npy is damaged",
    ),
    "broken JSON": (lambda folder: write(folder / "meta.json", b"{"), "meta.json is damaged"),
    "JSON without names": (
        lambda folder: write(folder / "meta.json", b'{"size": 16}'),
        "'names' is missing",
    ),
    "fewer groups": (damage_meta("groups", ["0"]), r"meta.json.*it has 7 names and 1 groups"),
    "another size": (damage_meta("size", 8), r"images.npy.*not uint8 \[7, 8, 8, 3\]"),
    "fewer names": (damage_meta("names", ["a"]), "it has 1 names and 7 groups"),
    "fewer rows": (
        lambda folder: np.save(folder / "images.npy", np.zeros((1, 16, 16, 3), np.uint8)),
        r"images.npy.*\[1, 16, 16, 3\], not uint8 \[7, 16, 16, 3\]",
    ),
    "fewer classes": (damage_meta("classes", ["cat"]), "labels are not in 0 to 0"),
    "wrong type": (
        lambda folder: np.save(folder / "labels.npy", np.zeros(7, np.int32)),
        "it is int32",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_told(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    folder = packed_in(tmp_path) / "test"
    damage(folder)
    with pytest.raises(BluelightError, match=message) as caught:
        load_packed(folder)
    assert "dvc repro" in str(caught.value)
