"""Run one stage: `python -m pipeline.run fetch`. `dvc.yaml` starts each stage so.

Where DVC runs it for each of several items, the item follows: `… ablate dropout`.
"""

import os
import signal
import sys
import threading
import time
from importlib import import_module
from types import FrameType

from pipeline.common.environment import facts, is_only_process, record
from pipeline.common.errors import complain, message_of
from pipeline.common.instructions import limit_instructions
from pipeline.common.params import load_params

INTERRUPTED = 130  # 128 + SIGINT, as shells report it

PATIENCE = 10  # seconds in which to end politely


def main(name: str, *item: str) -> int:
    """Validate the params and run the stage; returns the exit status.

    Args:
        name: A module of `pipeline`.
        item: What it is run for, where DVC runs it for several.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    _end_with_dvc()
    try:
        params = load_params()
        limit_instructions(torch=params.train.portable)  # before NumPy is imported
        found = facts()  # a stage may set variables of its own
        import_module(f"pipeline.{name}.stage").run(params, *item)
        if is_only_process():
            record("@".join([name, *item]), found)
    except KeyboardInterrupt as interrupt:
        how = str(interrupt) or "starts it again"
        print(f"bluelight: {name}: interrupted; `dvc repro` {how}", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        message = message_of(error)
        if message is None:
            raise
        complain(message, f"bluelight: {name}")
        return 1
    return 0


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """A polite request to stop ends a stage as Ctrl-C does."""
    del signum, frame
    raise KeyboardInterrupt


def _end_with_dvc() -> None:
    """Stop when the dvc that started this stage is gone.

    It would go on writing outputs, while the next `dvc repro` starts the same stage beside it.
    """
    if "DVC_STAGE" in os.environ:
        threading.Thread(target=_watch, args=[os.getppid()], daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os._exit(INTERRUPTED)  # everything on disk is whole at any time


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
