"""TensorBoard event files whose bytes depend only on what is logged, written as training goes.

PyTorch's writer puts the second, the host and the process into events and file names, and writes
from a thread of its own. Here an event's time is its step, records are appended in the order of the
calls, and a file cut back to an earlier length and continued ends up the same as one written in
one go. So DVC's lock changes only when results do.
"""

from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch import Tensor

NAME = "events.out.tfevents.0"  # TensorBoard looks for `tfevents` in the name
VERSION = "brain.Event:2"  # of the format; a file's first record
BUCKETS = 64


class EventLog:
    """One TensorBoard run: a file to which events are appended.

    Args:
        folder: The run's folder, made where missing. A file that is there is continued.

    Attributes:
        path: The event file.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / NAME
        self._file = self.path.open("ab")
        self._records = RecordWriter(self._file)
        if self._file.tell() == 0:
            self._write(Event(file_version=VERSION))

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Append a point of a curve."""
        self.summary(Summary(value=[Summary.Value(tag=tag, simple_value=value)]), step)

    def histogram(self, tag: str, values: Tensor, step: int) -> None:
        """Append the distribution of a tensor's finite values; nothing where there are none.

        Args:
            tag: The chart.
            values: float of any shape, on any device.
            step: Where it stands in the run.
        """
        finite = _finite(values.detach().cpu().float().flatten())
        if len(finite):
            self.summary(Summary(value=[Summary.Value(tag=tag, histo=_histogram(finite))]), step)

    def image(self, tag: str, image: npt.NDArray[np.uint8], step: int) -> None:
        """Append a picture, uint8 RGB [H, W, 3], as PNG."""
        height, width = image.shape[:2]
        picture = Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=_png(image)
        )
        self.summary(Summary(value=[Summary.Value(tag=tag, image=picture)]), step)

    def graph(self, graph: GraphDef) -> None:
        """Append the picture of a network, of which a run has one."""
        self._write(Event(graph_def=graph.SerializeToString(deterministic=True)))

    def summary(self, summary: Summary, step: int) -> None:
        """Append any other of TensorBoard's summaries."""
        self._write(Event(wall_time=float(step), step=step, summary=summary))

    def flush(self) -> None:
        """Hand what is written to the operating system, where a live TensorBoard reads it."""
        self._records.flush()

    def close(self) -> None:
        """Write what is left and close the file; harmless a second time."""
        self._records.close()

    def _write(self, event: Event) -> None:
        self._records.write(event.SerializeToString(deterministic=True))


def _png(image: npt.NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    # Photos shrink little further at higher levels, which take thrice as long.
    Image.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _finite(values: Tensor) -> Tensor:
    """Those of float32 [N] that are; without a copy where all are, which a sum tells."""
    return values if values.sum().isfinite() else values[values.isfinite()]


def _histogram(values: Tensor) -> HistogramProto:
    """Counts of float32 [N], N > 0, in equal buckets from the least to the greatest."""
    low, high = (float(bound) for bound in torch.aminmax(values))
    if low == high:
        low, high = low - 0.5, high + 0.5
    # Faster than torch.histc, which also loses count beyond 2^24.
    places = (values - low).mul_(BUCKETS / (high - low)).int().clamp_(0, BUCKETS - 1)
    counts = torch.bincount(places, minlength=BUCKETS)
    return HistogramProto(
        min=low,
        max=high,
        num=len(values),
        sum=float(values.sum()),
        # Not a dot product: processors of different makers differ in its last bits.
        sum_squares=float(torch.linalg.vector_norm(values)) ** 2,
        bucket_limit=np.linspace(low, high, BUCKETS + 1)[1:].tolist(),
        bucket=counts.tolist(),
    )
