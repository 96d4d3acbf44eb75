"""Two processes on CPUs: the results of one, written once, every validation image measured once."""

import csv
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from ruamel.yaml import YAML
from safetensors.numpy import load_file
from scipy.special import softmax

from pipeline.common import paths
from pipeline.common.artifact import LOGITS
from pipeline.common.datasets import load_packed
from pipeline.common.params import load_params
from pipeline.package import stage as package
from pipeline.predict.classifier import load, outputs_of
from pipeline.train import stage as train
from tests.helpers.data import Pack
from tests.helpers.imports import ROOT
from tests.helpers.pictures import contents
from tests.helpers.processes import environment

STAGE = ("-m", "pipeline.run", "train")
LIGHTNING = ("python", *STAGE)
TORCHRUN = ("python", "-m", "torch.distributed.run", "--nproc-per-node=2", *STAGE)

Workplace = Callable[..., Path]


@pytest.fixture
def workplace(pack: Pack, elsewhere: Path) -> Workplace:
    """A folder with data and with params for small networks, in which the stage can run.

    The last batch has 7 images, 4 and 3 for two processes; 41 validation images are odd as well.
    """
    pack("train", 71)
    pack("validation", 41)

    def write(**changes: Any) -> Path:
        yaml = YAML()
        content = yaml.load(ROOT / "params.yaml")
        content["model"] |= {"hidden": [16, 8], "batch_norm": False, "dropout": 0.0}
        content["train"] |= {"epochs": 6, "batch_size": 16, "workers": 0, "threads": 1}
        content["train"] |= {"class_weights": "balanced", "label_smoothing": 0.1}
        # No epoch improves by that much, so all processes must stop after the fourth.
        content["early_stopping"] |= {"enabled": True, "min_delta": 9.0, "patience": 3}
        for key, value in changes.items():
            section = "model" if key in content["model"] else "train"
            content[section][key] = value
        yaml.dump(content, elsewhere / "params.yaml")
        return elsewhere

    return write


def run(folder: Path, command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=environment() | {"PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def trained(folder: Path, command: tuple[str, ...]) -> str:
    done = run(folder, command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def history(folder: Path) -> npt.NDArray[np.float64]:
    with (folder / "reports/train/history.csv").open(encoding="utf-8") as file:
        return np.array([list(map(float, row)) for row in list(csv.reader(file))[1:]])


def weights(folder: Path) -> dict[str, npt.NDArray[np.float32]]:
    return load_file(folder / "models/network/model.safetensors")


def assert_close(
    one: dict[str, npt.NDArray[np.float32]], other: dict[str, npt.NDArray[np.float32]]
) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_allclose(values, other[name], rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("command", [TORCHRUN, LIGHTNING], ids=["torchrun", "Lightning"])
def test_two_processes_find_what_one_does(workplace: Workplace, command: tuple[str, ...]) -> None:
    """To 1e-6, no validation image can have counted twice."""
    folder = workplace()
    train.run(load_params())
    alone, metrics, files = weights(folder), history(folder), contents(folder)
    assert len(metrics) == 4
    workplace(devices=2, strategy="ddp")
    printed = trained(folder, command)
    np.testing.assert_allclose(history(folder), metrics, rtol=1e-5, atol=1e-6)
    assert_close(weights(folder), alone)
    # The runner's own: what the stage ran on.
    assert contents(folder).keys() - {paths.ENVIRONMENT.as_posix()} == files.keys()
    start, end = printed.splitlines()
    assert start.endswith("images, on 2 processes, each on the CPU, 1 thread")
    assert end.startswith("train: 4 epochs (stopped early)")


def test_batch_norm_and_dropout_end_near_one_process(workplace: Workplace) -> None:
    """Each process normalises its own part of a batch and draws its own dropout."""
    regularised: dict[str, Any] = {"batch_norm": True, "dropout": 0.2}
    folder = workplace(**regularised)
    train.run(load_params())
    alone = history(folder)
    workplace(devices=2, **regularised)
    trained(folder, TORCHRUN)
    together = history(folder)
    assert not np.array_equal(together, alone)
    np.testing.assert_allclose(together[-1, 1:3], alone[-1, 1:3], rtol=0.15)
    assert measured_loss(folder) == pytest.approx(together[:, 2].min(), abs=1e-4)


def measured_loss(folder: Path) -> float:
    """The validation loss of the weights that were written."""
    package.run(load_params())
    split = load_packed(folder / "data/packed/validation")
    session = load(folder / "models/vehicle-classifier").session
    shares = softmax(outputs_of(session, split.images, LOGITS), axis=1)
    return float(-np.log(shares[np.arange(len(split)), split.labels]).mean())
