"""pack: decode and resize every image once, into one array per split."""

from pipeline.common import paths
from pipeline.common.files import read_json
from pipeline.common.params import Params
from pipeline.common.tables import USED_SPLITS, read_assignment, read_labels
from pipeline.features.backbone import input_size
from pipeline.pack.assignment import check_assignment
from pipeline.pack.packing import pack


def run(params: Params) -> None:
    """Write `data/packed` from the images of `data/raw` as `data/split` divides them."""
    rows = read_assignment(paths.SPLIT_CSV)
    kept = params.split.published == "keep"
    check_assignment(rows, read_labels(paths.RAW_LABELS), str(paths.SPLIT_CSV), may_leak=kept)
    classes = read_json(paths.RAW_MANIFEST)["classes"]
    size = input_size(params)
    pack(size, paths.RAW_IMAGES, rows, classes, paths.PACKED)
    used = sum(row.split in USED_SPLITS for row in rows)
    print(f"pack: {used:,} images of {size}x{size} pixels")
