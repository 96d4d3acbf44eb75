"""The artifact: same bytes for the same model, and one clear line for a damaged one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.common.artifact import CARD, DESCRIPTION, LOGITS, ONNX, WEIGHTS, Decision, sha256_of
from pipeline.common.errors import ArtifactError
from pipeline.predict.classifier import load, outputs_of
from tests.helpers.artifacts import network, write
from tests.helpers.pictures import contents

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), dtype=np.uint8)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return write(tmp_path / "model")


def change_description(artifact: Path, **changes: object) -> None:
    path = artifact / DESCRIPTION
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(content), encoding="utf-8")


def test_probabilities_are_calibrated(artifact: Path) -> None:
    with torch.inference_mode():
        logits = network()(torch.from_numpy(IMAGES)).double()
    expected = torch.softmax(logits / 1.5, dim=1)
    found = load(artifact).probabilities(IMAGES)
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=2e-6)  # six decimals each


def test_same_model_same_bytes(artifact: Path, tmp_path: Path) -> None:
    files = contents(artifact)
    assert files.keys() == {WEIGHTS, DESCRIPTION, ONNX, CARD}
    assert contents(write(tmp_path / "again")) == files


def test_more_images_than_a_batch_are_classified_in_order(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = load(artifact).session
    expected = outputs_of(session, IMAGES, LOGITS)
    monkeypatch.setattr("pipeline.predict.classifier.BATCH", 4)
    np.testing.assert_allclose(outputs_of(session, IMAGES, LOGITS), expected, atol=1e-6)
    assert outputs_of(session, IMAGES[:0], LOGITS).shape == (0, 2)


def test_the_threshold_decides_between_two_classes(artifact: Path) -> None:
    probabilities = np.array([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
    assert load(artifact).labels(probabilities).tolist() == [0, 1, 1]


def test_a_threshold_may_be_of_the_first_class(tmp_path: Path) -> None:
    decision = Decision(temperature=1, positive="other", threshold=0.9, rule="recall")
    model = load(write(tmp_path / "model", decision=decision))
    assert model.labels(np.array([[0.95, 0.05], [0.8, 0.2]])).tolist() == [0, 1]


def test_without_a_threshold_the_most_probable_class_is_predicted(tmp_path: Path) -> None:
    decision = Decision(temperature=1, positive=None, threshold=None, rule="most_probable")
    model = load(write(tmp_path / "model", classes=["a", "b", "c"], decision=decision))
    assert model.labels(np.array([[0.2, 0.5, 0.3], [0.1, 0.4, 0.5]])).tolist() == [1, 2]


def test_the_card_has_the_metrics_and_the_decision(artifact: Path) -> None:
    card = (artifact / CARD).read_text(encoding="utf-8")
    assert "`other`, `emergency`" in card
    assert "| accuracy | 0.7500 |" in card
    assert (
        "`emergency` where its probability is at least 0.4, otherwise `other` (rule `cost`" in card
    )


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"there is no model in .*nowhere"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("name", [WEIGHTS, DESCRIPTION, ONNX])
def test_a_missing_file_is_named(artifact: Path, name: str) -> None:
    (artifact / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name} cannot be read"):
        load(artifact)


@pytest.mark.parametrize("name", [WEIGHTS, DESCRIPTION, ONNX])
def test_a_cut_file_is_named(artifact: Path, name: str) -> None:
    path = artifact / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ArtifactError, match=f"{name} is damaged"):
        load(artifact)


@pytest.mark.parametrize("name", [WEIGHTS, ONNX])
def test_another_models_file_is_refused(artifact: Path, tmp_path: Path, name: str) -> None:
    model = network()
    with torch.no_grad():
        model.output.bias.add_(1)
    shutil.copy(write(tmp_path / "other", model) / name, artifact / name)
    with pytest.raises(ArtifactError, match=f"{name} is damaged or another model's"):
        load(artifact)


def test_a_file_that_is_no_network_is_refused(artifact: Path) -> None:
    (artifact / ONNX).write_bytes(b"no network")
    files = {name: (artifact / name).read_bytes() for name in (WEIGHTS, ONNX)}
    change_description(artifact, sha256=sha256_of(files))
    with pytest.raises(ArtifactError, match=r"model\.onnx is no network to run"):
        load(artifact)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", 99, "has format 99"),
        ("format", 2, "has format 2, this version reads 3"),
        ("size", 16, "does not fit"),
        ("classes", None, "damaged or not a Bluelight model"),
        ("classes", ["a", "b", "c"], "there is no class 'emergency'"),
        ("sha256", {}, "another model's"),
        ("decision", {"temperature": 0}, "damaged or not a Bluelight model"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    artifact: Path, key: str, value: object, message: str
) -> None:
    change_description(artifact, **{key: value})
    with pytest.raises(ArtifactError, match=message):
        load(artifact)


def test_a_threshold_for_three_classes_is_refused(artifact: Path) -> None:
    change_description(artifact, classes=["other", "emergency", "third"])
    with pytest.raises(ArtifactError, match="a threshold needs two classes"):
        load(artifact)
