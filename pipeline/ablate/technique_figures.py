"""Figures of the comparison: one for each idea, narrow enough to be read on a telephone."""

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.ablate.comparison import ACCURACY, Values
from pipeline.ablate.outcomes import Comparison, Curves, Entry, Outcome
from pipeline.common.drawing import FAINT, INK, RIGHT, TRAIN, VALIDATION
from pipeline.common.plots import STYLE, png
from pipeline.common.resampling import Estimate
from pipeline.common.wording import number, span

WIDTH = 4.6  # inches
BAND = "#fff1c2"
STAGES = (
    ("baseline", "linear", FAINT, ":", "baseline, before the activation"),
    ("batch_norm", "linear", TRAIN, "--", "batch norm, what goes in"),
    ("batch_norm", "batch_norm", VALIDATION, "-", "batch norm, what comes out"),
)


def draw_all(comparison: Comparison) -> dict[str, bytes]:
    """Every figure that these techniques allow, as PNG bytes by name.

    Args:
        comparison: The techniques.

    Returns:
        `forest` where there are differences, `curves_<technique>` for each, and where there are
        techniques of those names `early_stopping`, `checkpointing` and `batch_norm_<layer>`.
    """
    figures = {f"curves_{entry.name}": curves(entry, comparison) for entry in comparison.entries}
    if comparison.compared:
        figures["forest"] = forest(comparison.compared)
    for name, draw in (("early_stopping", early_stopping), ("checkpointing", checkpointing)):
        entry = comparison.get(name)
        if entry and entry.outcome.settings[_section(name)]["enabled"]:
            figures[name] = draw(entry.outcome)
    return figures | _normalisation(comparison)


def forest(entries: Sequence[Entry]) -> bytes:
    """Differences in test accuracy to the baseline, each with its interval.

    Args:
        entries: Techniques that have a difference.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 1.1 + 0.52 * len(entries)), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0, color=INK, linewidth=1)
        for row, entry in enumerate(entries):
            _interval(axes, row, entry.differences[ACCURACY])
        axes.set_yticks(range(len(entries)), [_row_label(entry) for entry in entries])
        axes.set(ylim=(len(entries) - 0.5, -0.5), xlabel="points of test accuracy")
        axes.set_title("Difference to the baseline")
        axes.grid(visible=True, axis="x")
        axes.set_axisbelow(True)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        return png(figure)


def curves(entry: Entry, comparison: Comparison) -> bytes:
    """Loss over epochs, training and validation: each seed thin, their mean thick.

    The axes are the same for all techniques. A mean is drawn as far as every seed ran: beyond, it
    would be of those that were not stopped.

    Args:
        entry: The technique.
        comparison: All of them, for the axes and the baseline's curve.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
        axes = figure.subplots()
        for column, colour, label in (
            ("train_loss", TRAIN, "training"),
            ("val_loss", VALIDATION, "validation"),
        ):
            for history in entry.outcome.histories:
                axes.plot(history["epoch"], history[column], color=colour, lw=0.7, alpha=0.45)
            mean = _mean(entry.outcome, column)
            axes.plot(range(len(mean)), mean, color=colour, lw=2.4, label=label)
        if comparison.baseline and entry.differences:
            mean = _mean(comparison.baseline.outcome, "val_loss")
            axes.plot(
                range(len(mean)), mean, color=INK, ls=":", lw=1.4, label="baseline's validation"
            )
        _mark_used(axes, entry.outcome)
        _label_epochs(axes)
        axes.set_ylabel("loss")
        axes.set(**_limits(comparison))
        axes.grid(visible=True, axis="y")
        axes.legend(frameon=False, fontsize=9, loc="upper left")
        return png(figure)


