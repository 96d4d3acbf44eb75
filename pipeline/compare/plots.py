"""Plots of the comparison: one for each idea, narrow enough to be read on a phone."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.common.drawing import FAINT, INK, RIGHT, TRAIN, VALIDATION, WIDTH, plot
from pipeline.common.resampling import number

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.compare.statistics import Outcome

BAND = "#fff1c2"
# Technique, stage, colour, line and label of what goes into and comes out of batch normalisation.
STAGES = (
    ("baseline", "linear", FAINT, ":", "baseline, before the activation"),
    ("batch_norm", "linear", TRAIN, "--", "batch norm, input"),
    ("batch_norm", "batch_norm", VALIDATION, "-", "batch norm, output"),
)

Entry = Mapping[str, Any]


def draw_all(outcomes: Sequence["Outcome"], comparison: Mapping[str, Any]) -> dict[str, bytes]:
    """Draw every plot that these techniques allow, as PNG bytes by name.

    Args:
        outcomes: What the runs of each technique gave.
        comparison: The content of `comparison.json`.

    Returns:
        `curves_<technique>` for each; `differences_accuracy` and `differences_loss` where there are
        any; `early_stopping`, `checkpointing` and `batch_norm_<layer>` where techniques of those
        names do what their name says.
    """
    by_name = {outcome.name: outcome for outcome in outcomes}
    longest = max(outcome.history["epoch"].max() for outcome in outcomes)
    highest = max(outcome.history[["train_loss", "val_loss"]].max().max() for outcome in outcomes)
    limits = {"xlim": (-0.02 * longest, 1.02 * max(longest, 1)), "ylim": (0, 1.25 * highest)}
    baseline = by_name.get("baseline")
    plots = {
        f"curves_{name}": _curves(one, None if one is baseline else baseline, limits)
        for name, one in by_name.items()
    }
    compared = [entry for entry in comparison["techniques"] if entry["differences"]]
    if compared:
        plots["differences_accuracy"] = _forest(compared, "accuracy", 100, "points of accuracy", 1)
        plots["differences_loss"] = _forest(
            compared, "loss", 1, "cross-entropy; lower is better", 2
        )
    stopping, keeping = by_name.get("early_stopping"), by_name.get("checkpointing")
    if stopping and stopping.settings["early_stopping"]["enabled"]:
        plots["early_stopping"] = _early_stopping(stopping)
    if keeping and keeping.settings["checkpoint"]["enabled"]:
        plots["checkpointing"] = _checkpointing(keeping)
    normed = by_name.get("batch_norm")
    if normed and normed.settings["model"]["batch_norm"]:
        layers = list(normed.activations["layer"].unique())
        # The first and the last hidden layer; those between them show nothing else.
        for layer in dict.fromkeys([*layers[:1], *layers[-1:]]):
            plots[f"batch_norm_{layer}"] = _activations(by_name, layer)
    return plots


@plot
def _forest(entries: Sequence[Entry], metric: str, scale: float, unit: str, digits: int) -> Figure:
    """Draw the differences to the baseline in a metric, times a scale, each with its interval."""
    figure = Figure(figsize=(WIDTH, 1.1 + 0.52 * len(entries)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color=INK, linewidth=1)
    labels = []
    for row, entry in enumerate(entries):
        found = entry["differences"][metric]
        value, low, high = (scale * found[name] for name in ("value", "low", "high"))
        shown = low > 0 or high < 0
        better = (value > 0) == (metric == "accuracy")
        colour = (RIGHT if better else VALIDATION) if shown else FAINT
        axes.plot([low, high], [row, row], color=colour, lw=3, solid_capstyle="butt")
        axes.plot(value, row, "o", color=colour, ms=8)
        interval = f"{number(low, digits)} to {number(high, digits)}"
        labels.append(f"{entry['title']}\n{number(value, digits, signed=True)} ({interval})")
    axes.set_yticks(range(len(entries)), labels)
    axes.set(ylim=(len(entries) - 0.5, -0.5), xlabel=unit)
    axes.set_title(f"Difference in {metric}")
    axes.grid(visible=True, axis="x")
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


@plot
def _curves(outcome: "Outcome", baseline: "Outcome | None", limits: Mapping[str, Any]) -> Figure:
    """Draw loss over epochs, training and validation: each run thin, their mean thick."""
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    axes = figure.subplots()
    for column, colour, label in (
        ("train_loss", TRAIN, "training"),
        ("val_loss", VALIDATION, "validation"),
    ):
        for _, history in outcome.history.groupby("run"):
            axes.plot(history["epoch"], history[column], color=colour, lw=0.7, alpha=0.45)
        axes.plot(_mean(outcome, column), color=colour, lw=2.4, label=label)
    if baseline is not None:
        mean = _mean(baseline, "val_loss")
        axes.plot(mean, color=INK, ls=":", lw=1.4, label="baseline's validation")
    used = outcome.runs[["run", "used_epoch"]].rename(columns={"used_epoch": "epoch"})
    chosen = outcome.history.merge(used)
    axes.plot(chosen["epoch"], chosen["val_loss"], "o", color=VALIDATION, ms=4, zorder=3)
    axes.set(ylabel="cross-entropy", **limits)
    _label_epochs(axes)
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    return figure


@plot
def _early_stopping(outcome: "Outcome") -> Figure:
    """Draw how threshold and patience ended one run, as Lightning's EarlyStopping recorded it."""
    stop, epochs = outcome.settings["early_stopping"], outcome.settings["train"]["epochs"]
    stopped = outcome.runs.loc[outcome.runs["epochs_run"] < epochs, "run"]
    run = int(stopped.iloc[0]) if len(stopped) else int(outcome.runs["run"].iloc[0])
    history = outcome.history[outcome.history["run"] == run]
    best, wait = history["early_stopping_best"], history["early_stopping_wait"]
    epoch, watched = history["epoch"], history[stop["monitor"]]
    last = int(epoch[wait == 0].iloc[-1])
    threshold = best + stop["min_delta"] * (-1 if stop["mode"] == "min" else 1)

    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(epoch, best, threshold, step="post", color=BAND, label="below the threshold")
    axes.step(epoch, best, where="post", color=INK, lw=1, label="best so far")
    axes.plot(epoch, watched, color=VALIDATION, marker=".", label=_words(stop["monitor"]))
    axes.plot(last, watched.iloc[last], "o", color=RIGHT, ms=8, label=f"last improvement: {last}")
    axes.axvspan(last, len(epoch) - 1, color=TRAIN, alpha=0.09, lw=0)
    if len(stopped):
        axes.set_title(f"Run {run}: patience ({stop['patience']} epochs) ran out")
    else:
        axes.set_title(f"Run {run}: patience ({stop['patience']}) did not run out")
    axes.set_ylabel(_words(stop["monitor"]))
    _label_epochs(axes)
    figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=2)
    return figure


