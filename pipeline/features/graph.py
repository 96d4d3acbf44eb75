"""Build an ONNX graph one node at a time, from uint8 images to float32 vectors.

No exporter is involved, so a graph has the same bytes each time and needs no torch.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

IMAGES = "images"
VECTORS = "vectors"

# Fixed, so that a new version of the library changes no bytes; `package` builds on the same.
OPSET = 20
IR_VERSION = 9


class Graph:
    """An ONNX graph that grows node by node, from the input `images`: uint8 [N, size, size, 3].

    Args:
        size: Pixels a side.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []

    def constant(self, value: npt.ArrayLike, dtype: type[np.generic] = np.float32) -> str:
        """Add a constant and return its name."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:  # noqa: ANN401 - ONNX's own types
        """Add a node and return the name of its output."""
        name = output or f"value_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def model(self, vectors: str, values: int) -> ModelProto:
        """Finish the graph.

        Args:
            vectors: The name of what it computes, float32 [N, values].
            values: Length of a vector.
        """
        self.add("Identity", vectors, output=VECTORS)
        shape = ["N", self._size, self._size, 3]
        graph = helper.make_graph(
            self._nodes,
            "features",
            [helper.make_tensor_value_info(IMAGES, TensorProto.UINT8, shape)],
            [helper.make_tensor_value_info(VECTORS, TensorProto.FLOAT, ["N", values])],
            self._constants,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="bluelight",
        )
        onnx.checker.check_model(model, full_check=True)
        return model
