"""Figures: every plot that the reports show, drawn in one style, as PNG bytes."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.figure import Figure

TRAIN, VALIDATION, INK, FAINT = "#1f6feb", "#d1242f", "#24292f", "#8c959f"
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


def png(figure: Figure) -> bytes:
    """A figure as PNG bytes that depend on nothing but the figure."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
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
        axes = figure.subplots()
        epochs, validation = history["epoch"], history[f"val_{what}"]
        axes.plot(epochs, history[f"train_{what}"], color=TRAIN, label="training")
        axes.plot(epochs, validation, color=VALIDATION, label="validation")
        axes.axvline(used, color=FAINT, linestyle="--", linewidth=1)
        axes.plot(used, validation[used], "o", color=VALIDATION)
        axes.set(title=what.capitalize(), xlabel=f"epoch (weights kept: {used})")
        axes.grid(visible=True, axis="y")
        axes.legend(frameon=False)
        return png(figure)


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
