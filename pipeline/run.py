"""Run one stage, as `dvc.yaml` does: `python -m pipeline.run fetch`, `… ablate dropout`."""

import gc
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib import import_module
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.common import paths
from pipeline.common.environment import facts, is_main_process, limit_instructions, record
from pipeline.common.errors import BluelightError, complain, interruption_of, message_of
from pipeline.common.files import is_running
from pipeline.common.params import load_params

INTERRUPTED = 130  # 128 + SIGINT, as shells report it

PATIENCE = 10  # seconds that a process has to end itself when asked to


def main(name: str, *item: str) -> int:
    """Validate the params and run the stage; return the exit status.

    Args:
        name: The stage, a folder of `pipeline`.
        item: The item of a stage that `dvc.yaml` runs for each of several.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as on Ctrl-C
    stage = "@".join([name, *item])
    try:
        params = load_params()
        limit_instructions(torch=params.train.portable)  # before NumPy is imported
        found = facts()  # a stage may set variables of its own
        with locked(stage) if is_main_process() else nullcontext():
            gc.disable()  # imports leave no garbage, and looking for it takes a tenth of their time
            module = import_module(f"pipeline.{name}.stage")
            gc.enable()
            module.run(params, *item)
            if is_main_process():
                record(stage, found)
    except (Exception, KeyboardInterrupt) as error:
        message = message_of(error)
        if message is None and isinstance(interrupt := interruption_of(error), KeyboardInterrupt):
            how = str(interrupt) or "starts again"
            print(f"bluelight: {name}: interrupted; `dvc repro` {how}", file=sys.stderr)
            return INTERRUPTED
        if message is None:
            raise
        complain(message, f"bluelight: {name}")
        return 1
    return 0


@contextmanager
def locked(stage: str) -> Iterator[None]:
    """Lock the stage against a second process, which would write the same outputs and state.

    A killed DVC leaves its stage running. When the next `dvc repro` starts that stage, the new
    process ends the old one. The lock ends with its process in any case.

    Args:
        stage: Its name, with the item.

    Raises:
        BluelightError: Another process runs it.
    """
    paths.RESUME.mkdir(exist_ok=True)
    lock = FileLock(paths.RESUME / f"{stage}.lock")
    note = paths.RESUME / f"{stage}.process"  # who has the lock, and the DVC that started it
    try:
        lock.acquire(timeout=0)
    except Timeout:
        holder, _, dvc = (note.read_text(encoding="utf-8") if note.exists() else "").partition(" ")
        taken = BluelightError(
            f"process {holder or 'unknown'} is running this very stage; wait for it, or stop it "
            f"with `kill {holder}`, then run this again"
        )
        if not holder or (is_running(int(holder)) and (not dvc or is_running(int(dvc)))):
            raise taken from None
        with suppress(ProcessLookupError):  # as soon as it has ended
            os.kill(int(holder), signal.SIGTERM)
            deadline = time.monotonic() + PATIENCE
            while is_running(int(holder)) and time.monotonic() < deadline:
                time.sleep(0.05)
            os.kill(int(holder), signal.SIGKILL)
        try:
            lock.acquire(timeout=PATIENCE)  # until its workers have ended, as they do by themselves
        except Timeout:
            raise taken from None
    try:
        started_by = os.getppid() if "DVC_STAGE" in os.environ else ""
        note.write_text(f"{os.getpid()} {started_by}", encoding="utf-8")
        yield
    finally:
        note.unlink(missing_ok=True)
        with suppress(PermissionError):  # on Windows, which removes it when it is released
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
