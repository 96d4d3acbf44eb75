"""The benchmark of speed: data, contestants, arithmetic; Keras is left to `make bench`."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed.__main__ import TRAINING, fastest, ratio, ratios
from benchmarks.speed.data import prepare
from pipeline.common.datasets import load_packed
from pipeline.common.images import decode, resize
from tests.helpers.imports import ROOT
from tests.helpers.processes import environment

TRAIN, VALIDATION = 70, 20  # more than a batch, so that there are two


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speed")
    prepare(folder, TRAIN, VALIDATION)
    return folder


def test_photos_and_packed_arrays_are_the_same_images(data: Path) -> None:
    for split, count in (("train", TRAIN), ("validation", VALIDATION)):
        packed = load_packed(data / "packed" / split)
        photos = sorted((data / "photos" / split).glob("*/*.jpg"))
        assert [photo.relative_to(data / "photos").as_posix() for photo in photos] == packed.names
        assert len(packed) == count
        folders = [packed.classes[label] for label in packed.labels]
        assert folders == [photo.parent.name for photo in photos]
        small = resize(decode(photos[0].read_bytes(), photos[0].name), 64)
        np.testing.assert_array_equal(small, packed.images[0])


@pytest.mark.parametrize(
    ("contestant", "parts"), [("floor", {"epoch"}), ("bluelight", {"epoch", "training"})]
)
def test_a_contestant_prints_the_seconds_of_each_epoch(
    data: Path, contestant: str, parts: set[str]
) -> None:
    module = f"benchmarks.speed.{contestant}"
    done = subprocess.run(
        ["python", "-m", module, str(data), "--epochs", "1", "--threads", "1"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = json.loads(done.stdout.splitlines()[-1])
    assert seconds.keys() == parts
    assert all(len(each) == 1 and 0 < each[0] < 60 for each in seconds.values())
    if "training" in seconds:
        assert seconds["training"][0] < seconds["epoch"][0]


def test_each_has_the_threads_that_suit_it_and_ratios_are_of_medians() -> None:
    seconds = {
        "floor, 1 thread": [2.0, 2.0, 9.0],
        "floor, 2 threads": [1.0, 1.0, 50.0],
        "bluelight, 1 thread": [3.0, 4.0, 4.0],
        "bluelight, 1 thread, training part": [1.5, 1.0, 3.0],
        "bluelight, 2 threads": [2.0, 2.0, 2.0],
        "bluelight, 2 threads, training part": [1.8, 1.8, 1.8],
        "not portable, 1 thread, training part": [1.0, 1.0, 1.0],
        "Keras": [6.0, 6.0, 6.0],
        "ImageFolder": [9.0, 9.0, 9.0],
    }
    assert fastest(seconds, "floor") == seconds["floor, 2 threads"]
    assert fastest(seconds, "bluelight") == seconds["bluelight, 2 threads"]
    assert fastest(seconds, "bluelight", TRAINING) == seconds["bluelight, 1 thread, training part"]
    found = ratios(seconds)
    assert found["training part / floor, 1 thread each"]["median"] == 0.75
    assert found["training part / floor, the better of each"]["median"] == 1.5
    assert found["epoch / floor, the better of each"]["median"] == 2.0
    assert found["Keras / training part"] == {"median": 4.0, "least": 2.0, "greatest": 6.0}
    assert ratio([1.0], [2.0])["median"] == 0.5
