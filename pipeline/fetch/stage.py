"""fetch: copy checked images and one normalised table of labels into data/raw.

A source is opened as a folder (`sources`), its labelled images are found (`layouts`), every image
is decoded once to prove that it can be, and its bytes are copied as they are.
"""

import hashlib
import os
import re
import shutil
from collections import Counter
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from pipeline.common import paths
from pipeline.common.datasets import LABEL_COLUMNS, write_table
from pipeline.common.errors import ImageError, SourceError, printable
from pipeline.common.files import (
    atomic_directory,
    atomic_file,
    atomic_write_text,
    is_formula,
    read_json,
    read_regular,
    write_json,
)
from pipeline.common.images import decode
from pipeline.common.parallel import parallel_map
from pipeline.common.params import FetchParams, Params, SyntheticParams
from pipeline.fetch.layouts import FoundImage, find_images
from pipeline.fetch.sources import open_source

SMALLEST_CLASS = 3  # one image for each of train, validation and test
LONGEST_CLASS = 100  # characters of the name of a class
LONGEST_NAME = 1000  # characters of an image's path below the source
SKIP = "set fetch.on_bad_image to skip"


def run(params: Params) -> None:
    """Write data/raw from the source named in `params`, and point data/source at it."""
    local = fetch(params.fetch, params.synthetic, paths.RAW)
    watch(params.fetch.source, local, paths.SOURCE)
    manifest = read_json(paths.RAW_MANIFEST)
    counts = ", ".join(f"{count:,} {name}" for name, count in manifest["counts"].items())
    print(f"fetch: {manifest['images']:,} images from {manifest['source']}: {counts}")
    if manifest["skipped"]:
        count = len(manifest["skipped"])
        were = "image was" if count == 1 else "images were"
        print(f"fetch: {count:,} unusable {were} skipped; {paths.RAW_MANIFEST} lists them")


def fetch(
    params: FetchParams,
    synthetic: SyntheticParams,
    destination: Path,
    cache: Path = paths.CACHE,
) -> Path | None:
    """Turn the source into `images/`, `labels.csv` and `manifest.json` below `destination`.

    Args:
        params: What to fetch.
        synthetic: How to draw images; used only where the source is `synthetic`.
        destination: The folder to write; replaced where it exists, untouched if anything fails.
        cache: The folder for downloads.

    Returns:
        The folder or archive that was read, where the source is one on this machine.

    Raises:
        ParamsError: The images that `synthetic` describes cannot be drawn.
        SourceError: The source is not found, unsupported, unsafe, or not a labelled set of images.
        ImageError: An image cannot be used and `on_bad_image` is `error`; the message names it.
    """
    with atomic_directory(destination) as folder:
        workspace = folder / "unpacked"
        opened = open_source(
            params, synthetic, destination=destination, workspace=workspace, cache=cache
        )
        layout, found = find_images(opened.root, params.model_copy(update=opened.layout))
        classes = _name_classes({image.label for image in found}, params)
        _count(params.source, classes, [classes[image.label] for image in found])

        images = folder / "images"
        take = partial(_take, root=opened.root, images=images, move=opened.root == workspace)
        rows, skipped = [], []
        results = parallel_map(take, found, label="check images")
        for image, (sha256, fault) in zip(found, results, strict=True):
            if fault:
                skipped.append({"image": printable(image.name), "reason": fault})
            else:
                rows.append((image.name, classes[image.label], image.split, sha256))
        if skipped and params.on_bad_image == "error":
            raise ImageError(_summarise([image["reason"] for image in skipped]))
        counts = _count(params.source, classes, [label for _, label, *_ in rows], len(skipped))

        shutil.rmtree(workspace, ignore_errors=True)
        write_table(folder / "labels.csv", pd.DataFrame(sorted(rows), columns=LABEL_COLUMNS))
        write_json(
            folder / "manifest.json",
            {
                "source": params.source,
                "revision": opened.revision,
                "layout": layout,
                "classes": list(counts),
                "images": len(rows),
                "counts": counts,
                "skipped": skipped,
            },
        )
    return opened.local


