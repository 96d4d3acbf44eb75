"""What is made of a model goes with every kind of features: resume, package, prediction, demo."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
from onnx import TensorProto

from pipeline import load
from pipeline.common import paths
from pipeline.common.datasets import load_packed
from pipeline.common.files import digest
from pipeline.common.params import Params
from pipeline.demo.replies import Augmentations, occlusion, prediction
from pipeline.features import vectors
from pipeline.features.stage import run as compute
from pipeline.package.stage import run as package
from pipeline.train.callbacks import Progress
from pipeline.train.stage import run as train
from tests.features.test_backbone import small
from tests.features.test_features import with_features
from tests.helpers.data import Pack
from tests.helpers.pictures import encode

SIDES = {"hog": 96, "backbone": 32}
OUTPUTS = (paths.NETWORK, paths.TRAIN_REPORT, paths.TRAIN_LOGS)


@pytest.fixture(params=SIDES)
def project(request: pytest.FixtureRequest, params: Params, pack: Pack, elsewhere: Path) -> Params:
    """A project whose network sees vectors, of HOG or of a backbone from a file."""
    side = SIDES[request.param]
    for name, images in (("train", 24), ("validation", 16), ("test", 8)):
        pack(name, images, size=side)
    content = small(TensorProto.UINT8, ["N", side, side, 3])
    (elsewhere / "own.onnx").write_bytes(content)
    chosen = with_features(
        params,
        kind=request.param,
        backbone="onnx:own.onnx",
        sha256=hashlib.sha256(content).hexdigest(),
        views=2,
    )
    vectors._session.cache_clear()  # it is by path, and a process has one model in use
    compute(chosen)
    return chosen


def written() -> dict[str, str]:
    files = [path for folder in OUTPUTS for path in folder.rglob("*") if path.is_file()]
    return {path.as_posix(): digest(path) for path in files}


def test_an_interrupted_run_continues_to_the_same_bytes(
    project: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(project)
    whole = written()
    for folder in OUTPUTS:
        shutil.rmtree(folder)

    def fail(_: Progress, trainer: pl.Trainer, *__: object) -> None:
        if trainer.current_epoch == 2:
            raise ValueError("the machine went down")

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "on_train_batch_start", fail, raising=False)
        with pytest.raises(ValueError, match="went down"):
            train(project)
    capsys.readouterr()
    train(project)
    assert "train: continuing after" in capsys.readouterr().out
    assert written() == whole


def test_the_demo_shows_what_the_model_predicts(project: Params) -> None:
    train(project)
    package(project)
    model = load(paths.MODEL)
    image = load_packed(paths.PACKED / "test").images[0]
    photo = encode(np.asarray(image))
    (expected,) = model.predict([np.asarray(image)])
    found: dict[str, Any] = prediction(model, photo)
    assert found["label"] == expected.label
    assert {one["name"]: one["probability"] for one in found["classes"]} == expected.probabilities
    assert list(occlusion(model, photo))[-1]["done"] == 1
    drawn = Augmentations(model.description).draw(photo, 0)
    assert all(kind["images"] for kind in drawn["kinds"])
    assert model.description.features["kind"] == project.features.kind
