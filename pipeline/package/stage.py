"""Stage `package`: the trained network → an artifact to use: ONNX, temperature, threshold, card."""

import re
from importlib.resources import files
from pathlib import PurePath

from jinja2 import Environment, StrictUndefined

from pipeline.common import paths
from pipeline.common.artifact import (
    DRAWN,
    ONNX,
    WEIGHTS,
    Description,
    parse_weights,
    read_network,
    sha256_of,
    write_artifact,
)
from pipeline.common.errors import ArtifactError
from pipeline.common.files import rounded
from pipeline.common.packed import load_packed
from pipeline.common.params import Params
from pipeline.package.decision import cross_entropy, decide
from pipeline.package.onnx_graph import build_onnx
from pipeline.predict.classifier import calibrated, logits_of, open_session


def run(params: Params) -> None:
    """Calibrate the network, choose its threshold, and write the artifact."""
    network, weights = read_network(paths.NETWORK)
    sees_pixels = network.features["kind"] == "pixels"
    features = None if sees_pixels else paths.FEATURES_ONNX.read_bytes()
    onnx = build_onnx(parse_weights(weights), network, features)
    validation = load_packed(paths.PACKED / "validation")
    classes, labels = validation.classes, validation.labels
    if network.classes != classes:
        raise ArtifactError(
            f"the network in {paths.NETWORK} knows the classes {network.classes}, the validation "
            f"images have {classes}; train it on these data with `dvc repro train`"
        )
    logits = logits_of(open_session(onnx), validation.images)
    decision = decide(params, logits, labels, classes)
    metrics = {"calibrated_loss": cross_entropy(logits, labels, decision.temperature)}
    if decision.threshold is not None and decision.positive is not None:
        row = classes.index(decision.positive)
        called = calibrated(logits, decision.temperature)[:, row] >= decision.threshold
        metrics["recall_at_threshold"] = float(called[labels == row].mean())
        metrics["false_alarm_rate_at_threshold"] = float(called[labels != row].mean())
    description = Description(
        **network.model_dump(exclude={"data", "metrics"}),
        data=network.data | {"source": public_source(params.fetch.source)},
        metrics=network.metrics | rounded(metrics),
        name=paths.MODEL.name,
        decision=decision,
        sha256=sha256_of({WEIGHTS: weights, ONNX: onnx}),
    )
    write_artifact(paths.MODEL, description, weights, onnx, model_card(description))
    label = "the most probable class"
    if decision.threshold is not None:
        label = f"{decision.positive} from {decision.threshold:.3f} on ({decision.rule})"
    print(f"package: {paths.MODEL}, temperature {decision.temperature:.3f}; label: {label}")


def public_source(source: str) -> str:
    """Return what a model may say of `fetch.source`: no local path, password or query."""
    if re.match(r"(?!git\+file:)[a-z0-9+]+:", source):
        return re.sub(r"//[^/@]*@", "//", source).split("?")[0]
    return PurePath(source.removeprefix("git+file://")).name


def model_card(description: Description) -> str:
    """Render the model card, in Markdown (Mitchell et al., 2019)."""
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701 - Markdown
    environment.filters["code"] = lambda name: f"`{name}`"
    environment.globals["drawn"] = DRAWN
    template = files("pipeline.package").joinpath("card.md.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(description.model_dump())
