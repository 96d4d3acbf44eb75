"""What Lightning's own callbacks lack: a history as data, and one progress bar for the run."""

import math
import sys
from typing import TYPE_CHECKING, Any, cast

import pandas as pd
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as RichProgress,
)

from pipeline.train.hardware import is_main_process

if TYPE_CHECKING:
    from pipeline.train.classifier import Classifier


COLUMNS = (
    "epoch",
    "train_loss",
    "val_loss",
    "train_accuracy",
    "val_accuracy",
    "learning_rate",
    "early_stopping_best",
    "early_stopping_wait",
)


class History(Checkpoint):
    """Record the metrics of every epoch, and what early stopping made of them.

    A `Checkpoint`, because Lightning calls those last when an epoch ends: early stopping has
    decided by then.

    Attributes:
        rows: One per finished epoch, with `COLUMNS`: mean cross-entropies, accuracies, and the
            learning rate of the last step. `early_stopping_best` is the value that Lightning's
            EarlyStopping holds to be the best so far, which an improvement must beat by
            `min_delta`; `early_stopping_wait` counts the epochs since. Both are None without it.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    @property
    def table(self) -> pd.DataFrame:
        """The rows as a table; a missing value is NaN or NA."""
        types = {"early_stopping_best": "float64", "early_stopping_wait": "Int64"}
        return pd.DataFrame(self.rows, columns=list(COLUMNS)).astype(types)

    def state_dict(self) -> dict[str, Any]:
        """The epochs so far, for the checkpoint of an interrupted run."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the epochs before the interruption."""
        self.rows[:] = state_dict["rows"]

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the epoch that has just ended."""
        del pl_module
        stopping = trainer.early_stopping_callback
        self.rows.append(
            {
                **epoch_metrics(trainer),
                "early_stopping_best": float(stopping.best_score) if stopping else None,
                "early_stopping_wait": stopping.wait_count if stopping else None,
            }
        )


def epoch_metrics(trainer: pl.Trainer) -> dict[str, Any]:
    """The metrics of the epoch that has just ended, by the first six of `COLUMNS`."""
    classifier = cast("Classifier", trainer.lightning_module)
    logged = trainer.callback_metrics
    return {
        "epoch": trainer.current_epoch,
        **{name: float(logged[name]) for name in COLUMNS[1:5]},
        "learning_rate": classifier.learning_rate,
    }


class Progress(pl.Callback):
    """One bar over all epochs, and only where somebody watches; says where a run goes on."""

    def __init__(self) -> None:
        self._progress = RichProgress(
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
