"""`fetch.source` as a folder, whatever kind of place it names."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from pipeline.common.errors import ParamsError, SourceError
from pipeline.common.files import digest
from pipeline.common.parallel import parallel_map
from pipeline.common.params import FetchParams, SyntheticParams
from pipeline.fetch.archives import SUFFIXES, is_archive, unpack

SYNTHETIC = "synthetic"
SYNTHETIC_LAYOUT = {
    "layout": "csv",
    "table": "",
    "image_column": "image_names",
    "label_column": "emergency_or_not",
}
TORCHVISION_LAYOUT = {
    "layout": "csv",
    "table": "",
    "image_column": "image",
    "label_column": "label",
}
AS_GIVEN: Mapping[str, str] = MappingProxyType({})

SUPPORTED = (
    f"a folder, an archive ({', '.join(SUFFIXES)}), https://…, git+https://…@revision#folder, "
    f"kaggle:owner/dataset, torchvision:NAME or {SYNTHETIC}"
)


class Place(NamedTuple):
    """Where a source may be put.

    Attributes:
        destination: The folder that fetch writes in the end; no source may lie around it.
        workspace: A folder, not there yet, for what is generated or unpacked; removed afterwards.
        cache: The folder for what is downloaded; kept.
    """

    destination: Path
    workspace: Path
    cache: Path


class Opened(NamedTuple):
    """A source as a folder.

    Attributes:
        root: The folder.
        revision: What identifies this state of the source: a commit, a version, a hash; or empty.
        layout: Params of the layout that hold for this source whatever `fetch` says.
        local: The folder or archive that the user names, where it lies on this machine.
    """

    root: Path
    revision: str = ""
    layout: Mapping[str, str] = AS_GIVEN
    local: Path | None = None


def open_source(params: FetchParams, synthetic: SyntheticParams, place: Place) -> Opened:
    """Generate, download, check out or unpack the source, as far as it is needed.

    Args:
        params: What to fetch.
        synthetic: How to generate images; used only where the source is `synthetic`.
        place: Where to put things.

    Raises:
        SourceError: The source is not found, unsupported or unsafe, or its hash is not the one
            that `fetch.sha256` says.
    """
    if params.source == SYNTHETIC:
        opened = _generate(params, synthetic, place)
    elif params.source.startswith(("https://", "http://")):
        opened = _open_web(params, place)
    else:
        opened = _open_named(params, place)
    return opened


def has_scheme(source: str) -> bool:
    """Whether `source` begins with something like `https:` rather than being a path."""
    return re.match(r"[a-z+]{2,}:", source) is not None


def _open_named(params: FetchParams, place: Place) -> Opened:
    scheme = params.source.partition(":")[0]
    openers = {"kaggle": _open_kaggle, "torchvision": _open_torchvision}
    opener = _open_repository if scheme.startswith("git+") else openers.get(scheme, _open_local)
    return opener(params, place)


def _generate(params: FetchParams, synthetic: SyntheticParams, place: Place) -> Opened:
    # Here, so that reading a source of one's own does not import the generator.
    from scenes import DatasetSpec, generate  # noqa: PLC0415

    _refuse_hash(params, "which is drawn here")
    try:
        draw = partial(parallel_map, label="generate")
        generate(DatasetSpec(**synthetic.model_dump()), place.workspace, draw)
    except ValueError as error:
        raise ParamsError(f"synthetic: {error}") from None
    return Opened(place.workspace, layout=SYNTHETIC_LAYOUT)


def _open_web(params: FetchParams, place: Place) -> Opened:
    # Each way into the world is imported where it is taken: a stage pays only for what it uses.
    from pipeline.fetch.sources.download import download  # noqa: PLC0415

    archive = download(params.source, params.sha256, place.cache)
    unpack(archive, place.workspace)
    return Opened(place.workspace, f"sha256:{params.sha256.lower()}")


def _open_repository(params: FetchParams, place: Place) -> Opened:
    from pipeline.fetch.sources.repositories import checkout  # noqa: PLC0415

    _refuse_hash(params, "which a commit pins")
    content, commit = checkout(params.source, place.cache)
    return Opened(_as_folder(content, params, place), commit)


def _open_kaggle(params: FetchParams, place: Place) -> Opened:
    from pipeline.fetch.sources.kaggle import download_dataset  # noqa: PLC0415

    _refuse_hash(params, "which is a folder")
    folder, version = download_dataset(params.source)
    return Opened(_as_folder(folder, params, place), version)


def _open_torchvision(params: FetchParams, place: Place) -> Opened:
    from pipeline.fetch.sources.torchvision import write_dataset  # noqa: PLC0415

    _refuse_hash(params, "whose files torchvision checks")
    write_dataset(params.source, place.workspace, place.cache)
    return Opened(place.workspace, layout=TORCHVISION_LAYOUT)


def _open_local(params: FetchParams, place: Place) -> Opened:
    source = Path(params.source).expanduser()
    if source.is_dir():
        _refuse_hash(params, "which is a folder")
        _check_apart(source, place.destination)
        _check_watchable(source)
        return Opened(source, local=source)
    if not is_archive(source) or has_scheme(params.source):
        raise SourceError(_unreadable(params.source, source))
    if not source.is_file():
        raise SourceError(f"fetch.source: {source} not found; check the path")
    _check_hash(source, params.sha256)
    unpack(source, place.workspace)
    revision = f"sha256:{params.sha256.lower()}" if params.sha256 else ""
    return Opened(place.workspace, revision, local=source)


def _as_folder(content: Path, params: FetchParams, place: Place) -> Path:
    if content.is_dir():
        return content
    if not is_archive(content):
        raise SourceError(_unreadable(params.source, content))
    unpack(content, place.workspace)
    return place.workspace


def _check_hash(archive: Path, sha256: str) -> None:
    found = digest(archive)
    if sha256 and found != sha256.lower():
        raise SourceError(
            f"{archive} has the SHA-256 {found}, not {sha256} as fetch.sha256 says; get the right "
            "file, or correct fetch.sha256 if you trust this one"
        )


def _refuse_hash(params: FetchParams, reason: str) -> None:
    if params.sha256:
        raise SourceError(
            f"fetch.sha256 is set, but is not checked for {params.source}, {reason}; set "
            'fetch.sha256 to ""'
        )


def _unreadable(source: str, path: Path) -> str:
    fault = "is not supported" if path.exists() or has_scheme(source) else "not found"
    return f"fetch.source: {source} {fault}; give {SUPPORTED}"


def _check_apart(source: Path, destination: Path) -> None:
    if destination.resolve().is_relative_to(source.resolve()):
        raise SourceError(
            f"fetch.source: {source} contains {destination}, which is written from it; move the "
            "images into a folder of their own"
        )


def _check_watchable(folder: Path) -> None:
    if (folder / ".dvcignore").exists():
        raise SourceError(
            f"fetch.source: {folder} holds .dvcignore, and DVC watches no folder that does; give "
            f"the folder of images within it, or git+file://{folder.resolve()} for what is "
            "committed there"
        )
