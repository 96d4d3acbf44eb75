"""Devices, processes, threads and precision of a run."""

import os
from typing import Any

import torch
from pytorch_lightning.accelerators import CUDAAccelerator, MPSAccelerator
from pytorch_lightning.strategies import Strategy
from pytorch_lightning.utilities import rank_zero_only
from torch import nn

from pipeline.common.environment import LIMIT, can_limit
from pipeline.common.errors import TrainingError
from pipeline.common.params import TrainParams


def trainer_arguments(params: TrainParams) -> dict[str, Any]:
    """Choose the arguments of Lightning's Trainer that concern hardware.

    Raises:
        TrainingError: A GPU is asked for and absent, or torchrun started another number of
            processes than params say.
    """
    if params.accelerator != "cpu":
        found = max(CUDAAccelerator.auto_device_count(), int(MPSAccelerator.is_available()))
        if params.accelerator == "gpu" and found == 0:
            raise TrainingError(
                "train.accelerator is gpu but PyTorch finds none; set it to cpu or auto"
            )
        if 0 < found < params.devices:
            raise TrainingError(
                f"train.devices is {params.devices} but PyTorch finds {found} GPU; lower it, or "
                "set train.accelerator to cpu"
            )
    if "TORCHELASTIC_RUN_ID" in os.environ:
        started = int(os.environ.get("WORLD_SIZE", "1"))
        if started != params.devices * params.num_nodes:
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
        # Batches are divided by `DividedBatches`; Lightning would repeat images.
        "use_distributed_sampler": False,
        # PyTorch has it for GPUs alone; on CPUs each process normalises its own part of a batch.
        "sync_batchnorm": params.accelerator != "cpu" and CUDAAccelerator.is_available(),
    }


def describe_hardware(params: TrainParams) -> str:
    """Say what a run computes on, such as `the CPU, 1 thread` or `2 processes, each on a GPU`."""
    has_gpu = CUDAAccelerator.auto_device_count() > 0 or MPSAccelerator.is_available()
    threads = f"{params.threads} thread{'s' if params.threads > 1 else ''}"
    place = "a GPU" if params.accelerator != "cpu" and has_gpu else f"the CPU, {threads}"
    processes = params.devices * params.num_nodes
    return f"{processes} processes, each on {place}" if processes > 1 else place


def use_threads(count: int) -> None:
    """Compute on this many threads, in this process and in those that Lightning starts.

    Lightning would choose by the machine's cores, and the number changes a sum's last bits.
    """
    os.environ["OMP_NUM_THREADS"] = str(count)
    torch.set_num_threads(count)


def check_instructions(params: TrainParams) -> None:
    """Check that results are portable where `train.portable` asks for it.

    Raises:
        TrainingError: PyTorch uses instructions that other processors lack.
    """
    used = torch.backends.cpu.get_cpu_capability()
    if params.portable and can_limit() and used != LIMIT:
        raise TrainingError(
            f"train.portable is true, but PyTorch uses {used} in this process; call "
            "pipeline.common.environment.limit_instructions(torch=True) before it computes "
            "anything, or set train.portable to false"
        )


def is_main_process() -> bool:
    """Return whether this is the process that writes and prints; true where there is only one."""
    # A process that Lightning starts on another machine knows its node before its rank.
    rank = int(rank_zero_only.rank)  # type: ignore[attr-defined]
    return rank == 0 and int(os.environ.get("NODE_RANK", "0")) == 0


def average_statistics(module: nn.Module, strategy: Strategy) -> None:
    """Set the running statistics of batch normalisation to their mean over all processes."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d):
            for statistic in (layer.running_mean, layer.running_var):
                if statistic is not None:
                    statistic.copy_(strategy.reduce(statistic.clone(), reduce_op="mean"))
