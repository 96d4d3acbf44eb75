"""The page from its templates, its short form in Markdown, and the summary on the terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table

from pipeline.common import paths, resampling
from pipeline.common.artifact import DRAWN
from pipeline.common.drawing import data_uri, encode_jpeg
from pipeline.common.files import flatten
from pipeline.common.images import decode, resize

SHOWN_GROUPS = 12
SHOWN_IMAGES = 4  # of each group
TILE = 96  # pixels a side
QUALITY = 75  # of JPEG: about 3 KB a tile

NEXT = {
    "report": str(paths.REPORT_HTML),
    "curves": "make tensorboard",
    "compare": "dvc metrics diff",
}


@dataclass(frozen=True)
class Content:
    """Everything that the templates show.

    Attributes:
        model: `model.json` of the artifact.
        train: Metrics of the training run.
        test: `estimates.json` of stage `evaluate`.
        classes: Of each class its `name`, test `images`, `precision`, `recall` and `f1`.
        references: Metrics of the reference models on it, by their names.
        audit: The audit of the split.
        duplicates: Groups of duplicates with their images, as `duplicate_groups` returns them.
        pictures: PNG bytes by name: overview, loss, accuracy, confident_errors, least_confident,
            augmentation, kind_<name> for each kind of augmentation, contact_sheet, and those of
            `pipeline.report.plots.draw_results` and `pipeline.compare.plots.draw_all`.
        techniques: The content of `comparison.json`, with estimates.
    """

    model: Mapping[str, Any]
    train: Mapping[str, Any]
    test: Mapping[str, Any]
    classes: Sequence[Mapping[str, Any]]
    references: Mapping[str, Any]
    audit: Mapping[str, Any]
    duplicates: Sequence[Mapping[str, Any]]
    pictures: Mapping[str, bytes]
    techniques: Mapping[str, Any]


def render(template: str, content: Content) -> str:
    """Fill a template.

    Args:
        template: `report.html.j2` or `report.md.j2`.
        content: What to fill in.
    """
    environment = Environment(
        loader=PackageLoader("pipeline.report", "templates"),
        autoescape=template.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "percent": lambda share: f"{100 * share:.1f}\N{NO-BREAK SPACE}%",
        "thousands": lambda count: f"{count:,}",
        "code": resampling.code,
        "data_uri": data_uri,
        "flatten": flatten,
        "capitalised": lambda text: text[:1].upper() + text[1:],
    }
    for function in (
        resampling.number,
        resampling.span,
        resampling.cell,
        resampling.verdict,
        resampling.difference,
    ):
        environment.globals[function.__name__] = function
    environment.globals |= {"drawn": DRAWN, "experiment": experiment}
    level = f"{content.test['confidence']:.0%}".replace("%", "\N{NO-BREAK SPACE}%")
    return environment.get_template(template).render(vars(content), level=level)


def class_metrics(confusion: pd.DataFrame) -> list[dict[str, Any]]:
    """Compute precision, recall and F1 of each class against all others.

    Args:
        confusion: Numbers of images, true classes in rows, predicted classes in columns, in the
            same order.

    Returns:
        For each class its `name`, number of `images`, and the metrics; None where one is undefined,
        as the precision of a class that is never predicted.
    """
    found = []
    for name in confusion:
        correct = int(confusion.loc[name, name])
        true, predicted = int(confusion.loc[name].sum()), int(confusion[name].sum())
        found.append(
            {
                "name": name,
                "images": true,
                "precision": correct / predicted if predicted else None,
                "recall": correct / true if true else None,
                "f1": 2 * correct / (true + predicted) if true + predicted else None,
            }
        )
    return found


def duplicate_groups(groups: Sequence[Mapping[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Choose groups of duplicates to show: conflicting labels first, then the most doubtful.

    Args:
        groups: Those of `audit.json`.
        folder: The folder below which the images lie.

    Returns:
        Up to 12 groups, the largest of those with the same bytes first: each its `kind`, `split`,
        `ratio`, whether it is `conflicting`, up to four `images` as (name, label, data URI), and
        how many are `hidden`.

    Raises:
        ImageError: An image cannot be decoded.
    """

    def rank(group: Mapping[str, Any]) -> tuple[bool, bool, float, int, str]:
        images = group["images"]
        agree = len(set(images.values())) == 1
        exact = group["kind"] == "exact"
        return agree, exact, -group["ratio"], -len(images), group["group"]

    found = []
    for group in sorted(groups, key=rank)[:SHOWN_GROUPS]:
        images: dict[str, str] = group["images"]
        # One of each label first, so that a conflict is seen.
        first = {label: name for name, label in reversed(images.items())}
        names = sorted(images, key=lambda name: first[images[name]] != name)
        shown = [(name, images[name], _thumbnail(folder / name)) for name in names[:SHOWN_IMAGES]]
        found.append(
            {
                "kind": group["kind"],
                "split": group["split"],
                "ratio": group["ratio"],
                "conflicting": len(first) > 1,
                "images": shown,
                "hidden": len(images) - len(shown),
            }
        )
    return found


FEW = 100  # test images below which an interval of accuracy is wider than some 15 points


def summary(test: Mapping[str, Any], finding: str, model: Mapping[str, Any]) -> RenderableType:
    """Show accuracy and F1 with their intervals, where the report is, and what to type next.

    Args:
        test: `estimates.json` of stage `evaluate`.
        finding: What the comparison of techniques found, in one line.
        model: `model.json` of the artifact.
    """
    metrics = Table.grid(padding=(0, 2))
    for title, name in (("test accuracy", "accuracy"), ("test F1", "f1")):
        low, high = test["interval"][name]["low"], test["interval"][name]["high"]
        interval = f"{test['confidence']:.0%} interval {low:.3f} to {high:.3f}"
        metrics.add_row(title, f"[bold]{test[name]:.3f}[/]", interval)
    if test["images"] < FEW:
        metrics.add_row("test images", f"{test['images']}", "few: the intervals are wide")
    baseline = f"{test['majority_accuracy']:.3f}"
    metrics.add_row("majority class", baseline, "accuracy of always predicting it")
    metrics.add_row("techniques", "", finding)
    commands = Table.grid(padding=(0, 2))
    for title, command in {**NEXT, "try": experiment(model)}.items():
        commands.add_row(title, f"[cyan]{command}[/]")
    return Panel(Group(metrics, "", commands), title="Bluelight", expand=False, padding=(1, 2))


def experiment(model: Mapping[str, Any]) -> str:
    """Return a command that tries a value which this model does not have."""
    tried = model["architecture"]["dropout"] == 0.2
    return (
        f"dvc exp run evaluate -S {'augment.rotation.degrees=30' if tried else 'model.dropout=0.2'}"
    )


def _thumbnail(path: Path) -> str:
    small = resize(decode(path.read_bytes(), path.name), TILE)
    return data_uri(encode_jpeg(small, QUALITY), "image/jpeg")
