"""What Lightning's own callbacks lack: a history as data, and one progress bar for the run."""

import math
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from pipeline.train.hardware import is_main_process

if TYPE_CHECKING:
    from pipeline.train.classifier import Classifier


@dataclass(frozen=True)
class Epoch:
    """The figures of one epoch; losses are mean cross-entropies, the rate the last step's."""

    epoch: int
    train_loss: float
    val_loss: float
    train_accuracy: float
    val_accuracy: float
    learning_rate: float


class History(pl.Callback):
    """Collects the figures of every epoch.

    Attributes:
        epochs: One entry per finished epoch.
    """

    def __init__(self) -> None:
        self.epochs: list[Epoch] = []

    def state_dict(self) -> dict[str, Any]:
        """The epochs so far, for the checkpoint of an interrupted run."""
        return {"epochs": [asdict(epoch) for epoch in self.epochs]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the epochs before the interruption."""
        self.epochs[:] = [Epoch(**epoch) for epoch in state_dict["epochs"]]

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the epoch that has just ended."""
        del pl_module
        self.epochs.append(epoch_figures(trainer))


def epoch_figures(trainer: pl.Trainer) -> Epoch:
    """The figures of the epoch that has just ended."""
    classifier = cast("Classifier", trainer.lightning_module)
    logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
    return Epoch(
        epoch=trainer.current_epoch,
        train_loss=logged["train_loss"],
        val_loss=logged["val_loss"],
        train_accuracy=logged["train_accuracy"],
        val_accuracy=logged["val_accuracy"],
        learning_rate=classifier.learning_rate,
    )


class EpochProgress(pl.Callback):
    """One bar over all epochs, and only where somebody watches; says where a run goes on."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=Console(file=sys.stderr),
            disable=not (sys.stderr.isatty() and is_main_process()),
        )
        self._task = TaskID(0)
        self._best = -math.inf

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the bar, from where the run goes on."""
        del pl_module
        done, total = trainer.current_epoch, trainer.max_epochs
        if done and is_main_process():
            print(f"train: going on after {done} of {total} epochs", flush=True)
        self._task = self._progress.add_task("epoch", total=total, completed=done, figures="")
        self._progress.start()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Advance by an epoch."""
        del pl_module
        loss = float(trainer.callback_metrics["val_loss"])
        accuracy = float(trainer.callback_metrics["val_accuracy"])
        self._best = max(self._best, accuracy)
        figures = f"val loss {loss:.3f}  accuracy {accuracy:.3f}  best {self._best:.3f}"
        self._progress.update(self._task, advance=1, figures=figures)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the finished bar on the terminal."""
        del trainer, pl_module
        self._progress.stop()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Give the terminal back."""
        del trainer, pl_module, exception
        self._progress.stop()
