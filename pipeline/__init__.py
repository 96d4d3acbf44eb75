"""Bluelight: a reproducible image-classification pipeline built on DVC and Lightning.

From Python: `from pipeline import load; load("models/vehicle-classifier").predict(images)`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.predict.classifier import load

__all__ = ["load"]


def __getattr__(name: str) -> object:
    """Import `load` only when it is asked for: every stage imports this package too (PEP 562)."""
    if name in __all__:
        return getattr(import_module("pipeline.predict.classifier"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
