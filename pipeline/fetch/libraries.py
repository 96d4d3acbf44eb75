"""Datasets that other libraries download: Kaggle's through kagglehub, torchvision's own."""

import contextlib
import io
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.common.datasets import write_table
from pipeline.common.errors import SourceError, one_line
from pipeline.common.parallel import progress_bar

KAGGLE = "kaggle:"
KAGGLE_NAME = re.compile(r"[\w.-]+/[\w.-]+(/versions/[0-9]+)?")

TORCHVISION = "torchvision:"
_FLAG = {"train": {"train": True}, "test": {"train": False}}
_TWO = {"train": {"split": "train"}, "test": {"split": "test"}}
_THREE = {**_TWO, "validation": {"split": "val"}}

# The arguments that select each of the publisher's splits, by torchvision's class.
DATASETS: dict[str, dict[str, dict[str, Any]]] = {
    **dict.fromkeys(("CIFAR10", "CIFAR100", "FashionMNIST", "KMNIST", "MNIST", "USPS"), _FLAG),
    **dict.fromkeys(("Food101", "GTSRB", "STL10", "SVHN"), _TWO),
    **dict.fromkeys(("DTD", "FGVCAircraft", "Flowers102", "PCAM", "RenderedSST2"), _THREE),
    "Country211": {**_TWO, "validation": {"split": "valid"}},
    "EuroSAT": {"": {}},
    "Imagenette": {"train": {"split": "train"}, "validation": {"split": "val"}},
    "OxfordIIITPet": {"train": {"split": "trainval"}, "test": {"split": "test"}},
}


def download_kaggle(source: str) -> tuple[Path, str]:
    """Download a dataset from Kaggle, or find it in kagglehub's own cache.

    Args:
        source: `kaggle:owner/dataset` for the newest version, or
            `kaggle:owner/dataset/versions/3`.

    Returns:
        The dataset's folder, and its version; empty where kagglehub does not name it.

    Raises:
        SourceError: kagglehub is not installed, or cannot fetch the dataset.
    """
    handle = source.removeprefix(KAGGLE)
    if not KAGGLE_NAME.fullmatch(handle):
        raise SourceError(
            f"fetch.source: {source} is no dataset; write kaggle:owner/dataset, or "
            "kaggle:owner/dataset/versions/3"
        )
    try:
        kagglehub = import_module("kagglehub")
    except ModuleNotFoundError:
        raise SourceError(
            f"fetch.source: {source} needs kagglehub; install it with `pip install 'kagglehub>=1'`"
        ) from None
    try:
        folder = Path(kagglehub.dataset_download(handle))
    except Exception as error:  # its errors have no common family
        raise SourceError(
            f"{source} cannot be fetched ({one_line(error)}); check the name, and log in with "
            "`kagglehub.login()` where the dataset asks for it"
        ) from error
    return folder, folder.name if folder.parent.name == "versions" else ""


def write_torchvision(source: str, destination: Path, cache: Path) -> None:
    """Write a dataset of torchvision as `images/<split>/<number>.png` and `labels.csv`.

    Args:
        source: `torchvision:NAME`.
        destination: The folder to write, which is created.
        cache: The folder below which torchvision keeps, or finds, its files.

    Raises:
        SourceError: There is no such dataset, or it is neither on disk nor can be downloaded.
    """
    name = source.removeprefix(TORCHVISION)
    if name not in DATASETS:
        raise SourceError(
            f"fetch.source: {source} is not known; torchvision's sets are {', '.join(DATASETS)}"
        )
    root = cache / "torchvision"
    root.mkdir(parents=True, exist_ok=True)
    splits = {split: _load(name, options, root) for split, options in DATASETS[name].items()}
    rows = []
    with progress_bar("write images", sum(map(len, splits.values()))) as show:
        for split, dataset in splits.items():
            (destination / "images" / split).mkdir(parents=True)
            names = getattr(dataset, "classes", None)
            for index in range(len(dataset)):
                picture, label = dataset[index]
                image = f"{split}/{index:06}.png".removeprefix("/")
                picture.save(destination / "images" / image)
                rows.append((image, str(names[label] if names else label), split))
                show(len(rows))
    table = pd.DataFrame(rows, columns=["image", "label", "split"])
    write_table(destination / "labels.csv", table)


def _load(name: str, options: Mapping[str, Any], root: Path) -> Any:  # noqa: ANN401 - untyped
    # Imported here, because only this source needs torch, which takes seconds to import.
    from torchvision import datasets  # noqa: PLC0415

    dataset = getattr(datasets, name)
    try:
        # torchvision reports its progress on stdout, even where that is no terminal.
        with contextlib.redirect_stdout(io.StringIO()):
            return dataset(str(root), download=True, **options)
    except (RuntimeError, OSError) as error:
        raise SourceError(
            f"{TORCHVISION}{name} cannot be downloaded ({one_line(error)}); check the network, or "
            f"put torchvision's files into {root}"
        ) from None
