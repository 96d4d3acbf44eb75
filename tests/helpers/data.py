"""The shape of the small data set that the fixture `pack` writes."""

from collections.abc import Callable
from pathlib import Path

CLASSES = ["other", "emergency"]
SIZE = 8

Pack = Callable[..., Path]
