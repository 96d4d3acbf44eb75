"""split: find duplicates, divide the images without leaks, and account for it."""

import sys
from typing import Any

from pipeline.common import paths
from pipeline.common.datasets import LABEL_COLUMNS, USED_SPLITS, read_table, write_table
from pipeline.common.drawing import encode_png
from pipeline.common.files import atomic_file, read_json, write_json
from pipeline.common.params import Params
from pipeline.split.audit import audit, contact_sheet
from pipeline.split.duplicates import find_duplicates
from pipeline.split.splitting import divide

# Above these, what was found causes a warning: so much is rarely right.
NEAR_SHARE = 0.02  # of the images, in groups of near-duplicates
GROUP_SHARE = 0.05  # of the images, in one group
GROUP = 50  # images in one group
FEW = 10  # images of which neither share causes a warning


def run(params: Params) -> None:
    """Write the three files in `data/split`: the assignment, the audit and a contact sheet."""
    images = read_table(paths.RAW_LABELS, LABEL_COLUMNS, text=True)
    manifest = read_json(paths.RAW_MANIFEST)
    classes = manifest["classes"]
    groups, pairs = find_duplicates(images, paths.RAW_IMAGES, params.split)
    rows = divide(images, groups, params.split)
    account = audit(rows, images, pairs, classes, params.split, manifest["skipped"])
    sheet = contact_sheet(paths.RAW_IMAGES, rows, classes, account["groups"])
    write_table(paths.SPLIT_CSV, rows.sort_values("image"))
    write_json(paths.SPLIT_AUDIT, account)
    with atomic_file(paths.SPLIT_CONTACT_SHEET) as partial:
        partial.write_bytes(encode_png(sheet))
    _summarise(account)


def _summarise(account: dict[str, Any]) -> None:
    """Print what was done, and warn of what would spoil a result."""
    counts = {split: sum(classes.values()) for split, classes in account["counts"].items()}
    sizes = ", ".join(f"{counts[split]:,} {split}" for split in USED_SPLITS)
    found = sum(len(group["images"]) for group in account["groups"]) - counts["dropped"]
    print(f"split: {sizes}; {found:,} duplicates found, {counts['dropped']:,} dropped")
    images, near = account["images"], account["near_duplicates"]["files"]
    remedy = (
        f"look at them in {paths.SPLIT_CONTACT_SHEET}, and if they differ, lower "
        "split.near_duplicate_ratio or list the pairs in split.not_duplicates"
    )
    if account["largest_group"] > min(GROUP, max(FEW, GROUP_SHARE * images)):
        largest = max(account["groups"], key=lambda group: len(group["images"]))["images"]
        _warn(
            f"{len(largest):,} of {images:,} images are one group of duplicates, "
            f"{next(iter(largest))} among them, and all go to one split; {remedy}"
        )
    if near > max(FEW, NEAR_SHARE * images):
        _warn(f"{near:,} of {images:,} images are near-duplicates of others; {remedy}")
    if account["leaks"]:
        _warn(
            f"the publisher's split is kept, and {account['leaks']:,} of its {counts['test']:,} "
            "test images have a duplicate in train, so test metrics will flatter "
            f"({paths.SPLIT_AUDIT} names them); set split.published to ignore for a split without "
            "leaks"
        )


def _warn(message: str) -> None:
    print(f"bluelight: split: warning: {message}", file=sys.stderr)
