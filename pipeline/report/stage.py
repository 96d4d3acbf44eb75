"""Stage `report`: the results of all stages → one page, and the summary on the terminal."""

<<<<<<< HEAD
import pandas as pd
=======
import csv
from pathlib import Path
from typing import Any

import numpy as np
>>>>>>> main
from rich.console import Console

from pipeline.ablate.outcomes import Outcome, as_data, compare, load_outcome, ordered, statement
from pipeline.ablate.technique_figures import draw_all
from pipeline.ablate.techniques import for_seed, with_technique
from pipeline.common import paths
from pipeline.common.artifact import DESCRIPTION
from pipeline.common.drawing import Pixels
from pipeline.common.files import atomic_file, atomic_write_text, read_json, write_json
from pipeline.common.images import decode, resize
<<<<<<< HEAD
from pipeline.common.params import Params
from pipeline.common.plots import learning_curve, overview
=======
from pipeline.common.metrics import Values
from pipeline.common.params import Params
from pipeline.common.plots import Answer, learning_curve, overview
>>>>>>> main
from pipeline.common.randomness import Purpose, generator
from pipeline.common.resampling import Resampling
from pipeline.common.tables import read_table
from pipeline.report.page import Content, duplicate_groups, render, summary
from pipeline.report.plots import draw_results

SHOWN = 12  # photos in the overview
PHOTO = 160  # pixels a side there


def run(params: Params) -> None:
    """Write the report and print the summary."""
    how = Resampling(params.evaluate.confidence, params.evaluate.bootstrap)
    comparison = compare([_outcome(params, name) for name in ordered(params.techniques)], how)
    model = read_json(paths.MODEL / DESCRIPTION)
    train, test = read_json(paths.TRAIN_METRICS), read_json(paths.TEST_METRICS)
    audit = read_json(paths.SPLIT_AUDIT)

    history, used = read_table(paths.TRAIN_HISTORY), train["used_epoch"]
    predictions = read_table(paths.TEST_PREDICTIONS, text=True)  # a class may be called 1
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
        "overview": overview(_random_photos(predictions), history, used),
        "loss": learning_curve(history, "loss", used),
        "accuracy": learning_curve(history, "accuracy", used),
        "confident_errors": paths.TEST_CONFIDENT_ERRORS.read_bytes(),
        "least_confident": paths.TEST_LEAST_CONFIDENT.read_bytes(),
        "augmentation": paths.TRAIN_PREVIEW.read_bytes(),
        "contact_sheet": paths.SPLIT_CONTACT_SHEET.read_bytes(),
        **draw_results(test, model["decision"], tables),
        **draw_all(comparison),
    }
    content = Content(
        model=model,
        train=train,
        test=test,
        references=read_json(paths.TEST_REFERENCE_MODELS),
        audit=audit,
        duplicates=duplicate_groups(audit["groups"], paths.RAW_IMAGES),
        pictures=pictures,
        techniques=comparison,
    )
    finding = statement(comparison)
    with atomic_file(paths.REPORT_OVERVIEW) as partial:
        partial.write_bytes(pictures["overview"])
    atomic_write_text(paths.REPORT_HTML, render("report.html.j2", content))
    atomic_write_text(paths.REPORT_MARKDOWN, render("report.md.j2", content))
    write_json(paths.REPORT_COMPARISON, {"finding": finding, **as_data(comparison)})
    Console().print(summary(test, finding))


def _outcome(params: Params, name: str) -> Outcome:
<<<<<<< HEAD
    """Read the results of one technique, with the settings that its runs had."""
    ablate = params.ablate
    merged = with_technique(params, ablate.baseline, name, params.techniques[name])
    settings = for_seed(merged, ablate.seeds[0], ablate.epochs).model_dump()
    return load_outcome(paths.ABLATION_REPORT / name, settings)


<<<<<<< HEAD
def _random_photos(predictions: pd.DataFrame) -> list[tuple[Pixels, str, bool]]:
    """Draw test photos at random, with their predictions as text and whether they are correct."""
    chosen = generator(0, Purpose.PREVIEW).permutation(len(predictions))[:SHOWN]
    photos = []
    for _, row in predictions.iloc[chosen].iterrows():
        photo = resize(decode((paths.RAW_IMAGES / row["image"]).read_bytes(), row["image"]), PHOTO)
        probability = float(row[f"probability_{row['predicted']}"])
        text = f"{row['predicted']} {probability:.0%}"
        photos.append((photo, text, row["predicted"] == row["label"]))
    return photos
=======
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
>>>>>>> main
