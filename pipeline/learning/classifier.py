"""The LightningModule: loss, optimiser, schedule and metrics around a network."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from pipeline.errors import TrainingError
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
        self.loss.update(loss.detach(), weight=len(labels))
        self.accuracy.update(logits.detach(), labels)


class Classifier(pl.LightningModule):
    """Trains a network that maps uint8 images to logits.

    Logs `train_loss`, `train_accuracy`, `val_loss` and `val_accuracy` once an epoch: the training
    figures as the network met each batch, dropout and augmentation included.

    Args:
        network: uint8 [N, H, W, 3] → float32 [N, classes].
        classes: Number of classes.
        params: The optimisation.
    """

    def __init__(self, network: nn.Module, classes: int, params: TrainParams) -> None:
        super().__init__()
        self.network = network
        self._params = params
        self.train_meters = Meters(classes)
        self.val_meters = Meters(classes)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Give dropout the stream that belongs to this step, however the run came here."""
        seed = integer_seed(self._params.seed, Purpose.DROPOUT, self.global_step)
        if self.device.type == "cpu":
            # Without a GPU `torch.manual_seed` formats the call stack, for a CUDA that may come.
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Mean cross-entropy of a batch.

        Raises:
            TrainingError: The loss is not finite.
        """
        return self._measure("train", self.train_meters, batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Measure a validation batch.

        Raises:
            TrainingError: The loss is not finite.
        """
        self._measure("val", self.val_meters, batch)

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's own type
        """AdamW (Loshchilov & Hutter, 2019); fused, or it would cost more than the network."""
        optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=self._params.learning_rate,
            weight_decay=self._params.weight_decay,
            fused=True,
        )
        if self._params.schedule == "constant":
            return optimizer
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self._params.epochs)
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def _measure(self, split: str, meters: Meters, batch: Batch) -> Tensor:
        images, labels = batch
        logits = self.network(images)
        loss = cross_entropy(logits, labels)
        if not torch.isfinite(loss):
            raise TrainingError(self._diverged(split, loss))
        meters.update(logits, labels, loss)
        figures: dict[str, Any] = {
            f"{split}_loss": meters.loss,
            f"{split}_accuracy": meters.accuracy,
        }
        if self.trainer.is_last_batch:  # the meters need no more, and logging is slow
            self.log_dict(figures, on_step=False, on_epoch=True, logger=False)
        return loss

    def _diverged(self, split: str, loss: Tensor) -> str:
        return (
            f"{split}_loss became {loss.item()} in epoch {self.current_epoch}, step "
            f"{self.global_step}; lower train.learning_rate (now "
            f"{self._params.learning_rate:g}) or switch on model.batch_norm"
        )