def _name_classes(labels: Collection[str], params: FetchParams) -> dict[str, str]:
    """Map each label to the name of its class, in the order of the classes.

    Labels are ordered as numbers where all are numbers. Names apply to all labels or to none: those
    for the hackathon's 0 and 1 do not suit ten digits.
    """
    numeric = all(re.fullmatch(r"-?[0-9]{1,18}", label) for label in labels)
    # By the text as well, or the order of "1" and "01" would differ from run to run.
    ordered = sorted(labels, key=lambda label: (int(label) if numeric else 0, label))
    named = set(labels) <= params.class_names.keys()
    classes = {label: params.class_names[label] if named else label for label in ordered}
    for name in classes.values():
        if fault := _fault_of_name(name, LONGEST_CLASS):
            raise SourceError(f"class {name!r} {fault} it, or give it a name in fetch.class_names")
    return classes


def _fault_of_name(name: str, longest: int) -> str:
    """Return why a name cannot be used in tables, pictures and pages; empty where it can."""
    if len(name) > longest:
        return f"has more than {longest} characters; shorten"
    if not name.isprintable():
        return "has a name with control characters, or one that is not UTF-8; rename"
    return "would be a formula in a spreadsheet; rename" if is_formula(name) else ""


def _count(
    source: str, classes: dict[str, str], labels: Sequence[str], skipped: int = 0
) -> dict[str, int]:
    """Return the number of images of each class, in their order; refuse what cannot be split."""
    found = Counter(labels)
    counts = {name: found[name] for name in classes.values()}
    if len(counts) < 2:
        raise SourceError(
            f"{source} has the one class {', '.join(counts)}; a classifier needs two or more"
        )
    less = f" after {skipped:,} bad files were skipped" if skipped else ""
    for name, count in sorted(counts.items()):
        if count < SMALLEST_CLASS:
            raise SourceError(
                f"{source} has {count} of class {name!r}{less}; {SMALLEST_CLASS} are needed, one "
                "for each of train, validation and test: add images or remove the class"
            )
    return counts


def _take(image: FoundImage, *, root: Path, images: Path, move: bool) -> tuple[str, str]:
    """Check an image, and copy or move its file from `root` to `images`.

    Returns the SHA-256 of its bytes, and why it cannot be used; one of them is empty.
    """
    source, target = root / image.path, images / image.name
    if fault := _fault_of_name(image.name, LONGEST_NAME):
        return "", f"{image.name!r} {fault} it"
    try:
        data = read_regular(source)
        decode(data, image.name)
    except ImageError as error:
        return "", str(error)
    except OSError as error:
        return "", f"{image.name} cannot be read ({error.strerror})"
    target.parent.mkdir(parents=True, exist_ok=True)
    if move:
        source.rename(target)
    else:
        target.write_bytes(data)
    return hashlib.sha256(data).hexdigest(), ""


def _summarise(faults: Sequence[str]) -> str:
    shown = "; ".join(faults[:3])
    if len(faults) == 1:
        return f"{shown}: replace the image, remove it from the source, or {SKIP}"
    if len(faults) > 3:
        shown += f"; and {len(faults) - 3:,} more"
    return f"{len(faults):,} images cannot be used: {shown}: replace or remove them, or {SKIP}"


def watch(source: str, local: Path | None, folder: Path) -> None:
    """Point the link `files` in `folder` at a local source, for DVC to notice changed files.

    A stage's dependencies are fixed in `dvc.yaml`, while the source is a parameter. So fetch
    depends on a link to what it has read: DVC hashes what lies behind it once after the run, and
    later only files whose size or time has changed.

    The file `name` holds the source, and the link points at it where nothing is local. Without it,
    DVC would take two sources of equal content for the same one, restore the outputs from its run
    cache without running fetch, and leave the link at the wrong source.

    Args:
        source: `fetch.source`.
        local: The folder or archive that it names on this machine; None for any other source.
        folder: Where name and link are; both are in git. Nothing that is right is written again.
    """
    name, link = folder / "name", folder / "files"
    # The name first: if the run is killed in between, DVC finds the wrong name and runs fetch.
    if not name.is_file() or name.read_text(encoding="utf-8") != f"{source}\n":
        atomic_write_text(name, f"{source}\n")
    target = Path(name.name)
    if local is not None:
        # A source that is itself a link stays one, since it may point elsewhere one day.
        target = local.parent.resolve() / local.name
        if target.is_relative_to(Path.cwd()):  # so that a copy of the project finds its own
            target = Path(os.path.relpath(target, folder))
    if not link.is_symlink() or link.readlink() != target:
        with atomic_file(link) as partial_link:
            partial_link.symlink_to(target)
