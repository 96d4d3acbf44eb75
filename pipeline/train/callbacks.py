"""Callbacks that record or show a run: history, activations, TensorBoard's pictures, progress bar.

`after_linear` and `after_batch_norm` are runs of their own in TensorBoard, so that the inputs and
outputs of batch normalisation share a chart. They are measured in the validation pass: in training
every batch is normalised by its own statistics, so mean and standard deviation say nothing.

All that is logged in an epoch follows from the state of the training in that epoch, never from
what was logged before: a run continued from any epoch leaves the same files.
"""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.utilities import rank_zero_only
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.versions_pb2 import VersionDef
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.tensorboard._proto_graph import node_proto

from pipeline.common.datasets import PackedSplit, write_table
from pipeline.common.drawing import FAINT, INK, RIGHT, WRONG, image_grid
from pipeline.common.parallel import progress_bar
from pipeline.common.params import TrainParams
from pipeline.train.augmentation import augmentation_preview
from pipeline.train.datamodule import Batch, ImageDataModule
from pipeline.train.mlp import ACTIVATIONS, MLP, Linear, predict_logits

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

    from pipeline.train.logger import StableTensorBoardLogger

LOGGED = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate")

# What `Activations` measures, by what computes it.
STAGES: dict[type[nn.Module], str] = {Linear: "linear", nn.BatchNorm1d: "batch_norm"}
STAGES |= dict.fromkeys(ACTIVATIONS.values(), "activation")

SNAPSHOTS = 10  # of histograms and images in a run: TensorBoard shows no more images of a tag
BATCH_SHOWN = 32  # images of an augmented batch


class Recorder(pl.Callback):
    """A callback whose `rows` are part of a checkpoint, so that a continued run has them all."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def state_dict(self) -> dict[str, Any]:
        """Return the rows so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the rows before the interruption."""
        self.rows[:] = state_dict["rows"]


class History(Recorder, Checkpoint):
    """Record the metrics of every epoch, and what early stopping made of them.

    A `Checkpoint`, because Lightning calls those last when an epoch ends: early stopping has
    decided by then.

    Args:
        path: The table is written there after each epoch, so that `dvc plots` shows a run while
            it trains; None to write no file.

    Attributes:
        rows: One per finished epoch: `epoch`, mean cross-entropies, accuracies, and the learning
            rate of the last step (`LOGGED`). `early_stopping_best` is the best value so far by
            Lightning's EarlyStopping, which an improvement must beat by `min_delta`;
            `early_stopping_wait` counts the epochs since. Both are None without it.
    """

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        self._path = path

    @property
    def table(self) -> pd.DataFrame:
        """The rows as a table; a missing value is NaN or NA."""
        types = {"early_stopping_best": "float64", "early_stopping_wait": "Int64"}
        return pd.DataFrame(self.rows).astype(types)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the epoch that has just ended."""
        stopping = trainer.early_stopping_callback
        self.rows.append(
            {
                "epoch": trainer.current_epoch,
                **{name: float(trainer.callback_metrics[name]) for name in LOGGED},
                "early_stopping_best": float(stopping.best_score) if stopping else None,
                "early_stopping_wait": stopping.wait_count if stopping else None,
            }
        )
        if self._path is not None and trainer.is_global_zero:
            write_table(self._path, self.table)


