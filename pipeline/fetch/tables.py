"""The layout of a table and its images: find the table, read it, find the images it names."""

from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from pipeline.common.errors import SourceError
from pipeline.common.params import FetchParams
from pipeline.common.tables import Split, read_csv
from pipeline.fetch.listing import PUBLISHED_SPLITS, Found, Listing, some

SPLIT_COLUMN = "split"
DEPTH = 3  # a table lies at most two folders deep


class Row(NamedTuple):
    """What a table says of an image."""

    label: str
    split: Split | Literal[""]


def _csv_files(files: Sequence[PurePosixPath]) -> list[PurePosixPath]:
    return [file for file in files if file.suffix.lower() == ".csv" and len(file.parts) <= DEPTH]


def tables_in(
    root: Path, files: Sequence[PurePosixPath], params: FetchParams
) -> list[PurePosixPath]:
    """The CSV files that have the columns looked for."""
    wanted = {params.image_column, params.label_column}
    return [file for file in _csv_files(files) if wanted <= set(_header(root, file))]


def only_table(
    root: Path,
    files: Sequence[PurePosixPath],
    tables: Sequence[PurePosixPath],
    params: FetchParams,
) -> PurePosixPath:
    """Choose the table.

    Args:
        root: The source as a folder.
        files: Every file in it.
        tables: Those that have the columns looked for.
        params: `fetch` of `params.yaml`.

    Raises:
        SourceError: There is no such table, or several and `fetch.table` names none of them.
    """
    columns = f"with the columns {params.image_column} and {params.label_column}"
    if not tables:
        raise SourceError(
            f"{params.source} holds no CSV file {columns}. "
            f"{columns_found(root, files) or 'It holds no CSV file at all'}"
        )
    # The whole path or its end: archives often wrap everything in one more folder.
    wanted = PurePosixPath(params.table).parts
    chosen = [table for table in tables if table.parts[len(table.parts) - len(wanted) :] == wanted]
    if len(chosen) > 1:
        raise SourceError(
            f"{params.source} holds several tables {columns}: {some(chosen)}; set fetch.table to "
            "one of them"
        )
    if not chosen:
        raise SourceError(
            f"fetch.table: {params.source} holds no table {params.table!r} {columns}; set it to "
            f"one of {some(tables)}"
        )
    return chosen[0]


def columns_found(root: Path, files: Sequence[PurePosixPath]) -> str:
    """What the CSV files have instead of the columns looked for; empty where there is none."""
    seen = [f"{file} has {', '.join(_header(root, file)) or 'none'}" for file in _csv_files(files)]
    if not seen:
        return ""
    return f"Columns found: {'; '.join(seen)}: set fetch.image_column and fetch.label_column"


def _header(root: Path, file: PurePosixPath) -> list[str]:
    rows = read_csv(root, file)
    return [column.strip() for column in rows[0]] if rows else []


def list_table(
    root: Path, files: Sequence[PurePosixPath], table: PurePosixPath, params: FetchParams
) -> Listing:
    """List the images that a table names.

    An image lies beside the table, in `images/` beside it, or anywhere if only one file has that
    name.

    Args:
        root: The source as a folder.
        files: Every file in it.
        table: Where the table is.
        params: `fetch` of `params.yaml`.

    Raises:
        SourceError: A row is incomplete, contradicts another or names an image that is not there.
    """
    rows = _rows_of(root, table, params)
    places = _places(files)
    here = set(files)
    found = [
        Found(name, path, row.label, row.split)
        for name, row in sorted(rows.items())
        if (path := _locate(name, table, here, places)) is not None
    ]
    _check_missing(table, rows.keys(), found)
    return Listing("csv", found)


def _rows_of(root: Path, table: PurePosixPath, params: FetchParams) -> dict[str, Row]:
    """What the table says of each image that it names."""
    header, *lines = read_csv(root, table)
    columns = [column.strip() for column in header]
    rows: dict[str, Row] = {}
    for number, line in enumerate(lines, start=2):
        if not any(line):
            continue
        where = f"{table} line {number}"
        name_at = columns.index(params.image_column)
        name = _clean_name(_field(line, name_at, params.image_column, where), where)
        row = _row(line, columns, params, where)
        if rows.setdefault(name, row) != row:
            raise SourceError(_contradiction(where, name, row, rows[name]))
    if not rows:
        raise SourceError(f"{table} names no image; it has a header and no rows")
    return rows


def _row(line: Sequence[str], columns: Sequence[str], params: FetchParams, where: str) -> Row:
    label = _field(line, columns.index(params.label_column), params.label_column, where)
    split_at = columns.index(SPLIT_COLUMN) if SPLIT_COLUMN in columns else len(line)
    if params.label_column == SPLIT_COLUMN or split_at >= len(line) or not line[split_at].strip():
        return Row(label, "")
    split = line[split_at].strip()
    if split.lower() not in PUBLISHED_SPLITS:
        raise SourceError(
            f"{where}: {SPLIT_COLUMN} is {split!r}; it must be train, validation, test or empty: "
            "correct it or rename the column"
        )
    return Row(label, PUBLISHED_SPLITS[split.lower()])


def _contradiction(where: str, name: str, row: Row, earlier: Row) -> str:
    if row.label != earlier.label:
        return (
            f"{where}: {name} is labelled {row.label!r}, but {earlier.label!r} further up; keep one"
        )
    return f"{where}: {name} is in {row.split!r}, but in {earlier.split!r} further up; keep one"


def _field(row: Sequence[str], index: int, column: str, where: str) -> str:
    value = row[index].strip() if index < len(row) else ""
    if not value:
        raise SourceError(f"{where}: {column} is empty; fill it in or remove the row")
    return value


def _clean_name(name: str, where: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or "\0" in name:
        raise SourceError(
            f"{where}: {name!r} leads out of the source; name images relative to the table"
        )
    return path.as_posix()


def _places(files: Sequence[PurePosixPath]) -> dict[str, list[PurePosixPath]]:
    places = defaultdict(list)
    for file in files:
        places[file.name].append(file)
    return places


def _locate(
    name: str,
    table: PurePosixPath,
    files: set[PurePosixPath],
    places: dict[str, list[PurePosixPath]],
) -> PurePosixPath | None:
    """Beside the table, in `images/` beside it, or anywhere if only one file has that name."""
    for candidate in (table.parent / name, table.parent / "images" / name):
        if candidate in files:
            return candidate
    parts = PurePosixPath(name).parts
    matches = [path for path in places.get(parts[-1], []) if path.parts[-len(parts) :] == parts]
    if len(matches) > 1:
        raise SourceError(
            f"{table}: {name} could be any of {some(matches)}; name it relative to the table"
        )
    return matches[0] if matches else None


def _check_missing(table: PurePosixPath, names: AbstractSet[str], found: Sequence[Found]) -> None:
    missing = sorted(names - {image.name for image in found})
    if missing:
        raise SourceError(
            f"{table}: {len(missing):,} of {len(names):,} images are not in the source: "
            f"{some(missing)}; add them or remove their rows"
        )
