"""Limit the vector instructions that libraries use, so that x86 processors give the same bytes.

NumPy, OpenBLAS, PyTorch and oneDNN choose their code by the processor they run on, and code for
wider vectors adds numbers in another order. Each library reads its limit once, when it is imported
or first computes: call `limit_instructions` before importing any of them. This module therefore
imports only the standard library. docs/reproducibility.md has the measurements and the cost.
"""

import os
import platform
from pathlib import Path

# NumPy and OpenBLAS (which SciPy uses too): for every stage. OpenCV needs no limit.
ARRAYS = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
}

# PyTorch's own kernels, and oneDNN, which multiplies its matrices: `pipeline.train.mlp`.
TORCH = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}

LIMIT = "AVX2"  # as `torch.backends.cpu.get_cpu_capability` reports it

PROCESSOR = Path("/proc/cpuinfo")


def limit_instructions(*, torch: bool) -> None:
    """Keep this process, and the processes it starts, from instructions beyond AVX2.

    Has no effect on a processor without AVX2, or on one that is not x86.

    Args:
        torch: Whether to limit PyTorch too: `train.portable`.
    """
    if can_limit():
        os.environ.update(ARRAYS | TORCH if torch else ARRAYS)


def can_limit() -> bool:
    """Return whether this processor can be limited: x86 with AVX2 and FMA."""
    if platform.machine() != "x86_64" or not PROCESSOR.exists():
        return False
    # PyTorch would crash if it were limited to instructions that the processor does not have.
    flags = PROCESSOR.read_text(encoding="utf-8").partition("\nflags")[2].partition("\n")[0]
    return {"avx2", "fma"} <= set(flags.split())
