"""One training run: network, callbacks and Trainer put together."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from torch.nn.functional import cross_entropy

from pipeline.common.errors import TrainingError
from pipeline.common.packed import PackedSplit
from pipeline.common.params import CheckpointParams, EarlyStoppingParams, ModelParams, TrainParams
from pipeline.common.randomness import Purpose, integer_seed
from pipeline.train.callbacks import Epoch, EpochProgress, History
from pipeline.train.classifier import Classifier, class_weights
from pipeline.train.datamodule import VehicleData, channel_statistics
from pipeline.train.hardware import check_instructions, trainer_arguments, use_threads
from pipeline.train.mlp import Mlp
from pipeline.train.resume import BEST, Resume, WholeFiles, claimed
from pipeline.train.tensorboard import TensorBoard

BATCH = 1024  # images at a time where nothing is trained: bounds memory, not results


@dataclass(frozen=True)
class Fit:
    """A finished run.

    Attributes:
        network: The network with the weights that the run ends with, in evaluation mode.
        epochs: The figures of every epoch run.
        used: The epoch whose weights the network has.
        clean_train_loss: Mean cross-entropy of the training images as they are, by those weights:
            an epoch's own training loss is taken with dropout and augmentation, while they change.
    """

    network: Mlp
    epochs: list[Epoch]
    used: int
    clean_train_loss: float

    @property
    def used_epoch(self) -> Epoch:
        """The figures of the epoch whose weights are used."""
        return self.epochs[self.used]

    @property
    def overfitting_gap(self) -> float:
        """Validation less training loss, both of images as they are."""
        return self.used_epoch.val_loss - self.clean_train_loss


def fit(
    network: Mlp,
    data: VehicleData,
    train: TrainParams,
    early_stopping: EarlyStoppingParams,
    checkpoint: CheckpointParams,
    *,
    logs: Path,
    state: Path,
    watchers: Sequence[pl.Callback] | None = None,
) -> Fit:
    """Train a network, or go on training it where an interrupted run stopped.

    Args:
        network: The network, freshly initialised; trained in place.
        data: Training and validation batches.
        train: The optimisation.
        early_stopping: When to stop before the last epoch.
        checkpoint: Whether to go back to the best epoch's weights.
        logs: Folder for TensorBoard's runs; emptied first.
        state: Folder of this very run's state, named by its `fingerprint`. It is left for the
            caller to remove once all results are safe.
        watchers: What shows and records the run beside its history, writing to `logs` if anywhere;
            by default all of TensorBoard and a progress bar.

    Returns:
        The run. Without `checkpoint`, the weights are those of the last epoch run.

    Raises:
        TrainingError: The loss is not finite, another process trains this very run, or the machine
            or this process has not what `train` asks for.
        KeyboardInterrupt: Stopped by a signal; says where the run will go on.
    """
    _quieten()
    check_instructions(train)
    use_threads(train.threads)
    with claimed(state):
        resume = Resume(state, logs)
        start = resume.restore()
        weights = class_weights(train.class_weights, data.train.labels, data.train.classes)
        classifier = Classifier(network, weights, train)
        # `resume` comes first: what the others write in an epoch belongs to that epoch's state.
        history = History()
        if watchers is None:
            watchers = [TensorBoard(logs, network, data, train), EpochProgress()]
        best = _best_checkpoint(checkpoint, state / BEST)
        stopping = _early_stopping(early_stopping)
        callbacks = [resume, history, *watchers, *stopping, *best]
        trainer = pl.Trainer(
            **trainer_arguments(train),
            max_epochs=train.epochs,
            logger=False,  # `TensorBoard` logs
            callbacks=callbacks,
            plugins=[WholeFiles()],
            deterministic=True,
            enable_checkpointing=checkpoint.enabled,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        with _ending_well(trainer, resume):
            trainer.fit(classifier, datamodule=data, ckpt_path=start, weights_only=True)
        used = _restore(classifier, best) if best else len(history.epochs) - 1
        trainer.strategy.barrier()  # other processes read the main one's folder
    network.cpu().eval()
    return Fit(network, history.epochs, used, mean_loss(network, data.train))


def mean_loss(network: Mlp, split: PackedSplit) -> float:
    """Mean cross-entropy, in nats, of a split's images as they are.

    Args:
        network: In evaluation mode.
        split: Read a batch at a time.
    """
    total = 0.0
    with torch.inference_mode():
        for start in range(0, len(split), BATCH):
            rows = slice(start, start + BATCH)
            logits = network(torch.from_numpy(split.images[rows].copy()))
            labels = torch.from_numpy(split.labels[rows].copy())
            total += float(cross_entropy(logits, labels, reduction="sum"))
    return total / len(split)


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
