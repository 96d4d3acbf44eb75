"""The artifact: same bytes for the same model, and clear words for a damaged one."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.artifact import CARD, DESCRIPTION, WEIGHTS, Description, write_artifact
from pipeline.errors import ArtifactError
from pipeline.inference.classify import load
from pipeline.learning.mlp import Mlp

ARCHITECTURE = {"hidden": [6], "activation": "relu", "batch_norm": True, "dropout": 0.5}
IMAGES = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), dtype=np.uint8)


def network() -> Mlp:
    torch.manual_seed(0)
    return Mlp(size=8, classes=2, mean=[0.5] * 3, deviation=[0.2] * 3, **ARCHITECTURE).eval()  # type: ignore[arg-type]


def write(folder: Path, model: Mlp) -> Path:
    description = Description(
        name="vehicle-classifier",
        version="0",
        classes=["other", "emergency"],
        size=8,
        mean=model.mean.tolist(),
        deviation=model.deviation.tolist(),
        architecture=ARCHITECTURE,
        training={},
        data={"images": {"training": 10, "validation": 5}, "content_hash": "0" * 64},
        metrics={"loss": 0.5, "accuracy": 0.75},
    )
    write_artifact(folder, {k: v.numpy() for k, v in model.state_dict().items()}, description)
    return folder


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return write(tmp_path / "model", network())


def test_a_loaded_model_answers_as_the_trained_one(artifact: Path) -> None:
    with torch.inference_mode():
        expected = torch.softmax(network()(torch.from_numpy(IMAGES)).double(), dim=1)
    found = load(artifact).probabilities(IMAGES)
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_same_model_same_bytes(artifact: Path, tmp_path: Path) -> None:
    again = write(tmp_path / "again", network())
    for name in (WEIGHTS, DESCRIPTION, CARD):
        assert (artifact / name).read_bytes() == (again / name).read_bytes()


def test_the_card_names_classes_and_figures(artifact: Path) -> None:
    card = (artifact / CARD).read_text(encoding="utf-8")
    assert "`other`, `emergency`" in card
    assert "| accuracy | 0.7500 |" in card


@pytest.mark.parametrize("name", [WEIGHTS, DESCRIPTION])
def test_a_missing_file_is_named(artifact: Path, name: str) -> None:
    (artifact / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name} not found"):
        load(artifact)


@pytest.mark.parametrize("name", [WEIGHTS, DESCRIPTION])
def test_a_cut_file_is_named(artifact: Path, name: str) -> None:
    path = artifact / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ArtifactError, match=f"{name} is damaged"):
        load(artifact)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", 99, "has format 99"),
        ("classes", ["a", "b", "c"], "do not fit"),
        ("size", 16, "do not fit"),
        ("classes", None, "damaged or not a Bluelight model"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    artifact: Path, key: str, value: object, message: str
) -> None:
    path = artifact / DESCRIPTION
    content = json.loads(path.read_text(encoding="utf-8")) | {key: value}
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ArtifactError, match=message):
        load(artifact)
