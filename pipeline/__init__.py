"""Bluelight: a reproducible image-classification pipeline built on DVC and Lightning.

From Python: `from pipeline import load; load("models/vehicle-classifier").predict(images)`.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.predict.classifier import load

__all__ = ["load"]

# Since 1.32, ONNX Runtime reports to its maker from Linux and macOS too, unless this is set when it
# is first imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> object:
    """Import `load` only when it is asked for: every stage imports this package too (PEP 562)."""
    if name in __all__:
        return getattr(import_module("pipeline.predict.classifier"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
