"""Histograms of gradients and colours as fixed operations of ONNX.

Histograms of oriented gradients: Dalal and Triggs, 2005.
"""

import numpy as np
from onnx import ModelProto, TensorProto

from pipeline.common.graph import IMAGES, VECTORS, Graph

SIZE = 96  # pixels a side; with 64, fewer photos were classified correctly: docs/recipe.md
CELL = 12  # pixels a side; a histogram of gradients each
ORIENTATIONS = 9  # bins of a half turn
BLOCK = 2  # cells a side of a block, which is normalised as a whole
CLIP = 0.2  # L2-Hys: the largest value of a normalised block
EPSILON = 1e-3  # of gradients in 0…1: keeps noise in plain areas from growing to full size
HUES, SATURATIONS, BRIGHTNESSES = 8, 3, 3
PARTS = 2  # a histogram of colours for each of 2x2 parts

CELLS = SIZE // CELL
BLOCKS = CELLS - BLOCK + 1
GRADIENTS = BLOCKS**2 * BLOCK**2 * ORIENTATIONS
COLOURS = PARTS**2 * HUES * SATURATIONS * BRIGHTNESSES
VALUES = GRADIENTS + COLOURS


def hog() -> ModelProto:
    """Return the graph: uint8 RGB [N, 96, 96, 3] → float32 [N, 2052].

    The first 1,764 values are histograms of oriented gradients, the other 288 of colours.
    """
    graph = Graph(IMAGES, TensorProto.UINT8, ["N", SIZE, SIZE, 3])
    pixels = graph.add("Cast", IMAGES, to=TensorProto.FLOAT)
    planes = graph.add("Transpose", pixels, perm=[0, 3, 1, 2])
    both = graph.add("Concat", _gradients(graph, planes), _colours(graph, planes), axis=1)
    return graph.model(both, VECTORS, ["N", VALUES])


def _gradients(graph: Graph, planes: str) -> str:
    """float32 [N, 3, 96, 96] in 0…255 → histograms of oriented gradients, [N, 1764].

    Slopes and their squares are whole numbers, which float32 holds exactly, so that no pixel's
    channel or orientation depends on rounding.
    """
    padded = graph.add("Pad", planes, [0, 0, 1, 1, 0, 0, 1, 1], mode="edge")
    kernels = np.zeros((6, 1, 3, 3))
    kernels[0::2, 0, 1] = kernels[1::2, 0, :, 1] = [-1, 0, 1]
    slopes = graph.add("Conv", padded, kernels, group=3)
    slopes = graph.add("Reshape", slopes, [0, 3, 2, SIZE, SIZE])
    # Of each pixel the colour channel with the strongest gradient counts; of equals, the first.
    squares = graph.add("ReduceSumSquare", slopes, [2])  # [N, 3, 1, 96, 96]
    ranked = graph.add("Add", squares, np.reshape([0.75, 0.5, 0.25], (1, 3, 1, 1, 1)))
    strongest = graph.add("ReduceMax", ranked, [1])
    chosen = graph.add("Cast", graph.add("Equal", ranked, strongest), to=TensorProto.FLOAT)
    slopes = graph.add("ReduceSum", graph.add("Mul", slopes, chosen), [1], keepdims=0)
    strength = graph.add("Div", graph.add("Sqrt", graph.add("ReduceSumSquare", slopes, [1])), 255)
    # An orientation lies between two lines through the origin if it is left of one and right of
    # the other; which side is a sign, so no angle is computed. The first line leans by less than
    # any slope can, so that opposite slopes along it have one orientation; a half turn of it, the
    # last line, has the other sides.
    angles = np.pi * np.arange(ORIENTATIONS) / ORIENTATIONS
    lines = np.stack([-np.sin(angles), np.cos(angles)], axis=1)[:, :, np.newaxis, np.newaxis]
    lines[0] = [[[1e-6]], [[1]]]
    left = graph.add("GreaterOrEqual", graph.add("Conv", slopes, lines), 0)
    other_side = graph.add("Not", _part(graph, left, 0, 1))
    following = graph.add("Concat", _part(graph, left, 1, ORIENTATIONS), other_side, axis=1)
    between = graph.add("Cast", graph.add("Xor", left, following), to=TensorProto.FLOAT)
    votes = graph.add("Mul", between, strength)  # [N, 9, 96, 96]
    cells = graph.add("AveragePool", votes, kernel_shape=[CELL, CELL], strides=[CELL, CELL])
    return _blocks(graph, cells)


