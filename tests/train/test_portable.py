"""The same bytes on other processors: instructions are limited, and products are of one kind."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML
from torch import nn

from pipeline.common import paths
from pipeline.common.environment import ARRAYS, LIMIT, TORCH, can_limit, limit_instructions
from pipeline.common.errors import TrainingError
from pipeline.common.params import Params
from pipeline.train.fit import prepare_cpu
from pipeline.train.mlp import Linear, has_onednn_product
from tests.helpers.data import Pack
from tests.helpers.imports import ROOT
from tests.helpers.processes import environment

QEMU = shutil.which("qemu-x86_64")
INPUTS, OUTPUTS = 300, 40

needs_limit = pytest.mark.skipif(not can_limit(), reason="not an x86 processor with AVX2")


@pytest.fixture
def project(elsewhere: Path, pack: Pack) -> Path:
    """A place to run stage `train` in, on small data."""
    pack("train", 80)
    pack("validation", 30)
    yaml = YAML()
    params = yaml.load(ROOT / "params.yaml")
    params["model"]["hidden"] = [32, 8]
    params["train"].update(epochs=2, batch_size=16, workers=0)
    yaml.dump(params, elsewhere / "params.yaml")
    return elsewhere


def train(folder: Path, python: str, **variables: str) -> dict[str, str]:
    """Run stage `train`; its outputs by name, as text."""
    done = subprocess.run(
        [python, "-m", "pipeline.run", "train"],
        cwd=folder,
        env=environment() | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = [path for top in ("models", "logs", "reports") for path in (folder / top).rglob("*")]
    return {
        path.relative_to(folder).as_posix(): path.read_bytes().hex()
        for path in made
        if path.is_file() and path != folder / paths.ENVIRONMENT
    }


def differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """The outputs that are not the same in both."""
    return sorted(name for name in one | other if one.get(name) != other.get(name))


def first_difference(one: str, other: str) -> tuple[int, bytes, bytes]:
    """Where two files, as `train` gives them, begin to differ, with the bytes around it."""
    files = bytes.fromhex(one), bytes.fromhex(other)
    places = (place for place, (a, b) in enumerate(zip(*files, strict=False)) if a != b)
    place = next(places, min(map(len, files)))
    first, second = (file[max(0, place - 60) : place + 60] for file in files)
    return place, first, second


@needs_limit
def test_a_stage_limits_whatever_the_variables_were(project: Path) -> None:
    plain = train(project, "python")  # from the server of the tests, which is limited itself
    other = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
    otherwise = train(project, sys.executable, **other, PYTHONHASHSEED="77")
    noted = json.loads((project / paths.ENVIRONMENT).read_text(encoding="utf-8"))[0]
    assert TORCH.items() <= noted["variables"].items()
    assert noted["instructions"][-1] == "X86_V3"
    changed = {
        name: first_difference(plain.get(name, ""), otherwise.get(name, ""))
        for name in differing(plain, otherwise)
    }
    assert changed == {}


@needs_limit
@pytest.mark.slow
@pytest.mark.skipif(QEMU is None, reason="no qemu-x86_64 (Debian's package qemu-user)")
def test_a_processor_without_avx512_makes_the_same_bytes() -> None:
    """Intel's Haswell, emulated: it has AVX2, and MKL takes other paths than on AMD's."""
    command = [sys.executable, "-m", "tests.helpers.products"]
    here, there = (
        subprocess.run([*emulator, *command], cwd=ROOT, capture_output=True, text=True, check=True)
        for emulator in ([], [str(QEMU), "-cpu", "Haswell"])
    )
    assert here.stdout.count("\n") > 10
    assert there.stdout == here.stdout


def test_nothing_is_imported_before_the_limit() -> None:
    code = """
import sys, pipeline.run
print(*({"numpy", "scipy", "cv2", "torch"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(("flags", "limits"), [("fma sse2 avx2", True), ("sse2 avx", False)])
def test_only_a_processor_with_avx2_is_limited_to_it(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, flags: str, limits: bool
) -> None:
    processor = elsewhere / "cpuinfo"
    processor.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t:\n", encoding="utf-8")
    monkeypatch.setattr("pipeline.common.environment.PROCESSOR", processor)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    found: dict[str, str] = {}
    monkeypatch.setattr("os.environ", found)
    limit_instructions(torch=True)
    assert found == (ARRAYS | TORCH if limits else {})
    found.clear()
    limit_instructions(torch=False)
    assert found == (ARRAYS if limits else {})
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert not can_limit()


@needs_limit
def test_training_refuses_what_would_not_be_portable(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert torch.backends.cpu.get_cpu_capability() == LIMIT  # of these very tests
    prepare_cpu(params.train)
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX512")
    with pytest.raises(TrainingError, match="PyTorch uses AVX512 in this process"):
        prepare_cpu(params.train)
    prepare_cpu(params.train.model_copy(update={"portable": False}))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("images", [1, 17])
def test_the_layer_is_pytorchs_own_but_for_last_bits(bias: bool, images: int) -> None:
    torch.manual_seed(0)
    layer = Linear(INPUTS, OUTPUTS, bias=bias)
    values = torch.randn(images, INPUTS, requires_grad=True)
    outcomes = []
    for forward in (layer, lambda given: nn.Linear.forward(layer, given)):
        layer.zero_grad()
        values.grad = None
        result = forward(values)
        result.square().sum().backward()
        outcomes.append([result, values.grad, *(each.grad for each in layer.parameters())])
    for ours, theirs in zip(*outcomes, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_the_layers_sums_do_not_depend_on_threads() -> None:
    torch.manual_seed(0)
    layer, values = Linear(INPUTS, OUTPUTS), torch.randn(64, INPUTS)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            layer.zero_grad()
            result = layer(values)
            result.square().sum().backward()
            results.append([result, layer.weight.grad, layer.bias.grad])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_half_precision_is_left_to_pytorch() -> None:
    layer, values = Linear(INPUTS, OUTPUTS), torch.randn(4, INPUTS)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(values).dtype == torch.bfloat16
    assert layer.double()(values.double()).dtype == torch.float64


@pytest.mark.parametrize("fault", [AttributeError, RuntimeError, TypeError, None])
def test_without_the_private_product_pytorchs_own_is_used_and_said_so(
    fault: type[Exception] | None,
    params: Params,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Relies on `torch.ops.mkldnn._linear_pointwise`, which any release may move or change."""

    def changed(left: torch.Tensor, right: torch.Tensor, *_: object) -> torch.Tensor:
        if fault is not None:
            raise fault
        return left @ right.t()  # without the bias

    monkeypatch.setattr("pipeline.train.mlp._product", changed)
    has_onednn_product.cache_clear()
    try:
        prepare_cpu(params.train)
        (line,) = capsys.readouterr().err.splitlines()
        assert "results are not the same on all processors" in line
        layer, values = Linear(INPUTS, OUTPUTS), torch.randn(4, INPUTS)
        assert torch.equal(layer(values), nn.Linear.forward(layer, values))
    finally:
        has_onednn_product.cache_clear()
    assert not capsys.readouterr().err, "it is said once"
