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
import numpy.typing as npt
import torch
from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.writer import FileWriter, SummaryWriter

from pipeline.common.files import flatten

FILE = "events.out.tfevents.0"  # TensorBoard looks for `tfevents` in the name
BUCKETS = 64

# TensorBoard draws a curve per run into the chart of a tag: loss and accuracy have one tag in the
# runs of both splits. It sorts the groups of charts by name and opens the first two.
CURVES = "accuracy_and_loss"
CHARTS = {
    f"{split}_{metric}": (run, f"{CURVES}/{metric}")
    for split, run in (("train", "training"), ("val", "validation"), ("test", "test"))
    for metric in ("loss", "accuracy")
} | {"learning_rate": ("training", "learning_rate")}


class StableFile(RecordWriter):
    """The events of one run; a file that is there is continued. Stands for an EventFileWriter."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / FILE).open("ab")
        super().__init__(file)
        self.get_logdir = lambda: str(folder)
        if file.tell() == 0:
            self.add_event(Event(file_version="brain.Event:2"))

    def add_event(self, event: Event) -> None:
        """Append an event."""
        event.wall_time = float(event.step)
        self.write(event.SerializeToString(deterministic=True))


class StableFileWriter(FileWriter):
    """PyTorch's FileWriter on a stable file."""

    def __init__(self, folder: Path) -> None:
        self.event_writer = StableFile(folder)


class StableSummaryWriter(SummaryWriter):
    """PyTorch's SummaryWriter on a stable file, in the folder that it is given."""

    file_writer: Any
    all_writers: Any

    def _get_file_writer(self) -> Any:  # noqa: ANN401 - of PyTorch's own type
        if self.file_writer is None:
            self.file_writer = StableFileWriter(Path(self.log_dir))
            self.all_writers = {self.log_dir: self.file_writer}
        return self.file_writer

    def add_picture(self, tag: str, image: npt.NDArray[np.uint8], global_step: int) -> None:
        """Add an image, uint8 RGB [height, width, 3]."""
        self.add_image(tag, image, global_step, dataformats="HWC")

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
        found = torch.as_tensor(values).detach().cpu().float().flatten()
        if not found.sum().isfinite():
            found = found[found.isfinite()]
        if len(found) == 0:
            return
        low, high = (float(bound) for bound in torch.aminmax(found))
        if low == high:
            low, high = low - 0.5, high + 0.5
        # Faster than torch.histc, which also loses count beyond 2^24.
        places = (found - low).mul_(BUCKETS / (high - low)).int().clamp_(0, BUCKETS - 1)
        self.add_histogram_raw(
            tag,
            min=low,
            max=high,
            num=len(found),
            sum=float(found.sum()),
            sum_squares=float(torch.linalg.vector_norm(found)) ** 2,
            bucket_limits=np.linspace(low, high, BUCKETS + 1)[1:].tolist(),
            bucket_counts=torch.bincount(places, minlength=BUCKETS).tolist(),
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
            params: A mapping, nested or not; a list becomes text.
            metrics: What the run came to, by name.
            step: The epoch of the metrics.
        """
        if not metrics:
            return
        start, experiment = plugin_data_pb2.SessionStartInfo(), api_pb2.Experiment()
        for name, value in flatten(params).items():
            hparam = start.hparams[name]
            if isinstance(value, bool):
                kind, hparam.bool_value = api_pb2.DATA_TYPE_BOOL, value
            elif isinstance(value, int | float):
                kind, hparam.number_value = api_pb2.DATA_TYPE_FLOAT64, value
            else:
                kind, hparam.string_value = api_pb2.DATA_TYPE_STRING, str(value)
            experiment.hparam_infos.add(name=name, type=kind)
        for name, value in metrics.items():
            tag = f"result/{name}"
            experiment.metric_infos.add(name=api_pb2.MetricName(tag=tag), display_name=name)
            self.experiment.add_scalar(tag, value, step)
        end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS)
        for tag, content in (
            (metadata.EXPERIMENT_TAG, {"experiment": experiment}),
            (metadata.SESSION_START_INFO_TAG, {"session_start_info": start}),
            (metadata.SESSION_END_INFO_TAG, {"session_end_info": end}),
        ):
            data = plugin_data_pb2.HParamsPluginData(
                version=metadata.PLUGIN_DATA_VERSION, **content
            )
            summary = Summary()
            plugin = summary.value.add(tag=tag).metadata.plugin_data
            plugin.plugin_name = metadata.PLUGIN_NAME
            plugin.content = data.SerializeToString(deterministic=True)
            self.experiment._get_file_writer().add_summary(summary, step)

    @rank_zero_only
    def save(self) -> None:
        """Flush all runs; params.yaml already holds what Lightning would write to hparams.yaml."""
        for writer in self._writers.values():
            writer.flush()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Close all runs; a later call opens them again."""
        del status
        for writer in self._writers.values():
            writer.close()
