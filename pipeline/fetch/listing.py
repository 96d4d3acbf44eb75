"""What a source holds: its labelled images, before they are checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from pipeline.common.tables import Split

# Whatever the publisher calls the parts, in lower case.
PUBLISHED_SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Found:
    """One labelled image of a source.

    Attributes:
        name: POSIX path that it shall have below the folder of images.
        path: Where it lies below the source's folder.
        label: The raw label.
        split: Where the publisher put it: `train`, `validation`, `test`, or empty.
    """

    name: str
    path: PurePosixPath
    label: str
    split: Split | Literal[""] = ""


@dataclass(frozen=True)
class Listing:
    """The labelled images of a source.

    Attributes:
        layout: `csv` or `folders`.
        images: Sorted by name; no name twice.
    """

    layout: str
    images: list[Found]


def some(items: Sequence[object]) -> str:
    """The first of them, for a message."""
    shown = ", ".join(str(item) for item in items[:3])
    return f"{shown}, ..." if len(items) > 3 else shown
