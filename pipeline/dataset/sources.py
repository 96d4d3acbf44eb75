"""From `fetch.source` to checked images and one normalised table.

A source is opened as a folder, its layout is recognised, every image is decoded once to prove that
it can be, and its bytes are copied as they are.
"""

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.dataset.archives import SUFFIXES, is_archive, unpack
from pipeline.dataset.images import decode
from pipeline.dataset.labels import Labelled, write_labels
from pipeline.dataset.layouts import Listing, find_images
from pipeline.dataset.parallel import parallel_map, progress_bar
from pipeline.errors import ImageError, SourceError
from pipeline.files import atomic_directory, write_json
from pipeline.params import FetchParams, SyntheticParams

SYNTHETIC = "synthetic"
SYNTHETIC_LAYOUT = {
    "layout": "csv",
    "image_column": "image_names",
    "label_column": "emergency_or_not",
}
SMALLEST_CLASS = 3  # one image for each of train, validation and test


class Task(NamedTuple):
    """One image to check and bring home."""

    name: str
    source: Path
    destination: Path
    move: bool


class Checked(NamedTuple):
    """What checking an image gave: the SHA-256 of its bytes, or what is wrong with it."""

    sha256: str
    fault: str


def fetch(params: FetchParams, synthetic: SyntheticParams, destination: Path) -> None:
    """Turn the source into `images/`, `labels.csv` and `manifest.json` below `destination`.

    Args:
        params: What to fetch.
        synthetic: How to generate images; used only where the source is `synthetic`.
        destination: The folder to write; replaced where it exists, untouched if anything fails.

    Raises:
        SourceError: The source is not found, unsupported, unsafe, or not a labelled set of images.
        ImageError: An image cannot be used; the message names it.
    """
    with atomic_directory(destination) as folder:
        unpacked = folder / "unpacked"
        if params.source == SYNTHETIC:
            params = params.model_copy(update=SYNTHETIC_LAYOUT)
        root = _open(params, synthetic, destination, unpacked)
        listing = find_images(root, params)
        classes = _class_names(listing, params)
        rows = [Labelled(image.name, classes[image.label]) for image in listing.images]
        _check_counts(rows, params)
        digests = _bring(root, listing, folder / "images", move=root == unpacked)
        shutil.rmtree(unpacked, ignore_errors=True)
        write_labels(folder / "labels.csv", rows)
        write_json(
            folder / "manifest.json",
            {
                "source": params.source,
                "layout": listing.layout,
                "classes": list(dict.fromkeys(classes.values())),
                "images": len(rows),
                "counts": _counts(rows, classes),
                "skipped": [],
                "content_sha256": _content_hash(rows, digests),
            },
        )


def _open(
    params: FetchParams, synthetic: SyntheticParams, destination: Path, unpacked: Path
) -> Path:
    """The source as a folder: itself, or what was generated or unpacked into `unpacked`."""
    if params.source == SYNTHETIC:
        return _generate(synthetic, unpacked)
    source = Path(params.source).expanduser()
    if source.is_dir():
        _check_apart(source, destination)
        return source
    if not is_archive(source) or _has_scheme(params.source):
        raise SourceError(_unreadable(params.source, source))
    if not source.is_file():
        raise SourceError(f"fetch.source: {source} not found; check the path")
    unpack(source, unpacked)
    return unpacked


def _generate(synthetic: SyntheticParams, unpacked: Path) -> Path:
    # Here, so that reading a source of one's own does not import the generator.
    from pipeline.dataset.synthetic import generate  # noqa: PLC0415

    with progress_bar("generate", synthetic.images) as show:
        generate(synthetic, unpacked, progress=show)
    return unpacked


def _has_scheme(source: str) -> bool:
    return re.match(r"[a-z+]{2,}:", source) is not None


def _unreadable(source: str, path: Path) -> str:
    supported = f"a folder, an archive ({', '.join(SUFFIXES)}) or `{SYNTHETIC}`"
    if path.exists() or _has_scheme(source):
        return f"fetch.source: {source} is not supported; give {supported}"
    return f"fetch.source: {source} not found; give {supported}"


def _check_apart(source: Path, destination: Path) -> None:
    if destination.resolve().is_relative_to(source.resolve()):
        raise SourceError(
            f"fetch.source: {source} contains {destination}, which is written from it; move the "
            "images into a folder of their own"
        )


def _class_names(listing: Listing, params: FetchParams) -> dict[str, str]:
    """The name of each raw label, in the order of the labels: as numbers where all are."""
    labels = {image.label for image in listing.images}
    ordered = sorted(labels, key=int) if all(map(_is_integer, labels)) else sorted(labels)
    return {label: params.class_names.get(label, label) for label in ordered}


def _is_integer(label: str) -> bool:
    return re.fullmatch(r"-?[0-9]+", label) is not None


def _counts(rows: Sequence[Labelled], classes: dict[str, str]) -> dict[str, int]:
    counts = Counter(row.label for row in rows)
    return {name: counts[name] for name in classes.values()}


def _check_counts(rows: Sequence[Labelled], params: FetchParams) -> None:
    counts = Counter(row.label for row in rows)
    if len(counts) < 2:
        raise SourceError(
            f"{params.source} has the one class {', '.join(counts)}; a classifier needs two or more"
        )
    for name, count in sorted(counts.items()):
        if count < SMALLEST_CLASS:
            raise SourceError(
                f"{params.source} has {count} of class {name!r}; {SMALLEST_CLASS} are needed, one "
                "for each of train, validation and test: add images or remove the class"
            )


def _bring(root: Path, listing: Listing, images: Path, *, move: bool) -> list[str]:
    """Check and copy, or move, every image.

    Returns:
        Their SHA-256, in the order of the listing.
    """
    tasks = [
        Task(image.name, root / image.path, images / image.name, move) for image in listing.images
    ]
    for folder in {task.destination.parent for task in tasks}:
        folder.mkdir(parents=True, exist_ok=True)
    checked = parallel_map(_bring_one, tasks, label="check images")
    faults = [result.fault for result in checked if result.fault]
    if faults:
        raise ImageError(_summary(faults))
    return [result.sha256 for result in checked]


def _bring_one(task: Task) -> Checked:
    try:
        data = task.source.read_bytes()
        decode(data, task.name)
    except ImageError as error:
        return Checked("", str(error))
    except OSError as error:
        return Checked("", f"{task.name} cannot be read ({error.strerror})")
    if task.move:
        task.source.rename(task.destination)
    else:
        task.destination.write_bytes(data)
    return Checked(hashlib.sha256(data).hexdigest(), "")


def _summary(faults: Sequence[str]) -> str:
    shown = "; ".join(faults[:3])
    if len(faults) == 1:
        return f"{shown}: replace the image or remove it from the source"
    more = f"; and {len(faults) - 3:,} more" if len(faults) > 3 else ""
    return (
        f"{len(faults):,} images cannot be used: {shown}{more}: replace them or remove them from "
        "the source"
    )


def _content_hash(rows: Sequence[Labelled], digests: Sequence[str]) -> str:
    """SHA-256 over the name, content and label of every image: changes if and only if they do."""
    total = hashlib.sha256()
    for row, digest in sorted(zip(rows, digests, strict=True)):
        total.update(json.dumps([row.image, digest, row.label]).encode())
    return total.hexdigest()
