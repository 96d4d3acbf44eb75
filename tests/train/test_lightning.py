"""Module and data work with a stock Trainer, as Lightning's documentation has it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import (
    DeviceStatsMonitor,
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
)
from pytorch_lightning.loggers import CSVLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader, TensorDataset

from pipeline.common import paths
from pipeline.common.datasets import load_packed
from pipeline.common.params import Params
from pipeline.train import stage
from pipeline.train.classifier import Classifier
from pipeline.train.datamodule import ImageDataModule
from pipeline.train.logger import StableTensorBoardLogger
from tests.helpers.data import Pack

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*is smaller than the logging interval"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),
]


@pytest.fixture
def data(pack: Pack, params: Params) -> ImageDataModule:
    pack("train", 48)
    pack("test", 20, seed=5)
    return ImageDataModule(pack("validation", 24).parent, params.augment, params.train)


@pytest.fixture
def classifier(params: Params, data: ImageDataModule) -> Classifier:
    return Classifier(params.model, params.train, data.description)


def trainer(folder: Path, **settings: Any) -> pl.Trainer:
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False}
    defaults: dict[str, Any] = {"accelerator": "cpu", "max_epochs": 2, "logger": False}
    return pl.Trainer(default_root_dir=folder, **(quiet | defaults | settings))


def plain_loader(data: ImageDataModule, *, shuffle: bool = False) -> DataLoader[Any]:
    split = data.train
    images, labels = torch.from_numpy(split.images.copy()), torch.from_numpy(split.labels)
    return DataLoader(TensorDataset(images, labels), batch_size=16, shuffle=shuffle)


def test_validate_and_test_return_metrics(
    classifier: Classifier, data: ImageDataModule, tmp_path: Path
) -> None:
    with torch.inference_mode():
        logits = classifier.eval()(torch.from_numpy(data.validation.images.copy()))
    labels = torch.from_numpy(data.validation.labels)
    loss = float(torch.nn.functional.cross_entropy(logits, labels))
    accuracy = float((logits.argmax(1) == labels).double().mean())
    (found,) = trainer(tmp_path).validate(classifier, data, verbose=False)
    assert found == pytest.approx({"val_loss": loss, "val_accuracy": accuracy})
    (found,) = trainer(tmp_path).test(classifier, data, verbose=False)
    assert found.keys() == {"test_loss", "test_accuracy"}


def test_predict_gives_probabilities_of_the_test_images_with_and_without_labels(
    classifier: Classifier, data: ImageDataModule, tmp_path: Path
) -> None:
    batches: Any = trainer(tmp_path).predict(classifier, data)
    probabilities = torch.cat(batches)
    test = load_packed(tmp_path / "data" / "packed" / "test")
    images = torch.from_numpy(test.images.copy())
    with torch.inference_mode():
        expected = classifier.eval()(images).softmax(dim=1)
    torch.testing.assert_close(probabilities, expected)
    alone: Any = trainer(tmp_path).predict(classifier, DataLoader(images, batch_size=8))  # type: ignore[arg-type]
    torch.testing.assert_close(torch.cat(alone), expected)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle", "plateau"])
def test_plain_loaders_train(
    params: Params, data: ImageDataModule, tmp_path: Path, schedule: str
) -> None:
    train = params.train.model_copy(update={"schedule": schedule, "epochs": 2})
    classifier = Classifier(params.model, train, data.description)
    fitter = trainer(tmp_path)
    fitter.fit(classifier, plain_loader(data, shuffle=True), plain_loader(data))
    assert fitter.callback_metrics.keys() >= {"train_loss", "val_loss", "val_accuracy"}
    assert fitter.global_step == 6


def test_metrics_are_there_whenever_lightning_validates(
    classifier: Classifier, data: ImageDataModule, tmp_path: Path
) -> None:
    stopping = EarlyStopping("val_loss", patience=1, min_delta=9.0)
    fitter = trainer(tmp_path, val_check_interval=0.5, callbacks=[stopping], max_epochs=20)
    fitter.fit(classifier, data)
    assert stopping.wait_count == 1
    assert fitter.current_epoch < 20


def test_monitors_and_self_log_reach_tensorboard(
    classifier: Classifier, data: ImageDataModule, tmp_path: Path
) -> None:
    monitors = [LearningRateMonitor("step"), DeviceStatsMonitor(cpu_stats=True)]
    logger = StableTensorBoardLogger(tmp_path / "logs")
    fitter = trainer(tmp_path, logger=logger, callbacks=monitors, log_every_n_steps=1)
    fitter.fit(classifier, data)
    run = EventAccumulator(str(tmp_path / "logs")).Reload()
    rates = run.Scalars("lr-AdamW")
    assert [event.step for event in rates] == list(range(6))
    assert any("DeviceStatsMonitor" in tag for tag in run.Tags()["scalars"])
    curves = EventAccumulator(str(tmp_path / "logs" / "validation")).Reload()
    assert [event.step for event in curves.Scalars("accuracy_and_loss/loss")] == [0, 1]


def test_other_loggers_work_too(
    classifier: Classifier, data: ImageDataModule, tmp_path: Path
) -> None:
    logger = CSVLogger(tmp_path, name="csv", version="")
    trainer(tmp_path, logger=logger, log_every_n_steps=1).fit(classifier, data)
    table = pd.read_csv(tmp_path / "csv" / "metrics.csv")
    assert {"train_loss", "val_loss", "learning_rate"} <= set(table.columns)
    assert table["val_loss"].count() == 2


def test_a_checkpoint_needs_nothing_else(
    classifier: Classifier, data: ImageDataModule, tmp_path: Path
) -> None:
    best = ModelCheckpoint(tmp_path / "best", monitor="val_loss")
    trainer(tmp_path, callbacks=[best]).fit(classifier, data)
    loaded = Classifier.load_from_checkpoint(best.best_model_path, weights_only=True)
    assert loaded.hparams == classifier.hparams
    saved = torch.load(best.best_model_path, weights_only=True)["state_dict"]
    assert all(torch.equal(loaded.state_dict()[name], saved[name]) for name in saved)


@pytest.mark.usefixtures("data")
def test_stage_train_keeps_the_checkpoint_of_its_weights(elsewhere: Path, params: Params) -> None:
    stage.run(params)
    path = elsewhere / paths.NETWORK / stage.CHECKPOINT
    loaded = Classifier.load_from_checkpoint(path, weights_only=True)
    data = ImageDataModule(paths.PACKED, params.augment, params.train)
    (found,) = trainer(elsewhere).validate(loaded, data, verbose=False)
    metrics = pd.read_json(paths.TRAIN_METRICS, typ="series")
    assert found["val_loss"] == pytest.approx(metrics["val_loss"], abs=1e-5)
    (again,) = trainer(elsewhere).validate(
        Classifier(params.model, params.train, data.description),
        data,
        ckpt_path=path,
        verbose=False,
    )
    assert again == pytest.approx(found)
    assert elsewhere.as_posix().encode() not in path.read_bytes()
    history = pd.read_csv(paths.TRAIN_HISTORY)
    assert np.isclose(history["val_loss"].min(), metrics["val_loss"], atol=1e-6)
