"""A comparison on the terminal."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pipeline.revisions import wording
from pipeline.revisions.difference import Answers, Difference

SHOWN = 10  # changed answers


def render(difference: Difference) -> RenderableType:
    """The comparison as rich text, widest where the terminal is."""
    return Group(*_parts(difference))


def _parts(difference: Difference) -> Iterator[RenderableType]:
    yield Text(wording.title(difference), style="bold")
    yield from (Text(f"! {line}", style="yellow") for line in wording.warnings(difference))
    yield Padding(_inputs(difference), (1, 0))
    if difference.changed_metrics:
        yield _metrics(difference)
    elif difference.metrics:
        yield Text("metrics: the same")
    if difference.answers is not None:
        yield Text(wording.pairing(difference.answers), style="dim")
        yield Padding(Text(wording.answered(difference.answers)), (1, 0, 0, 0))
        if difference.answers.changed:
            yield _changed(difference.answers)


def _inputs(difference: Difference) -> Table:
    table = Table.grid(padding=(0, 2))
    for kind, lines in wording.inputs(difference).items():
        table.add_row(Text(kind, style="dim"), Text("\n".join(lines)))
    return table


def _metrics(difference: Difference) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("metric", overflow="fold")
    for name in (difference.old.short, difference.new.short, "difference", "interval"):
        table.add_column(Text(name), justify="right")
    for path, rows in difference.changed_metrics.items():
        table.add_row(Text(path, style="cyan"))
        for name, change in rows.items():
            style = "bold" if change.shown else ""
            table.add_row(Text(f"  {name}"), *wording.cells(change), style=style)
    return table


def _changed(answers: Answers) -> Table:
    columns = ("image", "true class", "before", "after", "certainty", "")
    table = Table(*columns, box=None, pad_edge=False, header_style="dim")
    for change in answers.changed[:SHOWN]:
        certainty, kind = f"{change.certainty:.0%}", wording.KINDS[change.kind]
        cells = (change.image, change.label, change.old, change.new, certainty, kind)
        table.add_row(*map(Text, cells))
    hidden = len(answers.changed) - SHOWN
    if hidden > 0:
        table.add_row(Text(f"and {hidden:,} more: --format json, or --html FILE", style="dim"))
    return table