class Activations(Recorder):
    """Measure the outputs of the hidden layers over the validation images, on one process.

    Hooks read the pass that validation makes anyway: no random number is drawn and no running
    statistic moves, so training is the same to the bit with them and without.

    Attributes:
        rows: One for each epoch, layer and stage (`linear`, `batch_norm`, `activation`): mean and
            standard deviation over all images and units, and the share of units whose output was
            the same for every image.
    """

    def __init__(self) -> None:
        super().__init__()
        self._hooks: list[RemovableHandle] = []

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start measuring."""
        self._outputs: dict[tuple[str, str], list[Tensor]] = {}
        for layer, parts in named_layers(cast("MLP", pl_module.network)).items():
            for part in parts.children():
                if type(part) in STAGES:
                    outputs = self._outputs[layer, STAGES[type(part)]] = []
                    self._hooks.append(part.register_forward_hook(partial(_measure, outputs)))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop; keep what was measured."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        for (layer, stage), batches in self._outputs.items():
            counts, totals, squares, least, greatest = torch.stack(batches, dim=1)
            count = float(counts.sum())
            mean = float(totals.sum()) / count
            std = max(float(squares.sum()) / count - mean**2, 0.0) ** 0.5
            constant = float(least.amin(dim=0).eq(greatest.amax(dim=0)).double().mean())
            place = {"epoch": trainer.current_epoch, "layer": layer, "stage": stage}
            self.rows.append(place | {"mean": mean, "std": std, "constant_units": constant})


def _measure(
    outputs: list[Tensor], module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
) -> None:
    """Reduce a batch, float [N, units], to count, sum, squares, least and greatest of each unit."""
    del module, inputs
    batch = output.detach().cpu().double()
    count = torch.full_like(batch[0], len(batch))
    sums = (batch.sum(dim=0), batch.square().sum(dim=0))
    outputs.append(torch.stack([count, *sums, batch.amin(dim=0), batch.amax(dim=0)]))


class TrainingPictures(pl.Callback):
    """Log images, histograms, activations and the graph of a run, on the main process.

    Args:
        data: The images.
        train: How many epochs there will be, and the seed.
        activations: Measures the hidden layers; stands before this callback in the Trainer's list.
    """

    def __init__(self, data: ImageDataModule, train: TrainParams, activations: Activations) -> None:
        self._data = data
        self._seed = train.seed
        self._every = -(-train.epochs // SNAPSHOTS)
        self._activations = activations

    @rank_zero_only
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the graph and what augmentation does, unless a run continues."""
        self._network = cast("MLP", pl_module.network)
        self._run = cast("StableTensorBoardLogger", trainer.logger).run
        if trainer.current_epoch == 0:
            writer, images = self._run("training"), self._data.train.images
            writer.add_event(Event(graph_def=graph_of(self._network)))
            preview = augmentation_preview(images, self._data.augmentation, self._seed)
            writer.add_image("images/augmentation", preview, 0, dataformats="HWC")

    @rank_zero_only
    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Log an epoch's first batch, where it has images, and its gradients."""
        epoch, writer = trainer.current_epoch, self._run("training")
        if batch_idx > 0 or epoch % self._every:
            return
        if self._data.train.vectors is None:
            grid = image_grid(list(batch[0][:BATCH_SHOWN].cpu().numpy()), 8, gap=2)
            writer.add_image("images/augmented_batch", grid, epoch, dataformats="HWC")
        for name, weight in weight_matrices(self._network).items():
            writer.add_histogram(f"gradients/{name}", weight.grad, epoch)

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log activations and weights, and the validation images with the highest losses."""
        epoch, split, writer = trainer.current_epoch, self._data.validation, self._run("validation")
        for row in self._activations.rows:
            tag = f"activations/{row['layer']}"
            if row["epoch"] == epoch and row["stage"] == "activation":
                writer.add_scalar(f"{tag}_dead_units", row["constant_units"], epoch)
            elif row["epoch"] == epoch:
                for name in ("mean", "std"):
                    self._run(f"after_{row['stage']}").add_scalar(f"{tag}_{name}", row[name], epoch)
        if epoch % self._every == 0:
            for name, weight in weight_matrices(self._network).items():
                self._run("training").add_histogram(f"weights/{name}", weight, epoch)
            picture = draw_top_losses(split, top_losses(self._network, split))
            writer.add_image("images/top_losses", picture, epoch, dataformats="HWC")


def named_layers(network: MLP) -> dict[str, nn.Module]:
    """Name the hidden layers `layer_1`, `layer_2` and so on."""
    return {f"layer_{number}": layer for number, layer in enumerate(network.hidden, start=1)}


def weight_matrices(network: MLP) -> dict[str, Tensor]:
    """Return the weights of each linear layer, [outputs, inputs], by the layer's name."""
    matrices = [part.weight for part in network.modules() if isinstance(part, Linear)]
    return dict(zip([*named_layers(network), "output"], matrices, strict=True))


