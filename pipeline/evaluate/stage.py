"""Stage `evaluate`: model and packed test images → metrics, predictions, curves, galleries.

Nothing that it finds on the test split is used to choose anything. Of the other splits, only the
reference points learn: the model is done.
"""

from collections.abc import Mapping
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix

from pipeline.common import paths
from pipeline.common.errors import ArtifactError
from pipeline.common.files import atomic_file, write_json
from pipeline.common.images import decode, resize
from pipeline.common.metrics import Predictions, Values, label_metrics
from pipeline.common.packed import PackedSplit, load_packed
from pipeline.common.params import Params
from pipeline.common.plots import gallery
from pipeline.common.resampling import Resampling
from pipeline.common.tables import write_csv
from pipeline.evaluate.curves import precision_recall, roc
from pipeline.evaluate.estimates import (
    DIGITS,
    Estimates,
    estimate,
    estimate_all,
    estimate_calibration,
    gain,
)
from pipeline.evaluate.galleries import captions, least_certain, surest_mistakes
from pipeline.evaluate.references import Reference, references
from pipeline.evaluate.reliability import Bin, reliability
from pipeline.evaluate.thresholds import at_threshold, mistakes, threshold_curve
from pipeline.predict.classifier import ImageClassifier, calibrated, load

PHOTO = 224  # pixels a side in a gallery


def run(params: Params) -> None:
    """Measure the model on the test split."""
    model = load(paths.MODEL)
    test = load_packed(paths.PACKED / "test")
    _check_classes(model, test)
    logits = model.logits(test.images)
    positive = _positive(params.evaluate.positive, test.classes)
    before, after = (
        Predictions.most_probable(
            test.labels, calibrated(logits, temperature).round(DIGITS), positive
        )
        for temperature in (1.0, model.description.decision.temperature)
    )
    how = Resampling(params.evaluate.confidence, params.evaluate.bootstrap)
    found = estimate_all(after, how)
    miss_cost = params.decision.miss_cost
    write_json(
        paths.TEST_METRICS,
        {
            "images": len(test),
            "confidence": how.confidence,
            **found.as_data(),
            "majority_accuracy": round(_commonest(test), DIGITS),
            "temperature": model.description.decision.temperature,
            "before_temperature": estimate_calibration(before, how).as_data(),
            **_at_threshold(model, after, miss_cost, how),
        },
    )
    _write_references(test, found, positive, how)
    _write_predictions(test, after)
    _write_curves(before, after, miss_cost, how)
    _write_confusion(test, after)
    _write_galleries(test, after)
    print(
        f"evaluate: test accuracy {found.values['accuracy']:.3f}, F1 {found.values['f1']:.3f} "
        f"on {len(test):,} images"
    )


def _check_classes(model: ImageClassifier, test: PackedSplit) -> None:
    known, found = model.description.classes, list(test.classes)
    if known != found:
        raise ArtifactError(
            f"the model in {paths.MODEL} knows the classes {known}, the test images have {found}; "
            "train it on these data with `dvc repro train`"
        )


def _positive(name: str, classes: list[str]) -> int | None:
    """The row of the positive class; None, for class averages, where the data lack it."""
    return classes.index(name) if name in classes else None


def _commonest(test: PackedSplit) -> float:
    """What always answering the commonest class of the test images would reach."""
    return float(np.bincount(test.labels).max() / len(test))


def _at_threshold(
    model: ImageClassifier, after: Predictions, miss_cost: float, how: Resampling
) -> dict[str, Any]:
    """What the stored threshold comes to; nothing where the model has none."""
    decision = model.description.decision
    if decision.threshold is None or decision.positive is None:
        return {}
    positive = model.description.classes.index(decision.positive)
    labels = model.labels(after.probabilities)
    answers = Predictions(after.labels, labels, after.probabilities, positive)
    found = estimate(
        lambda weights: at_threshold(answers, miss_cost, weights), len(labels), how
    ).as_data()
    missed, alarms = (int(wrong.sum()) for wrong in mistakes(answers))
    own = {"threshold": decision.threshold, "missed": missed, "false_alarms": alarms}
    return {"at_threshold": own | {"miss_cost": miss_cost} | found}


