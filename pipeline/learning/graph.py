"""The network's graph for TensorBoard: one node per module or operation, with shapes.

Read off `torch.fx`, whose nodes are the modules as they stand in the code; a traced graph would
show their innards, hundreds of constants and reshapes.
"""

import copy
from typing import Any

import torch
from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.versions_pb2 import VersionDef
from torch import fx, nn

from pipeline.learning.mlp import Mlp

PRODUCER = 22  # the version of the graph format that TensorBoard expects


def graph_of(network: Mlp) -> GraphDef:
    """The graph of a network, which is left as it is.

    Args:
        network: On any device, in any mode.
    """
    traced = fx.symbolic_trace(copy.deepcopy(network).cpu().eval())
    image = torch.zeros(1, network.size, network.size, 3, dtype=torch.uint8)
    shapes = _Shapes(traced)
    shapes.run(image)
    modules = dict(traced.named_modules())
    names = {node: _name(node, modules) for node in traced.graph.nodes}
    return GraphDef(
        node=[_node(node, names, modules, shapes.found[node]) for node in traced.graph.nodes],
        versions=VersionDef(producer=PRODUCER),
    )


class _Shapes(fx.Interpreter):
    """Runs a graph and keeps the shape of what each node gives."""

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__(traced)
        self.found: dict[fx.Node, list[int]] = {}

    def run_node(self, n: fx.Node) -> Any:  # noqa: ANN401 - whatever the node gives
        """Run one node; the first size, of the batch, is unknown."""
        given = super().run_node(n)
        self.found[n] = list(given.shape) if n.op == "get_attr" else [-1, *given.shape[1:]]
        return given


def _node(
    node: fx.Node,
    names: dict[fx.Node, str],
    modules: dict[str, nn.Module],
    shape: list[int],
) -> NodeDef:
    sizes = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in shape])
    attributes = {"_output_shapes": AttrValue(list=AttrValue.ListValue(shape=[sizes]))}
    if node.op == "call_module":
        settings = modules[str(node.target)].extra_repr()
        attributes["settings"] = AttrValue(s=settings.encode())
    return NodeDef(
        name=names[node],
        op=names[node].rpartition("/")[2],
        input=[names[source] for source in node.all_input_nodes],
        attr=attributes,
    )


def _name(node: fx.Node, modules: dict[str, nn.Module]) -> str:
    """`hidden/0/Linear` for a module; what precedes the hidden layers is one box."""
    if node.op == "call_module":
        *place, _ = str(node.target).split(".")
        return "/".join([*place, type(modules[str(node.target)]).__name__])
    if node.op in {"placeholder", "output"}:
        return "logits" if node.op == "output" else node.name
    return f"normalise/{node.name}"
