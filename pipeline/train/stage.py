"""Stage `train`: packed training and validation images → network, history, TensorBoard logs."""

import math
import shutil
from importlib.metadata import version
from typing import Any

import torch

from pipeline.common import paths
from pipeline.common.artifact import NetworkDescription, write_network
from pipeline.common.datasets import FEATURES, write_table
from pipeline.common.drawing import encode_png
from pipeline.common.files import atomic_directory, atomic_file, read_json, rounded, write_json
from pipeline.common.params import Params
from pipeline.train.augmentation import augmentation_preview, kind_previews
from pipeline.train.datamodule import ImageDataModule, channel_statistics
from pipeline.train.fit import Fit, fit
from pipeline.train.hardware import describe_hardware, is_main_process
from pipeline.train.resume import content_hash, fingerprint, others

DIVERGED = 10  # times the loss of guessing
CHECKPOINT = "best.ckpt"  # `Classifier.load_from_checkpoint` reads it


def run(params: Params) -> None:
    """Train as `params` says; write models/network, reports/train and logs/train."""
    data = ImageDataModule(paths.PACKED, params.augment, params.train, paths.FEATURES)
    settings = {
        "features": read_json(paths.FEATURES / "train" / FEATURES),  # its views are `augment`'s
        "model": params.model.model_dump(),
        "augment": params.augment.model_dump(),
        "train": params.train.model_dump(exclude={"workers"}),  # the result does not depend on it
        "early_stopping": params.early_stopping.model_dump(),
        "checkpoint": params.checkpoint.model_dump(),
    }
    folders = [paths.PACKED / "train", paths.PACKED / "validation"]
    if data.train.vectors is not None:
        folders += [paths.FEATURES / "train", paths.FEATURES / "validation"]
    content = content_hash(*folders)
    state = paths.RESUME / fingerprint(settings, content)
    if is_main_process():
        for folder in others(state):
            print(
                f"train: {folder} holds an interrupted run with other params, data, code or "
                "libraries; it is kept in case they come back (or delete it)",
                flush=True,
            )
        train, validation = len(data.train.labels), len(data.validation.labels)
        print(
            f"train: {train:,} training and {validation:,} validation images, on "
            f"{describe_hardware(params.train)}",
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
    with atomic_directory(paths.TRAIN_KINDS) as folder:
        some = data.train.images[:100]
        clearest = some[some.std(axis=(1, 2, 3)).argmax()]  # changes show best in strong contrasts
        kinds = kind_previews(clearest, params.augment, params.train.seed)
        for kind, picture in kinds.items():
            (folder / f"{kind}.png").write_bytes(encode_png(picture))
    weights = {name: value.numpy() for name, value in result.network.state_dict().items()}
    write_network(paths.NETWORK, weights, _describe(settings, content, data, result))
    with atomic_file(paths.NETWORK / CHECKPOINT) as partial, partial.open("wb") as file:
        # Not a copy of Lightning's file: that has absolute paths, and its bytes depend on whether
        # the run was interrupted.
        torch.save(result.checkpoint, file)
    shutil.rmtree(state)
    run_epochs = metrics["epochs_run"]
    ended = "stopped early" if run_epochs < params.train.epochs else "ran to the end"
    print(
        f"train: {run_epochs} epochs ({ended}), weights of epoch {result.used_epoch}: "
        f"validation accuracy {metrics['val_accuracy']:.3f}, loss {metrics['val_loss']:,.3f}"
        f"{_warn_of_divergence(metrics['val_loss'], len(data.train.classes))}"
    )


def _warn_of_divergence(loss: float, classes: int) -> str:
    """Say that training diverged if its loss is far above that of guessing; otherwise nothing."""
    guessing = math.log(classes)
    if loss < DIVERGED * guessing:
        return ""
    return f"; training diverged, as guessing has {guessing:.3f}: lower train.learning_rate"


def _describe(
    settings: dict[str, Any], content: str, data: ImageDataModule, result: Fit
) -> NetworkDescription:
    """Describe the network and where it comes from."""
    network = result.network
    mean, std = network.mean.tolist(), network.std.tolist()
    if data.train.vectors is not None:  # the network has the statistics of the vectors
        mean, std = channel_statistics(data.train.images)
    return NetworkDescription(
        version=version("bluelight"),
        classes=data.train.classes,
        size=data.train.size,
        features={n: value for n, value in settings["features"].items() if n != "augment"},
        mean=mean,
        std=std,
        architecture=settings["model"],
        training={n: section for n, section in settings.items() if n not in {"model", "features"}},
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
