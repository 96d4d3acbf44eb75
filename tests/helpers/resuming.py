"""A training that is cut after some epochs and continues from its checkpoint."""

from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor

from pipeline.common.params import Params
from pipeline.train.classifier import Classifier
from pipeline.train.datamodule import ImageDataModule
from pipeline.train.fit import _silence_lightning


@dataclass(frozen=True)
class Run:
    """The learning rate of every step, and all that the module holds at the end."""

    rates: list[float]
    state: dict[str, Tensor]


class Recorder(pl.Callback):
    """Notes each step's rate; writes a checkpoint at the end of one epoch."""

    def __init__(self, path: Path, epoch: int) -> None:
        self.rates: list[float] = []
        self._path = path
        self._epoch = epoch

    def on_train_batch_start(self, trainer: pl.Trainer, *_: object) -> None:
        self.rates.append(float(trainer.optimizers[0].param_groups[0]["lr"]))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        del pl_module
        if trainer.current_epoch == self._epoch:
            trainer.save_checkpoint(self._path)


def train(params: Params, packed: Path, path: Path, *, resume: bool = False) -> Run:
    """Train `params.train.epochs` epochs; the checkpoint of the middle goes to, or is, `path`."""
    _silence_lightning()
    settings = params.train
    data = ImageDataModule(packed, params.augment, settings)
    classifier = Classifier(params.model, settings, data.description)
    recorder = Recorder(path, -1 if resume else settings.epochs // 2 - 1)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=settings.epochs,
        logger=False,
        callbacks=[recorder],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(classifier, datamodule=data, ckpt_path=path if resume else None, weights_only=True)
    return Run(recorder.rates, classifier.state_dict())


def resumes_exactly(params: Params, packed: Path, path: Path) -> bool:
    """Whether a run in two halves takes the steps, and ends in the bits, of a run in one."""
    whole = train(params, packed, path)
    torch.rand(3)  # what the global generator holds must not matter
    rest = train(params, packed, path, resume=True)
    pairs = zip(whole.state.values(), rest.state.values(), strict=True)
    same = all(torch.equal(one, other) for one, other in pairs)
    return same and rest.rates == whole.rates[-len(rest.rates) :] and len(rest.rates) > 0
