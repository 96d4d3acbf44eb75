"""Behaviour of Lightning that exact continuation relies on: a new release may change it.

Each test names the behaviour. The table in `pipeline.train.resume` says what is done about it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytorch_lightning as pl
import torch

from pipeline.common.params import Params
from pipeline.train.classifier import Classifier
from pipeline.train.datamodule import Batch, ImageDataModule
from pipeline.train.fit import fit
from pipeline.train.resume import Resume
from tests.helpers.data import Pack

EPOCHS, BATCHES, STOPPED = 6, 4, 3

Step = tuple[int, int, float, int]


class Recorder(pl.Callback):
    """Record each step, as (epoch, batch, rate, hash of the images); stop before an epoch.

    Args:
        stop: The epoch that is not begun.
    """

    def __init__(self, stop: int = EPOCHS) -> None:
        self.steps: list[Step] = []
        self._stop = stop

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        del pl_module
        if trainer.current_epoch == self._stop:
            raise KeyboardInterrupt

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        del pl_module
        rate = float(trainer.optimizers[0].param_groups[0]["lr"])
        images = hash(batch[0].numpy().tobytes())
        self.steps.append((trainer.current_epoch, batch_idx, rate, images))


class Runs(NamedTuple):
    """The steps of a run that was never interrupted, and of the second half of one that was."""

    whole: list[Step]
    rest: list[Step]

    @property
    def expected(self) -> list[Step]:
        return [step for step in self.whole if step[0] >= STOPPED]


Interrupt = Callable[..., Runs]


@pytest.fixture
def interrupt(
    pack: Pack, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Interrupt:
    """Train whole, then again with an interruption after half of the epochs."""
    monkeypatch.setattr("pipeline.train.resume.WORK_PER_WRITING", 0)  # a state for each epoch
    pack("train", 16 * BATCHES)
    packed = pack("validation", 40).parent

    def train(folder: Path, recorder: Recorder, **changes: Any) -> list[Step]:
        update = {"epochs": EPOCHS, "learning_rate": 0.1, **changes}
        # Without batch normalisation, small rates change the loss by less than a threshold.
        model = params.model.model_copy(update={"batch_norm": False})
        chosen = params.model_copy(
            update={"model": model, "train": params.train.model_copy(update=update)}
        )
        data = ImageDataModule(packed, chosen.augment, chosen.train)
        try:
            fit(chosen, data, logs=folder / "logs", state=folder / "state", callbacks=[recorder])
        except KeyboardInterrupt as stopped:
            assert str(stopped) == f"continues after {STOPPED} epochs"  # noqa: PT017
        return recorder.steps

    def run(**changes: Any) -> Runs:
        whole = train(tmp_path / "whole", Recorder(), **changes)
        train(tmp_path / "halves", Recorder(stop=STOPPED), **changes)
        return Runs(whole, train(tmp_path / "halves", Recorder(), **changes))

    return run


def test_restarting(interrupt: Interrupt) -> None:
    """Lightning continues within an epoch: `fit_loop.restarting` makes it skip batches."""
    runs = interrupt()
    places = [(epoch, batch) for epoch, batch, *_ in runs.rest]
    assert places == [(e, b) for e in range(STOPPED, EPOCHS) for b in range(BATCHES)]
    assert runs.rest == runs.expected


def test_plateau(interrupt: Interrupt) -> None:
    """Lightning steps an "epoch" plateau schedule after checkpoints are saved, or not at all."""
    runs = interrupt(schedule="plateau", plateau_patience=0, learning_rate=1e-6)
    assert len({rate for _, _, rate, _ in runs.whole}) == EPOCHS - 1, "each but the first stalls"
    assert runs.rest == runs.expected


def test_sampler(interrupt: Interrupt) -> None:
    """Lightning calls the sampler's `set_epoch` after the workers began to fetch."""
    runs = interrupt(workers=1)
    assert runs.rest == runs.expected


@pytest.mark.parametrize("schedule", ["one_cycle", "plateau"])
def test_steps(interrupt: Interrupt, schedule: str) -> None:
    """Lightning's `estimated_stepping_batches` makes workers fetch before the epoch is known."""
    runs = interrupt(workers=1, schedule=schedule)
    assert runs.rest == runs.expected


def test_monitoring_callbacks_are_called_last(pack: Pack, params: Params, tmp_path: Path) -> None:
    """Lightning calls EarlyStopping and all `Checkpoint` callbacks last, in the list's order.

    So `History`, which is one, reads what early stopping has just decided.
    """
    pack("train", 16 * BATCHES)
    data = ImageDataModule(pack("validation", 40).parent, params.augment, params.train)
    stopping = params.early_stopping.model_copy(update={"min_delta": 9.0, "patience": 2})
    train = params.train.model_copy(update={"epochs": EPOCHS})
    chosen = params.model_copy(update={"early_stopping": stopping, "train": train})
    history = fit(chosen, data, logs=tmp_path / "logs", state=tmp_path / "state").history
    assert history["early_stopping_wait"].tolist() == [0, 1, 2]


def test_building_the_module_leaves_the_global_generator(pack: Pack, params: Params) -> None:
    """PyTorch's `fork_rng` restores the global generator, which users may have seeded."""
    pack("train", 16)
    data = ImageDataModule(pack("validation", 16).parent, params.augment, params.train)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    Classifier(params.model, params.train, data.description)
    assert torch.equal(torch.rand(2), expected)


def test_resume_is_the_first_callback(pack: Pack, params: Params, tmp_path: Path) -> None:
    """Lightning calls callbacks in the list's order, but for `Checkpoint`s: `Resume` is none."""
    pack("train", 16 * BATCHES)
    data = ImageDataModule(pack("validation", 40).parent, params.augment, params.train)
    seen: list[pl.Callback] = []

    class First(pl.Callback):
        def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            del pl_module
            seen.extend(trainer.callbacks)  # type: ignore[attr-defined]

    fit(params, data, logs=tmp_path / "logs", state=tmp_path / "state", callbacks=[First()])
    assert isinstance(seen[0], Resume)
