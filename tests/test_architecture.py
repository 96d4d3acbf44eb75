"""The house: rooms import only from rooms below, and a stage pays only for what it uses."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.imports import PACKAGE, ROOT, imported, modules
from tests.helpers.processes import environment

# Beside `common/` and itself, what each room may import; docs/architecture.md draws the same.
# Nothing else is allowed, and the table has no circle, so imports run one way.
MAY_IMPORT: dict[str, set[str]] = {
    "common": set(),
    "fetch": set(),
    "split": set(),
    "pack": {"features"},
    "features": {"train"},
    "train": set(),
    "predict": set(),
    "techniques": set(),
    "ablate": {"features", "train"},
    "compare": set(),
    "package": {"predict"},
    "evaluate": {"predict"},
    "report": set(),
    "demo": {"predict", "train"},
    "revisions": set(),
}
# `cli.py` and `run.py` start what the rooms do, `__init__.py` offers `load`.
STARTERS = {"cli.py", "run.py", "__init__.py", "__main__.py"}


def room(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0]


@pytest.mark.parametrize("module", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_rooms_import_only_what_they_may(module: Path) -> None:
    if room(module) in STARTERS:
        return
    allowed = {room(module), "common", "__init__.py", *MAY_IMPORT[room(module)]}
    assert {room(path) for path in imported(module) if path.is_relative_to(PACKAGE)} <= allowed


def test_every_room_is_in_the_table() -> None:
    assert {room(module) for module in modules()} - STARTERS == MAY_IMPORT.keys()


def test_stages_do_not_import_each_other() -> None:
    stages = set(PACKAGE.glob("*/stage.py"))
    for module in stages:
        assert not imported(module) & stages


STAGE = "pipeline.{}.stage"
TRAINING = {"torch", "pytorch_lightning", "albumentations"}


@pytest.mark.parametrize(
    ("module", "spared"),
    [
        # Of several modules, none imports what all together do not.
        (
            ", ".join(map(STAGE.format, ("fetch", "split", "pack", "package"))),
            TRAINING | {"matplotlib"},
        ),
        (", ".join(map(STAGE.format, ("evaluate", "report"))), TRAINING),
        (
            "pipeline.predict.classifier",
            {"torch", "albumentations", "sklearn", "scipy", "pandas", "onnx"},
        ),
        (
            "pipeline.predict.command",
            {"torch", "dvc", "sklearn", "scipy", "pandas", "matplotlib", "onnx"},
        ),
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
