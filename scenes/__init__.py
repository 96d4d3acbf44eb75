"""Draw labelled photos of vehicles: a data set that needs neither network nor account."""

from scenes.generation import generate
from scenes.photo import photograph
from scenes.plan import DatasetSpec

__all__ = ["DatasetSpec", "generate", "photograph"]
