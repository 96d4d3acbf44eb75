"""Stage `train`: packed training and validation images → network, history, TensorBoard logs."""

import json
import math
import shutil
from importlib.metadata import version

import torch

from pipeline.common import paths
from pipeline.common.artifact import NetworkDescription, write_network
from pipeline.common.datasets import FEATURES, write_table
from pipeline.common.drawing import encode_png
from pipeline.common.files import atomic_directory, atomic_file, read_json, rounded, write_json
from pipeline.common.params import Params
from pipeline.train.augmentation import augmentation_preview, kind_previews
from pipeline.train.datamodule import ImageDataModule, channel_statistics
from pipeline.train.fit import describe_hardware, fit
from pipeline.train.resume import content_hash, fingerprint, is_main_process

DIVERGED = 10  # times the loss of guessing
CHECKPOINT = "best.ckpt"  # `Classifier.load_from_checkpoint` reads it


def run(params: Params) -> None:
    """Train as `params` says; write models/network, reports/train and logs/train."""
    data = ImageDataModule(paths.PACKED, params.augment, params.train, paths.FEATURES)
    train, validation = data.train, data.validation
    features = read_json(paths.FEATURES / "train" / FEATURES)  # its views are `augment`'s
    training = {
        "augment": params.augment.model_dump(),
        "train": params.train.model_dump(exclude={"workers"}),  # the result does not depend on it
        "early_stopping": params.early_stopping.model_dump(),
        "checkpoint": params.checkpoint.model_dump(),
    }
    architecture = params.model.model_dump()
    used = [paths.PACKED] if train.vectors is None else [paths.PACKED, paths.FEATURES]
    content = content_hash(*(folder / n for folder in used for n in ("train", "validation")))
    settings = {"features": features, "model": architecture, **training}
    state = paths.RESUME / fingerprint(settings, content)
    if is_main_process():
        images = f"{len(train):,} training and {len(validation):,} validation images"
        print(f"train: {images}, on {describe_hardware(params.train)}", flush=True)

    result = fit(params, data, logs=paths.TRAIN_LOGS, state=state, history=paths.TRAIN_HISTORY)
    if not is_main_process():
        return

    metrics, network = rounded(result.metrics), result.classifier.network
    write_json(paths.TRAIN_METRICS, metrics)
    write_table(paths.TRAIN_HISTORY, result.history)
    preview = augmentation_preview(train.images, data.augmentation, params.train.seed)
    with atomic_file(paths.TRAIN_PREVIEW) as partial:
        partial.write_bytes(encode_png(preview.repeat(2, axis=0).repeat(2, axis=1)))
    with atomic_directory(paths.TRAIN_KINDS) as folder:
        some = train.images[:100]
        clearest = some[some.std(axis=(1, 2, 3)).argmax()]  # changes show best in strong contrasts
        for kind, picture in kind_previews(clearest, params.augment, params.train.seed).items():
            (folder / f"{kind}.png").write_bytes(encode_png(picture))
    # The network has the statistics of what it takes: images, or their vectors.
    statistics = network.mean.tolist(), network.std.tolist()
    mean, std = statistics if train.vectors is None else channel_statistics(train.images)
    description = NetworkDescription(
        version=version("bluelight"),
        classes=train.classes,
        size=train.size,
        features={name: value for name, value in features.items() if name != "augment"},
        mean=mean,
        std=std,
        architecture=architecture,
        training=training,
        data={
            "images": {"training": len(train), "validation": len(validation)},
            "content_hash": content,
        },
        metrics={"loss": metrics["val_loss"], "accuracy": metrics["val_accuracy"]},
    )
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    write_network(paths.NETWORK, weights, description)
    # Not a copy of Lightning's file: that has absolute paths, and its bytes depend on whether the
    # run was interrupted. By way of JSON, as pickle's bytes depend on which values are one object.
    checkpoint = {
        "epoch": metrics["used_epoch"],
        "global_step": 0,
        "pytorch-lightning_version": version("pytorch-lightning"),
        "state_dict": result.classifier.state_dict(),
        "hyper_parameters": json.loads(json.dumps(dict(result.classifier.hparams))),
    }
    with atomic_file(paths.NETWORK / CHECKPOINT) as partial, partial.open("wb") as file:
        torch.save(checkpoint, file)
    shutil.rmtree(state)
    ended = "stopped early" if metrics["epochs_run"] < params.train.epochs else "ran to the end"
    print(
        f"train: {metrics['epochs_run']} epochs ({ended}), weights of epoch "
        f"{metrics['used_epoch']}: "
        f"validation accuracy {metrics['val_accuracy']:.3f}, loss {metrics['val_loss']:,.3f}"
        f"{_warn_of_divergence(metrics['val_loss'], len(train.classes))}"
    )


def _warn_of_divergence(loss: float, classes: int) -> str:
    """Say that training diverged if its loss is far above that of guessing; otherwise nothing."""
    guessing = math.log(classes)
    if loss < DIVERGED * guessing:
        return ""
    return f"; training diverged, as guessing has {guessing:.3f}: lower train.learning_rate"
