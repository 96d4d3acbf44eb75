"""Find the labelled images of a folder: named by a table, or in one folder per class."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from pipeline.common.datasets import Split
from pipeline.common.errors import SourceError, message_of
from pipeline.common.files import files_below, read_csv
from pipeline.common.images import SUFFIXES
from pipeline.common.params import FetchParams

# What publishers call the splits, in lower case.
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
JUNK = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
SPLIT_COLUMN = "split"
TABLE_DEPTH = 3  # a table lies at most two folders deep


class FoundImage(NamedTuple):
    """A labelled image of a source, before it is checked."""

    name: str  # POSIX path below the folder of images that fetch writes
    path: PurePosixPath  # below the source's folder
    label: str  # in the source
    split: Split | Literal[""] = ""  # the publisher's


def find_images(root: Path, params: FetchParams) -> tuple[str, list[FoundImage]]:
    """List the labelled images below `root` as `fetch.layout` says.

    Hidden files and those that file managers leave behind are ignored.

    Args:
        root: The source as a folder.
        params: `fetch` of `params.yaml`.

    Returns:
        The layout, `csv` or `folders`, and the images, sorted by name.

    Raises:
        SourceError: The layout is not there, is ambiguous or is wrong in some place; the message
            names the place.
    """
    try:
        below = [path.relative_to(root).as_posix() for path in files_below(root)]
    except OSError as error:
        raise SourceError(
            f"{params.source}: {message_of(error)}, as none of its files may be left out unnoticed"
        ) from None
    paths = sorted(map(PurePosixPath, below))
    files = [path for path in paths if JUNK.isdisjoint(map(str.lower, path.parts))]
    if not files:
        raise SourceError(f"{params.source} holds no files; set fetch.source to a folder of images")
    if params.layout == "folders":
        return "folders", _from_folders(files, params)
    headers = {
        file: [column.strip() for column in next(iter(read_csv(root / file, str(file))), [])]
        for file in files
        if file.suffix.lower() == ".csv" and len(file.parts) <= TABLE_DEPTH
    }
    wanted = {params.image_column, params.label_column}
    tables = [file for file, header in headers.items() if wanted <= set(header)]
    if tables or params.layout == "csv":
        return "csv", _from_table(root, files, _choose_table(tables, headers, params), params)
    try:
        return "folders", _from_folders(files, params)
    except SourceError as error:
        raise SourceError(f"{error}{'. ' * bool(headers)}{_columns_of(headers)}") from None


# ---- a table and its images


def _choose_table(
    tables: Sequence[PurePosixPath],
    headers: Mapping[PurePosixPath, Sequence[str]],
    params: FetchParams,
) -> PurePosixPath:
    columns = f"with the columns {params.image_column} and {params.label_column}"
    if not tables:
        raise SourceError(
            f"{params.source} holds no CSV file {columns}. "
            f"{_columns_of(headers) or 'It holds no CSV file at all'}"
        )
    # The whole path or its end: archives often wrap everything in one more folder.
    wanted = PurePosixPath(params.table).parts
    chosen = [table for table in tables if table.parts[len(table.parts) - len(wanted) :] == wanted]
    if len(chosen) > 1:
        raise SourceError(
            f"{params.source} holds several tables {columns}: {_some(chosen)}; set fetch.table to "
            "one of them"
        )
    if not chosen:
        raise SourceError(
            f"fetch.table: {params.source} holds no table {params.table!r} {columns}; set it to "
            f"one of {_some(tables)}"
        )
    return chosen[0]


def _columns_of(headers: Mapping[PurePosixPath, Sequence[str]]) -> str:
    if not headers:
        return ""
    seen = "; ".join(
        f"{file} has {', '.join(header) or 'none'}" for file, header in headers.items()
    )
    return f"Columns found: {seen}: set fetch.image_column and fetch.label_column"


def _from_table(
    root: Path, files: Sequence[PurePosixPath], table: PurePosixPath, params: FetchParams
) -> list[FoundImage]:
    """List the images that a table names.

    An image lies beside the table, in `images/` beside it, or anywhere if only one file has that
    name. Rows that name the same file count once, and must agree.
    """
    header, *lines = read_csv(root / table, str(table))
    columns = [column.strip() for column in header]
    by_name = defaultdict(list)
    for file in files:
        by_name[file.name].append(file)
    found: dict[PurePosixPath | str, FoundImage] = {}
    for number, line in enumerate(lines, start=2):
        if not any(line):
            continue
        where = f"{table} line {number}"
        name, label, split = _parse_row(line, columns, params, where)
        path = _locate(name, table, by_name)
        image = FoundImage(name, path or PurePosixPath(), label, split)
        earlier = found.setdefault(path or name, image)
        for what, mine, other in (
            ("labelled", label, earlier.label),
            ("in the split", split, earlier.split),
        ):
            if mine != other:
                raise SourceError(
                    f"{where}: {name} is {what} {mine!r}, but {other!r} further up; keep one"
                )
    if not found:
        raise SourceError(f"{table} names no image; it has a header and no rows")
    missing = sorted(key for key in found if isinstance(key, str))
    if missing:
        raise SourceError(
            f"{table}: {len(missing):,} of {len(found):,} images are not in the source: "
            f"{_some(missing)}; add them or remove their rows"
        )
    return sorted(found.values())


def _parse_row(
    line: Sequence[str], columns: Sequence[str], params: FetchParams, where: str
) -> tuple[str, str, Split | Literal[""]]:
    # The first of two columns of one name counts.
    cells = dict(reversed([(c, cell.strip()) for c, cell in zip(columns, line, strict=False)]))
    for column in (params.image_column, params.label_column):
        if not cells.get(column):
            raise SourceError(f"{where}: {column} is empty; fill it in or remove the row")
    split = "" if params.label_column == SPLIT_COLUMN else cells.get(SPLIT_COLUMN, "")
    if split and split.lower() not in PUBLISHED_SPLITS:
        raise SourceError(
            f"{where}: {SPLIT_COLUMN} is {split!r}; it must be train, validation, test or empty: "
            "correct it or rename the column"
        )
    name = cells[params.image_column]
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or "\0" in name:
        raise SourceError(
            f"{where}: {name!r} leads out of the source; name images relative to the table"
        )
    label = cells[params.label_column]
    return path.as_posix(), label, PUBLISHED_SPLITS[split.lower()] if split else ""


def _locate(
    name: str, table: PurePosixPath, by_name: Mapping[str, Sequence[PurePosixPath]]
) -> PurePosixPath | None:
    """Find the file that a table means: beside it, in `images/` there, or the only one so named."""
    parts = PurePosixPath(name).parts
    same_name = by_name.get(parts[-1], [])
    for candidate in (table.parent / name, table.parent / "images" / name):
        if candidate in same_name:
            return candidate
    matches = [path for path in same_name if path.parts[-len(parts) :] == parts]
    if len(matches) > 1:
        raise SourceError(
            f"{table}: {name} could be any of {_some(matches)}; name it relative to the table"
        )
    return matches[0] if matches else None


# ---- one folder per class


def _from_folders(files: Sequence[PurePosixPath], params: FetchParams) -> list[FoundImage]:
    """List the images of class folders, which may lie in one folder per published split."""
    depth, inside = _below_wrappers(files)
    by_folder = defaultdict(list)  # the files of each folder below the wrappers
    for file in inside:
        if len(file.parts) > depth + 1:
            by_folder[file.parts[depth]].append(file)
    splits = _published_splits(by_folder.keys(), params)
    found = []
    for folder, members in by_folder.items():
        class_at = depth
        if splits:  # archives often hold a split's folder within another of its name
            doubled = all(file.parts[depth + 1] == folder for file in members)
            class_at = depth + 1 + doubled
        found += [
            FoundImage(
                PurePosixPath(*file.parts[depth:]).as_posix(),
                file,
                file.parts[class_at],
                splits.get(folder, ""),
            )
            for file in members
            if len(file.parts) > class_at + 1
        ]
    labelled = {image.path for image in found}
    loose = [file for file in inside if file not in labelled and _is_image(file)]
    if loose and labelled:
        raise SourceError(
            f"{params.source} holds images beside the folders of the classes: {_some(loose)}; "
            "move them into a class or away"
        )
    if len({image.label for image in found}) < 2:
        raise SourceError(
            f"{params.source} holds neither a table of labels nor two or more folders of images; "
            "put each class in a folder of its own"
        )
    return sorted(found)


def _below_wrappers(files: Sequence[PurePosixPath]) -> tuple[int, list[PurePosixPath]]:
    """Return the depth of the class folders and the files below it: archives often wrap them."""
    top = PurePosixPath()
    while True:
        depth = len(top.parts)
        inside = [file for file in files if file.parts[:depth] == top.parts]
        folders = {file.parts[depth] for file in inside if len(file.parts) > depth + 1}
        loose = any(_is_image(file) for file in inside if len(file.parts) == depth + 1)
        if loose or len(folders) != 1:
            return depth, inside
        top = top / folders.pop()


def _published_splits(folders: AbstractSet[str], params: FetchParams) -> dict[str, Split]:
    """Return the split of each folder, where all are named after splits and alike in the rest.

    So `seg_train` and `seg_test` are splits, while `train` and `test_tube` are classes.
    """
    by_rest: dict[tuple[str, ...], dict[str, Split]] = defaultdict(dict)
    for folder in folders:
        words = re.split("[_-]", folder.lower())
        named = [PUBLISHED_SPLITS[word] for word in words if word in PUBLISHED_SPLITS]
        if len(named) == 1:
            rest = tuple(word for word in words if word not in PUBLISHED_SPLITS)
            by_rest[rest][folder] = named[0]
    for _, splits in sorted(by_rest.items()):
        if len(set(splits.values())) > 1:
            others = sorted(folders - splits.keys())
            if others:
                raise SourceError(
                    f"{params.source} holds folders named after splits ({_some(sorted(splits))}) "
                    f"beside others ({_some(others)}); move the others away, or rename those that "
                    "are classes"
                )
            return splits
    return {}


def _is_image(path: PurePosixPath) -> bool:
    return path.suffix.lower() in SUFFIXES


def _some(items: Sequence[object]) -> str:
    """Name the first three items, for a message."""
    return ", ".join(str(item) for item in items[:3]) + (", ..." if len(items) > 3 else "")
