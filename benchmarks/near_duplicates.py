"""How many altered copies are found, and how many different pictures are taken for copies.

    python benchmarks/near_duplicates.py photos.zip              # any folder or .zip of images
    python benchmarks/near_duplicates.py signs --images 3000     # or line drawings made on the spot

Duplicates are made of a sample of the images, and each kind is looked for among all of them. What
is grouped without having been altered is listed as `taken for copies`: look at it before calling it
wrong, a set of real photos has real near-duplicates. About a minute for 1,600 photos on two cores.
"""

import argparse
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.console import Console
from rich.table import Table

from pipeline.common.files import digest
from pipeline.common.images import SUFFIXES, Pixels, decode, resize
from pipeline.common.tables import LABEL_COLUMNS
from pipeline.split.duplicates import find_duplicates

SIGN = 64  # pixels a side of a drawn sign
SHAPES = 20


def jpeg(quality: int) -> Callable[[Pixels], Pixels]:
    """Compress and decode again."""

    def alter(image: Pixels) -> Pixels:
        data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)

    return alter


def scaled(factor: float) -> Callable[[Pixels], Pixels]:
    """Resize; areas are averaged where it shrinks."""
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return lambda image: np.asarray(
        cv2.resize(image, None, fx=factor, fy=factor, interpolation=how), np.uint8
    )


def brighter(factor: float) -> Callable[[Pixels], Pixels]:
    """Scale the pixels, clipping at white."""
    return lambda image: np.clip(image * factor, 0, 255).astype(np.uint8)


def cropped(share: float) -> Callable[[Pixels], Pixels]:
    """Cut this share of the side off each edge; at least a pixel."""

    def alter(image: Pixels) -> Pixels:
        off = max(1, round(share * min(image.shape[:2])))
        return np.ascontiguousarray(image[off:-off, off:-off])

    return alter


def watermarked(image: Pixels) -> Pixels:
    """Write a small line of text into the lower left."""
    height = image.shape[0]
    place, size = (height // 30, height - height // 20), height / 500
    return np.asarray(
        cv2.putText(image.copy(), "photo.example", place, 0, size, (230, 230, 230), 1), np.uint8
    )


ALTERATIONS: dict[str, Callable[[Pixels], Pixels]] = {
    "JPEG quality 10": jpeg(10),
    "JPEG quality 50": jpeg(50),
    "JPEG quality 95": jpeg(95),
    "half the size": scaled(0.5),
    "twice the size": scaled(2),
    "10 % brighter": brighter(1.1),
    "10 % darker": brighter(0.9),
    "small watermark": watermarked,
    "cropped by 1 %": cropped(0.01),
    "cropped by 2 %": cropped(0.02),
}


def sign(index: int) -> Pixels:
    """A line drawing: one of a few shapes, its corners jittered, in its own pen's width."""
    shape, draw = np.random.default_rng(index % SHAPES), np.random.default_rng([index, 1])
    corners = shape.uniform(15, 85, (5, 2)) + draw.normal(0, 4, (5, 2))
    canvas = np.zeros((100, 100, 3), np.uint8)
    pen = int(draw.integers(4, 9))
    cv2.polylines(canvas, [corners.astype(np.int32)], False, (255, 255, 255), pen, cv2.LINE_AA)
    return resize(canvas, SIGN)


def pictures(source: str, count: int) -> Iterator[bytes]:
    """The files of a folder or zip, or drawn signs as PNG."""
    if source == "signs":
        for index in range(count):
            yield cv2.imencode(".png", sign(index))[1].tobytes()
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            names = sorted(n for n in archive.namelist() if Path(n).suffix.lower() in SUFFIXES)
            yield from (archive.read(name) for name in names[:count])
    else:
        files = sorted(p for p in Path(source).rglob("*") if p.suffix.lower() in SUFFIXES)
        yield from (file.read_bytes() for file in files[:count])


def write(folder: Path, source: str, count: int) -> list[Path]:
    """Every picture once: exact copies are no matter of likeness."""
    unique = dict.fromkeys(pictures(source, count))
    files = [folder / f"{index:06}" for index in range(len(unique))]
    for file, data in zip(files, unique, strict=True):
        file.write_bytes(data)
    return files


def search(files: list[Path], distance: int, labels: str = "") -> npt.NDArray[np.int64]:
    """Return each file's group as `split` finds it; without labels, they tell nothing apart."""
    rows = [
        (file.name, labels[index] if labels else "", "", digest(file))
        for index, file in enumerate(files)
    ]
    images = pd.DataFrame(rows, columns=LABEL_COLUMNS)
    return find_duplicates(images, files[0].parent, distance)


def recall(files: list[Path], sample: list[int], alter: str, distance: int) -> tuple[float, float]:
    """The shares of altered copies in their original's group: with its label, and another."""
    copies = []
    for index in sample:
        image = ALTERATIONS[alter](decode(files[index].read_bytes(), files[index].name))
        copies.append(files[index].with_suffix(".png"))
        copies[-1].write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())
    chosen = [files[index] for index in sample]
    count = len(chosen)
    same, other = (
        search([*chosen, *copies], distance, "a" * count + label * count) for label in "ab"
    )
    for copy in copies:
        copy.unlink()
    return (
        float(np.mean(same[:count] == same[count:])),
        float(np.mean(other[:count] == other[count:])),
    )


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description="Precision and recall of the search for copies.")
    parser.add_argument("source", help="a folder, a .zip, or `signs`")
    parser.add_argument("--images", type=int, default=70_000, help="take at most so many")
    parser.add_argument("--sample", type=int, default=200, help="make copies of so many")
    parser.add_argument("--distance", type=int, default=6, help="split.near_duplicate_distance")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = write(Path(folder), asked.source, asked.images)
        if not files:
            sys.exit(f"no images in {asked.source}")
        start = time.perf_counter()
        sizes = np.bincount(search(files, asked.distance))
        seconds = time.perf_counter() - start
        table = Table()
        table.add_column("altered copies of a sample")
        table.add_column("found", justify="right")
        table.add_column("if labelled otherwise", justify="right")
        sample = np.random.default_rng(0).permutation(len(files))[: asked.sample].tolist()
        for name in ALTERATIONS:
            shares = recall(files, sample, name, asked.distance)
            table.add_row(name, *(f"{share:.1%}" for share in shares))
    near = sizes[sizes > 1]
    console = Console()
    console.print(table)
    console.print(f"{len(files):,} different files, searched in {seconds:.1f} s")
    console.print(f"taken for copies: {near.sum():,} files in {len(near):,} groups")


if __name__ == "__main__":
    main()
