"""Continue an interrupted run, to the same bytes as if it had never been interrupted.

DVC deletes a stage's outputs before it runs it, so the state of a run lies elsewhere: in
`.resume/<fingerprint>/`, which no stage declares and git ignores. The fingerprint covers all that
a result depends on, so only the very run that left a state finds it. A state is Lightning's own
checkpoint and a copy of the TensorBoard files. All randomness is a function of (seed, epoch, step).

| Lightning does | we do | where | which test |
|---|---|---|---|
| saves when an epoch ends, with schedules and callbacks still to run | save when the next one \
starts | `Resume.on_train_epoch_start` | `test_resume.py`, kills |
| resumes within an epoch: skips batches, and a step of the plateau | clear `fit_loop.restarting` \
when an epoch starts | `Resume.on_train_epoch_start` | `test_traps.py`, restarting |
| steps an "epoch" plateau after saving, and not in a resumed epoch | step it by "step", once an \
epoch | `Classifier.configure_optimizers` | `test_traps.py`, plateau |
| sets the sampler's epoch after workers began to fetch | set it when the loader is made | \
`ImageDataModule.train_dataloader` | `test_traps.py`, sampler |
| starts to fetch when asked for the number of steps | count the batches of another loader | \
`Classifier.configure_optimizers` | `test_traps.py`, steps |
| calls callbacks in the order of its list | put `Resume` first: what others write in an epoch \
belongs to that epoch's state | `fit.fit` | `test_resume.py`, kills |
| starts a new event file | continue the copied one | `logger.StableFileWriter` | `test_logger.py` |

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
from pytorch_lightning.utilities import rank_zero_only

import pipeline
from pipeline.common.errors import BluelightError, TrainingError
from pipeline.common.files import atomic_directory, digest, read_json, write_json

# What the bits of a result depend on, beside params and data.
CODE = Path(pipeline.__file__).parent
LIBRARIES = ("torch", "pytorch-lightning", "albumentations", "opencv-python-headless", "numpy")

# A state is written only when the run has since worked this many times as long as writing takes:
# where it was last written changes how much is repeated, never the result.
WORK_PER_WRITING = 20

STATE, LOGS = "state.ckpt", "logs"
DIGESTS = "digests.json"  # SHA-256 of each of the other files of a state


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
        "code": _digests(CODE, "*.py"),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "processor": [platform.machine(), torch.backends.cpu.get_cpu_capability()],
        "folder": str(Path.cwd()),  # Lightning's checkpoints hold absolute paths
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def content_hash(*folders: Path) -> str:
    """Compute the SHA-256 of all files of the folders, in the order of their names."""
    found = [bytes.fromhex(value) for folder in folders for value in _digests(folder).values()]
    return hashlib.sha256(b"".join(found)).hexdigest()


def is_main_process() -> bool:
    """Return whether this is the process that writes and prints; true where there is only one."""
    # A process that Lightning starts on another machine knows its node before its rank.
    rank = int(rank_zero_only.rank)  # type: ignore[attr-defined]
    return rank == 0 and int(os.environ.get("NODE_RANK", "0")) == 0


class Resume(pl.Callback):
    """Write the state of a run while it trains, and find it again.

    Args:
        folder: Of this run's state alone.
        logs: The TensorBoard files, which are only ever appended to.
    """

    def __init__(self, folder: Path, logs: Path) -> None:
        self._folder = folder
        self._logs = logs
        self._due = 0.0
        self._known: set[tuple[Path, int]] = set()

    def restore(self) -> Path | None:
        """Put the TensorBoard files back to where the last state was written.

        A state that cannot be read is removed and reported on stderr; the run then continues from
        the one before, or starts over. Interrupted runs with other params, data, code or libraries
        are reported and kept.

        Returns:
            The checkpoint to continue from; None where the run starts.
        """
        if is_main_process():
            self._folder.mkdir(parents=True, exist_ok=True)
            for other in sorted({path.parent for path in self._folder.parent.glob("*/after-*")}):
                if other != self._folder:
                    print(
                        f"train: {other} holds an interrupted run with other params, data, code or "
                        "libraries; it is kept in case they come back (or delete it)",
                        flush=True,
                    )
            for state in self._states():
                try:
                    is_whole = read_json(state / DIGESTS) == _digests(state)
                except (BluelightError, OSError):
                    is_whole = False
                if not is_whole:
                    print(
                        f"bluelight: train: the state in {state} is damaged and is removed; its "
                        "epochs are trained again",
                        file=sys.stderr,
                    )
                    shutil.rmtree(state)
            shutil.rmtree(self._logs, ignore_errors=True)
            self._logs.mkdir(parents=True)
            for state in self._states()[-1:]:
                _copy(state / LOGS, self._logs)
        return next((state / STATE for state in reversed(self._states())), None)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the state that the epoch before has left, if it is time."""
        trainer.fit_loop.restarting = False
        if trainer.is_global_zero:
            self._check_logs()
        # The clocks of several processes differ: the first one's counts.
        if not trainer.strategy.broadcast(
            trainer.current_epoch > 0 and time.monotonic() >= self._due
        ):
            return
        started, before = time.monotonic(), self._states()
        incoming = self._folder / "incoming.ckpt"
        trainer.save_checkpoint(incoming)  # every process takes part; the first one writes
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.save()
            with atomic_directory(self._folder / f"after-{trainer.current_epoch:06}") as state:
                incoming.rename(state / STATE)
                _copy(self._logs, state / LOGS)
                self._check_logs()
                write_json(state / DIGESTS, _digests(state))
            for old in before:
                shutil.rmtree(old)
        now = time.monotonic()
        self._due = now + WORK_PER_WRITING * (now - started)

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
        return max((int(state.name.removeprefix("after-")) for state in self._states()), default=0)

    def _states(self) -> list[Path]:
        return sorted(self._folder.glob("after-*"))


def _copy(source: Path, target: Path) -> None:
    """Copy a folder; unlike `shutil.copytree`, report a full disk as one."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir()
        else:
            shutil.copyfile(path, place)


def _digests(folder: Path, pattern: str = "*") -> dict[str, str]:
    """SHA-256 of each file below a folder by its name, except for a list of them."""
    files = [path for path in folder.rglob(pattern) if path.is_file() and path.name != DIGESTS]
    return {path.relative_to(folder).as_posix(): digest(path) for path in sorted(files)}
