"""Stage `evaluate` measures what the artifact answers, and writes the same bytes each time."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.common import paths
from pipeline.common.artifact import Decision
from pipeline.common.errors import ArtifactError
from pipeline.common.params import Params
from pipeline.evaluate import stage as evaluate
from tests.helpers import artifacts
from tests.helpers.data import SIZE
from tests.helpers.pictures import encoded, write

DECISION = Decision(temperature=1.5, positive="emergency", threshold=0.45, rule="cost")
OF_LABELS = {"accuracy", "balanced_accuracy", "precision", "recall", "f1"}
METRICS = OF_LABELS | {"roc_auc", "average_precision", "loss", "brier", "ece"}
THREE = ["bus", "car", "van"]


def prepare(classes: list[str], decision: Decision, labels: list[int] | None = None) -> None:
    """An artifact, packed splits and raw photos in the current folder."""
    artifacts.write(paths.MODEL, classes=classes, decision=decision)
    for name, images in (("train", 30), ("validation", 20), ("test", 24)):
        _pack(paths.PACKED / name, images, classes, labels if name == "test" else None)
    for index in range(24):
        write(paths.RAW_IMAGES / f"{index:04}.png", encoded(index))


def _pack(folder: Path, images: int, classes: list[str], labels: list[int] | None) -> None:
    draw = np.random.default_rng(images)
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", draw.integers(0, 256, (images, SIZE, SIZE, 3), dtype=np.uint8))
    np.save(folder / "labels.npy", np.array(labels or [i % len(classes) for i in range(images)]))
    names = [f"{index:04}.png" for index in range(images)]
    meta = {"classes": classes, "names": names, "groups": names, "size": SIZE}
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def quick(params: Params, elsewhere: Path) -> Params:
    """Few resamples, in a folder of its own."""
    assert elsewhere == Path.cwd()
    few = params.evaluate.model_copy(update={"bootstrap": 200})
    return params.model_copy(update={"evaluate": few})


def test_the_usual_case(quick: Params) -> None:
    prepare(artifacts.CLASSES, DECISION)
    evaluate.run(quick)
    check_every_metric_has_its_interval()
    check_references_are_compared_with_the_model()
    check_the_stored_threshold_decides(quick.decision.miss_cost)
    check_predictions_call_the_most_probable()
    first = {path.name: path.read_bytes() for path in paths.TEST_REPORT.iterdir()}
    assert first.keys() == {path.name for path in vars(paths).values() if in_report(path)}
    evaluate.run(quick)
    assert first == {path.name: path.read_bytes() for path in paths.TEST_REPORT.iterdir()}


def in_report(value: object) -> bool:
    return isinstance(value, Path) and value.parent == paths.TEST_REPORT


def check_every_metric_has_its_interval() -> None:
    metrics = read(paths.TEST_METRICS)
    assert metrics["interval"].keys() == METRICS
    assert metrics.keys() > METRICS
    assert metrics["images"] == 24
    assert metrics["majority_accuracy"] == 0.5
    assert metrics["temperature"] == 1.5


def check_references_are_compared_with_the_model() -> None:
    references = read(paths.TEST_REFERENCE_MODELS)
    assert references["logistic_regression"]["interval"].keys() == METRICS
    assert references["nearest_neighbour"]["interval"].keys() == OF_LABELS
    for found in references.values():
        gain = read(paths.TEST_METRICS)["accuracy"] - found["accuracy"]
        assert found["accuracy_of_model_less_this"]["value"] == pytest.approx(gain, abs=2e-6)


def check_the_stored_threshold_decides(miss_cost: float) -> None:
    found = read(paths.TEST_METRICS)["at_threshold"]
    said = [(float(r["probability_emergency"]), r["label"]) for r in rows(paths.TEST_PREDICTIONS)]
    missed = sum(score < 0.45 and label == "emergency" for score, label in said)
    alarms = sum(score >= 0.45 and label == "other" for score, label in said)
    assert (found["threshold"], found["missed"], found["false_alarms"]) == (0.45, missed, alarms)
    assert found["accuracy"] == pytest.approx(1 - (missed + alarms) / 24, abs=1e-6)
    assert found["cost"] == pytest.approx((miss_cost * missed + alarms) / 24, abs=1e-6)
    at = {row["threshold"]: row for row in read(paths.TEST_THRESHOLDS)}
    assert at[0.45]["cost"] == found["cost"]
    assert at[1.0]["precision"] is None


def check_predictions_call_the_most_probable() -> None:
    for row in rows(paths.TEST_PREDICTIONS):
        score = float(row["probability_emergency"])
        assert row["predicted"] == ("emergency" if score > 0.5 else "other")


def test_the_temperature_is_shown_with_what_was_before(quick: Params) -> None:
    prepare(artifacts.CLASSES, DECISION)
    evaluate.run(quick)
    tempered = read(paths.TEST_METRICS)
    artifacts.write(paths.MODEL, decision=DECISION.model_copy(update={"temperature": 1.0}))
    evaluate.run(quick)
    plain = read(paths.TEST_METRICS)
    before = tempered["before_temperature"]
    assert before.keys() == {"loss", "brier", "ece", "ece_if_calibrated", "interval"}
    assert before["loss"] == plain["loss"] != tempered["loss"]
    assert plain["accuracy"] == tempered["accuracy"]


def test_without_a_positive_class_there_is_no_threshold(quick: Params) -> None:
    prepare(THREE, Decision(temperature=0.8, positive=None, threshold=None, rule="most_probable"))
    evaluate.run(quick)
    assert "at_threshold" not in read(paths.TEST_METRICS)
    assert read(paths.TEST_THRESHOLDS) == []
    assert len(read(paths.TEST_ROC)) == 101
    assert {row["temperature"] for row in rows(paths.TEST_RELIABILITY)} == {"before", "after"}


def test_test_images_of_one_class_leave_out_what_cannot_be_measured(quick: Params) -> None:
    prepare(artifacts.CLASSES, DECISION, labels=[1] * 24)
    evaluate.run(quick)
    metrics = read(paths.TEST_METRICS)
    assert metrics.keys().isdisjoint({"roc_auc", "average_precision"})
    assert metrics["recall"] == metrics["accuracy"]
    assert read(paths.TEST_ROC) == []


def test_a_model_of_other_classes_is_refused(quick: Params) -> None:
    prepare(artifacts.CLASSES, DECISION)
    artifacts.write(
        paths.MODEL, classes=["a", "b"], decision=DECISION.model_copy(update={"positive": "a"})
    )
    with pytest.raises(ArtifactError, match=r"\['a', 'b'\], the test images have"):
        evaluate.run(quick)
