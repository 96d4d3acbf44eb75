"""split: find copies, divide the images without leaks, and account for it."""

import sys
from typing import Any

from pipeline.common import paths
from pipeline.common.files import atomic_file, read_json, write_json
from pipeline.common.params import Params
from pipeline.common.tables import USED_SPLITS, read_labels, write_assignment
from pipeline.split.audit import audit
from pipeline.split.contact_sheet import contact_sheet
from pipeline.split.duplicates import find_duplicates
from pipeline.split.splitting import divide

# A group with a larger share of the images is told of aloud, if it has more images than that.
LARGE = 0.05
SMALL = 10


def run(params: Params) -> None:
    """Write `data/split`: the assignment, the audit and a contact sheet, three outputs of DVC."""
    images = read_labels(paths.RAW_LABELS)
    manifest = read_json(paths.RAW_MANIFEST)
    classes = manifest["classes"]
    files = [paths.RAW_IMAGES / image.image for image in images]
    labels = [image.label for image in images]
    copies = find_duplicates(files, labels, params.split.near_duplicate_distance)
    division = divide(images, copies.sha256, copies.groups.tolist(), params.split)
    published = [image.split for image in images]
    account = audit(division, copies.sha256, classes, params.split, published, manifest["skipped"])
    sheet = contact_sheet(paths.RAW_IMAGES, division.rows, classes, account["groups"])
    write_assignment(paths.SPLIT_CSV, division.rows)
    write_json(paths.SPLIT_AUDIT, account)
    with atomic_file(paths.SPLIT_CONTACT_SHEET) as partial:
        sheet.save(partial, "PNG")
    _summarise(account)


def _summarise(account: dict[str, Any]) -> None:
    counts = {split: sum(classes.values()) for split, classes in account["counts"].items()}
    sizes = ", ".join(f"{counts[split]:,} {split}" for split in USED_SPLITS)
    copies = sum(len(group["images"]) for group in account["groups"]) - counts["dropped"]
    print(f"split: {sizes}; {copies:,} copies found, {counts['dropped']:,} dropped")
    if account["largest_group"] > max(SMALL, LARGE * account["images"]):
        print(_warning_of_size(account), file=sys.stderr)
    if account["leaks"]:
        print(_warning(account, counts["test"]), file=sys.stderr)


def _warning_of_size(account: dict[str, Any]) -> str:
    group = max(account["groups"], key=lambda group: len(group["images"]))
    return (
        f"bluelight: split: warning: {account['largest_group']:,} of {account['images']:,} images "
        f"are one group of copies, {next(iter(group['images']))} among them, and all go to one "
        f"split; look at them in {paths.REPORT_HTML}, and if they differ, lower "
        "split.near_duplicate_distance"
    )


def _warning(account: dict[str, Any], tested: int) -> str:
    return (
        f"bluelight: split: warning: the publisher's split is kept, and {account['leaks']:,} of "
        f"its {tested:,} test images have a copy in train, so test figures will flatter "
        f"({paths.SPLIT_AUDIT} names them); set split.published to ignore for a split without leaks"
    )
