"""What TensorBoard shows: true values, without a trace in the training."""

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata
from torch import nn
from torch.nn.functional import cross_entropy

import pipeline.train.fit as fitting
from pipeline.common.drawing import image_grid
from pipeline.common.params import Params
from pipeline.train.augmentation import augmentation_preview
from pipeline.train.callbacks import (
    Activations,
    draw_top_losses,
    top_losses,
)
from pipeline.train.classifier import Classifier
from pipeline.train.datamodule import ImageDataModule
from pipeline.train.fit import Fit, fit
from pipeline.train.logger import CURVES
from pipeline.train.mlp import MLP
from tests.helpers.data import Pack

Train = Callable[..., Fit]


@pytest.fixture
def params(params: Params) -> Params:
    """The last epoch's weights are kept, so that what was logged of it can be measured again."""
    off = {"enabled": False}
    return params.model_copy(
        update={
            "early_stopping": params.early_stopping.model_copy(update=off),
            "checkpoint": params.checkpoint.model_copy(update=off),
        }
    )


@pytest.fixture
def data(pack: Pack, params: Params) -> ImageDataModule:
    pack("train", 40)
    return ImageDataModule(pack("validation", 24).parent, params.augment, params.train)


@pytest.fixture
def train(data: ImageDataModule, params: Params, tmp_path: Path) -> Train:
    def run(logs: Path, *, model: dict[str, Any] | None = None, **changes: Any) -> Fit:
        chosen = params.model_copy(
            update={
                "model": params.model.model_copy(update=model or {}),
                "train": params.train.model_copy(update=changes),
            }
        )
        return fit(chosen, data, logs=logs, state=tmp_path / "state" / logs.name)

    return run


RUNS = ["", "after_batch_norm", "after_linear", "training", "validation"]


def read(run: Path) -> EventAccumulator:
    everything = {"images": 0, "histograms": 0}  # by default it keeps a sample
    return EventAccumulator(str(run), everything).Reload()


def values(run: Path, tag: str) -> list[float]:
    return [event.value for event in read(run).Scalars(tag)]


def steps(events: list[Any]) -> list[int]:
    return [event.step for event in events]


def pixels(event: Any) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))


def contents(logs: Path) -> dict[str, bytes]:
    """The event file of each run, by the run's name; the folder's own has none."""
    files = sorted(logs.rglob("events.*"))
    return {file.relative_to(logs).parent.name: file.read_bytes() for file in files}


def tiny(size: int = 2, *, batch_norm: bool = True) -> MLP:
    torch.manual_seed(0)
    return MLP(
        size=size,
        classes=2,
        mean=[0.5] * 3,
        std=[0.25] * 3,
        hidden=[4, 3],
        activation="relu",
        batch_norm=batch_norm,
        dropout=0.5,
    )


def test_loss_and_accuracy_are_one_tag_in_two_runs(train: Train, tmp_path: Path) -> None:
    history = train(tmp_path / "logs").history
    for tag in ("loss", "accuracy"):
        for run, prefix in (("training", "train"), ("validation", "val")):
            expected = history[f"{prefix}_{tag}"].tolist()
            assert values(tmp_path / "logs" / run, f"{CURVES}/{tag}") == pytest.approx(expected)
    rates = history["learning_rate"].tolist()
    assert values(tmp_path / "logs" / "training", "learning_rate") == pytest.approx(rates)


