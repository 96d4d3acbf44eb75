"""The packed format: one folder per split with pixels, labels and names, read by memory map.

`images.npy` holds uint8 [N, size, size, 3] RGB, `labels.npy` int64 [N] indices into the classes,
`meta.json` the classes, the names and the size. Rows are sorted by name.
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
        classes: Names of the classes, in the order of the labels.
        size: Pixels a side.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    names: list[str]
    classes: list[str]
    size: int

    def __len__(self) -> int:
        """The number of images."""
        return len(self.labels)

    def __reduce__(self) -> tuple[Callable[..., "PackedSplit"], tuple[object, ...]]:
        """Pickle the path of mapped pixels, not the pixels: spawned workers map the file again.

        Otherwise every worker would hold a copy of a set that may be larger than memory.
        """
        images = _mapped_file(self.images) or self.images
        return _restore, (images, self.labels, self.names, self.classes, self.size)


def load_packed(directory: Path, *, memory_map: bool = True) -> PackedSplit:
    """Open a packed split.

    Args:
        directory: The folder of one split, such as `data/packed/train`.
        memory_map: Leave the pixels on disk until they are used; else read them all.

    Returns:
        The split.

    Raises:
        BluelightError: A file is missing, is damaged, or does not fit the others.
    """
    meta = read_json(directory / META)
    images = _load(directory / IMAGES, memory_map=memory_map)
    labels = _load(directory / LABELS, memory_map=False)
    try:
        split = PackedSplit(images, labels, meta["names"], meta["classes"], meta["size"])
    except (KeyError, TypeError) as error:
        raise _damaged(directory / META, f"{error} is missing") from None
    _check(split, directory)
    return split


def _mapped_file(images: npt.NDArray[np.uint8]) -> Path | None:
    """The file that `images` maps from end to end; None for a part of it, or for plain memory."""
    memory: Any = images.base
    if isinstance(images, np.memmap) and isinstance(memory, mmap) and images.filename:
        return Path(images.filename)
    return None


def _restore(
    images: npt.NDArray[np.uint8] | Path,
    labels: npt.NDArray[np.int64],
    names: list[str],
    classes: list[str],
    size: int,
) -> PackedSplit:
    """What unpickling calls."""
    if isinstance(images, Path):
        images = _load(images, memory_map=True)
    return PackedSplit(images, labels, names, classes, size)


def _load(path: Path, *, memory_map: bool) -> npt.NDArray[Any]:
    mode: Literal["r"] | None = "r" if memory_map else None
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode=mode, allow_pickle=False)
    except FileNotFoundError:
        raise BluelightError(f"{path} not found; `dvc repro pack` makes it") from None
    except (ValueError, EOFError, OSError) as error:
        raise _damaged(path, " ".join(str(error).split())) from None
    return array


def _check(split: PackedSplit, directory: Path) -> None:
    count = len(split.names)
    _check_array(directory / IMAGES, split.images, np.uint8, (count, split.size, split.size, 3))
    _check_array(directory / LABELS, split.labels, np.int64, (count,))
    labels = split.labels
    if count and (labels.min() < 0 or labels.max() >= len(split.classes)):
        raise _damaged(directory / LABELS, f"labels are not in 0 to {len(split.classes) - 1}")


def _check_array(
    path: Path, array: npt.NDArray[np.generic], dtype: type[np.generic], shape: tuple[int, ...]
) -> None:
    if array.dtype != dtype or array.shape != shape:
        expected = f"{np.dtype(dtype).name} {list(shape)}"
        raise _damaged(path, f"it is {array.dtype.name} {list(array.shape)}, not {expected}")


def _damaged(path: Path, reason: str) -> BluelightError:
    return BluelightError(f"{path} is damaged ({reason}); run `dvc repro --force pack`")
