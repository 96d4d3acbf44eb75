"""Find the labelled images in a folder: a table and its images, or one folder per class."""

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.dataset.images import SUFFIXES
from pipeline.errors import SourceError
from pipeline.params import FetchParams

JUNK = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
PUBLISHED_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
CSV_DEPTH = 3  # a table lies at most two folders deep


@dataclass(frozen=True)
class Found:
    """One labelled image of a source.

    Attributes:
        name: POSIX path that it shall have below the folder of images.
        path: Where it lies below the source's folder.
        label: The raw label.
    """

    name: str
    path: PurePosixPath
    label: str


@dataclass(frozen=True)
class Listing:
    """The labelled images of a source.

    Attributes:
        layout: `csv` or `folders`.
        images: Sorted by name; no name twice.
    """

    layout: str
    images: list[Found]


def find_images(root: Path, params: FetchParams) -> Listing:
    """List the labelled images below `root` as `fetch.layout` says.

    Hidden files and the droppings of file managers are passed over.

    Args:
        root: The source as a folder.
        params: `fetch` of `params.yaml`.

    Returns:
        The images with their raw labels.

    Raises:
        SourceError: The layout is not there, is ambiguous or is wrong in some place; the message
            names the place.
    """
    files = _scan(root)
    if not files:
        raise SourceError(f"{params.source} holds no files; set fetch.source to a folder of images")
    if params.layout == "folders":
        return _from_folders(files, params)
    tables = _tables(root, files, params)
    if tables or params.layout == "csv":
        return _from_csv(root, files, _only_table(root, files, tables, params), params)
    try:
        return _from_folders(files, params)
    except SourceError as error:
        columns = _columns_found(root, files)
        raise SourceError(f"{error}{'. ' + columns if columns else ''}") from None


def _scan(root: Path) -> list[PurePosixPath]:
    """Every file below `root`, sorted, less hidden ones and junk."""
    found = []
    for path in root.rglob("*"):
        relative = PurePosixPath(path.relative_to(root).as_posix())
        if not _is_junk(relative) and not path.is_dir():
            found.append(relative)
    return sorted(found)


def _is_junk(path: PurePosixPath) -> bool:
    return any(part.startswith(".") or part.lower() in JUNK for part in path.parts)


# ---- a table and its images


def _csv_files(files: Sequence[PurePosixPath]) -> list[PurePosixPath]:
    return [
        file for file in files if file.suffix.lower() == ".csv" and len(file.parts) <= CSV_DEPTH
    ]


def _tables(root: Path, files: Sequence[PurePosixPath], params: FetchParams) -> list[PurePosixPath]:
    """The CSV files that have the columns looked for."""
    wanted = {params.image_column, params.label_column}
    return [file for file in _csv_files(files) if wanted <= set(_header(root, file))]


def _only_table(
    root: Path,
    files: Sequence[PurePosixPath],
    tables: Sequence[PurePosixPath],
    params: FetchParams,
) -> PurePosixPath:
    if len(tables) > 1:
        raise SourceError(
            f"{params.source} holds several tables with the columns {params.image_column} and "
            f"{params.label_column}: {_some(tables)}; keep one of them"
        )
    if not tables:
        raise SourceError(
            f"{params.source} holds no CSV file with the columns {params.image_column} and "
            f"{params.label_column}. {_columns_found(root, files) or 'It holds no CSV file at all'}"
        )
    return tables[0]


def _columns_found(root: Path, files: Sequence[PurePosixPath]) -> str:
    """What the CSV files have instead of the columns looked for; empty where there is none."""
    seen = [f"{file} has {', '.join(_header(root, file)) or 'none'}" for file in _csv_files(files)]
    if not seen:
        return ""
    return f"Columns found: {'; '.join(seen)}: set fetch.image_column and fetch.label_column"


def _header(root: Path, file: PurePosixPath) -> list[str]:
    rows = _read_csv(root, file)
    return [column.strip() for column in rows[0]] if rows else []


