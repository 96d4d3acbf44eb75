"""Figures of what the model answered to the test images, each narrow enough for a telephone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.common.drawing import FAINT, INK, RIGHT, TRAIN, VALIDATION
from pipeline.common.metrics import BINS, Values
from pipeline.common.plots import STYLE, png

WIDTH = 4.6  # inches
SQUARE = 4.2
WRITTEN = 12  # classes whose counts are written into a confusion matrix
NAMED = 40  # classes whose names have room beside it


@dataclass(frozen=True)
class Results:
    """What stage `evaluate` found, as far as it is drawn.

    Attributes:
        classes: Names in the order of `counts`.
        positive: Name of the positive class, if there is one.
        test: `metrics.json`.
        counts: int64 [classes, classes], true class by predicted class.
        roc: Columns of `roc.json`; none where the images are of one class.
        precision_recall: Columns of `precision_recall.json`, likewise.
        reliability: Columns of `reliability.csv`, `before` and `after` the temperature.
        thresholds: Columns of `thresholds.json`; empty where no class is positive.
    """

    classes: Sequence[str]
    positive: str | None
    test: Mapping[str, Any]
    counts: npt.NDArray[np.int64]
    roc: Mapping[str, Values]
    precision_recall: Mapping[str, Values]
    reliability: Mapping[str, Mapping[str, Values]]
    thresholds: Mapping[str, Values]


def draw_results(results: Results) -> dict[str, bytes]:
    """Every figure that these results allow, as PNG bytes by name.

    Returns:
        `confusion` and `reliability`; `roc` and `precision_recall` where there are images of more
        than one class; `thresholds` where one is positive.
    """
    test = results.test
    what = "probability of the class predicted"
    if len(results.classes) == 2:
        what = f"probability of {results.positive or results.classes[1]}"
    figures = {
        "confusion": confusion_matrix(results.counts, results.classes),
        "reliability": reliability_diagram(**results.reliability, what=what),
    }
    if results.roc:
        figures["roc"] = roc_curve(results.roc, test["roc_auc"])
        figures["precision_recall"] = precision_recall_curve(
            results.precision_recall, test["average_precision"], _chance(results)
        )
    if results.positive and results.thresholds:
        decided = test.get("at_threshold")
        figures["thresholds"] = threshold_curve(results.thresholds, results.positive, decided)
    return figures


def _chance(results: Results) -> float:
    """The precision of guessing: the share of the class looked at, or its mean over classes."""
    shares = results.counts.sum(axis=1) / results.counts.sum()
    if results.positive:
        return float(shares[results.classes.index(results.positive)])
    return float(shares[1] if len(shares) == 2 else shares[shares > 0].mean())


def confusion_matrix(counts: npt.NDArray[np.int64], classes: Sequence[str]) -> bytes:
    """Images by true and by predicted class; counts are written for up to 12 classes.

    Args:
        counts: int64 [classes, classes], true class by predicted class.
        classes: Names in the order of `counts`.
    """
    with rc_context(STYLE):
        side = min(max(SQUARE, 1.4 + 0.6 * len(classes)), 8)
        figure = Figure(figsize=(side, side), layout="constrained")
        axes = figure.subplots()
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        if len(classes) <= WRITTEN:
            _write_counts(axes, counts, shares)
        _name_classes(axes, classes)
        axes.set(xlabel="predicted", ylabel="true", title="Confusion matrix")
        axes.spines[:].set_visible(False)
        return png(figure)


def roc_curve(points: Mapping[str, Values], area: float) -> bytes:
    """True against false positive rate over all thresholds.

    Args:
        points: `fpr` and `tpr`.
        area: Area under the curve.
    """
    with rc_context(STYLE):
        figure, axes = _square()
        axes.plot([0, 1], [0, 1], color=FAINT, linestyle=":", label="chance")
        axes.plot(points["fpr"], points["tpr"], color=TRAIN, label=f"area {area:.3f}")
        axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
        axes.legend(frameon=False, loc="lower right")
        return png(figure)


def precision_recall_curve(points: Mapping[str, Values], average: float, chance: float) -> bytes:
    """Precision against recall over all thresholds.

    Args:
        points: `recall`, rising, and `precision`.
        average: Average precision: the area under these steps.
        chance: The precision of guessing.
    """
    with rc_context(STYLE):
        figure, axes = _square()
        axes.plot([0, 1], [chance, chance], color=FAINT, linestyle=":", label="chance")
        axes.plot(
            points["recall"],
            points["precision"],
            color=TRAIN,
            drawstyle="steps-pre",
            label=f"average {average:.3f}",
        )
        axes.set(xlabel="recall", ylabel="precision", title="Precision and recall")
        axes.legend(frameon=False, loc="lower left")
        return png(figure)


def reliability_diagram(
    before: Mapping[str, Values], after: Mapping[str, Values], what: str
) -> bytes:
    """How often it was so, by how probable it was said to be; below, how many images said that.

    Args:
        before: Columns `probability`, `frequency` and `images` of the bins before the temperature.
        after: The same after it, with `low`, `chance_low` and `chance_high`.
        what: What the probability is of.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 4.8), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        upper.plot([0, 1], [0, 1], color=FAINT, linestyle=":", label="perfect")
        upper.vlines(
            after["probability"],
            after["chance_low"],
            after["chance_high"],
            color=FAINT,
            alpha=0.35,
            linewidth=7,
            label="perfect but for chance",
        )
        _reliability(upper, before, VALIDATION, "before temperature", "o:", fill="none")
        _reliability(upper, after, TRAIN, "after", "o-", fill="full")
        upper.set(title="Said and found", ylabel="share that it was true of", ylim=(-0.03, 1.03))
        lower.bar(after["low"], after["images"], 1 / BINS, align="edge", color=TRAIN, ec="white")
        lower.set(xlabel=what, ylabel="images", xlim=(-0.02, 1.02))
        lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=2)
        return png(figure)


