"""`bluelight demo`: a page served to this machine only, by Python's own HTTP server.

The page loads nothing from other machines, and its content security policy makes the browser
enforce that. Photos are sent to this process and not stored.
"""

import json
import mimetypes
import re
import threading
import traceback
import webbrowser
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from itertools import chain
from pathlib import Path
from socketserver import ThreadingTCPServer

from pipeline.common.errors import DemoError, ImageError
from pipeline.demo import replies
from pipeline.predict.classifier import load

ADDRESS = "127.0.0.1"
OWN_HOST = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]+)?")  # any port: it may be forwarded
UPLOADS = 4  # held in memory at a time; others wait
TIMEOUT = 30  # seconds for a browser to send a photo
NOT_FOUND = (HTTPStatus.NOT_FOUND, "There is no such page.")
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


def run_demo(model: Path, port: int, *, browser: bool) -> None:
    """Serve the page until Ctrl-C; see `Server`."""
    with Server(model, port) as server:
        print(f"{server.url} (press Ctrl-C to stop)", flush=True)
        if browser:  # in a thread, because some browsers return only once the page has answered
            threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


class Server(ThreadingTCPServer):
    """Serve the demo of a model on this machine's loopback address.

    `http.server.HTTPServer` would ask the network for the machine's name.

    Args:
        model: The artifact's folder.
        port: Of this machine; 0 for any that is free.

    Raises:
        ArtifactError: The model cannot be used.
        DemoError: The port is taken.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64  # uploads that wait to be accepted; more are refused by the system

    def __init__(self, model: Path, port: int) -> None:
        self.model = load(model)
        self.augmentations = replies.Augmentations(self.model.description)
        self.examples = replies.examples()
        # One photo at a time: large ones would add up in memory, and augmentations have state.
        self.lock = threading.Lock()
        self.receiving = threading.BoundedSemaphore(UPLOADS)
        try:
            super().__init__((ADDRESS, port), Handler)
        except OSError as error:
            raise DemoError(
                f"cannot listen on port {port} ({error.strerror}); choose another with --port"
            ) from None

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{ADDRESS}:{self.server_address[1]}/"


class Refusal(Exception):  # noqa: N818 - a wrong request is not a user's error
    """A request that is refused: the status of the reply, and a sentence for the page."""


class Handler(BaseHTTPRequestHandler):
    """Handle one request."""

    timeout = TIMEOUT
    server: Server

    def do_GET(self) -> None:
        """Send a part of the page, what it shows at first, or an example."""
        self._handle(self._get)

    def do_POST(self) -> None:
        """Send what the model or its augmentation makes of a photo."""
        self._handle(self._post)

    def log_message(self, *_: object) -> None:
        """Print nothing: the terminal is for errors."""

    def _handle(self, method: Callable[[], None]) -> None:
        """Reply by `method`, or with the reason why not; hang up quietly if the browser did."""
        try:
            try:
                self._check_sender()
                method()
            except Refusal as refusal:
                status, reason = refusal.args
                self._send_json({"error": reason}, status)
            except ImageError as error:
                self._send_json({"error": f"{error}."}, HTTPStatus.UNPROCESSABLE_ENTITY)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception:  # a bug: print all of it on the terminal and keep serving
            traceback.print_exc()
            reason = "Something went wrong; see the terminal that runs the demo."
            self._send_json({"error": reason}, HTTPStatus.INTERNAL_SERVER_ERROR)

    def _check_sender(self) -> None:
        """Refuse other sites, even those whose name leads to this machine."""
        host = self.headers.get("Host", "")
        origin = self.headers.get("Origin", f"http://{ADDRESS}").removeprefix("http://")
        if not (OWN_HOST.fullmatch(host) and OWN_HOST.fullmatch(origin)):
            reason = f"Only requests from {self.server.url} are accepted."
            raise Refusal(HTTPStatus.FORBIDDEN, reason)

    def _get(self) -> None:
        server = self.server
        if self.path in PAGE:
            name, kind = PAGE[self.path]
            self._send(files("pipeline.demo").joinpath("page", name).read_bytes(), kind)
        elif self.path == "/about":
            self._send_json(replies.about(server.model.description, server.examples))
        elif (number := self._number("examples")) < len(server.examples):
            photo = server.examples[number]
            self._send(photo.data, mimetypes.guess_type(photo.name)[0] or "image/jpeg")
        else:
            raise Refusal(*NOT_FOUND)

    def _post(self) -> None:
        server, length = self.server, self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,18}", length):
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "The request does not state its length.")
        if int(length) > replies.MAXIMUM_BYTES:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, replies.TOO_MANY_BYTES)
        with server.receiving:
            data = self.rfile.read(int(length))
            with server.lock:
                if self.path == "/prediction":
                    self._send_json(replies.prediction(server.model, data))
                elif self.path == "/occlusion":
                    self._send_lines(replies.occlusion(server.model, data))
                else:
                    number = self._number("augmentations")
                    self._send_json(server.augmentations.draw(data, number))

    def _number(self, name: str) -> int:
        """Return N of the path `/name/N`; it is below a million, as it goes into a seed."""
        found = re.fullmatch(rf"/{name}/([0-9]{{1,6}})", self.path)
        if found is None:
            raise Refusal(*NOT_FOUND)
        return int(found[1])

    def _send_json(self, content: replies.Json, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(content).encode(), "application/json", status)

    def _send(self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._start(status, {"Content-Type": kind, "Content-Length": str(len(body))})
        self.wfile.write(body)

    def _send_lines(self, parts: Iterator[replies.Json]) -> None:
        """Send JSON line by line, as soon as there is a line; the end of the connection ends it."""
        first = next(parts)  # a bad image raises here, while its status can still be sent
        self._start(HTTPStatus.OK, {"Content-Type": "application/x-ndjson"})
        for part in chain([first], parts):
            self.wfile.write(json.dumps(part).encode() + b"\n")

    def _start(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (HEADERS | headers).items():
            self.send_header(name, value)
        self.end_headers()
