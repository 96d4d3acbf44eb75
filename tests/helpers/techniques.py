"""Made-up results of stage `ablate`, plausible enough to draw; these are not results."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.common.datasets import write_table
from pipeline.common.files import write_json
from pipeline.common.resampling import Resampling
from pipeline.compare.plots import draw_all
from pipeline.compare.stage import compare, load, ordered
from pipeline.compare.statistics import Outcome
from tests.helpers.data import CLASSES

NAMES = [
    "baseline",
    "early_stopping",
    "dropout",
    "batch_norm",
    "augmentation",
    "checkpointing",
    "combined",
]
# How quickly it memorises the training images, and its accuracy.
CHARACTER = {
    "baseline": (1.0, 0.74),
    "early_stopping": (1.0, 0.75),
    "dropout": (0.5, 0.75),
    "batch_norm": (1.4, 0.74),
    "augmentation": (0.25, 0.79),
    "checkpointing": (1.0, 0.755),
    "combined": (0.15, 0.82),
}
TRAINS_AS = {"checkpointing": "baseline", "early_stopping": "baseline"}
FOLDS, PATIENCE, MIN_DELTA = 5, 5, 0.01
HOW = Resampling(confidence=0.95, resamples=200)


def settings(name: str, repeats: int = 1, epochs: int = 40) -> dict[str, Any]:
    """The params of a technique's runs, as far as the comparison reads them."""
    everything = name == "combined"
    return {
        "ablate": {"folds": FOLDS, "repeats": repeats, "size": 24},
        "model": {
            "dropout": 0.5 if everything or name == "dropout" else 0.0,
            "batch_norm": everything or name == "batch_norm",
        },
        "train": {"epochs": epochs},
        "augment": {"rotation": {"probability": 0.7 if name == "augmentation" else 0.0}},
        "early_stopping": {
            "enabled": everything or name == "early_stopping",
            "monitor": "val_loss",
            "mode": "min",
            "min_delta": MIN_DELTA,
            "patience": PATIENCE,
        },
        "checkpoint": {"enabled": everything or name == "checkpointing", "monitor": "val_loss"},
    }


def write_technique(folder: Path, name: str, images: int = 350, repeats: int = 1) -> Path:
    """Write what stages `techniques` and `ablate` would of a technique; returns its folder."""
    own = folder / name
    speed, accuracy = CHARACTER.get(name, (0.6, 0.76))
    histories, runs, predictions, activations = [], [], [], []
    for run in range(1, FOLDS * repeats + 1):
        history = _history(name, run, speed)
        losses = history["val_loss"]
        keeps = name in {"checkpointing", "combined"}
        used = int(losses.idxmin()) if keeps else len(history) - 1
        train, validation = history.loc[used, ["train_loss", "val_loss"]]
        histories.append(history)
        runs.append(
            {
                "run": run,
                "seed": run,
                "epochs_run": len(history),
                "used_epoch": used,
                "train_loss": train,
                "val_loss": validation,
                "unaugmented_train_loss": train,
                "overfitting_gap": validation - train,
            }
        )
        predictions.append(_predictions(name, run, accuracy, images))
        activations.append(_activations(run, normed=name in {"batch_norm", "combined"}))
    write_json(own / "params.json", settings(name, repeats))
    write_table(own / "runs.csv", pd.DataFrame(runs))
    write_table(own / "history.csv", pd.concat(histories))
    write_table(own / "predictions.csv", pd.concat(predictions))
    write_table(own / "activations.csv", pd.concat(activations))
    return own


def outcomes(folder: Path, names: list[str], **sizes: int) -> list[Outcome]:
    """Write techniques and read them back, in the order in which they are shown."""
    return [load(write_technique(folder, name, **sizes)) for name in ordered(names)]


def compared(
    folder: Path, names: list[str], **sizes: int
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The content of `comparison.json` for made-up techniques, and their plots."""
    read = outcomes(folder, names, **sizes)
    comparison = compare(read, HOW, CLASSES[1])
    return comparison, draw_all(read, comparison)


def _history(name: str, run: int, speed: float, epochs: int = 40) -> pd.DataFrame:
    """Losses and accuracies, until patience runs out where the technique stops early."""
    draw = np.random.default_rng([run, sum(TRAINS_AS.get(name, name).encode())])
    epoch = np.arange(epochs)
    noise = draw.normal(0, 0.02, (2, epochs))
    train = 0.72 * np.exp(-0.07 * speed * epoch) + 0.02 + 0.3 * np.abs(noise[0])
    validation = 0.68 - 0.22 * (1 - np.exp(-0.25 * epoch)) + 0.02 * speed * epoch + noise[1]
    table = pd.DataFrame(
        {
            "run": run,
            "epoch": epoch,
            "train_loss": train,
            "val_loss": validation,
            "train_accuracy": 1 - train / 1.4,
            "val_accuracy": 1 - validation / 2,
            "learning_rate": 0.001,
            "early_stopping_best": np.nan,
            "early_stopping_wait": np.nan,
        }
    ).round(6)
    if name != "early_stopping":
        return table
    best, wait = np.inf, 0
    for row, value in enumerate(table["val_loss"]):
        best, wait = (value, 0) if value < best - MIN_DELTA else (best, wait + 1)
        table.loc[row, ["early_stopping_best", "early_stopping_wait"]] = best, wait
        if wait >= PATIENCE:
            return table[: row + 1]
    return table


def _predictions(name: str, run: int, accuracy: float, images: int) -> pd.DataFrame:
    """Images have their own difficulty, and a run the same luck in every technique."""
    repeat, fold = divmod(run - 1, FOLDS)
    chosen = np.flatnonzero(np.random.default_rng(repeat).permutation(images) % FOLDS == fold)
    difficulty = np.random.default_rng(0).uniform(-0.3, 0.3, images)[chosen]
    draw = np.random.default_rng([run, sum(name.encode())])
    luck = np.random.default_rng(run).normal(0, 0.01)
    right = draw.random(len(chosen)) < np.clip(accuracy + difficulty + luck, 0, 1)
    labels = chosen % 2
    emergency = np.where(right == (labels == 1), 0.8, 0.2)
    return pd.DataFrame(
        {
            "run": run,
            "image": [f"{image}.jpg" for image in chosen],
            "label": [CLASSES[label] for label in labels],
            "group": [f"group-{image // 2}" for image in chosen],
            f"probability_{CLASSES[0]}": 1 - emergency,
            f"probability_{CLASSES[1]}": emergency,
        }
    )


def _activations(run: int, *, normed: bool, epochs: int = 40) -> pd.DataFrame:
    rows = []
    for epoch in range(epochs):
        growth = round(0.4 + (0.05 if normed else 0.02) * epoch, 6)
        stages = {"linear": (-growth, 1.5 * growth), "activation": (0.4, 0.6)}
        if normed:
            stages["batch_norm"] = (0.02, 1.1)
        for layer in ("layer_1", "layer_2"):
            rows += [(run, epoch, layer, stage, *moments) for stage, moments in stages.items()]
    return pd.DataFrame(rows, columns=["run", "epoch", "layer", "stage", "mean", "std"])
