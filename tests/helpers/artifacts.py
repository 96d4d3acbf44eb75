"""Small networks with weights at random, as `train` and `package` would write them."""

from pathlib import Path
from typing import Any

import torch

from pipeline.common import paths
from pipeline.common.artifact import (
    ONNX,
    WEIGHTS,
    Decision,
    Description,
    NetworkDescription,
    Weights,
    parse_weights,
    read_network,
    sha256_of,
    write_artifact,
    write_network,
)
from pipeline.common.params import load_params
from pipeline.package.onnx_graph import build_onnx
from pipeline.package.stage import model_card
from pipeline.train.mlp import MLP
from tests.helpers.imports import ROOT

ARCHITECTURE: dict[str, Any] = {
    "hidden": [6, 4],
    "activation": "tanh",  # of random weights, few rectified units would be alive
    "batch_norm": True,
    "dropout": 0.5,
}
CLASSES = ["other", "emergency"]
DECISION = Decision(temperature=1.5, positive="emergency", threshold=0.4, rule="cost")


def network(size: int = 8, classes: int = 2, **architecture: Any) -> MLP:
    """A network whose batch normalisation has seen something, in evaluation mode."""
    torch.manual_seed(0)
    model = MLP(
        size=size,
        classes=classes,
        mean=[0.5, 0.4, 0.3],
        std=[0.2, 0.25, 0.3],
        **ARCHITECTURE | architecture,
    )
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):
            for values in (layer.weight.data, layer.bias.data, layer.running_mean):
                assert values is not None
                values.normal_()
            assert layer.running_var is not None
            layer.running_var.uniform_(0.5, 2)
    return model.eval()


def weights_of(model: MLP) -> Weights:
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def describe(model: MLP, classes: list[str], **architecture: Any) -> NetworkDescription:
    return NetworkDescription(
        version="0",
        classes=classes,
        size=model.size or 64,
        features={"kind": "pixels" if model.size else "hog"},
        mean=model.mean.tolist(),
        std=model.std.tolist(),
        architecture=ARCHITECTURE | architecture,
        training={"augment": load_params(ROOT / "params.yaml").augment.model_dump()},
        data={"images": {"training": 10, "validation": 5}, "content_hash": "0" * 64},
        metrics={"loss": 0.5, "accuracy": 0.75},
    )


def write(
    folder: Path,
    model: MLP | None = None,
    *,
    classes: list[str] = CLASSES,
    decision: Decision = DECISION,
    data_source: str = "synthetic",
    **architecture: Any,
) -> Path:
    """Write an artifact of this network, beside what `train` would have left."""
    model = model or network(classes=len(classes), **architecture)
    source = folder.with_name(f"{folder.name}-{paths.NETWORK.name}")
    write_network(source, weights_of(model), describe(model, classes, **architecture))
    description, weights = read_network(source)
    onnx = build_onnx(parse_weights(weights), description, None, decision, "mit")
    whole = Description(
        **description.model_dump(exclude={"data"}),
        data=description.data | {"source": data_source},
        name=paths.MODEL.name,
        decision=decision,
        sha256=sha256_of({WEIGHTS: weights, ONNX: onnx}),
    )
    write_artifact(folder, whole, weights, onnx, model_card(whole, "mit"))
    return folder
