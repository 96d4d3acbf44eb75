"""Small data that training and evaluation can run on in a second."""

import json
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from pipeline.common.parallel import available_cores
from pipeline.common.params import Params, load_params
from tests.helpers.data import CLASSES, SIZE, Pack
from tests.helpers.imports import ROOT
from tests.helpers.server import offered


def pytest_configure(config: pytest.Config) -> None:
    """Start what runs DVC and stages quickly; with several processes, once for all."""
    # A shell's background job ignores Ctrl-C, and so would all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput") and sys.platform == "linux":
        programs = ExitStack()
        folder = programs.enter_context(offered())
        config.add_cleanup(programs.close)
        workers = config.getoption("tx", [])  # as many as `--numprocesses` says
        config.option.tx = [f"{worker}//python={folder / 'python'}" for worker in workers]


@pytest.hookimpl(optionalhook=True)  # also where pytest-xdist is not
def pytest_xdist_auto_num_workers() -> int:
    """Say how many processes `auto` means: one more than cores, as some tests mostly wait."""
    return available_cores() + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the slow tests, so that no process is left alone with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture
def params() -> Params:
    """The project's own params, with a network and a run that take no time."""
    whole = load_params(ROOT / "params.yaml")
    quick = {"epochs": 3, "batch_size": 16, "workers": 0, "threads": 1}
    return whole.model_copy(
        update={
            "model": whole.model.model_copy(update={"hidden": [16, 8]}),
            "train": whole.train.model_copy(update=quick),
        }
    )


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """Write a packed split whose classes differ in brightness, under noise."""

    def write(name: str, images: int, seed: int = 0, size: int = SIZE) -> Path:
        draw = np.random.default_rng(seed + images)
        labels = np.arange(images, dtype=np.int64) % 2
        pixels = draw.normal(110 + 30 * labels[:, None, None, None], 60, (images, size, size, 3))
        folder = tmp_path / "data" / "packed" / name
        folder.mkdir(parents=True)
        np.save(folder / "images.npy", pixels.clip(0, 255).astype(np.uint8))
        np.save(folder / "labels.npy", labels)
        names = [f"{index:04}.png" for index in range(images)]
        meta = {"classes": CLASSES, "names": names, "groups": names, "size": size}
        (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
        features = tmp_path / "data" / "features" / name
        features.mkdir(parents=True)
        (features / "features.json").write_text('{"kind": "pixels"}', encoding="utf-8")
        return folder

    return write


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run a stage in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
