"""Callbacks that record or show a run: history, activations, progress bar."""

import math
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from torch import Tensor, nn

from pipeline.common.datasets import write_table
from pipeline.train.hardware import is_main_process
from pipeline.train.mlp import ACTIVATIONS, MLP

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle


class Recorder(pl.Callback):
    """A callback whose rows are part of a checkpoint, so that a continued run has them all.

    Attributes:
        rows: What was recorded, in order.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def state_dict(self) -> dict[str, Any]:
        """Return the rows so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the rows before the interruption."""
        self.rows[:] = state_dict["rows"]


LOGGED = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate")
COLUMNS = ("epoch", *LOGGED, "early_stopping_best", "early_stopping_wait")


class History(Recorder, Checkpoint):
    """Record the metrics of every epoch, and what early stopping made of them.

    A `Checkpoint`, because Lightning calls those last when an epoch ends: early stopping has
    decided by then.

    Args:
        path: The table is written there after each epoch, so that `dvc plots` shows a run while
            it trains; None to write no file.

    Attributes:
        rows: One per finished epoch, with `COLUMNS`: mean cross-entropies, accuracies, and the
            learning rate of the last step. `early_stopping_best` is the value that Lightning's
            EarlyStopping holds to be the best so far, which an improvement must beat by
            `min_delta`; `early_stopping_wait` counts the epochs since. Both are None without it.
    """

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        self._path = path

    @property
    def table(self) -> pd.DataFrame:
        """The rows as a table; a missing value is NaN or NA."""
        types = {"early_stopping_best": "float64", "early_stopping_wait": "Int64"}
        return pd.DataFrame(self.rows, columns=list(COLUMNS)).astype(types)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what an interrupted run has left, or remove what an earlier run has."""
        del pl_module
        self._write(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the epoch that has just ended."""
        del pl_module
        stopping = trainer.early_stopping_callback
        self.rows.append(
            {
                "epoch": trainer.current_epoch,
                **{name: float(trainer.callback_metrics[name]) for name in LOGGED},
                "early_stopping_best": float(stopping.best_score) if stopping else None,
                "early_stopping_wait": stopping.wait_count if stopping else None,
            }
        )
        self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        if self._path is None or not trainer.is_global_zero:
            return
        if self.rows:
            write_table(self._path, self.table)
        else:
            self._path.unlink(missing_ok=True)


class Activations(Recorder):
    """Measure the outputs of the hidden layers over the validation images, on one process.

    Hooks read the pass that validation makes anyway: no random number is drawn and no running
    statistic moves, so training is the same to the bit with them and without.

    Attributes:
        rows: One for each epoch, layer and stage (`linear`, `batch_norm`, `activation`): mean and
            standard deviation over all images and units, and the share of units whose output was
            the same for every image.
    """

    COLUMNS = ("epoch", "layer", "stage", "mean", "std", "constant_units")

    def __init__(self) -> None:
        super().__init__()
        self._hooks: list[RemovableHandle] = []

    @property
    def table(self) -> pd.DataFrame:
        """The rows as a table."""
        return pd.DataFrame(self.rows, columns=list(self.COLUMNS))

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start measuring."""
        del trainer
        kinds = {nn.Linear: "linear", nn.BatchNorm1d: "batch_norm"}
        kinds |= dict.fromkeys(ACTIVATIONS.values(), "activation")
        self._outputs: dict[tuple[str, str], list[Tensor]] = {}
        for layer, parts in named_layers(cast("MLP", pl_module.network)).items():
            for part in parts.children():
                for kind, stage in kinds.items():
                    if isinstance(part, kind):
                        outputs = self._outputs.setdefault((layer, stage), [])
                        self._hooks.append(part.register_forward_hook(partial(_measure, outputs)))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop; keep what was measured."""
        del pl_module
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        for (layer, stage), batches in self._outputs.items():
            counts, totals, squares, least, greatest = torch.stack(batches, dim=1)
            count = float(counts.sum())
            mean = float(totals.sum()) / count
            std = max(float(squares.sum()) / count - mean**2, 0.0) ** 0.5
            constant = float(least.amin(dim=0).eq(greatest.amax(dim=0)).double().mean())
            values = (trainer.current_epoch, layer, stage, mean, std, constant)
            self.rows.append(dict(zip(self.COLUMNS, values, strict=True)))


def _measure(
    outputs: list[Tensor], module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
) -> None:
    """Reduce a batch, float [N, units], to count, sum, squares, least and greatest of each unit."""
    del module, inputs
    batch = output.detach().cpu().double()
    count = torch.full_like(batch[0], len(batch))
    sums = (batch.sum(dim=0), batch.square().sum(dim=0))
    outputs.append(torch.stack([count, *sums, batch.amin(dim=0), batch.amax(dim=0)]))


def named_layers(network: MLP) -> dict[str, nn.Module]:
    """Name the hidden layers `layer_1`, `layer_2` and so on."""
    return {f"layer_{number}": layer for number, layer in enumerate(network.hidden, start=1)}


class Progress(pl.Callback):
    """Show one bar over all epochs where stderr is a terminal; say where a run continues."""

    def __init__(self) -> None:
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[metrics]}"),
            TimeRemainingColumn(),
            console=Console(file=sys.stderr),
            disable=not (sys.stderr.isatty() and is_main_process()),
        )
        self._best = -math.inf

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the bar, from where the run continues."""
        del pl_module
        done, total = trainer.current_epoch, trainer.max_epochs
        if done and is_main_process():
            print(f"train: continuing after {done} of {total} epochs", flush=True)
        self._task = self._bar.add_task("epoch", total=total, completed=done, metrics="")
        self._bar.start()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Advance by an epoch."""
        del pl_module
        loss = float(trainer.callback_metrics["val_loss"])
        accuracy = float(trainer.callback_metrics["val_accuracy"])
        self._best = max(self._best, accuracy)
        metrics = f"val loss {loss:.3f}  accuracy {accuracy:.3f}  best {self._best:.3f}"
        self._bar.update(self._task, advance=1, metrics=metrics)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the finished bar on the terminal."""
        del trainer, pl_module
        self._bar.stop()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Give the terminal back."""
        del trainer, pl_module, exception
        self._bar.stop()
