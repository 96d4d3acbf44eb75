"""Datasets that come through other libraries: Kaggle's and torchvision's."""

import json
import struct
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from pipeline.common.datasets import LABEL_COLUMNS, read_table
from pipeline.common.errors import SourceError
from pipeline.fetch.sources import DATASETS
from pipeline.fetch.stage import fetch
from tests.helpers.pictures import SYNTHETIC, fetch_params, write, write_folders


def run(source: str, root: Path, **changes: object) -> dict[str, Any]:
    """Fetch and return the manifest."""
    fetch(fetch_params(source, **changes), SYNTHETIC, root / "raw", root / "cache")
    manifest: dict[str, Any] = json.loads((root / "raw/manifest.json").read_bytes())
    return manifest


# ---- Kaggle


def stand_in(monkeypatch: pytest.MonkeyPatch, answer: Path | Exception) -> list[str]:
    """Put a module in kagglehub's place; returns the datasets asked for."""
    asked = []

    def dataset_download(handle: str) -> str:
        asked.append(handle)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    module = ModuleType("kagglehub")
    module.dataset_download = dataset_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kagglehub", module)
    return asked


def test_kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folders(tmp_path / "versions/7", {"dog": 3, "cat": 3})
    asked = stand_in(monkeypatch, folder)
    manifest = run("kaggle:some-owner/set.1", tmp_path)
    assert asked == ["some-owner/set.1"]
    assert (manifest["images"], manifest["revision"]) == (6, "7")
    assert (folder / "dog/0.png").exists()


def test_kaggle_at_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = stand_in(monkeypatch, write_folders(tmp_path / "plain", {"dog": 3, "cat": 3}))
    assert run("kaggle:owner/set/versions/3", tmp_path)["revision"] == ""
    assert asked == ["owner/set/versions/3"]


def test_kaggle_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, ValueError("403 Client Error.\n\nYou don't have permission"))
    with pytest.raises(SourceError, match=r"\(403 Client Error\. You don't .*log in") as caught:
        run("kaggle:owner/set", tmp_path)
    assert "\n" not in str(caught.value)


def test_kaggle_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(SourceError, match="install it with `pip install 'kagglehub>=1'`"):
        run("kaggle:owner/set", tmp_path)


@pytest.mark.parametrize("name", ["owner", "owner/set/3", "a/b/versions/x", "/set", "a b/c"])
def test_no_name_of_a_kaggle_dataset(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="is no dataset; write kaggle:owner/dataset"):
        run(f"kaggle:{name}", tmp_path)


# ---- torchvision


def idx(values: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """The format of MNIST's files."""
    shape = struct.pack(f">{values.ndim}I", *values.shape)
    return bytes([0, 0, 8, values.ndim]) + shape + values.tobytes()


def write_mnist(root: Path, name: str = "MNIST") -> None:
    """Thirty digits for training and thirty for the test, noise all of them."""
    draw = np.random.default_rng(1)
    for part, count in (("train", 30), ("t10k", 30)):
        pixels = draw.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        write(root / f"{name}/raw/{part}-images-idx3-ubyte", idx(pixels))
        write(root / f"{name}/raw/{part}-labels-idx1-ubyte", idx(labels))


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST"])
def test_a_dataset_that_is_on_disk(tmp_path: Path, name: str) -> None:
    write_mnist(tmp_path / "cache/torchvision", name)
    manifest = run(f"torchvision:{name}", tmp_path, layout="folders")
    assert manifest["images"] == 60
    assert len(manifest["classes"]) == 10
    first = {"MNIST": "0 - zero", "FashionMNIST": "T-shirt/top"}[name]
    table = read_table(tmp_path / "raw/labels.csv", LABEL_COLUMNS, text=True)
    rows = list(table[["image", "label", "split"]].itertuples(index=False, name=None))
    assert ("train/000000.png", first, "train") in rows
    assert ("test/000010.png", first, "test") in rows
    stored = datasets.MNIST if name == "MNIST" else datasets.FashionMNIST
    picture, _ = stored(str(tmp_path / "cache/torchvision"), train=False)[10]
    with Image.open(tmp_path / "raw/images/test/000010.png") as written:
        assert written.tobytes() == picture.tobytes()


class Colours(datasets.FakeData):
    """Colour images with numbers for classes, in the shape of SVHN's class."""

    def __init__(self, root: str, split: str, download: bool) -> None:
        assert Path(root).is_dir()
        assert download
        super().__init__({"train": 24, "test": 12}[split], (3, 32, 32), num_classes=2)


def test_colours_and_numbers_for_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "SVHN", Colours)
    manifest = run("torchvision:SVHN", tmp_path, class_names={})
    assert (manifest["images"], manifest["classes"]) == (36, ["0", "1"])
    assert manifest["revision"] == ""


def test_neither_on_disk_nor_to_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("Error downloading train-images-idx3-ubyte.gz:\nno route")

    monkeypatch.setattr(datasets, "MNIST", refuse)
    with pytest.raises(SourceError, match=r"no route\); check the network, or put .*torchvision"):
        run("torchvision:MNIST", tmp_path)
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("name", ["mnist", "CocoDetection", ""])
def test_no_such_dataset(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="is not known; torchvision's sets are CIFAR10, "):
        run(f"torchvision:{name}", tmp_path)


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_listed_is_torchvision_s(name: str) -> None:
    names = getattr(datasets, name).__init__.__code__.co_varnames
    options = {option for part in DATASETS[name].values() for option in part}
    assert options | {"download"} <= set(names)
