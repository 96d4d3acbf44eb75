"""Made-up content for the report page, all but the techniques; these are not results."""

from typing import Any

from pipeline.common.resampling import from_data
from tests.helpers.data import CLASSES

OF_LABELS = ("accuracy", "balanced_accuracy", "precision", "recall", "f1")
METRICS = (*OF_LABELS, "roc_auc", "average_precision", "loss", "brier", "calibration_error")
PICTURES = (
    "overview",
    "loss",
    "accuracy",
    "confusion",
    "roc",
    "precision_recall",
    "reliability",
    "thresholds",
    "confident_errors",
    "least_confident",
    "augmentation",
    "kind_rotation",
    "kind_vertical_flip",
    "contact_sheet",
)


def content(comparison: dict[str, Any], plots: dict[str, bytes]) -> dict[str, Any]:
    train = {
        "epochs_run": 3,
        "used_epoch": 2,
        "train_loss": 0.1,
        "val_loss": 0.2,
        "unaugmented_train_loss": 0.1,
    }
    techniques = from_data(comparison)
    by_name = {technique["name"]: technique for technique in techniques["techniques"]}
    techniques["baseline"] = by_name.get("baseline")
    return {
        "model": {
            "name": "made-up",
            "data": {"content_hash": "0" * 64, "source": "synthetic"},
            "classes": CLASSES,
            "size": 32,
            "features": {"kind": "pixels"},
            "architecture": {"dropout": 0.5},
            "training": {
                "augment": {
                    "rotation": {"probability": 0.7, "degrees": 15},
                    "vertical_flip": {"probability": 0.0},
                },
                "train": {"epochs": 90},
            },
            "decision": {"positive": CLASSES[1], "threshold": 0.25},
        },
        "train": train | {"overfitting_gap": 0.1},
        "test": results(),
        "classes": [
            {"name": CLASSES[0], "images": 60, "precision": 0.8, "recall": 0.9, "f1": 0.847},
            {"name": CLASSES[1], "images": 0, "precision": None, "recall": None, "f1": None},
        ],
        "references": from_data(references()),
        "audit": audit(),
        "duplicates": [],
        "pictures": dict.fromkeys(PICTURES, b"") | plots,
        "techniques": techniques,
    }


def estimates(*names: str) -> dict[str, Any]:
    """Each metric a little more than the one before."""
    found: dict[str, Any] = {name: 0.5 + index / 100 for index, name in enumerate(names)}
    ends = {name: {"low": value - 0.1, "high": value + 0.1} for name, value in found.items()}
    return found | {"interval": ends}


def results() -> dict[str, Any]:
    """`estimates.json` of stage `evaluate`, for a binary model with threshold and temperature."""
    decision = {"positive": CLASSES[1], "threshold": 0.25, "temperature": 1.25, "miss_cost": 2.0}
    return {
        "images": 100,
        "confidence": 0.95,
        "decision": decision,
        **estimates(*METRICS, "cost"),
        "missed": 12,
        "false_alarms": 3456,
        "calibration_error_by_chance": 0.03,
        "majority_accuracy": 0.5,
        "uncalibrated": estimates("loss", "brier", "calibration_error"),
        "most_probable": {**estimates(*METRICS, "cost"), "missed": 34, "false_alarms": 56},
    }


def references() -> dict[str, Any]:
    """`reference_models.json` of stage `evaluate`."""
    gains = {
        "majority_class": (0.2, 0.1, 0.3),
        "nearest_neighbour": (0.05, -0.01, 0.11),
        "logistic_regression": (-0.07, -0.09, -0.05),
    }
    return {
        name: {
            **estimates(*(OF_LABELS if name == "nearest_neighbour" else METRICS)),
            "accuracy_of_model_less_this": dict(zip(("value", "low", "high"), ends, strict=True)),
        }
        for name, ends in gains.items()
    }


def audit() -> dict[str, Any]:
    return {
        "images": 300,
        "exact_duplicates": {"files": 0, "groups": 0},
        "near_duplicates": {"files": 0, "groups": 0},
        "conflicts": {"groups": 0, "action": "drop"},
        "leaks_of_random_splits": {"mean": 0, "splits": 1, "least": 0, "most": 0},
        "largest_group": 0,
        "published": None,
        "leaks": 0,
        "alike_across_splits": 0,
        "skipped": [],
        "counts": {"test": dict.fromkeys(CLASSES, 50)},
        "groups": [],
    }


def text(page: str) -> str:
    return " ".join(page.split()).replace("\N{NO-BREAK SPACE}", " ")
