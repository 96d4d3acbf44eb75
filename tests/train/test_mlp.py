"""The network: shapes, what each technique adds, and normalisation on the inside."""

from typing import Any

import pytest
import torch
from torch import nn

from pipeline.train.mlp import ACTIVATIONS, MLP

DEFAULTS: dict[str, Any] = {
    "size": 8,
    "classes": 3,
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.2, 0.2],
    "hidden": [16, 8],
    "activation": "relu",
    "batch_norm": True,
    "dropout": 0.5,
}
IMAGES = torch.randint(0, 256, (5, 8, 8, 3), dtype=torch.uint8)


def network(**changes: Any) -> MLP:
    torch.manual_seed(0)
    return MLP(**(DEFAULTS | changes))


def kinds(model: MLP) -> list[str]:
    names = [type(m).__name__ for m in model.modules() if not list(m.children())]
    return [name for name in names if name != "Sequential"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_logits_of_every_class(activation: str) -> None:
    logits = network(activation=activation)(IMAGES)
    assert logits.shape == (5, 3)
    assert logits.dtype == torch.float32


def test_order_of_layers() -> None:
    block = ["Linear", "BatchNorm1d", "ReLU", "Dropout"]
    assert kinds(network()) == [*block, *block, "Linear"]
    assert kinds(network(batch_norm=False, dropout=0.0)) == ["Linear", "ReLU"] * 2 + ["Linear"]


def test_no_hidden_layer_is_logistic_regression() -> None:
    assert kinds(network(hidden=[])) == ["Linear"]


def test_dropout_per_layer() -> None:
    rates = [m.p for m in network(dropout=[0.3, 0.1]).modules() if isinstance(m, nn.Dropout)]
    assert rates == [0.3, 0.1]


def test_dropout_only_while_training() -> None:
    model = network()
    assert not torch.equal(model.train()(IMAGES), model(IMAGES))
    assert torch.equal(model.eval()(IMAGES), model(IMAGES))


def test_normalisation_is_inside() -> None:
    model = network(hidden=[]).eval()
    scaled = (IMAGES / 255 - torch.tensor(DEFAULTS["mean"])) / torch.tensor(DEFAULTS["std"])
    torch.testing.assert_close(model(IMAGES), model.output(scaled.flatten(1)))


def test_normalisation_is_saved_with_the_weights() -> None:
    assert {"mean", "std"} <= network().state_dict().keys()
