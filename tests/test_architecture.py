"""The house: rooms import only from rooms below, and a stage pays only for what it uses."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import environment
from tests.imports import PACKAGE, ROOT, imported, modules

# From the top; docs/architecture.md draws the same.
ROOMS = [
    "stages",
    "__main__.py",
    "cli.py",
    "history",
    "packaging",
    "demo",
    "inference",
    "evaluation",
    "ablation",
    "learning",
    "artifact.py",
    "dataset",
    "environment.py",
    "portability.py",
    "files.py",
    "randomness.py",
    "params.py",
    "paths.py",
    "errors.py",
    "__init__.py",
]


def room(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0]


@pytest.mark.parametrize("module", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_run_downward(module: Path) -> None:
    own = ROOMS.index(room(module))
    above = {room(path) for path in imported(module) if ROOMS.index(room(path)) < own}
    assert not above


def test_stages_do_not_import_each_other() -> None:
    for module in (PACKAGE / "stages").glob("*.py"):
        assert not {p for p in imported(module) if room(p) == "stages" and p.stem != "__init__"}


@pytest.mark.parametrize(
    ("module", "spared"),
    [
        ("pipeline.stages.fetch", {"torch", "pytorch_lightning", "albumentations", "matplotlib"}),
        ("pipeline.stages.split", {"torch", "pytorch_lightning", "albumentations", "matplotlib"}),
        ("pipeline.stages.pack", {"torch", "pytorch_lightning", "albumentations", "matplotlib"}),
        ("pipeline.stages.package", {"torch", "pytorch_lightning", "albumentations", "matplotlib"}),
        ("pipeline.stages.evaluate", {"torch", "pytorch_lightning", "albumentations"}),
        ("pipeline.stages.report", {"torch", "pytorch_lightning", "albumentations"}),
        ("pipeline.inference.classify", {"torch", "albumentations", "sklearn", "scipy", "onnx"}),
        ("pipeline.inference.predict", {"torch", "dvc", "sklearn", "scipy", "matplotlib", "onnx"}),
        ("pipeline.cli", {"torch", "dvc", "numpy", "matplotlib", "onnxruntime", "pydantic"}),
        ("pipeline", {"torch", "numpy", "onnxruntime", "pydantic", "cv2"}),
    ],
)
def test_heavy_libraries_are_spared(module: str, spared: set[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert spared.isdisjoint(done.stdout.split())
