"""The data that stages hand on: tables of the images, and packed arrays.

`labels.csv`, which `fetch` writes, has a row for each image:

| column | holds |
|---|---|
| image | POSIX path below the folder of images |
| label | name of the class |
| split | where the publisher put it: `train`, `validation`, `test`, or empty |
| sha256 | SHA-256 of the file's bytes, in hexadecimal |

`split.csv`, which `split` writes, has the same images and labels:

| column | holds |
|---|---|
| split | `train`, `validation`, `test` or `dropped` |
| group | shared by an image and its duplicates; derived from the content of one of them |
| fold | number of its fold, from 0; empty for test and dropped images, and without folds |

Both are sorted by image, and every value is text: read them with `read_table(..., text=True)`.

`pack` writes a folder for each split, which is read by memory map, rows sorted by name:

| file | holds |
|---|---|
| `images.npy` | uint8 [N, size, size, 3], RGB |
| `labels.npy` | int64 [N], indices into the classes |
| `meta.json` | the classes, the name and the group of each image, and the size |

Unless the MLP sees pixels, `vectors.npy` of another folder holds what it sees of each image:
float32 [N, 1 + views, values], first unaugmented, then in augmented views.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.common.errors import BluelightError
from pipeline.common.files import atomic_write_text, read_json

Split = Literal["train", "validation", "test", "dropped"]
SPLITS: tuple[Split, ...] = get_args(Split)
USED_SPLITS: tuple[Split, ...] = ("train", "validation", "test")

LABEL_COLUMNS = ("image", "label", "split", "sha256")
SPLIT_COLUMNS = ("image", "label", "split", "group", "fold")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV: UTF-8, a line of column names, line feeds, no index.

    Floats are written with the digits that identify them; round them first where a file is
    tracked by git (`pipeline.common.files.DIGITS`).
    """
    atomic_write_text(path, table.to_csv(index=False, lineterminator="\n"))


def read_table(path: Path, columns: Sequence[str] = (), *, text: bool = False) -> pd.DataFrame:
    """Read what `write_table` wrote.

    Args:
        path: The file.
        columns: The columns that it must have, in this order; empty for any.
        text: Read every value as text; empty cells are then empty strings. Otherwise pandas
            chooses the types.

    Raises:
        BluelightError: The file is missing, is not a CSV file, or has other columns.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False) if text else pd.read_csv(path)
    except FileNotFoundError:
        raise BluelightError(f"{path} not found; `dvc repro` makes it") from None
    except (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = " ".join(str(error).split())
        raise BluelightError(
            f"{path} is damaged ({reason}); delete it and run `dvc repro`"
        ) from None
    if columns and list(table.columns) != list(columns):
        raise BluelightError(
            f"{path} is damaged (its columns must be {','.join(columns)}); delete it and run "
            "`dvc repro`"
        )
    return table


IMAGES = "images.npy"
LABELS = "labels.npy"
META = "meta.json"
FEATURES = "features.json"
VECTORS = "vectors.npy"


@dataclass(frozen=True)
class PackedSplit:
    """One split, ready to train on.

    Attributes:
        images: uint8 [N, size, size, 3], RGB; a read-only memory map.
        labels: int64 [N], indices into `classes`.
        names: N names of images, sorted.
        groups: N names of groups; an image shares its group with its duplicates.
        classes: Names of the classes, in the order of the labels.
        size: Pixels a side.
        vectors: float32 [N, 1 + views, values], what the MLP sees of each image, as a read-only
            memory map; None where it sees the pixels, or where they were not asked for.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    names: list[str]
    groups: list[str]
    classes: list[str]
    size: int
    vectors: npt.NDArray[np.float32] | None = None
    _folders: tuple[Path, Path | None] | None = field(init=False, default=None)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    @property
    def inputs(self) -> npt.NDArray[Any]:
        """What the MLP sees, unaugmented: the images, or their vectors, float32 [N, values]."""
        return self.images if self.vectors is None else self.vectors[:, 0]

    def __reduce_ex__(self, protocol: Any) -> Any:  # noqa: ANN401 - as the base class has it
        """Pickle the folders that were opened: spawned workers map the files again.

        Otherwise every worker would hold a copy of a set that may be larger than memory.
        """
        return (load_packed, self._folders) if self._folders else super().__reduce_ex__(protocol)


def load_packed(directory: Path, features: Path | None = None) -> PackedSplit:
    """Open a packed split; its pixels and vectors stay on disk until they are used.

    Args:
        directory: The folder of one split, such as `data/packed/train`.
        features: The folder of its vectors, such as `data/features/train`; None does without.

    Raises:
        BluelightError: A file is missing, is damaged, or does not fit the others.
    """
    meta = read_json(directory / META)
    images, labels = _load(directory / IMAGES), np.array(_load(directory / LABELS))
    vectors = None
    if features and read_json(features / FEATURES)["kind"] != "pixels":
        vectors = _load(features / VECTORS)
    try:
        names, groups, classes = meta["names"], meta["groups"], meta["classes"]
        split = PackedSplit(images, labels, names, groups, classes, meta["size"], vectors)
    except (KeyError, TypeError) as error:
        raise _damaged(directory / META, f"{error} is missing") from None
    count, size = len(names), split.size
    if len(groups) != count:
        raise _damaged(directory / META, f"it has {count} names and {len(groups)} groups")
    expected: list[tuple[Path, npt.NDArray[Any], type, tuple[int, ...]]] = [
        (directory / IMAGES, images, np.uint8, (count, size, size, 3)),
        (directory / LABELS, labels, np.int64, (count,)),
    ]
    if features and vectors is not None:
        shape = (count, *vectors.shape[1:][:2])
        expected.append((features / VECTORS, vectors, np.float32, shape))
    for path, array, dtype, shape in expected:
        if array.dtype != dtype or array.shape != shape:
            found = f"{array.dtype.name} {list(array.shape)}"
            raise _damaged(path, f"it is {found}, not {np.dtype(dtype).name} {list(shape)}")
    if count and (labels.min() < 0 or labels.max() >= len(classes)):
        raise _damaged(directory / LABELS, f"labels are not in 0 to {len(classes) - 1}")
    object.__setattr__(split, "_folders", (directory.absolute(), features and features.absolute()))
    return split


def _load(path: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        stage = "features" if path.name == VECTORS else "pack"
        raise BluelightError(f"{path} not found; `dvc repro {stage}` makes it") from None
    except (ValueError, EOFError, OSError) as error:
        raise _damaged(path, " ".join(str(error).split())) from None
    return array


def _damaged(path: Path, reason: str) -> BluelightError:
    stage = "features" if path.name == VECTORS else "pack"
    return BluelightError(f"{path} is damaged ({reason}); run `dvc repro --force {stage}`")
