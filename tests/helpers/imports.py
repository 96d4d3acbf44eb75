"""Which modules of `pipeline` and `scenes` a module imports, read from the source, not run."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "pipeline"
PACKAGES = (PACKAGE.name, "scenes")


def modules() -> list[Path]:
    """Every module of the package."""
    return sorted(PACKAGE.rglob("*.py"))


@cache
def imported(module: Path) -> frozenset[Path]:
    """The files that a module names in its imports, packages on the way included."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    names = (name for node in _executed(tree) for name in _names(node))
    return frozenset(path for name in names for path in _files(name))


def closure(module: Path) -> set[Path]:
    """A module and all that it imports, directly or not."""
    found: set[Path] = set()
    waiting = [module, *_packages(module)]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting.extend(imported(path))
    return found


def is_empty(module: Path) -> bool:
    """Whether a module has nothing but its docstring."""
    body = ast.parse(module.read_text(encoding="utf-8")).body
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it, less what only type checkers read."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from _executed(child)


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files(name: str) -> Iterator[Path]:
    """The file of a dotted name and of each package above it, as far as they exist."""
    parts = name.split(".")
    if parts[0] not in PACKAGES:
        return
    for length in range(1, len(parts) + 1):
        base = ROOT.joinpath(*parts[:length])
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                yield path


def _packages(module: Path) -> Iterator[Path]:
    yield from (p / "__init__.py" for p in module.parents if (p / "__init__.py").is_file())
