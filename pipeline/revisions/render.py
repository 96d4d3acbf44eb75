"""Show a comparison of two revisions: on the terminal, as Markdown, as a page."""

from collections.abc import Mapping

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pipeline.common import paths
from pipeline.common.drawing import STYLE, TRAIN, VALIDATION, data_uri, encode_jpeg, png
from pipeline.common.errors import MissingOutputError
from pipeline.common.images import decode, resize
from pipeline.common.pages import template_environment
from pipeline.common.resampling import Estimate, number, span
from pipeline.revisions.diff import (
    CONFIDENCE,
    KINDS,
    Change,
    Difference,
    MetricChange,
    PredictionChanges,
)

ARROW, DASH = "\N{RIGHTWARDS ARROW}", "\N{EN DASH}"
KIND_WORDS = dict(zip(KINDS, ("now wrong", "now correct", "wrong in both"), strict=True))
ROWS = 10  # changed predictions on the terminal
PHOTOS = 60  # changed predictions with a photo on the page
TILE = 128  # pixels a side of a photo there


# ---- what every form says


def title(difference: Difference) -> str:
    """Which revisions are compared."""
    return f"{difference.old.title} {ARROW} {difference.new.title}"


def warnings(difference: Difference) -> list[str]:
    """What makes the comparison incomplete."""
    stale = [
        f"{revision}: {', '.join(stages)} did not run since params, code or data changed, so what "
        "depends on them is out of date; `dvc repro` updates it"
        for revision, stages in difference.stale.items()
    ]
    return stale + difference.missing


def inputs(difference: Difference) -> dict[str, list[str]]:
    """The inputs, and the decision rule that follows from them: a line for each change."""
    code = list(difference.code)
    if difference.stages:
        code.append(f"read by {', '.join(difference.stages)}")
    lines = {
        "params": [f"{key}: {old_to_new(values)}" for key, values in difference.params.items()],
        "decision": [f"{key}: {old_to_new(pair)}" for key, pair in difference.decision.items()],
        "data": difference.data,
        "code": code,
        "environment": [
            f"{key} {old_to_new(values)}" for key, values in difference.environment.items()
        ],
    }
    return {kind: found or ["unchanged"] for kind, found in lines.items()}


def old_to_new(values: Change) -> str:
    """An old and a new value."""
    old, new = (DASH if value is None else str(value) for value in (values.old, values.new))
    return f"{old} {ARROW} {new}"


def cells(change: MetricChange) -> tuple[str, str, str, str]:
    """A row of the table of metrics: old, new, difference, interval."""
    interval = change.interval
    return (
        _value(change.old),
        _value(change.new),
        _value(change.difference, signed=True),
        "" if interval is None else f"{_value(interval.low)} to {_value(interval.high)}",
    )


def _value(value: float | None, *, signed: bool = False) -> str:
    """A count as a whole number, anything else with four decimals."""
    if value is None:
        return DASH
    return number(value, 0 if isinstance(value, int) else 4, signed=signed)


def pairing(predictions: PredictionChanges) -> str:
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


def changed_counts(predictions: PredictionChanges) -> str:
    """How many predictions changed, by kind."""
    if not predictions.common:
        return "no test image is the same in both, so predictions cannot be compared"
    counts = predictions.changed["kind"].value_counts()
    if counts.empty:
        return f"the predictions for all {predictions.common:,} common test images are the same"
    kinds = ", ".join(f"{counts[kind]:,} {KIND_WORDS[kind]}" for kind in KINDS if kind in counts)
    return f"{counts.sum():,} of {predictions.common:,} predictions changed: {kinds}"


# ---- terminal


def terminal(difference: Difference) -> RenderableType:
    """The comparison as rich text."""
    parts: list[RenderableType] = [Text(title(difference), style="bold")]
    parts += [Text(f"! {line}", style="yellow") for line in warnings(difference)]
    grid = Table.grid(padding=(0, 2))
    for kind, lines in inputs(difference).items():
        grid.add_row(Text(kind, style="dim"), Text("\n".join(lines)))
    parts.append(Padding(grid, (1, 0)))
    if difference.changed_metrics:
        parts.append(_metrics_table(difference))
    elif difference.metrics:
        parts.append(Text("metrics: unchanged"))
    if difference.predictions is not None:
        parts.append(Text(pairing(difference.predictions), style="dim"))
        parts.append(Padding(Text(changed_counts(difference.predictions)), (1, 0, 0, 0)))
        if len(difference.predictions.changed):
            parts.append(_predictions_table(difference.predictions.changed))
    return Group(*parts)


