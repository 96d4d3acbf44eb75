"""The usual Keras script: ImageDataGenerator from a folder per class, as many tutorials have it.

Runs in an environment of its own (`keras.txt`), which has TensorFlow and nothing of this project.
"""

import os
import time
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import cv2
import numpy as np
import tensorflow as tf

from benchmarks.speed.contestant import (
    BATCH, DROPOUT, HIDDEN, LEARNING_RATE, SIZE, arguments, report,
)

layers = tf.keras.layers


def blur_and_noise(image):
    """float32 [H, W, 3] in 0…255; as often and as strong as params.yaml has them."""
    if np.random.random() < 0.2:
        image = cv2.GaussianBlur(image, (3, 3), 0)
    if np.random.random() < 0.3:
        image = image + np.random.normal(0, 0.03 * 255 * np.random.random(), image.shape)
    return image


class Stopwatch(tf.keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self._start)


def perceptron():
    network = tf.keras.Sequential([layers.Input((SIZE, SIZE, 3)), layers.Flatten()])
    for units in HIDDEN:
        network.add(layers.Dense(units, use_bias=False))
        network.add(layers.BatchNormalization())
        network.add(layers.ReLU())
        network.add(layers.Dropout(DROPOUT))
    network.add(layers.Dense(2))
    network.compile(
        optimizer=tf.keras.optimizers.Adam(LEARNING_RATE),
        loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return network


def main():
    given = arguments()
    augmenter = tf.keras.preprocessing.image.ImageDataGenerator(
        rescale=1 / 255,
        rotation_range=15,
        width_shift_range=0.1,
        height_shift_range=0.1,
        horizontal_flip=True,
        vertical_flip=True,
        preprocessing_function=blur_and_noise,
    )
    photos = augmenter.flow_from_directory(
        Path(given.data) / "photos" / "train",
        target_size=(SIZE, SIZE),
        batch_size=BATCH,
        class_mode="sparse",
    )
    photos.workers = int(os.environ.get("KW", "1"))
    photos.use_multiprocessing = bool(os.environ.get("KM"))
    if os.environ.get("XLA"): pass
    stopwatch = Stopwatch()
    perceptron().fit(photos, epochs=given.epochs, callbacks=[stopwatch], verbose=0)
    report(epoch=stopwatch.seconds)


if __name__ == "__main__":
    main()
