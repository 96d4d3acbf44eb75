"""Reference models learn from training images alone, and always the same."""

from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from pipeline.common.datasets import PackedSplit
from pipeline.common.metrics import Predictions
from pipeline.evaluate import reference_models as module
from pipeline.evaluate.reference_models import sample

CLASSES = ["dark", "bright", "rare"]


def split(images: int, seed: int, size: int = 8) -> PackedSplit:
    """Photos whose class shows in their brightness."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 2, images)
    grey = 90 + 60 * labels[:, None, None, None]
    pixels = draw.normal(grey, 40, (images, size, size, 3)).clip(0, 255).astype(np.uint8)
    names = [f"{index}.png" for index in range(images)]
    return PackedSplit(pixels, labels, names, names, CLASSES[:2], size)


def models(
    train: PackedSplit, validation: PackedSplit, test: PackedSplit
) -> dict[str, Predictions]:
    return module.reference_models(train, validation, test, None)


def accuracy(reference: Predictions, test: PackedSplit) -> float:
    return float((reference.predicted == test.labels).mean())


TRAIN, VALIDATION, TEST = split(60, 1), split(40, 2), split(50, 3)


@pytest.fixture(scope="module")
def found() -> dict[str, Predictions]:
    return models(TRAIN, VALIDATION, TEST)


def test_what_pixels_give_away_is_found(found: dict[str, Predictions]) -> None:
    assert accuracy(found["logistic_regression"], TEST) > 0.95
    assert accuracy(found["nearest_neighbour"], TEST) > 0.8


def test_the_majority_class_is_the_trainings(found: dict[str, Predictions]) -> None:
    shares = np.bincount(TRAIN.labels) / len(TRAIN)
    reference = found["majority_class"]
    assert (reference.probabilities == shares).all()
    assert (reference.predicted == shares.argmax()).all()


def test_the_nearest_neighbour_of_a_photo_is_itself() -> None:
    found = models(TRAIN, VALIDATION, TRAIN)["nearest_neighbour"]
    assert accuracy(found, TRAIN) == 1
    assert (found.probabilities == np.eye(2)[TRAIN.labels]).all()


def test_labels_of_the_test_images_are_not_read(found: dict[str, Predictions]) -> None:
    flipped = replace(TEST, labels=1 - TEST.labels)
    assert alike(models(TRAIN, VALIDATION, flipped), found)


def alike(one: dict[str, Predictions], other: dict[str, Predictions]) -> bool:
    """Whether all predictions are the same to the bit."""
    return all(
        np.array_equal(getattr(one[name], part), getattr(other[name], part))
        for name in one
        for part in ("predicted", "probabilities")
    )


@pytest.mark.parametrize("threads", [1, 2])
def test_predictions_do_not_depend_on_threads(found: dict[str, Predictions], threads: int) -> None:
    with threadpool_limits(threads):
        assert alike(models(TRAIN, VALIDATION, TEST), found)


def test_validation_chooses_how_strongly_to_regularise() -> None:
    pixels = module._inputs(TRAIN, np.arange(len(TRAIN)))
    against = replace(VALIDATION, labels=1 - VALIDATION.labels)
    fitted = [module._fit_regression(pixels, TRAIN.labels, one) for one in (VALIDATION, against)]
    chosen = [pipeline[-1].C for pipeline in fitted]
    assert chosen == [module.STRENGTHS[-1], module.STRENGTHS[0]]


def test_a_class_without_training_images_is_never_predicted() -> None:
    train, validation, test = (split(40, seed) for seed in (1, 2, 3))
    wider = [replace(one, classes=CLASSES) for one in (train, validation, test)]
    reference = models(*wider)["logistic_regression"]
    assert reference.probabilities.shape == (40, 3)
    assert (reference.probabilities[:, 2] == 0).all()


def test_vectors_are_standardised() -> None:
    """One value tells the classes apart, and another of a huge scale is noise."""
    draw = np.random.default_rng(1)

    def with_vectors(packed: PackedSplit) -> PackedSplit:
        told, noise = packed.labels / 1e3, 1e3 * draw.normal(size=len(packed))
        vectors = np.stack([told, noise], axis=1, dtype=np.float32)[:, np.newaxis]
        return replace(packed, vectors=vectors)

    found = models(*(with_vectors(packed) for packed in (TRAIN, VALIDATION, TEST)))
    assert accuracy(found["logistic_regression"], TEST) == 1
    assert accuracy(found["nearest_neighbour"], TEST) > 0.9


def test_large_splits_are_sampled_at_random(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sample(TRAIN, stream=0).tolist() == list(range(60))
    monkeypatch.setattr(module, "IMAGES", 20)
    rows = sample(TRAIN, stream=0)
    assert len(set(rows)) == 20
    assert (np.diff(rows) > 0).all()
    assert rows.max() >= 20
    assert rows.tolist() != sample(TRAIN, stream=1).tolist()
    assert accuracy(models(TRAIN, VALIDATION, TEST)["logistic_regression"], TEST) > 0.8


def test_large_photos_are_shrunk_and_classified_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 7)
    seen: list[tuple[int, ...]] = []
    original = module._inputs

    def spy(packed: PackedSplit, rows: module.Rows) -> module.Inputs:
        pixels = original(packed, rows)
        seen.append(pixels.shape)
        return pixels

    monkeypatch.setattr(module, "_inputs", spy)
    train, validation, test = (split(20, seed, size=40) for seed in (1, 2, 3))
    assert accuracy(models(train, validation, test)["logistic_regression"], test) == 1
    assert {width for _, width in seen} == {32 * 32 * 3}
    assert max(rows for rows, _ in seen[1:]) == 7
