"""Fetch a dataset from Kaggle, through its own library."""

import re
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from pipeline.common.errors import SourceError

PREFIX = "kaggle:"
FORM = re.compile(r"[\w.-]+/[\w.-]+(/versions/[0-9]+)?")


class Dataset(NamedTuple):
    """A dataset on disk, and its version where Kaggle tells it."""

    folder: Path
    version: str


def download_dataset(source: str) -> Dataset:
    """Fetch a dataset, or find it in kagglehub's own cache.

    Args:
        source: `kaggle:owner/dataset`, the newest version, or `kaggle:owner/dataset/versions/3`.

    Raises:
        SourceError: kagglehub is not installed, or cannot fetch the dataset.
    """
    handle = source.removeprefix(PREFIX)
    if not FORM.fullmatch(handle):
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
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SourceError(
            f"{source} cannot be fetched ({reason}); check the name, and log in with "
            "`kagglehub.login()` where the dataset asks for it"
        ) from error
    return Dataset(folder, folder.name if folder.parent.name == "versions" else "")
