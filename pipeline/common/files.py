"""Read regular files only, write files whole or not at all, and the same content as the same bytes.

Files and folders are written to a temporary sibling and renamed into place. A run that fails
removes the sibling. A run that is killed leaves `.<name>.<process>.partial`, which the next run
that writes the same file or folder removes.
"""

import csv
import errno
import glob
import hashlib
import io
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from pipeline.common.errors import BluelightError, SourceError

DIGITS = 6  # decimals in files that git tracks: further digits differ between processors
LARGEST = 2**30  # bytes of a file that is read into memory
LARGEST_CSV = 2**28  # bytes; a row for each of a million images takes a tenth of this


def read_regular(path: Path, largest: int = LARGEST) -> bytes:
    """Read a whole file that a user named, of at most `largest` bytes; links are followed.

    Reading a pipe or a device could wait for ever, or never come to an end.

    Raises:
        OSError: It cannot be read, is not a regular file, or is larger.
    """
    # Without O_NONBLOCK, opening a pipe waits for somebody to write to it.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as file:  # noqa: PTH123 - of a descriptor
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, "Is a folder", str(path))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(path))
        data = file.read(largest + 1)
    if len(data) > largest:
        raise OSError(errno.EFBIG, f"Larger than {largest:,} bytes", str(path))
    return data


def read_csv(path: Path, name: str) -> list[list[str]]:
    """Read a user's CSV file, called `name` in messages: its lines, header included, by fields.

    Raises:
        SourceError: It cannot be read, is too large, or is not UTF-8 or CSV.
    """
    try:
        text = read_regular(path, LARGEST_CSV).decode("utf-8-sig")
        return list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except OSError as error:
        raise SourceError(f"{name} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise SourceError(f"{name} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except csv.Error as error:
        raise SourceError(f"{name} is not a CSV file ({error}); save it again as CSV") from None


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would run a cell with this text as a formula."""
    return re.match(r"=|[-+@].*[^\w./ -]", text) is not None


def folders_below(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield a folder and all below it, with the sorted names of their files, except hidden ones.

    Links to folders are followed, but no folder is read twice: a link may lead back up.

    Raises:
        OSError: A folder cannot be read: its files must not vanish unnoticed.
    """

    def fail(error: OSError) -> None:
        raise error

    seen = set[tuple[int, int]]()
    for name, folders, files in os.walk(folder, onerror=fail, followlinks=True):
        status = Path(name).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(inner for inner in folders if not inner.startswith("."))
        yield Path(name), sorted(file for file in files if not file.startswith("."))


def files_below(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder, except hidden ones; see `folders_below`."""
    return (parent / name for parent, names in folders_below(folder) for name in names)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`, which replaces `path` only if the block succeeds.

    Destructive: a file or folder that is already there is removed then.
    """
    partial = _partial(path)
    try:
        partial.mkdir(parents=True)
        yield partial
        _remove(path)
        partial.rename(path)
    finally:
        _remove(partial)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path beside `path`; what is written there replaces `path` if the block succeeds."""
    partial = _partial(path)
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    finally:
        _remove(partial)


@contextmanager
def open_output(path: Path) -> Iterator[TextIO]:
    """Open a file that a user named for output, as UTF-8 text.

    A regular file appears whole or not at all; a link is followed and permissions are kept. A pipe
    or device is written directly.
    """
    if path.exists() and (not path.is_file() or str(path).startswith(("/dev/", "/proc/"))):
        with path.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        return
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    with atomic_file(target) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        if target.exists():
            partial.chmod(stat.S_IMODE(target.stat().st_mode))
        yield stream


def atomic_write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with line feeds on every system."""
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, data: object) -> None:
    """Write `data` as JSON: keys in their own order, indented by 2, a newline at the end.

    Raises:
        ValueError: A float is not finite, which JSON cannot express.
    """
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
    atomic_write_text(path, text + "\n")


def read_json(path: Path) -> Any:  # noqa: ANN401 - the caller knows what the file holds
    """Read what `write_json` wrote.

    Raises:
        BluelightError: The file is missing or is not JSON.
    """
    try:
        return json.loads(read_regular(path))
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


def is_running(process: int) -> bool:
    """Whether a process with this number exists; on Windows always true, as none can be asked."""
    if os.name == "nt":  # `os.kill` would end it
        return True
    try:
        os.kill(process, 0)  # sends nothing, but fails where there is no such process
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it is another user's
        return True
    return True


def _partial(path: Path) -> Path:
    """Return a temporary sibling of `path`, and remove those that killed processes left there.

    Each process has its own, so that two which write the same file do not mix.
    """
    stem = f".{path.name[:40]}"  # a name may have 255 bytes, and a letter four
    for old in path.parent.glob(f"{glob.escape(stem)}.*.partial"):
        number = old.name[len(stem) + 1 : -len(".partial")]
        if number.isdecimal() and not is_running(int(number)):
            _remove(old)
    partial = path.with_name(f"{stem}.{os.getpid()}.partial")
    _remove(partial)
    return partial


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
