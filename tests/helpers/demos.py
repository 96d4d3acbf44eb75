"""The demo, served in this process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.demo.server import Server
from tests.helpers.artifacts import write


@contextmanager
def served(folder: Path, **model: Any) -> Iterator[Server]:
    """Serve the demo of a small model, at a port that is free."""
    with Server(write(folder / "model", **model), port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