def _metrics_table(difference: Difference) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("metric", overflow="fold")
    for name in (difference.old.short, difference.new.short, "difference", "interval"):
        table.add_column(Text(name), justify="right")
    for path, rows in difference.changed_metrics.items():
        table.add_row(Text(path, style="cyan"))
        for name, change in rows.items():
            style = "bold" if change.excludes_zero else ""
            table.add_row(Text(f"  {name}"), *cells(change), style=style)
    return table


def _predictions_table(changed: pd.DataFrame) -> Table:
    columns = ("image", "true class", "old", "new", "probability", "")
    table = Table(*columns, box=None, pad_edge=False, header_style="dim")
    for row in changed.head(ROWS).itertuples():
        shown = (row.image, row.label, row.old, row.new, f"{row.probability:.0%}")
        table.add_row(*map(Text, map(str, shown)), KIND_WORDS[str(row.kind)])
    if len(changed) > ROWS:
        more = f"and {len(changed) - ROWS:,} more: --format json, or --html FILE"
        table.add_row(Text(more, style="dim"))
    return table


def averages(found: Mapping[tuple[str, str], Estimate], runs: int) -> Table:
    """Show the averages over so many runs, one file of metrics after another."""
    table = Table("metric", box=None, pad_edge=False, header_style="dim")
    table.add_column(f"mean of {runs}", justify="right")
    table.add_column(f"{CONFIDENCE:.0%} interval", justify="right")
    last = ""
    for (path, name), estimate in found.items():
        if path != last:
            table.add_row(Text(path, style="cyan"))
            last = path
        table.add_row(f"  {name}", number(estimate.value, 4), span(estimate, digits=4))
    return table


# ---- Markdown and HTML


def markdown(difference: Difference) -> str:
    """The comparison as GitHub shows it."""
    return _template("diff.md.j2", difference)


def html(difference: Difference) -> str:
    """The comparison as one page that needs no other file."""
    photos, missing = _photos(difference)
    curves = {
        what: data_uri(_learning_curves(difference.histories, what))
        for what in ("loss", "accuracy")
        if difference.histories
    }
    return _template("diff.html.j2", difference, photos=photos, missing=missing, curves=curves)


def _template(name: str, difference: Difference, **content: object) -> str:
    environment = template_environment("pipeline.revisions")
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|")
    environment.filters["sentence"] = lambda text: f"{text[:1].upper()}{text[1:]}."
    predictions = difference.predictions
    return environment.get_template(name).render(
        title=title(difference),
        warnings=warnings(difference),
        inputs=inputs(difference),
        columns=["metric", difference.old.short, difference.new.short, "difference", "interval"],
        metrics=difference.changed_metrics,
        has_metrics=bool(difference.metrics),
        cells=cells,
        pairing=predictions and pairing(predictions),
        counts=predictions and changed_counts(predictions),
        changed=[] if predictions is None else predictions.changed.to_dict("records"),
        kinds=KIND_WORDS,
        arrow=ARROW,
        **content,
    )


def _learning_curves(histories: Mapping[str, pd.DataFrame], what: str) -> bytes:
    """Training and validation over epochs, dashed for the first revision: PNG."""
    with rc_context(STYLE):
        figure = Figure(figsize=(5.6, 3.6), layout="constrained")
        axes = figure.subplots()
        for style, (revision, history) in zip(("--", "-"), histories.items(), strict=False):
            for split, colour in (("train", TRAIN), ("val", VALIDATION)):
                axes.plot(
                    history["epoch"],
                    history[f"{split}_{what}"],
                    style,
                    color=colour,
                    label=f"{'training' if split == 'train' else 'validation'}, {revision}",
                )
        axes.set(title=what.capitalize(), xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=True, axis="y")
        axes.legend(frameon=False, fontsize=8)
        return png(figure)


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
