"""What TensorBoard shows of a run, beyond what Lightning's own logger would.

Each chart has a curve per run, so figures that are to be compared have one tag in two runs:

- `training` and `validation`: loss and accuracy;
- `after_linear` and `after_batch_norm`: what a hidden layer's units get before and after batch
  normalisation. They are measured in the validation pass, over all its images: by the running
  statistics, as the network answers in earnest. In training mode every batch is normalised by its
  own statistics, so that mean and deviation after it are what it was told to make them.

All that is logged in an epoch follows from the state of the training in that epoch, never from
what was logged before; a run continued from any epoch leaves the same files.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor, nn
from torchvision.utils import make_grid

from pipeline.common.params import TrainParams
from pipeline.train.activations import ActivationProbe, Moments, named_layers
from pipeline.train.callbacks import epoch_metrics
from pipeline.train.datamodule import Batch, ImageDataModule
from pipeline.train.events import EventLog
from pipeline.train.graph import graph_of
from pipeline.train.hardest import gallery, hardest
from pipeline.train.mlp import MLP
from pipeline.train.preview import augmentation_preview

SNAPSHOTS = 10  # of histograms and images in a run: TensorBoard shows no more images of a tag
GRID_COLUMNS = 8
GRID_PIXELS = 2**15  # 32 images of 32 pixels a side, fewer of larger ones
# TensorBoard sorts groups of charts by name and opens the first two: this one and `activations`.
CURVES = "accuracy_and_loss"
RUNS = ("training", "validation", "after_linear", "after_batch_norm")


class TensorBoard(pl.Callback):
    """Writes TensorBoard's runs, on the first process only.

    Args:
        logs: Folder of the runs.
        network: The network that is trained.
        data: Its images.
        train: How many epochs there will be, and the seed.

    Attributes:
        runs: The open event files, by the names in `RUNS`; flushed at the end of each epoch.
    """

    def __init__(self, logs: Path, network: MLP, data: ImageDataModule, train: TrainParams) -> None:
        self.runs: dict[str, EventLog] = {}
        self._logs = logs
        self._network = network
        self._data = data
        self._seed = train.seed
        self._every = -(-train.epochs // SNAPSHOTS)
        self._probe = ActivationProbe(network)

    @rank_zero_only
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Open the event files; those that are there are continued."""
        del trainer, pl_module, stage
        normalised = any(isinstance(module, nn.BatchNorm1d) for module in self._network.modules())
        names = RUNS if normalised else RUNS[:-1]
        self.runs = {name: EventLog(self._logs / name) for name in names}

    @rank_zero_only
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the network and what augmentation does, before the first epoch."""
        del pl_module
        if trainer.current_epoch == 0:
            self.runs["training"].graph(graph_of(self._network))
            preview = augmentation_preview(self._data, self._seed)
            self.runs["training"].image("images/augmentation", preview, 0)

    @rank_zero_only
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Show the epoch's first batch, as the loader fed it."""
        del pl_module
        if batch_idx == 0 and self._is_snapshot(trainer):
            self.runs["training"].image(
                "images/augmented_batch", grid(batch[0]), trainer.current_epoch
            )

    @rank_zero_only
    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Show the gradients of the epoch's first batch, which is always a whole one.

        Lightning clears them only in the next step.
        """
        del pl_module, outputs, batch
        if batch_idx == 0 and self._is_snapshot(trainer):
            for name, weight in _weights(self._network).items():
                if weight.grad is not None:
                    self._histogram(f"gradients/{name}", weight.grad, trainer.current_epoch)

    @rank_zero_only
    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to watch the hidden layers."""
        del trainer, pl_module
        self._probe.attach()

    @rank_zero_only
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what the hidden layers gave for the validation images."""
        del pl_module
        for layer, moments in self._probe.detach().items():
            self._write_activations(layer, moments, trainer.current_epoch)

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the epoch's figures."""
        del pl_module
        write_curves(self.runs["training"], self.runs["validation"], epoch_metrics(trainer))
        if self._is_snapshot(trainer):
            self._write_snapshot(trainer.current_epoch)
        for log in self.runs.values():
            log.flush()

    @rank_zero_only
    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Close the event files."""
        del trainer, pl_module, stage
        self._close()

    @rank_zero_only
    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Close the event files; Lightning skips `teardown` then."""
        del trainer, pl_module, exception
        self._close()

    def _close(self) -> None:
        self._probe.detach()
        for log in self.runs.values():
            log.close()

    def _is_snapshot(self, trainer: pl.Trainer) -> bool:
        return trainer.current_epoch % self._every == 0

    def _write_activations(self, layer: str, moments: dict[str, Moments], epoch: int) -> None:
        dead = moments.pop("activation").constant_units
        for stage, seen in moments.items():
            run = self.runs[f"after_{stage}"]
            run.scalar(f"activations/{layer}_mean", seen.mean, epoch)
            run.scalar(f"activations/{layer}_std", seen.std, epoch)
        self.runs["validation"].scalar(f"activations/{layer}_dead_units", dead, epoch)

    def _write_snapshot(self, epoch: int) -> None:
        for name, weight in _weights(self._network).items():
            self._histogram(f"weights/{name}", weight, epoch)
        split = self._data.validation
        picture = gallery(split, hardest(self._network, split))
        self.runs["validation"].image("images/hardest", picture, epoch)

    def _histogram(self, tag: str, values: Tensor, epoch: int) -> None:
        self.runs["training"].histogram(tag, values, epoch)


