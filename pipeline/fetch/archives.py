"""Unpack a .zip or .tar archive that nobody vouches for.

Nothing is written outside the given folder, no link is made that leads out of it, and an archive
that would grow beyond measure is refused before its content reaches the disk.
"""

import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, cast

from pipeline.common.errors import SourceError
from pipeline.common.parallel import progress_bar

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
SUFFIXES = (".zip", *TAR_SUFFIXES)

# Photos hardly shrink, uncompressed formats by a factor of a few, bombs by a thousand.
LARGEST_RATIO = 100
ALWAYS_ALLOWED = 64 * 2**20  # bytes

ENCRYPTED = 0x1

CORRUPT = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
)


def is_archive(path: Path) -> bool:
    """Whether the name says that `path` is an archive which `unpack` reads."""
    return path.name.lower().endswith(SUFFIXES)


def unpack(archive: Path, destination: Path) -> None:
    """Unpack `archive` into the folder `destination`, which is made.

    Raises:
        SourceError: The archive is corrupt, truncated, encrypted or a decompression bomb, does not
            fit on the disk, or has a member that would be written outside `destination`.
    """
    destination.mkdir(parents=True)
    opener = _unpack_zip if _is_zip(archive) else _unpack_tar
    try:
        opener(archive, destination)
    except CORRUPT as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise SourceError(
            f"{archive} is corrupt or truncated ({reason}); download or make it again"
        ) from None
    except (NotImplementedError, RuntimeError, ValueError) as error:
        raise SourceError(
            f"{archive} cannot be unpacked ({error}); unpack it yourself and set fetch.source to "
            "the folder"
        ) from None
    except OSError as error:
        raise SourceError(f"{archive} cannot be unpacked ({error})") from None


def _is_zip(archive: Path) -> bool:
    """By its name; by its content where a download has no telling name."""
    return archive.name.lower().endswith(".zip") or (
        not is_archive(archive) and zipfile.is_zipfile(archive)
    )


def _unpack_zip(archive: Path, destination: Path) -> None:
    with zipfile.ZipFile(archive) as zipped:
        members = zipped.infolist()
        _check_names(archive, (member.filename for member in members))
        _check_size(archive, sum(member.file_size for member in members), destination)
        with progress_bar("unpack", len(members)) as show:
            for done, member in enumerate(members, start=1):
                _unpack_zip_member(archive, zipped, member, destination)
                show(done)


def _unpack_zip_member(
    archive: Path, zipped: zipfile.ZipFile, member: zipfile.ZipInfo, destination: Path
) -> None:
    if member.flag_bits & ENCRYPTED:
        raise SourceError(
            f"{archive} is encrypted; unpack it with its password and set fetch.source to the "
            "folder"
        )
    if stat.S_ISLNK(member.external_attr >> 16):
        raise SourceError(_unsafe(archive, member.filename, "is a link"))
    source = None if member.is_dir() else zipped.open(member)
    _write(source, destination / member.filename)


def _unpack_tar(archive: Path, destination: Path) -> None:
    total = 0
    # Member by member: of a compressed archive the sizes become known only on the way.
    with tarfile.open(archive) as tar:
        names = set[str]()
        for member in tar:
            _check_names(archive, [member.name], names)
            total += member.size
            _check_size(archive, total, destination)
            _unpack_tar_member(archive, tar, member, destination)
        _check_end(tar)


def _unpack_tar_member(
    archive: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, destination: Path
) -> None:
    if not (member.isfile() or member.isdir()):
        raise SourceError(_unsafe(archive, member.name, "is a link or device"))
    # Not `tar.extract`: its safe mode came with Python 3.11.4, and it sets owners and permissions.
    _write(tar.extractfile(member), destination / member.name)


def _write(source: IO[bytes] | None, target: Path) -> None:
    """Write a member's bytes to a new file; None makes a folder."""
    if source is None:
        target.mkdir(parents=True, exist_ok=True)
        return
    with source:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            shutil.copyfileobj(source, file)


def _check_end(tar: tarfile.TarFile) -> None:
    """Expect the empty block that ends an archive: `tarfile` takes damage for its end as well."""
    stream = cast("IO[bytes]", tar.fileobj)
    stream.seek(tar.offset)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("its end is missing")
    stream.read(2**20)  # of padding: the checksum of a compressed archive comes after it


def _check_names(archive: Path, names: Iterable[str], seen: set[str] | None = None) -> None:
    seen = set() if seen is None else seen
    for name in names:
        if _leads_out(name):
            raise SourceError(_unsafe(archive, name, "leads out of the folder"))
        if name in seen and not name.endswith("/"):
            raise SourceError(f"{archive} holds {name} twice; keep one of them")
        seen.add(name)


def _leads_out(name: str) -> bool:
    windows = PureWindowsPath(name)
    return bool(windows.anchor) or ".." in windows.parts or PurePosixPath(name).is_absolute()


def _check_size(archive: Path, unpacked: int, destination: Path) -> None:
    packed = archive.stat().st_size
    if unpacked > max(ALWAYS_ALLOWED, packed * LARGEST_RATIO):
        raise SourceError(
            f"{archive} looks like a decompression bomb: its {packed:,} bytes unpack to "
            f"{unpacked:,} or more; if you trust it, unpack it yourself and set fetch.source to "
            "the folder"
        )
    if unpacked > shutil.disk_usage(destination).free:
        raise SourceError(
            f"{archive} unpacks to {unpacked:,} bytes or more, which the disk of {destination} "
            "has not free; make room"
        )


def _unsafe(archive: Path, name: str, fault: str) -> str:
    return f"{archive}: member {name!r} {fault}; remove it and pack the archive again"
