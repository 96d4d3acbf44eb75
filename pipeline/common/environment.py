"""Limit the vector instructions that libraries use, and record what each stage last ran on.

NumPy, OpenBLAS, PyTorch and oneDNN choose their code by the processor they run on, and code for
wider vectors adds numbers in another order. Each library reads its limit once, when it is imported
or first computes: call `limit_instructions` before importing any of them. This module therefore
imports none of them. docs/reproducibility.md has the measurements and the cost.

`reports/environment.json` is tracked by git and is not an output of DVC: as an output it would make
`dvc.lock` differ between machines that agree on every result. `pipeline.run` writes it when a stage
is done. A stage that DVC skips, or restores from its cache, keeps the record of the run that made
its outputs.
"""

import json
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
PROCESSOR = Path("/proc/cpuinfo")  # of Linux

# NumPy and OpenBLAS (which SciPy uses too): for every stage. OpenCV needs no limit.
ARRAYS = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
}

# PyTorch's own kernels, and oneDNN, which multiplies its matrices: `pipeline.train.mlp`.
TORCH = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}

LIMIT = "AVX2"  # as `torch.backends.cpu.get_cpu_capability` reports it

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


def limit_instructions(*, torch: bool) -> None:
    """Keep this process, and the processes it starts, from instructions beyond AVX2.

    With `torch`, PyTorch is limited too. A processor without AVX2, or one that is not x86, is not.
    """
    if can_limit():
        os.environ.update(ARRAYS | TORCH if torch else ARRAYS)


def can_limit() -> bool:
    """Return whether this processor can be limited: x86 with AVX2 and FMA."""
    # PyTorch would crash if it were limited to instructions that the processor does not have.
    return platform.machine() == "x86_64" and {"avx2", "fma"} <= set(_cpuinfo("flags").split())


def facts() -> Facts:
    """This machine and its libraries, as far as results can depend on them.

    Libraries are those that the project asks for; what those ask for in turn is in the lock file.
    `instructions` are sets of vector instructions as NumPy names them: X86_V3 has AVX2, X86_V4 has
    AVX-512.
    """
    import numpy as np  # noqa: PLC0415 - only once the runner has limited it

    sets = np.show_config(mode="dicts")["SIMD Extensions"]
    wanted = map(Requirement, requires(PACKAGE) or [])
    here = (one for one in wanted if one.marker is None or one.marker.evaluate({"extra": "train"}))
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _cpuinfo("model name") or platform.processor(),
        "instructions": [*sets["baseline"], *sets.get("found", [])],
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "libraries": {
            name: version(name) for name in sorted({PACKAGE, *(one.name for one in here)})
        },
    }


def record(stage: str, found: Mapping[str, Any]) -> None:
    """Record in which environment, as `facts` found it, a stage ran; equal ones share an entry."""
    known = by_stage(read_json(paths.ENVIRONMENT) if paths.ENVIRONMENT.exists() else [])
    stages: dict[str, list[str]] = {}
    for name, ran_on in sorted((known | {stage: dict(found)}).items()):
        stages.setdefault(json.dumps(ran_on), []).append(name)
    entries = [{STAGES: names, **json.loads(ran_on)} for ran_on, names in stages.items()]
    write_json(paths.ENVIRONMENT, entries)


def by_stage(entries: list[dict[str, Any]]) -> dict[str, Facts]:
    """Return what each stage ran on, by its name, from the content of the file."""
    return {
        stage: {name: value for name, value in entry.items() if name != STAGES}
        for entry in entries
        for stage in entry[STAGES]
    }


def is_main_process() -> bool:
    """Whether this is the first process of a distributed run, or the only one."""
    ranks = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
    return all(os.environ.get(name, "0") == "0" for name in ranks)


def _cpuinfo(field: str) -> str:
    """Return a field of the first processor in /proc/cpuinfo; empty where there is no such file."""
    lines = PROCESSOR.read_text(encoding="utf-8").splitlines() if PROCESSOR.exists() else []
    named = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in named if name.strip() == field), "")