class Curves(pl.Callback):
    """Writes a run's curves alone, for runs that are many and are looked at side by side.

    Args:
        logs: Folder of the runs `training` and `validation`; those that are there are continued.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Open the event files."""
        del trainer, pl_module, stage
        self._training = EventLog(self._logs / "training")
        self._validation = EventLog(self._logs / "validation")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the epoch's figures."""
        del pl_module
        write_curves(self._training, self._validation, epoch_metrics(trainer))
        self._training.flush()
        self._validation.flush()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Close the event files."""
        del trainer, pl_module, stage
        self._close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Close the event files; Lightning skips `teardown` then."""
        del trainer, pl_module, exception
        self._close()

    def _close(self) -> None:
        self._training.close()
        self._validation.close()


def write_curves(training: EventLog, validation: EventLog, row: Mapping[str, float]) -> None:
    """Write a point of each curve: loss and accuracy under the same names in both."""
    epoch = int(row["epoch"])
    training.scalar(f"{CURVES}/loss", row["train_loss"], epoch)
    training.scalar(f"{CURVES}/accuracy", row["train_accuracy"], epoch)
    training.scalar("learning_rate", row["learning_rate"], epoch)
    validation.scalar(f"{CURVES}/loss", row["val_loss"], epoch)
    validation.scalar(f"{CURVES}/accuracy", row["val_accuracy"], epoch)


def grid(images: Tensor) -> npt.NDArray[np.uint8]:
    """The first images of a batch side by side.

    Args:
        images: uint8 [N, H, W, 3].

    Returns:
        uint8 RGB [height, width, 3].
    """
    shown = max(GRID_COLUMNS, GRID_PIXELS // images[0, ..., 0].numel())
    channels_first = images[:shown].cpu().permute(0, 3, 1, 2)
    tiled = make_grid(channels_first, nrow=GRID_COLUMNS, padding=2, pad_value=255)
    return np.ascontiguousarray(tiled.permute(1, 2, 0).numpy())


def _weights(network: MLP) -> dict[str, Tensor]:
    """The matrix of each layer, by the layer's name."""
    layers = {**named_layers(network), "output": network.output}
    return {name: _linear(layer).weight for name, layer in layers.items()}


def _linear(layer: nn.Module) -> nn.Linear:
    """The layer itself, or the first of its parts that is linear."""
    return next(module for module in layer.modules() if isinstance(module, nn.Linear))
