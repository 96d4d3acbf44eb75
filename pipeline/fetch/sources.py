"""Open `fetch.source` as a folder, for every kind of source."""

import contextlib
import io
import re
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from pipeline.common.datasets import write_table
from pipeline.common.download import download
from pipeline.common.errors import ParamsError, SourceError, one_line
from pipeline.common.files import digest
from pipeline.common.parallel import parallel_map, progress_bar
from pipeline.common.params import FetchParams, SyntheticParams
from pipeline.fetch.archives import SUFFIXES, is_archive, unpack
from pipeline.fetch.repositories import checkout
from scenes import DatasetSpec, generate

SYNTHETIC = "synthetic"
SUPPORTED = (
    f"a folder, an archive ({', '.join(SUFFIXES)}), https://…, git+https://…@revision#folder, "
    f"kaggle:owner/dataset, torchvision:NAME or {SYNTHETIC}"
)

# The tables that are written here have these columns, not those that `fetch` names.
TABLE = {"layout": "csv", "table": ""}
DRAWN_LAYOUT = TABLE | {"image_column": "image_names", "label_column": "emergency_or_not"}
TORCHVISION_LAYOUT = TABLE | {"image_column": "image", "label_column": "label"}

KAGGLE = "kaggle:"
KAGGLE_NAME = re.compile(r"[\w.-]+/[\w.-]+(/versions/[0-9]+)?")

TORCHVISION = "torchvision:"
_FLAG = {"train": {"train": True}, "test": {"train": False}}
_TWO = {"train": {"split": "train"}, "test": {"split": "test"}}
_THREE = {**_TWO, "validation": {"split": "val"}}

# The arguments that select each of the publisher's splits, by torchvision's class.
DATASETS: dict[str, dict[str, dict[str, Any]]] = {
    **dict.fromkeys(("CIFAR10", "CIFAR100", "FashionMNIST", "KMNIST", "MNIST", "USPS"), _FLAG),
    **dict.fromkeys(("Food101", "GTSRB", "STL10", "SVHN"), _TWO),
    **dict.fromkeys(("DTD", "FGVCAircraft", "Flowers102", "PCAM", "RenderedSST2"), _THREE),
    "Country211": {**_TWO, "validation": {"split": "valid"}},
    "EuroSAT": {"": {}},
    "Imagenette": {"train": {"split": "train"}, "validation": {"split": "val"}},
    "OxfordIIITPet": {"train": {"split": "trainval"}, "test": {"split": "test"}},
}


class Opened(NamedTuple):
    """A source as a folder."""

    root: Path
    revision: str = ""  # what identifies this state of the source: a commit, a version, a hash
    layout: dict[str, str] | None = None  # params of `fetch` that this source needs
    local: Path | None = None  # the folder or archive that was read, if it is on this machine


def open_source(
    params: FetchParams,
    synthetic: SyntheticParams,
    *,
    destination: Path,
    workspace: Path,
    cache: Path,
) -> Opened:
    """Draw, download, check out or unpack the source, as far as it is needed.

    Args:
        params: What to fetch.
        synthetic: How to draw images; used only where the source is `synthetic`.
        destination: The folder that fetch writes in the end; no source may contain it.
        workspace: A folder, not there yet, for what is drawn or unpacked; removed afterwards.
        cache: The folder for downloads; kept.

    Raises:
        ParamsError: The images that `synthetic` describes cannot be drawn.
        SourceError: The source is not found, unsupported or unsafe, or its hash is not the one
            that `fetch.sha256` says.
    """
    source = params.source
    if source.startswith(("https://", "http://")):
        unpack(download(source, params.sha256, cache), workspace)
        return Opened(workspace, f"sha256:{params.sha256.lower()}")
    if source == SYNTHETIC:
        _refuse_hash(params, "which is drawn here")
        try:
            spec = DatasetSpec(**synthetic.model_dump())
            generate(spec, workspace, partial(parallel_map, label="generate"))
        except ValueError as error:
            raise ParamsError(f"synthetic: {error}") from None
        return Opened(workspace, layout=DRAWN_LAYOUT)
    if source.startswith(TORCHVISION):
        _refuse_hash(params, "whose files torchvision checks")
        _write_torchvision(source, workspace, cache)
        return Opened(workspace, layout=TORCHVISION_LAYOUT)
    if source.startswith("git+"):
        _refuse_hash(params, "which a commit pins")
        content, revision = checkout(source, cache)
    elif source.startswith(KAGGLE):
        _refuse_hash(params, "which is a folder")
        content, revision = _download_kaggle(source)
    else:
        return _open_local(params, destination, workspace)
    if content.is_dir():
        return Opened(content, revision)
    if not is_archive(content):
        raise SourceError(_unreadable(source, content))
    unpack(content, workspace)
    return Opened(workspace, revision)


