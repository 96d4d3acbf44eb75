"""Techniques as data: the params of one run of the comparison."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from pipeline.common.errors import ParamsError
from pipeline.common.params import LearningParams, Technique, faults

# One process with one thread for each run: for networks of this size, more of them side by side
# gain more than threads do.
ALONE = {"workers": 0, "threads": 1, "devices": 1, "num_nodes": 1, "strategy": "auto"}


def with_technique(
    params: LearningParams, baseline: Mapping[str, Any], name: str, technique: Technique
) -> LearningParams:
    """The params with every technique off but one.

    Args:
        params: As `params.yaml` has them.
        baseline: The values that switch every technique off, by dotted key.
        name: What the technique is called, for messages.
        technique: The keys, or beginnings of keys, that stay as in `params`, and other values.

    Raises:
        ParamsError: The values do not go together.
    """
    off = {key: value for key, value in baseline.items() if not _is_kept(key, technique.keep)}
    tree = params.model_dump(include=set(LearningParams.model_fields))
    for key, value in (off | technique.set).items():
        _put(tree, key, value)
    try:
        return LearningParams.model_validate(tree)
    except ValidationError as error:
        raise ParamsError(
            "\n".join(f"techniques.{name}, over the baseline: {fault}" for fault in faults(error))
        ) from None


def for_seed(params: LearningParams, seed: int, epochs: int) -> LearningParams:
    """The params of one run.

    Args:
        params: Of the technique.
        seed: Drives initial weights, order, dropout and augmentation.
        epochs: How many there are at most.
    """
    changes = {"seed": seed, "epochs": epochs, **ALONE}
    return params.model_copy(update={"train": params.train.model_copy(update=changes)})


def _is_kept(key: str, keep: list[str]) -> bool:
    return any(key == kept or key.startswith(f"{kept}.") for kept in keep)


def _put(tree: dict[str, Any], key: str, value: Any) -> None:  # noqa: ANN401 - whatever the key takes
    *sections, leaf = key.split(".")
    for section in sections:
        tree = tree[section]
    tree[leaf] = value
