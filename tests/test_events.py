"""TensorBoard's files: the same bytes for the same content, and still what was logged."""

import time
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from pipeline.learning.events import NAME, make_reproducible


def log(folder: Path, last: float = 0.25) -> Path:
    with SummaryWriter(folder) as writer:
        for step, value in enumerate((1.0, 0.5, last)):
            writer.add_scalar("val_loss", value, step)
    make_reproducible(folder)
    return folder / NAME


def test_same_content_same_bytes_at_another_time(tmp_path: Path) -> None:
    first = log(tmp_path / "a")
    time.sleep(1.1)  # file names count seconds
    assert first.read_bytes() == log(tmp_path / "b").read_bytes()


def test_other_content_other_bytes(tmp_path: Path) -> None:
    assert log(tmp_path / "a").read_bytes() != log(tmp_path / "b", last=0.3).read_bytes()


def test_tensorboard_reads_it(tmp_path: Path) -> None:
    log(tmp_path)
    events = EventAccumulator(str(tmp_path)).Reload()
    points = [(event.step, event.value) for event in events.Scalars("val_loss")]
    assert points == [(0, 1.0), (1, 0.5), (2, 0.25)]


def test_one_file_is_left(tmp_path: Path) -> None:
    path = log(tmp_path)
    assert list(tmp_path.iterdir()) == [path]
