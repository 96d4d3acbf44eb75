"""A download is whole and has its hash, whatever the server does, or one line says why not."""

import hashlib
import io
import json
import re
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.common import download as module
from pipeline.common.download import download
from pipeline.common.errors import SourceError
from pipeline.fetch.archives import unpack
from pipeline.fetch.stage import fetch
from tests.helpers.pictures import SYNTHETIC, contents, fetch_params, write_csv_source

DATA = bytes(range(256)) * 4000  # about a megabyte: several chunks
SHA256 = hashlib.sha256(DATA).hexdigest()
HALF = len(DATA) // 2

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Server:
    """A server on this machine that answers as scripted, the last answer ever again.

    Attributes:
        url: Of its one file.
        script: The answers still to give.
        ranges: The Range header of each request so far.
    """

    url: str
    script: list[Answer] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.ranges.append(handler.headers["Range"])
        (self.script.pop(0) if len(self.script) > 1 else self.script[0])(handler)


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            scripted.answer(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    scripted = Server(f"http://127.0.0.1:{running.server_port}/photos.zip")
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield scripted
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITS", (0.0, 0.0))


def send(handler: BaseHTTPRequestHandler, status: int, data: bytes = b"", **headers: str) -> None:
    handler.send_response(status)
    sent = {"Content-Length": str(len(data))} | {k.replace("_", "-"): v for k, v in headers.items()}
    for name, value in sent.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(data)


def whole(data: bytes = DATA) -> Answer:
    return lambda handler: send(handler, 200, data)


def ranged(data: bytes = DATA, limit: int | None = None) -> Answer:
    """The part asked for, of which at most `limit` bytes arrive."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        found = re.fullmatch(r"bytes=(\d+)-", handler.headers["Range"] or "")
        start = int(found[1]) if found else 0
        rest = data[start:]
        if start >= len(data):
            return send(handler, 416, Content_Range=f"bytes */{len(data)}")
        told = {"Content_Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if found else {}
        status = 206 if found else 200
        return send(handler, status, rest[:limit], **told, Content_Length=str(len(rest)))

    return answer


def fails(status: int) -> Answer:
    return lambda handler: send(handler, status, b"sorry")


def cut_in_half(handler: BaseHTTPRequestHandler) -> None:
    send(handler, 200, DATA[:HALF], Content_Length=str(len(DATA)))


def redirects(place: str) -> Answer:
    return lambda handler: send(handler, 302, Location=place)


def parts(cache: Path) -> list[str]:
    return [path.name for path in cache.rglob("*") if path.is_file()]


def test_whole(server: Server, tmp_path: Path) -> None:
    server.script = [whole()]
    path = download(server.url, SHA256, tmp_path)
    assert path.name == "photos.zip"
    assert path.read_bytes() == DATA
    assert parts(tmp_path) == ["photos.zip"]


def test_a_second_run_asks_nobody(server: Server, tmp_path: Path) -> None:
    server.script = [whole()]
    first = download(server.url, SHA256.upper(), tmp_path)
    assert download(server.url, SHA256, tmp_path) == first
    assert len(server.ranges) == 1


def test_a_damaged_or_outdated_copy_is_replaced(server: Server, tmp_path: Path) -> None:
    server.script = [whole()]
    download(server.url, SHA256, tmp_path).write_bytes(b"damaged")
    assert download(server.url, SHA256, tmp_path).read_bytes() == DATA


def test_redirects_are_followed(server: Server, tmp_path: Path) -> None:
    server.script = [redirects("/elsewhere"), redirects(server.url), whole()]
    assert download(server.url, SHA256, tmp_path).read_bytes() == DATA


def test_redirects_in_a_circle_end(server: Server, tmp_path: Path) -> None:
    server.script = [redirects(server.url)]
    with pytest.raises(SourceError, match=r"cannot be downloaded .*30 redirects"):
        download(server.url, SHA256, tmp_path)


def test_a_redirect_to_a_file_is_refused(server: Server, tmp_path: Path) -> None:
    server.script = [redirects("file:///etc/passwd")]
    with pytest.raises(SourceError, match="cannot be downloaded"):
        download(server.url, SHA256, tmp_path)


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_server_that_recovers(server: Server, tmp_path: Path, status: int) -> None:
    server.script = [fails(status), fails(status), whole()]
    assert download(server.url, SHA256, tmp_path).read_bytes() == DATA
    assert len(server.ranges) == 3


def test_a_server_that_does_not_recover(server: Server, tmp_path: Path) -> None:
    server.script = [fails(500)]
    with pytest.raises(
        SourceError, match=r"answers 500 .*2 more attempts did not help.*try again$"
    ):
        download(server.url, SHA256, tmp_path)
    assert len(server.ranges) == 3
    assert parts(tmp_path) == []


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_what_is_not_there_is_asked_for_once(server: Server, tmp_path: Path, status: int) -> None:
    server.script = [fails(status)]
    with pytest.raises(SourceError, match=f"answers {status} .*check the address"):
        download(server.url, SHA256, tmp_path)
    assert len(server.ranges) == 1
    assert parts(tmp_path) == []


def test_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"Connection refused.*check the network") as caught:
        download("http://127.0.0.1:9/photos.zip", SHA256, tmp_path)
    assert "object at" not in str(caught.value)


def test_no_address(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be downloaded"):
        download("https://", SHA256, tmp_path)


def test_a_truncated_transfer_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.script = [ranged(limit=HALF), ranged(limit=1000), ranged()]
    assert download(server.url, SHA256, tmp_path).read_bytes() == DATA
    assert server.ranges == [None, f"bytes={HALF}-", f"bytes={HALF + 1000}-"]


def test_progress_buys_new_attempts(server: Server, tmp_path: Path) -> None:
    server.script = [ranged(limit=len(DATA) // 8 + 1)]
    assert download(server.url, SHA256, tmp_path).read_bytes() == DATA
    assert len(server.ranges) == 8


def test_a_server_without_range_starts_again(server: Server, tmp_path: Path) -> None:
    server.script = [cut_in_half, whole()]
    assert download(server.url, SHA256, tmp_path).read_bytes() == DATA
    assert server.ranges == [None, f"bytes={HALF}-"]


def test_a_server_that_always_breaks_off_at_the_same_place(server: Server, tmp_path: Path) -> None:
    server.script = [cut_in_half]
    with pytest.raises(SourceError, match=f"{HALF:,} bytes are kept"):
        download(server.url, SHA256, tmp_path)
    assert len(server.ranges) == 3


def test_the_next_run_goes_on_where_this_one_stopped(server: Server, tmp_path: Path) -> None:
    server.script = [ranged(limit=HALF), fails(500)]
    with pytest.raises(SourceError, match="the next run continues"):
        download(server.url, SHA256, tmp_path)
    server.script = [ranged()]
    assert download(server.url, SHA256, tmp_path).read_bytes() == DATA
    assert server.ranges[-1] == f"bytes={HALF}-"


def test_killed_after_the_last_byte(server: Server, tmp_path: Path) -> None:
    server.script = [whole()]
    path = download(server.url, SHA256, tmp_path)
    path.rename(path.with_name("photos.zip.part"))
    server.script = [ranged()]
    assert download(server.url, SHA256, tmp_path).read_bytes() == DATA
    assert server.ranges[1:] == [f"bytes={len(DATA)}-"]


def test_a_half_of_an_older_file_is_given_up(server: Server, tmp_path: Path) -> None:
    server.script = [ranged(bytes(len(DATA)), limit=HALF), fails(500)]
    with pytest.raises(SourceError, match="the next run continues"):
        download(server.url, SHA256, tmp_path)
    server.script = [ranged()]
    assert download(server.url, SHA256, tmp_path).read_bytes() == DATA
    assert server.ranges[-2:] == [f"bytes={HALF}-", None]


def test_more_than_there_is_on_the_server_is_given_up(server: Server, tmp_path: Path) -> None:
    server.script = [whole(DATA + b"more")]
    with pytest.raises(SourceError, match=r"fetch\.sha256 is empty"):
        download(server.url, "", tmp_path)
    [kept] = tmp_path.rglob("photos.zip")
    kept.rename(kept.with_name("photos.zip.part"))
    server.script = [ranged()]
    assert download(server.url, SHA256, tmp_path).read_bytes() == DATA


def test_a_wrong_hash_removes_the_file(server: Server, tmp_path: Path) -> None:
    server.script = [whole(b"tampered")]
    found = hashlib.sha256(b"tampered").hexdigest()
    with pytest.raises(SourceError, match=f"has the SHA-256 {found}, not {SHA256}"):
        download(server.url, SHA256, tmp_path)
    assert parts(tmp_path) == []


def test_no_hash_tells_it_and_keeps_the_file(server: Server, tmp_path: Path) -> None:
    server.script = [whole()]
    for _ in range(2):
        with pytest.raises(SourceError, match=f"set fetch.sha256 to {SHA256}"):
            download(server.url, "", tmp_path)
    assert download(server.url, SHA256, tmp_path).read_bytes() == DATA
    assert len(server.ranges) == 1


def test_a_place_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    server.script = [whole()]
    (tmp_path / "cache").write_bytes(b"a file")
    with pytest.raises(SourceError, match="cannot be kept in"):
        download(server.url, SHA256, tmp_path / "cache")


@pytest.mark.parametrize("name", ["photos.zip", "download?id=7", "photos.tar.gz"])
def test_fetch_from_the_web(server: Server, tmp_path: Path, name: str) -> None:
    source = write_csv_source(tmp_path / "source")
    form = "gztar" if name.endswith("gz") else "zip"
    data = Path(shutil.make_archive(str(tmp_path / "made"), form, source)).read_bytes()
    server.script = [ranged(data, limit=len(data) - 9), ranged(data)]
    url = server.url.replace("photos.zip", name)
    sha256 = hashlib.sha256(data).hexdigest()
    params = fetch_params(url, sha256=sha256)
    fetch(params, SYNTHETIC, tmp_path / "raw", tmp_path / "cache")
    manifest = json.loads((tmp_path / "raw/manifest.json").read_bytes())
    assert (manifest["source"], manifest["revision"]) == (url, f"sha256:{sha256}")
    assert contents(tmp_path / "raw/images") == contents(source / "images")
    fetch(params, SYNTHETIC, tmp_path / "again", tmp_path / "cache")
    assert contents(tmp_path / "again") == contents(tmp_path / "raw")
    assert len(server.ranges) == 2


def test_a_failed_download_leaves_an_earlier_result(server: Server, tmp_path: Path) -> None:
    server.script = [fails(404)]
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/old.txt").write_bytes(b"old")
    params = fetch_params(server.url, sha256=SHA256)
    with pytest.raises(SourceError):
        fetch(params, SYNTHETIC, tmp_path / "raw", tmp_path / "cache")
    assert contents(tmp_path / "raw") == {"old.txt": b"old"}


def archive(root: Path) -> tuple[Path, str]:
    made = shutil.make_archive(str(root / "photos"), "zip", write_csv_source(root / "source"))
    return Path(made), hashlib.sha256(Path(made).read_bytes()).hexdigest()


def test_the_hash_of_a_local_archive_is_checked(tmp_path: Path) -> None:
    path, sha256 = archive(tmp_path)
    fetch(fetch_params(path, sha256=sha256), SYNTHETIC, tmp_path / "raw")
    assert json.loads((tmp_path / "raw/manifest.json").read_bytes())["revision"][7:] == sha256
    with pytest.raises(SourceError, match=f"has the SHA-256 {sha256}, not {SHA256}"):
        fetch(fetch_params(path, sha256=SHA256), SYNTHETIC, tmp_path / "raw")


@pytest.mark.parametrize("source", ["synthetic", "source", "git+file:///a/b@c", "kaggle:a/b"])
def test_a_hash_of_what_is_no_file_is_refused(tmp_path: Path, source: str) -> None:
    place = write_csv_source(tmp_path / source) if source == "source" else source
    with pytest.raises(SourceError, match=r"fetch\.sha256 is set, but is not checked for .*set"):
        fetch(fetch_params(place, sha256=SHA256), SYNTHETIC, tmp_path / "raw")


def test_a_zip_without_a_telling_name_is_known_by_its_content(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.txt", "a")
    name = module._file_name("https://host/download?x=1")
    assert name == "archive"
    (tmp_path / name).write_bytes(buffer.getvalue())
    unpack(tmp_path / name, tmp_path / "out")
    assert (tmp_path / "out/a.txt").read_text() == "a"
