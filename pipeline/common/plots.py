"""The style of every plot, and the plots that several pages show, as PNG bytes."""

from collections.abc import Callable, Sequence
from functools import wraps
from io import BytesIO
from typing import Any, ParamSpec

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.common.drawing import FAINT, INK, RIGHT, TRAIN, VALIDATION, WRONG, Pixels

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
    "text.parse_math": False,  # names of classes and files may hold dollar signs
    "xtick.color": INK,
    "ytick.color": INK,
}
DPI = 160
WIDTH = 4.6  # inches: 736 pixels, which stay readable when a phone shrinks them

P = ParamSpec("P")


def png(figure: Figure, dpi: int = DPI) -> bytes:
    """Return a figure as PNG bytes that depend on nothing but the figure."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def plot(draw: Callable[P, Figure]) -> Callable[P, bytes]:
    """Make a function that draws a figure draw it in `STYLE` and return PNG bytes."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> bytes:
        with rc_context(STYLE):
            return png(draw(*args, **kwargs))

    return drawn


@plot
def learning_curve(history: pd.DataFrame, metric: str, used_epoch: int) -> Figure:
    """Draw a metric over epochs, training against validation, which makes overfitting visible.

    Args:
        history: The content of `history.csv`.
        metric: `loss` or `accuracy`.
        used_epoch: The epoch whose weights are kept; it is marked.
    """
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    draw_learning_curve(figure.subplots(), history, metric, used_epoch)
    return figure


def overview(
    photos: Sequence[tuple[Pixels, str, bool]], history: pd.DataFrame, used_epoch: int
) -> bytes:
    """Draw photos with their predictions beside the learning curves.

    Args:
        photos: Up to twelve: uint8 RGB [H, W, 3], the text above it, and whether the prediction
            is correct.
        history: The content of `history.csv`.
        used_epoch: The epoch whose weights are kept.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(11, 5), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=[1.75, 1], squeeze=False)[0]
        panels = left.subplots(3, 4).flat
        for axes, (pixels, text, correct) in zip(panels, photos, strict=False):
            colour = RIGHT if correct else WRONG
            axes.imshow(pixels)
            axes.set(xticks=[], yticks=[])
            axes.set_title(text, fontsize=9, color=colour, loc="center")
            axes.spines[:].set(visible=True, color=colour, linewidth=3)
        for axes in panels[len(photos) :]:
            axes.axis("off")
        for axes, metric in zip(right.subplots(2, 1), ("loss", "accuracy"), strict=True):
            draw_learning_curve(axes, history, metric, used_epoch)
        return png(figure, dpi=100)


def draw_learning_curve(axes: Axes, history: pd.DataFrame, metric: str, used_epoch: int) -> None:
    """Draw a metric over epochs into axes; see `learning_curve`."""
    validation = history[f"val_{metric}"]
    axes.plot(history["epoch"], history[f"train_{metric}"], color=TRAIN, label="training")
    axes.plot(history["epoch"], validation, color=VALIDATION, label="validation")
    axes.axvline(used_epoch, color=FAINT, linestyle="--", linewidth=1)
    axes.plot(used_epoch, validation[used_epoch], "o", color=VALIDATION)
    axes.set(title=metric.capitalize(), xlabel=f"epoch (weights kept: epoch {used_epoch})")
    axes.set_ylabel("cross-entropy" if metric == "loss" else "share of images")
    axes.grid(visible=True, axis="y")
    axes.legend(frameon=False)
