"""Unpack a .zip or .tar archive from an untrusted publisher.

Nothing is written outside the given folder, no link or device is created, and a decompression bomb
is refused before its content reaches the disk.
"""

import bz2
import gzip
import io
import lzma
import math
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from pipeline.common.errors import SourceError
from pipeline.common.parallel import progress_bar

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
SUFFIXES = (".zip", *TAR_SUFFIXES)

# Photos hardly shrink, uncompressed formats by a factor of a few, bombs by a thousand.
LARGEST_RATIO = 100
ALWAYS_ALLOWED = 64 * 2**20  # bytes

LARGEST_HEADER = 2**20  # bytes: long names and pax headers have a few hundred
# How to decompress a .tar, by its first bytes.
OPENERS: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}

ENCRYPTED = 0x1
CORRUPT = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
)
UNPACK_YOURSELF = "unpack it yourself and set fetch.source to the folder"

# Name, bytes, why it is refused (or nothing), and what opens its content: None for a folder.
Member = tuple[str, int, str, Callable[[], Any] | None]


def is_archive(path: Path) -> bool:
    """Whether the name of `path` is that of an archive which `unpack` reads."""
    return path.name.lower().endswith(SUFFIXES)


def unpack(archive: Path, destination: Path) -> None:
    """Unpack `archive` into the folder `destination`, which is created.

    Raises:
        SourceError: The archive is corrupt, truncated, encrypted or a decompression bomb, does not
            fit on the disk, or has a member that would be written outside `destination`.
    """
    destination.mkdir(parents=True)
    # A download may have a name without a suffix: then the content decides.
    is_zip = archive.name.lower().endswith(".zip") or (
        not is_archive(archive) and zipfile.is_zipfile(archive)
    )
    members = _zip_members(archive) if is_zip else _tar_members(archive)
    total, names = 0, set[str]()
    try:
        with progress_bar("unpack", None) as show:
            for name, size, fault, content_of in members:
                _check_name(archive, name, fault, names)
                names.add(name)
                total += size
                _check_size(archive, total, destination)
                target = destination / name
                if content_of is None:
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with content_of() as content, target.open("xb") as file:
                    shutil.copyfileobj(content, file)
                show(len(names))
    except CORRUPT as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise SourceError(
            f"{archive} is corrupt or truncated ({reason}); download or pack it again"
        ) from None
    except (NotImplementedError, RuntimeError, ValueError) as error:
        raise SourceError(f"{archive} cannot be unpacked ({error}); {UNPACK_YOURSELF}") from None
    except OSError as error:
        raise SourceError(f"{archive} cannot be unpacked ({error})") from None


def _check_name(archive: Path, name: str, fault: str, seen: Collection[str]) -> None:
    windows = PureWindowsPath(name)
    if windows.anchor or ".." in windows.parts or PurePosixPath(name).is_absolute():
        fault = "leads out of the folder"
    if fault:
        raise SourceError(
            f"{archive}: member {name!r} {fault}; remove it and pack the archive again"
        )
    if name in seen and not name.endswith("/"):
        raise SourceError(f"{archive} holds {name} twice; keep one of them")


def _check_size(archive: Path, total: int, destination: Path) -> None:
    packed = archive.stat().st_size
    if total > max(ALWAYS_ALLOWED, packed * LARGEST_RATIO):
        raise SourceError(
            f"{archive} looks like a decompression bomb: its {packed:,} bytes unpack to {total:,} "
            f"or more; if you trust it, {UNPACK_YOURSELF}"
        )
    if total > shutil.disk_usage(destination).free:
        raise SourceError(
            f"{archive} unpacks to {total:,} bytes or more, and the disk of {destination} has less "
            "space than that; free some"
        )


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as zipped:
        for member in zipped.infolist():
            if member.flag_bits & ENCRYPTED:
                raise SourceError(
                    f"{archive} is encrypted; unpack it with its password and set fetch.source to "
                    "the folder"
                )
            fault = "is a link" if stat.S_ISLNK(member.external_attr >> 16) else ""
            content_of = None if member.is_dir() else partial(zipped.open, member)
            yield member.filename, member.file_size, fault, content_of


class _BoundedReads(io.BufferedReader):
    """A stream whose reads may be bounded: a header can claim any length, and is held in memory."""

    budget: float = math.inf

    def read(self, size: int | None = -1, /) -> bytes:
        """Read `size` bytes, within the budget."""
        self.budget -= math.inf if size is None or size < 0 else size
        if self.budget < 0:
            raise tarfile.ReadError("a header is too large")
        return super().read(size)


def _tar_members(archive: Path) -> Iterator[Member]:
    with archive.open("rb") as file:
        magic = file.read(6)
    opener = next((open_ for start, open_ in OPENERS.items() if magic.startswith(start)), open)
    with opener(archive, "rb") as packed, _BoundedReads(packed) as stream:
        stream.budget = LARGEST_HEADER
        tar = tarfile.TarFile(fileobj=stream)
        while member := tar.next():
            stream.budget = math.inf
            tar.members.clear()  # type: ignore[attr-defined] # it would keep all in memory
            if member.size < 0:
                raise tarfile.ReadError("a size is negative")
            fault = "" if member.isfile() or member.isdir() else "is a link or device"
            # Not `tar.extract`, which sets owners and permissions as well.
            content_of = None if member.isdir() else partial(tar.extractfile, member)
            yield member.name, member.size + tarfile.BLOCKSIZE, fault, content_of
            stream.budget = LARGEST_HEADER
        # `tarfile` takes damage for the end of the archive, so the empty block there is checked.
        stream.budget = math.inf
        stream.seek(tar.offset)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("its end is missing")
        stream.read(2**20)  # padding: the checksum of a compressed archive comes after it
