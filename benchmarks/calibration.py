"""What a temperature is worth: networks of every fold, with and without it, on the test images.

    python benchmarks/calibration.py [--source synthetic] [--folds 5]

The stages fetch to train run in a temporary folder, once for each fold that validates, with the
params of this checkout. Each network's temperature is fitted on its own validation fold, on those
of the other networks (out of fold), or not at all. The test images are the same for all; the table
has means over the folds and, in brackets, percentile intervals over groups of duplicates.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from ruamel.yaml import YAML

from pipeline.common import paths
from pipeline.common.artifact import LOGITS, parse_weights, read_network
from pipeline.common.datasets import PackedSplit, load_packed
from pipeline.common.metrics import Predictions, Values, probability_metrics
from pipeline.common.resampling import Resampling, percentile, resampled
from pipeline.evaluate.estimates import (
    CALIBRATION,
    calibration_errors_by_chance,
    calibration_interval,
)
from pipeline.package.decision import calibrated, fit_temperature
from pipeline.package.onnx_graph import build_onnx
from pipeline.predict.classifier import open_session, outputs_of

ROOT = Path(__file__).parent.parent
HOW = Resampling(confidence=0.95, resamples=2000)
METRICS = ("loss", "brier", CALIBRATION)
STAGES = ("fetch", "split", "pack", "features", "train")

Logits = npt.NDArray[np.float32]


class Fold(NamedTuple):
    """Logits of one network, and the images that it saw.

    Attributes:
        validation: Logits of the images that chose its epoch.
        test: Logits of the test images.
        labels: Of the validation images.
        groups: Of the validation images.
    """

    validation: Logits
    test: Logits
    labels: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64]


def main() -> None:
    """Train, fit, report."""
    parser = argparse.ArgumentParser(description="What a temperature is worth, over folds.")
    parser.add_argument("--source", default="synthetic", help="fetch.source")
    parser.add_argument("--folds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = Path(asked.source).resolve() if Path(asked.source).exists() else asked.source
        folds = [train(folder, str(source), asked.folds, fold) for fold in range(asked.folds)]
        show(folds, load_packed(folder / paths.PACKED / "test"))


def train(folder: Path, source: str, folds: int, fold: int) -> Fold:
    """Run the stages up to `train` with one fold as the validation split."""
    params = YAML().load(ROOT / paths.PARAMS)
    params["fetch"]["source"] = source
    params["split"] |= {"folds": folds, "fold": fold}
    YAML().dump(params, folder / paths.PARAMS)
    fetched = (folder / paths.RAW_LABELS).exists()
    for stage in STAGES[fetched:]:
        command = [sys.executable, "-m", "pipeline.run", stage]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        subprocess.run(command, cwd=folder, env=environment, check=True)
    description, weights = read_network(folder / paths.NETWORK)
    features = folder / paths.FEATURES_ONNX
    sees_pixels = description.features["kind"] == "pixels"
    graph = None if sees_pixels else features.read_bytes()
    session = open_session(build_onnx(parse_weights(weights), description, graph))
    validation, test = (
        load_packed(folder / paths.PACKED / name) for name in ("validation", "test")
    )
    return Fold(
        outputs_of(session, validation.images, LOGITS),
        outputs_of(session, test.images, LOGITS),
        validation.labels,
        np.unique(validation.groups, return_inverse=True)[1],
    )


def temperatures(folds: list[Fold]) -> dict[str, list[float]]:
    """The temperature of each network by each way of choosing it; prints each fit's interval."""
    found: dict[str, list[float]] = {
        "1": [1.0] * len(folds),
        "fitted": [],
        "fitted where shown": [],
    }
    found["out of fold"] = []
    for number, fold in enumerate(folds):
        fitted, interval = fit_temperature(fold.validation, fold.labels, [], fold.groups, HOW)
        print(f"fold {number}: {fitted:.3f} ({interval.low:.3f} to {interval.high:.3f})")
        shown = interval.low > 1 or interval.high < 1
        found["fitted"].append(fitted)
        found["fitted where shown"].append(fitted if shown else 1.0)
        others = [other for index, other in enumerate(folds) if index != number]
        logits = np.concatenate([other.validation for other in others])
        labels = np.concatenate([other.labels for other in others])
        pooled, _ = fit_temperature(logits, labels, [], np.arange(len(labels)), HOW)
        found["out of fold"].append(pooled)
    return found


def show(folds: list[Fold], test: PackedSplit) -> None:
    """Print means over the folds, and what each way has over no temperature."""
    positive = 1 if len(test.classes) == 2 else None
    ways = {
        way: [
            Predictions.most_probable(test.labels, calibrated(fold.test, one, []), positive)
            for fold, one in zip(folds, chosen, strict=True)
        ]
        for way, chosen in temperatures(folds).items()
    }

    def metrics(weights: Values) -> Mapping[str, Values]:
        found = {}
        for way, predictions in ways.items():
            each = [probability_metrics(one, weights) for one in predictions]
            for name in METRICS:
                found[f"{way} {name}"] = np.mean([one[name] for one in each], axis=0)
        return found

    groups = np.unique(test.groups, return_inverse=True)[1]
    once = metrics(np.ones((len(test), 1)))
    drawn = resampled(metrics, len(test), HOW, groups)
    table = Table(title=f"{len(test)} test images, {len(folds)} folds")
    for column in ("temperature", "metric", "mean over folds", "less that of temperature 1"):
        table.add_column(column)
    for way, predictions in ways.items():
        for name in METRICS:
            key, base = f"{way} {name}", f"1 {name}"
            own, gap = percentile(drawn[key], HOW), percentile(drawn[key] - drawn[base], HOW)
            if name == CALIBRATION:
                chance = np.mean(
                    [calibration_errors_by_chance(one, HOW) for one in predictions], axis=0
                )
                high = float(np.quantile(chance, HOW.tails[1]))
                own = calibration_interval(float(once[key][0]), own, high)
            mean = f"{once[key][0]:.4f} ({own.low:.4f} to {own.high:.4f})"
            less = f"{once[key][0] - once[base][0]:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})"
            table.add_row(way, name, mean, less if way != "1" else "")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
