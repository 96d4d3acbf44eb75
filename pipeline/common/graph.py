"""Build ONNX models one node at a time, and join them.

No exporter is involved, so a model has the same bytes each time and needs no torch.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto, compose, helper, numpy_helper

IMAGES = "images"
VECTORS = "vectors"

# Fixed, so that a new version of the library changes no bytes; Gelu came with opset 20.
OPSET = 20
IR_VERSION = 9

Shape = Sequence[int | str]


class Graph:
    """An ONNX graph with one input, which grows node by node.

    Args:
        name: Of the input.
        kind: Its element type, such as `TensorProto.UINT8`.
        shape: Its shape; open dimensions are letters.
    """

    def __init__(self, name: str, kind: int, shape: Shape) -> None:
        self._input = helper.make_tensor_value_info(name, kind, shape)
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []

    def add(self, operator: str, *inputs: npt.ArrayLike, **attributes: Any) -> str:  # noqa: ANN401 - ONNX's own types
        """Add a node and return the name of its output.

        Args:
            operator: ONNX's name for it.
            inputs: Names of values; numbers and arrays, as float32; lists of axes or sizes, as
                int64.
            attributes: As the operator has them.
        """
        names = [one if isinstance(one, str) else self._constant(one) for one in inputs]
        name = f"value_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, names, [name], **attributes))
        return name

    def _constant(self, value: npt.ArrayLike) -> str:
        name = f"constant_{len(self._constants)}"
        array = np.asarray(value, np.int64 if isinstance(value, list) else np.float32)
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def model(self, value: str, name: str, shape: Shape) -> ModelProto:
        """Finish the graph.

        Args:
            value: The name of the float32 tensor that it computes.
            name: The output's own name.
            shape: Its shape; open dimensions are letters.
        """
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        output = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self._nodes, name, [self._input], [output], self._constants)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="bluelight",
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def join(first: ModelProto, second: ModelProto) -> ModelProto:
    """Feed the only output of one model to the only input of another."""
    merged = compose.merge_models(
        compose.add_prefix(first, "first/", rename_inputs=False),
        compose.add_prefix(second, "second/", rename_outputs=False),
        io_map=[(f"first/{first.graph.output[0].name}", f"second/{second.graph.input[0].name}")],
        producer_name="bluelight",
    )
    merged.ir_version = IR_VERSION
    return merged
