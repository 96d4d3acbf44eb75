"""One training run: module, data, callbacks and Trainer put together."""

import logging
import os
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.accelerators import CUDAAccelerator, MPSAccelerator
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from torch.nn.functional import cross_entropy

from pipeline.common.environment import LIMIT, can_limit
from pipeline.common.errors import TrainingError
from pipeline.common.files import rounded
from pipeline.common.params import LearningParams, TrainParams
from pipeline.train.callbacks import Activations, History, Progress, TrainingPictures
from pipeline.train.classifier import Classifier
from pipeline.train.datamodule import ImageDataModule
from pipeline.train.logger import StableTensorBoardLogger
from pipeline.train.mlp import has_onednn_product, predict_logits
from pipeline.train.resume import Resume, is_main_process

# Params that change how a run is computed, not what it learns: TensorBoard's HParams lack them.
COMPUTATION = {"workers", "accelerator", "devices", "num_nodes", "strategy", "threads", "portable"}


@dataclass(frozen=True)
class Fit:
    """A finished run."""

    classifier: Classifier  # in evaluation mode, with the weights that the run ends with
    history: pd.DataFrame  # a row per epoch, with the columns of `History`
    # `epochs_run`, `used_epoch` (whose weights the run ends with), the losses and accuracies of
    # that epoch, and `unaugmented_train_loss`: the mean cross-entropy of the training images
    # without augmentation and dropout, as the epoch's own training loss has both and is taken while
    # the weights change. `overfitting_gap` is the validation loss minus it.
    metrics: dict[str, float]


