"""TensorBoard's HParams tab: the params of a run beside the figures it ended with."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import (
    DATA_TYPE_BOOL,
    DATA_TYPE_FLOAT64,
    DATA_TYPE_STRING,
    STATUS_SUCCESS,
    Experiment,
    HParamInfo,
    MetricInfo,
    MetricName,
)
from tensorboard.plugins.hparams.plugin_data_pb2 import (
    HParamsPluginData,
    SessionEndInfo,
    SessionStartInfo,
)

from pipeline.train.events import EventLog

Value = bool | float | str

# How a run is computed, not what is learnt.
LEFT_OUT = {
    "train.workers",
    "train.accelerator",
    "train.devices",
    "train.num_nodes",
    "train.strategy",
    "train.threads",
    "train.portable",
}


def log_hparams(
    folder: Path, params: Mapping[str, Any], metrics: Mapping[str, float], step: int
) -> None:
    """Write a finished run's params and figures.

    TensorBoard finds a metric by its tag in the run that has the params, so the figures are
    written here once more, as scalars `result/…`.

    Args:
        folder: The run that stands for the whole training; nothing else need be in it.
        params: Sections of params, nested as deep as they are.
        metrics: The figures, by name.
        step: The epoch that the figures are of.
    """
    log = EventLog(folder)
    values = {name: value for name, value in _flat(params) if name not in LEFT_OUT}
    log.summary(_summary(metadata.EXPERIMENT_TAG, experiment=_experiment(values, metrics)), step)
    start = SessionStartInfo()
    for name, value in values.items():
        _set(start, name, value)
    log.summary(_summary(metadata.SESSION_START_INFO_TAG, session_start_info=start), step)
    for name, figure in metrics.items():
        log.scalar(_tag(name), figure, step)
    end = SessionEndInfo(status=STATUS_SUCCESS)
    log.summary(_summary(metadata.SESSION_END_INFO_TAG, session_end_info=end), step)
    log.close()


def _flat(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Value]]:
    """`{"model": {"dropout": 0.5}}` as `("model.dropout", 0.5)`; a list becomes text."""
    for key, value in params.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, bool | int | float | str):
            yield f"{prefix}{key}", value
        else:
            yield f"{prefix}{key}", str(value)


def _experiment(values: Mapping[str, Value], metrics: Mapping[str, float]) -> Experiment:
    return Experiment(
        hparam_infos=[HParamInfo(name=name, type=_type(value)) for name, value in values.items()],
        metric_infos=[
            MetricInfo(name=MetricName(tag=_tag(name)), display_name=name) for name in metrics
        ],
    )


def _type(value: Value) -> Any:  # noqa: ANN401 - an enum of the protocol's
    if isinstance(value, bool):
        return DATA_TYPE_BOOL
    return DATA_TYPE_STRING if isinstance(value, str) else DATA_TYPE_FLOAT64


def _set(start: SessionStartInfo, name: str, value: Value) -> None:
    if isinstance(value, bool):
        start.hparams[name].bool_value = value
    elif isinstance(value, str):
        start.hparams[name].string_value = value
    else:
        start.hparams[name].number_value = value


def _tag(metric: str) -> str:
    return f"result/{metric}"


def _summary(tag: str, **content: Any) -> Summary:  # noqa: ANN401 - one of the protocol's three
    data = HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **content)
    plugin = SummaryMetadata.PluginData(
        plugin_name=metadata.PLUGIN_NAME, content=data.SerializeToString(deterministic=True)
    )
    return Summary(value=[Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin))])
