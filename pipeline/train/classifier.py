"""The LightningModule: network, objective, optimiser, learning-rate schedule and metrics."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from pipeline.common.errors import TrainingError
from pipeline.common.params import ModelParams, TrainParams
from pipeline.common.randomness import Purpose, integer_seed
from pipeline.train.datamodule import Batch, ImageDataModule
from pipeline.train.hardware import average_statistics
from pipeline.train.mlp import MLP


class Classifier(pl.LightningModule):
    """Train and apply a network that maps images, or vectors of them, to logits.

    Logs `{train,val,test}_{loss,accuracy}` and `learning_rate` once an epoch: the training metrics
    as the network met each batch, with dropout and augmentation. Losses are plain mean
    cross-entropies, whatever is minimised, so that the gap between them, and runs with other
    params, compare like with like.

    A checkpoint holds all arguments as plain values: `Classifier.load_from_checkpoint(path)` needs
    nothing else.

    Args:
        model: The architecture.
        train: The optimisation; its seed draws the initial weights.
        data: `ImageDataModule.description` of the training images.

    Raises:
        TrainingError: Classes are to be balanced, and one has no image.
    """

    class_weights: Tensor

    def __init__(
        self,
        model: ModelParams | Mapping[str, Any],
        train: TrainParams | Mapping[str, Any],
        data: Mapping[str, Any],
    ) -> None:
        super().__init__()
        architecture = ModelParams.model_validate(model)
        self._params = TrainParams.model_validate(train)
        # The result does not depend on the number of workers, nor may a checkpoint's bytes.
        optimisation = self._params.model_dump() | {"workers": 0}
        plain = {"model": architecture.model_dump(), "train": optimisation, "data": dict(data)}
        self.save_hyperparameters(plain)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(integer_seed(self._params.seed, Purpose.WEIGHTS))
            self.network = MLP(
                size=data["size"],
                classes=len(data["classes"]),
                mean=data["mean"],
                std=data["std"],
                **architecture.model_dump(),
            )
        weights = class_weights(self._params.class_weights, data["counts"], data["classes"])
        self.register_buffer("class_weights", torch.tensor(weights), persistent=False)
        self.meters = nn.ModuleDict()
        for split in ("train", "val", "test"):
            # Each image counts once, however batches differ in size.
            self.meters[f"{split}_loss"] = MeanMetric()
            self.meters[f"{split}_accuracy"] = MulticlassAccuracy(
                num_classes=len(data["classes"]), average="micro", validate_args=False
            )
        self._rate = self._params.learning_rate

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute logits, float32 [N, classes]; see `MLP.forward`."""
        logits: Tensor = self.network(inputs)
        return logits

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Give dropout the stream of this step and process, however the run came here."""
        # Noted now: when an epoch ends, the schedule has moved on to the next one's.
        self._rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        seed = integer_seed(self._params.seed, Purpose.DROPOUT, self.global_step, self.global_rank)
        if self.device.type == "cpu":
            # Without a GPU `torch.manual_seed` formats the call stack, for a CUDA that may come.
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Compute the objective of a batch: cross-entropy, smoothed and weighted as params say.

        Raises:
            TrainingError: The loss is not finite.
        """
        inputs, labels = batch
        logits = self(inputs)
        self._measure("train", logits, labels)
        losses = cross_entropy(
            logits,
            labels,
            weight=self.class_weights,
            label_smoothing=self._params.label_smoothing,
            reduction="none",
        )
        # Not divided by the batch's own sum of weights, which changes from batch to batch.
        objective = losses.mean()
        if self._trainer and self.trainer.world_size > 1:
            # DDP averages over processes as if all had as many images.
            images_here = torch.tensor(float(len(labels)), device=self.device)
            total = self.trainer.strategy.reduce(images_here.clone(), reduce_op="sum")
            objective = objective * (len(labels) * self.trainer.world_size / float(total))
        return objective

    # Logged when an epoch ends: at each step, `self.log` would cost as much as a forward pass.
    def on_train_epoch_end(self) -> None:
        """Log the training metrics, and the learning rate of the epoch's last step."""
        self._log("train")
        self.log("learning_rate", torch.tensor(self._rate, dtype=torch.float64))

    def on_validation_start(self) -> None:
        """Measure one network, not one for each process: on CPUs each has its own statistics."""
        if self.trainer.world_size > 1:
            average_statistics(self, self.trainer.strategy)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Measure a validation batch.

        Raises:
            TrainingError: The loss is not finite.
        """
        inputs, labels = batch
        self._measure("val", self(inputs), labels)

    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics."""
        self._log("val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Measure a test batch."""
        inputs, labels = batch
        self._measure("test", self(inputs), labels)

    def on_test_epoch_end(self) -> None:
        """Log the test metrics."""
        self._log("test")

    def predict_step(self, batch: Batch | Tensor, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Compute class probabilities, float32 [N, classes], of a batch with or without labels."""
        inputs = batch if isinstance(batch, Tensor) else batch[0]
        probabilities: Tensor = self(inputs).softmax(dim=1)
        return probabilities

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's own type
        """AdamW (Loshchilov & Hutter, 2019); fused, or it would cost more than the network."""
        optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=self._params.learning_rate,
            weight_decay=self._params.weight_decay,
            fused=True,
        )
        schedule = learning_rate_schedule(optimizer, self._params, self._steps_per_epoch())
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def _steps_per_epoch(self) -> int:
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, ImageDataModule):
            # Lightning's own estimate would make the workers fetch the first epoch, before a
            # resumed run knows which epoch is its own.
            return len(data.train_dataloader())
        return int(self.trainer.estimated_stepping_batches) // (self.trainer.max_epochs or 1)

    def _measure(self, split: str, logits: Tensor, labels: Tensor) -> None:
        loss = cross_entropy(logits.detach(), labels)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"{split}_loss became {loss.item()} in epoch {self.current_epoch}, step "
                f"{self.global_step}; lower train.learning_rate (now "
                f"{self._params.learning_rate:g}) or switch on model.batch_norm"
            )
        mean_loss: Any = self.meters[f"{split}_loss"]
        accuracy: Any = self.meters[f"{split}_accuracy"]
        mean_loss.update(loss, weight=len(labels))
        accuracy.update(logits.detach(), labels)

    def _log(self, split: str) -> None:
        for metric in ("loss", "accuracy"):
            meter: Any = self.meters[f"{split}_{metric}"]
            self.log(f"{split}_{metric}", meter)


def learning_rate_schedule(
    optimizer: Optimizer, params: TrainParams, steps_per_epoch: int
) -> dict[str, Any]:
    """Configure `train.schedule` in the form in which Lightning takes it.

    Every schedule keeps its state in `state_dict`, and has made its step by the time the callbacks
    see an epoch's end, so a run continues from a checkpoint written there as if never interrupted.

    Args:
        optimizer: What to drive; its rate is `train.learning_rate`.
        params: The optimisation.
        steps_per_epoch: Batches in an epoch.

    Raises:
        TrainingError: The run has too few batches for the warm-up.
    """
    steps = params.epochs * steps_per_epoch
    match params.schedule:
        case "constant":
            return {"scheduler": ConstantLR(optimizer, factor=1.0)}
        case "cosine":  # from the rate to 0, by epoch (Loshchilov & Hutter, 2017)
            return {"scheduler": CosineAnnealingLR(optimizer, params.epochs)}
        case "one_cycle":  # up, then down to almost 0, by batch (Smith, 2018)
            if params.warmup * steps <= 1:  # at one step exactly, PyTorch would divide by zero
                raise TrainingError(
                    f"train.warmup is {params.warmup:g} of {steps} steps, less than two; raise "
                    "it, or train.epochs"
                )
            rate, share = params.learning_rate, params.warmup
            cycle = OneCycleLR(optimizer, max_lr=rate, total_steps=steps, pct_start=share)
            return {"scheduler": cycle, "interval": "step"}
        case "plateau":  # down whenever the validation loss has not fallen for some epochs
            factor, patience = params.plateau_factor, params.plateau_patience
            plateau = ReduceLROnPlateau(optimizer, factor=factor, patience=patience)
            # Not by "epoch": see the table in `pipeline.train.resume`.
            step = {"interval": "step", "frequency": steps_per_epoch}
            return {"scheduler": plateau, "monitor": "val_loss", **step}


def class_weights(kind: str, counts: Sequence[int], classes: Sequence[str]) -> list[float]:
    """Compute what an image of each class weighs in the objective; on average 1.

    Args:
        kind: `none`: all the same; `balanced`: every class the same in sum, whatever its images.
        counts: Training images of each class.
        classes: Their names.

    Raises:
        TrainingError: A class to be balanced has no image.
    """
    if kind == "none":
        return [1.0] * len(classes)
    missing = [name for name, count in zip(classes, counts, strict=True) if count == 0]
    if missing:
        raise TrainingError(
            f"no training image of {', '.join(missing)}, so train.class_weights cannot be "
            "balanced; set it to none or add images"
        )
    return [sum(counts) / (len(classes) * count) for count in counts]
