"""What TensorBoard shows of a run beyond its curves: images, histograms, activations, the graph.

`after_linear` and `after_batch_norm` are runs of their own, so that what a hidden layer's units get
before and after batch normalisation shares a chart. Both are measured in the validation pass, over
all its images, by the running statistics, in evaluation mode. In training mode every batch is
normalised by its own statistics, so that mean and standard deviation after it say nothing.

All that is logged in an epoch follows from the state of the training in that epoch, never from
what was logged before: a run continued from any epoch leaves the same files.
"""

import copy
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only
from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.versions_pb2 import VersionDef
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn.functional import cross_entropy

from pipeline.common.datasets import PackedSplit
from pipeline.common.drawing import FAINT, INK, RIGHT, WRONG, image_grid
from pipeline.common.params import TrainParams
from pipeline.train.augmentation import augmentation_preview
from pipeline.train.callbacks import Activations, named_layers
from pipeline.train.datamodule import Batch, ImageDataModule
from pipeline.train.mlp import MLP, predict_logits

if TYPE_CHECKING:
    from pipeline.train.logger import StableTensorBoardLogger

SNAPSHOTS = 10  # of histograms and images in a run: TensorBoard shows no more images of a tag
GRID_COLUMNS = 8
GRID_PIXELS = 2**15  # 32 images of 32 pixels a side, fewer of larger ones


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
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the network and the logger."""
        del stage
        self._network = cast("MLP", pl_module.network)
        self._run = cast("StableTensorBoardLogger", trainer.logger).run

    @rank_zero_only
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Log the epoch's first batch; before all, the graph and what augmentation does."""
        del pl_module
        epoch = trainer.current_epoch
        if batch_idx == 0 and epoch == 0:
            graph = graph_of(self._network).SerializeToString(deterministic=True)
            self._run("training")._get_file_writer().add_event(Event(graph_def=graph))
            images = self._data.train.images
            preview = augmentation_preview(images, self._data.augmentation, self._seed)
            self._run("training").add_picture("images/augmentation", preview, 0)
        # A batch of vectors has no images to show.
        if batch_idx == 0 and epoch % self._every == 0 and self._data.train.vectors is None:
            grid = batch_grid(batch[0])
            self._run("training").add_picture("images/augmented_batch", grid, epoch)

    @rank_zero_only
    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Log the gradients of the epoch's first batch, which Lightning clears in the next step."""
        del pl_module, outputs, batch
        if batch_idx == 0 and trainer.current_epoch % self._every == 0:
            for name, weight in weight_matrices(self._network).items():
                tag, epoch = f"gradients/{name}", trainer.current_epoch
                self._run("training").add_histogram(tag, weight.grad, epoch)

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log activations and weights, and the validation images with the highest losses."""
        del pl_module
        epoch, split = trainer.current_epoch, self._data.validation
        for row in self._activations.rows:
            tag = f"activations/{row['layer']}"
            if row["epoch"] == epoch and row["stage"] == "activation":
                dead = row["constant_units"]
                self._run("validation").add_scalar(f"{tag}_dead_units", dead, epoch)
            elif row["epoch"] == epoch:
                for name in ("mean", "std"):
                    writer = self._run(f"after_{row['stage']}")
                    writer.add_scalar(f"{tag}_{name}", row[name], epoch)
        if epoch % self._every == 0:
            for name, weight in weight_matrices(self._network).items():
                self._run("training").add_histogram(f"weights/{name}", weight, epoch)
            picture = draw_top_losses(split, top_losses(self._network, split))
            self._run("validation").add_picture("images/top_losses", picture, epoch)


def batch_grid(images: Tensor) -> npt.NDArray[np.uint8]:
    """Arrange the first images of a batch, uint8 [N, H, W, 3]."""
    shown = max(GRID_COLUMNS, GRID_PIXELS // images[0, ..., 0].numel())
    return image_grid(list(images[:shown].cpu().numpy()), GRID_COLUMNS, gap=2)


def weight_matrices(network: MLP) -> dict[str, Tensor]:
    """Return the weights of each linear layer, [outputs, inputs], by the layer's name."""
    matrices = [part.weight for part in network.modules() if isinstance(part, nn.Linear)]
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
    order = losses.argsort(descending=True, stable=True)[:count].tolist()
    return pd.DataFrame(
        {
            "row": order,
            "image": [split.names[row] for row in order],
            "loss": losses[order],
            "true": [split.classes[label] for label in split.labels[order]],
            "predicted": [split.classes[label] for label in predicted[order]],
            "probability": probabilities[order],
        }
    )


def draw_top_losses(split: PackedSplit, found: pd.DataFrame) -> npt.NDArray[np.uint8]:
    """Draw the images of `top_losses` with captions: uint8 RGB [height, width, 3]."""
    captions = [
        [
            (one.image, FAINT),
            (f"true: {one.true}", INK),
            (
                f"predicted: {one.predicted} {one.probability:.0%}",
                RIGHT if one.predicted == one.true else WRONG,
            ),
        ]
        for one in found.itertuples()
    ]
    return image_grid(list(split.images[found["row"]]), 4, tile=160, gap=8, captions=captions)


def graph_of(network: MLP) -> GraphDef:
    """Build the graph of a network for TensorBoard: a node per module or operation, with shapes.

    Read by `torch.fx`, whose nodes are the modules as they stand in the code; a traced graph would
    show hundreds of constants and reshapes inside them.

    Args:
        network: On any device, in any mode; left unchanged.
    """
    whole = copy.deepcopy(network).cpu().eval()
    traced = fx.GraphModule(whole, _Tracer().trace(whole))
    inputs = torch.zeros(1, len(network.mean))
    if network.size is not None:
        inputs = torch.zeros(1, network.size, network.size, 3, dtype=torch.uint8)
    ShapeProp(traced).propagate(inputs)
    modules = dict(network.named_modules())
    places = {
        f"hidden.{number}.{child}": f"{layer}/{type(part).__name__}"
        for number, (layer, parts) in enumerate(named_layers(network).items())
        for child, part in parts.named_children()
    }
    names: dict[fx.Node, str] = {}
    graph = GraphDef(versions=VersionDef(producer=22))  # the format that TensorBoard expects
    for node in traced.graph.nodes:
        is_module = node.op == "call_module"
        if node.op == "output":
            names[node] = "logits"
        elif is_module or node.op == "placeholder":
            names[node] = places.get(str(node.target), node.name)
        else:
            names[node] = f"normalise/{node.name}"  # what precedes the layers is one box
        sizes = list(node.meta["tensor_meta"].shape)
        if node.op != "get_attr":
            sizes[0] = -1  # of the batch: any
        dims = [TensorShapeProto.Dim(size=size) for size in sizes]
        shape = AttrValue.ListValue(shape=[TensorShapeProto(dim=dims)])
        attributes = {"_output_shapes": AttrValue(list=shape)}
        if is_module:  # what it was made with, as it prints itself
            settings = modules[str(node.target)].extra_repr()
            attributes["settings"] = AttrValue(s=settings.encode())
        graph.node.append(
            NodeDef(
                name=names[node],
                op=type(modules[str(node.target)]).__name__ if is_module else node.name,
                input=[names[source] for source in node.all_input_nodes],
                attr=attributes,
            )
        )
    return graph


class _Tracer(fx.Tracer):
    """Treat a linear layer as one node, as PyTorch's own modules are."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether to leave the module as it is."""
        return isinstance(m, nn.Linear) or super().is_leaf_module(m, module_qualified_name)
