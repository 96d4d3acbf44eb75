"""By how much two files differ, where they hold numbers."""

import csv
import json
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path

import numpy as np
from safetensors.numpy import load

from pipeline.revisions.revisions import leaves

Numbers = dict[str, float]


def largest_difference(name: str, old: bytes, new: bytes) -> str:
    """The largest difference of a number in two versions of a file, in words.

    Args:
        name: The file's: its suffix tells what it holds.
        old: Content of the first version.
        new: Of the second.

    Returns:
        Empty where the file holds no numbers, or cannot be read.
    """
    suffix = Path(name).suffix
    try:
        if suffix == ".safetensors":
            return _of_weights(load(old), load(new))
        if suffix in READERS:
            return _of_numbers(*(dict(READERS[suffix](data)) for data in (old, new)))
    except (ValueError, KeyError):  # damaged, or written by something else
        return ""
    return ""


def _of_weights(old: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray]) -> str:
    shapes = [{name: tensor.shape for name, tensor in each.items()} for each in (old, new)]
    if shapes[0] != shapes[1]:
        return "tensors of other names or shapes"
    gaps = {name: _gap(tensor, new[name]) for name, tensor in old.items()}
    worst = max(gaps, key=lambda name: gaps[name])
    return f"weights differ by {gaps[worst]:.2g} at most ({worst})"


def _gap(old: np.ndarray, new: np.ndarray) -> float:
    gaps = np.abs(old.astype(np.float64) - new.astype(np.float64))
    return float(gaps.max()) if gaps.size else 0.0


def _of_numbers(old: Numbers, new: Numbers) -> str:
    if old.keys() != new.keys():
        return "other keys, or another number of rows"
    gaps = {name: abs(value - new[name]) for name, value in old.items()}
    worst = max(gaps, key=lambda name: gaps[name], default="")
    if not worst or gaps[worst] == 0:
        return "no number differs"
    return f"numbers differ by {gaps[worst]:.2g} at most ({worst})"


def _json(data: bytes) -> Iterator[tuple[str, float]]:
    content = json.loads(data)
    tree = {str(i): item for i, item in enumerate(content)} if type(content) is list else content
    for name, value in leaves(tree):
        if isinstance(value, int | float):
            yield name, float(value)


def _csv(data: bytes) -> Iterator[tuple[str, float]]:
    header, *rows = csv.reader(data.decode().splitlines())
    for number, row in enumerate(rows):
        for column, cell in zip_longest(header, row, fillvalue=""):
            if _is_number(cell):
                yield f"{column} of row {number}", float(cell)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


READERS = {".json": _json, ".csv": _csv}
