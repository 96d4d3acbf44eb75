"""Stage `report`: everything that was found → one page, and the summary on the terminal."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from pipeline.ablate.outcomes import (
    Comparison,
    Outcome,
    as_data,
    compare,
    load_outcome,
    ordered,
    statement,
)
from pipeline.ablate.technique_figures import draw_all
from pipeline.ablate.techniques import for_seed, with_technique
from pipeline.common import paths
from pipeline.common.artifact import DESCRIPTION
from pipeline.common.files import atomic_file, atomic_write_text, read_json, write_json
from pipeline.common.images import decode, resize
from pipeline.common.metrics import Values
from pipeline.common.params import Params
from pipeline.common.plots import Answer, learning_curve, overview
from pipeline.common.randomness import Purpose, generator
from pipeline.common.resampling import Resampling
from pipeline.report.copies import cards
from pipeline.report.page import Content, render
from pipeline.report.result_figures import Results, draw_results
from pipeline.report.summary import summary

SHOWN = 12  # photos in the overview
PHOTO = 160  # pixels a side there

Columns = dict[str, list[str]]
Json = dict[str, Any]


def run(params: Params) -> None:
    """Write the report and print the summary."""
    content = _gather(_compare(params))
    with atomic_file(paths.REPORT_OVERVIEW) as partial:
        partial.write_bytes(content.figures["overview"])
    atomic_write_text(paths.REPORT_HTML, render("report.html.j2", content))
    atomic_write_text(paths.REPORT_MARKDOWN, render("report.md.j2", content))
    finding = statement(content.techniques)
    write_json(paths.REPORT_COMPARISON, {"finding": finding, **as_data(content.techniques)})
    Console().print(summary(content.test, finding))


def _compare(params: Params) -> Comparison:
    """Every technique of the params against the baseline."""
    how = Resampling(params.evaluate.confidence, params.evaluate.bootstrap)
    names = ordered(params.techniques)
    return compare([_outcome(params, name) for name in names], how)


def _outcome(params: Params, name: str) -> Outcome:
    ablate = params.ablate
    merged = with_technique(params, ablate.baseline, name, params.techniques[name])
    settings = for_seed(merged, ablate.seeds[0], ablate.epochs).model_dump()
    return load_outcome(paths.ABLATION_REPORT / name, settings)


def _gather(techniques: Comparison) -> Content:
    model = read_json(paths.MODEL / DESCRIPTION)
    train, test = read_json(paths.TRAIN_METRICS), read_json(paths.TEST_METRICS)
    history = {
        name: [float(x) for x in cells] for name, cells in _read(paths.TRAIN_HISTORY).items()
    }
    predictions = _read(paths.TEST_PREDICTIONS)
    figures = {
        "overview": overview(_answers(predictions), history, train["used_epoch"]),
        "loss": learning_curve(history, "loss", train["used_epoch"]),
        "accuracy": learning_curve(history, "accuracy", train["used_epoch"]),
        "mistakes": paths.TEST_CONFIDENT_ERRORS.read_bytes(),
        "uncertain": paths.TEST_LEAST_CONFIDENT.read_bytes(),
        "augmentation": paths.TRAIN_PREVIEW.read_bytes(),
        "contact_sheet": paths.SPLIT_CONTACT_SHEET.read_bytes(),
    }
    figures |= draw_results(_results(model, test))
    figures |= draw_all(techniques)
    audit = read_json(paths.SPLIT_AUDIT)
    copies = cards(audit["groups"], paths.RAW_IMAGES)
    references = read_json(paths.TEST_REFERENCE_MODELS)
    return Content(model, train, test, references, audit, copies, figures, techniques)


def _results(model: Json, test: Json) -> Results:
    return Results(
        classes=model["classes"],
        positive=model["decision"]["positive"],
        test=test,
        counts=np.array(read_json(paths.TEST_CONFUSION)["counts"], dtype=np.int64),
        roc=_columns(read_json(paths.TEST_ROC)),
        precision_recall=_columns(read_json(paths.TEST_PRECISION_RECALL)),
        reliability=_reliability(_read(paths.TEST_RELIABILITY)),
        thresholds=_columns(read_json(paths.TEST_THRESHOLDS)),
    )


def _reliability(table: Columns) -> dict[str, dict[str, Values]]:
    """The bins `before` and `after` the temperature."""
    when = np.array(table.pop("temperature"))
    columns = {name: np.array(cells, dtype=np.float64) for name, cells in table.items()}
    return {
        one: {name: cells[when == one] for name, cells in columns.items()}
        for one in ("before", "after")
    }


def _columns(points: list[dict[str, float | None]]) -> dict[str, Values]:
    """A table of rows by columns; null is NaN."""
    names = points[0] if points else []
    return {name: np.array([point[name] for point in points], dtype=np.float64) for name in names}


def _read(path: Path) -> Columns:
    """A CSV file by columns."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    columns = map(list, zip(*rows, strict=True)) if rows else ([] for _ in header)
    return dict(zip(header, columns, strict=True))


def _answers(predictions: Columns) -> list[Answer]:
    """Test photos drawn at random, with what the model said of them."""
    chosen = generator(0, Purpose.PREVIEW).permutation(len(predictions["image"]))[:SHOWN]
    return [_answer(predictions, row) for row in chosen]


def _answer(predictions: Columns, row: int) -> Answer:
    name, predicted = predictions["image"][row], predictions["predicted"][row]
    certainty = float(predictions[f"probability_{predicted}"][row])
    photo = resize(decode((paths.RAW_IMAGES / name).read_bytes(), name), PHOTO)
    right = predicted == predictions["label"][row]
    return Answer(photo, f"{predicted} {certainty:.0%}", right)
