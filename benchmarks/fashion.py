"""Write images of Fashion-MNIST as PNG files, a folder for each class, for `fetch.source`.

The images come from Debian's package: `apt install dataset-fashion-mnist`, then
`python -m benchmarks.fashion FOLDER` and
`dvc exp run -S fetch.source=FOLDER -S pack.size=28 compare`. Each class gives the same number of
images, spread evenly over the training file.
"""

import argparse
import gzip
from pathlib import Path

import numpy as np
from PIL import Image

SOURCE = Path("/usr/share/datasets/fashion-mnist")
CLASSES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle-boot",
)


def main() -> None:
    """Read the two files of the package and write the images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where to write; made")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--source", type=Path, default=SOURCE, help="folder of the package's files")
    asked = parser.parse_args()
    # IDX: a header of 16 bytes (images) or 8 (labels), then one byte for each value.
    with gzip.open(asked.source / "train-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(asked.source / "train-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    for label, name in enumerate(CLASSES):
        rows = np.flatnonzero(labels == label)
        chosen = rows[:: len(rows) * len(CLASSES) // asked.images]
        (asked.folder / name).mkdir(parents=True, exist_ok=True)
        for row in chosen:
            Image.fromarray(pixels[row]).save(asked.folder / name / f"{row:05}.png")


if __name__ == "__main__":
    main()
