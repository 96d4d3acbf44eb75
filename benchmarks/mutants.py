"""How many small faults in the code do the tests notice?

    python -m benchmarks.mutants --sample 100 --seed 1

Each mutant is a copy of the project with one operator, number or truth value of `pipeline/`
changed. It is run against the tests of its room and those that name its module, without the slow
ones, and is killed if one of them fails. The tests must pass on the code as it is. A line is
printed for each mutant; of those that survive, no test can tell them apart, or one is missing.
"""

import argparse
import ast
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.clones import clone_into
from tests.helpers.imports import ROOT
from tests.helpers.server import IMPORTS, OURS

SECONDS = 300  # of wall time for the tests of one mutant
SWAPS: dict[type[ast.AST], Any] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.USub: ast.UAdd,
}


def can_change(node: ast.AST) -> bool:
    """Whether `mutant` knows a change of the node."""
    match node:
        case ast.Constant(value=bool() | int() | float()) | ast.If() | ast.IfExp():
            return True
        case ast.Compare(ops=[operator, *_]) | ast.BinOp(op=operator):
            return type(operator) in SWAPS
        case ast.BoolOp(op=operator) | ast.UnaryOp(op=operator):
            return type(operator) in SWAPS
    return False


def mutant(source: str, number: int) -> tuple[str, str]:
    """The source with a change of one node, numbered as `ast.walk` gives them, and the change."""
    tree = ast.parse(source)
    node: Any = list(ast.walk(tree))[number]
    before = ast.unparse(node)
    match node:
        case ast.Constant(value=bool()):
            node.value = not node.value
        case ast.Constant(value=int() | float() as value):
            node.value = value + 1
        case ast.If() | ast.IfExp():
            node.test = ast.UnaryOp(ast.Not(), node.test, lineno=node.lineno)
            before, node = ast.unparse(node.test.operand), node.test
        case ast.Compare():
            node.ops[0] = SWAPS[type(node.ops[0])]()
        case _:
            node.op = SWAPS[type(node.op)]()
    return ast.unparse(tree), f"{node.lineno}: {before[:70]} -> {ast.unparse(node)[:70]}"


def tests_of(module: Path) -> list[str]:
    """The room's tests, then the others that name the module; paths from the root."""
    name = ".".join(module.with_suffix("").parts)
    package, _, last = name.rpartition(".")
    room = ROOT / "tests" / module.parts[1]
    found = [path.relative_to(ROOT).as_posix() for path in sorted(room.glob("test_*.py"))]
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if name in text or f"from {package} import {last}" in text:
            found.append(path.relative_to(ROOT).as_posix())
    return list(dict.fromkeys(found))


def outcome(copy: Path, tests: list[str], log: Path) -> str:
    """Run the tests in a fork, which has the libraries; "killed" and by which, or "survived"."""
    child = os.fork()
    if child == 0:
        os.setsid()
        os.chdir(copy)
        os.environ["PYTHONPATH"] = str(copy)
        os.dup2(os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 1)
        os.dup2(1, 2)
        for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
            del sys.modules[name]
        sys.path.insert(0, str(copy))
        options = ["-x", "-q", "-m", "not slow", "--tb=no", "-p", "no:cacheprovider", "-rf"]
        os._exit(pytest.main([*options, *tests]))
    deadline = time.monotonic() + SECONDS
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if not ended:
        os.waitpid(child, 0)
        return "killed by the clock"
    code = os.waitstatus_to_exitcode(status)
    if code in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        return "survived"
    failed = [line for line in log.read_text(errors="replace").splitlines() if "FAILED" in line]
    return f"killed by {failed[0].split()[1] if failed else f'exit code {code}'}"


def main() -> None:
    """Draw a sample, and count."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sample", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    sources = {
        path.relative_to(ROOT): path.read_text(encoding="utf-8")
        for path in sorted((ROOT / "pipeline").rglob("*.py"))
    }
    places = [
        (module, number)
        for module, source in sources.items()
        for number, node in enumerate(ast.walk(ast.parse(source)))
        if can_change(node)
    ]
    sample = random.Random(asked.seed).sample(places, asked.sample)  # noqa: S311
    for library in IMPORTS["stage"]:
        import_module(library)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        copy = clone_into(Path(folder, "project"), {})
        for module, number in sample:
            source, change = mutant(sources[module], number)
            (copy / module).write_text(source, encoding="utf-8")
            shutil.rmtree((copy / module).parent / "__pycache__", ignore_errors=True)
            found = outcome(copy, tests_of(module), Path(folder, "log"))
            (copy / module).write_text(sources[module], encoding="utf-8")
            shutil.rmtree((copy / module).parent / "__pycache__", ignore_errors=True)
            counts[found.split()[0]] += 1
            print(f"{found}  {module}:{change}", flush=True)
    print(f"{len(places)} possible, {dict(counts)}")


if __name__ == "__main__":
    main()
