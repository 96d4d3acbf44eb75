"""The usual Keras script of many tutorials: ImageDataGenerator on a folder per class.

Runs in a separate environment (`keras.txt`), which has TensorFlow and nothing of this project.
"""

import os
import time
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import cv2
import numpy as np
import numpy.typing as npt
from tensorflow import keras

from benchmarks.speed.contestant import (
    BATCH,
    DROPOUT,
    HIDDEN,
    LEARNING_RATE,
    SIZE,
    arguments,
    report,
)

draw = np.random.default_rng()


def blur_and_noise(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """float32 [H, W, 3] in 0…255; as often and as strong as params.yaml has them."""
    if draw.random() < 0.2:
        image = np.asarray(cv2.GaussianBlur(image, (3, 3), 0), np.float32)
    if draw.random() < 0.3:
        std = np.float32(draw.uniform(0, 0.03 * 255))
        image = image + std * draw.standard_normal(image.shape, np.float32)
    return image


class Stopwatch(keras.callbacks.Callback):
    """Seconds of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002
        """The epoch starts."""
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002
        """The epoch is over."""
        self.seconds.append(time.perf_counter() - self._start)


def perceptron() -> Any:  # noqa: ANN401 - TensorFlow has no types here
    """The network of the other contestants, with Adam."""
    network = keras.Sequential([keras.Input((SIZE, SIZE, 3)), keras.layers.Flatten()])
    for units in HIDDEN:
        network.add(keras.layers.Dense(units, use_bias=False))
        network.add(keras.layers.BatchNormalization())
        network.add(keras.layers.ReLU())
        network.add(keras.layers.Dropout(DROPOUT))
    network.add(keras.layers.Dense(2))
    network.compile(
        optimizer=keras.optimizers.Adam(LEARNING_RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return network


def batches(photos: Path) -> Any:  # noqa: ANN401 - TensorFlow has no types here
    """Batches from a folder per class."""
    augmenter = keras.preprocessing.image.ImageDataGenerator(
        rescale=1 / 255,
        rotation_range=15,
        width_shift_range=0.1,
        height_shift_range=0.1,
        horizontal_flip=True,
        vertical_flip=True,
        preprocessing_function=blur_and_noise,
    )
    found = augmenter.flow_from_directory(
        photos, target_size=(SIZE, SIZE), batch_size=BATCH, class_mode="sparse"
    )
    # By default batches are made in the main thread; two threads are faster, and do Keras justice.
    found.workers = 2
    return found


def main() -> None:
    """Train and report."""
    given = arguments()
    stopwatch = Stopwatch()
    photos = batches(Path(given.data) / "photos" / "train")
    perceptron().fit(photos, epochs=given.epochs, callbacks=[stopwatch], verbose=0)
    report(epoch=stopwatch.seconds)


if __name__ == "__main__":
    main()
