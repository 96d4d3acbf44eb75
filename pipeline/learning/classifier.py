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

from pipeline.errors import TrainingError
from pipeline.learning.averaging import moving_average
from pipeline.learning.mixup import mix, mixing_share
from pipeline.learning.schedules import schedule
from pipeline.params import TrainParams
from pipeline.randomness import Purpose, integer_seed

Batch = tuple[Tensor, Tensor]


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
    params, compare like with like. Under mixup the training figures are of the mixtures, which are
    harder: the loss against both labels in their shares, the accuracy against the larger.

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
        self.average = moving_average(network, params.ema_decay) if params.ema_decay else None
        self._params = params
        self.register_buffer("class_weights", torch.tensor(class_weights), persistent=False)
        self.train_meters = Meters(len(class_weights))
        self.val_meters = Meters(len(class_weights))

    @property
    def final(self) -> nn.Module:
        """The network that validation measures and the run ends with: the average, if there is."""
        return self.network if self.average is None else self.average.module

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Give dropout the stream that belongs to this step, however the run came here."""
        torch.manual_seed(integer_seed(self._params.seed, Purpose.DROPOUT, self.global_step))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """The objective of a batch: cross-entropy with smoothed labels and weighted classes.

        Raises:
            TrainingError: The loss is not finite.
        """
        images, targets = self._mixed(batch)
        logits = self.network(images)
        self._record("train", self.train_meters, logits, targets)
        return self._objective(logits, targets)

    def on_train_batch_end(self, *_: object) -> None:
        """Follow the step just made."""
        if self.average is not None:
            self.average.update_parameters(self.network)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Measure a validation batch.

        Raises:
            TrainingError: The loss is not finite.
        """
        images, labels = batch
        self._record("val", self.val_meters, self.final(images), labels)

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's own type
        """AdamW (Loshchilov & Hutter, 2019); fused, or it would cost more than the network."""
        optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=self._params.learning_rate,
            weight_decay=self._params.weight_decay,
            fused=True,
        )
        steps = int(self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": schedule(optimizer, self._params, steps)}

    def _mixed(self, batch: Batch) -> Batch:
        if self._params.mixup == 0:
            return batch
        share = mixing_share(self._params.mixup, self._params.seed, self.global_step)
        return mix(*batch, classes=len(self.class_weights), share=share)

    def _objective(self, logits: Tensor, targets: Tensor) -> Tensor:
        losses = cross_entropy(
            logits,
            targets,
            weight=self.class_weights,
            label_smoothing=self._params.label_smoothing,
            reduction="none",
        )
        # Not divided by the batch's own sum of weights, which changes from batch to batch.
        return losses.mean()

    def _record(self, split: str, meters: Meters, logits: Tensor, targets: Tensor) -> None:
        loss = cross_entropy(logits.detach(), targets)
        if not torch.isfinite(loss):
            raise TrainingError(self._diverged(split, loss))
        labels = targets if targets.ndim == 1 else targets.argmax(dim=1)
        meters.update(logits, labels, loss)
        figures: dict[str, Any] = {
            f"{split}_loss": meters.loss,
            f"{split}_accuracy": meters.accuracy,
        }
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
