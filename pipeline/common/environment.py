"""Record what each stage last ran on, in `reports/environment.json`.

The file is tracked by git and is not an output of DVC: as an output it would make `dvc.lock` differ
between machines that agree on every result. `pipeline.run` writes it when a stage is done. A stage
that DVC skips, or restores from its cache, keeps the record of the run that made its outputs.
"""

import os
import platform
from collections.abc import Mapping
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from pipeline.common import paths
from pipeline.common.files import read_json, write_json

PACKAGE = "bluelight"
STAGES = "stages"

# They change which instructions are used, or the order of a sum, and so the last bits of a result.
VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_NUM_THREADS",
    "NPY_DISABLE_CPU_FEATURES",
    "OMP_NUM_THREADS",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
)

Facts = dict[str, Any]


def facts() -> Facts:
    """This machine and its libraries, as far as results can depend on them.

    Libraries are those that the project asks for; what those ask for in turn is in the lock file.
    """
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "instructions": _instructions(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "libraries": {name: version(name) for name in sorted(_required())},
    }


def record(stage: str, found: Mapping[str, Any]) -> None:
    """Note what a stage ran on; stages that ran on the same are noted together.

    Args:
        stage: Its name, as DVC has it.
        found: What `facts` gave before it ran.
    """
    entries = read_json(paths.ENVIRONMENT) if paths.ENVIRONMENT.exists() else []
    others = [_without(entry, stage) for entry in entries]
    if not any(_facts(entry) == found for entry in others):
        others.append({STAGES: [], **found})
    for entry in others:
        if _facts(entry) == found:
            entry[STAGES] = sorted([*entry[STAGES], stage])
    kept = [entry for entry in others if entry[STAGES]]
    write_json(paths.ENVIRONMENT, sorted(kept, key=lambda entry: entry[STAGES]))


def by_stage(entries: list[dict[str, Any]]) -> dict[str, Facts]:
    """What each stage ran on, by its name.

    Args:
        entries: Content of the file.
    """
    return {stage: _facts(entry) for entry in entries for stage in entry[STAGES]}


def is_only_process() -> bool:
    """Whether this process is the one of several, on one machine or more, that takes notes."""
    ranks = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
    return all(os.environ.get(name, "0") == "0" for name in ranks)


def _facts(entry: Mapping[str, Any]) -> Facts:
    return {name: value for name, value in entry.items() if name != STAGES}


def _without(entry: dict[str, Any], stage: str) -> dict[str, Any]:
    return {**entry, STAGES: [name for name in entry[STAGES] if name != stage]}


def _processor() -> str:
    """The processor's name as Linux tells it; elsewhere what Python knows."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _instructions() -> list[str]:
    """Sets of vector instructions as NumPy names them: X86_V3 has AVX2, X86_V4 has AVX-512."""
    import numpy as np  # noqa: PLC0415 - only once the runner has capped it

    sets = np.show_config(mode="dicts")["SIMD Extensions"]
    return [*sets["baseline"], *sets.get("found", [])]


def _required() -> set[str]:
    """The libraries that the project asks for, and the project itself."""
    wanted = map(Requirement, requires(PACKAGE) or [])
    here = (one for one in wanted if one.marker is None or one.marker.evaluate({"extra": "train"}))
    return {PACKAGE, *(one.name for one in here)}
