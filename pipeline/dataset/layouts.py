"""Find the labelled images in a folder: a table and its images, or one folder per class."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path, PurePosixPath

from pipeline.dataset.images import SUFFIXES
from pipeline.dataset.listing import PUBLISHED_SPLITS, Found, Listing, some
from pipeline.dataset.tables import columns_found, list_table, only_table, tables_in
from pipeline.errors import SourceError
from pipeline.params import FetchParams

JUNK = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


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
    top = _below_wrappers(files)
    depth = len(top.parts)
    inside = [file for file in files if file.parts[:depth] == top.parts]
    folders = {file.parts[depth] for file in inside if len(file.parts) > depth + 1}
    # The folders of the publisher's splits, where there are any, hold those of the classes.
    published = len(folders) > 1 and {name.lower() for name in folders} <= PUBLISHED_SPLITS.keys()
    class_at = depth + published
    found = [
        Found(
            PurePosixPath(*file.parts[depth:]).as_posix(),
            file,
            file.parts[class_at],
            PUBLISHED_SPLITS[file.parts[depth].lower()] if published else "",
        )
        for file in inside
        if len(file.parts) > class_at + 1
    ]
    loose = [file for file in inside if len(file.parts) <= class_at + 1 and _is_image(file)]
    _check_classes({image.label for image in found}, loose, params)
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