def test_the_training_is_the_same_to_the_bit_without(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = train(tmp_path / "a")
    monkeypatch.setattr(fitting, "TrainingPictures", lambda *_: pl.Callback())
    monkeypatch.setattr(fitting, "Activations", pl.Callback)
    alone = train(tmp_path / "b")
    assert not read(tmp_path / "b" / "training").Tags()["images"]
    pd.testing.assert_frame_equal(watched.history, alone.history)
    trained, expected = (
        watched.classifier.network.state_dict(),
        alone.classifier.network.state_dict(),
    )
    assert all(torch.equal(trained[name], expected[name]) for name in expected)


def test_two_runs_leave_the_same_bytes(train: Train, tmp_path: Path) -> None:
    train(tmp_path / "a")
    torch.manual_seed(5)
    train(tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert sorted(contents(tmp_path / "a")) == RUNS


def test_snapshots_are_spread_over_a_long_run(train: Train, tmp_path: Path) -> None:
    train(tmp_path / "logs", epochs=21)
    training, validation = (
        read(tmp_path / "logs" / "training"),
        read(tmp_path / "logs" / "validation"),
    )
    spread = [0, 3, 6, 9, 12, 15, 18]
    for tag in ("weights/layer_1", "gradients/layer_2", "weights/output"):
        assert steps(training.Histograms(tag)) == spread
    assert steps(training.Images("images/augmented_batch")) == spread
    assert steps(validation.Images("images/top_losses")) == spread
    assert steps(training.Images("images/augmentation")) == [0]
    assert steps(training.Scalars(f"{CURVES}/loss")) == list(range(21))


def test_activations_are_those_of_the_validation_images(
    train: Train, data: ImageDataModule, tmp_path: Path
) -> None:
    network = train(tmp_path / "logs").classifier.network
    images = torch.from_numpy(data.validation.images.copy())
    with torch.inference_mode():
        flat = ((images / 255 - network.mean) / network.std).flatten(start_dim=1)
        linear = network.hidden[0][0](flat)  # type: ignore[index]
        normalised = network.hidden[0][1](linear)  # type: ignore[index]
    for run, expected in (("after_linear", linear), ("after_batch_norm", normalised)):
        mean = values(tmp_path / "logs" / run, "activations/layer_1_mean")
        std = values(tmp_path / "logs" / run, "activations/layer_1_std")
        assert len(mean) == len(std) == 3
        assert mean[-1] == pytest.approx(float(expected.mean()), abs=1e-5)
        assert std[-1] == pytest.approx(float(expected.std(correction=0)), abs=1e-5)


def test_a_unit_that_never_fires_is_dead() -> None:
    network = tiny(batch_norm=False).eval()
    first = next(network.hidden[0].children())
    assert isinstance(first, nn.Linear)
    with torch.no_grad():
        first.weight[1], first.bias[1] = 0, -1
        first.weight[0], first.bias[0] = 0.5, 0  # fires for some images
        first.weight[2:], first.bias[2:] = -0.5, 0
    # A unit that fires in one batch only is alive.
    rows = measured(network, torch.zeros(3, 2, 2, 3), torch.full((3, 2, 2, 3), 255.0))
    assert rows["layer_1", "activation"]["constant_units"] == 0.25
    assert ("layer_1", "batch_norm") not in rows


def measured(network: MLP, *batches: torch.Tensor) -> dict[tuple[str, str], dict[str, Any]]:
    """What `Activations` records of a validation pass over these images."""
    activations = Activations()
    trainer: Any = SimpleNamespace(current_epoch=0)
    module: Any = SimpleNamespace(network=network)
    activations.on_validation_epoch_start(trainer, module)
    for batch in batches:
        network(batch.byte())
    activations.on_validation_epoch_end(trainer, module)
    network(batches[0].byte())  # is seen no more
    return {(row["layer"], row["stage"]): row for row in activations.rows}


def test_batches_of_a_pass_are_measured_as_one_and_nothing_after_it() -> None:
    network = tiny().eval()
    draw = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (7, 2, 2, 3), generator=draw).float()
    parts = measured(network, images[:4], images[4:])
    whole = measured(network, images)
    assert parts.keys() == whole.keys()
    for place, row in whole.items():
        assert parts[place] == pytest.approx(row)


def test_without_batch_norm_there_is_no_run_for_it(train: Train, tmp_path: Path) -> None:
    train(tmp_path / "logs", model={"batch_norm": False})
    assert sorted(contents(tmp_path / "logs")) == ["", "after_linear", "training", "validation"]


def test_weights_are_those_at_the_end_of_the_epoch(train: Train, tmp_path: Path) -> None:
    weight = train(tmp_path / "logs").classifier.network.output.weight.detach()
    last = read(tmp_path / "logs" / "training").Histograms("weights/output")[-1].histogram_value
    assert last.num == weight.numel()
    assert (last.min, last.max) == pytest.approx((float(weight.min()), float(weight.max())))


def test_gradients_are_those_of_the_first_batch(
    train: Train, data: ImageDataModule, params: Params, tmp_path: Path
) -> None:
    # Without dropout the first gradient of all can be computed without the Trainer.
    plain = params.model.model_copy(update={"dropout": 0.0})
    network = Classifier(plain, params.train, data.description).network.train()
    images, labels = next(iter(data.train_dataloader()))
    loss = cross_entropy(network(images), labels)
    (gradient,) = torch.autograd.grad(loss, [network.output.weight])
    train(tmp_path / "logs", model={"dropout": 0.0})
    first = read(tmp_path / "logs" / "training").Histograms("gradients/output")[0].histogram_value
    assert (first.min, first.max) == pytest.approx(
        (float(gradient.min()), float(gradient.max())), rel=1e-4
    )
    assert first.max > 0


def test_the_augmented_batch_is_what_the_loader_feeds(
    train: Train, data: ImageDataModule, tmp_path: Path
) -> None:
    train(tmp_path / "logs")
    loader = data.train_dataloader()
    loader.sampler.set_epoch(1)  # type: ignore[attr-defined]
    expected = next(iter(loader))[0]
    shown = pixels(read(tmp_path / "logs" / "training").Images("images/augmented_batch")[1])
    assert np.array_equal(shown, image_grid(list(expected[:32].numpy()), 8, gap=2))
    for place in (0, 9):
        row, column = divmod(place, 8)
        top, left = 2 + row * (8 + 2), 2 + column * (8 + 2)
        cell = shown[top : top + 8, left : left + 8]
        assert np.array_equal(cell, expected[place].numpy())


def test_the_augmentation_is_shown_once_as_in_the_report(
    train: Train, data: ImageDataModule, params: Params, tmp_path: Path
) -> None:
    train(tmp_path / "logs")
    (event,) = read(tmp_path / "logs" / "training").Images("images/augmentation")
    seed = params.train.seed
    expected = augmentation_preview(data.train.images, data.augmentation, seed)
    assert np.array_equal(pixels(event), expected)


def test_top_losses_are_the_images_with_the_highest_loss(data: ImageDataModule) -> None:
    network = tiny(size=8).train()
    found = top_losses(network, data.validation, 5)
    assert network.training, "the mode is left as it was"
    with torch.inference_mode():
        logits = network.eval()(torch.from_numpy(data.validation.images.copy()))
    labels = torch.from_numpy(data.validation.labels)
    losses = cross_entropy(logits, labels, reduction="none").numpy()
    assert found["row"].tolist() == np.argsort(-losses)[:5].tolist()
    first, split = found.iloc[0], data.validation
    assert first["loss"] == pytest.approx(losses.max())
    assert first["image"] == split.names[first["row"]]
    assert first["true"] == split.classes[split.labels[first["row"]]]
    assert first["predicted"] == split.classes[int(logits[first["row"]].argmax())]
    assert first["probability"] == pytest.approx(float(logits[first["row"]].softmax(0).max()))


def test_top_losses_are_drawn_enlarged_with_captions(data: ImageDataModule) -> None:
    found = top_losses(tiny(size=8), data.validation, 5)
    sheet = draw_top_losses(data.validation, found)
    image = data.validation.images[found["row"][4]]  # the first of the second row
    top = 8 + (160 + 48 + 8)
    assert np.array_equal(sheet[top : top + 160, 8:168], image.repeat(20, 0).repeat(20, 1))
    assert (sheet[top + 160 : top + 208, 8:168] < 128).any(), "there is no caption"


def test_the_last_top_losses_are_of_the_weights_at_the_end(
    train: Train, data: ImageDataModule, tmp_path: Path
) -> None:
    network = train(tmp_path / "logs").classifier.network
    shown = pixels(read(tmp_path / "logs" / "validation").Images("images/top_losses")[-1])
    split = data.validation
    assert np.array_equal(shown, draw_top_losses(split, top_losses(network, split)))


def test_the_graph_has_every_module_once_in_order(train: Train, tmp_path: Path) -> None:
    train(tmp_path / "logs")
    graph = read(tmp_path / "logs" / "training").Graph()
    names = [node.name for node in graph.node]
    assert len(set(names)) == len(names)
    parts = ["Linear", "BatchNorm1d", "ReLU", "Dropout"]
    modules = [name for name in names if not name.startswith("normalise")]
    assert modules == [
        "inputs",
        *(f"layer_1/{part}" for part in parts),
        *(f"layer_2/{part}" for part in parts),
        "output",
        "logits",
    ]
    nodes = {node.name: node for node in graph.node}
    assert list(nodes["layer_1/BatchNorm1d"].input) == ["layer_1/Linear"]
    assert list(nodes["logits"].input) == ["output"]
    (shape,) = nodes["layer_2/Linear"].attr["_output_shapes"].list.shape
    assert [dim.size for dim in shape.dim] == [-1, 8]


def test_hparams_are_the_params_a_run_learns_from(train: Train, tmp_path: Path) -> None:
    train(tmp_path / "logs")
    events = read(tmp_path / "logs")
    content = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    start = metadata.parse_session_start_info_plugin_data(content).hparams
    assert {"train.learning_rate", "augment.noise.std", "checkpoint.enabled"} <= set(start)
    assert "train.threads" not in start
