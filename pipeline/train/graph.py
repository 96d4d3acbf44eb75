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

from pipeline.train.activations import named_layers
from pipeline.train.mlp import MLP

PRODUCER = 22  # the version of the graph format that TensorBoard expects


def graph_of(network: MLP) -> GraphDef:
    """The graph of a network, which is left as it is.

    Args:
        network: On any device, in any mode.
    """
    whole = copy.deepcopy(network).cpu().eval()
    traced = fx.GraphModule(whole, _Tracer().trace(whole))
    shapes = _Shapes(traced)
    shapes.run(torch.zeros(1, network.size, network.size, 3, dtype=torch.uint8))
    modules = dict(network.named_modules())
    places = _places(network)
    names = {node: places.get(str(node.target), _name(node)) for node in traced.graph.nodes}
    return GraphDef(
        node=[
            NodeDef(
                name=names[node],
                op=_operation(node, modules),
                input=[names[source] for source in node.all_input_nodes],
                attr={"_output_shapes": _attribute(shapes.found[node]), **_settings(node, modules)},
            )
            for node in traced.graph.nodes
        ],
        versions=VersionDef(producer=PRODUCER),
    )


class _Tracer(fx.Tracer):
    """Sees a linear layer as one node, as it does PyTorch's own modules."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether to leave the module as it is."""
        return isinstance(m, nn.Linear) or super().is_leaf_module(m, module_qualified_name)


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


def _places(network: MLP) -> dict[str, str]:
    """`layer_1/Linear` and the like for the paths of the modules in the hidden layers."""
    return {
        f"hidden.{number}.{child}": f"{layer}/{type(part).__name__}"
        for number, (layer, parts) in enumerate(named_layers(network).items())
        for child, part in parts.named_children()
    }


def _name(node: fx.Node) -> str:
    """The name of a node outside the hidden layers; what precedes them is one box."""
    if node.op == "output":
        return "logits"
    return node.name if node.op in {"placeholder", "call_module"} else f"normalise/{node.name}"


def _operation(node: fx.Node, modules: dict[str, nn.Module]) -> str:
    if node.op == "call_module":
        return type(modules[str(node.target)]).__name__
    return node.name


def _settings(node: fx.Node, modules: dict[str, nn.Module]) -> dict[str, AttrValue]:
    """What a module was made with, as it prints itself."""
    if node.op != "call_module":
        return {}
    return {"settings": AttrValue(s=modules[str(node.target)].extra_repr().encode())}


def _attribute(shape: list[int]) -> AttrValue:
    sizes = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in shape])
    return AttrValue(list=AttrValue.ListValue(shape=[sizes]))
