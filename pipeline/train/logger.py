"""A TensorBoard logger for Lightning, whose files depend only on what is logged.

Lightning's own writes time, host and process into events and file names, from a thread. Here an
event's wall time is invented: its step, in seconds since 1970 (TensorBoard's horizontal axis is the
step by default). Records are appended in the order of the calls, and a file that is cut back to an
earlier length and continued ends up the same as one written in one go. So DVC's lock changes only
when results do, and an interrupted run can be continued. All else is PyTorch's SummaryWriter.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import hparams
from torch.utils.tensorboard.writer import FileWriter, SummaryWriter

from pipeline.common.files import flatten

FILE = "events.out.tfevents.0"  # TensorBoard looks for `tfevents` in the name
BUCKETS = 64
NOTE = (
    "Steps are epochs. Wall times (1970) are invented: the same results must give the same bytes."
)

# TensorBoard draws a curve per run into the chart of a tag: loss and accuracy have one tag in the
# runs of both splits. It sorts the groups of charts by name and opens the first two.
CURVES = "accuracy_and_loss"
CHARTS = {
    f"{split}_{metric}": (run, f"{CURVES}/{metric}")
    for split, run in (("train", "training"), ("val", "validation"), ("test", "test"))
    for metric in ("loss", "accuracy")
} | {"learning_rate": ("training", "learning_rate")}


class StableFileWriter(FileWriter):
    """PyTorch's FileWriter without times and threads; continues the file in a run's folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / FILE).open("ab")
        self.event_writer = RecordWriter(file)
        if file.tell() == 0:
            self.add_event(Event(file_version="brain.Event:2"))

    def add_event(self, event: Event, step: float | None = None, walltime: object = None) -> None:
        """Append an event; its wall time is its step."""
        if step is not None:
            event.step = int(step)
        event.wall_time = float(event.step)
        self.event_writer.write(event.SerializeToString(deterministic=True))


class StableSummaryWriter(SummaryWriter):
    """PyTorch's SummaryWriter on a stable file, in the folder that it is given."""

    file_writer: Any
    all_writers: Any

    def _get_file_writer(self) -> StableFileWriter:
        if self.file_writer is None:
            self.file_writer = StableFileWriter(Path(self.log_dir))
            self.all_writers = {self.log_dir: self.file_writer}
        writer: StableFileWriter = self.file_writer
        return writer

    def add_event(self, event: Event) -> None:
        """Append an event that is none of PyTorch's own."""
        self._get_file_writer().add_event(event)

    def add_histogram(
        self,
        tag: str,
        values: Any,  # noqa: ANN401 - a tensor or an array
        global_step: int | None = None,
        *_: object,
        **__: object,
    ) -> None:
        """Add the distribution of all finite values, if any, in equal buckets.

        PyTorch's own takes a dot product, whose last bits differ between processors.
        """
        found = torch.as_tensor(values).detach().cpu().double().flatten().numpy()
        found = found[np.isfinite(found)]
        if len(found) == 0:
            return
        counts, edges = np.histogram(found, BUCKETS)
        self.add_histogram_raw(
            tag,
            min=float(found.min()),
            max=float(found.max()),
            num=len(found),
            sum=float(found.sum()),
            sum_squares=float(np.square(found).sum()),
            bucket_limits=edges[1:].tolist(),
            bucket_counts=counts.tolist(),
            global_step=global_step,
        )


class StableTensorBoardLogger(TensorBoardLogger):
    """Lightning's TensorBoardLogger on stable files.

    The metrics in `CHARTS` go to the runs `training` and `validation`, by epoch, so that their
    curves share a chart. All others, from `self.log` or from callbacks, go to the run of the folder
    itself, by Lightning's step.

    Args:
        folder: Folder of the runs; those that are there are continued.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, name="", version="", default_hp_metric=False)
        self._folder = folder
        self._writers: dict[str, StableSummaryWriter] = {}

    @property
    @rank_zero_experiment
    def experiment(self) -> StableSummaryWriter:
        """The writer of the folder itself."""
        return self.run("")

    def run(self, name: str) -> StableSummaryWriter:
        """Return the writer of a run, on the main process only."""
        if name not in self._writers:
            self._writers[name] = StableSummaryWriter(str(self._folder / name))
        return self._writers[name]

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write metrics as scalars."""
        for name, value in metrics.items():
            if name in CHARTS:
                run, tag = CHARTS[name]
                self.run(run).add_scalar(tag, value, metrics.get("epoch", step))
            elif name != "epoch":  # Lightning adds it to all that is logged
                self.experiment.add_scalar(name, value, step)

    @rank_zero_only
    def log_hyperparams(
        self,
        params: Any,  # noqa: ANN401 - Lightning's signature
        metrics: Mapping[str, Any] | None = None,
        step: int | None = None,
    ) -> None:
        """Write the HParams of a finished run; without metrics, as when a run starts, nothing.

        TensorBoard finds a metric by its tag in the run that has the params, so the metrics are
        written here once more, as scalars `result/…`.

        Args:
            params: A mapping, nested or not; a list or a truth value becomes text.
            metrics: What the run came to, by name.
            step: The epoch of the metrics.
        """
        if not metrics:
            return
        results = {f"result/{name}": value for name, value in metrics.items()}
        for tag, value in results.items():
            self.experiment.add_scalar(tag, value, step)
        self.experiment.add_text("about_these_logs", NOTE, step)
        plain = {
            # PyTorch takes a truth value for a number.
            name: value if type(value) in {int, float} else str(value)
            for name, value in flatten(params).items()
        }
        for summary in hparams(plain, results):  # type: ignore[no-untyped-call]
            plugin = summary.value[0].metadata.plugin_data
            content = HParamsPluginData.FromString(plugin.content)
            plugin.content = content.SerializeToString(deterministic=True)  # PyTorch's order varies
            self.experiment.add_event(Event(summary=summary, step=step))

    @rank_zero_only
    def save(self) -> None:
        """Flush all runs; params.yaml already holds what Lightning would write to hparams.yaml."""
        for writer in self._writers.values():
            writer.flush()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Close all runs; a later call opens them again."""
        for writer in self._writers.values():
            writer.close()
