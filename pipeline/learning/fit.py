"""One training run: network, callbacks and Trainer put together."""

import logging
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from pipeline.learning.callbacks import Epoch, EpochProgress, History
from pipeline.learning.classifier import Classifier, class_weights
from pipeline.learning.datamodule import VehicleData, channel_statistics
from pipeline.learning.mlp import Mlp
from pipeline.params import (
    CheckpointParams,
    EarlyStoppingParams,
    ModelParams,
    TrainParams,
)
from pipeline.randomness import Purpose, integer_seed


@dataclass(frozen=True)
class Fit:
    """A finished run.

    Attributes:
        network: The network with the weights that the run ends with, in evaluation mode.
        epochs: The figures of every epoch run.
        used: The epoch whose weights the network has.
    """

    network: Mlp
    epochs: list[Epoch]
    used: int

    @property
    def used_epoch(self) -> Epoch:
        """The figures of the epoch whose weights are used."""
        return self.epochs[self.used]


def fit(
    network: Mlp,
    data: VehicleData,
    train: TrainParams,
    early_stopping: EarlyStoppingParams,
    checkpoint: CheckpointParams,
    logs: Path,
) -> Fit:
    """Train a network.

    Args:
        network: The network, freshly initialised; trained in place.
        data: Training and validation batches.
        train: The optimisation.
        early_stopping: When to stop before the last epoch.
        checkpoint: Whether to go back to the best epoch's weights.
        logs: Folder for TensorBoard's runs `training` and `validation`.

    Returns:
        The run. Without `checkpoint`, the weights are those of the last epoch run.

    Raises:
        TrainingError: The loss is not finite.
    """
    _quieten()
    torch.set_num_threads(train.threads)
    weights = class_weights(train.class_weights, data.train.labels, data.train.classes)
    classifier = Classifier(network, weights, train)
    history = History(logs)
    with tempfile.TemporaryDirectory(prefix="bluelight-") as folder:
        best = _best_checkpoint(checkpoint, Path(folder))
        callbacks = [history, EpochProgress(), *_early_stopping(early_stopping), *best]
        trainer = pl.Trainer(
            accelerator=train.accelerator,
            devices=1,
            max_epochs=train.epochs,
            logger=False,  # `History` logs, by epoch
            callbacks=callbacks,
            deterministic=True,
            enable_checkpointing=checkpoint.enabled,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(classifier, datamodule=data)
        used = _restore(classifier, best) if best else len(history.epochs) - 1
    final = cast("Mlp", classifier.final)
    return Fit(final.cpu().eval(), history.epochs, used)


def build(model: ModelParams, data: VehicleData, seed: int) -> Mlp:
    """A network for the data, its initial weights drawn from the seed.

    Args:
        model: The architecture.
        data: Its training split gives image size, classes, and each channel's mean and deviation.
        seed: The run's seed.
    """
    torch.manual_seed(integer_seed(seed, Purpose.WEIGHTS))
    mean, deviation = channel_statistics(data.train.images)
    return Mlp(
        size=data.train.images.shape[1],
        classes=len(data.train.classes),
        mean=mean,
        deviation=deviation,
        hidden=model.hidden,
        activation=model.activation,
        batch_norm=model.batch_norm,
        dropout=model.dropout,
    )


def _early_stopping(params: EarlyStoppingParams) -> list[pl.Callback]:
    if not params.enabled:
        return []
    return [
        EarlyStopping(
            monitor=params.monitor,
            mode=params.mode,
            min_delta=params.min_delta,
            patience=params.patience,
            # The end of the training epoch has both splits' figures, so any can be monitored.
            check_on_train_epoch_end=True,
        )
    ]


def _best_checkpoint(params: CheckpointParams, folder: Path) -> list[ModelCheckpoint]:
    if not params.enabled:
        return []
    return [
        ModelCheckpoint(
            dirpath=folder,
            filename="{epoch}",
            monitor=params.monitor,
            mode=params.mode,
            save_top_k=1,
            save_weights_only=True,
            save_on_train_epoch_end=True,
        )
    ]


def _restore(classifier: Classifier, callbacks: list[ModelCheckpoint]) -> int:
    """Go back to the best epoch's weights; returns the epoch."""
    (best,) = callbacks
    saved = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
    classifier.load_state_dict(saved["state_dict"])
    return int(saved["epoch"])


def _quieten() -> None:
    """Silence what Lightning says that is not for a user of this pipeline."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    # It counts the machine's cores and asks for more workers; params.yaml has said how many.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # Its own use of PyTorch, which only its next version can change.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
