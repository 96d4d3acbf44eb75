"""This pipeline: `fit` with all callbacks, as stage `train` calls it, and all augmentations."""

import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytorch_lightning as pl

from benchmarks.speed.contestant import BATCH, DROPOUT, HIDDEN, arguments, report
from pipeline.common.environment import limit_instructions
from pipeline.common.params import AugmentParams, KindParams, Params, load_params
from pipeline.train import fit as fitting
from pipeline.train.datamodule import ImageDataModule


class Stopwatch(pl.Callback):
    """Record when each epoch starts and when its training batches are done; end the run.

    Args:
        epochs: After how many.
    """

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._starts: list[float] = []
        self._trained: list[float] = []

    def on_train_epoch_start(self, *_: object) -> None:
        """The epoch starts."""
        self._starts.append(time.perf_counter())

    def on_validation_start(self, *_: object) -> None:
        """The last training batch is done."""
        self._trained.append(time.perf_counter())

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop a run that is planned to be longer: what it does only now and then stays rare."""
        del pl_module
        trainer.should_stop = trainer.current_epoch + 1 >= self._epochs

    def on_train_end(self, *_: object) -> None:
        """The last epoch is over, its callbacks and checkpoint included."""
        self._starts.append(time.perf_counter())

    def seconds(self) -> dict[str, list[float]]:
        """Of each epoch: all of it, and the part up to the last training batch."""
        return {
            "epoch": [end - start for start, end in pairwise(self._starts)],
            "training": [
                end - start for start, end in zip(self._starts, self._trained, strict=False)
            ],
        }


def chosen(params: Params, threads: int, *, portable: bool) -> Params:
    """The project's params with the network of the others and all kinds of augmentation."""
    train = {"batch_size": BATCH, "threads": threads, "portable": portable}
    model: dict[str, Any] = {"hidden": list(HIDDEN), "batch_norm": True, "dropout": DROPOUT}
    return params.model_copy(
        update={
            "augment": everything(params.augment),
            "model": params.model.model_copy(update=model),
            "train": params.train.model_copy(update=train),
        }
    )


def everything(params: AugmentParams) -> AugmentParams:
    """All kinds on that the others have too: params.yaml leaves only the vertical flip off."""
    augment = params.model_copy(update={"vertical_flip": KindParams(probability=0.5)})
    off = [name for name, kind in augment if kind.probability == 0 and name != "scale"]
    if off:
        raise SystemExit(f"augment has no {', '.join(off)} in params.yaml: nothing to compare with")
    return augment


def train(params: Params, packed: Path, epochs: int) -> Stopwatch:
    """Train as stage `train` does, with the stopwatch in place of the progress bar."""
    data = ImageDataModule(packed, params.augment, params.train)
    stopwatch = Stopwatch(epochs)
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(fitting, "Progress", lambda: stopwatch),
    ):
        fitting.fit(params, data, logs=Path(folder) / "logs", state=Path(folder) / "state")
    return stopwatch


def main(*, portable: bool = True) -> None:
    """Train and report."""
    given = arguments()
    params = chosen(load_params(), given.threads, portable=portable)
    limit_instructions(torch=params.train.portable)
    report(**train(params, Path(given.data) / "packed", given.epochs).seconds())


if __name__ == "__main__":
    main()
