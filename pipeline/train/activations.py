"""What the hidden layers give: figures read off passes that are made anyway.

Hooks only look on, so no pass is made twice, no random number is drawn and no running statistic
moves: training is the same to the bit with them and without.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, cast

import pandas as pd
import pytorch_lightning as pl
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pipeline.train.mlp import ACTIVATIONS, MLP


@dataclass
class Moments:
    """Running sums over everything that one module has given."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    least: Tensor | None = None
    greatest: Tensor | None = None

    def add(self, values: Tensor) -> None:
        """Add a batch: float [N, units]."""
        batch = values.detach().cpu().double()
        self.count += batch.numel()
        self.total += float(batch.sum())
        self.squares += float(batch.square().sum())
        least, greatest = batch.amin(dim=0), batch.amax(dim=0)
        self.least = least if self.least is None else self.least.minimum(least)
        self.greatest = greatest if self.greatest is None else self.greatest.maximum(greatest)

    @property
    def mean(self) -> float:
        """Over all images and units."""
        return self.total / self.count

    @property
    def std(self) -> float:
        """Standard deviation over all images and units."""
        return float(max(self.squares / self.count - self.mean**2, 0.0) ** 0.5)

    @property
    def constant_units(self) -> float:
        """Share of units that gave every image the same value."""
        if self.least is None or self.greatest is None:
            return 0.0
        return float(self.least.eq(self.greatest).double().mean())


class ActivationProbe:
    """Watches a network's hidden layers between `attach` and `detach`.

    Args:
        network: The network to watch.
    """

    def __init__(self, network: MLP) -> None:
        self._network = network
        self._handles: list[RemovableHandle] = []
        self._moments: dict[str, dict[str, Moments]] = {}

    def attach(self) -> None:
        """Begin to watch, from nothing."""
        self.detach()
        self._moments = {}
        for layer, parts in named_layers(self._network).items():
            self._moments[layer] = defaultdict(Moments)
            for part in parts.children():
                if stage := _stage(part):
                    self._handles.append(self._watch(part, self._moments[layer], stage))

    def detach(self) -> dict[str, dict[str, Moments]]:
        """Stop watching; returns what was seen: layer → `linear`, `batch_norm`, `activation`."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        return self._moments

    def _watch(self, part: nn.Module, moments: dict[str, Moments], stage: str) -> RemovableHandle:
        def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            del module, inputs
            moments[stage].add(output)

        return part.register_forward_hook(add)


class ActivationHistory(pl.Callback):
    """Record mean and standard deviation of the hidden layers in every epoch, on one process.

    They are taken over all validation images and units.

    Attributes:
        rows: One for each epoch, layer and stage (`linear`, `batch_norm`, `activation`), with the
            columns `epoch`, `layer`, `stage`, `mean` and `std`.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    @property
    def table(self) -> pd.DataFrame:
        """The rows as a table."""
        return pd.DataFrame(self.rows, columns=["epoch", "layer", "stage", "mean", "std"])

    def state_dict(self) -> dict[str, Any]:
        """The rows so far, for the checkpoint of an interrupted run."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the rows before the interruption."""
        self.rows[:] = state_dict["rows"]

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Find the hidden layers."""
        del trainer, stage
        self._probe = ActivationProbe(cast("MLP", pl_module.network))

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to watch."""
        del trainer, pl_module
        self._probe.attach()

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep what was seen."""
        del pl_module
        self.rows += [
            {
                "epoch": trainer.current_epoch,
                "layer": layer,
                "stage": stage,
                "mean": moments.mean,
                "std": moments.std,
            }
            for layer, stages in self._probe.detach().items()
            for stage, moments in stages.items()
        ]


def named_layers(network: MLP) -> dict[str, nn.Module]:
    """The hidden layers as `layer_1`, `layer_2` and so on."""
    return {f"layer_{number}": layer for number, layer in enumerate(network.hidden, start=1)}


def _stage(part: nn.Module) -> str | None:
    if isinstance(part, nn.Linear):
        return "linear"
    if isinstance(part, nn.BatchNorm1d):
        return "batch_norm"
    return "activation" if isinstance(part, tuple(ACTIVATIONS.values())) else None
