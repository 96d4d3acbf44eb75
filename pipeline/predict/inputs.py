"""Inputs of `bluelight predict`: files, folders, patterns and tables, as a list of images."""

import csv
from collections.abc import Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import NamedTuple

from pipeline.common.errors import PredictionError
from pipeline.common.images import SUFFIXES

COLUMNS = ("image_names", "image")  # of the hackathon's tables, and of Bluelight's


class Candidate(NamedTuple):
    """An image to classify.

    Attributes:
        name: How the output names it: by its path, or as the table does.
        path: Where it should be.
        in_table: Whether a table named it.
    """

    name: str
    path: Path
    in_table: bool = False


def gather(inputs: Sequence[str], images: Path | None = None) -> list[Candidate]:
    """List the images in the order of the inputs, those of a folder by name.

    Args:
        inputs: Files; folders, searched to any depth except for hidden files; patterns that no
            shell has expanded; CSV tables with a column `image_names` or `image`, or only one.
        images: Folder of a table's images; by default beside it, or in `images/` there.

    Raises:
        PredictionError: A path does not exist, a folder or table has no image, a table cannot be
            read, or `images` is no folder or there is no table.
    """
    if images is not None and not images.is_dir():
        raise PredictionError(f"--images: there is no folder {images}")
    candidates = [candidate for path in inputs for candidate in _expand(path, images)]
    if images is not None and not any(candidate.in_table for candidate in candidates):
        raise PredictionError(
            "--images says where a table's images are, but no table (a .csv file) is named"
        )
    return candidates


def _expand(text: str, images: Path | None) -> Iterator[Candidate]:
    path = Path(text)
    if path.is_dir():
        yield from _in_folder(path)
    elif path.suffix.lower() == ".csv" and path.exists():
        yield from _in_table(path, images)
    elif path.exists():
        yield _candidate(path)
    elif not has_magic(text):
        raise PredictionError(f"{text} not found; name files, folders, patterns or a CSV table")
    else:
        matches = sorted(glob(text, recursive=True))  # noqa: PTH207 - Path.glob: no absolute ones
        if not matches:
            raise PredictionError(f"no file matches {text}; correct the pattern")
        for match in matches:
            yield from _expand(match, images)


def _candidate(path: Path) -> Candidate:
    # A file name that is not Unicode could not be written to the output.
    return Candidate(path.as_posix().encode(errors="replace").decode(), path)


def _in_folder(folder: Path) -> list[Candidate]:
    found = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not found:
        raise PredictionError(f"{folder} holds no images; name a folder that does")
    return [_candidate(path) for path in sorted(found) if not path.is_dir()]


def _in_table(table: Path, images: Path | None) -> list[Candidate]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            header, *rows = list(csv.reader(stream, strict=True)) or [[]]
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise PredictionError(
            f"{table} cannot be read ({error}); save it as CSV in UTF-8"
        ) from None
    columns = [name.strip() for name in header]
    known = columns if len(columns) == 1 else COLUMNS
    column = next((columns.index(name) for name in known if name in columns), None)
    if column is None:
        raise PredictionError(
            f"{table} has the columns {', '.join(columns) or 'none'}; call the one that names the "
            f"images {' or '.join(COLUMNS)}"
        )
    names = [row[column].strip() for row in rows if len(row) > column]
    if not any(names):
        raise PredictionError(f"{table} names no image; it has a header and no rows")
    return [Candidate(name, _locate(name, table, images), in_table=True) for name in names if name]


def _locate(name: str, table: Path, images: Path | None) -> Path:
    if images is not None:
        return images / name
    beside, below = table.parent / name, table.parent / "images" / name
    return below if below.exists() and not beside.exists() else beside
