"""Stage `evaluate`: model and packed test images → metrics, predictions, plots' data, gallery.

Nothing that it finds on the test split is used to choose anything.
"""

from dataclasses import asdict

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_curve

from pipeline import paths
from pipeline.dataset.images import decode, resize
from pipeline.dataset.packed import PackedSplit, load_packed
from pipeline.errors import ArtifactError
from pipeline.evaluation.figures import gallery
from pipeline.evaluation.metrics import bootstrap, confusion, measure
from pipeline.files import atomic_file, write_csv, write_json
from pipeline.inference.classify import VehicleClassifier, load
from pipeline.params import Params

DIGITS = 6  # beyond them, processors differ
SHOWN = 18  # mistakes in the gallery
PHOTO = 224  # pixels a side there

Probabilities = npt.NDArray[np.float64]


def run(params: Params) -> None:
    """Measure the model on the test split."""
    model = load(paths.MODEL)
    test = load_packed(paths.PACKED / "test")
    _check_classes(model, test)
    probabilities = np.round(model.probabilities(test.images), DIGITS)
    positive = _positive(params.evaluate.positive, test.classes)
    metrics = measure(test.labels, probabilities, positive)
    counts = confusion(test.labels, probabilities.argmax(axis=1), len(test.classes))
    intervals = bootstrap(
        counts,
        positive,
        resamples=params.evaluate.bootstrap,
        confidence=params.evaluate.confidence,
    )
    write_json(
        paths.TEST_METRICS,
        {
            "images": len(test.labels),
            "confidence": params.evaluate.confidence,
            **_rounded(metrics),
            "interval": {name: _rounded(asdict(ends)) for name, ends in intervals.items()},
        },
    )
    _write_predictions(test, probabilities)
    _write_roc(test, probabilities, positive)
    _write_mistakes(test, probabilities)
    print(
        f"evaluate: test accuracy {metrics['accuracy']:.3f}, F1 {metrics['f1']:.3f} "
        f"on {len(test.labels):,} images"
    )


def _photo(name: str) -> npt.NDArray[np.uint8]:
    return resize(decode((paths.RAW_IMAGES / name).read_bytes(), name), PHOTO)


def _check_classes(model: VehicleClassifier, test: PackedSplit) -> None:
    known, found = model.description.classes, list(test.classes)
    if known != found:
        raise ArtifactError(
            f"the model in {paths.MODEL} knows the classes {known}, the test images have {found}; "
            "train it on these data with `dvc repro train`"
        )


def _positive(name: str, classes: list[str]) -> int | None:
    """The row of the positive class; None, for class averages, where the data lack it."""
    return classes.index(name) if name in classes else None


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, DIGITS) for name, value in figures.items()}


def _write_predictions(test: PackedSplit, probabilities: Probabilities) -> None:
    names = test.classes
    predicted = probabilities.argmax(axis=1)
    write_csv(
        paths.TEST_PREDICTIONS,
        ["image", "label", "predicted", *(f"probability_{name}" for name in names)],
        (
            [image, names[label], names[guess], *map(float, row)]
            for image, label, guess, row in zip(
                test.names, test.labels, predicted, probabilities, strict=True
            )
        ),
    )


def _write_roc(test: PackedSplit, probabilities: Probabilities, positive: int | None) -> None:
    """The curve of the positive class against the rest; of the last class where none is named."""
    chosen = len(test.classes) - 1 if positive is None else positive
    fpr, tpr, _ = roc_curve(test.labels == chosen, probabilities[:, chosen])
    points = [
        {"fpr": round(float(x), DIGITS), "tpr": round(float(y), DIGITS)}
        for x, y in zip(fpr, tpr, strict=True)
    ]
    write_json(paths.TEST_ROC, points)


def _write_mistakes(test: PackedSplit, probabilities: Probabilities) -> None:
    """The wrong answers that the model was surest of, as photos."""
    predicted, certainty = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != test.labels)
    shown = wrong[np.argsort(-certainty[wrong], kind="stable")][:SHOWN]
    captions = [
        f"{test.names[row]}: {test.classes[test.labels[row]]}\n"
        f"taken for {test.classes[predicted[row]]}, {certainty[row]:.0%}"
        for row in shown
    ]
    photos = [_photo(test.names[row]) for row in shown]
    with atomic_file(paths.TEST_MISTAKES) as partial:
        partial.write_bytes(gallery(photos, captions))
