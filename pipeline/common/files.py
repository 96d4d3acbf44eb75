"""Write files whole or not at all, and the same content as the same bytes.

Files and folders are written to a temporary sibling and renamed into place. A run that fails
removes the sibling; a run that is killed leaves `.<name>.partial`, which the next run removes.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.common.errors import BluelightError

DIGITS = 6  # decimals in files that git tracks: further digits differ between processors


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Fill a folder that appears at `path` only if the block succeeds.

    Destructive: a file or folder that is already at `path` is replaced then.

    Args:
        path: The folder's final place; its parents are made.

    Yields:
        An empty temporary folder beside `path`, to be filled.
    """
    partial = _partial(path)
    partial.mkdir(parents=True)
    try:
        yield partial
        _remove(path)
        partial.rename(path)
    finally:
        _remove(partial)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Write a file that appears at `path`, replacing what is there, only if the block succeeds.

    Args:
        path: The file's final place; its parents are made.

    Yields:
        A path beside `path` at which to write.
    """
    partial = _partial(path)
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        partial.replace(path)
    finally:
        _remove(partial)


def atomic_write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with line feeds on every system."""
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, data: object) -> None:
    """Write `data` as JSON: keys in their own order, indented by 2, a newline at the end.

    Args:
        path: The file.
        data: Anything `json` takes. Floats are written with the digits that identify them.

    Raises:
        ValueError: A float is not finite; JSON has no word for it.
    """
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
    atomic_write_text(path, text + "\n")


def read_json(path: Path) -> Any:  # noqa: ANN401 - the caller knows what the file holds
    """Read what `write_json` wrote.

    Raises:
        BluelightError: The file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BluelightError(f"{path} not found; `dvc repro` makes it") from None
    except ValueError as error:
        raise BluelightError(
            f"{path} is damaged ({error}); delete it and run `dvc repro`"
        ) from None


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def rounded(data: Any) -> Any:  # noqa: ANN401 - any nesting of mappings, lists and scalars
    """Return `data` with every float in it rounded to `DIGITS` decimals."""
    if isinstance(data, Mapping):
        return {key: rounded(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [rounded(value) for value in data]
    return round(data, DIGITS) if isinstance(data, float) else data


def flatten(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested mapping as one level: `{"a": {"b": 1}}` becomes `{"a.b": 1}`."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _partial(path: Path) -> Path:
    """The temporary sibling of `path`, cleared of what a killed run left there."""
    partial = path.with_name(f".{path.name}.partial")
    _remove(partial)
    return partial


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
