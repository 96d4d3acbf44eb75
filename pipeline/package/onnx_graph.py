"""The network as ONNX, built node by node from its weights.

No exporter is involved, so the graph is as short as the network, has the same bytes each time, and
needs no torch. A value between two nodes has a plain name; a tensor has its name in the network,
which contains a dot.
"""

import json

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from pipeline.common.artifact import LOGITS, PROBABILITIES, Decision, NetworkDescription, Weights
from pipeline.common.errors import ArtifactError, one_line
from pipeline.common.graph import IMAGES, IR_VERSION, OPSET, VECTORS, join

LARGEST = 2**31 - 1  # bytes; protobuf writes no more
EPSILON = 1e-5  # of torch's BatchNorm1d

OPERATORS = {"relu": "Relu", "gelu": "Gelu", "tanh": "Tanh", "sigmoid": "Sigmoid"}


def build_onnx(
    weights: Weights,
    description: NetworkDescription,
    features: bytes | None = None,
    decision: Decision | None = None,
    licence: str = "unknown",
) -> bytes:
    """Build the network in evaluation mode as an ONNX file, from images to probabilities.

    Its input `images` is uint8 RGB [N, size, size, 3]; its outputs are `logits` and, where the
    decision is known, `probabilities`, float32 [N, classes]. The metadata has `classes` as JSON,
    and with the decision `license`, `temperature` and, if there is one, `threshold` and `positive`.

    Args:
        weights: The tensors of the network, by their names in `model.safetensors`.
        description: Its architecture, input size and classes.
        features: The ONNX file of the features that the MLP sees; None where it sees pixels.
        decision: How logits become probabilities and labels.
        licence: Of the model, by its identifier on Hugging Face.

    Raises:
        ArtifactError: The weights do not fit the description, or are too large for the format.
    """
    size = sum(value.nbytes for value in weights.values()) + len(features or b"")
    if size > LARGEST - 2**20:
        raise ArtifactError(
            f"the network has {size / 2**30:.1f} GiB of weights, and an ONNX file holds 2 at most; "
            "lower pack.size or model.hidden, or choose smaller features"
        )
    try:
        model = _mlp(weights, description)
        if features is not None:
            model = join(onnx.load_from_string(features), model)
        metadata = {"classes": json.dumps(description.classes, ensure_ascii=False)}
        if decision is not None:
            _add_probabilities(model, decision, len(description.classes))
            metadata |= {"license": licence, "temperature": str(decision.temperature)}
            if decision.threshold is not None:
                metadata["threshold"] = str(decision.threshold)
                metadata["positive"] = str(decision.positive)
        onnx.helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
    except (KeyError, onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        raise ArtifactError(
            f"the weights do not fit their model.json ({one_line(error)}); make both with "
            "`dvc repro --force train`"
        ) from None
    return bytes(model.SerializeToString(deterministic=True))


def _mlp(weights: Weights, description: NetworkDescription) -> ModelProto:
    """The standardised MLP: from images where it sees pixels, otherwise from vectors.

    Hidden layers are Gemm → BatchNormalization → activation; the last layer is a Gemm.
    """
    side, mean, std = description.size, weights["mean"], weights["std"]
    constants: dict[str, npt.NDArray[np.generic]] = {"mean": mean, "std": std}
    if description.features["kind"] == "pixels":
        given = make_tensor_value_info(IMAGES, TensorProto.UINT8, ["N", side, side, 3])
        nodes = [
            make_node("Flatten", [IMAGES], ["bytes"]),
            make_node("Cast", ["bytes"], ["values"], to=TensorProto.FLOAT),
            make_node("Div", ["values", "full_range"], ["scaled"]),
        ]
        # Each channel's statistics once for every pixel.
        constants = {name: np.tile(value, side**2) for name, value in constants.items()}
        constants["full_range"] = np.array(255, dtype=np.float32)
    else:
        given = make_tensor_value_info(VECTORS, TensorProto.FLOAT, ["N", len(mean)])
        nodes = [make_node("Flatten", [VECTORS], ["scaled"])]
    nodes.append(make_node("Sub", ["scaled", "mean"], ["centred"]))
    nodes.append(make_node("Div", ["centred", "std"], ["features"]))
    value, batch_norm = "features", description.architecture["batch_norm"]
    for layer in range(len(description.architecture["hidden"])):
        name = f"hidden.{layer}"
        # Batch normalisation has a bias of its own.
        parts = [f"{name}.0.weight"] if batch_norm else [f"{name}.0.weight", f"{name}.0.bias"]
        nodes.append(make_node("Gemm", [value, *parts], [f"sums_{layer}"], transB=1))
        value = f"sums_{layer}"
        if batch_norm:
            learnt = ("weight", "bias", "running_mean", "running_var")
            inputs, value = [value, *(f"{name}.1.{part}" for part in learnt)], f"normed_{layer}"
            nodes.append(make_node("BatchNormalization", inputs, [value], epsilon=EPSILON))
        operator = OPERATORS[description.architecture["activation"]]
        nodes.append(make_node(operator, [value], [f"layer_{layer}"]))
        value = f"layer_{layer}"
    nodes.append(make_node("Gemm", [value, "output.weight", "output.bias"], [LOGITS], transB=1))
    constants |= {name: weights[name] for node in nodes for name in node.input if "." in name}
    graph = make_graph(
        nodes,
        "mlp",
        [given],
        [make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["N", len(description.classes)])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return make_model(
        graph,
        opset_imports=[make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="bluelight",
    )


def _add_probabilities(model: ModelProto, decision: Decision, classes: int) -> None:
    """Append softmax(logits / temperature + prior correction)."""
    correction = decision.prior_correction or [0.0] * classes
    for name, value in (("temperature", decision.temperature), ("prior_correction", correction)):
        constant = numpy_helper.from_array(np.array(value, dtype=np.float32), name)
        model.graph.initializer.append(constant)
    model.graph.node.extend(
        [
            make_node("Div", [LOGITS, "temperature"], ["tempered"]),
            make_node("Add", ["tempered", "prior_correction"], ["corrected"]),
            make_node("Softmax", ["corrected"], [PROBABILITIES], axis=1),
        ]
    )
    output = make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, ["N", classes])
    model.graph.output.append(output)
