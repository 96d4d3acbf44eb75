"""TensorBoard's files: their bytes depend only on what is logged, and TensorBoard reads them."""

import io
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from pipeline.common.params import Params
from pipeline.train.logger import (
    BUCKETS,
    CURVES,
    FILE,
    StableSummaryWriter,
    StableTensorBoardLogger,
)

PICTURE = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)


def log(folder: Path, steps: range = range(3), factor: float = 1.0) -> Path:
    events = StableSummaryWriter(str(folder))
    for step in steps:
        events.add_scalar("loss", factor / (step + 1), step)
        events.add_histogram("weights", torch.linspace(-1, step, 100), step)
        events.add_image("picture", PICTURE, step, dataformats="HWC")
    events.close()
    return folder / FILE


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder)).Reload()


def histogram(folder: Path, values: torch.Tensor) -> tuple[list[float], list[float]]:
    """Limits and counts of the buckets, as written."""
    events = StableSummaryWriter(str(folder))
    events.add_histogram("values", values, 0)
    events.close()
    value = read(folder).Histograms("values")[0].histogram_value
    return value.bucket_limit, value.bucket


def test_same_content_same_bytes_at_another_time(tmp_path: Path) -> None:
    first = log(tmp_path / "a")
    time.sleep(1.1)  # PyTorch's own writer counts seconds
    assert first.read_bytes() == log(tmp_path / "b").read_bytes()


def test_other_content_other_bytes(tmp_path: Path) -> None:
    assert log(tmp_path / "a").read_bytes() != log(tmp_path / "b", factor=2.0).read_bytes()


def test_a_file_continued_is_a_file_written_in_one_go(tmp_path: Path) -> None:
    log(tmp_path / "a", range(2))
    continued = log(tmp_path / "a", range(2, 4))
    assert continued.read_bytes() == log(tmp_path / "b", range(4)).read_bytes()


def test_a_file_cut_back_and_continued_is_the_same(tmp_path: Path) -> None:
    path = log(tmp_path / "a", range(2))
    length = path.stat().st_size
    log(tmp_path / "a", range(2, 5))
    with path.open("r+b") as file:
        file.truncate(length)
    log(tmp_path / "a", range(2, 4))
    assert path.read_bytes() == log(tmp_path / "b", range(4)).read_bytes()


def test_a_live_tensorboard_sees_what_is_flushed(tmp_path: Path) -> None:
    events = StableSummaryWriter(str(tmp_path))
    events.add_scalar("loss", 0.5, 7)
    events.flush()
    assert [event.step for event in read(tmp_path).Scalars("loss")] == [7]
    events.close()


def test_tensorboard_reads_scalars_and_times_that_are_steps(tmp_path: Path) -> None:
    log(tmp_path)
    events = read(tmp_path).Scalars("loss")
    assert [(event.step, event.value) for event in events] == [
        (0, 1.0),
        (1, 0.5),
        (2, pytest.approx(1 / 3)),
    ]
    assert [event.wall_time for event in events] == [0.0, 1.0, 2.0]


def test_a_picture_comes_back_as_it_was(tmp_path: Path) -> None:
    log(tmp_path)
    event = read(tmp_path).Images("picture")[0]
    assert (event.height, event.width) == (5, 4)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(event.encoded_image_string))), PICTURE)


def test_a_histogram_counts_like_numpy(tmp_path: Path) -> None:
    values = torch.randn(10_000, generator=torch.Generator().manual_seed(3))
    limits, counts = histogram(tmp_path, values)
    expected, edges = np.histogram(values.numpy(), bins=BUCKETS)
    assert limits == pytest.approx(edges[1:].tolist(), abs=1e-5)
    assert sum(counts) == 10_000
    # A value on an edge may fall to either side of it.
    assert np.abs(np.array(counts) - expected).max() <= 1


def test_values_that_are_all_alike_lie_in_one_bucket(tmp_path: Path) -> None:
    _, counts = histogram(tmp_path, torch.full((6,), 2.0))
    assert sorted(counts)[-2:] == [0.0, 6.0]


def test_values_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    limits, counts = histogram(tmp_path, torch.tensor([0.0, torch.nan, torch.inf, 1.0]))
    assert (limits[-1], sum(counts)) == (1.0, 2.0)


def test_nothing_finite_is_no_histogram(tmp_path: Path) -> None:
    events = StableSummaryWriter(str(tmp_path))
    events.add_histogram("values", torch.tensor([torch.nan]), 0)
    events.close()
    assert read(tmp_path).Tags()["histograms"] == []


def test_hparams_and_the_metrics_they_led_to_are_in_one_run(params: Params, tmp_path: Path) -> None:
    sections = {"model": params.model.model_dump(), "train": params.train.model_dump()}
    logger = StableTensorBoardLogger(tmp_path)
    logger.log_hyperparams(sections, {"val_loss": 0.25, "epochs_run": 3}, step=2)
    logger.finalize("success")
    events = read(tmp_path)
    content = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    start = metadata.parse_session_start_info_plugin_data(content).hparams
    assert start["model.dropout"].number_value == params.model.dropout
    assert start["model.batch_norm"].string_value == "True"
    assert start["model.hidden"].string_value == "[16, 8]"
    assert start["train.schedule"].string_value == params.train.schedule
    content = events.SummaryMetadata(metadata.EXPERIMENT_TAG).plugin_data.content
    experiment = metadata.parse_experiment_plugin_data(content)
    # TensorBoard looks these tags up in the run of the params.
    tags = [info.name.tag for info in experiment.metric_infos]
    assert {tag: events.Scalars(tag)[-1].value for tag in tags} == {
        "result/val_loss": 0.25,
        "result/epochs_run": 3.0,
    }
    assert {info.name for info in experiment.hparam_infos} == set(start)


def test_curves_are_by_epoch_in_two_runs_and_all_else_by_step_in_the_folder(tmp_path: Path) -> None:
    logger = StableTensorBoardLogger(tmp_path)
    logger.log_metrics({"train_loss": 0.5, "epoch": 3}, step=70)
    logger.log_metrics({"val_loss": 0.75, "own": 2.0, "epoch": 3}, step=70)
    logger.finalize("success")
    for run, value in (("training", 0.5), ("validation", 0.75)):
        (event,) = read(tmp_path / run).Scalars(f"{CURVES}/loss")
        assert (event.step, event.value) == (3, value)
    (event,) = read(tmp_path).Scalars("own")
    assert (event.step, event.value) == (70, 2.0)


def test_what_is_logged_after_an_end_is_appended(tmp_path: Path) -> None:
    logger = StableTensorBoardLogger(tmp_path)
    for step in range(2):
        logger.log_metrics({"own": step}, step=step)
        logger.finalize("success")
    assert [event.step for event in read(tmp_path).Scalars("own")] == [0, 1]
