"""Which sections of `params.yaml` a function reads, found in the source without running it."""

import ast
from pathlib import Path

from pipeline.common.params import LearningParams, Params
from tests.helpers.imports import ROOT

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sections_read(module: Path, name: str, argument: str) -> set[str]:
    """Return the sections that a function reads of the params it is given.

    Attributes such as `params.split` count, and what other functions read to which the function
    passes its params on. An argument that is annotated `LearningParams` counts as all of its
    sections.

    Args:
        module: The file.
        name: A function of it, a class, or a method as `Class.method`.
        argument: The parameter of the function that holds the params.
    """
    definition = _definition(module, name)
    if isinstance(definition, ast.ClassDef) or _annotation(definition, argument) != "Params":
        annotation = _annotation(definition, argument)
        assert annotation == "LearningParams", (
            f"{name} of {module} takes params as {annotation}: annotate them as Params or "
            "LearningParams, or pass the sections that are read"
        )
        return set(LearningParams.model_fields)
    read = {
        node.attr
        for node in ast.walk(definition)
        if isinstance(node, ast.Attribute) and _is_name(node.value, argument)
    } & Params.model_fields.keys()
    for call in ast.walk(definition):
        if isinstance(call, ast.Call):
            for target, parameter in _passed_on(module, call, argument):
                read |= sections_read(*target, parameter)
    return read


def _passed_on(module: Path, call: ast.Call, argument: str) -> list[tuple[tuple[Path, str], str]]:
    """The function called and its parameter, for each place where a call passes the params."""
    positions = [at for at, given in enumerate(call.args) if _is_name(given, argument)]
    keywords = [k.arg for k in call.keywords if k.arg and _is_name(k.value, argument)]
    if not positions and not keywords:
        return []
    target = _target(module, ast.unparse(call.func))
    names = list(_parameters(_definition(*target)))
    return [(target, name) for name in [*(names[at] for at in positions), *keywords]]


def _target(module: Path, called: str) -> tuple[Path, str]:
    """Where a function or class is defined: here, or in the module it is imported from."""
    outer = called.split(".", maxsplit=1)[0]
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and outer in {alias.name for alias in node.names}:
            return ROOT / f"{str(node.module).replace('.', '/')}.py", called
    return module, called


def _definition(module: Path, name: str) -> Function | ast.ClassDef:
    found: ast.AST = ast.parse(module.read_text(encoding="utf-8"))
    for part in name.split("."):
        inner = [
            node
            for node in ast.iter_child_nodes(found)
            if isinstance(node, Function | ast.ClassDef) and node.name == part
        ]
        assert inner, f"{name} is not defined in {module}"
        found = inner[0]
    assert isinstance(found, Function | ast.ClassDef)
    return found


def _parameters(definition: Function | ast.ClassDef) -> dict[str, ast.expr | None]:
    """Parameters by name, with annotations; of a class, those of its `__init__` or its fields."""
    if isinstance(definition, ast.ClassDef):
        for node in definition.body:
            if isinstance(node, Function) and node.name == "__init__":
                return _parameters(node)
        return {
            node.target.id: node.annotation
            for node in definition.body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
    given = definition.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return {a.arg: a.annotation for a in arguments if a.arg not in {"self", "cls"}}


def _annotation(definition: Function | ast.ClassDef, argument: str) -> str:
    annotation = _parameters(definition)[argument]
    return "" if annotation is None else ast.unparse(annotation)


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
