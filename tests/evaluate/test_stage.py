"""Stage `evaluate` measures the artifact's predictions, and writes the same bytes each time."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.common import paths
from pipeline.common.artifact import Decision
from pipeline.common.datasets import PackedSplit, read_table
from pipeline.common.drawing import RIGHT, WRONG
from pipeline.common.errors import ArtifactError
from pipeline.common.metrics import Predictions
from pipeline.common.params import Params
from pipeline.evaluate import stage as evaluate
from pipeline.evaluate.stage import caption, least_confident_first
from tests.helpers import artifacts
from tests.helpers.data import CLASSES, SIZE
from tests.helpers.pictures import encoded, write

DECISION = Decision(temperature=1.5, positive="emergency", threshold=0.45, rule="cost")
MOST_PROBABLE = Decision(temperature=1, positive=None, threshold=None, rule="most_probable")
OF_LABELS = {"accuracy", "balanced_accuracy", "precision", "recall", "f1"}
OF_PROBABILITIES = {"loss", "brier", "calibration_error"}
METRICS = OF_LABELS | OF_PROBABILITIES | {"roc_auc", "average_precision"}
THREE = ["bus", "car", "van"]


def prepare(classes: list[str], decision: Decision, labels: list[int] | None = None) -> None:
    """An artifact, packed splits and raw photos in the current folder."""
    artifacts.write(paths.MODEL, classes=classes, decision=decision)
    for name, images in (("train", 30), ("validation", 20), ("test", 24)):
        _pack(paths.PACKED / name, images, classes, labels if name == "test" else None)
        write(paths.FEATURES / name / "features.json", b'{"kind": "pixels"}')
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


def predictions() -> pd.DataFrame:
    return read_table(paths.TEST_PREDICTIONS)


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
    check_reference_models_are_compared_at_the_most_probable_class()
    check_the_stored_threshold_makes_the_predictions(quick.decision.miss_cost)
    first = {path.name: path.read_bytes() for path in paths.TEST_REPORT.iterdir()}
    assert first.keys() == {path.name for path in vars(paths).values() if in_report(path)}
    evaluate.run(quick)
    assert first == {path.name: path.read_bytes() for path in paths.TEST_REPORT.iterdir()}


def in_report(value: object) -> bool:
    return isinstance(value, Path) and value.parent == paths.TEST_REPORT


def check_every_metric_has_its_interval() -> None:
    found = read(paths.TEST_ESTIMATES)
    assert found["interval"].keys() == METRICS | {"cost"}
    assert found.keys() > METRICS
    assert found["most_probable"]["interval"].keys() == METRICS | {"cost"}
    assert found["uncalibrated"]["interval"].keys() == OF_PROBABILITIES
    assert (found["images"], found["groups"], found["majority_accuracy"]) == (24, 24, 0.5)
    assert found["decision"] == DECISION.model_dump() | {"miss_cost": 2.0}
    metrics = read(paths.TEST_METRICS)
    assert list(metrics) == evaluate.HEADLINE
    assert metrics.items() <= found.items()


def check_reference_models_are_compared_at_the_most_probable_class() -> None:
    references, found = read(paths.TEST_REFERENCE_MODELS), read(paths.TEST_ESTIMATES)
    assert references["logistic_regression"]["interval"].keys() == METRICS
    assert references["nearest_neighbour"]["interval"].keys() == OF_LABELS
    for theirs in references.values():
        gain = found["most_probable"]["accuracy"] - theirs["accuracy"]
        assert theirs["accuracy_of_model_less_this"]["value"] == pytest.approx(gain, abs=2e-6)


def check_the_stored_threshold_makes_the_predictions(miss_cost: float) -> None:
    found, table = read(paths.TEST_ESTIMATES), predictions()
    called = table["probability_emergency"] >= 0.45
    assert (table["predicted"] == np.where(called, "emergency", "other")).all()
    missed = int((~called & (table["label"] == "emergency")).sum())
    alarms = int((called & (table["label"] == "other")).sum())
    assert (found["missed"], found["false_alarms"]) == (missed, alarms)
    assert found["accuracy"] == pytest.approx(1 - (missed + alarms) / 24, abs=1e-6)
    assert found["cost"] == pytest.approx((miss_cost * missed + alarms) / 24, abs=1e-6)
    at = {row["threshold"]: row for row in read(paths.TEST_THRESHOLDS)}
    assert at[0.45]["cost"] == found["cost"]
    assert at[1.0]["precision"] is None
    confusion = read(paths.TEST_CONFUSION)
    assert confusion["classes"] == CLASSES
    assert confusion["counts"] == [[12 - alarms, alarms], [missed, 12 - missed]]
    likeliest = table["probability_emergency"] > 0.5
    at_half = float((likeliest == (table["label"] == "emergency")).mean())
    assert found["most_probable"]["accuracy"] == pytest.approx(at_half, abs=1e-6)


def test_the_rule_moves_the_headline(quick: Params) -> None:
    prepare(artifacts.CLASSES, DECISION.model_copy(update={"threshold": 0.01}))
    evaluate.run(quick)
    by_threshold, half = read(paths.TEST_METRICS), read(paths.TEST_ESTIMATES)["most_probable"]
    update = {"threshold": None, "rule": "most_probable"}
    artifacts.write(paths.MODEL, decision=DECISION.model_copy(update=update))
    evaluate.run(quick)
    most_probable = read(paths.TEST_METRICS)
    assert by_threshold["recall"] == 1 > most_probable["recall"]
    assert most_probable.items() <= half.items()
    assert "most_probable" not in read(paths.TEST_ESTIMATES)


def test_the_temperature_is_shown_with_what_was_before(quick: Params) -> None:
    prepare(artifacts.CLASSES, DECISION)
    evaluate.run(quick)
    tempered = read(paths.TEST_ESTIMATES)
    assert set(read_table(paths.TEST_RELIABILITY)["temperature"]) == {"before", "after"}
    artifacts.write(paths.MODEL, decision=DECISION.model_copy(update={"temperature": 1.0}))
    evaluate.run(quick)
    plain = read(paths.TEST_ESTIMATES)
    assert tempered["uncalibrated"]["loss"] == plain["loss"] != tempered["loss"]
    assert "uncalibrated" not in plain
    assert set(read_table(paths.TEST_RELIABILITY)["temperature"]) == {"after"}


def test_without_a_positive_class_there_is_no_threshold(quick: Params) -> None:
    prepare(THREE, MOST_PROBABLE)
    evaluate.run(quick)
    found = read(paths.TEST_ESTIMATES)
    assert found.keys().isdisjoint({"most_probable", "missed", "false_alarms", "cost"})
    assert "cost" not in read(paths.TEST_METRICS)
    assert read(paths.TEST_THRESHOLDS) == []
    assert len(read(paths.TEST_ROC)) == 101
    table = predictions()
    shares = table[[f"probability_{name}" for name in THREE]].to_numpy()
    assert (table["predicted"] == np.array(THREE)[shares.argmax(axis=1)]).all()


def test_a_positive_class_of_three_has_a_cost(quick: Params) -> None:
    prepare(THREE, MOST_PROBABLE.model_copy(update={"positive": "van"}))
    positive = quick.evaluate.model_copy(update={"positive": "van"})
    evaluate.run(quick.model_copy(update={"evaluate": positive}))
    found, table = read(paths.TEST_ESTIMATES), predictions()
    is_van, called = table["label"] == "van", table["predicted"] == "van"
    assert (found["missed"], found["false_alarms"]) == (
        (is_van & ~called).sum(),
        (called & ~is_van).sum(),
    )


def test_duplicates_count_once_in_the_intervals(quick: Params) -> None:
    prepare(artifacts.CLASSES, DECISION)
    evaluate.run(quick)
    alone = read(paths.TEST_ESTIMATES)
    meta = paths.PACKED / "test" / "meta.json"
    content = read(meta)
    # Images of equal labels, by twelves.
    content["groups"] = [str(index % 2) for index in range(24)]
    meta.write_text(json.dumps(content), encoding="utf-8")
    evaluate.run(quick)
    grouped = read(paths.TEST_ESTIMATES)
    assert (grouped["images"], grouped["groups"]) == (24, 2)
    assert grouped["accuracy"] == alone["accuracy"]
    assert grouped["interval"]["accuracy"] != alone["interval"]["accuracy"]
    assert predictions()["group"].astype(str).tolist() == content["groups"]


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


# ---- galleries

SCORES = np.array([0.9, 0.2, 0.55, 0.7, 0.05])


def scored(threshold: float) -> Predictions:
    probabilities = np.stack([1 - SCORES, SCORES], axis=1)
    return Predictions(np.array([0, 1, 1, 0, 0]), (threshold <= SCORES) * 1, probabilities, 1)


def test_images_nearest_to_another_label_come_first() -> None:
    assert least_confident_first(scored(0.5), None).tolist() == [2, 3, 1, 0, 4]
    assert least_confident_first(scored(0.5), 0.5).tolist() == [2, 3, 1, 0, 4]
    assert least_confident_first(scored(0.25), 0.25).tolist() == [1, 2, 4, 3, 0]
    assert least_confident_first(scored(0.0), 0.0).tolist() == [4, 1, 2, 3, 0]


def test_captions_have_the_name_the_true_class_and_the_prediction() -> None:
    names = [f"{letter}.jpg" for letter in "abcde"]
    pixels = np.zeros((5, 8, 8, 3), dtype=np.uint8)
    shown = scored(0.5)
    test = PackedSplit(pixels, shown.labels, names, names, CLASSES, 8)
    assert [line for line, _ in caption(test, shown, 0)] == [
        "a.jpg",
        "other",
        "predicted emergency, 90%",
    ]
    assert [caption(test, shown, row)[2][1] for row in (0, 2)] == [WRONG, RIGHT]
