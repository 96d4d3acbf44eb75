"""Compare a plain network with a regularised one on the packed data, over several seeds.

    python benchmarks/overfitting.py [SEEDS]

Trains the network of params.yaml twice for each seed on `data/packed`: plain (no batch
normalisation, dropout, augmentation or weight decay, a constant learning rate), and as params.yaml
says. Both runs train for all epochs and keep the last weights. The test images are not read.
"""

import statistics
import sys
import tempfile
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from pipeline.common import paths
from pipeline.common.environment import limit_instructions
from pipeline.common.params import Params, load_params
from pipeline.train.datamodule import ImageDataModule
from pipeline.train.fit import fit

LAST = 5  # epochs over which the end of a run is averaged: single epochs are noisy


def main(seeds: int) -> None:
    """Train and print a table: mean and standard deviation over seeds."""
    params = every_epoch(load_params())
    limit_instructions(torch=params.train.portable)
    table = Table(title=f"{seeds} seeds, {params.train.epochs} epochs; mean ± standard deviation")
    for column in ("", "train acc", "val acc", "least val loss", "final val loss"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, chosen in (("plain", plain(params)), ("regularised", params)):
        table.add_row(name, *summarise([train(chosen, seed) for seed in range(1, seeds + 1)]))
    Console().print(table)


def every_epoch(params: Params) -> Params:
    """Params without early stopping and checkpointing."""
    off = {"enabled": False}
    return params.model_copy(
        update={
            "early_stopping": params.early_stopping.model_copy(update=off),
            "checkpoint": params.checkpoint.model_copy(update=off),
        }
    )


def plain(params: Params) -> Params:
    """Params without any technique."""
    kinds = {name: kind.model_copy(update={"probability": 0.0}) for name, kind in params.augment}
    return params.model_copy(
        update={
            "augment": params.augment.model_copy(update=kinds),
            "model": params.model.model_copy(update={"batch_norm": False, "dropout": 0.0}),
            "train": params.train.model_copy(update={"weight_decay": 0.0, "schedule": "constant"}),
        }
    )


def train(params: Params, seed: int) -> pd.DataFrame:
    """The history of one run."""
    seeded = params.model_copy(update={"train": params.train.model_copy(update={"seed": seed})})
    data = ImageDataModule(paths.PACKED, seeded.augment, seeded.train)
    with tempfile.TemporaryDirectory() as folder:
        logs, state = Path(folder) / "logs", Path(folder) / "state"
        return fit(seeded, data, logs=logs, state=state).history


def summarise(runs: list[pd.DataFrame]) -> list[str]:
    """The cells of a row."""
    columns = [
        [run["train_accuracy"].tail(LAST).mean() for run in runs],
        [run["val_accuracy"].tail(LAST).mean() for run in runs],
        [run["val_loss"].min() for run in runs],
        [run["val_loss"].tail(LAST).mean() for run in runs],
    ]
    return [f"{statistics.mean(c):.3f} ± {statistics.stdev(c):.3f}" for c in columns]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
