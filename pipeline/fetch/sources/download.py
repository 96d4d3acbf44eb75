"""Download one file that its SHA-256 vouches for.

A transfer that breaks off goes on where it stopped, in this run or the next; whatever happens on
the way, a file takes its final place only with the bytes that were asked for.
"""

import hashlib
import time
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import requests
from urllib3.exceptions import HTTPError as TransportError

from pipeline.common.errors import SourceError
from pipeline.common.files import digest
from pipeline.common.parallel import progress_bar
from pipeline.fetch.archives import is_archive

WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds before each new attempt that follows one without progress
TIMEOUT = (10, 60)  # seconds to connect, and between two packets
CHUNK = 2**18  # bytes
# The bytes of the file itself: a position in compressed ones would be no place to go on from.
HEADERS = {"Accept-Encoding": "identity"}

OVERLOADED = 429
RANGE_NOT_SATISFIABLE = 416
PARTIAL_CONTENT = 206


class _Passing(Exception):  # noqa: N818 - no error yet: the next attempt may succeed
    """A fault that may be gone at the next attempt."""


def download(url: str, sha256: str, cache: Path, key: str = "fetch.sha256") -> Path:
    """Download `url`, or find it downloaded before.

    Args:
        url: http or https.
        sha256: Of the file, in hexadecimal. Where it is empty the file is downloaded and kept, and
            the error tells its hash.
        cache: The folder below which downloads are kept, whole and partial ones.
        key: Where params have the hash, as messages name it.

    Returns:
        Where the file is.

    Raises:
        SourceError: No hash was given, the file has another, it is not there, or the server cannot
            be reached or breaks off time and again. A file with a wrong hash is removed.
    """
    folder = cache / "downloads" / hashlib.sha256(url.encode()).hexdigest()[:16]
    path = folder / _file_name(url)
    try:
        if not _has(path, sha256):
            _download(url, path, sha256, key)
    except requests.RequestException as error:  # an OSError too, so before those of the disk
        raise SourceError(f"{url} cannot be downloaded ({_reason(error)})") from None
    except OSError as error:
        raise SourceError(
            f"{url} cannot be kept in {folder} ({error.strerror or error}); make room there"
        ) from None
    if not sha256:
        raise SourceError(
            f"{key} is empty, and {url} could change or be tampered with; if you trust what "
            f"was downloaded now, set {key} to {digest(path)}"
        )
    return path


def _file_name(url: str) -> str:
    """The last part of the address if it tells the kind of archive, else one that tells none."""
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    return name if is_archive(Path(name)) else "archive"


def _has(path: Path, sha256: str) -> bool:
    return path.is_file() and (not sha256 or digest(path) == sha256.lower())


def _download(url: str, path: Path, sha256: str, key: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.part")
    resumed = partial.exists()
    with requests.Session() as session:
        _transfer(session, url, partial)
        # The file may have changed on the server between the two halves: once more, in one go.
        if resumed and sha256 and digest(partial) != sha256.lower():
            partial.unlink()
            _transfer(session, url, partial)
    found = digest(partial)
    if sha256 and found != sha256.lower():
        partial.unlink()
        raise SourceError(
            f"{url} has the SHA-256 {found}, not {sha256} as {key} says; the download was "
            f"removed: ask the publisher why, and correct {key} only if you trust the new "
            "file"
        )
    partial.replace(path)


def _transfer(session: requests.Session, url: str, partial: Path) -> None:
    """Fill `partial`, in as many attempts as it takes while they get further."""
    waits = iter(WAITS)
    while True:
        before = _size(partial)
        try:
            return _receive(session, url, partial)
        except (_Passing, TransportError, requests.ConnectionError, requests.Timeout) as error:
            if _size(partial) > before:
                waits = iter(WAITS)
            wait = next(waits, None)
            if wait is None or isinstance(error, requests.exceptions.SSLError):
                raise SourceError(_given_up(url, error, partial)) from None
        time.sleep(wait)


def _receive(session: requests.Session, url: str, partial: Path) -> None:
    """One attempt: what is missing where the server can start in the middle, else all of it."""
    offset = _size(partial)
    headers = HEADERS | ({"Range": f"bytes={offset}-"} if offset else {})
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == RANGE_NOT_SATISFIABLE:
            return _check_complete(response, partial)
        _check_status(url, response)
        start = offset if _starts_at(response, offset) else 0
        length = response.headers.get("Content-Length")
        with (
            partial.open("ab" if start else "wb") as file,
            progress_bar("download", start + int(length) if length else None, "bytes") as show,
        ):
            for chunk in response.raw.stream(CHUNK, decode_content=False):
                file.write(chunk)
                show(file.tell())
    return None


def _check_complete(response: requests.Response, partial: Path) -> None:
    """Tell a file that is whole already from one that does not belong to the server's."""
    if response.headers.get("Content-Range", "").endswith(f"/{_size(partial)}"):
        return
    partial.unlink()
    raise _Passing("the file on the server has changed")


def _check_status(url: str, response: requests.Response) -> None:
    status = f"{response.status_code} {response.reason}".strip()
    if response.status_code == OVERLOADED or response.status_code >= 500:
        raise _Passing(f"the server answers {status}")
    if response.status_code >= 400:
        raise SourceError(
            f"{url} cannot be downloaded: the server answers {status}; check the address in "
            "fetch.source, and whether a browser that is not logged in can open it"
        )


def _starts_at(response: requests.Response, offset: int) -> bool:
    told = response.headers.get("Content-Range", "")
    return response.status_code == PARTIAL_CONTENT and told.startswith(f"bytes {offset}-")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _given_up(url: str, error: Exception, partial: Path) -> str:
    kept = f"; {_size(partial):,} bytes are kept, and the next run goes on from there"
    return (
        f"{url} cannot be downloaded ({_reason(error)}; no better in {len(WAITS)} more attempts); "
        f"check the network and try again{kept if _size(partial) else ''}"
    )


def _reason(error: Exception) -> str:
    """What lies at the bottom of nested errors, in one line."""
    cause = getattr(error, "reason", None) or (error.args[0] if error.args else None)
    if isinstance(cause, Exception):
        return _reason(cause)
    text = " ".join(str(error).split())
    return text.rpartition(">: ")[2].rpartition("): ")[2] or type(error).__name__
