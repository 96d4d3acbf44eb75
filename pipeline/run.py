"""Run one stage: `python -m pipeline.run fetch`. `dvc.yaml` starts each stage so.

Where DVC runs a stage for each of several items, the item follows: `… ablate dropout`.
"""

import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib import import_module
from types import FrameType

from pipeline.common import paths
from pipeline.common.environment import facts, is_only_process, limit_instructions, record
from pipeline.common.errors import BluelightError, complain, message_of
from pipeline.common.params import load_params

INTERRUPTED = 130  # 128 + SIGINT, as shells report it

PATIENCE = 10  # seconds that a process has to end itself when asked to


def main(name: str, *item: str) -> int:
    """Validate the params and run the stage; return the exit status.

    Args:
        name: A room of `pipeline`.
        item: What it is run for, where DVC runs it for several.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    stage = "@".join([name, *item])
    try:
        params = load_params()
        limit_instructions(torch=params.train.portable)  # before NumPy is imported
        found = facts()  # a stage may set variables of its own
        with locked(stage) if is_only_process() else nullcontext():
            import_module(f"pipeline.{name}.stage").run(params, *item)
            if is_only_process():
                record(stage, found)
    except KeyboardInterrupt as interrupt:
        how = str(interrupt) or "starts again"
        print(f"bluelight: {name}: interrupted; `dvc repro` {how}", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        message = message_of(error)
        if message is None:
            raise
        complain(message, f"bluelight: {name}")
        return 1
    return 0


@contextmanager
def locked(stage: str) -> Iterator[None]:
    """Keep a second process from running the stage: both would write its outputs and state.

    A stage that was left behind by a DVC that was killed would go on beside the one that the next
    `dvc repro` starts; the newcomer ends it. The lock itself ends with its process in any case.

    Args:
        stage: With its item.

    Raises:
        BluelightError: Another process runs it.
    """
    paths.RESUME.mkdir(exist_ok=True)
    with (paths.RESUME / f"{stage}.lock").open("a+", encoding="utf-8") as file:
        if not _acquired(file.fileno()):
            file.seek(0)
            holder, _, dvc = file.read().partition(" ")
            taken = BluelightError(
                f"process {holder} is running this very stage; wait for it, or stop it with "
                f"`kill {holder}`, then run this again"
            )
            if _is_alive(int(holder)) and (not dvc or _is_alive(int(dvc))):
                raise taken
            for sent in (signal.SIGTERM, signal.SIGKILL):
                with suppress(ProcessLookupError):  # then its workers, which end by themselves
                    os.kill(int(holder), sent)
                deadline = time.monotonic() + PATIENCE
                while not (acquired := _acquired(file.fileno())) and time.monotonic() < deadline:
                    time.sleep(0.05)
                if acquired:
                    break
            else:
                raise taken
        file.truncate(0)
        started_by = os.getppid() if "DVC_STAGE" in os.environ else ""
        file.write(f"{os.getpid()} {started_by}")
        file.flush()
        yield


def _acquired(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives, and is another user's
        pass
    return True


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """End a stage on SIGTERM as on Ctrl-C."""
    del signum, frame
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
