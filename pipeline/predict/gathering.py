"""What `bluelight predict` was asked for: files, folders, globs and tables, as a list of images."""

from collections.abc import Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pipeline.common.errors import PredictionError
from pipeline.common.images import SUFFIXES
from pipeline.common.tables import read_csv

COLUMNS = ("image_names", "image")  # the hackathon's tables have the one, Bluelight's the other


class Candidate(NamedTuple):
    """An image to classify.

    Attributes:
        name: What it is called in the answer: its path, or what the table calls it.
        path: Where it is thought to be.
        in_table: Whether a table named it.
    """

    name: str
    path: Path
    in_table: bool = False


def gather(asked: Sequence[str], images: Path | None = None) -> list[Candidate]:
    """List the images in the order asked for, those of a folder by name.

    Args:
        asked: Files; folders, searched to any depth but for what is hidden; glob patterns that no
            shell has expanded; CSV tables with a column `image_names` or `image`, or only one.
        images: Where a table's images are; by default beside it, or in `images/` there.

    Raises:
        PredictionError: A path does not exist, a folder or table has no image, or `images` is no
            folder or there is no table.
        SourceError: A table cannot be read.
    """
    if images is not None and not images.is_dir():
        raise PredictionError(f"--images: there is no folder {images}")
    found = [candidate for path in asked for candidate in _expand(path, images)]
    if images is not None and not any(candidate.in_table for candidate in found):
        raise PredictionError(
            "--images says where a table's images are, but no table (a .csv file) is named"
        )
    return found


def _expand(asked: str, images: Path | None) -> Iterator[Candidate]:
    path = Path(asked)
    if path.is_dir():
        yield from _in_folder(path)
    elif not path.exists():
        for match in _matches(asked):
            yield from _expand(match, images)
    elif path.suffix.lower() == ".csv":
        yield from _in_table(path, images)
    else:
        yield _candidate(path)


def _candidate(path: Path) -> Candidate:
    # A name that is no Unicode cannot be written.
    return Candidate(path.as_posix().encode(errors="replace").decode(), path)


def _matches(pattern: str) -> list[str]:
    if not has_magic(pattern):
        raise PredictionError(f"{pattern} not found; name files, folders, patterns or a CSV table")
    # Path.glob takes no absolute pattern.
    matches = sorted(glob(pattern, recursive=True))  # noqa: PTH207
    if not matches:
        raise PredictionError(f"no file matches {pattern}; correct the pattern")
    return matches


def _in_folder(folder: Path) -> list[Candidate]:
    found = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not _is_hidden(path.relative_to(folder))
    ]
    if not found:
        raise PredictionError(f"{folder} holds no images; name a folder that does")
    return [_candidate(path) for path in sorted(found) if not path.is_dir()]


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _in_table(table: Path, images: Path | None) -> list[Candidate]:
    lines = read_csv(table.parent, PurePosixPath(table.name))
    header, *rows = lines or [[]]
    column = _column([name.strip() for name in header], table)
    names = [row[column].strip() for row in rows if len(row) > column]
    if not any(names):
        raise PredictionError(f"{table} names no image; it has a header and no rows")
    return [Candidate(name, _place(name, table, images), in_table=True) for name in names if name]


def _column(header: list[str], table: Path) -> int:
    for name in COLUMNS:
        if name in header:
            return header.index(name)
    if len(header) == 1:
        return 0
    raise PredictionError(
        f"{table} has the columns {', '.join(header) or 'none'}; call the one that names the "
        f"images {' or '.join(COLUMNS)}"
    )


def _place(name: str, table: Path, images: Path | None) -> Path:
    if images is not None:
        return images / name
    beside, below = table.parent / name, table.parent / "images" / name
    return below if below.exists() and not beside.exists() else beside
