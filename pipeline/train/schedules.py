"""How the learning rate changes during a run, in the form in which Lightning takes it."""

from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    OneCycleLR,
    ReduceLROnPlateau,
)

from pipeline.common.errors import TrainingError
from pipeline.common.params import TrainParams


def schedule(optimizer: Optimizer, params: TrainParams, steps: int) -> dict[str, Any]:
    """Lightning's configuration of the schedule that `train.schedule` names.

    Every schedule keeps its state in `state_dict`, and has made its step by the time the callbacks
    see an epoch's end, so a run goes on from a checkpoint written there as if never interrupted.

    Args:
        optimizer: What to drive; its rate is `train.learning_rate`.
        params: The optimisation.
        steps: Batches in the whole run.

    Raises:
        TrainingError: The run has too few batches for the warm-up.
    """
    return KINDS[params.schedule](optimizer, params, steps)


def _constant(optimizer: Optimizer, params: TrainParams, steps: int) -> dict[str, Any]:
    del params, steps
    return {"scheduler": ConstantLR(optimizer, factor=1.0)}


def _cosine(optimizer: Optimizer, params: TrainParams, steps: int) -> dict[str, Any]:
    """From the rate to 0 along half a cosine, by epoch (Loshchilov & Hutter, 2017)."""
    del steps
    return {"scheduler": CosineAnnealingLR(optimizer, params.epochs)}


def _one_cycle(optimizer: Optimizer, params: TrainParams, steps: int) -> dict[str, Any]:
    """Up to the rate and down to almost 0, by batch; momentum the other way (Smith, 2018)."""
    # At one step exactly, PyTorch would divide by zero.
    if params.warmup * steps <= 1:
        raise TrainingError(
            f"train.warmup is {params.warmup:g} of {steps} steps, less than two; raise it, or "
            "train.epochs"
        )
    cycle = OneCycleLR(
        optimizer, max_lr=params.learning_rate, total_steps=steps, pct_start=params.warmup
    )
    return {"scheduler": cycle, "interval": "step"}


def _plateau(optimizer: Optimizer, params: TrainParams, steps: int) -> dict[str, Any]:
    """Down by a factor whenever the validation loss has not fallen for some epochs."""
    plateau = ReduceLROnPlateau(
        optimizer, factor=params.plateau_factor, patience=params.plateau_patience
    )
    # Lightning would step an "epoch" schedule of this kind only after checkpoints are written, and
    # forget the step in a resumed run; one of "step" it steps right after validation.
    batches = steps // params.epochs
    return {"scheduler": plateau, "monitor": "val_loss", "interval": "step", "frequency": batches}


KINDS: dict[str, Callable[[Optimizer, TrainParams, int], dict[str, Any]]] = {
    "constant": _constant,
    "cosine": _cosine,
    "one_cycle": _one_cycle,
    "plateau": _plateau,
}
