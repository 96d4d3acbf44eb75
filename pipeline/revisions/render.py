"""Show a comparison of two revisions: as Markdown, which the terminal shows too, or as a page."""

import re
from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.table import Table
from rich.text import Text

from pipeline.common import paths
from pipeline.common.drawing import TRAIN, VALIDATION, data_uri, encode_jpeg, plot
from pipeline.common.errors import MissingOutputError
from pipeline.common.images import decode, resize
from pipeline.common.pages import template_environment
from pipeline.common.resampling import Estimate, number, span
from pipeline.revisions import diff
from pipeline.revisions.diff import KINDS, Difference

ARROW, DASH = "\N{RIGHTWARDS ARROW}", "\N{EN DASH}"
KIND_WORDS = dict(zip(KINDS, ("now wrong", "now correct", "wrong in both"), strict=True))
PHOTOS = 60  # changed predictions with a photo on the page
TILE = 128  # pixels a side of a photo there


def markdown(difference: Difference, rows: int | None = None) -> str:
    """The comparison as GitHub shows it, with at most `rows` of the changed predictions."""
    return _template("diff.md.j2", difference, rows=rows)


def html(difference: Difference) -> str:
    """The comparison as one page that needs no other file."""
    photos, no_photos = _photos(difference)
    curves = {
        what: data_uri(_learning_curves(difference.histories, what))
        for what in ("loss", "accuracy")
        if difference.histories
    }
    return _template("diff.html.j2", difference, photos=photos, no_photos=no_photos, curves=curves)


def _template(name: str, difference: Difference, **content: object) -> str:
    environment = template_environment("pipeline.revisions")
    # What Markdown would take for a mark; within a word it takes `_` for itself.
    environment.filters["literal"] = lambda text: re.sub(
        r"([\\`*<[|&]|\b_|_\b)", r"\\\1", str(text)
    )
    environment.filters["value"] = _value
    environment.filters["sentence"] = lambda text: f"{text[:1].upper()}{text[1:]}."
    stale = [
        f"{revision}: {', '.join(stages)} did not run since params, code or data changed, so what "
        "depends on them is out of date; `dvc repro` updates it"
        for revision, stages in difference.stale.items()
    ]
    predictions = difference.predictions
    changed = [] if predictions is None else predictions.changed.to_dict("records")
    return environment.get_template(name).render(
        old=difference.old,
        new=difference.new,
        warnings=stale + difference.missing,
        inputs=inputs(difference),
        metrics=difference.changed_metrics,
        has_metrics=bool(difference.metrics),
        pairing=predictions and pairing(predictions),
        counts=predictions and changed_counts(predictions),
        changed=changed,
        kinds=KIND_WORDS,
        arrow=ARROW,
        **content,
    )


def inputs(difference: Difference) -> dict[str, list[str]]:
    """The inputs, and the decision rule that follows from them: a line for each change."""
    read_by = [f"read by {', '.join(difference.stages)}"] if difference.stages else []
    lines = {
        "params": [f"{key}: {old_to_new(pair)}" for key, pair in difference.params.items()],
        "decision": [f"{key}: {old_to_new(pair)}" for key, pair in difference.decision.items()],
        "data": difference.data,
        "code": difference.code + read_by,
        "environment": [
            f"{key} {old_to_new(pair)}" for key, pair in difference.environment.items()
        ],
    }
    return {kind: found or ["unchanged"] for kind, found in lines.items()}


def old_to_new(values: diff.Change) -> str:
    """An old and a new value."""
    old, new = (DASH if value is None else str(value) for value in (values.old, values.new))
    return f"{old} {ARROW} {new}"


def _value(value: float | None, *, signed: bool = False) -> str:
    """A count as a whole number, anything else with four decimals."""
    if value is None:
        return DASH
    return number(value, 0 if isinstance(value, int) else 4, signed=signed)


def pairing(predictions: diff.PredictionChanges) -> str:
    """Whether the intervals compare image by image."""
    level = f"{100 * predictions.confidence:g}\N{NO-BREAK SPACE}%"
    first, second = predictions.images
    if predictions.paired:
        return (
            f"{level} intervals of the difference, paired over the same {first:,} test images; "
            "they do not include what another training seed would change"
        )
    return (
        f"the test images differ ({first:,} and {second:,}, {predictions.common:,} of them the "
        f"same), so the {level} intervals are unpaired, and wider than paired ones would be"
    )


def changed_counts(predictions: diff.PredictionChanges) -> str:
    """How many predictions changed, by kind."""
    if not predictions.common:
        return "no test image is the same in both, so predictions cannot be compared"
    counts = predictions.changed["kind"].value_counts()
    if counts.empty:
        return f"the predictions for all {predictions.common:,} common test images are the same"
    kinds = ", ".join(f"{counts[kind]:,} {KIND_WORDS[kind]}" for kind in KINDS if kind in counts)
    return f"{counts.sum():,} of {predictions.common:,} predictions changed: {kinds}"


@plot
def _learning_curves(histories: Mapping[str, pd.DataFrame], what: str) -> Figure:
    """Draw training and validation over epochs, dashed for the first revision."""
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axes = figure.subplots()
    for style, (revision, history) in zip(("--", "-"), histories.items(), strict=False):
        for split, name, colour in (
            ("train", "training", TRAIN),
            ("val", "validation", VALIDATION),
        ):
            label, curve = f"{name}, {revision}", history[f"{split}_{what}"]
            axes.plot(history["epoch"], curve, style, color=colour, label=label)
    axes.set(title=what.capitalize(), xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, axis="y")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _photos(difference: Difference) -> tuple[dict[str, str], str]:
    """Photos of images whose prediction changed, as data URIs by name, and why any is missing."""
    found: dict[str, str] = {}
    if difference.predictions is None:
        return found, ""
    for name in difference.predictions.changed["image"].head(PHOTOS):
        path = paths.RAW_IMAGES / name
        try:
            # The image is the same in both revisions, so either serves.
            try:
                content = difference.new.read(path)
            except MissingOutputError:
                content = difference.old.read(path)
        except MissingOutputError as error:
            return found, str(error)
        photo = resize(decode(content, name), TILE)
        found[name] = data_uri(encode_jpeg(photo), "image/jpeg")
    return found, ""


def averages(found: Mapping[tuple[str, str], Estimate], runs: int) -> Table:
    """Show the averages over so many runs, one file of metrics after another."""
    table = Table("metric", box=None, pad_edge=False, header_style="dim")
    table.add_column(f"mean of {runs}", justify="right")
    table.add_column(f"{diff.CONFIDENCE:.0%} interval", justify="right")
    last = ""
    for (path, name), estimate in found.items():
        if path != last:
            table.add_row(Text(path, style="cyan"))
            last = path
        table.add_row(f"  {name}", number(estimate.value, 4), span(estimate, digits=4))
    return table
