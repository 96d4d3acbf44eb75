"""Download one file and check its SHA-256.

An interrupted transfer continues where it stopped, in this run or the next. Whatever happens on the
way, a file takes its final place only with the bytes that were asked for.
"""

import hashlib
import re
import time
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import requests
from urllib3.exceptions import HTTPError as TransportError

from pipeline.common.errors import SourceError
from pipeline.common.files import digest
from pipeline.common.parallel import progress_bar

WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds before each retry; an attempt with progress starts over
TIMEOUT = (10, 60)  # seconds to connect, and between two packets
CHUNK = 2**18  # bytes
# The bytes of the file itself: a transfer cannot continue at a position in compressed ones.
HEADERS = {"Accept-Encoding": "identity"}


class _Transient(Exception):  # noqa: N818 - not an error yet: the next attempt may succeed
    """A fault that may be gone at the next attempt."""


def download(url: str, sha256: str, cache: Path, key: str = "fetch.sha256") -> Path:
    """Download `url`, or find it downloaded before; return the path of the file.

    Args:
        url: http or https.
        sha256: Of the file, in hexadecimal. Where it is empty, the file is downloaded and kept,
            and the error names its hash.
        cache: The folder below which downloads are kept, complete and partial ones.
        key: The parameter that holds the hash, as messages name it.

    Raises:
        SourceError: No hash was given, the file has another one, it does not exist, or the server
            cannot be reached or keeps breaking off. A file with a wrong hash is removed.
    """
    folder = cache / "downloads" / hashlib.sha256(url.encode()).hexdigest()[:16]
    path = folder / _file_name(url)
    try:
        if not path.is_file() or (sha256 and digest(path) != sha256.lower()):
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
    """Return the last part of the address if that is a plain name with a suffix, else `archive`."""
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    return name if re.fullmatch(r"\w[\w.-]{0,100}\.\w{1,9}", name, re.ASCII) else "archive"


def _download(url: str, path: Path, sha256: str, key: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.part")
    resumed = partial.exists()
    with requests.Session() as session:
        _transfer(session, url, partial)
        # The file may have changed on the server between the two parts: try once more in one go.
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
    """Fill `partial`, in as many attempts as it takes as long as they make progress."""
    waits = iter(WAITS)
    while True:
        before = _size(partial)
        try:
            return _receive(session, url, partial)
        except (_Transient, TransportError, requests.ConnectionError, requests.Timeout) as error:
            if _size(partial) > before:
                waits = iter(WAITS)
            wait = next(waits, None)
            if wait is None or isinstance(error, requests.exceptions.SSLError):
                size = _size(partial)
                kept = f"; {size:,} bytes are kept, and the next run continues from there"
                raise SourceError(
                    f"{url} cannot be downloaded ({_reason(error)}; {len(WAITS)} more attempts did "
                    f"not help); check the network and try again{kept if size else ''}"
                ) from None
        time.sleep(wait)


def _receive(session: requests.Session, url: str, partial: Path) -> None:
    """Make one attempt: get the missing part if the server can start there, else the whole file."""
    offset = _size(partial)
    headers = HEADERS | ({"Range": f"bytes={offset}-"} if offset else {})
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        span = response.headers.get("Content-Range", "")
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            if span.endswith(f"/{offset}"):
                return  # the file is complete
            partial.unlink()
            raise _Transient("the file on the server has changed")
        status = f"{response.status_code} {response.reason}".strip()
        if response.status_code == HTTPStatus.TOO_MANY_REQUESTS or response.status_code >= 500:
            raise _Transient(f"the server answers {status}")
        if response.status_code >= 400:
            raise SourceError(
                f"{url} cannot be downloaded: the server answers {status}; check the address in "
                "fetch.source, and whether a browser that is not logged in can open it"
            )
        continues = response.status_code == HTTPStatus.PARTIAL_CONTENT and span.startswith(
            f"bytes {offset}-"
        )
        start = offset if continues else 0
        length = response.headers.get("Content-Length")
        with (
            partial.open("ab" if start else "wb") as file,
            progress_bar("download", start + int(length) if length else None) as show,
        ):
            for chunk in response.raw.stream(CHUNK, decode_content=False):
                file.write(chunk)
                show(file.tell())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: Exception) -> str:
    """Return the innermost of nested errors, in one line."""
    cause = getattr(error, "reason", None) or (error.args[0] if error.args else None)
    if isinstance(cause, Exception):
        return _reason(cause)
    text = " ".join(str(error).split())
    return text.rpartition(">: ")[2].rpartition("): ")[2] or type(error).__name__