def _has_scheme(source: str) -> bool:
    """Whether `source` begins with something like `https:` rather than being a path."""
    return re.match(r"[a-z+]{2,}:", source) is not None


def _open_local(params: FetchParams, destination: Path, workspace: Path) -> Opened:
    try:
        path = Path(params.source).expanduser()
        is_folder = path.is_dir()
    except (OSError, RuntimeError) as error:  # a name that is too long, or an unknown ~user
        raise SourceError(f"fetch.source: {params.source}: {one_line(error)}") from None
    if is_folder:
        _refuse_hash(params, "which is a folder")
        if destination.resolve().is_relative_to(path.resolve()):
            raise SourceError(
                f"fetch.source: {path} contains {destination}, which is written from it; "
                "move the images into a folder of their own"
            )
        if (path / ".dvcignore").exists():
            raise SourceError(
                f"fetch.source: {path} holds .dvcignore, and DVC watches no folder that does; give "
                f"the folder of images within it, or git+file://{path.resolve()} for what is "
                "committed there"
            )
        return Opened(path, local=path)
    if not is_archive(path) or _has_scheme(params.source):
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
    unpack(path, workspace)
    revision = f"sha256:{params.sha256.lower()}" if params.sha256 else ""
    return Opened(workspace, revision, local=path)


def _refuse_hash(params: FetchParams, reason: str) -> None:
    if params.sha256:
        raise SourceError(
            f"fetch.sha256 is set, but is not checked for {params.source}, {reason}; set "
            'fetch.sha256 to ""'
        )


def _unreadable(source: str, path: Path) -> str:
    fault = "is not supported" if path.exists() or _has_scheme(source) else "not found"
    return f"fetch.source: {source} {fault}; give {SUPPORTED}"


# ---- datasets that other libraries download


def _download_kaggle(source: str) -> tuple[Path, str]:
    """Return the dataset's folder in kagglehub's cache, and its version where that is known."""
    handle = source.removeprefix(KAGGLE)
    if not KAGGLE_NAME.fullmatch(handle):
        raise SourceError(
            f"fetch.source: {source} is no dataset; write kaggle:owner/dataset, or "
            "kaggle:owner/dataset/versions/3"
        )
    try:
        kagglehub = import_module("kagglehub")
    except ModuleNotFoundError:
        raise SourceError(
            f"fetch.source: {source} needs kagglehub; install it with `pip install 'kagglehub>=1'`"
        ) from None
    try:
        folder = Path(kagglehub.dataset_download(handle))
    except Exception as error:  # its errors have no common family
        raise SourceError(
            f"{source} cannot be fetched ({one_line(error)}); check the name, and log in with "
            "`kagglehub.login()` where the dataset asks for it"
        ) from error
    return folder, folder.name if folder.parent.name == "versions" else ""


def _write_torchvision(source: str, destination: Path, cache: Path) -> None:
    """Write a dataset of torchvision as `images/<split>/<number>.png` and `labels.csv`."""
    name = source.removeprefix(TORCHVISION)
    if name not in DATASETS:
        raise SourceError(
            f"fetch.source: {source} is not known; torchvision's sets are {', '.join(DATASETS)}"
        )
    root = cache / "torchvision"
    root.mkdir(parents=True, exist_ok=True)
    # Imported here, because only this source needs torch, which takes seconds to import.
    from torchvision import datasets  # noqa: PLC0415

    open_split = partial(getattr(datasets, name), str(root), download=True)
    try:
        # torchvision reports its progress on stdout, even where that is no terminal.
        with contextlib.redirect_stdout(io.StringIO()):
            splits = {split: open_split(**options) for split, options in DATASETS[name].items()}
    except (RuntimeError, OSError) as error:
        raise SourceError(
            f"{source} cannot be downloaded ({one_line(error)}); check the network, or put "
            f"torchvision's files into {root}"
        ) from None
    rows = []
    with progress_bar("write images", sum(map(len, splits.values()))) as show:
        for split, dataset in splits.items():
            (destination / "images" / split).mkdir(parents=True)
            names = getattr(dataset, "classes", None)
            for index in range(len(dataset)):
                picture, label = dataset[index]
                image = f"{split}/{index:06}.png".removeprefix("/")
                picture.save(destination / "images" / image)
                rows.append((image, str(names[label] if names else label), split))
                show(len(rows))
    table = pd.DataFrame(rows, columns=["image", "label", "split"])
    write_table(destination / "labels.csv", table)
