"""What augmentation does, as a picture: the original on the left, augmented copies on the right."""

from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torchvision.utils import make_grid

from pipeline.common.randomness import Purpose, generator
from pipeline.train.datamodule import ImageDataModule

SEPARATOR = 2  # pixels of white between two images


def augmentation_preview(
    data: ImageDataModule, seed: int, rows: int = 6, columns: int = 7
) -> npt.NDArray[np.uint8]:
    """Images exactly as the training loader feeds them in the first epochs.

    Args:
        data: The training split and its augmentation.
        seed: Chooses the images shown.
        rows: Images shown; fewer where the split has fewer.
        columns: Augmented copies of each, from epochs 0, 1, ….

    Returns:
        uint8 RGB [height, width, 3].
    """
    count = len(data.train.labels)
    chosen = generator(seed, Purpose.PREVIEW).choice(count, min(rows, count), replace=False)
    cells = [
        cell
        for index in sorted(map(int, chosen))
        for cell in (
            data.train.images[index],
            *(
                data.augmentation(data.train.images[index], epoch, index)
                for epoch in range(columns)
            ),
        )
    ]
    stacked = torch.from_numpy(np.stack(cells)).permute(0, 3, 1, 2)
    grid = make_grid(stacked, nrow=columns + 1, padding=SEPARATOR, pad_value=255)
    return cast("npt.NDArray[np.uint8]", grid.permute(1, 2, 0).numpy())