def threshold_curve(
    curve: Mapping[str, Values], positive: str, decided: Mapping[str, float] | None
) -> bytes:
    """Precision and recall by threshold; below, the cost, where a threshold was chosen.

    Args:
        curve: Columns of `thresholds.threshold_curve`.
        positive: Name of the positive class.
        decided: The `threshold` stored with the model and the `miss_cost`, if there is one.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 4.8 if decided else 3.4), layout="constrained")
        panels = figure.subplots(2 if decided else 1, 1, sharex=True, squeeze=False)[:, 0]
        upper, lower = panels[0], panels[-1]
        upper.plot(curve["threshold"], curve["recall"], color=TRAIN, label="recall")
        upper.plot(curve["threshold"], curve["precision"], color=RIGHT, label="precision")
        upper.set(title="Found, and rightly so", ylabel="share", ylim=(-0.03, 1.03))
        if decided:
            _costs(lower, curve, decided["miss_cost"])
            _mark_chosen(panels, decided["threshold"])
        lower.set(xlabel=f"threshold on the probability of {positive}", xlim=(-0.02, 1.02))
        for axes in panels:
            axes.grid(visible=True, axis="y")
        figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=3)
        return png(figure)


def _costs(axes: Axes, curve: Mapping[str, Values], miss_cost: float) -> None:
    axes.plot(curve["threshold"], curve["cost"], color=VALIDATION)
    axes.set(ylabel=f"cost per image,\na miss being {miss_cost:g}", ylim=(0, None))


def _mark_chosen(panels: Iterable[Axes], threshold: float) -> None:
    label: str | None = f"{threshold:.3f}, chosen on validation"
    for axes in panels:
        axes.axvline(threshold, color=INK, linestyle="--", linewidth=1, label=label)
        label = None  # once is enough in the legend


def _square() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(SQUARE, SQUARE), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    return figure, axes


def _write_counts(axes: Axes, counts: npt.NDArray[np.int64], shares: Values) -> None:
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.55 else INK
        text = f"{count:,}\n{shares[row, column]:.0%}"
        axes.text(column, row, text, ha="center", va="center", color=colour)


def _name_classes(axes: Axes, classes: Sequence[str]) -> None:
    places = range(len(classes))
    if len(classes) == 2:
        axes.set_xticks(places, classes)
        axes.set_yticks(places, classes, rotation=90, va="center")
    elif len(classes) <= NAMED:
        size = 10 if len(classes) <= WRITTEN else 7
        axes.set_xticks(places, classes, rotation=90, fontsize=size)
        axes.set_yticks(places, classes, fontsize=size)
    else:
        axes.set(xticks=[], yticks=[])


def _reliability(
    axes: Axes, bins: Mapping[str, Values], colour: str, label: str, style: str, *, fill: str
) -> None:
    axes.plot(
        bins["probability"],
        bins["frequency"],
        style,
        color=colour,
        label=label,
        fillstyle=fill,
        markersize=5,
        linewidth=1.3,
    )
