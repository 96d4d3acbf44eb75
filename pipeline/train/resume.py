"""Going on with an interrupted run, to the same bytes as if it had never been interrupted.

DVC deletes a stage's outputs before it runs it, so what a run needs to go on lies elsewhere: in
`.resume/<fingerprint>/`, which no stage declares and git ignores. The fingerprint covers all that
a result depends on, so a state is found only by the very run that left it.

What is kept is Lightning's own checkpoint and a copy of the TensorBoard files, written when an
epoch starts: then the epoch before is over in every respect, schedules included, and an early stop
did not happen. Together with randomness that is a function of (seed, epoch, step), that is enough
(`tests/train/test_resume.py`).
"""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

import pipeline
from pipeline.common.errors import BluelightError, TrainingError
from pipeline.common.files import atomic_directory, atomic_file, digest, read_json, write_json
from pipeline.train.hardware import is_main_process

# What the bits of a result depend on, beside params, data and code.
LIBRARIES = ("torch", "pytorch-lightning", "albumentations", "opencv-python-headless", "numpy")

# A state is written only when the run has since worked this many times as long as writing takes:
# where it was last written changes how much is done again, never the result.
WORK_PER_WRITING = 20

STATE = "state.ckpt"
DIGESTS = "digests.json"
LOGS = "logs"
BEST = "best"
LOCK = "lock"


def fingerprint(settings: Mapping[str, Any], data: str) -> str:
    """Names a run by all that its result depends on.

    Args:
        settings: The params that it reads.
        data: A hash of the packed images.

    Returns:
        16 hexadecimal digits.
    """
    content = {
        "settings": settings,
        "data": data,
        "code": _code_hash(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "processor": [platform.machine(), torch.backends.cpu.get_cpu_capability()],
        "folder": str(Path.cwd()),  # Lightning's checkpoints hold absolute paths
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def content_hash(*folders: Path) -> str:
    """SHA-256 over the files of folders, in the order of their names."""
    content = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.iterdir()):
            content.update(bytes.fromhex(digest(path)))
    return content.hexdigest()


def _code_hash() -> str:
    package = Path(pipeline.__file__).parent
    files = sorted(package.rglob("*.py"))
    return hashlib.sha256("".join(map(digest, files)).encode()).hexdigest()


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold a run's state, which two processes at once would spoil.

    Args:
        folder: The run's folder; made if need be. The claim ends with the process, however it ends.

    Raises:
        TrainingError: Another process holds it.
    """
    if not is_main_process():  # it came with the one that has claimed it
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise TrainingError(
                f"process {file.read()} is training this very run ({folder}); wait for it, or stop "
                "it with `kill` and start again"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


class Resume(pl.Callback):
    """Writes the state of a run while it goes, and finds it again.

    Args:
        folder: Of this run's state alone.
        logs: The TensorBoard files, which are only ever appended to, and flushed at each epoch's
            end.
    """

    def __init__(self, folder: Path, logs: Path) -> None:
        self._folder = folder
        self._logs = logs
        self._due = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the state that the epoch before has left, if it is time."""
        del pl_module
        # Lightning looks for a place within the epoch to go on from, and would skip batches and a
        # step of the plateau schedule: this epoch has not begun.
        trainer.fit_loop.restarting = False
        # The clocks of several processes differ: the first one's counts.
        if trainer.strategy.broadcast(trainer.current_epoch > 0 and time.monotonic() >= self._due):
            started = time.monotonic()
            self._write(trainer)
            now = time.monotonic()
            self._due = now + WORK_PER_WRITING * (now - started)

    def restore(self) -> Path | None:
        """Put the TensorBoard files back to where the last state was written.

        A state that cannot be read is removed and reported on stderr; the run then goes on from
        the one before, or starts over.

        Returns:
            The checkpoint to go on from; None where the run starts.
        """
        if is_main_process():
            self._remove_damaged()
            shutil.rmtree(self._logs, ignore_errors=True)
            self._logs.mkdir(parents=True)
        states = self._states()
        if not states:
            return None
        if is_main_process():
            _copy(states[-1] / LOGS, self._logs)
        return states[-1] / STATE

    @property
    def epochs_done(self) -> int:
        """After how many epochs the last state was written; 0 where there is none."""
        states = self._states()
        return _epochs(states[-1]) if states else 0

    def forget(self) -> None:
        """Remove every state: going on from it would only end the same way."""
        if is_main_process():
            shutil.rmtree(self._folder)

    def _write(self, trainer: pl.Trainer) -> None:
        """Write a state whole or not at all; then the ones before may go."""
        before = self._states()
        incoming = self._folder / "incoming.ckpt"
        trainer.save_checkpoint(incoming)  # every process takes part; the first one writes
        if not trainer.is_global_zero:
            return
        with atomic_directory(self._folder / f"after-{trainer.current_epoch:06}") as state:
            incoming.rename(state / STATE)
            _copy(self._logs, state / LOGS)
            write_json(state / DIGESTS, _digests(state))
        for old in before:
            shutil.rmtree(old)

    def _states(self) -> list[Path]:
        return sorted(self._folder.glob("after-*"))

    def _remove_damaged(self) -> None:
        for state in self._states():
            if not _is_whole(state):
                print(
                    f"bluelight: train: the state in {state} is damaged and is removed; what it "
                    "held is trained again",
                    file=sys.stderr,
                )
                shutil.rmtree(state)


class WholeFiles(TorchCheckpointIO):
    """Writes Lightning's checkpoints beside their place, and renames them.

    Its own way goes through the system's folder for temporary files, which may be another disk.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | os.PathLike[str],
        storage_options: Any = None,  # noqa: ANN401, ARG002 - Lightning's own signature
    ) -> None:
        """Write a checkpoint, whole or not at all."""
        with atomic_file(Path(path)) as partial, partial.open("wb") as file:
            torch.save(checkpoint, file)


def others(folder: Path) -> list[Path]:
    """Folders of interrupted runs beside this one's: of other params, data, code or libraries."""
    beside = sorted(folder.parent.iterdir()) if folder.parent.exists() else []
    return [path for path in beside if path != folder and any(path.glob("after-*"))]


def _copy(source: Path, target: Path) -> None:
    """Copy a folder; unlike `shutil.copytree`, say of a full disk that it is one."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir()
        else:
            shutil.copyfile(path, place)


def _epochs(state: Path) -> int:
    return int(state.name.rpartition("-")[2])


def _digests(state: Path) -> dict[str, str]:
    """SHA-256 of each file of a state but the list itself, by its name."""
    files = sorted(path for path in state.rglob("*") if path.is_file() and path.name != DIGESTS)
    return {path.relative_to(state).as_posix(): digest(path) for path in files}


def _is_whole(state: Path) -> bool:
    try:
        return bool(read_json(state / DIGESTS) == _digests(state))
    except (BluelightError, OSError):
        return False
