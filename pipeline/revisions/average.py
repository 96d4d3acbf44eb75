"""Average metrics over revisions, such as the folds of a cross-validation or several seeds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table
from rich.text import Text

from pipeline.common.errors import RevisionError
from pipeline.common.resampling import Estimate, mean_over_runs, number, span
from pipeline.revisions.diff import numbers_of
from pipeline.revisions.revision import Revision

CONFIDENCE = 0.95

Averages = dict[tuple[str, str], Estimate]


def average_metrics(revisions: Sequence[Revision]) -> Averages:
    """Return mean and interval of every metric that all revisions have, made by their params.

    Intervals are Student's t over revisions. The folds of a cross-validation share most of their
    training images, which the interval does not know: take it as a guide (Bengio and Grandvalet,
    2004).

    Args:
        revisions: Two or more, with different commits.

    Returns:
        Estimates by file and metric.

    Raises:
        MissingOutputError: A file of metrics is missing.
        RevisionError: There are fewer than two different commits.
    """
    commits = {revision.commit for revision in revisions}
    if len(commits) < max(2, len(revisions)):
        raise RevisionError("name two or more different commits to average over")
    values: dict[tuple[str, str], list[float]] = {}
    for revision in revisions:
        for path in sorted({*revision.metrics} - revision.stale_outputs()):
            for name, value in numbers_of(revision.read_json(Path(path))).items():
                values.setdefault((path, name), []).append(value)
    return {
        key: mean_over_runs(np.array(found, np.float64), CONFIDENCE)
        for key, found in values.items()
        if len(found) == len(revisions)
    }


def terminal(found: Averages, runs: int) -> Table:
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
