"""`dvc.yaml` tells the truth: each stage lists what it reads, no more and no fewer."""

import ast
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline import paths
from pipeline.ablation.techniques import ALONE
from pipeline.params import Params, TrainParams
from tests.imports import PACKAGE, ROOT, closure, is_empty, modules

WRITTEN: dict[str, Any] = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]

# A stage of several items has what DVC does for each under `do`, with `${key}` for the item.
STAGES: dict[str, Any] = {name: stage.get("do", stage) for name, stage in WRITTEN.items()}

# They cannot change a result. `params.py` passes values through (test_params.py), and the values
# are tracked; a place in `paths.py` is tracked as an output or dependency (below); the others hold
# messages, the call of the stage, and the one name that the package offers (test_api.py).
WITHOUT_RESULTS = {"__init__.py", "params.py", "paths.py", "errors.py", "stages/__main__.py"}

# What fetch points at a local source: in git, and an output of no stage.
WATCHED = {"data/source/files", "data/source/name"}


def code_deps(stage: str) -> set[str]:
    return {dep for dep in STAGES[stage]["deps"] if dep.startswith("pipeline/")}


def needed_code(stage: str) -> set[str]:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in closure(PACKAGE / "stages" / f"{stage}.py")
        if path.relative_to(PACKAGE).as_posix() not in WITHOUT_RESULTS and not is_empty(path)
    }
    if "pipeline/evaluation/page.py" in found:
        found.add("pipeline/evaluation/templates")
    return _whole_folders(found)


def outputs(stage: str) -> set[str]:
    listed = [*STAGES[stage].get("outs", []), *STAGES[stage].get("metrics", [])]
    return {next(iter(out)) if isinstance(out, dict) else out for out in listed}


@pytest.mark.parametrize("stage", STAGES)
def test_code_is_listed_exactly(stage: str) -> None:
    needed = sorted(needed_code(stage))
    assert sorted(code_deps(stage)) == needed, "deps should be:\n      - " + "\n      - ".join(
        needed
    )


def test_every_stage_has_its_module() -> None:
    stems = {path.stem for path in (PACKAGE / "stages").glob("*.py")} - {"__init__", "__main__"}
    assert stems == set(STAGES)
    for name, stage in WRITTEN.items():
        item = " ${key}" if "foreach" in stage else ""
        assert STAGES[name]["cmd"] == f"python -m pipeline.stages {name}{item}"


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_listed_exactly(stage: str) -> None:
    tree = ast.parse((PACKAGE / "stages" / f"{stage}.py").read_text(encoding="utf-8"))
    read = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "params"
        and node.attr in Params.model_fields
    }
    # A stage may name one parameter of a section: a change of the others then leaves it alone.
    assert {name.split(".")[0] for name in STAGES[stage].get("params", [])} == read


def test_ablate_leaves_out_what_it_sets_itself() -> None:
    listed = {name for name in STAGES["ablate"]["params"] if name.startswith("train.")}
    read = TrainParams.model_fields.keys() - ALONE.keys() - {"seed", "epochs"}
    assert listed == {f"train.{name}" for name in read}


def test_how_many_processes_ablate_has_is_not_tracked() -> None:
    listed = {name for name in STAGES["ablate"]["params"] if name.startswith("ablate")}
    assert listed == {"ablate.seeds", "ablate.epochs", "ablate.baseline"}


def test_every_parameter_is_read_by_some_code() -> None:
    attributes = {
        node.attr
        for path in modules()
        if path.name != "params.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
    }
    leaves = set(_leaf_names(Params))
    # The architecture goes to the network as keyword arguments.
    assert leaves - attributes - {"hidden", "activation", "batch_norm", "dropout"} == set()


def test_data_dependencies_are_outputs_of_other_stages() -> None:
    made = {out for stage in STAGES for out in outputs(stage)}
    for stage in STAGES:
        for dep in set(STAGES[stage]["deps"]) - code_deps(stage) - WATCHED:
            assert any(_contains(out, dep) or _contains(dep, out) for out in made), (stage, dep)


def test_every_place_is_tracked() -> None:
    made = {out for stage in STAGES for out in outputs(stage)}
    places = {value.as_posix() for value in vars(paths).values() if isinstance(value, Path)}
    # What lies in the cache is checked against a hash or commit, which is in the params; a state to
    # resume from is found by a fingerprint of all that the result depends on.
    # What the stages ran on is read by none of them.
    known = {"params.yaml", ".cache", ".resume", "data/source", "reports/environment.json"}
    for place in places - known:
        assert any(_contains(out, place) or _contains(place, out) for out in made), place


def _whole_folders(found: set[str]) -> set[str]:
    """A room of which everything is needed is listed as the folder."""
    for room in {path.parent for path in modules()} - {PACKAGE, PACKAGE / "stages"}:
        inside = {p.relative_to(ROOT).as_posix() for p in room.rglob("*.py") if not is_empty(p)}
        if inside and inside <= found:
            found = (found - inside) | {room.relative_to(ROOT).as_posix()}
    return found


def _contains(outer: str, inner: str) -> bool:
    return Path(inner).is_relative_to(outer)


def _leaf_names(section: Any) -> list[str]:
    names: list[str] = []
    for name, field in section.model_fields.items():
        nested = hasattr(field.annotation, "model_fields")
        names += _leaf_names(field.annotation) if nested else [name]
    return names
