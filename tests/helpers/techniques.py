"""Made-up results of stage `ablate`, plausible enough to draw; never to be taken for results."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.common.tables import write_csv
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
# How quickly it learns its photos by heart, how often it answers rightly.
CHARACTER = {
    "baseline": (1.0, 0.74),
    "early_stopping": (1.0, 0.75),
    "dropout": (0.5, 0.75),
    "batch_norm": (1.4, 0.74),
    "augmentation": (0.25, 0.79),
    "checkpointing": (1.0, 0.755),
    "combined": (0.15, 0.80),
}
TRAINS_AS = {"checkpointing": "baseline", "early_stopping": "baseline"}
PATIENCE, MIN_DELTA = 5, 0.01


def settings(name: str, epochs: int = 40) -> dict[str, Any]:
    """The params of a technique's runs, as far as the report reads them."""
    everything = name == "combined"
    return {
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


def write_technique(
    folder: Path, name: str, seeds: int = 5, epochs: int = 40, images: int = 352
) -> Path:
    """Write what `ablate` would of a technique; returns its folder."""
    own = folder / name
    own.mkdir(parents=True)
    speed, accuracy = CHARACTER.get(name, (0.6, 0.76))
    histories = [_history(name, seed, speed, epochs) for seed in range(1, seeds + 1)]
    right = [_right(name, seed, accuracy, images) for seed in range(1, seeds + 1)]
    _write_history(own / "history.csv", histories)
    _write_runs(own / "runs.csv", name, histories, right)
    _write_predictions(own / "predictions.csv", right)
    _write_activations(own / "activations.csv", name, epochs)
    return own


def _history(name: str, seed: int, speed: float, epochs: int) -> list[list[float]]:
    """Epoch, losses, accuracies and rate, until patience runs out where the technique stops."""
    draw = np.random.default_rng([seed, sum(TRAINS_AS.get(name, name).encode())])
    at = np.arange(epochs)
    noise = draw.normal(0, 0.02, (2, epochs))
    train = 0.72 * np.exp(-0.07 * speed * at) + 0.02 + 0.3 * np.abs(noise[0])
    validation = 0.68 - 0.22 * (1 - np.exp(-0.25 * at)) + 0.02 * speed * at + noise[1]
    rows = np.stack([at, train, validation, 1 - train / 1.4, 1 - validation / 2, 0 * at + 0.001], 1)
    whole: list[list[float]] = rows.round(6).tolist()
    return whole[: _stop(validation)] if name == "early_stopping" else whole


def _stop(validation: np.ndarray) -> int:
    best, wait = np.inf, 0
    for epoch, value in enumerate(validation):
        improved = value < best - MIN_DELTA
        best, wait = (value, 0) if improved else (best, wait + 1)
        if wait >= PATIENCE:
            return epoch + 1
    return len(validation)


def _right(name: str, seed: int, accuracy: float, images: int) -> np.ndarray:
    """Images have their own difficulty, and a seed the same luck in every technique."""
    difficulty = np.random.default_rng(0).uniform(-0.3, 0.3, images)
    draw = np.random.default_rng([seed, sum(name.encode())])
    luck = np.random.default_rng(seed).normal(0, 0.01)
    answers: np.ndarray = draw.random(images) < np.clip(accuracy + difficulty + luck, 0, 1)
    return answers


def _write_history(path: Path, histories: list[list[list[float]]]) -> None:
    columns = "seed,epoch,train_loss,val_loss,train_accuracy,val_accuracy,learning_rate"
    rows = ([s, int(r[0]), *r[1:]] for s, rows in enumerate(histories, 1) for r in rows)
    write_csv(path, columns.split(","), rows)


def _write_runs(
    path: Path, name: str, histories: list[list[list[float]]], right: list[np.ndarray]
) -> None:
    columns = (
        "seed,test_accuracy,test_f1,test_roc_auc,test_loss,train_loss,val_loss,unaugmented_train_loss,overfitting_gap,"
        "epochs_run,used_epoch"
    )
    rows = []
    for seed, (history, answers) in enumerate(zip(histories, right, strict=True), start=1):
        losses = [row[2] for row in history]
        keeps = name in {"checkpointing", "combined"}
        used = int(np.argmin(losses)) if keeps else len(history) - 1
        share = float(answers.mean())
        train, validation = history[used][1:3]
        figures = [share, share - 0.06, share + 0.07, validation + 0.01, train, validation]
        rounded = [round(value, 6) for value in [*figures, train, validation - train]]
        rows.append([seed, *rounded, len(history), used])
    write_csv(path, columns.split(","), rows)


def _write_predictions(path: Path, right: list[np.ndarray]) -> None:
    write_csv(
        path,
        ["image", "label", "seed", *(f"probability_{name}" for name in CLASSES)],
        (
            [f"{image}.jpg", CLASSES[image % 2], seed, *_probabilities(image % 2, bool(answer))]
            for seed, answers in enumerate(right, start=1)
            for image, answer in enumerate(answers)
        ),
    )


def _probabilities(label: int, right: bool) -> list[float]:
    guess = label if right else 1 - label
    return [0.8 if index == guess else 0.2 for index in range(len(CLASSES))]


def _write_activations(path: Path, name: str, epochs: int) -> None:
    normed = name in {"batch_norm", "combined"}
    write_csv(
        path,
        ["seed", "epoch", "layer", "stage", "mean", "std"],
        (
            [1, epoch, layer, stage, *moments]
            for epoch in range(epochs)
            for layer in ("layer_1", "layer_2")
            for stage, moments in _stages(epoch, normed=normed)
        ),
    )


def _stages(epoch: int, *, normed: bool) -> Iterator[tuple[str, tuple[float, float]]]:
    growth = round(0.4 + (0.05 if normed else 0.02) * epoch, 6)
    yield "linear", (-growth, 1.5 * growth)
    if normed:
        yield "batch_norm", (0.02, 1.1)
    yield "activation", (0.4, 0.6)
