"""Each kind of augmentation by itself, drawn by the code that training draws with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from pipeline.common.artifact import DESCRIPTION, RESTORE, Description
from pipeline.common.errors import ArtifactError
from pipeline.common.images import Pixels
from pipeline.common.params import AugmentParams
from pipeline.train.augmentation import Augmentation

DRAWS = 3  # of each kind
SEED = 0
TOGETHER = "together"  # the last row's name: no kind has it


@dataclass(frozen=True)
class Kind:
    """One kind of augmentation.

    Attributes:
        name: Its name in params.yaml, or `TOGETHER`.
        probability: How often training applied it; None where all are together.
        strength: Its other params.
        augmentation: It alone, at probability 1; or all together, as in training.
    """

    name: str
    probability: float | None
    strength: Mapping[str, float]
    augmentation: Augmentation

    def draw(self, image: Pixels, number: int) -> list[Pixels]:
        """What it makes of an image; fewer where draws are alike, as a mirrored photo's are.

        Args:
            image: uint8 RGB [size, size, 3], as large as the model's input.
            number: Which time it is drawn, from 0.

        Returns:
            Up to `DRAWS` different images, uint8 RGB [size, size, 3].
        """
        drawn = [self.augmentation(image, number, index) for index in range(DRAWS)]
        return list({pixels.tobytes(): pixels for pixels in drawn}.values())


def kinds_of(description: Description) -> list[Kind]:
    """Each kind with the params that trained a model, and last all of them together.

    Raises:
        ArtifactError: `model.json` does not tell how training augmented.
    """
    params = _augment_params(description)
    sections = params.model_dump()
    kinds = [
        Kind(
            name,
            section["probability"],
            {key: value for key, value in section.items() if key != "probability"},
            Augmentation(_alone(sections, name), SEED),
        )
        for name, section in sections.items()
    ]
    return [*kinds, Kind(TOGETHER, None, {}, Augmentation(params, SEED))]


def _augment_params(description: Description) -> AugmentParams:
    try:
        return AugmentParams.model_validate(description.training.get("augment"))
    except ValidationError as error:
        raise ArtifactError(
            f"{DESCRIPTION} does not tell how the training images of {description.name} were "
            f"augmented ({error.errors()[0]['msg']}); {RESTORE}"
        ) from None


def _alone(sections: Mapping[str, Mapping[str, Any]], name: str) -> AugmentParams:
    """One kind always, the others never."""
    return AugmentParams.model_validate(
        {
            other: {**section, "probability": float(other == name)}
            for other, section in sections.items()
        }
    )