def early_stopping(outcome: Outcome) -> bytes:
    """Threshold and patience: how early stopping came to its end in one run.

    Args:
        outcome: Of a technique that stops early.
    """
    stop = outcome.settings["early_stopping"]
    run = _first_stopped(outcome)
    watched = outcome.histories[run][stop["monitor"]]
    sign = 1 if stop["mode"] == "min" else -1
    best, last = improvements(sign * watched, stop["min_delta"])
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
        axes = figure.subplots()
        epochs = np.arange(len(watched))
        threshold = sign * (best - stop["min_delta"])
        axes.fill_between(
            epochs, sign * best, threshold, step="post", color=BAND, label="less than the threshold"
        )
        axes.step(epochs, sign * best, where="post", color=INK, lw=1, label="best so far")
        axes.plot(epochs, watched, color=VALIDATION, marker=".", label=_words(stop["monitor"]))
        axes.plot(last, watched[last], "o", color=RIGHT, ms=8, label=f"last improvement: {last}")
        axes.axvspan(last, len(watched) - 1, color=TRAIN, alpha=0.09, lw=0)
        axes.set_title(_stopping_title(outcome, run, last))
        _label_epochs(axes)
        axes.grid(visible=True, axis="y")
        figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=2)
        return png(figure)


def checkpointing(outcome: Outcome) -> bytes:
    """The epoch whose weights were kept, and the last, in one run.

    Args:
        outcome: Of a technique that keeps the best epoch.
    """
    monitor = outcome.settings["checkpoint"]["monitor"]
    watched, kept = outcome.histories[0][monitor], int(outcome.runs["used_epoch"][0])
    last = len(watched) - 1
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
        axes = figure.subplots()
        axes.plot(watched, color=VALIDATION, label=_words(monitor))
        axes.axvline(kept, color=RIGHT, ls="--", lw=1)
        label = f"kept: {number(watched[kept], 3)} at epoch {kept}"
        axes.plot(kept, watched[kept], "o", color=RIGHT, ms=9, label=label)
        label = f"last: {number(watched[last], 3)} at epoch {last}"
        axes.plot(last, watched[last], "X", color=INK, ms=9, label=label)
        axes.set_title(f"The best epoch's weights, seed {outcome.seeds[0]}")
        _label_epochs(axes)
        axes.grid(visible=True, axis="y")
        figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=2)
        return png(figure)


