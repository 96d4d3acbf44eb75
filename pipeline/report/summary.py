"""The result in a few lines for a terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table

from pipeline.common import paths

NEXT = {
    "report": str(paths.REPORT_HTML),
    "curves": "make tensorboard",
    "try": "dvc exp run -S model.dropout=0.2",
    "compare": "dvc metrics diff",
}


def summary(test: Mapping[str, Any], finding: str) -> RenderableType:
    """Accuracy and F1 with their intervals, where the report is, and what to type next.

    Args:
        test: Metrics on the test split.
        finding: What the comparison of techniques found, in one line.
    """
    figures = Table.grid(padding=(0, 2))
    for title, metric in (("test accuracy", "accuracy"), ("test F1", "f1")):
        low, high = test["interval"][metric]["low"], test["interval"][metric]["high"]
        interval = f"{test['confidence']:.0%} interval {low:.3f} to {high:.3f}"
        figures.add_row(title, f"[bold]{test[metric]:.3f}[/]", interval)
    figures.add_row("majority class", f"{test['majority_accuracy']:.3f}", "always answering it")
    figures.add_row("techniques", "", finding)
    after = Table.grid(padding=(0, 2))
    for title, command in NEXT.items():
        after.add_row(title, f"[cyan]{command}[/]")
    return Panel(Group(figures, "", after), title="Bluelight", expand=False, padding=(1, 2))
