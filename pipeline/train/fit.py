"""One training run: network, callbacks and Trainer put together."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from torch.nn.functional import cross_entropy

from pipeline.common.errors import TrainingError
from pipeline.common.params import (
    CheckpointParams,
    EarlyStoppingParams,
    LearningParams,
    ModelParams,
)
from pipeline.common.randomness import Purpose, integer_seed
from pipeline.train.callbacks import History, Progress
from pipeline.train.classifier import Classifier, class_weights
from pipeline.train.datamodule import ImageDataModule, channel_statistics
from pipeline.train.hardware import check_instructions, trainer_arguments, use_threads
from pipeline.train.mlp import MLP, predict_logits
from pipeline.train.resume import BEST, Resume, WholeFiles, claimed
from pipeline.train.tensorboard import Curves, TensorBoard


@dataclass(frozen=True)
class Fit:
    """A finished run.

    Attributes:
        network: The network with the weights that the run ends with, in evaluation mode.
        history: A row per epoch, with the columns of `History`.
        used_epoch: The epoch whose weights the network has.
        metrics: `epochs_run`, `used_epoch`, the losses and accuracies of that epoch, and
            `unaugmented_train_loss`: the mean cross-entropy of the training images without
            augmentation and dropout, as the epoch's own training loss has both, and is taken while
            the weights change. `overfitting_gap` is the validation loss minus it.
    """

    network: MLP
    history: pd.DataFrame
    used_epoch: int
    metrics: dict[str, float]


def fit(
    params: LearningParams,
    data: ImageDataModule,
    *,
    logs: Path,
    state: Path,
    callbacks: Sequence[pl.Callback] | None = None,
) -> Fit:
    """Train a network, or continue an interrupted run.

    Args:
        params: Network, optimisation and callbacks.
        data: Training and validation batches.
        logs: Folder for TensorBoard's runs; emptied first. Losses, accuracies and the learning
            rate are always logged.
        state: Folder of this very run's state, named by its `fingerprint`. It is left for the
            caller to remove once all results are safe.
        callbacks: What else shows or records the run; by default the rest of TensorBoard and a
            progress bar.

    Returns:
        The run. Without `checkpoint`, the weights are those of the last epoch run.

    Raises:
        TrainingError: The loss is not finite, another process trains this very run, or the machine
            or this process has not what `train` asks for.
        KeyboardInterrupt: Stopped by a signal; says where the run will go on.
    """
    _quieten()
    train = params.train
    check_instructions(train)
    use_threads(train.threads)
    with claimed(state):
        resume = Resume(state, logs)
        start = resume.restore()
        network = build(params.model, data, train.seed)
        weights = class_weights(train.class_weights, data.train.labels, data.train.classes)
        classifier = Classifier(network, weights, train)
        history = History()
        if callbacks is None:
            watchers: list[pl.Callback] = [TensorBoard(logs, network, data, train), Progress()]
        else:
            watchers = [Curves(logs), *callbacks]
        best = _best_checkpoint(params.checkpoint, state / BEST)
        trainer = pl.Trainer(
            **trainer_arguments(train),
            max_epochs=train.epochs,
            logger=False,  # `TensorBoard` logs
            # `resume` comes first: what the others write in an epoch belongs to its state.
            callbacks=[
                resume,
                *watchers,
                *_early_stopping(params.early_stopping),
                *best,
                history,
            ],
            plugins=[WholeFiles()],
            deterministic=True,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        with _ending_well(trainer, resume):
            trainer.fit(classifier, datamodule=data, ckpt_path=start, weights_only=True)
        used = _restore(classifier, best) if best else len(history.rows) - 1
        trainer.strategy.barrier()  # other processes read the main one's folder
    network.cpu().eval()
    return Fit(network, history.table, used, _metrics(network, data, history.rows, used))


def _metrics(
    network: MLP, data: ImageDataModule, rows: list[dict[str, float]], used: int
) -> dict[str, float]:
    """The metrics of a finished run."""
    labels = torch.from_numpy(data.train.labels)
    training = float(cross_entropy(predict_logits(network, data.train.images), labels))
    losses = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")
    return {
        "epochs_run": len(rows),
        "used_epoch": used,
        **{name: rows[used][name] for name in losses},
        "unaugmented_train_loss": training,
        "overfitting_gap": rows[used]["val_loss"] - training,
    }


@contextmanager
def _ending_well(trainer: pl.Trainer, resume: Resume) -> Iterator[None]:
    """Forget a run that cannot succeed; of one that was interrupted, say where it goes on."""
    try:
        yield
    except TrainingError:
        resume.forget()
        raise
    except SystemExit:  # what Lightning makes of an interrupt
        raise KeyboardInterrupt(_where(resume)) from None
    except RuntimeError:
        # A signal to the whole group also ends workers, which looks like a crash of theirs.
        if not trainer.received_sigterm:
            raise
        raise KeyboardInterrupt(_where(resume)) from None


def _where(resume: Resume) -> str:
    done = resume.epochs_done
    return f"goes on after {done} epochs" if done else "starts it again"


def build(model: ModelParams, data: ImageDataModule, seed: int) -> MLP:
    """A network for the data, its initial weights drawn from the seed.

    Args:
        model: The architecture.
        data: Its training split gives image size, classes, and each channel's mean and deviation.
        seed: The run's seed.
    """
    torch.manual_seed(integer_seed(seed, Purpose.WEIGHTS))
    mean, deviation = channel_statistics(data.train.images)
    return MLP(
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
            # A resumed run writes the same epochs again, over what it left.
            enable_version_counter=False,
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
    # That of an interrupted run, which goes on.
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* is not empty.*")
    # Its own use of PyTorch, which only its next version can change.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
