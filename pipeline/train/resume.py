"""Continue an interrupted run, to the same bytes as if it had never been interrupted.

DVC deletes a stage's outputs before it runs it, so the state of a run lies elsewhere: in
`.resume/<fingerprint>/`, which no stage declares and git ignores. The fingerprint covers all that
a result depends on, so only the very run that left a state finds it. A state is Lightning's own
checkpoint and a copy of the TensorBoard files. All randomness is a function of (seed, epoch, step).

| Lightning does | we do | where | which test |
|---|---|---|---|
| saves when an epoch ends, with schedules and callbacks still to run | save when the next one \
starts | `Resume.on_train_epoch_start` | `test_resume.py`, 20 kills |
| resumes within an epoch: skips batches, and a step of the plateau | clear `fit_loop.restarting` \
when an epoch starts | `Resume.on_train_epoch_start` | `test_traps.py`, restarting |
| steps an "epoch" plateau after saving, and not in a resumed epoch | step it by "step", once an \
epoch | `classifier.learning_rate_schedule` | `test_traps.py`, plateau |
| sets the sampler's epoch after workers began to fetch | set it when the loader is made | \
`ImageDataModule.train_dataloader` | `test_traps.py`, sampler |
| starts to fetch when asked for the number of steps | count the batches of another loader | \
`Classifier._steps_per_epoch` | `test_traps.py`, steps |
| calls callbacks in the order of its list | put `Resume` first: what others write in an epoch \
belongs to that epoch's state | `fit.fit` | `test_resume.py`, 20 kills |
| starts a new event file | continue the copied one | `logger.StableFile` | `test_logger.py` |
| writes checkpoints in the system's folder for temporary files | write beside the place, and \
rename | `WholeFiles` | `test_resume.py`, full disk |

`pipeline.run` keeps two processes from one run, for every stage.
"""

import hashlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Mapping
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
# where it was last written changes how much is repeated, never the result.
WORK_PER_WRITING = 20

STATE = "state.ckpt"
DIGESTS = "digests.json"
LOGS = "logs"


def fingerprint(settings: Mapping[str, Any], data: str) -> str:
    """Name a run by all that its result depends on.

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
    """Compute the SHA-256 of all files of the folders, in the order of their names."""
    content = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.iterdir()):
            content.update(bytes.fromhex(digest(path)))
    return content.hexdigest()


def _code_hash() -> str:
    files = sorted(Path(pipeline.__file__).parent.rglob("*.py"))
    return hashlib.sha256("".join(map(digest, files)).encode()).hexdigest()


class Resume(pl.Callback):
    """Write the state of a run while it trains, and find it again.

    Args:
        folder: Of this run's state alone.
        logs: The TensorBoard files, which are only ever appended to.
    """

    def __init__(self, folder: Path, logs: Path) -> None:
        self.folder = folder
        self._logs = logs
        self._due = 0.0
        self._known: set[tuple[Path, int]] = set()

    def restore(self) -> Path | None:
        """Put the TensorBoard files back to where the last state was written.

        A state that cannot be read is removed and reported on stderr; the run then continues from
        the one before, or starts over.

        Returns:
            The checkpoint to continue from; None where the run starts.
        """
        if is_main_process():
            self.folder.mkdir(parents=True, exist_ok=True)
            for state in self._states():
                if not _is_whole(state):
                    print(
                        f"bluelight: train: the state in {state} is damaged and is removed; its "
                        "epochs are trained again",
                        file=sys.stderr,
                    )
                    shutil.rmtree(state)
            shutil.rmtree(self._logs, ignore_errors=True)
            self._logs.mkdir(parents=True)
        states = self._states()
        if not states:
            return None
        if is_main_process():
            _copy(states[-1] / LOGS, self._logs)
        return states[-1] / STATE

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the state that the epoch before has left, if it is time."""
        del pl_module
        trainer.fit_loop.restarting = False
        if trainer.is_global_zero:
            self._check_logs()
        # The clocks of several processes differ: the first one's counts.
        if trainer.strategy.broadcast(trainer.current_epoch > 0 and time.monotonic() >= self._due):
            started = time.monotonic()
            self._write(trainer)
            now = time.monotonic()
            self._due = now + WORK_PER_WRITING * (now - started)

    def _write(self, trainer: pl.Trainer) -> None:
        """Write a state whole or not at all; then remove the ones before."""
        before = self._states()
        incoming = self.folder / "incoming.ckpt"
        trainer.save_checkpoint(incoming)  # every process takes part; the first one writes
        if not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            logger.save()
        with atomic_directory(self.folder / f"after-{trainer.current_epoch:06}") as state:
            incoming.rename(state / STATE)
            _copy(self._logs, state / LOGS)
            self._check_logs()
            write_json(state / DIGESTS, _digests(state))
        for old in before:
            shutil.rmtree(old)

    def _check_logs(self) -> None:
        """Stop where the logs were removed: a state written now would lack their beginning.

        DVC removes them when it starts the stage again beside a process that outlived a killed DVC.
        """
        try:
            found = {(path, path.stat().st_ino) for path in [self._logs, *self._logs.rglob("*")]}
        except FileNotFoundError:
            found = set()
        if not found or not self._known <= found:
            raise TrainingError(
                f"{self._logs} was removed while the stage was running, perhaps by another "
                "`dvc repro`; run `dvc repro` to continue"
            )
        self._known = found

    @property
    def epochs_done(self) -> int:
        """After how many epochs the last state was written; 0 where there is none."""
        states = self._states()
        return int(states[-1].name.rpartition("-")[2]) if states else 0

    def forget(self) -> None:
        """Remove every state: the run would only end the same way again."""
        if is_main_process():
            shutil.rmtree(self.folder)

    def _states(self) -> list[Path]:
        return sorted(self.folder.glob("after-*"))


class WholeFiles(TorchCheckpointIO):
    """Write Lightning's checkpoints beside their place, and rename them."""

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
    """Find interrupted runs beside this one: of other params, data, code or libraries."""
    beside = sorted(folder.parent.iterdir()) if folder.parent.exists() else []
    return [path for path in beside if path != folder and any(path.glob("after-*"))]


def _copy(source: Path, target: Path) -> None:
    """Copy a folder; unlike `shutil.copytree`, report a full disk as one."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir()
        else:
            shutil.copyfile(path, place)


def _digests(state: Path) -> dict[str, str]:
    """SHA-256 of each file of a state except the list itself, by its name."""
    files = sorted(path for path in state.rglob("*") if path.is_file() and path.name != DIGESTS)
    return {path.relative_to(state).as_posix(): digest(path) for path in files}


def _is_whole(state: Path) -> bool:
    try:
        return bool(read_json(state / DIGESTS) == _digests(state))
    except (BluelightError, OSError):
        return False