def _write_references(
    test: PackedSplit, ours: Estimates, positive: int | None, how: Resampling
) -> None:
    """The reference points, and how much more of the same images the model answers rightly."""
    train, validation = (load_packed(paths.PACKED / name) for name in ("train", "validation"))
    found = {
        name: _estimate_reference(test, reference, positive, how)
        for name, reference in references(train, validation, test).items()
    }
    write_json(
        paths.TEST_REFERENCE_MODELS,
        {
            name: {
                **theirs.as_data(),
                "accuracy_of_model_less_this": gain(ours, theirs, "accuracy", how),
            }
            for name, theirs in found.items()
        },
    )


def _estimate_reference(
    test: PackedSplit, reference: Reference, positive: int | None, how: Resampling
) -> Estimates:
    if reference.probabilities is not None:
        probabilities = reference.probabilities.round(DIGITS)
        return estimate_all(Predictions.most_probable(test.labels, probabilities, positive), how)
    one_hot = np.eye(len(test.classes))[reference.predicted]
    answers = Predictions(test.labels, reference.predicted, one_hot, positive)
    return estimate(lambda weights: label_metrics(answers, weights), len(test), how)


def _write_predictions(test: PackedSplit, after: Predictions) -> None:
    names = test.classes
    write_csv(
        paths.TEST_PREDICTIONS,
        ["image", "label", "predicted", *(f"probability_{name}" for name in names)],
        (
            [image, names[label], names[guess], *map(float, row)]
            for image, label, guess, row in zip(
                test.names, test.labels, after.predicted, after.probabilities, strict=True
            )
        ),
    )


def _write_curves(
    before: Predictions, after: Predictions, miss_cost: float, how: Resampling
) -> None:
    write_json(paths.TEST_ROC, _rows(roc(after)))
    write_json(paths.TEST_PRECISION_RECALL, _rows(precision_recall(after)))
    bins = {"before": reliability(before, how), "after": reliability(after, how)}
    write_csv(
        paths.TEST_RELIABILITY,
        ["temperature", *Bin._fields],
        (
            [when, *(round(value, DIGITS) for value in row)]
            for when, rows in bins.items()
            for row in rows
        ),
    )
    _write_thresholds(after, miss_cost)


def _write_confusion(test: PackedSplit, after: Predictions) -> None:
    """`counts` of images by true and by predicted class, both in the order of `classes`."""
    counts = confusion_matrix(after.labels, after.predicted, labels=range(after.classes))
    write_json(paths.TEST_CONFUSION, {"classes": test.classes, "counts": counts.tolist()})


def _rows(columns: Mapping[str, Values]) -> list[dict[str, float | None]]:
    """A table by rows, as `dvc plots` reads JSON; null is what is undefined."""
    values = ([_number(value) for value in column] for column in columns.values())
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def _number(value: float) -> float | None:
    return None if isnan(value) else round(float(value), DIGITS)


def _write_thresholds(after: Predictions, miss_cost: float) -> None:
    """The curve of the positive class; without one there is no line to draw, and no row."""
    curve: dict[str, Values] = {}
    if after.positive is not None:
        is_positive = after.labels == after.positive
        curve = threshold_curve(after.probabilities[:, after.positive], is_positive, miss_cost)
    write_json(paths.TEST_THRESHOLDS, _rows(curve))


def _write_galleries(test: PackedSplit, after: Predictions) -> None:
    """Photos of the surest mistakes, and of the answers that were hardly answers."""
    for path, rows in (
        (paths.TEST_CONFIDENT_ERRORS, surest_mistakes(after)),
        (paths.TEST_LEAST_CONFIDENT, least_certain(after)),
    ):
        photos = [_photo(test.names[row]) for row in rows]
        with atomic_file(path) as partial:
            partial.write_bytes(gallery(photos, captions(after, rows, test.names, test.classes)))


def _photo(name: str) -> npt.NDArray[np.uint8]:
    return resize(decode((paths.RAW_IMAGES / name).read_bytes(), name), PHOTO)
