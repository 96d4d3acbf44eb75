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

import pandas as pd

from pipeline.common import paths
from pipeline.common.errors import ImageError, SourceError
from pipeline.common.files import atomic_directory, write_json
from pipeline.common.images import decode
from pipeline.common.parallel import parallel_map
from pipeline.common.params import FetchParams, SyntheticParams
from pipeline.common.tables import LABEL_COLUMNS, write_table
from pipeline.fetch.layouts import find_images
from pipeline.fetch.listing import Listing
from pipeline.fetch.sources.opening import Place, open_source

SMALLEST_CLASS = 3  # one image for each of train, validation and test
SKIP = "set fetch.on_bad_image to skip"


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


class Skipped(NamedTuple):
    """A file that was left out, and why."""

    image: str
    reason: str


class Brought(NamedTuple):
    """The SHA-256 of each image that came home, by name, and the ones that did not."""

    sha256: dict[str, str]
    skipped: list[Skipped]


def fetch(
    params: FetchParams,
    synthetic: SyntheticParams,
    destination: Path,
    cache: Path = paths.CACHE,
) -> Path | None:
    """Turn the source into `images/`, `labels.csv` and `manifest.json` below `destination`.

    Args:
        params: What to fetch.
        synthetic: How to generate images; used only where the source is `synthetic`.
        destination: The folder to write; replaced where it exists, untouched if anything fails.
        cache: The folder for what is downloaded.

    Returns:
        The folder or archive that was read, where the source is one on this machine.

    Raises:
        SourceError: The source is not found, unsupported, unsafe, or not a labelled set of images.
        ImageError: An image cannot be used and `on_bad_image` is `error`; the message names it.
    """
    with atomic_directory(destination) as folder:
        workspace = folder / "unpacked"
        opened = open_source(params, synthetic, Place(destination, workspace, cache))
        listing = find_images(opened.root, params.model_copy(update=dict(opened.layout)))
        classes = _class_names(listing, params)
        rows = pd.DataFrame(
            [(image.name, classes[image.label], image.split) for image in listing.images],
            columns=LABEL_COLUMNS[:3],
        )
        _check_counts(rows, classes, [], params)
        brought = _bring(opened.root, listing, folder / "images", params, workspace)
        rows["sha256"] = rows["image"].map(brought.sha256)
        rows = rows.dropna(subset="sha256").sort_values("image")
        _check_counts(rows, classes, brought.skipped, params)
        shutil.rmtree(workspace, ignore_errors=True)
        write_table(folder / "labels.csv", rows)
        write_json(
            folder / "manifest.json",
            {
                "source": params.source,
                "revision": opened.revision,
                "layout": listing.layout,
                "classes": list(dict.fromkeys(classes.values())),
                "images": len(rows),
                "counts": _counts(rows, classes),
                "skipped": [fault._asdict() for fault in brought.skipped],
                "content_sha256": _content_hash(rows),
            },
        )
    return opened.local


def _class_names(listing: Listing, params: FetchParams) -> dict[str, str]:
    """The name of each raw label, in the order of the labels: as numbers where all are.

    Names apply to all labels or to none: those for the hackathon's 0 and 1 are not for ten digits.
    """
    labels = {image.label for image in listing.images}
    ordered = sorted(labels, key=int) if all(map(_is_integer, labels)) else sorted(labels)
    named = labels <= params.class_names.keys()
    return {label: params.class_names[label] if named else label for label in ordered}


def _is_integer(label: str) -> bool:
    return re.fullmatch(r"-?[0-9]+", label) is not None


def _counts(rows: pd.DataFrame, classes: dict[str, str]) -> dict[str, int]:
    counts = Counter(rows["label"])
    return {name: counts[name] for name in classes.values()}


def _check_counts(
    rows: pd.DataFrame,
    classes: dict[str, str],
    skipped: Sequence[Skipped],
    params: FetchParams,
) -> None:
    counts = _counts(rows, classes)
    less = f" after {len(skipped):,} bad files were skipped" if skipped else ""
    if len(counts) < 2:
        raise SourceError(
            f"{params.source} has the one class {', '.join(counts)}; a classifier needs two or more"
        )
    for name, count in sorted(counts.items()):
        if count < SMALLEST_CLASS:
            raise SourceError(
                f"{params.source} has {count} of class {name!r}{less}; {SMALLEST_CLASS} are needed,"
                " one for each of train, validation and test: add images or remove the class"
            )


def _bring(
    root: Path, listing: Listing, images: Path, params: FetchParams, workspace: Path
) -> Brought:
    """Check and copy every image; move it where it lies in the workspace."""
    move = root == workspace
    tasks = [
        Task(image.name, root / image.path, images / image.name, move) for image in listing.images
    ]
    for folder in {task.destination.parent for task in tasks}:
        folder.mkdir(parents=True, exist_ok=True)
    checked = parallel_map(_bring_one, tasks, label="check images")
    named = list(zip(listing.images, checked, strict=True))
    skipped = [Skipped(image.name, result.fault) for image, result in named if result.fault]
    if skipped and params.on_bad_image == "error":
        raise ImageError(_summary([fault.reason for fault in skipped]))
    return Brought(
        {image.name: result.sha256 for image, result in named if not result.fault}, skipped
    )


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
        return f"{shown}: replace the image, remove it from the source, or {SKIP}"
    more = f"; and {len(faults) - 3:,} more" if len(faults) > 3 else ""
    return (
        f"{len(faults):,} images cannot be used: {shown}{more}: replace them, remove them from "
        f"the source, or {SKIP}"
    )


def _content_hash(rows: pd.DataFrame) -> str:
    """SHA-256 over each image's name, content, label and split: changes if and only if they do."""
    total = hashlib.sha256()
    for row in rows[["image", "sha256", "label", "split"]].to_numpy().tolist():
        total.update(json.dumps(row).encode())
    return total.hexdigest()
