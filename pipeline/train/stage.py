"""Stage `train`: packed training and validation images → network, history, TensorBoard logs."""

import shutil
from importlib.metadata import version
from typing import Any

from pipeline.common import paths
from pipeline.common.artifact import NetworkDescription, write_network
from pipeline.common.drawing import encode_png
from pipeline.common.files import atomic_file, rounded, write_json
from pipeline.common.params import Params
from pipeline.common.tables import write_table
from pipeline.train.augmentation import augmentation_preview
from pipeline.train.datamodule import ImageDataModule
from pipeline.train.fit import Fit, fit
from pipeline.train.hardware import is_main_process
from pipeline.train.resume import content_hash, fingerprint, others


def run(params: Params) -> None:
    """Train as `params` says; write models/network, reports/train and logs/train."""
    data = ImageDataModule(paths.PACKED, params.augment, params.train)
    settings = {
        "model": params.model.model_dump(),
        "augment": params.augment.model_dump(),
        "train": params.train.model_dump(exclude={"workers"}),  # the result does not depend on it
        "early_stopping": params.early_stopping.model_dump(),
        "checkpoint": params.checkpoint.model_dump(),
    }
    content = content_hash(paths.PACKED / "train", paths.PACKED / "validation")
    state = paths.RESUME / fingerprint(settings, content)
    if is_main_process():
        for folder in others(state):
            print(
                f"train: {folder} holds an interrupted run with other params, data, code or "
                "libraries; it is kept in case they come back (or delete it)",
                flush=True,
            )
    result = fit(params, data, logs=paths.TRAIN_LOGS, state=state, history=paths.TRAIN_HISTORY)
    if not is_main_process():
        return
    metrics = rounded(result.metrics)
    write_json(paths.TRAIN_METRICS, metrics)
    write_table(paths.TRAIN_HISTORY, result.history)
    preview = augmentation_preview(data.train.images, data.augmentation, params.train.seed)
    with atomic_file(paths.TRAIN_PREVIEW) as partial:
        partial.write_bytes(encode_png(preview.repeat(2, axis=0).repeat(2, axis=1)))
    weights = {name: value.numpy() for name, value in result.network.state_dict().items()}
    write_network(paths.NETWORK, weights, _describe(settings, content, data, result))
    shutil.rmtree(state)
    run_epochs = metrics["epochs_run"]
    ended = "stopped early" if run_epochs < params.train.epochs else "ran to the end"
    print(
        f"train: {run_epochs} epochs ({ended}), weights of epoch {result.used_epoch}: "
        f"validation accuracy {metrics['val_accuracy']:.3f}, loss {metrics['val_loss']:.3f}"
    )


def _describe(
    settings: dict[str, Any], content: str, data: ImageDataModule, result: Fit
) -> NetworkDescription:
    """Describe the network and where it comes from."""
    network = result.network
    return NetworkDescription(
        version=version("bluelight"),
        classes=data.train.classes,
        size=network.size,
        mean=network.mean.tolist(),
        std=network.deviation.tolist(),
        architecture=settings["model"],
        training={name: section for name, section in settings.items() if name != "model"},
        data={
            "images": {
                "training": len(data.train),
                "validation": len(data.validation),
            },
            "content_hash": content,
        },
        metrics={
            "loss": rounded(result.metrics["val_loss"]),
            "accuracy": rounded(result.metrics["val_accuracy"]),
        },
    )
