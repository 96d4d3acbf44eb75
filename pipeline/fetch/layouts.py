"""Find the labelled images in a folder: a table and its images, or one folder per class."""

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pipeline.common.errors import SourceError
from pipeline.common.images import SUFFIXES
from pipeline.common.params import FetchParams
from pipeline.common.tables import Split
from pipeline.fetch.listing import PUBLISHED_SPLITS, Found, Listing, some
from pipeline.fetch.tables import columns_found, list_table, only_table, tables_in

JUNK = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


class _Told(NamedTuple):
    """What a folder's name tells: a split, and the words around it."""

    split: Split
    rest: tuple[str, ...]


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
    tables = tables_in(root, files, params)
    if tables or params.layout == "csv":
        return list_table(root, files, only_table(root, files, tables, params), params)
    try:
        return _from_folders(files, params)
    except SourceError as error:
        columns = columns_found(root, files)
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


# ---- one folder per class


def _from_folders(files: Sequence[PurePosixPath], params: FetchParams) -> Listing:
    depth, inside = _below_wrappers(files)
    folders = {file.parts[depth] for file in inside if len(file.parts) > depth + 1}
    published = _published_splits(folders, params)
    class_at = dict.fromkeys(folders, depth)
    if published:
        class_at = {name: depth + 1 + _is_doubled(inside, depth, name) for name in folders}
    found = [
        Found(
            PurePosixPath(*file.parts[depth:]).as_posix(),
            file,
            file.parts[class_at[file.parts[depth]]],
            published.get(file.parts[depth], ""),
        )
        for file in inside
        if len(file.parts) > class_at.get(file.parts[depth], depth) + 1
    ]
    labelled = {image.path for image in found}
    loose = [file for file in inside if file not in labelled and _is_image(file)]
    _check_classes({image.label for image in found}, loose, params)
    return Listing("folders", sorted(found, key=lambda image: image.name))


def _published_splits(folders: AbstractSet[str], params: FetchParams) -> dict[str, Split]:
    """The split of each folder, where all are named after splits and alike but for that.

    So `seg_train` and `seg_test` are splits, while `train` and `test_tube` are classes.
    """
    told = {name: _split_told(name) for name in sorted(folders)}
    rests = {told_of.rest for told_of in told.values() if told_of}
    for rest in sorted(rests):
        parts = {name: t.split for name, t in told.items() if t and t.rest == rest}
        if len(set(parts.values())) > 1:
            _check_alone(parts, folders, params)
            return parts
    return {}


def _split_told(folder: str) -> _Told | None:
    """What the name of a folder tells if exactly one of its words is a split's name."""
    words = re.split("[_-]", folder.lower())
    splits = [PUBLISHED_SPLITS[word] for word in words if word in PUBLISHED_SPLITS]
    rest = tuple(word for word in words if word not in PUBLISHED_SPLITS)
    return _Told(splits[0], rest) if len(splits) == 1 else None


def _check_alone(
    parts: Mapping[str, Split], folders: AbstractSet[str], params: FetchParams
) -> None:
    others = sorted(folders - parts.keys())
    if others:
        raise SourceError(
            f"{params.source} holds folders named after splits ({some(sorted(parts))}) beside "
            f"others ({some(others)}); move the others away, or rename those that are classes"
        )


def _is_doubled(files: Sequence[PurePosixPath], depth: int, folder: str) -> bool:
    """Whether all that a folder holds is in another one of its name, as archives often have it."""
    inside = [file for file in files if file.parts[depth] == folder]
    return all(file.parts[depth + 1] == folder for file in inside)


def _below_wrappers(files: Sequence[PurePosixPath]) -> tuple[int, list[PurePosixPath]]:
    """The folder that holds the class folders, as its depth and files: archives often wrap it."""
    top = PurePosixPath()
    while True:
        depth = len(top.parts)
        inside = [file for file in files if file.parts[:depth] == top.parts]
        folders = {file.parts[depth] for file in inside if len(file.parts) > depth + 1}
        loose = any(_is_image(file) for file in inside if len(file.parts) == depth + 1)
        if loose or len(folders) != 1:
            return depth, inside
        top = top / folders.pop()


def _check_classes(
    classes: AbstractSet[str], loose: Sequence[PurePosixPath], params: FetchParams
) -> None:
    if loose and classes:
        raise SourceError(
            f"{params.source} holds images beside the folders of the classes: {some(loose)}; "
            "move them into a class or away"
        )
    if len(classes) < 2:
        raise SourceError(
            f"{params.source} holds neither a table of labels nor two or more folders of images; "
            "put each class in a folder of its own"
        )


def _is_image(path: PurePosixPath) -> bool:
    return path.suffix.lower() in SUFFIXES
