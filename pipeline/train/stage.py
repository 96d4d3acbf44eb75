"""Stage `train`: packed training and validation images → network, history, TensorBoard logs."""

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.common import paths
from pipeline.common.artifact import NetworkDescription, write_network
from pipeline.common.drawing import encode_png
from pipeline.common.files import atomic_file, rounded, write_json
from pipeline.common.params import Params
from pipeline.common.tables import write_table
from pipeline.train.datamodule import ImageDataModule
from pipeline.train.fit import Fit, fit
from pipeline.train.hardware import is_main_process
from pipeline.train.hparams import log_hparams
from pipeline.train.preview import augmentation_preview
from pipeline.train.resume import content_hash, fingerprint, others

TRAIN = paths.PACKED / "train"
VALIDATION = paths.PACKED / "validation"


def run(params: Params) -> None:
    """Train the network; write its weights, the history and TensorBoard's logs."""
    data = ImageDataModule(paths.PACKED, params.augment, params.train)
    settings, content = _settings(params), content_hash(TRAIN, VALIDATION)
    state = paths.RESUME / fingerprint(settings, content)
    if is_main_process():
        _mention(others(state))
    result = fit(params, data, logs=paths.TRAIN_LOGS, state=state)
    if is_main_process():
        _write(params, data, result, settings, content)
        shutil.rmtree(state)


def _write(
    params: Params, data: ImageDataModule, result: Fit, settings: dict[str, Any], content: str
) -> None:
    """Write all outputs but the logs, which were written as training went."""
    metrics = rounded(result.metrics)
    log_hparams(paths.TRAIN_LOGS, settings, metrics, result.used_epoch)
    write_json(paths.TRAIN_METRICS, metrics)
    write_table(paths.TRAIN_HISTORY, result.history)
    preview = augmentation_preview(data, params.train.seed)
    with atomic_file(paths.TRAIN_PREVIEW) as partial:
        partial.write_bytes(encode_png(preview.repeat(2, axis=0).repeat(2, axis=1)))
    write_network(paths.NETWORK, _weights(result), _describe(settings, content, data, result))
    _summarise(params, metrics)


def _mention(interrupted: list[Path]) -> None:
    """Say why a run that was interrupted is not gone on with."""
    for folder in interrupted:
        print(
            f"train: {folder} holds an interrupted run with other params, data, code or "
            "libraries; it is left for when they come back (or delete it)",
            flush=True,
        )


def _weights(result: Fit) -> dict[str, npt.NDArray[np.generic]]:
    return {name: tensor.numpy() for name, tensor in result.network.state_dict().items()}


def _settings(params: Params) -> dict[str, Any]:
    """The params that the result depends on: not how many processes load the images."""
    return {
        "model": params.model.model_dump(),
        "augment": params.augment.model_dump(),
        "train": params.train.model_dump(exclude={"workers"}),
        "early_stopping": params.early_stopping.model_dump(),
        "checkpoint": params.checkpoint.model_dump(),
    }


def _describe(
    settings: dict[str, Any], content: str, data: ImageDataModule, result: Fit
) -> NetworkDescription:
    network = result.network
    return NetworkDescription(
        version=version("bluelight"),
        classes=list(data.train.classes),
        size=network.size,
        mean=network.mean.tolist(),
        std=network.deviation.tolist(),
        architecture=settings["model"],
        training={name: section for name, section in settings.items() if name != "model"},
        data={
            "images": {
                "training": len(data.train.labels),
                "validation": len(data.validation.labels),
            },
            "content_hash": content,
        },
        metrics={
            "loss": rounded(result.metrics["val_loss"]),
            "accuracy": rounded(result.metrics["val_accuracy"]),
        },
    )


def _summarise(params: Params, metrics: dict[str, float]) -> None:
    run = metrics["epochs_run"]
    ended = "stopped early" if run < params.train.epochs else "ran to the end"
    print(
        f"train: {run} epochs ({ended}), weights of epoch {metrics['used_epoch']}: "
        f"validation accuracy {metrics['val_accuracy']:.3f}, loss {metrics['val_loss']:.3f}"
    )
