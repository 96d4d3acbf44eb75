"""The packed format: one folder per split, read by memory map.

| file | holds |
|---|---|
| `images.npy` | uint8 [N, size, size, 3], RGB |
| `labels.npy` | int64 [N], indices into the classes |
| `meta.json` | the classes, the name and the group of each image, and the size |

Rows are sorted by name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pipeline.common.errors import BluelightError
from pipeline.common.files import read_json

IMAGES = "images.npy"
LABELS = "labels.npy"
META = "meta.json"


@dataclass(frozen=True)
class PackedSplit:
    """One split, ready to train on.

    Attributes:
        images: uint8 [N, size, size, 3], RGB; a read-only memory map unless asked otherwise.
        labels: int64 [N], indices into `classes`.
        names: N names of images, sorted.
        groups: N names of groups; an image shares its group with its duplicates.
        classes: Names of the classes, in the order of the labels.
        size: Pixels a side.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    names: list[str]
    groups: list[str]
    classes: list[str]
    size: int

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def __reduce__(self) -> tuple[Callable[..., "PackedSplit"], tuple[object, ...]]:
        """Pickle the path of mapped pixels, not the pixels: spawned workers map the file again.

        Otherwise every worker would hold a copy of a set that may be larger than memory. Only an
        array that maps its file from end to end can be mapped again.
        """
        images: npt.NDArray[np.uint8] | Path = self.images
        memory: Any = self.images.base
        if isinstance(images, np.memmap) and isinstance(memory, mmap) and images.filename:
            images = Path(images.filename)
        return _restore, (images, self.labels, self.names, self.groups, self.classes, self.size)


def _restore(images: npt.NDArray[np.uint8] | Path, *rest: Any) -> PackedSplit:  # noqa: ANN401
    """Build the split that `PackedSplit.__reduce__` took apart."""
    if isinstance(images, Path):
        images = _load(images, memory_map=True)
    return PackedSplit(images, *rest)


def load_packed(directory: Path, *, memory_map: bool = True) -> PackedSplit:
    """Open a packed split.

    Args:
        directory: The folder of one split, such as `data/packed/train`.
        memory_map: Leave the pixels on disk until they are used; otherwise read them all.

    Returns:
        The split.

    Raises:
        BluelightError: A file is missing, is damaged, or does not fit the others.
    """
    meta = read_json(directory / META)
    images = _load(directory / IMAGES, memory_map=memory_map)
    labels = _load(directory / LABELS, memory_map=False)
    try:
        names, groups, classes = meta["names"], meta["groups"], meta["classes"]
        split = PackedSplit(images, labels, names, groups, classes, meta["size"])
    except (KeyError, TypeError) as error:
        raise _damaged(directory / META, f"{error} is missing") from None
    count, size = len(names), split.size
    if len(groups) != count:
        raise _damaged(directory / META, f"it has {count} names and {len(groups)} groups")
    expected: list[tuple[str, npt.NDArray[Any], type, tuple[int, ...]]] = [
        (IMAGES, images, np.uint8, (count, size, size, 3)),
        (LABELS, labels, np.int64, (count,)),
    ]
    for name, array, dtype, shape in expected:
        if array.dtype != dtype or array.shape != shape:
            found = f"{array.dtype.name} {list(array.shape)}"
            reason = f"it is {found}, not {np.dtype(dtype).name} {list(shape)}"
            raise _damaged(directory / name, reason)
    if count and (labels.min() < 0 or labels.max() >= len(classes)):
        raise _damaged(directory / LABELS, f"labels are not in 0 to {len(classes) - 1}")
    return split


def _load(path: Path, *, memory_map: bool) -> npt.NDArray[Any]:
    mode: Literal["r"] | None = "r" if memory_map else None
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode=mode, allow_pickle=False)
    except FileNotFoundError:
        raise BluelightError(f"{path} not found; `dvc repro pack` makes it") from None
    except (ValueError, EOFError, OSError) as error:
        raise _damaged(path, " ".join(str(error).split())) from None
    return array


def _damaged(path: Path, reason: str) -> BluelightError:
    return BluelightError(f"{path} is damaged ({reason}); run `dvc repro --force pack`")
