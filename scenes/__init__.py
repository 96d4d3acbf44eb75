"""The embedded dataset: photos of vehicles, drawn by a procedural generator."""

from scenes.generation import generate

__all__ = ["generate"]
