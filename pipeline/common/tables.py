"""The two tables that stages hand on: `labels.csv` from fetch, `split.csv` from split."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, get_args

from pipeline.common.errors import BluelightError, SourceError
from pipeline.common.files import write_csv

Split = Literal["train", "validation", "test", "dropped"]
SPLITS: tuple[Split, ...] = get_args(Split)
USED_SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Labelled(NamedTuple):
    """One image and its class.

    Attributes:
        image: POSIX path below the folder of images.
        label: Name of the class.
        split: Where the publisher put it: `train`, `validation`, `test`, or empty.
    """

    image: str
    label: str
    split: str = ""


class Assigned(NamedTuple):
    """One image, its class, and where it went.

    Attributes:
        image: POSIX path below the folder of images.
        label: Name of the class.
        split: `train`, `validation`, `test` or `dropped`.
        group: Shared by an image and its copies; derived from the content of one of them.
        fold: Number of its fold, from 0; empty for test and dropped images, and without folds.
    """

    image: str
    label: str
    split: str
    group: str
    fold: str = ""


def write_labels(path: Path, rows: Iterable[Labelled]) -> None:
    """Write `labels.csv`, sorted by image."""
    write_csv(path, Labelled._fields, sorted(rows))


def read_labels(path: Path) -> list[Labelled]:
    """Read `labels.csv`.

    Raises:
        BluelightError: The file is missing or is not such a table.
    """
    return [Labelled(*row) for row in _read(path, Labelled._fields)]


def write_assignment(path: Path, rows: Iterable[Assigned]) -> None:
    """Write `split.csv`, sorted by image."""
    write_csv(path, Assigned._fields, sorted(rows))


def read_assignment(path: Path) -> list[Assigned]:
    """Read `split.csv`.

    Raises:
        BluelightError: The file is missing or is not such a table.
    """
    return [Assigned(*row) for row in _read(path, Assigned._fields)]


def read_csv(root: Path, file: PurePosixPath) -> list[list[str]]:
    """The lines of a CSV file in UTF-8, header included, by fields.

    Args:
        root: A folder.
        file: Where the file is in it, as messages name it.

    Raises:
        SourceError: It is not UTF-8 or not CSV.
    """
    try:
        with (root / file).open(encoding="utf-8-sig", newline="") as stream:
            return list(csv.reader(stream, strict=True))
    except UnicodeDecodeError as error:
        raise SourceError(f"{file} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except csv.Error as error:
        raise SourceError(f"{file} is not a CSV file ({error}); save it anew as CSV") from None


def _read(path: Path, header: Sequence[str]) -> list[list[str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            first, *rows = csv.reader(file, strict=True)
    except FileNotFoundError:
        raise BluelightError(f"{path} not found; `dvc repro` makes it") from None
    except (ValueError, csv.Error) as error:
        raise _damaged(path, str(error)) from None
    if first != list(header) or any(len(row) != len(header) for row in rows):
        raise _damaged(path, f"its columns must be {','.join(header)}")
    return rows


def _damaged(path: Path, reason: str) -> BluelightError:
    return BluelightError(f"{path} is damaged ({reason}); delete it and run `dvc repro`")
