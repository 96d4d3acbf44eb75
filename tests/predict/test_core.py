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
