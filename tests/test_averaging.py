"""The moving average: what it averages, and that validation, choice and result all use it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.dataset.packed import load_packed
from pipeline.learning.averaging import moving_average
from pipeline.learning.classifier import Classifier
from pipeline.learning.datamodule import VehicleData
from pipeline.learning.fit import Fit, build, fit
from pipeline.params import Params
from tests.conftest import Pack
from tests.resuming import resumes_exactly


def averaging(params: Params, **changes: Any) -> Params:
    update = {"ema_decay": 0.8, "learning_rate": 0.05, "schedule": "constant"} | changes
    return params.model_copy(update={"train": params.train.model_copy(update=update)})


@pytest.fixture
def folders(pack: Pack) -> tuple[Path, Path]:
    return pack("train", 64), pack("validation", 40)


def run(params: Params, folders: tuple[Path, Path]) -> Fit:
    data = VehicleData(*folders, params.augment, seed=1, batch_size=16, workers=0)
    network = build(params.model, data, 1)
    logs = folders[0].parent / "logs"
    return fit(network, data, params.train, params.early_stopping, params.checkpoint, logs)


def loss(network: nn.Module, folder: Path) -> float:
    split = load_packed(folder)
    with torch.inference_mode():
        logits = network(torch.from_numpy(split.images.copy()))
    return float(nn.functional.cross_entropy(logits, torch.from_numpy(split.labels)))


def test_it_is_the_exponential_average_of_the_steps() -> None:
    network = nn.Linear(1, 1, bias=False)
    average = moving_average(network, decay=0.5)
    expected = 0.0
    for step, value in enumerate([4.0, 1.0, -2.0, 8.0, 3.0] * 4):
        nn.init.constant_(network.weight, value)
        average.update_parameters(network)
        decay = min(0.5, (1 + step) / (10 + step)) if step else 0.0
        expected = decay * expected + (1 - decay) * value
    assert float(average.module.weight) == pytest.approx(expected)  # type: ignore[arg-type]


def test_batch_statistics_are_averaged_with_the_weights() -> None:
    network = nn.BatchNorm1d(1)
    average = moving_average(network, decay=0.1)
    network.running_mean = torch.tensor([2.0])
    average.update_parameters(network)
    network.running_mean = torch.tensor([12.0])
    average.update_parameters(network)
    assert float(average.module.running_mean) == pytest.approx(0.1 * 2 + 0.9 * 12)  # type: ignore[arg-type]


@pytest.mark.parametrize("checkpoint", [True, False])
def test_the_result_is_the_average_that_was_validated(
    params: Params, folders: tuple[Path, Path], checkpoint: bool
) -> None:
    chosen = params.checkpoint.model_copy(update={"enabled": checkpoint})
    changed = averaging(params, epochs=6).model_copy(update={"checkpoint": chosen})
    averaged = run(changed, folders)
    assert loss(averaged.network, folders[1]) == pytest.approx(averaged.used_epoch.val_loss, 1e-4)
    plain = run(averaging(changed, ema_decay=0.0, epochs=6), folders)
    assert plain.epochs[0].train_loss == averaged.epochs[0].train_loss
    assert plain.used_epoch.val_loss != pytest.approx(averaged.used_epoch.val_loss, 1e-3)


def test_it_does_not_change_the_steps(params: Params, folders: tuple[Path, Path]) -> None:
    losses = [
        [row.train_loss for row in run(averaging(params, ema_decay=decay), folders).epochs]
        for decay in (0.0, 0.9)
    ]
    assert losses[0] == losses[1]


def test_only_the_network_is_trained(params: Params, folders: tuple[Path, Path]) -> None:
    data = VehicleData(*folders, params.augment, seed=1, batch_size=16, workers=0)
    network = build(params.model, data, 1)
    module = Classifier(network, [1.0, 1.0], averaging(params).train)
    trained = [weight for weight in module.parameters() if weight.requires_grad]
    assert [id(weight) for weight in trained] == [id(weight) for weight in network.parameters()]


def test_a_run_in_two_halves_equals_a_run_in_one(
    params: Params, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    assert resumes_exactly(averaging(params, epochs=4), folders, tmp_path / "half.ckpt")
