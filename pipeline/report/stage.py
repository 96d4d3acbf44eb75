"""Stage `report`: the results of all stages → one page, and the summary on the terminal."""

import pandas as pd
from rich.console import Console

from pipeline.common import paths
from pipeline.common.artifact import DESCRIPTION
from pipeline.common.datasets import read_table
from pipeline.common.drawing import Pixels
from pipeline.common.files import atomic_file, atomic_write_text, read_json
from pipeline.common.images import decode, resize
from pipeline.common.params import Params
from pipeline.common.randomness import Purpose, generator
from pipeline.common.resampling import from_data
from pipeline.report.page import Content, class_metrics, duplicate_groups, render, summary
from pipeline.report.plots import draw_results, learning_curve, overview

SHOWN = 12  # photos in the overview
PHOTO = 160  # pixels a side there


def run(params: Params) -> None:
    """Write the report and print the summary."""
    del params  # the stages before it have written what the page says of them
    comparison = from_data(read_json(paths.COMPARISON))
    by_name = {technique["name"]: technique for technique in comparison["techniques"]}
    comparison["baseline"] = by_name.get("baseline")
    model = read_json(paths.MODEL / DESCRIPTION)
    train, test = read_json(paths.TRAIN_METRICS), read_json(paths.TEST_ESTIMATES)
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
        **{f"kind_{path.stem}": path.read_bytes() for path in paths.TRAIN_KINDS.glob("*.png")},
        **draw_results(test, model["decision"], tables),
        **{path.stem: path.read_bytes() for path in sorted(paths.COMPARISON_PLOTS.glob("*.png"))},
    }
    content = Content(
        model=model,
        train=train,
        test=test,
        classes=class_metrics(tables["confusion"]),
        references=read_json(paths.TEST_REFERENCE_MODELS),
        audit=audit,
        duplicates=duplicate_groups(audit["groups"], paths.RAW_IMAGES),
        pictures=pictures,
        techniques=comparison,
    )
    with atomic_file(paths.REPORT_OVERVIEW) as partial:
        partial.write_bytes(pictures["overview"])
    atomic_write_text(paths.REPORT_HTML, render("report.html.j2", content))
    atomic_write_text(paths.REPORT_MARKDOWN, render("report.md.j2", content))
    Console().print(summary(test, comparison["finding"], model))


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
