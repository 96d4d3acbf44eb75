"""Stage `evaluate`: model and packed test images → predictions, metrics, curves, galleries.

A prediction is the label by the model's stored decision rule, as everywhere; where that is a
threshold, metrics of the most probable class come second. Nothing measured on the test split
chooses anything. Of the other splits, only the reference models learn.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit, softmax
from sklearn.metrics import confusion_matrix

from pipeline.common import metrics, paths
from pipeline.common.artifact import LOGITS
from pipeline.common.datasets import PackedSplit, load_packed, write_table
from pipeline.common.drawing import FAINT, INK, RIGHT, WRONG, Line, encode_png, image_grid
from pipeline.common.errors import ArtifactError
from pipeline.common.files import DIGITS, atomic_file, rounded, write_json
from pipeline.common.images import decode, resize
from pipeline.common.metrics import Labels, Predictions, Values
from pipeline.common.params import Params
from pipeline.common.resampling import Groups, Resampling
from pipeline.evaluate.curves import cost, errors, precision_recall, roc, threshold_curve
from pipeline.evaluate.estimates import Estimates, difference, estimate, reliability
from pipeline.evaluate.reference_models import reference_models
from pipeline.predict.classifier import load, outputs_of

HEADLINE = ["accuracy", "f1", "recall", "precision", "roc_auc", "loss", "calibration_error", "cost"]
SHOWN = 18  # images in a gallery
PHOTO = 160  # pixels a side there


def run(params: Params) -> None:
    """Measure the model on the test split."""
    model = load(paths.MODEL)
    test = load_packed(paths.PACKED / "test")
    decision, classes = model.description.decision, test.classes
    if model.description.classes != classes:
        raise ArtifactError(
            f"the model in {paths.MODEL} knows the classes {model.description.classes}, the test "
            f"images have {classes}; train it on these data with `dvc repro train`"
        )
    name = params.evaluate.positive
    positive = classes.index(name) if name in classes else None
    probabilities = model.probabilities(test.images)
    predicted = model.labels(probabilities)
    predictions = Predictions(test.labels, predicted, probabilities, positive)

    groups = np.unique(test.groups, return_inverse=True)[1]
    how = Resampling(params.evaluate.confidence, params.evaluate.bootstrap)
    miss_cost = params.decision.miss_cost

    def every_metric(shown: Predictions, weights: Values) -> dict[str, Values]:
        return metrics.weighted_metrics(shown, weights) | cost(shown, miss_cost, weights)

    ours = estimate(predictions, every_metric, groups, how)
    likeliest = Predictions.most_probable(test.labels, probabilities, positive)
    most_probable = estimate(likeliest, every_metric, groups, how)
    found: dict[str, Any] = {
        "images": len(test),
        "groups": int(groups.max()) + 1,
        "confidence": how.confidence,
        "decision": decision.model_dump() | {"miss_cost": miss_cost},
        "majority_accuracy": float(np.bincount(test.labels).max() / len(test)),
        **ours.as_data(),
        **_errors(predictions),
    }
    if decision.threshold is not None:
        found["most_probable"] = most_probable.as_data() | _errors(likeliest)
    bins = {"after": reliability(predictions, how)}
    if decision.temperature != 1 or decision.prior_correction:
        raw = softmax(outputs_of(model.session, test.images, LOGITS).astype(np.float64), axis=1)
        before = Predictions.most_probable(test.labels, raw.round(DIGITS), positive)
        found["uncalibrated"] = estimate(before, metrics.probability_metrics, groups, how).as_data()
        bins = {"before": reliability(before, how), **bins}

    headline = {name: ours.values[name] for name in HEADLINE if name in ours.values}
    write_json(paths.TEST_METRICS, rounded(headline))
    write_json(paths.TEST_ESTIMATES, rounded(found))
    names, shares = np.array(classes), probabilities.T
    table = pd.DataFrame({"image": test.names, "group": test.groups, "label": names[test.labels]})
    table["predicted"] = names[predicted]
    for one, share in zip(classes, shares, strict=True):
        table[f"probability_{one}"] = share
    write_table(paths.TEST_PREDICTIONS, table)
    counts = confusion_matrix(test.labels, predicted, labels=range(len(classes)))
    write_json(paths.TEST_CONFUSION, {"classes": classes, "counts": counts.tolist()})
    _write_rows(paths.TEST_ROC, roc(predictions))
    _write_rows(paths.TEST_PRECISION_RECALL, precision_recall(predictions))
    _write_rows(paths.TEST_THRESHOLDS, threshold_curve(predictions, miss_cost))
    table = pd.concat(bins, names=["temperature"]).reset_index(level="temperature")
    write_table(paths.TEST_RELIABILITY, table.round(DIGITS))
    _write_reference_models(most_probable, positive, groups, how)
    _write_galleries(test, predictions, decision.threshold)
    print(
        f"evaluate: test accuracy {ours.values['accuracy']:.3f}, F1 {ours.values['f1']:.3f} "
        f"on {len(test):,} images"
    )


def least_confident_first(predictions: Predictions, threshold: float | None) -> Labels:
    """Order images by how far they are from another label: int64 [N] rows, the nearest first.

    With a threshold the distance is that of the log-odds of the positive class from those of the
    threshold; otherwise it is the probability of the most probable class.
    """
    distance = predictions.probabilities.max(axis=1)
    if threshold is not None and predictions.positive is not None:
        scores = predictions.probabilities[:, predictions.positive]
        odds = logit(np.append(scores, threshold).clip(1e-6, 1 - 1e-6))
        distance = np.abs(odds[:-1] - odds[-1])
    return np.argsort(distance, kind="stable")


def _errors(predictions: Predictions) -> dict[str, int]:
    """Number of missed positives and of false alarms; nothing without a positive class."""
    if predictions.positive is None:
        return {}
    missed, alarms = errors(predictions)
    return {"missed": int(missed.sum()), "false_alarms": int(alarms.sum())}


def _write_rows(path: Path, table: pd.DataFrame) -> None:
    """Write a table as JSON, row by row, as `dvc plots` reads it; null is what is undefined."""
    write_json(path, json.loads(table.round(DIGITS).to_json(orient="records")))


def _write_reference_models(
    ours: Estimates, positive: int | None, groups: Groups, how: Resampling
) -> None:
    """Write metrics of the reference models; like `ours`, they predict the most probable class."""
    train, validation, test = (
        load_packed(paths.PACKED / name, paths.FEATURES / name)
        for name in ("train", "validation", "test")
    )
    found = {}
    for name, predictions in reference_models(train, validation, test, positive).items():
        has_labels_only = name == "nearest_neighbour"
        measure = metrics.label_metrics if has_labels_only else metrics.weighted_metrics
        theirs = estimate(predictions, measure, groups, how)
        gain = difference(ours, theirs, "accuracy", how)
        found[name] = {**theirs.as_data(), "accuracy_of_model_less_this": gain}
    write_json(paths.TEST_REFERENCE_MODELS, rounded(found))


def _write_galleries(test: PackedSplit, predictions: Predictions, threshold: float | None) -> None:
    """Draw the most confident errors and the least confident predictions."""
    order = least_confident_first(predictions, threshold)
    wrong = predictions.predicted != predictions.labels
    for path, rows in (
        (paths.TEST_CONFIDENT_ERRORS, order[::-1][wrong[order[::-1]]][:SHOWN]),
        (paths.TEST_LEAST_CONFIDENT, order[:SHOWN]),
    ):
        photos, captions = [], []
        for row in rows:
            photo = decode((paths.RAW_IMAGES / test.names[row]).read_bytes(), test.names[row])
            photos.append(resize(photo, PHOTO))
            captions.append(caption(test, predictions, row))
        with atomic_file(path) as partial:
            partial.write_bytes(encode_png(image_grid(photos, 6, captions=captions)))


def caption(test: PackedSplit, predictions: Predictions, row: int) -> list[Line]:
    """Describe an image: its name, its true class, and what was predicted how probably."""
    guess, label = predictions.predicted[row], predictions.labels[row]
    probability = predictions.probabilities[row, guess]
    return [
        (test.names[row], FAINT),
        (test.classes[label], INK),
        (f"predicted {test.classes[guess]}, {probability:.0%}", RIGHT if guess == label else WRONG),
    ]
