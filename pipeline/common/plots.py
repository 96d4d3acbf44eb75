"""Figures: every plot that the reports show, drawn in one style, as PNG bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.common.drawing import FAINT, INK, RIGHT, TRAIN, VALIDATION

STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "grid.color": "#d8dee4",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
DPI = 160
CELL, CAPTION, GAP = 1.6, 0.5, 0.03  # inches in a gallery: an image, lines above it, its margin


def png(figure: Figure, dpi: int = DPI) -> bytes:
    """A figure as PNG bytes that depend on nothing but the figure."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def learning_curve(history: Mapping[str, Sequence[float]], what: str, used: int) -> bytes:
    """One figure over epochs, training against validation: overfitting made visible.

    Args:
        history: Columns of `history.csv`.
        what: `loss` or `accuracy`.
        used: The epoch whose weights are kept; marked.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(4.6, 3.4), layout="constrained")
        _curve(figure.subplots(), history, what, used)
        return png(figure)


@dataclass(frozen=True)
class Answer:
    """What the model said of a photo.

    Attributes:
        photo: uint8 RGB [H, W, 3].
        text: The predicted class and its probability.
        right: Whether it is the true class.
    """

    photo: npt.NDArray[np.uint8]
    text: str
    right: bool


def overview(answers: Sequence[Answer], history: Mapping[str, Sequence[float]], used: int) -> bytes:
    """Photos with the model's answers beside the curves of its training.

    Args:
        answers: Twelve.
        history: Columns of `history.csv`.
        used: The epoch whose weights are kept.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(11, 5), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=[1.75, 1], squeeze=False)[0]
        for axes, answer in zip(left.subplots(3, 4).flat, answers, strict=True):
            colour = RIGHT if answer.right else VALIDATION
            axes.imshow(answer.photo)
            axes.set(xticks=[], yticks=[])
            axes.set_title(answer.text, fontsize=9, color=colour, loc="center")
            axes.spines[:].set(visible=True, color=colour, linewidth=3)
        for axes, what in zip(right.subplots(2, 1), ("loss", "accuracy"), strict=True):
            _curve(axes, history, what, used)
        return png(figure, dpi=100)


def gallery(
    images: Sequence[npt.NDArray[np.uint8]], captions: Sequence[str], columns: int = 6
) -> bytes:
    """Images in a grid, each under its caption.

    Args:
        images: uint8 RGB [side, side, 3] each.
        captions: One for each image; up to three short lines.
        columns: Images in a row.
    """
    rows = max(1, -(-len(images) // columns))
    width, height = CELL * columns, (CELL + CAPTION) * rows
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        # One set of axes, in inches, for all: one for each image takes far longer to draw.
        axes = figure.add_axes((0, 0, 1, 1))
        for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
            row, column = divmod(index, columns)
            left, top = CELL * column + GAP, (CELL + CAPTION) * row + CAPTION
            right, bottom = left + CELL - 2 * GAP, top + CELL - 2 * GAP
            axes.imshow(image, extent=(left, right, bottom, top), aspect="auto")
            middle = (left + right) / 2
            axes.text(middle, top - GAP, caption, fontsize=7.5, ha="center", va="bottom")
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        return png(figure)


def _curve(axes: Axes, history: Mapping[str, Sequence[float]], what: str, used: int) -> None:
    epochs, validation = history["epoch"], history[f"val_{what}"]
    axes.plot(epochs, history[f"train_{what}"], color=TRAIN, label="training")
    axes.plot(epochs, validation, color=VALIDATION, label="validation")
    axes.axvline(used, color=FAINT, linestyle="--", linewidth=1)
    axes.plot(used, validation[used], "o", color=VALIDATION)
    axes.set(title=what.capitalize(), xlabel=f"epoch (weights kept: {used})")
    axes.grid(visible=True, axis="y")
    axes.legend(frameon=False)
