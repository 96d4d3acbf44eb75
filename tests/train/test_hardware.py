"""Params about hardware that the machine or the launcher contradicts are refused with a remedy."""

from typing import Any

import pytest

from pipeline.common.errors import TrainingError
from pipeline.common.params import Params
from pipeline.train.fit import describe_hardware, trainer_arguments
from pipeline.train.resume import is_main_process


def refused(params: Params, **changes: Any) -> str:
    with pytest.raises(TrainingError) as caught:
        trainer_arguments(params.train.model_copy(update=changes))
    return str(caught.value)


def with_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    cuda = "pipeline.train.fit.CUDAAccelerator"
    monkeypatch.setattr(f"{cuda}.auto_device_count", lambda: count)
    monkeypatch.setattr("pipeline.train.fit.MPSAccelerator.is_available", lambda: False)


def test_a_gpu_that_is_absent_is_told(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 0)
    message = refused(params, accelerator="gpu")
    assert message == "train.accelerator is gpu but PyTorch finds none; set it to cpu or auto"
    assert trainer_arguments(params.train.model_copy(update={"accelerator": "auto"}))


def test_too_few_gpus_are_told(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 1)
    assert "PyTorch finds 1 GPU" in refused(params, accelerator="gpu", devices=2)
    assert "PyTorch finds 1 GPU" in refused(params, accelerator="auto", devices=2)
    assert trainer_arguments(params.train.model_copy(update={"accelerator": "cpu", "devices": 2}))


def test_a_run_names_what_it_computes_on(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    def described(**changes: Any) -> str:
        return describe_hardware(params.train.model_copy(update=changes))

    with_gpus(monkeypatch, 2)
    assert described(accelerator="cpu", threads=2) == "the CPU, 2 threads"
    assert described(accelerator="auto") == "a GPU"
    assert described(accelerator="gpu", devices=2) == "2 processes, each on a GPU"
    with_gpus(monkeypatch, 0)
    assert described(accelerator="auto") == "the CPU, 1 thread"


def test_torchrun_and_params_must_agree(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "run")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert "torchrun started 4 processes" in refused(params, devices=2)
    assert trainer_arguments(params.train.model_copy(update={"devices": 2, "num_nodes": 2}))


def test_one_process_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_main_process()
    monkeypatch.setenv("NODE_RANK", "1")
    assert not is_main_process()
