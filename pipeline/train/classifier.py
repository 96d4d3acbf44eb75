"""The LightningModule: network, objective, optimiser, learning-rate schedule and metrics."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import AdamW
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from pipeline.common.errors import TrainingError
from pipeline.common.params import ModelParams, TrainParams
from pipeline.common.randomness import Purpose, integer_seed
from pipeline.train.datamodule import Batch, ImageDataModule
from pipeline.train.mlp import MLP


class Classifier(pl.LightningModule):
    """Train and apply a network that maps images, or vectors of them, to logits.

    Logs `{train,val,test}_{loss,accuracy}` and `learning_rate` once an epoch. Training metrics are
    those of each batch as it was trained on, with dropout and augmentation. Losses are plain mean
    cross-entropies, also where the objective is smoothed or weighted, so that splits and runs can
    be compared.

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
        classes, counts = data["classes"], data["counts"]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(integer_seed(self._params.seed, Purpose.WEIGHTS))
            self.network = MLP(
                size=data["size"],
                classes=len(classes),
                mean=data["mean"],
                std=data["std"],
                **architecture.model_dump(),
            )
        weights = [1.0] * len(classes)
        if self._params.class_weights == "balanced":  # every class the same in sum
            missing = [name for name, count in zip(classes, counts, strict=True) if count == 0]
            if missing:
                raise TrainingError(
                    f"no training image of {', '.join(missing)}, so train.class_weights cannot be "
                    "balanced; set it to none or add images"
                )
            weights = [sum(counts) / (len(classes) * count) for count in counts]
        self.register_buffer("class_weights", torch.tensor(weights), persistent=False)
        self.meters = nn.ModuleDict()
        for split in ("train", "val", "test"):
            # Each image counts once, however batches differ in size.
            self.meters[f"{split}_loss"] = MeanMetric()
            self.meters[f"{split}_accuracy"] = MulticlassAccuracy(
                num_classes=len(classes), average="micro", validate_args=False
            )
        self._rate = self._params.learning_rate

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute logits, float32 [N, classes]; see `MLP.forward`."""
        logits: Tensor = self.network(inputs)
        return logits

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Give dropout the stream of this step and process, however the run came here."""
        # Noted now: when an epoch ends, the schedule has moved on to the next one's.
        self._rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        seed = integer_seed(self._params.seed, Purpose.DROPOUT, self.global_step, self.global_rank)
        if self.device.type == "cpu":
            # Without a GPU `torch.manual_seed` formats the call stack, for a CUDA that may come.
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
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
            for name, statistic in self.named_buffers():
                if name.endswith(("running_mean", "running_var")):
                    mean = self.trainer.strategy.reduce(statistic.clone(), reduce_op="mean")
                    statistic.copy_(mean)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure a validation batch.

        Raises:
            TrainingError: The loss is not finite.
        """
        inputs, labels = batch
        self._measure("val", self(inputs), labels)

    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics."""
        self._log("val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Measure a test batch."""
        inputs, labels = batch
        self._measure("test", self(inputs), labels)

    def on_test_epoch_end(self) -> None:
        """Log the test metrics."""
        self._log("test")

    def predict_step(self, batch: Batch | Tensor, batch_idx: int) -> Tensor:
        """Compute class probabilities, float32 [N, classes], of a batch with or without labels."""
        inputs = batch if isinstance(batch, Tensor) else batch[0]
        probabilities: Tensor = self(inputs).softmax(dim=1)
        return probabilities

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's own type
        """AdamW (Loshchilov & Hutter, 2019) with the schedule of `train.schedule`.

        Every schedule keeps its state in `state_dict`, and has made its step by the time the
        callbacks see an epoch's end, so a run continues from a checkpoint written there as if it
        had never been interrupted.

        Raises:
            TrainingError: The run has too few batches for the warm-up.
        """
        params = self._params
        rate, decay = params.learning_rate, params.weight_decay
        # Fused, or it would cost more than the network.
        adam = AdamW(self.network.parameters(), lr=rate, weight_decay=decay, fused=True)
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, ImageDataModule):
            # Lightning's own estimate would make the workers fetch the first epoch, before a
            # resumed run knows which epoch is its own.
            steps_per_epoch = len(data.train_dataloader())
        else:
            steps = int(self.trainer.estimated_stepping_batches)
            steps_per_epoch = steps // (self.trainer.max_epochs or 1)
        schedule: dict[str, Any]
        match params.schedule:
            case "constant":
                schedule = {"scheduler": ConstantLR(adam, factor=1.0)}
            case "cosine":  # from the rate to 0, by epoch (Loshchilov & Hutter, 2017)
                schedule = {"scheduler": CosineAnnealingLR(adam, params.epochs)}
            case "one_cycle":  # up, then down to almost 0, by batch (Smith, 2018)
                total, share = params.epochs * steps_per_epoch, params.warmup
                if share * total <= 1:  # at one step exactly, PyTorch would divide by zero
                    raise TrainingError(
                        f"train.warmup is {share:g} of {total} steps, less than two; raise it, or "
                        "train.epochs"
                    )
                cycle = OneCycleLR(adam, max_lr=rate, total_steps=total, pct_start=share)
                schedule = {"scheduler": cycle, "interval": "step"}
            case "plateau":  # down whenever the validation loss has not fallen for some epochs
                factor, patience = params.plateau_factor, params.plateau_patience
                plateau = ReduceLROnPlateau(adam, factor=factor, patience=patience)
                # Not by "epoch": see the table in `pipeline.train.resume`.
                step = {"interval": "step", "frequency": steps_per_epoch}
                schedule = {"scheduler": plateau, "monitor": "val_loss", **step}
        return {"optimizer": adam, "lr_scheduler": schedule}

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
