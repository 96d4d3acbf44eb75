"""`from pipeline import load`: pictures in any form to labels and probabilities."""

import io
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline import load
from pipeline.common.datasets import SPLIT_COLUMNS, load_packed
from pipeline.common.errors import ArtifactError, ImageError
from pipeline.pack.stage import pack
from pipeline.predict import classifier
from pipeline.predict.classifier import ImageClassifier
from tests.helpers.artifacts import CLASSES, network, write
from tests.helpers.pictures import encode, picture
from tests.helpers.pictures import write as write_file

PICTURES = [picture(seed, 8 + 9 * seed) for seed in range(5)]  # from the smallest on


@pytest.fixture
def model(tmp_path: Path) -> ImageClassifier:
    return load(str(write(tmp_path / "model")))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [
        write_file(tmp_path / "photos" / f"{index}.png", encode(pixels))
        for index, pixels in enumerate(PICTURES)
    ]


def test_paths_arrays_and_pil_images_are_classified_alike(
    model: ImageClassifier, files: list[Path]
) -> None:
    expected = model.predict(files)
    assert len({prediction.probabilities["emergency"] for prediction in expected}) == 5
    assert model.predict(map(str, files)) == expected
    assert model.predict(PICTURES) == expected
    assert model.predict([Image.fromarray(pixels) for pixels in PICTURES]) == expected
    assert model.predict([Image.open(path) for path in files]) == expected


def test_photos_are_prepared_as_for_training(
    model: ImageClassifier, files: list[Path], tmp_path: Path
) -> None:
    names = [path.name for path in files]
    table = [(name, "other", "test", str(index), "") for index, name in enumerate(names)]
    rows = pd.DataFrame(table, columns=SPLIT_COLUMNS)
    pack(8, files[0].parent, rows, CLASSES, tmp_path / "packed")
    packed = model.probabilities(load_packed(tmp_path / "packed/test").images)
    found = [list(prediction.probabilities.values()) for prediction in model.predict(files)]
    np.testing.assert_array_equal(found, packed)


def test_the_label_is_by_the_models_threshold(model: ImageClassifier) -> None:
    for prediction in model.predict(PICTURES):
        share = prediction.probabilities["emergency"]
        assert prediction.label == ("emergency" if share >= 0.4 else "other")
        assert sum(prediction.probabilities.values()) == pytest.approx(1)


def test_many_are_classified_in_order(model: ImageClassifier) -> None:
    one = model.predict(PICTURES)
    many = model.predict(PICTURES * 40)
    assert [p.label for p in many] == [p.label for p in one] * 40
    assert many[-1].probabilities == pytest.approx(one[-1].probabilities, abs=1e-6)


def test_one_path_and_no_images(model: ImageClassifier, files: list[Path]) -> None:
    assert model.predict(str(files[0])) == model.predict([files[0]])
    assert model.predict([]) == []


def test_a_photo_taken_sideways_is_turned(model: ImageClassifier) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    buffer = io.BytesIO()
    Image.fromarray(PICTURES[0]).save(buffer, "PNG", exif=exif)
    turned = Image.open(buffer)
    assert model.predict([turned]) == model.predict([np.rot90(PICTURES[0], -1)])
    assert turned.getexif()[0x0112] == 6, "the caller's image was changed"


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((9, 9)), r"image 1 is float64 \[9, 9\]; give uint8 RGB"),
        (np.zeros((9, 9, 4), dtype=np.uint8), r"image 1 is uint8 \[9, 9, 4\]; give uint8 RGB"),
        (np.zeros((9, 7, 3), dtype=np.uint8), "at least 8 pixels a side"),
        (Image.new("F", (9, 9)), "image 1 has floating-point pixels"),
        ("nowhere.jpg", r"nowhere\.jpg cannot be read \(No such file or directory\)"),
        ("a\0b", "cannot be read"),
    ],
)
def test_a_bad_image_is_named(model: ImageClassifier, image: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        model.predict([PICTURES[0], image])  # type: ignore[list-item]


def test_the_callers_warnings_are_left_as_they_were(model: ImageClassifier) -> None:
    before = list(warnings.filters)
    model.predict(PICTURES * 20)
    assert list(warnings.filters) == before


def test_only_a_few_blocks_are_taken_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "available_cores", lambda: 2)
    taken: list[int] = []
    items = (taken.append(index) or index for index in range(10_000))  # type: ignore[func-returns-value]
    results = classifier.blockwise(len, items)
    assert next(results) == classifier.BLOCK
    assert len(taken) <= 6 * classifier.BLOCK
    assert sum(results) == 10_000 - classifier.BLOCK


def test_the_package_has_no_other_names() -> None:
    with pytest.raises(ImportError, match="cannot import name 'lod'"):
        from pipeline import lod  # noqa: F401, PLC0415


def test_weights_that_are_not_numbers_are_an_error(tmp_path: Path) -> None:
    damaged = network()
    next(damaged.parameters()).data.fill_(float("nan"))
    with pytest.raises(ArtifactError, match="not finite"):
        load(write(tmp_path / "model", damaged)).predict([np.zeros((9, 9, 3), np.uint8)])
