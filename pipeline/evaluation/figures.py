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

TRAIN, VALIDATION, RIGHT = "#1f6feb", "#d1242f", "#1a7f37"
INK, FAINT = "#24292f", "#8c959f"
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


def confusion_matrix(counts: npt.NDArray[np.int64], classes: Sequence[str]) -> bytes:
    """Images by true and by predicted class.

    Args:
        counts: int64 [classes, classes], true class by predicted class.
        classes: Names in the order of `counts`.
    """
    with rc_context(STYLE):
        side = max(3.4, 1.4 + 0.6 * len(classes))
        figure = Figure(figsize=(side, side), layout="constrained")
        axes = figure.subplots()
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.55 else INK
            text = f"{count:,}\n{shares[row, column]:.0%}"
            axes.text(column, row, text, ha="center", va="center", color=colour)
        axes.set_xticks(range(len(classes)), classes)
        axes.set_yticks(range(len(classes)), classes, rotation=90, va="center")
        axes.set(xlabel="predicted", ylabel="true", title="Confusion matrix")
        axes.spines[:].set_visible(False)
        return png(figure)


def roc_curve(points: Mapping[str, Sequence[float]], area: float) -> bytes:
    """True against false positive rate over all thresholds.

    Args:
        points: `fpr` and `tpr`.
        area: Area under the curve.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(3.4, 3.4), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=FAINT, linestyle=":", label="chance")
        axes.plot(points["fpr"], points["tpr"], color=TRAIN, label=f"area {area:.3f}")
        axes.set(
            xlabel="false positive rate", ylabel="true positive rate", title="ROC", aspect="equal"
        )
        axes.legend(frameon=False, loc="lower right")
        return png(figure)


def gallery(
    images: Sequence[npt.NDArray[np.uint8]], captions: Sequence[str], columns: int = 6
) -> bytes:
    """Images in a grid, each under its caption.

    Args:
        images: uint8 RGB [H, W, 3] each.
        captions: One for each image; up to two short lines.
        columns: Images in a row.
    """
    rows = max(1, -(-len(images) // columns))
    with rc_context(STYLE):
        figure = Figure(figsize=(1.6 * columns, 2.05 * rows), layout="constrained")
        cells = np.atleast_1d(figure.subplots(rows, columns)).ravel()
        for axes in cells:
            axes.axis("off")
        for axes, image, caption in zip(cells, images, captions, strict=False):
            axes.imshow(image)
            axes.set_title(caption, fontsize=7.5, fontweight="normal", loc="center")
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
