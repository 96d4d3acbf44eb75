"""The wheel with its core dependencies alone predicts: no torch, no Lightning, no DVC."""

import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from tests.helpers import artifacts
from tests.helpers.imports import ROOT
from tests.helpers.processes import environment


def required(name: str, extra: str = "") -> set[str]:
    """A distribution and all that it requires, directly or not, on this machine."""
    found: set[str] = set()
    waiting = [(canonicalize_name(name), extra)]
    while waiting:
        one, extra = waiting.pop()
        if one in found:
            continue
        found.add(one)
        for line in distribution(one).requires or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting.append((canonicalize_name(needed.name), ""))
    return found


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment with the wheel and its core dependencies."""
    folder = tmp_path_factory.mktemp("core")
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__")
    for package in ("pipeline", "scenes"):
        shutil.copytree(ROOT / package, source / package, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([*pip, "wheel", *options, str(source)], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    (packages,) = (folder / "env" / "lib").glob("python*/site-packages")
    (wheel,) = folder.glob("bluelight-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    for name in required("bluelight") - {"bluelight"}:
        for file in distribution(name).files or []:
            path = Path(str(file.locate()))
            if ".." not in file.parts:
                target = packages / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(path)
    return folder / "env" / "bin" / "python"


def run(python: Path, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_core_predicts_with_an_artifact(core: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    artifacts.write(model, artifacts.network())
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "photo.png")
    done = run(
        core, "-m", "pipeline", "predict", "photo.png", "--model", model, "--format", "csv",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "photo.png" in done.stdout


DEMO = """
from pathlib import Path
from pipeline.demo.server import Server

with Server(Path("model"), port=0) as server:
    print(server.augmentations.draw(Path("photo.png").read_bytes(), 0)["note"])
"""


def test_the_demo_of_the_core_does_without_augmentations(core: Path, tmp_path: Path) -> None:
    artifacts.write(tmp_path / "model", artifacts.network())
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "photo.png")
    done = run(core, "-c", DEMO, cwd=tmp_path)
    assert done.stdout == (
        "Not shown: this needs albumentations, which comes with bluelight[train].\n"
    ), done.stderr


def test_the_core_is_without_the_libraries_of_training(core: Path, tmp_path: Path) -> None:
    names = ("torch", "pytorch_lightning", "dvc", "tensorboard", "albumentations", "sklearn")
    code = f"from importlib.util import find_spec; print([n for n in {names} if find_spec(n)])"
    done = run(core, "-c", code, cwd=tmp_path)
    assert done.stdout.strip() == "[]"


def test_a_command_that_needs_more_names_the_extra(core: Path, tmp_path: Path) -> None:
    done = run(core, "-m", "pipeline", "verify", cwd=tmp_path)
    assert done.returncode == 1
    assert "bluelight[train]" in done.stderr
    assert len(done.stderr.splitlines()) == 1


# What Windows lacks; some of the libraries do without where it is missing.
WITHOUT_POSIX = """
import os, runpy, signal, sys
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None  # an import of it fails
for name in ("sysconf", "getuid", "sched_getaffinity", "O_NONBLOCK"):
    delattr(os, name)
del signal.SIGKILL
runpy.run_module("pipeline", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("command", ["predict", "check"])
def test_nothing_is_needed_that_only_posix_has(core: Path, tmp_path: Path, command: str) -> None:
    artifacts.write(tmp_path / "model", artifacts.network())
    shutil.copy(ROOT / "params.yaml", tmp_path)
    for name in ("1.png", "2.png"):
        Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / name)
    arguments = ["*.png", "--model", "model", "--output", "out.csv"] if command == "predict" else []
    done = run(core, "-c", WITHOUT_POSIX, command, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    if command == "predict":
        assert len((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()) == 3
