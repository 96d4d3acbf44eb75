"""Load an artifact and classify images; torch, but neither Lightning nor albumentations."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import softmax

from pipeline.artifact import DESCRIPTION, Description, read_weights
from pipeline.errors import ArtifactError
from pipeline.learning.mlp import Mlp

BATCH = 1024  # images at a time: bounds memory, not results


@dataclass(frozen=True)
class VehicleClassifier:
    """A trained model.

    Attributes:
        network: The network, in evaluation mode.
        description: Its classes, input size and origin.
    """

    network: Mlp
    description: Description

    def probabilities(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """The probability of each class.

        Args:
            images: uint8 RGB [N, size, size, 3].

        Returns:
            float64 [N, classes]; rows sum to 1.
        """
        # A fixed thread count: it changes the last bits of a sum.
        torch.set_num_threads(1)
        with torch.inference_mode():
            batches = [
                softmax(self.network(torch.from_numpy(np.array(batch))).double(), dim=1)
                for batch in _batches(images)
            ]
        return torch.cat(batches).numpy()


def load(directory: Path) -> VehicleClassifier:
    """Load a model artifact.

    Args:
        directory: The artifact's folder.

    Raises:
        ArtifactError: It is missing, damaged, or its parts do not belong together.
    """
    description = Description.read(directory / DESCRIPTION)
    network = Mlp(
        size=description.size,
        classes=len(description.classes),
        mean=description.mean,
        deviation=description.deviation,
        **description.architecture,
    )
    weights = {name: torch.from_numpy(value) for name, value in read_weights(directory).items()}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ArtifactError(
            f"the weights in {directory} do not fit its {DESCRIPTION}: {error}; "
            "restore both with `dvc checkout`"
        ) from None
    return VehicleClassifier(network.eval(), description)


def _batches(images: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
    return [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
