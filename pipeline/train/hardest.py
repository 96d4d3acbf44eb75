"""The validation images that a network gets most wrong, as one picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from torch.nn.functional import cross_entropy

from pipeline.common.packed import PackedSplit
from pipeline.train.mlp import MLP, predict_logits

SHOWN = 12
COLUMNS = 4
TILE = 128  # pixels a side of an image
GAP = 8
LINE = 16  # pixels high
CELL = (TILE + GAP, TILE + 3 * LINE + GAP)

INK, GREY, RIGHT, WRONG, PAPER = "#1c2330", "#667080", "#1b7f3b", "#b3261e", "#ffffff"


@dataclass(frozen=True)
class Answer:
    """What the network says of one image.

    Attributes:
        index: The image's row in the split.
        loss: Cross-entropy in nats.
        predicted: The class that is most probable to the network.
        probability: Of the predicted class, in 0…1.
    """

    index: int
    loss: float
    predicted: int
    probability: float


def hardest(network: MLP, split: PackedSplit, count: int = SHOWN) -> list[Answer]:
    """The images of the highest loss, hardest first; of equals, the earlier in the split.

    Args:
        network: Left in the mode it is in; answers in evaluation mode.
        split: The images asked about.
        count: How many are returned; fewer where the split has fewer.
    """
    logits = predict_logits(network, split.images)
    losses = cross_entropy(logits, torch.from_numpy(split.labels), reduction="none")
    probabilities, predicted = logits.softmax(dim=1).max(dim=1)
    order = losses.argsort(descending=True, stable=True)[:count]
    return [
        Answer(i, float(losses[i]), int(predicted[i]), float(probabilities[i]))
        for i in order.tolist()
    ]


def gallery(split: PackedSplit, answers: Sequence[Answer]) -> npt.NDArray[np.uint8]:
    """Images enlarged, below each its name, its true class and what the network says.

    Args:
        split: The images, their names and labels.
        answers: What is shown, in order.

    Returns:
        uint8 RGB [height, width, 3].
    """
    rows = -(-len(answers) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * CELL[0] + GAP, rows * CELL[1] + GAP), PAPER)
    for place, answer in enumerate(answers):
        row, column = divmod(place, COLUMNS)
        _paste(sheet, (GAP + column * CELL[0], GAP + row * CELL[1]), split, answer)
    return np.asarray(sheet)


def _paste(sheet: Image.Image, at: tuple[int, int], split: PackedSplit, answer: Answer) -> None:
    left, top = at
    label = int(split.labels[answer.index])
    image = Image.fromarray(np.asarray(split.images[answer.index]))
    # Pixels stay pixels when enlarged: this is what the network sees.
    filter_ = Image.Resampling.NEAREST if split.size <= TILE else Image.Resampling.BOX
    sheet.paste(image.resize((TILE, TILE), filter_), at)
    said = f"said {split.classes[answer.predicted]} {answer.probability:.0%}"
    colour = RIGHT if answer.predicted == label else WRONG
    _write(sheet, (left, top + TILE), split.names[answer.index], GREY)
    _write(sheet, (left, top + TILE + LINE), f"is {split.classes[label]}", INK)
    _write(sheet, (left, top + TILE + 2 * LINE), said, colour)


def _write(sheet: Image.Image, at: tuple[int, int], text: str, ink: str) -> None:
    """Write a line, its beginning left out where it is too long: names differ at their ends."""
    font = ImageFont.load_default(13)
    shown = text
    while font.getlength(shown) > TILE:
        text = text[1:]
        shown = f"…{text}"
    ImageDraw.Draw(sheet).text(at, shown, ink, font)
