"""Headless Chromium, controlled over a pipe by its DevTools protocol: no driver, no port."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 60.0  # seconds; a busy machine starts a browser slowly
FLAGS = [
    "--headless",
    "--no-sandbox",  # it refuses to run as root with one
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--remote-debugging-pipe",
    "about:blank",
]


class Browser:
    """One tab.

    Attributes:
        requested: Every address that the tab has asked for.
        problems: Exceptions that the page threw, and errors on its console.
    """

    def __init__(self, commands: int, replies: int) -> None:
        self.requested: list[str] = []
        self.problems: list[str] = []
        self._commands, self._replies = commands, replies
        self._unread = b""
        self._last = 0
        self._session: dict[str, str] = {}
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        attached = self.command("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.command(f"{domain}.enable")

    def command(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._last += 1
        order = {"id": self._last, "method": method, "params": params, **self._session}
        os.write(self._commands, json.dumps(order).encode() + b"\0")
        while (message := self._message()).get("id") != self._last:
            self._note(message)
        assert "error" not in message, message
        found: dict[str, Any] = message["result"]
        return found

    def open(self, url: str, width: int, *, dark: bool = False) -> None:
        """Go to a page, in a window of this many pixels, with a light or a dark colour scheme."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.command("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        result = self.command("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        element = "document.documentElement"
        return int(self.run(f"{element}.scrollWidth - {element}.clientWidth"))

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression holds."""
        end = time.monotonic() + PATIENCE
        while not self.run(condition):
            assert time.monotonic() < end, f"{condition} did not come true"
            time.sleep(0.05)

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file in a file input."""
        found = self.command("Runtime.evaluate", expression=f"document.querySelector('{selector}')")
        handle = found["result"]["objectId"]
        self.command("DOM.setFileInputFiles", files=[str(path)], objectId=handle)

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._replies], [], [], PATIENCE)
            part = os.read(self._replies, 1 << 20) if ready else b""
            assert part, "the browser does not reply"
            self._unread += part
        whole, self._unread = self._unread.split(b"\0", 1)
        message: dict[str, Any] = json.loads(whole)
        return message

    def _note(self, event: Mapping[str, Any]) -> None:
        params = event.get("params", {})
        match event["method"]:
            case "Network.requestWillBeSent":
                self.requested.append(params["request"]["url"])
            case "Runtime.exceptionThrown":
                self.problems.append(params["exceptionDetails"]["text"])
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.problems.append(params["entry"]["text"])


@contextmanager
def started(folder: Path) -> Iterator[Browser]:
    """Start a browser with its own profile; skip the test where no browser is installed."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no browser: install Debian's `chromium` (looked for {', '.join(NAMES)})")
    read, write = _high_pipe()
    replies, theirs = _high_pipe()
    command = [program, *FLAGS, f"--user-data-dir={folder}"]
    # It reads from descriptor 3 and writes to 4.
    plumbing = ["bash", "-c", f'exec "$@" 3<&{read} 4>&{theirs}', "bash"]
    with subprocess.Popen(
        [*plumbing, *command], pass_fds=(read, theirs), stderr=subprocess.DEVNULL
    ) as process:
        os.close(read)
        os.close(theirs)
        try:
            yield Browser(write, replies)
        finally:  # it ends when the pipe is closed
            os.close(write)
            os.close(replies)
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            process.kill()


def _high_pipe() -> tuple[int, int]:
    """Open a pipe whose ends are neither 3 nor 4."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return high[0], high[1]
