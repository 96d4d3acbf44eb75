"""Average metrics over revisions, such as the folds of a cross-validation or several seeds."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.table import Table
from rich.text import Text
from scipy import stats

from pipeline.common.errors import RevisionError
from pipeline.common.wording import number
from pipeline.revisions.diff import numbers_of
from pipeline.revisions.revision import Revision

CONFIDENCE = 0.95


def average_metrics(revisions: Sequence[Revision]) -> pd.DataFrame:
    """Return mean and interval of every metric that all revisions have.

    Intervals are Student's t over revisions. The folds of a cross-validation share most of their
    training images, which the interval does not know: take it as a guide (Bengio and Grandvalet,
    2004).

    Args:
        revisions: Two or more, with different commits.

    Returns:
        Columns file, metric, runs, mean, low, high.

    Raises:
        MissingOutputError: A file of metrics is missing.
        RevisionError: There are fewer than two different commits.
    """
    commits = {revision.commit for revision in revisions}
    if len(commits) < max(2, len(revisions)):
        raise RevisionError("name two or more different commits to average over")
    rows = [
        {"file": path, "metric": name, "value": value}
        for revision in revisions
        for path in revision.metrics
        for name, value in numbers_of(revision.read_json(Path(path))).items()
    ]
    values = pd.DataFrame(rows, columns=["file", "metric", "value"])
    found = (
        values.groupby(["file", "metric"], sort=False)["value"]
        .agg(runs="size", mean="mean", error="sem")
        .query("runs == @count", local_dict={"count": len(revisions)})
        .reset_index()
    )
    margin = stats.t.ppf((1 + CONFIDENCE) / 2, found["runs"] - 1) * found.pop("error")
    return found.assign(low=found["mean"] - margin, high=found["mean"] + margin)


def terminal(found: pd.DataFrame) -> Table:
    """Show the averages, a file of metrics after another."""
    interval = f"{CONFIDENCE:.0%} interval"
    table = Table("metric", box=None, pad_edge=False, header_style="dim")
    for name in ("runs", "mean", interval):
        table.add_column(name, justify="right")
    for path, rows in found.groupby("file", sort=False):
        table.add_row(Text(str(path), style="cyan"))
        for row in rows.itertuples():
            mean, low, high = (number(float(x), 4) for x in (row.mean, row.low, row.high))
            table.add_row(f"  {row.metric}", str(row.runs), mean, f"{low} to {high}")
    return table
