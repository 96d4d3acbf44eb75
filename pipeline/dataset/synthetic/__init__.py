"""The embedded dataset: photos of vehicles, drawn by a procedural generator."""

from pipeline.dataset.synthetic.generation import generate

__all__ = ["generate"]
