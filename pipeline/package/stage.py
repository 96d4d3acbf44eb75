"""Stage `package`: the trained network → an artifact to use: ONNX, temperature, threshold, card."""

from pipeline.common import paths
from pipeline.common.artifact import (
    ONNX,
    WEIGHTS,
    Decision,
    Description,
    parse_weights,
    read_network,
    sha256_of,
    write_artifact,
)
from pipeline.common.errors import ArtifactError
from pipeline.common.packed import PackedSplit, load_packed
from pipeline.common.params import Params
from pipeline.package.calibration import (
    DIGITS,
    Logits,
    choose_threshold,
    cross_entropy,
    fit_temperature,
)
from pipeline.package.card import model_card
from pipeline.package.onnx_graph import build_onnx
from pipeline.predict.classifier import calibrated, logits_of, open_session


def run(params: Params) -> None:
    """Calibrate the network, choose its threshold, and write the artifact."""
    network, weights = read_network(paths.NETWORK)
    onnx = build_onnx(parse_weights(weights), network)
    validation = load_packed(paths.PACKED / "validation")
    _check_classes(network.classes, validation.classes)
    logits = logits_of(open_session(onnx), validation.images)
    decision = _decide(params, logits, validation)
    figures = _figures(decision, logits, validation)
    description = Description(
        **network.model_dump(exclude={"metrics"}),
        metrics=network.metrics | figures,
        name=paths.MODEL.name,
        decision=decision,
        sha256=sha256_of({WEIGHTS: weights, ONNX: onnx}),
    )
    write_artifact(paths.MODEL, description, weights, onnx, model_card(description))
    _summarise(decision)


def _check_classes(known: list[str], found: list[str]) -> None:
    if known != found:
        raise ArtifactError(
            f"the network in {paths.NETWORK} knows the classes {known}, the validation images have "
            f"{found}; train it on these data with `dvc repro train`"
        )


def _decide(params: Params, logits: Logits, validation: PackedSplit) -> Decision:
    """Fit the temperature, then choose the threshold on the probabilities that it gives."""
    temperature = fit_temperature(logits, validation.labels)
    name, classes = params.evaluate.positive, validation.classes
    positive = name if name in classes else None
    if positive is None or len(classes) != 2 or params.decision.rule == "most_probable":
        return Decision(
            temperature=temperature, positive=positive, threshold=None, rule="most_probable"
        )
    row = classes.index(positive)
    scores = calibrated(logits, temperature)[:, row]
    threshold = choose_threshold(params.decision, scores, validation.labels == row)
    return Decision(
        temperature=temperature, positive=positive, threshold=threshold, rule=params.decision.rule
    )


def _figures(decision: Decision, logits: Logits, validation: PackedSplit) -> dict[str, float]:
    """What temperature and threshold come to on the images that chose them."""
    figures = {
        "calibrated_loss": cross_entropy(logits, validation.labels, decision.temperature),
    }
    if decision.threshold is not None and decision.positive is not None:
        row = validation.classes.index(decision.positive)
        called = calibrated(logits, decision.temperature)[:, row] >= decision.threshold
        true = validation.labels == row
        figures["recall_at_threshold"] = float(called[true].mean())
        figures["false_alarm_rate_at_threshold"] = float(called[~true].mean())
    return {name: round(value, DIGITS) for name, value in figures.items()}


def _summarise(decision: Decision) -> None:
    label = "the most probable class"
    if decision.threshold is not None:
        label = f"{decision.positive} from {decision.threshold:.3f} on ({decision.rule})"
    print(f"package: {paths.MODEL}, temperature {decision.temperature:.3f}; label: {label}")
