"""Write the images that all contestants train on: photos in a folder per class, and packed."""

import csv
from functools import partial
from pathlib import Path

import pandas as pd

from benchmarks.speed.contestant import SIZE
from pipeline.common.datasets import SPLIT_COLUMNS
from pipeline.common.parallel import parallel_map
from pipeline.pack.stage import pack
from scenes import DatasetSpec, generate

CLASSES = ("emergency", "other")  # by name, as ImageFolder and Keras number them


def prepare(folder: Path, train: int, validation: int) -> None:
    """Write `photos/<split>/<class>/*.jpg` and `packed/<split>/`, both of the same images.

    Args:
        folder: An empty folder.
        train: Training images.
        validation: Validation images.
    """
    generate(photos(train + validation), folder / "drawn", partial(parallel_map, label="generate"))
    rows = [
        (f"{split}/{label}/{name}", label, split, name, "")
        for (name, label), split in zip(
            drawn(folder / "drawn" / "labels.csv"),
            ["train"] * train + ["validation"] * validation,
            strict=True,
        )
    ]
    for image, *_ in rows:
        place = folder / "photos" / image
        place.parent.mkdir(parents=True, exist_ok=True)
        (folder / "drawn" / "images" / place.name).rename(place)
    table = pd.DataFrame(rows, columns=SPLIT_COLUMNS)
    pack(SIZE, folder / "photos", table, CLASSES, folder / "packed")


def photos(images: int) -> DatasetSpec:
    """Describe photos like those of params.yaml, but without duplicates."""
    return DatasetSpec(seed=7, images=images, size=224, emergency_fraction=0.42)


def drawn(table: Path) -> list[tuple[str, str]]:
    """Name and class of each image, in the order of the generator's table."""
    with table.open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    return [(name, CLASSES[0] if label == "1" else CLASSES[1]) for name, label in rows]
