"""Stage `report`: everything that was found → one page, and the summary on the terminal."""

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console

from pipeline import paths
from pipeline.artifact import DESCRIPTION
from pipeline.evaluation.figures import confusion_matrix, learning_curve, roc_curve
from pipeline.evaluation.page import Content, render
from pipeline.evaluation.summary import summary
from pipeline.files import atomic_write_text, read_json
from pipeline.params import Params

Columns = dict[str, list[str]]


def run(params: Params) -> None:
    """Write the report and print the summary."""
    del params
    content = _gather()
    atomic_write_text(paths.REPORT_HTML, render("report.html.j2", content))
    atomic_write_text(paths.REPORT_MARKDOWN, render("report.md.j2", content))
    Console().print(summary(content.test))


def _gather() -> Content:
    model = read_json(paths.MODEL / DESCRIPTION)
    train, test = read_json(paths.TRAIN_METRICS), read_json(paths.TEST_METRICS)
    history = {
        name: [float(x) for x in cells] for name, cells in _read(paths.TRAIN_HISTORY).items()
    }
    roc = read_json(paths.TEST_ROC)
    counts = _count(_read(paths.TEST_PREDICTIONS), model["classes"])
    figures = {
        "loss": learning_curve(history, "loss", train["used_epoch"]),
        "accuracy": learning_curve(history, "accuracy", train["used_epoch"]),
        "confusion": confusion_matrix(counts, model["classes"]),
        "roc": roc_curve(
            {axis: [p[axis] for p in roc] for axis in ("fpr", "tpr")}, test["roc_auc"]
        ),
        "mistakes": paths.TEST_MISTAKES.read_bytes(),
        "augmentation": paths.TRAIN_PREVIEW.read_bytes(),
        "contact_sheet": paths.SPLIT_CONTACT_SHEET.read_bytes(),
    }
    return Content(model, train, test, read_json(paths.SPLIT_AUDIT), figures)


def _read(path: Path) -> Columns:
    """A CSV file by columns."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))


def _count(predictions: Columns, classes: list[str]) -> npt.NDArray[np.int64]:
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    true, predicted = (
        [classes.index(name) for name in predictions[column]] for column in ("label", "predicted")
    )
    np.add.at(counts, (true, predicted), 1)
    return counts
