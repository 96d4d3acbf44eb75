"""Refuse a `split.csv` that would leak, or that does not fit the images.

The table can be edited by hand, or come from elsewhere; `pack` is the last to see it whole.
"""

from collections import Counter
from collections.abc import Sequence

from pipeline.common.errors import SplitError
from pipeline.common.tables import SPLITS, USED_SPLITS, Assigned, Labelled

REMEDY = "run `dvc repro --force split` to divide the images anew, or correct the row"


def check_assignment(
    rows: Sequence[Assigned], images: Sequence[Labelled], where: str, *, may_leak: bool = False
) -> None:
    """Hold the rows of `split.csv` against the images and against each other.

    Args:
        rows: What goes where.
        images: Every image and its class, from `labels.csv`.
        where: What to call the table in messages.
        may_leak: Let copies be in several splits, because somebody wants a published split kept.

    Raises:
        SplitError: A row names an image, label or split that there is not, an image is missing or
            listed twice, or copies of one another are in two splits.
    """
    fault = _unknown(rows, images) or _not_once(rows, images)
    if fault is None and not may_leak:
        fault = _crossing(rows)
    if fault:
        raise SplitError(f"{where}: {fault}; {REMEDY}")


def _unknown(rows: Sequence[Assigned], images: Sequence[Labelled]) -> str | None:
    label_of = {image.image: image.label for image in images}
    for row in rows:
        if row.image not in label_of:
            return f"there is no image {row.image!r}"
        if row.label != label_of[row.image]:
            return f"{row.image} is labelled {row.label!r}, in the source {label_of[row.image]!r}"
        if row.split not in SPLITS:
            return f"{row.image} is in {row.split!r}, which is none of {', '.join(SPLITS)}"
    return None


def _not_once(rows: Sequence[Assigned], images: Sequence[Labelled]) -> str | None:
    times = Counter(row.image for row in rows)
    for image in images:
        if times[image.image] != 1:
            return f"{image.image} is listed {times[image.image]} times instead of once"
    return None


def _crossing(rows: Sequence[Assigned]) -> str | None:
    first: dict[str, Assigned] = {}
    for row in rows:
        if row.split not in USED_SPLITS:
            continue
        other = first.setdefault(row.group, row)
        if other.split != row.split:
            return (
                f"{other.image} is in {other.split} and its copy {row.image} in {row.split}, "
                "so what is learnt from the one leaks into the other"
            )
    return None
