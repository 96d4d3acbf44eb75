"""Measure how many altered copies are found, and how many different images are grouped.

    python benchmarks/near_duplicates.py photos.zip  # a folder or .zip of images
    python benchmarks/near_duplicates.py scenes      # scenes drawn as for fetch.source synthetic
    python benchmarks/near_duplicates.py digits      # drawn digits, cut out on black
    python benchmarks/near_duplicates.py text        # lines of text on white
    python benchmarks/near_duplicates.py /usr/share/datasets/fashion-mnist  # idx files

    python benchmarks/near_duplicates.py verdicts    # what a person said of pairs, counted

(Debian has the idx files in the package dataset-fashion-mnist.) Some images are altered, each in
one way, and their altered copies are added to the set as files of their own. Pairs that were not
planted are counted apart, since a real data set has real duplicates: `--pictures FOLDER` shows them
and writes them to `pairs.csv`, for a person to judge. `near_duplicates.csv` beside this file holds
the verdicts: the data, positions of both images among those that differ in their bytes, the ratio
and whether they show the same picture.
"""

import argparse
import gzip
import hashlib
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.scale import digit
from pipeline.common.datasets import LABEL_COLUMNS
from pipeline.common.drawing import INK, encode_jpeg, encode_png, image_grid
from pipeline.common.images import SUFFIXES, Pixels, decode, resize
from pipeline.common.params import load_params
from pipeline.split.duplicates import find_duplicates
from scenes import photograph

Alter = Callable[[Pixels], Pixels]
COUNTS = {"scenes": 2000, "digits": 35_000, "text": 5000}
VERDICTS = Path(__file__).with_suffix(".csv")
WORDS = [
    "form",
    "name",
    "date",
    "street",
    "number",
    "total",
    "invoice",
    "patient",
    "account",
    "city",
    "order",
    "amount",
    "tax",
]


def scaled(factor: float) -> Alter:
    """Resize the whole picture; areas are averaged where it shrinks."""
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC

    def alter(image: Pixels) -> Pixels:
        # Given a factor instead of a size, OpenCV cuts off what does not fill a pixel.
        size = [round(length * factor) for length in image.shape[1::-1]]
        return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)

    return alter


def lit(factor: float, offset: float = 0) -> Alter:
    """Change brightness and contrast, clipping at black and white."""
    return lambda image: np.clip(image * factor + offset, 0, 255).astype(np.uint8)


def cropped(share: float) -> Alter:
    """Cut this share of each side off each edge, to a fraction of a pixel, and keep the size."""

    def alter(image: Pixels) -> Pixels:
        height, width = image.shape[:2]
        zoom = 1 - 2 * share
        move = [share * length + (zoom - 1) / 2 for length in (width, height)]
        matrix = np.array([[zoom, 0, move[0]], [0, zoom, move[1]]])
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(image, matrix, (width, height), flags=how), np.uint8)

    return alter