def _part(graph: Graph, values: str, start: int, stop: int, axis: int = 1) -> str:
    """Return values[:, start:stop] along an axis."""
    return graph.add("Slice", values, [start], [stop], [axis])


def _blocks(graph: Graph, cells: str) -> str:
    """float32 [N, 9, 8, 8] → blocks of 2x2 cells, each normalised by L2-Hys, [N, 1764]."""
    corners = [
        _part(graph, _part(graph, cells, y, y + BLOCKS, 2), x, x + BLOCKS, 3)
        for y in range(BLOCK)
        for x in range(BLOCK)
    ]
    blocks = graph.add("Concat", *corners, axis=1)  # [N, 36, 7, 7]
    for last in (False, True):
        squares = graph.add("Add", graph.add("ReduceSumSquare", blocks, [1]), EPSILON**2)
        blocks = graph.add("Div", blocks, graph.add("Sqrt", squares))
        if not last:
            blocks = graph.add("Min", blocks, CLIP)
    return graph.add("Flatten", blocks)


def _colours(graph: Graph, planes: str) -> str:
    """float32 [N, 3, 96, 96] in 0…255 → root of the shares of hue, saturation, value, [N, 288].

    All bounds are compared as whole numbers, which float32 holds exactly, so that no pixel's bin
    depends on rounding.
    """
    side = SIZE // PARTS
    split = graph.add("Reshape", planes, [0, 3, PARTS, side, PARTS, side])
    parts = graph.add("Transpose", split, perm=[0, 1, 2, 4, 3, 5])
    parts = graph.add("Reshape", parts, [0, 3, PARTS**2, side**2])  # [N, 3, part, pixel]
    red, green, blue = (_part(graph, parts, channel, channel + 1) for channel in range(3))
    value = graph.add("ReduceMax", parts, [1])
    spread = graph.add("Sub", value, graph.add("ReduceMin", parts, [1]))
    # Hue as sixths of a turn times the spread, as in `colorsys`.
    sixths = graph.add("Add", graph.add("Sub", red, green), graph.add("Mul", spread, 4))
    from_green = graph.add("Add", graph.add("Sub", blue, red), graph.add("Mul", spread, 2))
    from_red = graph.add("Sub", green, blue)
    whole_turn = graph.add("Add", from_red, graph.add("Mul", spread, 6))
    from_red = graph.add("Where", graph.add("Less", from_red, 0), whole_turn, from_red)
    sixths = graph.add("Where", graph.add("Equal", value, green), from_green, sixths)
    sixths = graph.add("Where", graph.add("Equal", value, red), from_red, sixths)
    turn = graph.add("Mul", graph.add("Max", spread, 1), 6)  # grey has hue 0
    hues = _one_hot(graph, sixths, turn, HUES)
    saturations = _one_hot(graph, spread, graph.add("Max", value, 1), SATURATIONS)
    values = _one_hot(graph, value, 255, BRIGHTNESSES)
    # Products of one-hot rows, summed over pixels, count the pixels of each pair of bins.
    tones = [
        graph.add("Mul", saturations, _part(graph, values, bin_, bin_ + 1))
        for bin_ in range(BRIGHTNESSES)
    ]
    tone = graph.add("Concat", *tones, axis=1)  # [N, 9, part, pixel]
    left = graph.add("Transpose", hues, perm=[0, 2, 1, 3])
    right = graph.add("Transpose", tone, perm=[0, 2, 3, 1])
    shares = graph.add("Div", graph.add("MatMul", left, right), side**2)  # [N, part, 8, 9]
    return graph.add("Flatten", graph.add("Sqrt", shares))


def _one_hot(graph: Graph, values: str, whole: str | float, bins: int) -> str:
    """[N, 1, ...] → [N, bins, ...]: 1 in the bin of values / whole, the last open above."""
    bounds = graph.add("Mul", np.arange(bins).reshape(1, bins, 1, 1), whole)
    above = graph.add("GreaterOrEqual", graph.add("Mul", values, bins), bounds)
    reached = graph.add("Cast", above, to=TensorProto.FLOAT)
    following = graph.add("Pad", _part(graph, reached, 1, bins), [0] * 5 + [1, 0, 0])
    return graph.add("Sub", reached, following)