@plot
def _checkpointing(outcome: "Outcome") -> Figure:
    """Draw the epoch whose weights were kept, and the last one, in the first run."""
    monitor = outcome.settings["checkpoint"]["monitor"]
    history = outcome.history[outcome.history["run"] == 1]
    watched = history[monitor].to_numpy()
    kept, last = int(outcome.runs["used_epoch"].iloc[0]), len(watched) - 1
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.plot(watched, color=VALIDATION, label=_words(monitor))
    axes.axvline(kept, color=RIGHT, ls="--", lw=1)
    label = f"kept: {number(watched[kept], 3)} at epoch {kept}"
    axes.plot(kept, watched[kept], "o", color=RIGHT, ms=9, label=label)
    label = f"last: {number(watched[last], 3)} at epoch {last}"
    axes.plot(last, watched[last], "X", color=INK, ms=9, label=label)
    axes.set_title("Run 1: the weights of the best epoch")
    axes.set_ylabel(_words(monitor))
    _label_epochs(axes)
    figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=2)
    return figure


@plot
def _activations(outcomes: Mapping[str, "Outcome"], layer: str) -> Figure:
    """Draw mean and standard deviation, over epochs, of the input and output of batch norm."""
    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    for axes, column, label in ((upper, "mean", "mean"), (lower, "std", "standard deviation")):
        for technique, stage, colour, style, name in STAGES:
            if technique in outcomes:
                rows = outcomes[technique].activations
                chosen = (rows["run"] == 1) & (rows["layer"] == layer) & (rows["stage"] == stage)
                rows = rows[chosen]
                axes.plot(rows["epoch"], rows[column], color=colour, ls=style, label=name)
        axes.set_ylabel(label)
        axes.grid(visible=True, axis="y")
    upper.set_title(f"Hidden {_words(layer)} on validation images, run 1")
    _label_epochs(lower)
    handles, labels = upper.get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=9, loc="outside lower center")
    return figure


def _mean(outcome: "Outcome", column: str) -> "pd.Series[float]":
    """The mean of the runs by epoch, up to the last epoch that all of them reached."""
    grouped = outcome.history.groupby("epoch")[column]
    return grouped.mean()[grouped.size() == outcome.history["run"].nunique()]


def _label_epochs(axes: Axes) -> None:
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, axis="y")


def _words(name: str) -> str:
    return name.replace("val_", "validation ").replace("train_", "training ").replace("_", " ")