def activations(comparison: Comparison, layer: str) -> bytes:
    """Mean and standard deviation over epochs of what goes into and comes out of batch norm.

    Args:
        comparison: All techniques, those called `batch_norm` and `baseline` among them.
        layer: `layer_1` and so on.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
        panels = figure.subplots(2, 1, sharex=True)
        for axes, column, ylabel in zip(
            panels, ("mean", "std"), ("mean", "standard deviation"), strict=True
        ):
            for technique, stage, colour, style, label in STAGES:
                entry = comparison.get(technique)
                if entry:
                    values = moments(entry.outcome, layer, stage)[column]
                    axes.plot(values, color=colour, ls=style, label=label)
            axes.set_ylabel(ylabel)
            axes.grid(visible=True, axis="y")
        panels[0].set_title(f"Hidden {_words(layer)}, on validation images")
        _label_epochs(panels[1])
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, frameon=False, fontsize=9, loc="outside lower center")
        return png(figure)


def improvements(watched: Values, min_delta: float) -> tuple[Values, int]:
    """What early stopping holds to be the best so far, and the epoch of the last improvement.

    As Lightning's EarlyStopping has it: an improvement must be larger than the threshold.

    Args:
        watched: float64 [epochs], lower is better.
        min_delta: The threshold.
    """
    best, last, so_far = np.inf, 0, []
    for epoch, value in enumerate(watched):
        if value < best - min_delta:
            best, last = float(value), epoch
        so_far.append(best)
    return np.array(so_far), last


def moments(outcome: Outcome, layer: str, stage: str) -> Curves:
    """`mean` and `std`, float64 [epochs] each, of the first seed.

    Args:
        outcome: Of a technique.
        layer: `layer_1` and so on.
        stage: `linear`, `batch_norm` or `activation`.
    """
    table = outcome.activations
    wanted = (outcome.seeds[0], layer, stage)
    found = zip(table["seed"], table["layer"], table["stage"], strict=True)
    chosen = [row for row, key in enumerate(found) if key == wanted]
    return {name: np.array([float(table[name][row]) for row in chosen]) for name in ("mean", "std")}


def normalised(outcome: Outcome) -> dict[str, dict[str, float]] | None:
    """`mean` and `std` `before` and `after` batch norm, in layer 1 at the last epoch.

    Args:
        outcome: Of a technique; where it has no batch norm, there is nothing to tell.
    """
    stages = {"before": "linear", "after": "batch_norm"}
    found = {when: moments(outcome, "layer_1", stage) for when, stage in stages.items()}
    if not all(len(values["mean"]) for values in found.values()):
        return None
    return {
        when: {name: float(column[-1]) for name, column in values.items()}
        for when, values in found.items()
    }


def _normalisation(comparison: Comparison) -> dict[str, bytes]:
    """The first and the last hidden layer; between them, nothing new is to be seen."""
    entry = comparison.get("batch_norm")
    if entry is None or not entry.outcome.settings["model"]["batch_norm"]:
        return {}
    layers = list(dict.fromkeys(entry.outcome.activations["layer"]))
    ends = dict.fromkeys([*layers[:1], *layers[-1:]])
    return {f"batch_norm_{layer}": activations(comparison, layer) for layer in ends}


def _section(technique: str) -> str:
    return {"checkpointing": "checkpoint"}.get(technique, technique)


def _interval(axes: Axes, row: int, difference: Estimate) -> None:
    colour = FAINT
    if difference.shown:
        colour = RIGHT if difference.value > 0 else VALIDATION
    if difference.interval:
        ends = [100 * difference.interval.low, 100 * difference.interval.high]
        axes.plot(ends, [row, row], color=colour, lw=3, solid_capstyle="butt")
    axes.plot(100 * difference.value, row, "o", color=colour, ms=8)


def _row_label(entry: Entry) -> str:
    difference = entry.differences[ACCURACY]
    interval = span(difference, 100, 1)
    size = number(100 * difference.value, 1, signed=True)
    return f"{entry.title}\n{size} ({interval})" if interval else f"{entry.title}\n{size}"


def _mean(outcome: Outcome, column: str) -> Values:
    shared = min(len(history["epoch"]) for history in outcome.histories)
    mean: Values = np.mean([history[column][:shared] for history in outcome.histories], axis=0)
    return mean


def _label_epochs(axes: Axes) -> None:
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _mark_used(axes: Axes, outcome: Outcome) -> None:
    for history, used in zip(outcome.histories, outcome.runs["used_epoch"], strict=True):
        axes.plot(used, history["val_loss"][int(used)], "o", color=VALIDATION, ms=4, zorder=3)


def _limits(comparison: Comparison) -> dict[str, tuple[float, float]]:
    """The same for all techniques, and room above for the legend."""
    histories = [history for entry in comparison.entries for history in entry.outcome.histories]
    highest = max(
        history[name].max() for history in histories for name in history if "loss" in name
    )
    longest = max(history["epoch"].max() for history in histories)
    return {"xlim": (-0.02 * longest, 1.02 * max(longest, 1)), "ylim": (0, 1.25 * highest)}


def _first_stopped(outcome: Outcome) -> int:
    """The first run that did not go on to the last epoch; else the first."""
    allowed = outcome.settings["train"]["epochs"]
    stopped = np.flatnonzero(outcome.runs["epochs_run"] < allowed)
    return int(stopped[0]) if len(stopped) else 0


def _stopping_title(outcome: Outcome, run: int, last: int) -> str:
    waited = len(outcome.histories[run]["epoch"]) - 1 - last
    patience = outcome.settings["early_stopping"]["patience"]
    seed = outcome.seeds[run]
    if waited >= patience:
        return f"Seed {seed}: after {patience} epochs, patience ran out"
    return f"Seed {seed}: patience ({patience}) did not run out"


def _words(name: str) -> str:
    return name.replace("val_", "validation ").replace("train_", "training ").replace("_", " ")
