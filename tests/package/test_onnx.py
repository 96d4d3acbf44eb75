"""The ONNX file: the network to 1e-5 with every option of `model`, and the same bytes each time."""

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from scipy.special import softmax

from pipeline import load
from pipeline.common.artifact import LOGITS, PROBABILITIES, Decision
from pipeline.common.datasets import load_packed
from pipeline.common.errors import ArtifactError
from pipeline.package import onnx_graph
from pipeline.package.onnx_graph import build_onnx
from pipeline.predict.classifier import open_session, outputs_of
from pipeline.train.mlp import ACTIVATIONS, MLP
from tests.helpers import artifacts
from tests.helpers.artifacts import CLASSES, describe, network, weights_of
from tests.helpers.data import Pack
from tests.helpers.imports import ROOT

DECIDED = Decision(
    temperature=0.5,
    prior_correction=[0.25, -1.5],
    positive="Rettungsdienst ü",
    threshold=0.375,
    rule="cost",
)


def built(
    model: MLP,
    classes: list[str] = CLASSES,
    decision: Decision | None = None,
    **architecture: Any,
) -> bytes:
    description = describe(model, classes, **architecture)
    return build_onnx(weights_of(model), description, None, decision, "mit")


OPTIONS: list[dict[str, Any]] = [
    *({"activation": name, "batch_norm": norm} for name in ACTIVATIONS for norm in (True, False)),
    {"hidden": []},
    {"hidden": [5], "dropout": [0.3]},
    {"hidden": [9, 7, 5], "dropout": 0.0},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_computes_what_the_network_does_on_a_test_split(
    pack: Pack, options: dict[str, Any]
) -> None:
    images = load_packed(pack("test", 40)).images
    model = network(**options)
    with torch.inference_mode():
        expected = model(torch.from_numpy(np.array(images))).numpy()
    found = outputs_of(open_session(built(model, **options)), images, LOGITS)
    assert found.dtype == np.float32
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_any_number_of_classes() -> None:
    model = network(classes=5)
    images = np.zeros((3, 8, 8, 3), dtype=np.uint8)
    session = open_session(built(model, list("abcde")))
    assert outputs_of(session, images, LOGITS).shape == (3, 5)


def test_same_network_same_bytes() -> None:
    assert built(network()) == built(network())


def test_its_metadata_and_shapes_need_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(built(network(), ["anders", "Rettungsdienst ü"], DECIDED))
    onnx.checker.check_model(path, full_check=True)
    properties = {item.key: item.value for item in onnx.load(path).metadata_props}
    assert json.loads(properties.pop("classes")) == ["anders", "Rettungsdienst ü"]
    assert properties == {
        "temperature": "0.5",
        "threshold": "0.375",
        "positive": "Rettungsdienst ü",
        "license": "mit",
    }
    session = open_session(path.read_bytes())
    (images,), (logits, probabilities) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ["N", 8, 8, 3])
    assert (logits.name, logits.type, logits.shape) == ("logits", "tensor(float)", ["N", 2])
    assert probabilities.name == "probabilities"
    assert (probabilities.type, probabilities.shape) == ("tensor(float)", ["N", 2])


def test_probabilities_have_temperature_and_prior_correction_in_them() -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    session = open_session(built(network(), ["anders", "Rettungsdienst ü"], DECIDED))
    logits = outputs_of(session, images, LOGITS).astype(np.float64)
    expected = softmax(logits / 0.5 + np.array([0.25, -1.5]), axis=1)
    found = outputs_of(session, images, PROBABILITIES)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_without_a_threshold_the_metadata_has_none() -> None:
    decision = Decision(temperature=1, positive=None, threshold=None, rule="most_probable")
    model = onnx.load_from_string(built(network(), decision=decision))
    assert {item.key for item in model.metadata_props} == {"classes", "temperature", "license"}


def test_weights_of_another_size_are_refused() -> None:
    with pytest.raises(ArtifactError, match=r"the weights do not fit their model\.json"):
        build_onnx(weights_of(network(size=8)), describe(network(size=16), CLASSES))


def test_weights_that_lack_a_layer_are_refused() -> None:
    with pytest.raises(ArtifactError, match=r"do not fit .*hidden\.2\.0\.weight"):
        built(network(hidden=[6, 4]), hidden=[6, 4, 4])


def test_a_network_beyond_the_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_graph, "LARGEST", 2**20 + 100)
    with pytest.raises(ArtifactError, match=r"lower pack\.size or model\.hidden"):
        built(network())


def test_onnxruntime_alone_predicts_as_the_docs_show(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifacts.write(elsewhere / "models/vehicle-classifier", decision=artifacts.DECISION)
    pixels = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(elsewhere / "photo.jpg", "PNG")
    page = (ROOT / "docs/prediction.md").read_text(encoding="utf-8")
    code = page.split("## Without Bluelight")[1].split("```python\n")[1].split("```")[0]
    assert "pipeline" not in code
    exec(code, {})  # noqa: S102 - the docs' own
    label, shares = capsys.readouterr().out.split(" ", 1)
    (expected,) = load("models/vehicle-classifier").predict(["photo.jpg"])
    assert label == expected.label
    assert ast.literal_eval(shares) == pytest.approx(expected.probabilities, abs=1e-6)
