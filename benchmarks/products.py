"""Compare the matrix products of linear layers between processors, and time them.

    python -m benchmarks.products [--model Haswell --model EPYC]

Covers MKL under several settings, and oneDNN, all with instructions limited to AVX2. Counts the
shapes of layers whose product, or one of its gradients, has other bits on a processor that QEMU
emulates (Debian's qemu-user), or with more threads. Times the forward and the backward pass of a
first layer, which needs no gradient of its inputs: the median of 50 passes after 10. Each processor
takes five minutes.
"""

import argparse
import hashlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

from benchmarks.processes import add_models, emulators, run

Part = Callable[[], Any]

THREADS = (2, 3, 4)
MKL_SETTINGS = ("AVX2", "AVX2,STRICT", "COMPATIBLE")

INPUTS, OUTPUTS, IMAGES = (16, 128, 512, 3072), (1, 2, 3, 5, 8, 10, 32, 128, 512), (2, 17, 64, 247)
TIMED = (3072, 512, 64)  # the first layer at 32 pixels, and a batch
WARM_UP, REPEATS = 10, 50


def main() -> None:
    """Measure each kind in processes of its own, as limits are read once; print a line for each."""
    parser = argparse.ArgumentParser(description="Do processors agree on matrix products?")
    add_models(parser)
    parser.add_argument("--kind", help="used by the program itself")
    parser.add_argument("--timed", action="store_true", help="so is this")
    asked = parser.parse_args()
    if asked.kind:
        measure_here(asked.kind, timed=asked.timed)
        return
    emulated = emulators(parser, asked.models)
    for kind in (*(f"MKL_CBWR={setting}" for setting in MKL_SETTINGS), "oneDNN"):
        found, (forward, backward) = ask(kind, timed=True)
        print(f"{kind}: forward {forward:.2f} ms, backward {backward:.2f} ms")
        for threads in THREADS:
            print(f"  {threads} threads: {differing(found, ask(kind, threads=threads)[0])}")
        for model, emulator in emulated.items():
            print(f"  {model}: {differing(found, ask(kind, *emulator)[0])}", flush=True)


def ask(
    kind: str, *emulator: str, threads: int = 1, timed: bool = False
) -> tuple[dict[str, str], list[float]]:
    """Measure in a separate process: a digest for each shape, and the milliseconds.

    Args:
        kind: `oneDNN`, or a setting of MKL's.
        emulator: What to run Python by.
        threads: Of PyTorch.
        timed: Whether to time one.
    """
    program = [sys.executable, "-m", "benchmarks.products", "--kind", kind, *["--timed"] * timed]
    variables = {"OMP_NUM_THREADS": str(threads)}
    variables |= dict([kind.split("=")]) if "=" in kind else {}
    printed = run([*emulator, *program], variables=variables)
    found, seconds = json.loads(printed)
    return found, seconds


def differing(one: dict[str, str], other: dict[str, str]) -> str:
    """How many shapes do not have the same bits."""
    return f"{sum(one[shape] != other[shape] for shape in one)} of {len(one)} shapes differ"


def measure_here(kind: str, *, timed: bool) -> None:
    """Print what `ask` reads."""
    from pipeline.common.environment import limit_instructions  # noqa: PLC0415 - only the child has to

    limit_instructions(torch=True)
    print(json.dumps([dict(digests(kind)), milliseconds(kind) if timed else ()]))


def digests(kind: str) -> Iterator[tuple[str, str]]:
    """A digest of the product and its gradients for each shape: inputs x outputs x images."""
    for shape in product(INPUTS, OUTPUTS, IMAGES):
        forward, backward = prepared(kind, *shape)
        tensors = [forward(), *backward()]
        content = b"".join(tensor.numpy().tobytes() for tensor in tensors)
        yield "x".join(map(str, shape)), hashlib.sha256(content).hexdigest()


def milliseconds(kind: str) -> tuple[float, float]:
    """Medians of the product and of its gradients, at the timed shape."""
    forward, backward = (_median(part) for part in prepared(kind, *TIMED, first=True))
    return forward, backward


def prepared(
    kind: str, inputs: int, outputs: int, images: int, *, first: bool = False
) -> tuple[Part, Part]:
    """The product of a layer without bias, and its gradients, on fixed random numbers."""
    import torch  # noqa: PLC0415 - limited only now
    from torch import nn  # noqa: PLC0415

    from pipeline.train.mlp import Linear  # noqa: PLC0415

    torch.manual_seed(inputs + outputs + images)
    layer = (Linear if kind == "oneDNN" else nn.Linear)(inputs, outputs, bias=False)
    values = torch.randn(images, inputs, requires_grad=not first)
    gradient = torch.randn(images, outputs)
    given = [layer.weight] if first else [layer.weight, values]

    def forward() -> Any:  # noqa: ANN401 - a tensor
        return layer(values).detach()

    result = layer(values)

    def backward() -> Any:  # noqa: ANN401 - a tensor for each of `given`
        return torch.autograd.grad(result, given, gradient, retain_graph=True)

    return forward, backward


def _median(part: Part) -> float:
    seconds = []
    for _ in range(WARM_UP + REPEATS):
        start = time.perf_counter()
        part()
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds[WARM_UP:])


if __name__ == "__main__":
    main()
