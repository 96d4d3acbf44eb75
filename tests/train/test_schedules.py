"""Learning-rate schedules: their shape, and a run in two halves that equals a run in one."""

from pathlib import Path
from typing import Any, get_args

import pytest

from pipeline.common.errors import TrainingError
from pipeline.common.params import Params, TrainParams
from tests.helpers.data import Pack
from tests.helpers.resuming import Run, resumes_exactly, train

BATCHES = 4


@pytest.fixture
def packed(pack: Pack) -> Path:
    pack("train", 16 * BATCHES)
    return pack("validation", 40).parent


def scheduled(params: Params, schedule: str, **changes: Any) -> Params:
    update = {"schedule": schedule, "epochs": 6, "learning_rate": 0.01} | changes
    return params.model_copy(update={"train": params.train.model_copy(update=update)})


def run(params: Params, packed: Path, schedule: str, **changes: Any) -> Run:
    return train(scheduled(params, schedule, **changes), packed, packed / "half.ckpt")


def by_epoch(rates: list[float]) -> list[float]:
    assert all(len(set(rates[i : i + BATCHES])) == 1 for i in range(0, len(rates), BATCHES))
    return rates[::BATCHES]


def test_constant_stays(params: Params, packed: Path) -> None:
    assert set(run(params, packed, "constant").rates) == {0.01}


def test_cosine_falls_by_epoch(params: Params, packed: Path) -> None:
    rates = by_epoch(run(params, packed, "cosine").rates)
    assert rates[0] == 0.01
    assert rates[3] == pytest.approx(0.005)
    assert rates == sorted(rates, reverse=True)


def test_one_cycle_rises_for_its_warm_up_and_falls_by_batch(params: Params, packed: Path) -> None:
    rates = run(params, packed, "one_cycle", warmup=0.25).rates
    assert len(set(rates)) == len(rates) == 24
    peak = rates.index(max(rates))
    assert peak == 0.25 * 24 - 1
    assert rates[peak] == pytest.approx(0.01)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] < 1e-6


def test_plateau_falls_when_the_validation_loss_stalls(params: Params, packed: Path) -> None:
    # So small a rate changes the loss by less than the threshold: each epoch but the first stalls.
    # Batch normalisation would change it by its running statistics.
    still = params.model_copy(
        update={"model": params.model.model_copy(update={"batch_norm": False})}
    )
    stalls = {"plateau_factor": 0.5, "plateau_patience": 1, "learning_rate": 1e-6}
    rates = by_epoch(run(still, packed, "plateau", **stalls).rates)
    assert rates == [1e-6, 1e-6, 1e-6, 0.5e-6, 0.5e-6, 0.25e-6]


@pytest.mark.parametrize("schedule", get_args(TrainParams.model_fields["schedule"].annotation))
def test_a_run_in_two_halves_equals_a_run_in_one(
    params: Params, packed: Path, tmp_path: Path, schedule: str
) -> None:
    stalling = {"plateau_patience": 0, "learning_rate": 0.1}
    halves = scheduled(params, schedule, **stalling)
    assert resumes_exactly(halves, packed, tmp_path / "half.ckpt")


def test_a_warm_up_of_less_than_two_steps_is_refused(params: Params, packed: Path) -> None:
    with pytest.raises(TrainingError, match=r"warmup is 0\.04 of 24 steps"):
        run(params, packed, "one_cycle", warmup=0.04)