def fit(
    params: LearningParams,
    data: ImageDataModule,
    *,
    logs: Path,
    state: Path,
    history: Path | None = None,
    callbacks: Sequence[pl.Callback] | None = None,
) -> Fit:
    """Train a network, or continue an interrupted run.

    Args:
        params: Network, optimisation and callbacks.
        data: Training and validation batches.
        logs: Folder for TensorBoard's runs; emptied first. Losses, accuracies, the learning rate
            and the HParams are always logged.
        state: Folder of this very run's state, named by its `fingerprint`. It is left for the
            caller to remove once all results are safe.
        history: The file of the history, written after each epoch; None for no file.
        callbacks: What else shows or records the run; by default the rest of TensorBoard and a
            progress bar.

    Returns:
        The run. Without `checkpoint`, the weights are those of the last epoch run.

    Raises:
        TrainingError: The loss is not finite, or the machine or this process lacks what `train`
            asks for.
        KeyboardInterrupt: Stopped by a signal; says where the run will continue.
    """
    _silence_lightning()
    prepare_cpu(params.train)
    resume = Resume(state, logs)
    checkpoint = resume.restore()
    classifier = Classifier(params.model, params.train, data.description)
    logger = StableTensorBoardLogger(logs)
    epochs = History(history)
    if callbacks is None:
        activations = Activations()
        callbacks = [activations, TrainingPictures(data, params.train, activations), Progress()]
    early_stopping = EarlyStopping(
        **params.early_stopping.model_dump(exclude={"enabled"}),
        # The end of the training epoch has both splits' metrics, so any can be monitored.
        check_on_train_epoch_end=True,
    )
    best = ModelCheckpoint(
        dirpath=state / "best",
        filename="{epoch}",
        **params.checkpoint.model_dump(exclude={"enabled"}),
        save_weights_only=True,
        save_on_train_epoch_end=True,
        enable_version_counter=False,  # a resumed run writes the same epochs again, over its own
    )
    trainer = pl.Trainer(
        **trainer_arguments(params.train),
        max_epochs=params.train.epochs,
        logger=logger,
        log_every_n_steps=1,
        callbacks=[
            resume,  # first: what the others write in an epoch belongs to that epoch's state
            *callbacks,
            *([early_stopping] if params.early_stopping.enabled else []),
            *([best] if params.checkpoint.enabled else []),
            epochs,
        ],
        deterministic=True,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    try:
        trainer.fit(classifier, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except TrainingError:
        if is_main_process():
            shutil.rmtree(state)  # the run would only end the same way again
        raise
    except (SystemExit, RuntimeError) as error:
        # Lightning turns an interrupt into SystemExit. A signal to the whole group also ends
        # workers, which looks like a crash of theirs.
        if isinstance(error, RuntimeError) and not trainer.received_sigterm:
            raise
        done = resume.epochs_done
        raise KeyboardInterrupt(
            f"continues after {done} epochs" if done else "starts again"
        ) from None
    used = len(epochs.rows) - 1
    if params.checkpoint.enabled:
        saved = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
        classifier.load_state_dict(saved["state_dict"])
        used = int(saved["epoch"])
    trainer.strategy.barrier()  # other processes read the main one's folder
    classifier.cpu().eval()
    logits = predict_logits(classifier.network, data.train.inputs)
    loss = float(cross_entropy(logits, torch.from_numpy(data.train.labels)))
    row = epochs.rows[used]
    metrics: dict[str, float] = {"epochs_run": len(epochs.rows), "used_epoch": used}
    metrics |= {n: row[n] for n in ("train_loss", "val_loss", "train_accuracy", "val_accuracy")}
    metrics |= {"unaugmented_train_loss": loss, "overfitting_gap": row["val_loss"] - loss}
    hparams = {name: getattr(params, name).model_dump() for name in LearningParams.model_fields}
    hparams["train"] = params.train.model_dump(exclude=COMPUTATION)
    logger.log_hyperparams(hparams, rounded(metrics), used)
    logger.finalize("success")
    return Fit(classifier, epochs.table, metrics)


def _silence_lightning() -> None:
    """Silence the messages of Lightning that are not for a user of this pipeline."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    for message in (
        ".*does not have many workers.*",  # it counts the cores; params.yaml has the number
        ".*Checkpoint directory .* is not empty.*",  # that of an interrupted run, which continues
        ".*LeafSpec.*",  # its own use of PyTorch, which only its next version can change
    ):
        warnings.filterwarnings("ignore", message=message)


def prepare_cpu(params: TrainParams) -> None:
    """Fix the number of threads, in this process and in those that Lightning starts.

    Lightning would choose it by the machine's cores, and it changes a sum's last bits.

    Raises:
        TrainingError: `train.portable` asks for portable results, but PyTorch uses instructions
            that other processors lack.
    """
    os.environ["OMP_NUM_THREADS"] = str(params.threads)
    torch.set_num_threads(params.threads)
    has_onednn_product()  # now, so that its warning comes before the run and not within it
    used = torch.backends.cpu.get_cpu_capability()
    if params.portable and can_limit() and used != LIMIT:
        raise TrainingError(
            f"train.portable is true, but PyTorch uses {used} in this process; call "
            "pipeline.common.environment.limit_instructions(torch=True) before it computes "
            "anything, or set train.portable to false"
        )


def trainer_arguments(params: TrainParams) -> dict[str, Any]:
    """Choose the arguments of Lightning's Trainer that concern hardware.

    Raises:
        TrainingError: A GPU is asked for and absent, or torchrun started another number of
            processes than params say.
    """
    found = 0 if params.accelerator == "cpu" else count_gpus()
    if params.accelerator == "gpu" and found == 0:
        raise TrainingError(
            "train.accelerator is gpu but PyTorch finds none; set it to cpu or auto"
        )
    if 0 < found < params.devices:
        raise TrainingError(
            f"train.devices is {params.devices} but PyTorch finds {found} GPU; lower it, or "
            "set train.accelerator to cpu"
        )
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if "TORCHELASTIC_RUN_ID" in os.environ and started != params.devices * params.num_nodes:
        raise TrainingError(
            f"torchrun started {started} processes, but train.devices is {params.devices} and "
            f"train.num_nodes {params.num_nodes}; their product must be {started}"
        )
    return {
        "accelerator": params.accelerator,
        "devices": params.devices,
        "num_nodes": params.num_nodes,
        "strategy": params.strategy,
        "precision": params.precision,
        # Batches are divided by `EpochBatches`; Lightning would repeat images.
        "use_distributed_sampler": False,
        # PyTorch has it for GPUs alone; on CPUs each process normalises its own part of a batch.
        "sync_batchnorm": params.accelerator != "cpu" and CUDAAccelerator.is_available(),
    }


def describe_hardware(params: TrainParams) -> str:
    """Describe what a run computes on, as in `2 processes, each on the CPU, 1 thread`."""
    place = f"the CPU, {params.threads} thread{'s' if params.threads > 1 else ''}"
    if params.accelerator != "cpu" and count_gpus() > 0:
        place = "a GPU"
    processes = params.devices * params.num_nodes
    return f"{processes} processes, each on {place}" if processes > 1 else place


def count_gpus() -> int:
    """Count the GPUs that PyTorch finds: NVIDIA's, or Apple's one."""
    return max(CUDAAccelerator.auto_device_count(), int(MPSAccelerator.is_available()))
