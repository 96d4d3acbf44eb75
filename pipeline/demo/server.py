"""`bluelight demo`: the page, served to this machine alone by Python's own HTTP server.

Nothing is loaded from elsewhere, and the page's policy makes the browser see to that. Photos are
sent to this process and forgotten.
"""

import json
import mimetypes
import re
import threading
import traceback
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from pathlib import Path
from socketserver import ThreadingTCPServer
from typing import NamedTuple

from pipeline.common.errors import DemoError, ImageError
from pipeline.demo.examples import Example, examples
from pipeline.demo.kinds import Kind, kinds_of
from pipeline.demo.replies import MAXIMUM_BYTES, Json, about, answer, augmentations, too_large
from pipeline.predict.classifier import ImageClassifier, load

ADDRESS = "127.0.0.1"
OWN_HOST = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]+)?")  # any port: it may be forwarded
PATIENCE = 30  # seconds for a browser to send a photo
PAGE = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Demo:
    """What is shown.

    Attributes:
        model: The model.
        kinds: The kinds of augmentation; each keeps generators, so one thread at a time.
        photos: Examples.
        turn: Held while a photo is worked on: large ones would otherwise add up in memory.
    """

    model: ImageClassifier
    kinds: Sequence[Kind]
    photos: Sequence[Example]
    turn: threading.Lock = field(default_factory=threading.Lock)


def open_demo(model: Path) -> Demo:
    """Load all that the page shows.

    Args:
        model: The artifact's folder.

    Raises:
        ArtifactError: The model cannot be used.
    """
    loaded = load(model)
    return Demo(loaded, kinds_of(loaded.description), examples())


def run_demo(model: Path, port: int, *, browser: bool) -> None:
    """Serve the page until Ctrl-C.

    Args:
        model: The artifact's folder.
        port: Of this machine; 0 for any that is free.
        browser: Whether to open the page.

    Raises:
        ArtifactError: The model cannot be used.
        DemoError: The port is taken.
    """
    with Server(open_demo(model), port) as server:
        print(f"{server.url} (Ctrl-C ends it)", flush=True)
        if browser:  # beside the server, for it must answer before some browsers return
            threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


class Server(ThreadingTCPServer):
    """Listens on this machine's own address.

    Not `http.server.HTTPServer`, which asks the network for the machine's name.

    Args:
        demo: What is shown.
        port: Of this machine; 0 for any that is free.

    Raises:
        DemoError: The port is taken.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, demo: Demo, port: int) -> None:
        self.demo = demo
        try:
            super().__init__((ADDRESS, port), Handler)
        except OSError as error:
            raise DemoError(
                f"port {port} cannot be listened on ({error.strerror}); name another with --port"
            ) from None

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{ADDRESS}:{self.server_address[1]}/"


class Reply(NamedTuple):
    """What is sent back."""

    body: bytes
    kind: str
    status: HTTPStatus = HTTPStatus.OK


class Refusal(Exception):  # noqa: N818 - not every refusal is an error of somebody's
    """A request that is not met.

    Args:
        status: The status of the reply.
        reason: What to say.
    """

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """One request."""

    timeout = PATIENCE
    server: Server

    def do_GET(self) -> None:
        """Send a part of the page, what it shows at first, or an example."""
        self._reply(self._get)

    def do_POST(self) -> None:
        """Answer a photo."""
        self._reply(self._post)

    def log_message(self, *_: object) -> None:
        """Say nothing: the terminal is for what goes wrong."""

    def _reply(self, method: Callable[[], Reply]) -> None:
        try:
            self._send(self._outcome(method))
        except (ConnectionError, TimeoutError):
            self.close_connection = True  # the page was closed

    def _outcome(self, method: Callable[[], Reply]) -> Reply:
        try:
            self._check_sender()
            return method()
        except Refusal as refusal:
            return _fault(refusal.status, str(refusal))
        except ImageError as error:
            return _fault(HTTPStatus.UNPROCESSABLE_ENTITY, f"{error}.")
        except (ConnectionError, TimeoutError):
            raise
        except Exception:  # a defect: the terminal has all of it, and the server goes on
            traceback.print_exc()
            reason = "Something went wrong; the terminal that runs the demo says what."
            return _fault(HTTPStatus.INTERNAL_SERVER_ERROR, reason)

    def _check_sender(self) -> None:
        """Refuse what other pages send, even ones whose name leads to this machine."""
        host = self.headers.get("Host", "")
        origin = self.headers.get("Origin", f"http://{ADDRESS}").removeprefix("http://")
        if not (OWN_HOST.fullmatch(host) and OWN_HOST.fullmatch(origin)):
            raise Refusal(HTTPStatus.FORBIDDEN, f"Only pages of {self.server.url} are answered.")

    def _get(self) -> Reply:
        demo = self.server.demo
        if self.path in PAGE:
            name, kind = PAGE[self.path]
            return Reply(files("pipeline.demo").joinpath("page", name).read_bytes(), kind)
        if self.path == "/about":
            return _json(about(demo.model.description, demo.photos))
        number = self._number("examples")
        if number < len(demo.photos):
            photo = demo.photos[number]
            return Reply(photo.data, mimetypes.guess_type(photo.name)[0] or "image/jpeg")
        raise _not_found()

    def _post(self) -> Reply:
        demo, data = self.server.demo, self._body()
        if self.path == "/answer":
            with demo.turn:
                return _json(answer(demo.model, data))
        number, size = self._number("augmentations"), demo.model.description.size
        with demo.turn:
            return _json(augmentations(demo.kinds, size, data, number))

    def _number(self, what: str) -> int:
        """N of a path `/what/N`, which is below a million: it goes into a seed."""
        found = re.fullmatch(rf"/{what}/([0-9]{{1,6}})", self.path)
        if found is None:
            raise _not_found()
        return int(found[1])

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,18}", length):
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "The request does not tell its length.")
        if int(length) > MAXIMUM_BYTES:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large())
        return self.rfile.read(int(length))

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)


def _json(content: Json, status: HTTPStatus = HTTPStatus.OK) -> Reply:
    return Reply(json.dumps(content).encode(), "application/json", status)


def _fault(status: HTTPStatus, reason: str) -> Reply:
    return _json({"error": reason}, status)


def _not_found() -> Refusal:
    return Refusal(HTTPStatus.NOT_FOUND, "There is no such page.")
