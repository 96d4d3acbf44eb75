"""The network as ONNX, built node by node from its weights.

No exporter is involved, so the graph is as short as the network, has the same bytes each time, and
needs no torch. A value between two nodes has a plain name; a tensor has its name in the network,
which contains a dot.
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

# Fixed, so that a new version of the library does not change the bytes. Gelu needs opset 20.
OPSET = 20
IR_VERSION = 9

LARGEST = 2**31 - 1  # bytes; protobuf writes no more
EPSILON = 1e-5  # of torch's BatchNorm1d

OPERATORS = {"relu": "Relu", "gelu": "Gelu", "tanh": "Tanh", "sigmoid": "Sigmoid"}


def build_onnx(weights: Weights, description: NetworkDescription) -> bytes:
    """Build the network in evaluation mode as an ONNX file.

    Its input `images` is uint8 RGB [N, size, size, 3], its output `logits` float32 [N, classes].
    The metadata has the classes, as JSON.

    Args:
        weights: The tensors of the network, by their names in `model.safetensors`.
        description: Its architecture, input size and classes.

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
    side, classes = description.size, description.classes
    nodes = [
        make_node("Flatten", [INPUT], ["bytes"]),
        make_node("Cast", ["bytes"], ["values"], to=TensorProto.FLOAT),
        make_node("Div", ["values", "full_range"], ["scaled"]),
        make_node("Sub", ["scaled", "mean"], ["centred"]),
        make_node("Div", ["centred", "std"], ["features"]),
        *mlp_nodes("features", description.architecture),
    ]
    constants: dict[str, npt.NDArray[np.generic]] = {
        "full_range": np.array(255, dtype=np.float32),
        # Each channel's statistics once for every pixel.
        "mean": np.tile(weights["mean"], side**2),
        "std": np.tile(weights["deviation"], side**2),
    }
    learnt = [name for node in nodes for name in node.input if "." in name]
    constants |= {name: weights[name] for name in learnt}
    graph = make_graph(
        nodes,
        "mlp",
        [make_tensor_value_info(INPUT, TensorProto.UINT8, ["N", side, side, 3])],
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


def mlp_nodes(features: str, architecture: Mapping[str, Any]) -> Iterator[NodeProto]:
    """The MLP: hidden layers of Gemm → BatchNormalization → activation, then Gemm to `logits`.

    Args:
        features: Name of the value that goes in, float32 [N, features].
        architecture: `model` of params.yaml.
    """
    inputs, batch_norm = features, architecture["batch_norm"]
    for layer in range(len(architecture["hidden"])):
        name, value = f"hidden.{layer}", f"sums_{layer}"
        # Batch normalisation has a bias of its own.
        parts = [f"{name}.0.weight"] if batch_norm else [f"{name}.0.weight", f"{name}.0.bias"]
        yield make_node("Gemm", [inputs, *parts], [value], transB=1)
        if batch_norm:
            norm = [
                f"{name}.1.{part}" for part in ("weight", "bias", "running_mean", "running_var")
            ]
            yield make_node(
                "BatchNormalization", [value, *norm], [f"normed_{layer}"], epsilon=EPSILON
            )
            value = f"normed_{layer}"
        inputs = f"layer_{layer}"
        yield make_node(OPERATORS[architecture["activation"]], [value], [inputs])
    yield make_node("Gemm", [inputs, "output.weight", "output.bias"], [OUTPUT], transB=1)
