"""The MLP learns from vectors as from pixels, and one ONNX file goes from image to logits."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.common import paths
from pipeline.common.artifact import LOGITS, parse_weights, read_network
from pipeline.common.datasets import load_packed
from pipeline.common.params import Params
from pipeline.features import vectors
from pipeline.features.hog import SIZE
from pipeline.features.stage import run as compute
from pipeline.package.onnx_graph import build_onnx
from pipeline.predict.classifier import open_session, outputs_of
from pipeline.train.datamodule import ImageDataModule, vector_statistics
from pipeline.train.mlp import MLP, predict_logits
from pipeline.train.stage import run as train
from tests.features.test_features import with_features
from tests.helpers.data import CLASSES, Pack


@pytest.fixture
def hog(params: Params, pack: Pack, elsewhere: Path) -> Params:
    """A project whose images have their vectors."""
    del elsewhere
    for name, images in (("train", 24), ("validation", 16), ("test", 8)):
        pack(name, images, size=SIZE)
    chosen = with_features(params, kind="hog", views=2)
    vectors._session.cache_clear()  # it is by path, and a process has one model in use
    compute(chosen)
    return chosen


def batches(params: Params, epoch: int) -> list[torch.Tensor]:
    data = ImageDataModule(paths.PACKED, params.augment, params.train, paths.FEATURES)
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    return [inputs for inputs, _ in loader]


def test_an_epoch_draws_a_view_of_each_image(hog: Params) -> None:
    stored = load_packed(paths.PACKED / "train", paths.FEATURES / "train").vectors
    assert stored is not None
    views = set()
    for epoch in (0, 1):
        drawn = torch.cat(batches(hog, epoch)).numpy()
        assert drawn.dtype == np.float32
        where = [np.argwhere((stored == row).all(axis=2)) for row in drawn]
        assert sorted(int(found[0][0]) for found in where) == list(range(24))
        views |= {int(found[0][1]) for found in where}
    assert views == {0, 1, 2}


def test_views_depend_on_seed_and_epoch_alone(hog: Params) -> None:
    again = [torch.equal(a, b) for a, b in zip(batches(hog, 3), batches(hog, 3), strict=True)]
    assert all(again)
    first, second = (torch.cat(batches(hog, epoch)).sort(dim=0).values for epoch in (0, 1))
    assert not torch.equal(first, second)


def test_without_augmentation_there_is_one_view(hog: Params) -> None:
    off = {name: section.model_copy(update={"probability": 0.0}) for name, section in hog.augment}
    plain = hog.model_copy(update={"augment": hog.augment.model_copy(update=off)})
    first, second = (torch.cat(batches(plain, epoch)).sort(dim=0).values for epoch in (0, 1))
    assert torch.equal(first, second)


def test_validation_sees_the_images_unaugmented(hog: Params) -> None:
    data = ImageDataModule(paths.PACKED, hog.augment, hog.train, paths.FEATURES)
    stored = load_packed(paths.PACKED / "validation", paths.FEATURES / "validation")
    found = torch.cat([inputs for inputs, _ in data.val_dataloader()])
    np.testing.assert_array_equal(found.numpy(), stored.inputs)


def test_statistics_are_those_of_all_training_vectors() -> None:
    vectors = np.random.default_rng(1).normal(3, 2, (300, 2, 4)).astype(np.float32)
    vectors[..., 2] = 7
    mean, std = vector_statistics(vectors)
    np.testing.assert_allclose(mean, vectors.reshape(-1, 4).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(std[:2], vectors.reshape(-1, 4).std(axis=0)[:2], rtol=1e-5)
    assert std[2] == 1


def test_one_onnx_file_goes_from_images_to_the_logits_of_the_network(hog: Params) -> None:
    train(hog)
    description, content = read_network(paths.NETWORK)
    weights = parse_weights(content)
    assert description.size == SIZE
    pixels = load_packed(paths.PACKED / "train").images
    np.testing.assert_allclose(description.mean, pixels.mean(axis=(0, 1, 2)) / 255, rtol=1e-5)
    assert description.features == {"kind": "hog", "values": 2052, "views": 2, "seed": 1}
    network = MLP(
        size=None,
        classes=2,
        mean=weights["mean"].tolist(),
        std=weights["std"].tolist(),
        **description.architecture,
    )
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    test = load_packed(paths.PACKED / "test", paths.FEATURES / "test")
    expected = predict_logits(network, test.inputs).numpy()
    onnx = build_onnx(weights, description, paths.FEATURES_ONNX.read_bytes())
    found = outputs_of(open_session(onnx), test.images, LOGITS)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert onnx == build_onnx(weights, description, paths.FEATURES_ONNX.read_bytes())
    assert str(Path.cwd()).encode() not in onnx
    assert test.classes == CLASSES


def test_a_network_does_not_go_with_other_features(hog: Params) -> None:
    train(hog)
    description, content = read_network(paths.NETWORK)
    with pytest.raises(Exception, match=r"the weights do not fit their model\.json"):
        build_onnx(
            parse_weights(content), description.model_copy(update={"features": {"kind": "pixels"}})
        )
