"""The same bytes on x86 processors with AVX-512 as on those without it: instructions are capped.

Libraries choose their code by the processor that they find, and code for wider vectors adds numbers
in another order. Each reads its cap once, when it is imported or first computes, so `cap` comes
before that; it imports nothing but the standard library. What it takes and costs, measured, is in
docs/reproducibility.md.
"""

import os
import platform
from pathlib import Path

# NumPy and its linear algebra, which SciPy has too: for every stage. OpenCV needs no cap.
ARRAYS = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
}

# PyTorch's own code, and oneDNN, which multiplies its matrices: `pipeline.train.linear`.
TORCH = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}

CAPPED = "AVX2"  # as PyTorch names it

PROCESSOR = Path("/proc/cpuinfo")


def cap(*, torch: bool) -> None:
    """Keep this process, and those that it starts, from instructions beyond AVX2.

    Without effect on a processor that has no AVX2, or no x86.

    Args:
        torch: PyTorch as well: `train.portable`.
    """
    if can_cap():
        os.environ.update(ARRAYS | TORCH if torch else ARRAYS)


def can_cap() -> bool:
    """Whether this is one of the processors that can be made to agree: x86 with AVX2."""
    if platform.machine() != "x86_64" or not PROCESSOR.exists():
        return False
    # Without the instructions that it is capped to, PyTorch would crash.
    flags = PROCESSOR.read_text(encoding="utf-8").partition("\nflags")[2].partition("\n")[0]
    return {"avx2", "fma"} <= set(flags.split())
