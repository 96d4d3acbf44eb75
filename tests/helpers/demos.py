"""The demo, served in this process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.demo.server import Server, open_demo
from tests.helpers.artifacts import write


@contextmanager
def served(folder: Path) -> Iterator[Server]:
    """The demo of a small model, at a port that is free."""
    with Server(open_demo(write(folder / "model")), port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
