"""Stage `report`: the results of all stages → one page, and the summary on the terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table

from pipeline.common import paths, resampling
from pipeline.common.artifact import DESCRIPTION, DRAWN
from pipeline.common.datasets import read_table
from pipeline.common.drawing import data_uri, encode_jpeg
from pipeline.common.files import atomic_file, atomic_write_text, flatten, read_json
from pipeline.common.images import decode, resize
from pipeline.common.pages import template_environment
from pipeline.common.params import Params
from pipeline.common.randomness import Purpose, generator
from pipeline.common.resampling import from_data
from pipeline.report.plots import draw_results, learning_curve, overview

PHOTOS = 12  # in the overview
PHOTO = 160  # pixels a side there
SHOWN_GROUPS = 12
SHOWN_IMAGES = 4  # of each group
TILE = 96  # pixels a side
QUALITY = 75  # of JPEG: about 3 KB a tile
FEW = 100  # test images below which an interval of accuracy is wider than some 15 points


def run(params: Params) -> None:
    """Write the report and print the summary."""
    del params  # the stages before it have written what the page says of them
    comparison = from_data(read_json(paths.COMPARISON))
    by_name = {technique["name"]: technique for technique in comparison["techniques"]}
    comparison["baseline"] = by_name.get("baseline")
    model = read_json(paths.MODEL / DESCRIPTION)
    train, test = read_json(paths.TRAIN_METRICS), read_json(paths.TEST_ESTIMATES)
    audit = read_json(paths.SPLIT_AUDIT)

    # Test photos drawn at random, with their predictions.
    predictions = read_table(paths.TEST_PREDICTIONS, text=True)  # a class may be called 1
    chosen = generator(0, Purpose.PREVIEW).permutation(len(predictions))[:PHOTOS]
    photos = []
    for _, row in predictions.iloc[chosen].iterrows():
        photo = decode((paths.RAW_IMAGES / row["image"]).read_bytes(), row["image"])
        predicted = row["predicted"]
        text = f"{predicted} {float(row[f'probability_{predicted}']):.0%}"
        photos.append((resize(photo, PHOTO), text, predicted == row["label"]))

    history, used = read_table(paths.TRAIN_HISTORY), train["used_epoch"]
    confusion = read_json(paths.TEST_CONFUSION)
    classes = confusion["classes"]
    tables = {
        "confusion": pd.DataFrame(confusion["counts"], index=classes, columns=classes),
        "roc": pd.DataFrame(read_json(paths.TEST_ROC)),
        "precision_recall": pd.DataFrame(read_json(paths.TEST_PRECISION_RECALL)),
        "reliability": read_table(paths.TEST_RELIABILITY),
        "thresholds": pd.DataFrame(read_json(paths.TEST_THRESHOLDS), dtype=float),
    }
    pictures = {
        "overview": overview(photos, history, used),
        "loss": learning_curve(history, "loss", used),
        "accuracy": learning_curve(history, "accuracy", used),
        "confident_errors": paths.TEST_CONFIDENT_ERRORS.read_bytes(),
        "least_confident": paths.TEST_LEAST_CONFIDENT.read_bytes(),
        "augmentation": paths.TRAIN_PREVIEW.read_bytes(),
        "contact_sheet": paths.SPLIT_CONTACT_SHEET.read_bytes(),
        **{f"kind_{path.stem}": path.read_bytes() for path in paths.TRAIN_KINDS.glob("*.png")},
        **draw_results(test, model["decision"], tables),
        **{path.stem: path.read_bytes() for path in sorted(paths.COMPARISON_PLOTS.glob("*.png"))},
    }
    content = {
        "model": model,
        "train": train,
        "test": test,
        "classes": class_metrics(tables["confusion"]),
        "references": from_data(read_json(paths.TEST_REFERENCE_MODELS)),
        "audit": audit,
        "duplicates": duplicate_groups(audit["groups"], paths.RAW_IMAGES),
        "pictures": pictures,
        "techniques": comparison,
    }
    with atomic_file(paths.REPORT_OVERVIEW) as partial:
        partial.write_bytes(pictures["overview"])
    atomic_write_text(paths.REPORT_HTML, render("report.html.j2", content))
    atomic_write_text(paths.REPORT_MARKDOWN, render("report.md.j2", content))
    Console().print(summary(test, comparison["finding"], model))


def render(template: str, content: Mapping[str, Any]) -> str:
    """Fill `report.html.j2` or `report.md.j2` with what `run` has gathered."""
    environment = template_environment("pipeline.report")
    environment.filters |= {
        "percent": lambda share: f"{100 * share:.1f}\N{NO-BREAK SPACE}%",
        "thousands": lambda count: f"{count:,}",
        "code": resampling.code,
        "data_uri": data_uri,
        "flatten": flatten,
        "capitalised": lambda text: text[:1].upper() + text[1:],
    }
    texts = ("number", "span", "cell", "verdict")
    environment.globals |= {name: getattr(resampling, name) for name in texts}
    environment.globals |= {"drawn": DRAWN, "experiment": experiment}
    level = f"{100 * content['test']['confidence']:.0f}\N{NO-BREAK SPACE}%"
    return environment.get_template(template).render(content, level=level)


def class_metrics(confusion: pd.DataFrame) -> list[dict[str, Any]]:
    """Compute precision, recall and F1 of each class against all others.

    Args:
        confusion: Numbers of images, true classes in rows, predicted classes in columns, in the
            same order.

    Returns:
        For each class its `name`, number of `images`, and the metrics; None where one is undefined,
        as the precision of a class that is never predicted.
    """
    correct = pd.Series(confusion.to_numpy().diagonal(), index=confusion.index)
    true, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    metrics = {
        "precision": correct / predicted,
        "recall": correct / true,
        "f1": 2 * correct / (true + predicted),
    }
    table = pd.DataFrame({"name": confusion.index, "images": true, **metrics}).astype(object)
    records: list[dict[str, Any]] = table.where(table.notna(), None).to_dict("records")
    return records


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
        shown = []
        for name in sorted(images, key=lambda name: first[images[name]] != name)[:SHOWN_IMAGES]:
            tile = resize(decode((folder / name).read_bytes(), name), TILE)
            shown.append((name, images[name], data_uri(encode_jpeg(tile, QUALITY), "image/jpeg")))
        found.append(
            {
                **{key: group[key] for key in ("kind", "split", "ratio")},
                "conflicting": len(first) > 1,
                "images": shown,
                "hidden": len(images) - len(shown),
            }
        )
    return found


def summary(test: Mapping[str, Any], finding: str, model: Mapping[str, Any]) -> RenderableType:
    """Show metrics, what the comparison of techniques found, and what to type next."""
    metrics, commands = Table.grid(padding=(0, 2)), Table.grid(padding=(0, 2))
    for title, name in (("test accuracy", "accuracy"), ("test F1", "f1")):
        low, high = test["interval"][name]["low"], test["interval"][name]["high"]
        interval = f"{test['confidence']:.0%} interval {low:.3f} to {high:.3f}"
        metrics.add_row(title, f"[bold]{test[name]:.3f}[/]", interval)
    if test["images"] < FEW:
        metrics.add_row("test images", f"{test['images']}", "few: the intervals are wide")
    baseline = f"{test['majority_accuracy']:.3f}"
    metrics.add_row("majority class", baseline, "accuracy of always predicting it")
    metrics.add_row("techniques", "", finding)
    for title, command in (
        ("report", paths.REPORT_HTML),
        ("curves", "make tensorboard"),
        ("compare", "dvc metrics diff"),
        ("try", experiment(model)),
    ):
        commands.add_row(title, f"[cyan]{command}[/]")
    return Panel(Group(metrics, "", commands), title="Bluelight", expand=False, padding=(1, 2))


def experiment(model: Mapping[str, Any]) -> str:
    """Return a command that tries a value which this model does not have."""
    tried = model["architecture"]["dropout"] == 0.2
    value = "augment.rotation.degrees=30" if tried else "model.dropout=0.2"
    return f"dvc exp run evaluate -S {value}"
