"""Stage `package`: what training found becomes an artifact, decided on validation images."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from pipeline.common import paths
from pipeline.common.artifact import LOGITS, Decision, read_network, write_network
from pipeline.common.datasets import PackedSplit, load_packed
from pipeline.common.errors import ArtifactError
from pipeline.common.params import Params
from pipeline.package import stage as package
from pipeline.package.decision import cross_entropy
from pipeline.predict.classifier import ImageClassifier, load, outputs_of
from tests.helpers.artifacts import CLASSES, describe, network, weights_of
from tests.helpers.data import Pack
from tests.helpers.pictures import contents


@pytest.fixture(autouse=True)
def trained(pack: Pack, elsewhere: Path) -> Path:
    """A project in which `train` has run, after a fashion."""
    pack("validation", 60)
    write_network(paths.NETWORK, weights_of(network()), describe(network(), CLASSES))
    return elsewhere


def packaged(params: Params, positive: str = "emergency", **decision: Any) -> ImageClassifier:
    package.run(
        params.model_copy(
            update={
                "decision": params.decision.model_copy(update=decision),
                "evaluate": params.evaluate.model_copy(update={"positive": positive}),
            }
        )
    )
    return load(paths.MODEL)


def validation() -> PackedSplit:
    return load_packed(paths.PACKED / "validation")


def test_it_keeps_what_training_found(params: Params) -> None:
    model = packaged(params)
    found, weights = read_network(paths.NETWORK)
    assert (paths.MODEL / "model.safetensors").read_bytes() == weights
    assert model.description.metrics.items() >= found.metrics.items()
    assert model.description.classes == found.classes


@pytest.mark.parametrize(
    ("source", "public"),
    [
        ("synthetic", "synthetic"),
        ("/home/somebody/photos", "photos"),
        ("photos.zip", "photos.zip"),
        ("git+file:///home/somebody/repository@main", "repository@main"),
        ("https://user:secret@host.example/photos.zip?token=1", "https://host.example/photos.zip"),
        ("kaggle:owner/dataset", "kaggle:owner/dataset"),
    ],
)
def test_the_origin_of_the_data_is_told_without_secrets(source: str, public: str) -> None:
    assert package.public_source(source) == public


def test_a_model_of_drawn_scenes_says_so_in_its_card(params: Params) -> None:
    model = packaged(params)
    assert model.description.data["source"] == "synthetic"
    card = (paths.MODEL / "README.md").read_text(encoding="utf-8")
    assert "Trained on drawn scenes, not on photos" in card
    own = params.fetch.model_copy(update={"source": "photos.zip"})
    packaged(params.model_copy(update={"fetch": own}))
    card = (paths.MODEL / "README.md").read_text(encoding="utf-8")
    assert "drawn scenes" not in card
    assert "from `photos.zip`" in card


def test_the_same_network_gives_the_same_bytes(params: Params) -> None:
    packaged(params)
    before = contents(paths.MODEL)
    packaged(params)
    assert contents(paths.MODEL) == before


def train_on_own_labels(heat: float) -> None:
    """A network whose probabilities are those of the labels, but for logits too large by `heat`."""
    model, images = network(), torch.from_numpy(np.array(validation().images))
    with torch.inference_mode():
        scale = 2 / float(model(images).std())
        shares = torch.softmax(scale * model(images), dim=1)[:, 1].numpy()
    labels = (np.random.default_rng(0).random(60) < shares).astype(np.int64)
    np.save(paths.PACKED / "validation" / "labels.npy", labels)
    with torch.no_grad():
        model.output.weight.mul_(scale * heat)
        model.output.bias.mul_(scale * heat)
    write_network(paths.NETWORK, weights_of(model), describe(model, CLASSES))


def test_an_overconfident_network_is_calibrated(params: Params) -> None:
    train_on_own_labels(heat=6)
    model, split = packaged(params), validation()
    assert 2 < model.description.decision.temperature < 15
    logits = outputs_of(model.session, split.images, LOGITS)
    loss = -np.log(model.probabilities(split.images)[np.arange(60), split.labels]).mean()
    assert loss < cross_entropy(logits, split.labels, 1.0, [])
    metrics = model.description.metrics
    assert metrics["calibrated_loss"] == pytest.approx(loss, abs=1e-5)
    assert metrics["fitted_temperature"] == model.description.decision.temperature
    assert 1 < metrics["fitted_temperature_low"] < metrics["fitted_temperature_high"]
    assert "calibrated with temperature" in card()


def test_a_temperature_that_may_be_one_is_one(params: Params) -> None:
    train_on_own_labels(heat=1)
    found = packaged(params).description
    low, high = (found.metrics[f"fitted_temperature_{end}"] for end in ("low", "high"))
    assert low < 1 < high
    assert found.decision.temperature == 1
    assert "as the network gives them" in card()


def test_faultless_predictions_leave_the_temperature_at_one(params: Params) -> None:
    train_on_own_labels(heat=1)
    split, network = validation(), packaged(params)
    predicted = network.probabilities(split.images).argmax(axis=1)
    np.save(paths.PACKED / "validation" / "labels.npy", predicted)
    assert packaged(params).description.decision.temperature == 1


def card() -> str:
    return (paths.MODEL / "README.md").read_text(encoding="utf-8")


def test_balanced_classes_are_given_their_real_frequencies(params: Params, pack: Pack) -> None:
    labels = np.load(pack("train", 50) / "labels.npy")
    labels[:40], labels[40:] = 0, 1
    np.save(paths.PACKED / "train" / "labels.npy", labels)
    trained = {"train": {"class_weights": "balanced"}}
    description = describe(network(), CLASSES).model_copy(update={"training": trained})
    write_network(paths.NETWORK, weights_of(network()), description)
    model, images = packaged(params), validation().images
    decision = model.description.decision
    assert decision.prior_correction == pytest.approx(np.log([1.6, 0.4]), abs=1e-6)
    odds = np.log(model.probabilities(images)[:, 1] / model.probabilities(images)[:, 0])
    logits = outputs_of(model.session, images, LOGITS).astype(np.float64)
    balanced = (logits[:, 1] - logits[:, 0]) / decision.temperature
    np.testing.assert_allclose(odds, balanced - np.log(4), atol=1e-4)
    assert "corrected for the class weights" in card()


def test_the_card_begins_with_what_hugging_face_reads(params: Params) -> None:
    packaged(params)
    start, front, text = card().split("---\n", 2)
    assert start == ""
    found = YAML(typ="safe").load(front)
    assert (found["license"], found["pipeline_tag"]) == ("mit", "image-classification")
    assert {"onnx", "mlp"} <= set(found["tags"])
    assert (found["library_name"], "accuracy" in found["metrics"]) == ("onnx", True)
    assert text.lstrip().startswith("# vehicle-classifier")


@pytest.mark.parametrize(
    ("source", "features", "licence"),
    [
        ("synthetic", {"kind": "pixels"}, "mit"),
        ("synthetic", {"licence": "Apache-2.0"}, "apache-2.0"),
        ("synthetic", {"licence": "BSD-3-Clause (torchvision)"}, "bsd-3-clause"),
        ("synthetic", {"licence": "not known"}, "unknown"),
        ("photos.zip", {"kind": "pixels"}, "unknown"),
    ],
)
def test_the_licence_is_that_of_data_and_backbone(
    source: str, features: dict[str, Any], licence: str
) -> None:
    assert package.licence_of(source, features) == licence


def test_the_recall_asked_for_is_reached_on_validation(params: Params) -> None:
    model, split = packaged(params, rule="recall", recall=0.9), validation()
    called = model.labels(model.probabilities(split.images)) == 1
    reached = called[split.labels == 1].mean()
    assert 0.9 <= reached < 1
    assert model.description.metrics["recall_at_threshold"] == pytest.approx(reached)
    assert model.description.decision.rule == "recall"


def test_a_dearer_miss_calls_more_images_positive(params: Params) -> None:
    images = validation().images
    cheap, dear = (
        model.labels(model.probabilities(images)).sum()
        for model in (packaged(params, miss_cost=0.2), packaged(params, miss_cost=9.0))
    )
    assert cheap < dear


@pytest.mark.parametrize(
    ("positive", "rule", "kept"),
    [("emergency", "most_probable", "emergency"), ("ambulance", "cost", None)],
)
def test_there_may_be_no_threshold(
    params: Params, positive: str, rule: str, kept: str | None
) -> None:
    decision = packaged(params, positive, rule=rule).description.decision
    assert decision == Decision(
        temperature=decision.temperature, positive=kept, threshold=None, rule="most_probable"
    )


def test_three_classes_have_no_threshold(params: Params) -> None:
    classes = [*CLASSES, "bus"]
    split = paths.PACKED / "validation" / "meta.json"
    text = split.read_text(encoding="utf-8")
    split.write_text(text.replace('"emergency"', '"emergency", "bus"'), encoding="utf-8")
    model = network(classes=3)
    write_network(paths.NETWORK, weights_of(model), describe(model, classes))
    assert packaged(params).description.decision.threshold is None


def test_images_of_other_classes_are_refused(params: Params) -> None:
    model = network()
    write_network(paths.NETWORK, weights_of(model), describe(model, ["cat", "dog"]))
    with pytest.raises(ArtifactError, match="knows the classes"):
        packaged(params)


def test_without_a_network_it_says_what_makes_one(params: Params) -> None:
    (paths.NETWORK / "model.json").unlink()
    with pytest.raises(ArtifactError, match=r"models/network/model\.json cannot be read"):
        packaged(params)
