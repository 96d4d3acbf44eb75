"""The network as ONNX, built from its weights node by node.

No exporter is involved: the graph is as short as the network, has the same bytes each time, and
needs no torch.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.helper import (
    make_graph,
    make_model,
    make_node,
    make_opsetid,
    make_tensor_value_info,
    set_model_props,
)

from pipeline.common.artifact import NetworkDescription, Weights
from pipeline.common.errors import ArtifactError

INPUT = "images"
OUTPUT = "logits"

# Fixed, lest a new version of the library changes the bytes; Gelu came with opset 20.
OPSET = 20
IR_VERSION = 9

LARGEST = 2**31 - 1  # bytes; protobuf writes no more
EPSILON = 1e-5  # of torch's BatchNorm1d

OPERATORS = {"relu": "Relu", "gelu": "Gelu", "tanh": "Tanh", "sigmoid": "Sigmoid"}


def build_onnx(weights: Weights, description: NetworkDescription) -> bytes:
    """The network in evaluation mode as an ONNX file.

    Its input `images` is uint8 RGB [N, size, size, 3], its output `logits` float32 [N, classes].
    The metadata has the classes, as JSON.

    Args:
        weights: The tensors of `pipeline.train.mlp.MLP`, by their names there.
        description: The architecture.

    Raises:
        ArtifactError: The weights do not fit the description, or are too large for the format.
    """
    size = sum(value.nbytes for value in weights.values())
    if size > LARGEST - 2**20:
        raise ArtifactError(
            f"the network has {size / 2**30:.1f} GiB of weights, and an ONNX file holds 2 at most; "
            "lower pack.size or model.hidden"
        )
    try:
        model = _model(weights, description)
        onnx.checker.check_model(model, full_check=True)
    except (KeyError, onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        raise ArtifactError(
            f"the weights do not fit their model.json ({' '.join(str(error).split())}); make both "
            "with `dvc repro --force train`"
        ) from None
    return bytes(model.SerializeToString(deterministic=True))


def _model(weights: Weights, description: NetworkDescription) -> ModelProto:
    size, classes = description.size, description.classes
    constants = _constants(weights, description)
    graph = make_graph(
        list(_nodes(description)),
        "mlp",
        [make_tensor_value_info(INPUT, TensorProto.UINT8, ["N", size, size, 3])],
        [make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", len(classes)])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = make_model(
        graph,
        opset_imports=[make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="bluelight",
    )
    set_model_props(model, {"classes": json.dumps(classes, ensure_ascii=False)})
    return model


def _constants(
    weights: Weights, description: NetworkDescription
) -> dict[str, npt.NDArray[np.generic]]:
    """Every tensor of the graph, by name; the channels' statistics as often as there are pixels."""
    pixels = description.size**2
    learnt = [name for node in _nodes(description) for name in node.input if "." in name]
    return {
        "full_range": np.array(255, dtype=np.float32),
        "mean": np.tile(weights["mean"], pixels),
        "deviation": np.tile(weights["deviation"], pixels),
        **{name: weights[name] for name in learnt},
    }


def _nodes(description: NetworkDescription) -> Iterator[NodeProto]:
    """Flatten → normalise → hidden layers → Gemm.

    A value has a plain name; a tensor has that of the network's, which has a dot in it.
    """
    yield make_node("Flatten", [INPUT], ["bytes"])
    yield make_node("Cast", ["bytes"], ["values"], to=TensorProto.FLOAT)
    yield make_node("Div", ["values", "full_range"], ["scaled"])
    yield make_node("Sub", ["scaled", "mean"], ["centred"])
    yield make_node("Div", ["centred", "deviation"], ["layer_0"])
    layers = len(description.architecture["hidden"])
    for layer in range(layers):
        yield from _hidden_layer(layer, description.architecture)
    yield _linear(f"layer_{layers}", OUTPUT, "output", bias=True)


def _hidden_layer(layer: int, architecture: Mapping[str, Any]) -> Iterator[NodeProto]:
    """Gemm → BatchNormalization → activation, as `mlp.hidden_layer` has it."""
    name, sums = f"hidden.{layer}", f"sums_{layer}"
    batch_norm = architecture["batch_norm"]
    yield _linear(f"layer_{layer}", sums, f"{name}.0", bias=not batch_norm)
    if batch_norm:
        learnt = [f"{name}.1.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        normed = f"normed_{layer}"
        yield make_node("BatchNormalization", [sums, *learnt], [normed], epsilon=EPSILON)
        sums = normed
    yield make_node(OPERATORS[architecture["activation"]], [sums], [f"layer_{layer + 1}"])


def _linear(inputs: str, output: str, name: str, *, bias: bool) -> NodeProto:
    learnt = [f"{name}.weight", f"{name}.bias"] if bias else [f"{name}.weight"]
    return make_node("Gemm", [inputs, *learnt], [output], transB=1)
