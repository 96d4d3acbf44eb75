"""Stage `train`: packed training and validation images → network, history, TensorBoard logs."""

import shutil
from dataclasses import astuple, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.common import paths
from pipeline.common.artifact import NetworkDescription, write_network
from pipeline.common.files import atomic_file, write_json
from pipeline.common.params import Params
from pipeline.common.tables import write_csv
from pipeline.train.callbacks import Epoch
from pipeline.train.datamodule import VehicleData
from pipeline.train.events import EventLog
from pipeline.train.fit import Fit, build, fit
from pipeline.train.hardware import is_main_process
from pipeline.train.hparams import log_hparams
from pipeline.train.preview import augmentation_preview
from pipeline.train.resume import content_hash, fingerprint, others

TRAIN = paths.PACKED / "train"
VALIDATION = paths.PACKED / "validation"


def run(params: Params) -> None:
    """Train the network; write its weights, the history and TensorBoard's logs."""
    data = VehicleData.of(paths.PACKED, params.augment, params.train)
    settings, content = _settings(params), content_hash(TRAIN, VALIDATION)
    state = paths.RESUME / fingerprint(settings, content)
    if is_main_process():
        _mention(others(state))
    result = fit(
        build(params.model, data, params.train.seed),
        data,
        params.train,
        params.early_stopping,
        params.checkpoint,
        logs=paths.TRAIN_LOGS,
        state=state,
    )
    if is_main_process():
        _write(params, data, result, settings, content)
        shutil.rmtree(state)


def _write(
    params: Params, data: VehicleData, result: Fit, settings: dict[str, Any], content: str
) -> None:
    """Write all outputs but the logs, which were written as training went."""
    preview = augmentation_preview(data, params.train.seed)
    metrics = _metrics(result)
    _log_hparams(settings, metrics)
    _write_reports(result, metrics, preview)
    write_network(paths.NETWORK, _weights(result), _describe(settings, content, data, result))
    _summarise(params, result)


def _mention(interrupted: list[Path]) -> None:
    """Say why a run that was interrupted is not gone on with."""
    for folder in interrupted:
        print(
            f"train: {folder} holds an interrupted run with other params, data, code or "
            "libraries; it is left for when they come back (or delete it)",
            flush=True,
        )


def _log_hparams(settings: dict[str, Any], metrics: dict[str, float]) -> None:
    log = EventLog(paths.TRAIN_LOGS)
    log_hparams(log, settings, metrics, int(metrics["used_epoch"]))
    log.close()


def _metrics(result: Fit) -> dict[str, float]:
    """The figures of the weights that are kept."""
    used = result.used_epoch
    return {
        "epochs_run": len(result.epochs),
        "used_epoch": used.epoch,
        "train_loss": round(used.train_loss, 6),
        "val_loss": round(used.val_loss, 6),
        "train_accuracy": round(used.train_accuracy, 6),
        "val_accuracy": round(used.val_accuracy, 6),
        "clean_train_loss": round(result.clean_train_loss, 6),
        "overfitting_gap": round(result.overfitting_gap, 6),
    }


def _write_reports(result: Fit, metrics: dict[str, float], preview: npt.NDArray[np.uint8]) -> None:
    write_json(paths.TRAIN_METRICS, metrics)
    columns = [field.name for field in fields(Epoch)]
    write_csv(paths.TRAIN_HISTORY, columns, map(astuple, result.epochs))
    enlarged = cv2.resize(preview, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    _, png = cv2.imencode(".png", cv2.cvtColor(enlarged, cv2.COLOR_RGB2BGR))
    with atomic_file(paths.TRAIN_PREVIEW) as partial:
        partial.write_bytes(png.tobytes())


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
    settings: dict[str, Any], content: str, data: VehicleData, result: Fit
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
            "loss": round(result.used_epoch.val_loss, 6),
            "accuracy": round(result.used_epoch.val_accuracy, 6),
        },
    )


def _summarise(params: Params, result: Fit) -> None:
    used, run = result.used_epoch, len(result.epochs)
    ended = "stopped early" if run < params.train.epochs else "ran to the end"
    print(
        f"train: {run} epochs ({ended}), weights of epoch {used.epoch}: "
        f"validation accuracy {used.val_accuracy:.3f}, loss {used.val_loss:.3f}"
    )
