"""Pretrained networks without their heads, as ONNX."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnx import ModelProto

from pipeline.features.graph import IMAGES, Graph

Tensors = Mapping[str, npt.NDArray[np.float32]]

EPSILON = 1e-3  # of EfficientNet's batch normalisation


def efficientnet_lite(weights: Tensors, size: int, repeats: tuple[int, ...]) -> ModelProto:
    graph = Graph(size)
    pixels = graph.add("Cast", IMAGES, to=1)
    planes = graph.add("Transpose", pixels, perm=[0, 3, 1, 2])
    centred = graph.add("Sub", planes, graph.constant(127))
    values = graph.add("Div", centred, graph.constant(128))
    bounds = graph.constant(0), graph.constant(6)

    def layer(values: str, conv: str, norm: str, *, stride: int = 1, clip: bool = True) -> str:
        kernel = weights[f"{conv}.weight"].astype(np.float64)
        mean, variance = weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"]
        scale = weights[f"{norm}.weight"] / np.sqrt(variance.astype(np.float64) + EPSILON)
        bias = weights[f"{norm}.bias"] - mean * scale
        convolved = graph.add(
            "Conv",
            values,
            graph.constant(kernel * scale[:, np.newaxis, np.newaxis, np.newaxis]),
            graph.constant(bias),
            strides=[stride, stride],
            auto_pad="SAME_UPPER",
            group=len(kernel) if "depthwise" in conv else 1,
        )
        return graph.add("Clip", convolved, *bounds) if clip else convolved

    values = layer(values, "_conv_stem", "_bn0", stride=2)
    strides = [
        stride if first == 0 else 1
        for stride, count in zip((1, 2, 2, 2, 1, 2, 1), repeats, strict=True)
        for first in range(count)
    ]
    for number, stride in enumerate(strides):
        block = f"_blocks.{number}."
        before = values
        if f"{block}_expand_conv.weight" in weights:
            values = layer(values, f"{block}_expand_conv", f"{block}_bn0")
        values = layer(values, f"{block}_depthwise_conv", f"{block}_bn1", stride=stride)
        values = layer(values, f"{block}_project_conv", f"{block}_bn2", clip=False)
        expand = weights.get(f"{block}_expand_conv.weight")
        if stride == 1 and expand is not None and expand.shape[1] == len(weights[f"{block}_project_conv.weight"]):
            values = graph.add("Add", before, values)
    values = layer(values, "_conv_head", "_bn1")
    pooled = graph.add("GlobalAveragePool", values)
    return graph.model(graph.add("Flatten", pooled), 1280)
