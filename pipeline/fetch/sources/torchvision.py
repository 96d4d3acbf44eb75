"""Write one of torchvision's own classification datasets as PNG files and a table."""

import contextlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.common.errors import SourceError
from pipeline.common.parallel import progress_bar
from pipeline.common.tables import write_csv

PREFIX = "torchvision:"
COLUMNS = ("image", "label", "split")

_FLAG = {"train": {"train": True}, "test": {"train": False}}
_TWO = {"train": {"split": "train"}, "test": {"split": "test"}}
_THREE = {**_TWO, "validation": {"split": "val"}}

# How each class takes the name of a part; the parts are the publisher's own.
DATASETS: dict[str, dict[str, dict[str, Any]]] = {
    "CIFAR10": _FLAG,
    "CIFAR100": _FLAG,
    "Country211": {**_TWO, "validation": {"split": "valid"}},
    "DTD": _THREE,
    "EuroSAT": {"": {}},
    "FGVCAircraft": _THREE,
    "FashionMNIST": _FLAG,
    "Flowers102": _THREE,
    "Food101": _TWO,
    "GTSRB": _TWO,
    "Imagenette": {"train": {"split": "train"}, "validation": {"split": "val"}},
    "KMNIST": _FLAG,
    "MNIST": _FLAG,
    "OxfordIIITPet": {"train": {"split": "trainval"}, "test": {"split": "test"}},
    "PCAM": _THREE,
    "RenderedSST2": _THREE,
    "STL10": _TWO,
    "SVHN": _TWO,
    "USPS": _FLAG,
}


def write_dataset(source: str, destination: Path, cache: Path) -> None:
    """Write a dataset as `images/<part>/<number>.png` and `labels.csv`.

    Args:
        source: `torchvision:NAME`.
        destination: The folder to write, which is made.
        cache: The folder below which torchvision keeps, or finds, its files.

    Raises:
        SourceError: There is no such dataset, or it is neither on disk nor can be downloaded.
    """
    name = source.removeprefix(PREFIX)
    if name not in DATASETS:
        raise SourceError(
            f"fetch.source: {source} is not known; torchvision's sets are {', '.join(DATASETS)}"
        )
    parts = {
        part: _load(name, options, cache / "torchvision")
        for part, options in DATASETS[name].items()
    }
    with progress_bar("write images", sum(map(len, parts.values()))) as show:
        rows = []
        for done, row in enumerate(_write(parts, destination / "images"), start=1):
            rows.append(row)
            show(done)
    write_csv(destination / "labels.csv", COLUMNS, rows)


def _load(name: str, options: Mapping[str, Any], root: Path) -> Any:  # noqa: ANN401 - untyped
    # Here, because this is the one source that needs torch, which takes seconds to import.
    from torchvision import datasets  # noqa: PLC0415

    root.mkdir(parents=True, exist_ok=True)
    make = getattr(datasets, name)
    try:
        # It reports its progress on stdout, even where that is no terminal.
        with contextlib.redirect_stdout(io.StringIO()):
            return make(str(root), download=True, **options)
    except (RuntimeError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SourceError(
            f"{PREFIX}{name} cannot be downloaded ({reason}); check the network, or put "
            f"torchvision's files into {root}"
        ) from None


def _write(parts: Mapping[str, Any], images: Path) -> Iterator[tuple[str, str, str]]:
    """Write every image; yields the rows of the table."""
    for part, dataset in parts.items():
        (images / part).mkdir(parents=True)
        names = getattr(dataset, "classes", None)
        for index in range(len(dataset)):
            picture, label = dataset[index]
            name = (PurePosixPath(part) / f"{index:06}.png").as_posix()
            picture.save(images / name)
            yield name, str(names[label] if names else label), part
