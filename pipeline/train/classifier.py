"""The LightningModule: loss, optimiser, schedule and metrics around a network."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from pipeline.common.errors import TrainingError
from pipeline.common.params import TrainParams
from pipeline.common.randomness import Purpose, integer_seed
from pipeline.train.datamodule import Batch, ImageDataModule
from pipeline.train.hardware import average_statistics
from pipeline.train.schedules import schedule


class Meters(nn.Module):
    """Loss and accuracy of an epoch, each image counting once however batches differ in size."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.loss = MeanMetric()
        self.accuracy = MulticlassAccuracy(num_classes=classes, average="micro")

    def update(self, logits: Tensor, labels: Tensor, loss: Tensor) -> None:
        """Add a batch: logits float32 [N, classes], labels int64 [N], its mean loss."""
        self.loss.update(loss, weight=len(labels))
        self.accuracy.update(logits.detach(), labels)


class Classifier(pl.LightningModule):
    """Trains a network that maps uint8 images to logits.

    Logs `train_loss`, `train_accuracy`, `val_loss` and `val_accuracy` once an epoch: the training
    figures as the network met each batch, dropout and augmentation included. Both losses are plain
    mean cross-entropies, whatever is minimised, so that the gap between them, and runs with other
    params, compare like with like.

    Attributes:
        learning_rate: Of the latest step.

    Args:
        network: uint8 [N, H, W, 3] → float32 [N, classes].
        class_weights: What an image of each class weighs in the objective.
        params: The optimisation.
    """

    class_weights: Tensor

    def __init__(
        self, network: nn.Module, class_weights: Sequence[float], params: TrainParams
    ) -> None:
        super().__init__()
        self.network = network
        self._params = params
        self.register_buffer("class_weights", torch.tensor(class_weights), persistent=False)
        self.train_meters = Meters(len(class_weights))
        self.val_meters = Meters(len(class_weights))
        self.learning_rate = params.learning_rate

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Give dropout the stream of this step and process, however the run came here."""
        # Noted now: when an epoch ends, the schedule has moved on to the next one's.
        self.learning_rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        place = self.global_step, self.global_rank
        seed = integer_seed(self._params.seed, Purpose.DROPOUT, *place)
        if self.device.type == "cpu":
            # Without a GPU `torch.manual_seed` formats the call stack, for a CUDA that may come.
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """The objective of a batch: cross-entropy with smoothed labels and weighted classes.

        Raises:
            TrainingError: The loss is not finite.
        """
        images, labels = batch
        logits = self.network(images)
        self._record("train", self.train_meters, logits, labels)
        return self._objective(logits, labels)

    def on_validation_start(self) -> None:
        """Measure one network, not one for each process: on CPUs each has its own statistics."""
        if self.trainer.world_size > 1:
            average_statistics(self, self.trainer.strategy)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Measure a validation batch.

        Raises:
            TrainingError: The loss is not finite.
        """
        images, labels = batch
        self._record("val", self.val_meters, self.network(images), labels)

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's own type
        """AdamW (Loshchilov & Hutter, 2019); fused, or it would cost more than the network."""
        optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=self._params.learning_rate,
            weight_decay=self._params.weight_decay,
            fused=True,
        )
        # Not Lightning's own estimate: asked for it, the workers begin to fetch the first epoch,
        # before a resumed run knows which epoch is its own.
        data: ImageDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        steps = self._params.epochs * len(data.train_dataloader())
        return {"optimizer": optimizer, "lr_scheduler": schedule(optimizer, self._params, steps)}

    def _objective(self, logits: Tensor, labels: Tensor) -> Tensor:
        losses = cross_entropy(
            logits,
            labels,
            weight=self.class_weights,
            label_smoothing=self._params.label_smoothing,
            reduction="none",
        )
        # Not divided by the batch's own sum of weights, which changes from batch to batch.
        return losses.mean() * self._part_of_batch(len(losses))

    def _part_of_batch(self, images: int) -> float:
        """What this process's mean counts, since DDP averages as if all had as many images."""
        processes = self.trainer.world_size if self._trainer else 1
        if processes == 1:
            return 1.0
        total = self.trainer.strategy.reduce(
            torch.tensor(float(images), device=self.device), reduce_op="sum"
        )
        return images * processes / float(total)

    def _record(self, split: str, meters: Meters, logits: Tensor, labels: Tensor) -> None:
        loss = cross_entropy(logits.detach(), labels)
        if not torch.isfinite(loss):
            raise TrainingError(self._diverged(split, loss))
        meters.update(logits, labels, loss)
        figures: dict[str, Any] = {
            f"{split}_loss": meters.loss,
            f"{split}_accuracy": meters.accuracy,
        }
        # The meters need no more than one call an epoch, and logging is slow.
        if self._trainer is None or self.trainer.is_last_batch:
            self.log_dict(figures, on_step=False, on_epoch=True, logger=False)

    def _diverged(self, split: str, loss: Tensor) -> str:
        return (
            f"{split}_loss became {loss.item()} in epoch {self.current_epoch}, step "
            f"{self.global_step}; lower train.learning_rate (now "
            f"{self._params.learning_rate:g}) or switch on model.batch_norm"
        )


def class_weights(kind: str, labels: npt.NDArray[np.int64], classes: Sequence[str]) -> list[float]:
    """What an image of each class weighs in the objective; an image weighs 1 on average.

    Args:
        kind: `none`: all the same; `balanced`: every class the same in sum, whatever its images.
        labels: int64 [N], of the training images.
        classes: Their names.

    Raises:
        TrainingError: A class to be balanced has no image.
    """
    if kind == "none":
        return [1.0] * len(classes)
    counts = np.bincount(labels, minlength=len(classes))
    if not counts.all():
        missing = ", ".join(name for name, count in zip(classes, counts, strict=True) if count == 0)
        raise TrainingError(
            f"no training image of {missing}, so train.class_weights cannot be balanced; set it "
            "to none or add images"
        )
    weights: list[float] = (len(labels) / (len(classes) * counts)).tolist()
    return weights
