"""Small labelled pictures on disk, for tests of the stages that read them."""

import csv
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.common.images import Pixels, resize
from pipeline.common.params import FetchParams, SplitParams, SyntheticParams

SYNTHETIC = SyntheticParams(
    seed=1,
    images=20,
    size=32,
    emergency_fraction=0.4,
    exact_duplicates=1,
    near_duplicates=1,
    label_conflicts=0,
)


def fetch_params(source: Path | str, **changes: object) -> FetchParams:
    values: dict[str, object] = {
        "source": str(source),
        "sha256": "",
        "layout": "auto",
        "table": "",
        "image_column": "image_names",
        "label_column": "emergency_or_not",
        "class_names": {"0": "other", "1": "emergency"},
        "on_bad_image": "error",
    }
    return FetchParams.model_validate(values | changes)


def split_params(**changes: object) -> SplitParams:
    values: dict[str, object] = {
        "seed": 11,
        "train": 0.7,
        "validation": 0.15,
        "test": 0.15,
        "folds": 0,
        "fold": 0,
        "near_duplicate_ratio": 0.2,
        "not_duplicates": [],
        "conflicting_labels": "drop",
        "published": "ignore",
    }
    return SplitParams.model_validate(values | changes)


def picture(seed: int, side: int = 48) -> Pixels:
    """Shapes coarse and fine, different for each seed: uint8 [side, side, 3]."""
    draw = np.random.default_rng(seed)
    coarse = resize(draw.integers(0, 256, (6, 6, 3), dtype=np.uint8), side)
    fine = resize(draw.integers(0, 256, (24, 24, 3), dtype=np.uint8), side)
    return (coarse // 2 + fine // 2).astype(np.uint8)


def encode(pixels: Pixels, form: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


def encoded(seed: int) -> bytes:
    return encode(picture(seed))


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def write_folders(root: Path, counts: Mapping[str, int]) -> Path:
    """One folder per class, each with some different pictures."""
    seed = 0
    for name, count in counts.items():
        for index in range(count):
            write(root / name / f"{index}.png", encoded(seed))
            seed += 1
    return root


def write_table(
    root: Path,
    rows: Iterable[tuple[str, str]],
    *,
    columns: tuple[str, str] = ("image_names", "emergency_or_not"),
    encoding: str = "utf-8",
) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    with (root / "train.csv").open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return root


def write_csv_source(root: Path, count: int = 8) -> Path:
    """A table and its images in `images/`, labelled 0 and 1 by turns."""
    for index in range(count):
        write(root / "images" / f"{index}.png", encoded(index))
    return write_table(root, [(f"{index}.png", str(index % 2)) for index in range(count)])


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
