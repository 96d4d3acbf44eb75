"""The areas under the curves are the metrics of that name."""

import numpy as np
import pytest

from pipeline.common.metrics import Predictions, measure
from pipeline.evaluate.curves import precision_recall, roc


def predictions(classes: int, positive: int | None, images: int = 300) -> Predictions:
    draw = np.random.default_rng(classes)
    labels = draw.integers(0, classes, images)
    noise = draw.dirichlet(np.ones(classes), images)
    return Predictions.most_probable(
        labels, (0.7 * noise + 0.3 * np.eye(classes)[labels]).round(2), positive
    )


@pytest.mark.parametrize(
    ("classes", "positive", "off"), [(2, 0, 0), (2, None, 0), (3, 1, 0), (4, None, 0.01)]
)
def test_areas(classes: int, positive: int | None, off: float) -> None:
    shown = predictions(classes, positive)
    metrics = measure(shown)
    curve = roc(shown)
    area = np.trapezoid(curve["tpr"], curve["fpr"])
    assert area == pytest.approx(metrics["roc_auc"], abs=off + 1e-9)
    curve = precision_recall(shown)
    steps = (np.diff(curve["recall"]) * curve["precision"][1:]).sum()
    assert steps == pytest.approx(metrics["average_precision"], abs=off + 1e-9)


def test_curves_run_from_left_to_right() -> None:
    for classes in (2, 5):
        shown = predictions(classes, None)
        assert (np.diff(roc(shown)["fpr"]) >= 0).all()
        assert (np.diff(precision_recall(shown)["recall"]) >= 0).all()


def test_a_class_without_images_is_left_out_of_the_mean() -> None:
    shown = predictions(3, None)
    kept = shown.labels < 2
    fewer = Predictions.most_probable(shown.labels[kept], shown.probabilities[kept], None)
    area = np.trapezoid(roc(fewer)["tpr"], roc(fewer)["fpr"])
    metrics = measure(fewer)
    assert area == pytest.approx(metrics["roc_auc"], abs=0.01)


@pytest.mark.parametrize("classes", [2, 3])
def test_images_of_one_class_have_no_curve(classes: int) -> None:
    alone = Predictions.most_probable(
        np.zeros(4, dtype=np.int64), np.full((4, classes), 1 / classes), None
    )
    for curve in (roc(alone), precision_recall(alone)):
        assert [len(column) for column in curve.values()] == [0, 0]