def _read_csv(root: Path, file: PurePosixPath) -> list[list[str]]:
    try:
        with (root / file).open(encoding="utf-8-sig", newline="") as stream:
            return list(csv.reader(stream, strict=True))
    except UnicodeDecodeError as error:
        raise SourceError(f"{file} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except csv.Error as error:
        raise SourceError(f"{file} is not a CSV file ({error}); save it anew as CSV") from None


def _from_csv(
    root: Path, files: Sequence[PurePosixPath], table: PurePosixPath, params: FetchParams
) -> Listing:
    labels = _labels_of(root, table, params)
    places = _places(files)
    here = set(files)
    found = [
        Found(name, path, label)
        for name, label in sorted(labels.items())
        if (path := _locate(name, table, here, places)) is not None
    ]
    _check_missing(table, labels, found)
    return Listing("csv", found)


def _labels_of(root: Path, table: PurePosixPath, params: FetchParams) -> dict[str, str]:
    """The raw label of each image that the table names."""
    header, *rows = _read_csv(root, table)
    columns = [column.strip() for column in header]
    name_at, label_at = columns.index(params.image_column), columns.index(params.label_column)
    labels: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        if not any(row):
            continue
        where = f"{table} line {number}"
        name = _clean_name(_field(row, name_at, params.image_column, where), where)
        label = _field(row, label_at, params.label_column, where)
        if labels.setdefault(name, label) != label:
            raise SourceError(
                f"{where}: {name} is labelled {label!r}, but {labels[name]!r} further up; keep one"
            )
    if not labels:
        raise SourceError(f"{table} names no image; it has a header and no rows")
    return labels


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
            f"{table}: {name} could be any of {_some(matches)}; name it relative to the table"
        )
    return matches[0] if matches else None


def _check_missing(table: PurePosixPath, labels: dict[str, str], found: Sequence[Found]) -> None:
    missing = sorted(labels.keys() - {image.name for image in found})
    if missing:
        raise SourceError(
            f"{table}: {len(missing):,} of {len(labels):,} images are not in the source: "
            f"{_some(missing)}; add them or remove their rows"
        )


# ---- one folder per class


def _from_folders(files: Sequence[PurePosixPath], params: FetchParams) -> Listing:
    top = _below_wrappers(files)
    depth = len(top.parts)
    inside = [file for file in files if file.parts[:depth] == top.parts]
    loose = [file for file in inside if len(file.parts) == depth + 1 and _is_image(file)]
    classes = sorted({file.parts[depth] for file in inside if len(file.parts) > depth + 1})
    _check_classes(classes, loose, params)
    found = [
        Found(PurePosixPath(*file.parts[depth:]).as_posix(), file, file.parts[depth])
        for file in inside
        if len(file.parts) > depth + 1
    ]
    return Listing("folders", sorted(found, key=lambda image: image.name))


def _below_wrappers(files: Sequence[PurePosixPath]) -> PurePosixPath:
    """The folder that holds the class folders: archives often wrap it in another."""
    top = PurePosixPath()
    while True:
        depth = len(top.parts)
        inside = [file for file in files if file.parts[:depth] == top.parts]
        folders = {file.parts[depth] for file in inside if len(file.parts) > depth + 1}
        loose = any(_is_image(file) for file in inside if len(file.parts) == depth + 1)
        if loose or len(folders) != 1:
            return top
        top = top / folders.pop()


def _check_classes(
    classes: Sequence[str], loose: Sequence[PurePosixPath], params: FetchParams
) -> None:
    if len(classes) < 2:
        raise SourceError(
            f"{params.source} holds neither a table of labels nor two or more folders of images; "
            "put each class in a folder of its own"
        )
    if loose:
        raise SourceError(
            f"{params.source} holds images beside the folders of the classes: {_some(loose)}; "
            "move them into a class or away"
        )
    if {name.lower() for name in classes} <= PUBLISHED_SPLITS:
        raise SourceError(
            f"{params.source} is divided into {', '.join(classes)}, which are no classes; set "
            "fetch.source to one of these folders"
        )


def _is_image(path: PurePosixPath) -> bool:
    return path.suffix.lower() in SUFFIXES


def _some(items: Sequence[object]) -> str:
    shown = ", ".join(str(item) for item in items[:3])
    return f"{shown}, ..." if len(items) > 3 else shown
