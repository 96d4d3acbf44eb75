"""The stage writes vectors that depend on nothing but the image, the view and the params."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnxruntime import InferenceSession

from pipeline.common.datasets import load_packed
from pipeline.common.params import Params
from pipeline.features import vectors
from pipeline.features.hog import SIZE, hog
from pipeline.features.stage import run
from pipeline.features.vectors import write_vectors
from pipeline.train.augmentation import Augmentation
from tests.helpers.data import Pack


def with_features(params: Params, **changes: Any) -> Params:
    return params.model_copy(update={"features": params.features.model_copy(update=changes)})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "hog.onnx"
    path.write_bytes(hog().SerializeToString())
    return path


def stored(folder: Path) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = np.load(folder / "vectors.npy")
    return found


def test_a_view_is_a_pure_function_of_seed_view_and_index(
    params: Params, pack: Pack, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = pack("train", 5, size=SIZE)
    for name, block, seed in (("once", 16, 1), ("blocks", 2, 1), ("other", 16, 2)):
        monkeypatch.setattr(vectors, "BLOCK", block)
        (tmp_path / name).mkdir()
        write_vectors(model, packed, tmp_path / name, params.augment, views=3, seed=seed)
    found = stored(tmp_path / "once")
    assert found.shape == (5, 4, 2052)
    np.testing.assert_array_equal(found, stored(tmp_path / "blocks"))
    other = stored(tmp_path / "other")
    np.testing.assert_array_equal(found[:, 0], other[:, 0])
    assert not np.array_equal(found[:, 1:], other[:, 1:])
    session = InferenceSession(model, providers=["CPUExecutionProvider"])
    image = Augmentation(params.augment, 1)(load_packed(packed).images[3], 2, 3)
    expected = session.run(None, {"images": image[np.newaxis]})[0][0]
    np.testing.assert_allclose(found[3, 2], expected, atol=1e-6)


def test_hog_has_vectors_of_each_split_and_views_of_those_that_train(
    params: Params, pack: Pack, elsewhere: Path
) -> None:
    for name, images in (("train", 6), ("validation", 4), ("test", 4)):
        pack(name, images, size=SIZE)
    chosen = with_features(params, kind="hog", views=2)
    run(chosen)
    features = elsewhere / "data" / "features"
    shapes = {name: stored(features / name).shape for name in ("train", "validation", "test")}
    assert shapes == {"train": (6, 3, 2052), "validation": (4, 3, 2052), "test": (4, 1, 2052)}
    description = json.loads((features / "model" / "features.json").read_text())
    views = {"views": 2, "seed": 1, "augment": chosen.augment.model_dump()}
    assert description == {"kind": "hog", "values": 2052, **views}
    split = load_packed(elsewhere / "data/packed/train", features / "train")
    assert split.vectors is not None
    assert split.vectors.shape == (6, 3, 2052)


def test_pixels_need_no_vectors(params: Params, pack: Pack, elsewhere: Path) -> None:
    for name in ("train", "validation", "test"):
        pack(name, 4)
    run(params)
    features = elsewhere / "data" / "features"
    assert {path.name for path in features.rglob("*") if path.is_file()} == {"features.json"}
    assert load_packed(elsewhere / "data/packed/train", features / "train").vectors is None


def test_the_stage_leaves_what_was_there_if_it_fails(
    params: Params, pack: Pack, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("train", "validation", "test"):
        pack(name, 4, size=SIZE)
    run(params)
    monkeypatch.setattr("pipeline.features.stage.write_vectors", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(with_features(params, kind="hog"))
    features = elsewhere / "data" / "features"
    assert {path.name for path in features.rglob("*") if path.is_file()} == {"features.json"}
