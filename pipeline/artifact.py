"""The model's file format: a folder of weights and JSON, with a model card.

`model.safetensors` holds the weights, `model.json` all that is needed to use and to judge them.
Nothing is pickled, no path is absolute and nothing carries a time, so the same model has the same
bytes. This module knows neither torch nor Lightning.
"""

from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from pipeline.errors import ArtifactError
from pipeline.files import atomic_directory, write_json

FORMAT = 1
WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"
CARD = "README.md"


class Description(BaseModel):
    """`model.json`: what the weights are and where they come from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    name: str
    version: str  # of Bluelight
    classes: list[str]
    size: int  # pixels a side; images are resized to it as packing does
    mean: list[float]  # of each channel, in 0…1
    deviation: list[float]
    architecture: dict[str, Any]  # `model` of params.yaml
    training: dict[str, Any]  # the other params that trained it
    data: dict[str, Any]  # images per split, content hash
    metrics: dict[str, float]  # on the validation split: the test split is not read in training

    @classmethod
    def read(cls, path: Path) -> Self:
        """Parse and check a `model.json`.

        Raises:
            ArtifactError: It is missing, damaged, or of another format.
        """
        try:
            description = cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise ArtifactError(
                f"{path} not found; make it with `dvc repro train` or `dvc pull`"
            ) from None
        except ValidationError as error:
            first = error.errors()[0]
            raise ArtifactError(
                f"{path} is damaged or not a Bluelight model ({first['msg']}); "
                "restore it with `dvc checkout`"
            ) from None
        if description.format != FORMAT:
            raise ArtifactError(
                f"{path} has format {description.format}, this version reads {FORMAT}; "
                "use the version of Bluelight that wrote it"
            )
        return description


def write_artifact(
    directory: Path, weights: dict[str, npt.NDArray[np.generic]], description: Description
) -> None:
    """Write the artifact, whole or not at all.

    Args:
        directory: The artifact's folder; replaced if it exists.
        weights: Tensors by name.
        description: The contents of `model.json`.
    """
    with atomic_directory(directory) as folder:
        (folder / WEIGHTS).write_bytes(save(dict(sorted(weights.items()))))
        write_json(folder / DESCRIPTION, description.model_dump())
        (folder / CARD).write_text(model_card(description), encoding="utf-8")


def read_weights(directory: Path) -> dict[str, npt.NDArray[np.generic]]:
    """The tensors of an artifact, by name.

    Raises:
        ArtifactError: The file is missing or damaged.
    """
    path = directory / WEIGHTS
    try:
        return load_file(path)
    except FileNotFoundError:
        raise ArtifactError(f"{path} not found; restore it with `dvc checkout`") from None
    except SafetensorError as error:
        raise ArtifactError(
            f"{path} is damaged ({error}); restore it with `dvc checkout`"
        ) from None


def model_card(description: Description) -> str:
    """The model card, in Markdown (Mitchell et al., 2019)."""
    classes = ", ".join(f"`{name}`" for name in description.classes)
    layers = " → ".join(str(units) for units in description.architecture["hidden"]) or "none"
    size = description.size
    counts = ", ".join(f"{value:,} {key}" for key, value in description.data["images"].items())
    metrics = "\n".join(f"| {key} | {value:.4f} |" for key, value in description.metrics.items())
    return f"""# {description.name}

A regularised multilayer perceptron that tells {classes} apart in photos.

- **Input** an RGB photo, resized to {size}x{size} pixels; normalisation is part of the weights.
- **Output** a probability for each class.
- **Hidden layers** {layers} units, {description.architecture["activation"]}, \
batch normalisation {"on" if description.architecture["batch_norm"] else "off"}, \
dropout {description.architecture["dropout"]}.
- **Made by** Bluelight {description.version}, from {counts} images \
(content `{description.data["content_hash"][:12]}`).

| validation metric | value |
|---|---|
{metrics}

## Use

For study and as a baseline. It sees a small thumbnail and knows colours and coarse layout, not
what a vehicle is: do not let it decide anything that matters to somebody's safety. It answers for
any picture, also for one without a vehicle. Photos unlike those it was trained on (other countries'
liveries, night, drawings) are beyond what its figures speak of.

The weights are `model.safetensors`; `model.json` has the classes, the architecture, all
parameters of the training, and the hash of its data.
"""
