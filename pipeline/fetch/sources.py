"""Open `fetch.source` as a folder, whatever kind of source it names."""

import re
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pipeline.common.download import download
from pipeline.common.errors import ParamsError, SourceError, one_line
from pipeline.common.files import digest
from pipeline.common.parallel import parallel_map
from pipeline.common.params import FetchParams, SyntheticParams
from pipeline.fetch.archives import SUFFIXES, is_archive, unpack
from pipeline.fetch.libraries import download_kaggle, write_torchvision
from pipeline.fetch.repositories import checkout
from scenes import DatasetSpec, generate

SYNTHETIC = "synthetic"
SUPPORTED = (
    f"a folder, an archive ({', '.join(SUFFIXES)}), https://…, git+https://…@revision#folder, "
    f"kaggle:owner/dataset, torchvision:NAME or {SYNTHETIC}"
)

# The tables that are written here have these columns, whatever `fetch` says.
DRAWN_LAYOUT = {
    "layout": "csv",
    "table": "",
    "image_column": "image_names",
    "label_column": "emergency_or_not",
}
TORCHVISION_LAYOUT = DRAWN_LAYOUT | {"image_column": "image", "label_column": "label"}


class Folders(NamedTuple):
    """Where a source may be put.

    Attributes:
        destination: The folder that fetch writes in the end; no source may contain it.
        workspace: A folder, not there yet, for what is drawn or unpacked; removed afterwards.
        cache: The folder for downloads; kept.
    """

    destination: Path
    workspace: Path
    cache: Path


class Opened(NamedTuple):
    """A source as a folder.

    Attributes:
        root: The folder.
        revision: What identifies this state of the source: a commit, a version, a hash; or empty.
        layout: Params of the layout that apply to this source, whatever `fetch` says.
        local: The folder or archive that the user names, where it is on this machine.
    """

    root: Path
    revision: str = ""
    layout: dict[str, str] | None = None
    local: Path | None = None


def open_source(params: FetchParams, synthetic: SyntheticParams, folders: Folders) -> Opened:
    """Draw, download, check out or unpack the source, as far as it is needed.

    Args:
        params: What to fetch.
        synthetic: How to draw images; used only where the source is `synthetic`.
        folders: Where to put things.

    Raises:
        ParamsError: The images that `synthetic` describes cannot be drawn.
        SourceError: The source is not found, unsupported or unsafe, or its hash is not the one
            that `fetch.sha256` says.
    """
    source, workspace = params.source, folders.workspace
    scheme = source.partition(":")[0]
    if source == SYNTHETIC:
        _refuse_hash(params, "which is drawn here")
        try:
            spec = DatasetSpec(**synthetic.model_dump())
            generate(spec, workspace, partial(parallel_map, label="generate"))
        except ValueError as error:
            raise ParamsError(f"synthetic: {error}") from None
        return Opened(workspace, layout=DRAWN_LAYOUT)
    if source.startswith(("https://", "http://")):
        unpack(download(source, params.sha256, folders.cache), workspace)
        return Opened(workspace, f"sha256:{params.sha256.lower()}")
    if scheme.startswith("git+"):
        _refuse_hash(params, "which a commit pins")
        content, commit = checkout(source, folders.cache)
        return Opened(_as_folder(content, source, workspace), commit)
    if scheme == "kaggle":
        _refuse_hash(params, "which is a folder")
        content, version = download_kaggle(source)
        return Opened(_as_folder(content, source, workspace), version)
    if scheme == "torchvision":
        _refuse_hash(params, "whose files torchvision checks")
        write_torchvision(source, workspace, folders.cache)
        return Opened(workspace, layout=TORCHVISION_LAYOUT)
    return _open_local(params, folders)


def has_scheme(source: str) -> bool:
    """Whether `source` begins with something like `https:` rather than being a path."""
    return re.match(r"[a-z+]{2,}:", source) is not None


def _open_local(params: FetchParams, folders: Folders) -> Opened:
    try:
        path = Path(params.source).expanduser()
        is_folder = path.is_dir()
    except (OSError, RuntimeError) as error:  # a name that is too long, or an unknown ~user
        raise SourceError(f"fetch.source: {params.source}: {one_line(error)}") from None
    if is_folder:
        _refuse_hash(params, "which is a folder")
        if folders.destination.resolve().is_relative_to(path.resolve()):
            raise SourceError(
                f"fetch.source: {path} contains {folders.destination}, which is written from it; "
                "move the images into a folder of their own"
            )
        if (path / ".dvcignore").exists():
            raise SourceError(
                f"fetch.source: {path} holds .dvcignore, and DVC watches no folder that does; give "
                f"the folder of images within it, or git+file://{path.resolve()} for what is "
                "committed there"
            )
        return Opened(path, local=path)
    if not is_archive(path) or has_scheme(params.source):
        raise SourceError(_unreadable(params.source, path))
    if not path.is_file():
        raise SourceError(f"fetch.source: {path} not found; check the path")
    if params.sha256:
        found = digest(path)
        if found != params.sha256.lower():
            raise SourceError(
                f"{path} has the SHA-256 {found}, not {params.sha256} as fetch.sha256 says; get "
                "the right file, or correct fetch.sha256 if you trust this one"
            )
    unpack(path, folders.workspace)
    revision = f"sha256:{params.sha256.lower()}" if params.sha256 else ""
    return Opened(folders.workspace, revision, local=path)


def _as_folder(content: Path, source: str, workspace: Path) -> Path:
    """Return a downloaded folder as it is, and a downloaded archive unpacked."""
    if content.is_dir():
        return content
    if not is_archive(content):
        raise SourceError(_unreadable(source, content))
    unpack(content, workspace)
    return workspace


def _refuse_hash(params: FetchParams, reason: str) -> None:
    if params.sha256:
        raise SourceError(
            f"fetch.sha256 is set, but is not checked for {params.source}, {reason}; set "
            'fetch.sha256 to ""'
        )


def _unreadable(source: str, path: Path) -> str:
    fault = "is not supported" if path.exists() or has_scheme(source) else "not found"
    return f"fetch.source: {source} {fault}; give {SUPPORTED}"