def top_losses(network: MLP, split: PackedSplit, count: int = 12) -> pd.DataFrame:
    """Find the images with the highest loss, highest first; of equals, the earlier in the split.

    Args:
        network: Evaluated in evaluation mode, and left in the mode it is in.
        split: The images.
        count: How many to return; fewer where the split has fewer.

    Returns:
        Columns `row` (in the split), `image` (its name), `loss` (cross-entropy in nats), `true` and
        `predicted` (names of classes), and `probability` (of the predicted class).
    """
    logits = predict_logits(network, split.inputs)
    losses = cross_entropy(logits, torch.from_numpy(split.labels), reduction="none")
    probabilities, predicted = logits.softmax(dim=1).max(dim=1)
    classes = np.array(split.classes)
    table = pd.DataFrame(
        {
            "row": np.arange(len(split)),
            "image": split.names,
            "loss": losses.numpy(),
            "true": classes[split.labels],
            "predicted": classes[predicted.numpy()],
            "probability": probabilities.numpy(),
        }
    )
    ordered = table.sort_values("loss", ascending=False, kind="stable", ignore_index=True)
    return ordered.head(count)


def draw_top_losses(split: PackedSplit, found: pd.DataFrame) -> npt.NDArray[np.uint8]:
    """Draw the images of `top_losses` with captions: uint8 RGB [height, width, 3]."""
    captions = []
    for one in found.itertuples():
        colour = RIGHT if one.predicted == one.true else WRONG
        predicted = (f"predicted: {one.predicted} {one.probability:.0%}", colour)
        captions.append([(one.image, FAINT), (f"true: {one.true}", INK), predicted])
    return image_grid(list(split.images[found["row"]]), 4, tile=160, gap=8, captions=captions)


def graph_of(network: MLP) -> bytes:
    """Build the graph of a network for TensorBoard: its modules in their order, with shapes.

    PyTorch's own, of a traced network, shows hundreds of constants and reshapes inside them.

    Returns:
        A serialised `GraphDef`, the same in every process: its maps have no order of their own.
    """
    values = network.places * len(network.mean)
    image = [values] if network.size is None else [network.size, network.size, 3]
    parts: list[tuple[str, list[int], nn.Module | None]] = [
        ("inputs", image, None),
        ("normalise", [values], None),
    ]
    for layer, modules in named_layers(network).items():
        for module in modules.children():
            values = getattr(module, "out_features", values)
            parts.append((f"{layer}/{type(module).__name__}", [values], module))
    classes = [network.output.out_features]
    parts += [("output", classes, network.output), ("logits", classes, None)]
    graph, before = GraphDef(versions=VersionDef(producer=22)), None  # TensorBoard's format
    for name, sizes, part in parts:
        kind, settings = (type(part).__name__, part.extra_repr()) if part else (name, "")
        shape = (-1, *sizes)  # of any number of images
        node = node_proto(name, kind, before, outputsize=shape, attributes=settings)
        graph.node.append(node)
        before = name
    return bytes(graph.SerializeToString(deterministic=True))


class Progress(pl.Callback):
    """Show one bar over all epochs where stderr is a terminal; say where a run continues."""

    def __init__(self) -> None:
        self._bar = ExitStack()

    @rank_zero_only
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the bar, from where the run continues."""
        done, total = trainer.current_epoch, trainer.max_epochs
        if done:
            print(f"train: continuing after {done} of {total} epochs", flush=True)
        self._show = self._bar.enter_context(progress_bar("epoch", total))
        self._show(done)

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Advance by an epoch."""
        loss, accuracy = (trainer.callback_metrics[f"val_{name}"] for name in ("loss", "accuracy"))
        metrics = f"epoch  val loss {loss:.3f}  accuracy {accuracy:.3f}"
        self._show(trainer.current_epoch + 1, metrics)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the finished bar on the terminal."""
        self._bar.close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Give the terminal back."""
        self._bar.close()
