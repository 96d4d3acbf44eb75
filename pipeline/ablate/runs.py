"""The runs of one technique, a seed each: side by side, and each of them once.

A process trains with one thread, so that no result depends on how many there are. What a run gave
is kept beside the state of those that are not finished, until the caller has written its outputs:
an interrupted comparison repeats no finished run.
"""

import os
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch.nn.functional import softmax

from pipeline.common.errors import TrainingError
from pipeline.common.files import read_json, write_json
from pipeline.common.packed import load_packed
from pipeline.common.parallel import progress_bar
from pipeline.common.params import LearningParams
from pipeline.common.tables import read_table, write_table
from pipeline.train.callbacks import Activations
from pipeline.train.datamodule import ImageDataModule
from pipeline.train.fit import fit
from pipeline.train.mlp import predict_logits

RESULT = "result.json"
HISTORY = "history.csv"
ACTIVATIONS = "activations.csv"
LOGS = "logs"
STATE = "state"


@dataclass(frozen=True)
class Task:
    """A run to be made.

    Attributes:
        params: Of this run, its seed included.
        packed: Folder of the packed splits.
        folder: Of this very run, named by its fingerprint; there it keeps state, logs and result.
    """

    params: LearningParams
    packed: Path
    folder: Path

    @property
    def is_done(self) -> bool:
        """Whether the result is there, which is written last."""
        return (self.folder / RESULT).exists()


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        seed: Its seed.
        history: The metrics of every epoch run.
        metrics: Of the weights that it ends with, as `Fit` has them.
        activations: Mean and standard deviation of the hidden layers in each epoch.
        probabilities: float64 [N, classes]; of the test images, by the weights it ends with.
        logs: TensorBoard's runs.
    """

    seed: int
    history: pd.DataFrame
    metrics: dict[str, float]
    activations: pd.DataFrame
    probabilities: npt.NDArray[np.float64]
    logs: Path


def run_all(tasks: Sequence[Task], *, processes: int, technique: str) -> list[Run]:
    """Make the runs that are not made yet.

    Args:
        tasks: The runs.
        processes: How many are made at a time; no result depends on it.
        technique: Shown beside the progress bar, which appears on stderr if that is a terminal.

    Returns:
        Every run, in the order of `tasks`.

    Raises:
        TrainingError: A run cannot go on, or its process was killed.
        KeyboardInterrupt: Stopped by a signal; says how many runs are kept.
    """
    waiting = [task for task in tasks if not task.is_done]
    try:
        _make(waiting, processes, technique, len(tasks))
    except KeyboardInterrupt:
        done = sum(task.is_done for task in tasks)
        raise KeyboardInterrupt(f"keeps {done} of {len(tasks)} seeds and goes on") from None
    return [_read(task) for task in tasks]


def _make(waiting: list[Task], processes: int, technique: str, total: int) -> None:
    if not waiting:
        return
    done = total - len(waiting)
    with _workers(min(processes, len(waiting))) as pool:
        futures = {pool.submit(_train, task): task for task in waiting}
        # The bar has a thread of its own, so it starts after the processes.
        with progress_bar(f"ablate: {technique}", total) as show:
            show(done)
            for count, future in enumerate(as_completed(futures), done + 1):
                _check(future, f"{technique}, seed {futures[future].params.train.seed}")
                show(count)


def _check(future: Future[None], run: str) -> None:
    """Raise what ended a run, with the run's name."""
    try:
        future.result()
    except TrainingError as error:
        raise TrainingError(f"{run}: {error}") from None
    except BrokenProcessPool:
        raise TrainingError(
            "a process that trained was killed, perhaps for want of memory; lower "
            "ablate.processes, then `dvc repro` goes on"
        ) from None


@contextmanager
def _workers(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end with this one, however it ends.

    They are forked while torch has not computed here, so that it is imported but once; where
    forking is not safe, they are started anew.
    """
    method = "fork" if os.uname().sysname == "Linux" else "spawn"
    with ProcessPoolExecutor(processes, get_context(method), _enter) as pool:
        try:
            yield pool
        except BaseException:
            for process in active_children():
                process.kill()  # its state is kept as it goes
            raise


def _enter() -> None:
    """Leave Ctrl-C to the parent, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _leave(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    os._exit(1)


def _train(task: Task) -> None:
    """Make one run and keep its result; its state is not needed then."""
    params = task.params
    data = ImageDataModule(task.packed, params.augment, params.train)
    activations = Activations()
    logs, state = task.folder / LOGS, task.folder / STATE
    result = fit(params, data, logs=logs, state=state, callbacks=[activations])
    logits = predict_logits(result.network, load_packed(task.packed / "test").images)
    write_table(task.folder / HISTORY, result.history)
    write_table(task.folder / ACTIVATIONS, activations.table)
    kept = {
        "metrics": result.metrics,
        "probabilities": softmax(logits.double(), dim=1).tolist(),
    }
    write_json(task.folder / RESULT, kept)
    shutil.rmtree(state)


def _read(task: Task) -> Run:
    kept: dict[str, Any] = read_json(task.folder / RESULT)
    return Run(
        seed=task.params.train.seed,
        history=read_table(task.folder / HISTORY),
        metrics=kept["metrics"],
        activations=read_table(task.folder / ACTIVATIONS),
        probabilities=np.array(kept["probabilities"]),
        logs=task.folder / LOGS,
    )
