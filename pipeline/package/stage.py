"""Stage `package`: the trained network → an artifact to use: ONNX, temperature, threshold, card."""

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import PurePath
from typing import Any

from jinja2 import Environment, StrictUndefined

from pipeline.common import artifact, paths
from pipeline.common.datasets import load_packed
from pipeline.common.errors import ArtifactError
from pipeline.common.files import rounded
from pipeline.common.params import Params
from pipeline.common.resampling import code
from pipeline.package.decision import decide, prior_correction
from pipeline.package.onnx_graph import build_onnx
from pipeline.predict.classifier import open_session, outputs_of

LICENCES = ("mit", "apache-2.0", "bsd-3-clause")  # that the model may be passed on under


def run(params: Params) -> None:
    """Calibrate the network, choose its threshold, and write the artifact."""
    network, weights = artifact.read_network(paths.NETWORK)
    sees_pixels = network.features["kind"] == "pixels"
    features = None if sees_pixels else paths.FEATURES_ONNX.read_bytes()
    validation = load_packed(paths.PACKED / "validation")
    if network.classes != validation.classes:
        raise ArtifactError(
            f"the network in {paths.NETWORK} knows the classes {network.classes}, the validation "
            f"images have {validation.classes}; train it on these data with `dvc repro train`"
        )
    tensors = artifact.parse_weights(weights)
    session = open_session(build_onnx(tensors, network, features))
    logits = outputs_of(session, validation.images, artifact.LOGITS)
    correction: list[float] = []
    if network.training.get("train", {}).get("class_weights") == "balanced":
        train = load_packed(paths.PACKED / "train")
        correction = prior_correction(train.labels, len(train.classes))
    decision, metrics = decide(params, logits, validation, correction)
    source = public_source(params.fetch.source)
    licence = licence_of(source, network.features)
    onnx = build_onnx(tensors, network, features, decision, licence)
    description = artifact.Description(
        **network.model_dump(exclude={"data", "metrics"}),
        data=network.data | {"source": source},
        metrics=network.metrics | rounded(metrics),
        name=paths.MODEL.name,
        decision=decision,
        sha256=artifact.sha256_of({artifact.WEIGHTS: weights, artifact.ONNX: onnx}),
    )
    card = model_card(description, licence)
    artifact.write_artifact(paths.MODEL, description, weights, onnx, card)
    label = "the most probable class"
    if decision.threshold is not None:
        label = f"{decision.positive} from {decision.threshold:.3f} on ({decision.rule})"
    print(f"package: {paths.MODEL}, temperature {decision.temperature:.3f}; label: {label}")


def public_source(source: str) -> str:
    """Return what a model may say of `fetch.source`: no local path, password or query."""
    if re.match(r"(?!git\+file:)[a-z0-9+]+:", source):
        return re.sub(r"//[^/@]*@", "//", source).split("?")[0]
    return PurePath(source.removeprefix("git+file://")).name


def licence_of(source: str, features: Mapping[str, Any]) -> str:
    """Return the model's licence, by its identifier on Hugging Face.

    A model of drawn scenes is under this project's licence, or that of the backbone in it; what
    the owners of photos allow is not recorded.
    """
    licence = str(features.get("licence", "MIT")).split()[0].lower()
    return licence if source == artifact.DRAWN and licence in LICENCES else "unknown"


def model_card(description: artifact.Description, licence: str) -> str:
    """Render the model card, in Markdown (Mitchell et al., 2019), for Hugging Face's hub."""
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701 - Markdown
    environment.filters["code"] = code
    environment.globals["drawn"] = artifact.DRAWN
    template = files("pipeline.package").joinpath("card.md.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(description.model_dump(), licence=licence)
