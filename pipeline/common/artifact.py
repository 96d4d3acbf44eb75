"""The model's file format: a folder of weights and JSON as trained, and the artifact for users.

`train` writes a network: `model.safetensors` has the weights, `model.json` describes them.
`package` makes the artifact of it, which adds the decision rule, the same network as ONNX and a
model card. Nothing is pickled, no path is absolute and there are no timestamps, so the same model
has the same bytes. This module imports neither torch nor Lightning.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pipeline.common.errors import ArtifactError
from pipeline.common.files import atomic_directory, read_regular, write_json

FORMAT = 3
WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"
ONNX = "model.onnx"
CARD = "README.md"
LOGITS, PROBABILITIES = "logits", "probabilities"  # outputs of the ONNX file
DRAWN = "synthetic"  # `data.source` of a model that was trained on drawn scenes

Weights = dict[str, npt.NDArray[np.generic]]


class Decision(BaseModel):
    """How the network's outputs become probabilities and a label."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Logits are divided by it before the softmax: near 0 the result is not a number.
    temperature: Annotated[float, Field(ge=1e-3, le=1e3)]
    # Then added to each class's logit; empty where training did not weigh classes differently.
    prior_correction: list[float] = []
    positive: str | None  # the class whose recall or cost counts; None where the data lack it
    threshold: Annotated[float, Field(ge=0, le=1)] | None  # of `positive`; None: most probable
    rule: str  # which of `decision.rule` gave the threshold


class NetworkDescription(BaseModel):
    """`model.json` of a network: what the weights are and where they come from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    version: str  # of Bluelight
    classes: Annotated[list[str], Field(min_length=2)]
    size: Annotated[int, Field(ge=1, le=4096)]  # pixels a side; images are resized as in packing
    features: dict[str, Any]  # what the MLP sees, and where it comes from
    mean: list[float]  # of each colour channel of the training images, in 0…1
    std: list[float]  # of each channel, > 0
    architecture: dict[str, Any]  # `model` of params.yaml
    training: dict[str, Any]  # the other params that trained it
    data: dict[str, Any]  # images per split, content hash; in an artifact also `source`
    metrics: dict[str, float]  # on the validation split: the test split is not read in training

    @field_validator("classes")
    @classmethod
    def each_class_once(cls, classes: list[str]) -> list[str]:
        """Class names must be unique."""
        if len(set(classes)) < len(classes):
            raise ValueError("a class is there twice")
        return classes

    @classmethod
    def read(cls, path: Path) -> Self:
        """Parse and check a `model.json`.

        Raises:
            ArtifactError: It is missing, damaged, or of another format.
        """
        content = _read_bytes(path)
        try:
            found = _Format.model_validate_json(content).format
            if found != FORMAT:
                raise ArtifactError(
                    f"{path} has format {found}, this version reads {FORMAT}; use the version of "
                    "Bluelight that wrote it"
                )
            return cls.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            raise ArtifactError(
                f"{path} is damaged or not a Bluelight model ({first['msg']}); {RESTORE}"
            ) from None


class Description(NetworkDescription):
    """`model.json` of an artifact: also its name, how to decide, and what its files hold."""

    name: str
    decision: Decision
    sha256: dict[str, str]  # of the weights and of the ONNX file, by name

    @model_validator(mode="after")
    def the_decision_fits_the_classes(self) -> Self:
        """A threshold chooses between two classes, one of them the positive one."""
        decision = self.decision
        if decision.positive is not None and decision.positive not in self.classes:
            raise ValueError(f"there is no class {decision.positive!r}")
        if len(decision.prior_correction) not in (0, len(self.classes)):
            raise ValueError("decision.prior_correction needs a number for each class")
        if decision.threshold is not None and (decision.positive is None or len(self.classes) != 2):
            raise ValueError("a threshold needs two classes, one of them positive")
        return self


class _Format(BaseModel):
    format: int


RESTORE = "restore it with `dvc checkout`, download it again, or make it again with `dvc repro`"


def write_network(directory: Path, weights: Weights, description: NetworkDescription) -> None:
    """Write a trained network, whole or not at all; replaces `directory` if it exists."""
    with atomic_directory(directory) as folder:
        (folder / WEIGHTS).write_bytes(save(dict(sorted(weights.items()))))
        write_json(folder / DESCRIPTION, description.model_dump())


def write_artifact(
    directory: Path, description: Description, weights: bytes, onnx: bytes, card: str
) -> None:
    """Write the artifact, whole or not at all; replaces `directory` if it exists.

    Args:
        directory: The artifact's folder.
        description: The contents of `model.json`.
        weights: The contents of the network's `model.safetensors`.
        onnx: The same network as ONNX.
        card: The model card, in Markdown.
    """
    with atomic_directory(directory) as folder:
        (folder / WEIGHTS).write_bytes(weights)
        (folder / ONNX).write_bytes(onnx)
        write_json(folder / DESCRIPTION, description.model_dump())
        (folder / CARD).write_text(card, encoding="utf-8", newline="\n")


def read_artifact(directory: Path) -> tuple[Description, bytes]:
    """What an artifact is, and its network as ONNX.

    Raises:
        ArtifactError: It is missing, incomplete or damaged, or a file is another model's.
    """
    if not directory.is_dir():
        raise ArtifactError(
            f"there is no model in {directory}; make it with `dvc repro package`, get it with "
            "`dvc pull`, or name its folder"
        )
    description = Description.read(directory / DESCRIPTION)
    contents = {name: _read_bytes(directory / name) for name in (WEIGHTS, ONNX)}
    for name, found in sha256_of(contents).items():
        if found != description.sha256.get(name):
            raise ArtifactError(
                f"{directory / name} is damaged or another model's: it does not have the SHA-256 "
                f"that {DESCRIPTION} states; {RESTORE}"
            )
    return description, contents[ONNX]


def read_network(directory: Path) -> tuple[NetworkDescription, bytes]:
    """What a trained network is, and its `model.safetensors`.

    Raises:
        ArtifactError: A file is missing or damaged.
    """
    description = NetworkDescription.read(directory / DESCRIPTION)
    return description, _read_bytes(directory / WEIGHTS)


def parse_weights(content: bytes) -> Weights:
    """The tensors of a `model.safetensors`, by name.

    Raises:
        ArtifactError: It is damaged.
    """
    try:
        return load(content)
    except SafetensorError as error:
        raise ArtifactError(f"{WEIGHTS} is damaged ({error}); {RESTORE}") from None


def sha256_of(contents: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of each, in hexadecimal."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def _read_bytes(path: Path) -> bytes:
    try:
        return read_regular(path)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({error.strerror}); {RESTORE}") from None
