"""Inputs of `bluelight predict`: files, folders, patterns and tables, as a list of images."""

import os
from collections.abc import Iterator, Sequence
from glob import escape, glob, has_magic
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from pipeline.common.errors import PredictionError, message_of
from pipeline.common.files import files_below, folders_below, read_csv
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
        PredictionError: A path is empty, does not exist or cannot be read, a folder or table has no
            image, or `images` is no folder or there is no table.
        SourceError: A table cannot be read.
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
    if not text:
        raise PredictionError("an input is empty; for the current folder write a dot")
    path = Path(text)
    try:
        if path.is_dir():
            found = [file for file in files_below(path) if file.suffix.lower() in SUFFIXES]
            if not found:
                raise PredictionError(f"{path} holds no images; name a folder that does")
            yield from map(_candidate, sorted(found))
        elif path.exists() or path.is_symlink():
            is_table = path.suffix.lower() == ".csv"
            yield from _in_table(path, images) if is_table else [_candidate(path)]
        elif not has_magic(text):
            raise PredictionError(f"{text} not found; name files, folders, patterns or a CSV table")
        else:
            matches = sorted(_matches(text))
            if not matches:
                raise PredictionError(f"no file matches {text}; correct the pattern")
            for match in matches:
                yield from _expand(match, images)
    except OSError as error:
        raise PredictionError(f"{text}: {message_of(error)}") from None


def _matches(pattern: str) -> set[str]:
    """Expand a pattern, where `**` stands for any folders, each once, as links may lead back up."""
    parts = [part for part, _ in groupby(Path(pattern).parts)]  # one of several `**` in a row
    if "**" not in parts:
        return set(glob(pattern))  # noqa: PTH207 - Path.glob takes no absolute patterns
    start, rest = parts[: parts.index("**")], parts[parts.index("**") + 1 :] or ("*",)
    tops = glob(str(Path(*start))) if start else ["."]  # noqa: PTH207
    folders = {folder for top in tops for folder, _ in folders_below(Path(top))}
    return {
        found for folder in folders for found in _matches(str(Path(escape(str(folder)), *rest)))
    }


def _candidate(path: Path) -> Candidate:
    # A file name that is not Unicode could not be written to the output.
    return Candidate(path.as_posix().encode(errors="replace").decode(), path)


def _in_table(table: Path, images: Path | None) -> list[Candidate]:
    header, *rows = read_csv(table, str(table)) or [[]]
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
    candidates = []
    for name in filter(None, names):
        path = (images or table.parent) / name
        below = table.parent / "images" / name
        # Unlike Path.exists, this takes a name that is too long for one that is not there.
        if images is None and os.path.exists(below) and not os.path.exists(path):  # noqa: PTH110
            path = below
        candidates.append(Candidate(name, path, in_table=True))
    return candidates