def shifted(pixels: int) -> Alter:
    """Move to the right and down; the edge is repeated."""
    matrix = np.array([[1.0, 0, pixels], [0, 1, pixels]])
    return lambda image: np.asarray(
        cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def watermarked(image: Pixels) -> Pixels:
    """Write a small line of text into the lower left."""
    height = image.shape[0]
    place, size = (height // 30, height - height // 20), height / 500
    return np.asarray(
        cv2.putText(image.copy(), "photo.example", place, 0, size, (230, 230, 230), 1), np.uint8
    )


def jpeg(quality: int) -> Callable[[Pixels], bytes]:
    """Compress."""
    return partial(encode_jpeg, quality=quality)


def mirrored(image: Pixels) -> Pixels:
    """Swap left and right: no duplicate, as `split` sees it."""
    return np.ascontiguousarray(image[:, ::-1])


KINDS: dict[str, Callable[[Pixels], Pixels | bytes]] = {
    "JPEG quality 10": jpeg(10),
    "JPEG quality 30": jpeg(30),
    "JPEG quality 50": jpeg(50),
    "JPEG quality 95": jpeg(95),
    "half the size": scaled(0.5),
    "0.8 of the size": scaled(0.8),
    "twice the size": scaled(2),
    "10 % brighter": lit(1.1),
    "10 % darker": lit(0.9),
    "less contrast": lit(0.8, 25),
    "cropped by 1 %": cropped(0.01),
    "cropped by 2 %": cropped(0.02),
    "cropped by 5 %": cropped(0.05),
    "shifted by 1 pixel": shifted(1),
    "shifted by 2 pixels": shifted(2),
    "small watermark": watermarked,
    "mirrored": mirrored,
}


def line_of_text(index: int) -> Pixels:
    """Draw three words and a number on white: uint8 RGB [40, 200, 3]."""
    draw = np.random.default_rng(index)
    paper = np.full((40, 200, 3), 255, np.uint8)
    text = " ".join([*draw.choice(WORDS, 2), str(draw.integers(1000))])
    place = (int(draw.integers(2, 12)), int(draw.integers(22, 32)))
    cv2.putText(paper, text, place, 0, 0.5, (30, 30, 30), 1, cv2.LINE_AA)
    return paper


def images_of(source: str, count: int) -> Iterator[bytes]:
    """Yield the files of a folder or zip, those in idx files, or drawn images as PNG."""
    place = Path(source)
    if source == "scenes":
        yield from (photograph(7, index, index % 2, 224) for index in range(count))
    elif source in ("digits", "text"):
        draw = {"digits": digit, "text": line_of_text}[source]
        yield from (cv2.imencode(".png", draw(index))[1].tobytes() for index in range(count))
    elif zipfile.is_zipfile(place):
        with zipfile.ZipFile(place) as archive:
            names = sorted(n for n in archive.namelist() if Path(n).suffix.lower() in SUFFIXES)
            yield from (archive.read(name) for name in names[:count])
    elif packed := sorted(place.glob("*images-idx3-ubyte.gz")):
        for path in packed:
            content = gzip.decompress(path.read_bytes())
            shape = np.frombuffer(content, ">i4", 3, offset=4)
            for image in np.frombuffer(content, np.uint8, offset=16).reshape(shape)[:count]:
                yield cv2.imencode(".png", image)[1].tobytes()
    else:
        files = sorted(path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES)
        yield from (file.read_bytes() for file in files[:count])


def plant(originals: list[bytes], each: int) -> list[tuple[str, int, bytes]]:
    """Alter some images, no image twice: kind, position of the original, file."""
    order = np.random.default_rng(0).permutation(len(originals))
    each = min(each, len(originals) // len(KINDS))
    planted = []
    for number, (kind, alter) in enumerate(KINDS.items()):
        for index in order[number * each : (number + 1) * each]:
            altered = alter(decode(originals[index], kind))
            data = altered if isinstance(altered, bytes) else encode_png(altered)
            planted.append((kind, int(index), data))
    return planted


def show(pairs: pd.DataFrame, files: list[bytes], folder: Path) -> None:
    """Write pairs and pictures of them, 64 in each."""
    folder.mkdir(parents=True, exist_ok=True)
    pairs[["image", "other", "ratio"]].round(3).to_csv(folder / "pairs.csv", index=False)
    for start in range(0, len(pairs), 64):
        tiles, captions = [], []
        for pair in pairs[start : start + 64].itertuples():
            sides = [resize(decode(files[side], "pair"), 112) for side in (pair.image, pair.other)]
            tiles.append(np.hstack(sides))
            captions.append([(f"{start + len(tiles) - 1}: {pair.ratio:.3f}", INK)])
        sheet = image_grid(tiles, 8, captions=captions)
        (folder / f"{start:04}.png").write_bytes(encode_png(sheet))


def count_verdicts() -> None:
    """Print how many of the pairs in `near_duplicates.csv` are duplicates, by data and ratio."""
    verdicts = pd.read_csv(VERDICTS)
    ratio = load_params().split.near_duplicate_ratio
    verdicts["pairs"] = np.where(verdicts["ratio"] < ratio, "grouped", "not grouped")
    counted = verdicts.groupby(["data", "pairs"])["same"].agg(["size", "sum"])
    table = Table("data", "pairs", "looked at", "the same picture")
    for (data, which), row in counted.iterrows():
        table.add_row(data, which, str(row["size"]), str(row["sum"]))
    Console().print(table)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description="Recall and precision of the search.")
    parser.add_argument("source", help="a folder, a .zip, scenes, digits, text or verdicts")
    parser.add_argument("--images", type=int, help="take at most so many (of each idx file)")
    parser.add_argument("--planted", type=int, default=90, help="altered copies of each kind")
    parser.add_argument("--ratio", type=float, help="instead of split.near_duplicate_ratio")
    parser.add_argument("--pictures", type=Path, help="folder for pairs that were not planted")
    parser.add_argument(
        "--up-to", type=float, default=0.0, help="show those up to this ratio, grouped or not"
    )
    asked = parser.parse_args()
    if asked.source == "verdicts":
        count_verdicts()
        return
    params = load_params().split
    if asked.ratio is not None:
        params = params.model_copy(update={"near_duplicate_ratio": asked.ratio})
    count = asked.images or COUNTS.get(asked.source, 10**9)
    originals = list(dict.fromkeys(images_of(asked.source, count)))
    if not originals:
        sys.exit(f"no images in {asked.source}")
    planted = plant(originals, asked.planted)
    files = originals + [data for _, _, data in planted]
    with tempfile.TemporaryDirectory() as name:
        rows = []
        for index, data in enumerate(files):
            (Path(name) / f"{index:06}").write_bytes(data)
            rows.append((f"{index:06}", "", "", hashlib.sha256(data).hexdigest()))
        start = time.perf_counter()
        images = pd.DataFrame(rows, columns=LABEL_COLUMNS)
        groups, pairs = find_duplicates(images, Path(name), params)
        seconds = time.perf_counter() - start

    sources = np.array([*range(len(originals)), *(original for _, original, _ in planted)])
    found = pd.DataFrame({"kind": [kind for kind, _, _ in planted]})
    found["found"] = groups[len(originals) :] == groups[sources[len(originals) :]]
    table = Table("altered copies", "found")
    for kind, share in found.groupby("kind", sort=False)["found"].mean().items():
        table.add_row(str(kind), f"{share:.1%}")
    console = Console()
    console.print(table)
    strange = pairs[sources[pairs["image"]] != sources[pairs["other"]]]
    planted_too = (strange[["image", "other"]] >= len(originals)).any(axis=1)
    counted = [int((strange["grouped"] & which).sum()) for which in (~planted_too, planted_too)]
    sizes = np.bincount(np.unique(groups[: len(originals)], return_inverse=True)[1])
    console.print(
        f"{len(files):,} files searched in {seconds:.1f} s; {found['found'].sum():,} of "
        f"{len(planted):,} copies found; grouped without being planted: {counted[0]:,} pairs, and "
        f"{counted[1]:,} of a copy and another image; {sizes[sizes > 1].sum():,} images in "
        f"{(sizes > 1).sum():,} groups of at most {sizes.max()}"
    )
    if asked.pictures:
        chosen = strange[
            ~planted_too & (strange["grouped"] | (strange["ratio"] < (asked.up_to or 0)))
        ]
        show(chosen.sort_values("ratio"), files, asked.pictures)


if __name__ == "__main__":
    main()
