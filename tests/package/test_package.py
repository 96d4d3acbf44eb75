"""Stage `package`: what training found becomes an artifact, decided on validation images."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.common import paths
from pipeline.common.artifact import Decision, read_network, write_network
from pipeline.common.errors import ArtifactError
from pipeline.common.packed import PackedSplit, load_packed
from pipeline.common.params import Params
from pipeline.package import stage as package
from pipeline.package.calibration import cross_entropy
from pipeline.predict.classifier import ImageClassifier, load
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


def test_the_same_network_gives_the_same_bytes(params: Params) -> None:
    packaged(params)
    before = contents(paths.MODEL)
    packaged(params)
    assert contents(paths.MODEL) == before


def test_probabilities_are_likelier_than_the_networks_own(params: Params) -> None:
    model, split = packaged(params), validation()
    logits = model.logits(split.images)
    loss = -np.log(model.probabilities(split.images)[np.arange(60), split.labels]).mean()
    assert loss < cross_entropy(logits, split.labels, 1.0)
    assert model.description.metrics["calibrated_loss"] == pytest.approx(loss, abs=1e-6)


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
