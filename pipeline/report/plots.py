"""Plots of the test results, each narrow enough for a phone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.common import drawing
from pipeline.common.drawing import FAINT, INK, RIGHT, TRAIN, VALIDATION, WIDTH, WRONG, plot
from pipeline.common.metrics import BINS

SQUARE = 4.2  # inches
COUNTED = 12  # with more classes, a confusion matrix has colours and no counts
NAMED = 40  # with more classes, there is no room for their names
LONGEST = 18  # characters of a class name at an axis


def draw_results(
    test: Mapping[str, Any], decision: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]
) -> dict[str, bytes]:
    """Draw every plot that the results allow.

    Args:
        test: `estimates.json` of stage `evaluate`.
        decision: `decision` of the model's `model.json`.
        tables: By name, as stage `evaluate` wrote them: `confusion` (true class by predicted
            class), `roc`, `precision_recall`, `reliability` and `thresholds`. Those of the ranking
            are empty where all images are of one class, `thresholds` where no class is positive.

    Returns:
        PNG bytes: `confusion`, `reliability`; `roc` and `precision_recall` where there is a
        ranking; `thresholds` where a class is positive.
    """
    classes, positive = list(tables["confusion"]), decision["positive"]
    subject = "the predicted class"
    if len(classes) == 2:
        subject = positive or classes[1]
    plots = {
        "confusion": confusion_matrix(tables["confusion"]),
        "reliability": reliability_diagram(tables["reliability"], f"probability of {subject}"),
    }
    if len(tables["roc"]):
        shares = tables["confusion"].sum(axis=1) / tables["confusion"].to_numpy().sum()
        # Guessing is as precise as the class is frequent; several classes are averaged.
        several = len(classes) > 2 and not positive
        chance = shares[shares > 0].mean() if several else shares[positive or classes[1]]
        plots["roc"] = roc_curve(tables["roc"], test["roc_auc"])
        plots["precision_recall"] = precision_recall_curve(
            tables["precision_recall"], test["average_precision"], float(chance)
        )
    if positive and len(tables["thresholds"]):
        chosen = test["decision"] if decision["threshold"] is not None else None
        plots["thresholds"] = threshold_curves(tables["thresholds"], positive, chosen)
    return plots


@plot
def confusion_matrix(counts: pd.DataFrame) -> Figure:
    """Draw the number of images by true and by predicted class.

    Args:
        counts: True classes in rows, predicted classes in columns, in the same order.
    """
    values = counts.to_numpy()
    classes = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in counts]
    shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
    side = min(max(SQUARE, 1.4 + 0.6 * len(classes)), 8)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= COUNTED:
        for (row, column), count in np.ndenumerate(values):
            colour = "white" if shares[row, column] > 0.55 else INK
            text = f"{count:,}\n{shares[row, column]:.0%}"
            axes.text(column, row, text, ha="center", va="center", color=colour)
    positions = range(len(classes))
    if len(classes) == 2:
        axes.set_xticks(positions, classes)
        axes.set_yticks(positions, classes, rotation=90, va="center")
    elif len(classes) <= NAMED:
        size = 10 if len(classes) <= COUNTED else 7
        axes.set_xticks(positions, classes, rotation=90, fontsize=size)
        axes.set_yticks(positions, classes, fontsize=size)
    else:
        axes.set(xticks=[], yticks=[])
    axes.set(xlabel="predicted class", ylabel="true class", title="Confusion matrix")
    axes.spines[:].set_visible(False)
    return figure


@plot
def roc_curve(points: pd.DataFrame, area: float) -> Figure:
    """Draw the true positive rate `tpr` against the false positive rate `fpr`."""
    figure, axes = _unit_square("ROC curve", "false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], color=FAINT, linestyle=":", label="chance")
    axes.plot(points["fpr"], points["tpr"], color=TRAIN, label=f"area {area:.3f}")
    axes.legend(frameon=False, loc="lower right")
    return figure


@plot
def precision_recall_curve(points: pd.DataFrame, average: float, chance: float) -> Figure:
    """Draw `precision` against `recall`, which rises, and the precision of guessing."""
    figure, axes = _unit_square("Precision-recall curve", "recall", "precision")
    axes.axhline(chance, color=FAINT, linestyle=":", label="chance")
    label = f"average precision {average:.3f}"
    axes.step(points["recall"], points["precision"], where="pre", color=TRAIN, label=label)
    axes.legend(loc="lower left", edgecolor="white", fancybox=False)
    return figure


@plot
def reliability_diagram(bins: pd.DataFrame, xlabel: str) -> Figure:
    """Draw how often a prediction came true by its probability, above the number of images.

    Args:
        bins: `reliability.csv`: in column `temperature` the bins `after` temperature scaling, and
            those `before` it where it changes the probabilities.
        xlabel: What the probability is of.
    """
    after = bins[bins["temperature"] == "after"]
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([0, 1], [0, 1], color=FAINT, linestyle=":", label="perfectly calibrated")
    chance = after[["probability", "chance_low", "chance_high"]].to_numpy().T
    upper.vlines(*chance, color=FAINT, alpha=0.35, linewidth=7, label="deviation by chance")
    for when, label, style in (
        ("before", "before temperature scaling", {"color": VALIDATION, "linestyle": ":"}),
        ("after", "the model", {"color": TRAIN}),
    ):
        points = bins.loc[bins["temperature"] == when, ["probability", "frequency"]].to_numpy().T
        if points.size:
            upper.plot(*points, marker="o", markersize=5, linewidth=1.3, label=label, **style)
    upper.set(title="Reliability diagram", ylabel="observed frequency", ylim=(-0.03, 1.03))
    lower.bar(after["low"], after["images"], 1 / BINS, align="edge", color=TRAIN, ec="white")
    lower.set(xlabel=xlabel, ylabel="images", xlim=(-0.02, 1.02))
    lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=2)
    return figure


@plot
def threshold_curves(
    curve: pd.DataFrame, positive: str, chosen: Mapping[str, float] | None
) -> Figure:
    """Draw precision and recall by threshold; below, the cost, where a threshold was chosen.

    Args:
        curve: Columns `threshold`, `precision`, `recall` and `cost`.
        positive: Name of the positive class.
        chosen: The `threshold` stored with the model and the `miss_cost`, if there is one.
    """
    figure = Figure(figsize=(WIDTH, 4.8 if chosen else 3.4), layout="constrained")
    panels = figure.subplots(2 if chosen else 1, 1, sharex=True, squeeze=False)[:, 0]
    upper, lower = panels[0], panels[-1]
    upper.plot(curve["threshold"], curve["recall"], color=TRAIN, label="recall")
    upper.plot(curve["threshold"], curve["precision"], color=RIGHT, label="precision")
    upper.set(title="Metrics by threshold", ylabel="precision, recall", ylim=(-0.03, 1.03))
    if chosen:
        line = {"x": chosen["threshold"], "color": INK, "linestyle": "--", "linewidth": 1}
        upper.axvline(**line, label=f"stored threshold {chosen['threshold']:.3f}")
        lower.axvline(**line)
        lower.plot(curve["threshold"], curve["cost"], color=VALIDATION)
        ylabel = f"cost per image\n(1 miss = {chosen['miss_cost']:g} false alarms)"
        lower.set(ylabel=ylabel, ylim=(0, None))
    lower.set(xlabel=f"threshold on the probability of {positive}", xlim=(-0.02, 1.02))
    for axes in panels:
        axes.grid(visible=True, axis="y")
    figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=3)
    return figure


def _unit_square(title: str, xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(SQUARE, SQUARE), layout="constrained")
    axes = figure.subplots()
    limits = (-0.02, 1.02)
    axes.set(xlim=limits, ylim=limits, aspect="equal", title=title, xlabel=xlabel, ylabel=ylabel)
    return figure, axes


@plot
def learning_curve(history: pd.DataFrame, metric: str, used_epoch: int) -> Figure:
    """Draw `loss` or `accuracy` over epochs, and mark the epoch whose weights are kept."""
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    draw_learning_curve(figure.subplots(), history, metric, used_epoch)
    return figure


def overview(
    photos: Sequence[tuple[drawing.Pixels, str, bool]], history: pd.DataFrame, used_epoch: int
) -> bytes:
    """Draw photos with their predictions beside the learning curves.

    Args:
        photos: Up to twelve: uint8 RGB [H, W, 3], the text above it, and whether the prediction
            is correct.
        history: The content of `history.csv`, drawn as by `learning_curve`.
        used_epoch: The epoch whose weights are kept.
    """
    with rc_context(drawing.STYLE):
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
        return drawing.png(figure, dpi=100)


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
