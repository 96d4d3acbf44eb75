"""`dvc.yaml` tells the truth: each stage lists what it reads, no more and no fewer."""

import ast
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.common import paths
from pipeline.common.files import flatten
from pipeline.common.params import (
    AblateParams,
    CheckpointParams,
    EarlyStoppingParams,
    LearningParams,
    ModelParams,
    Params,
    SyntheticParams,
    load_params,
)
from tests.helpers.imports import PACKAGE, PACKAGES, ROOT, closure, is_empty, modules
from tests.helpers.sections import sections_read

WRITTEN: dict[str, Any] = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]

# A stage of several items has what DVC does for each under `do`, with `${key}` for the item.
STAGES: dict[str, Any] = {name: stage.get("do", stage) for name, stage in WRITTEN.items()}

# They cannot change a result. `params.py` passes values through (test_params.py), and the values
# are tracked; a place in `paths.py` is tracked as an output or dependency (below); the others hold
# messages, the call of the stage, and the one name that the package offers (test_api.py).
WITHOUT_RESULTS = {
    PACKAGE / "__init__.py",
    *(PACKAGE / "common" / name for name in ("params.py", "paths.py", "errors.py")),
}

# Training takes minutes: these stages list the modules of `common/` one by one, so that an edit of
# another does not retrain. The others take seconds, and list the folder.
EXPENSIVE = {"train", "ablate"}

# `ablate.processes` changes no result; the rest of the section reaches the stage in a file.
UNTRACKED = {"ablate": {"ablate"}}

# What fetch points at a local source: in git, and an output of no stage.
WATCHED = {"data/source/files", "data/source/name"}


def code_deps(stage: str) -> set[str]:
    return {dep for dep in STAGES[stage]["deps"] if dep.split("/")[0] in PACKAGES}


def needed_code(stage: str) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in closure(PACKAGE / stage / "stage.py")
        if path not in WITHOUT_RESULTS and not is_empty(path)
    }


def outputs(stage: str) -> set[str]:
    listed = [*STAGES[stage].get("outs", []), *STAGES[stage].get("metrics", [])]
    return {next(iter(out)) if isinstance(out, dict) else out for out in listed}


@pytest.mark.parametrize("stage", STAGES)
def test_all_code_that_a_stage_imports_is_listed(stage: str) -> None:
    listed = code_deps(stage)
    missing = {path for path in needed_code(stage) if not any(_contains(d, path) for d in listed)}
    assert not missing, f"add to deps of {stage}: {sorted(missing)}"


@pytest.mark.parametrize("stage", STAGES)
def test_no_code_is_listed_that_a_stage_does_not_import(stage: str) -> None:
    needed = needed_code(stage)
    unused = {dep for dep in code_deps(stage) if not any(_contains(dep, path) for path in needed)}
    assert not unused, f"remove from deps of {stage}: {sorted(unused)}"


def test_stages_that_take_long_do_not_depend_on_all_of_common() -> None:
    for stage in EXPENSIVE:
        assert "pipeline/common" not in code_deps(stage)


def test_every_stage_has_its_folder() -> None:
    assert {path.parent.name for path in PACKAGE.glob("*/stage.py")} == set(STAGES)
    for name, stage in WRITTEN.items():
        item = " ${key}" if "foreach" in stage else ""
        assert STAGES[name]["cmd"] == f"python -m pipeline.run {name}{item}"


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_listed_exactly(stage: str) -> None:
    read = sections_read(PACKAGE / stage / "stage.py", "run", "params") - UNTRACKED.get(
        stage, set()
    )
    # A stage may name one parameter of a section: a change of the others then leaves it alone.
    assert {name.split(".")[0] for name in STAGES[stage].get("params", [])} == read


def test_sections_are_followed_from_function_to_function(tmp_path: Path) -> None:
    module = tmp_path / "stage.py"
    module.write_text(
        "from pipeline.train.fit import fit\n"
        "def run(params: Params) -> None:\n"
        "    inner(1, values=params); print(params.split.seed); Task.of(params)\n"
        "def inner(number: int, values: Params) -> None:\n"
        "    print(values.pack.size)\n"
        "class Task:\n"
        "    params: LearningParams\n"
        "    @classmethod\n"
        "    def of(cls, all_params: Params) -> 'Task':\n"
        "        return cls(all_params.decision)\n"
        "def technique(params: Params) -> None:\n"
        "    fit(params, None)\n"
        "def make(params: Params) -> None:\n"
        "    Task(params)\n"
    )
    assert sections_read(module, "run", "params") == {"split", "pack", "decision"}
    assert sections_read(module, "technique", "params") == set(LearningParams.model_fields)
    assert sections_read(module, "make", "params") == set(LearningParams.model_fields)


def test_how_many_processes_ablate_has_is_not_tracked() -> None:
    listed = {name for name in STAGES["techniques"]["params"] if name.startswith("ablate")}
    read = {f"ablate.{name}" for name in AblateParams.model_fields}
    assert listed == read - {"ablate.processes"}
    assert "params" not in STAGES["ablate"]


def test_no_listed_section_has_a_key_that_the_run_cache_overlooks() -> None:
    """DVC leaves keys called `size` and `nfiles` out of what it looks a run up by.

    It means those of files. Listed as `pack.size`, with its section, the parameter is looked at;
    within a section it is not, and the run cache restores outputs of another size.
    """
    values = load_params(ROOT / "params.yaml").model_dump()
    for stage, written in STAGES.items():
        for name in written.get("params", []):
            section: Any = values
            for part in name.split("."):
                section = section.get(part, {}) if isinstance(section, dict) else {}
            if isinstance(section, dict):
                keys = {key.split(".")[-1] for key in flatten(section)}
                assert keys.isdisjoint({"size", "nfiles"}), (stage, name)


def test_fetch_lists_every_parameter_of_the_drawn_dataset() -> None:
    listed = {name for name in STAGES["fetch"]["params"] if name.startswith("synthetic")}
    assert listed == {f"synthetic.{name}" for name in SyntheticParams.model_fields}


def test_every_parameter_is_read_by_some_code() -> None:
    attributes = {
        node.attr
        for path in [*modules(), *(ROOT / "scenes").glob("*.py")]
        if path.name != "params.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
    }
    leaves = set(_leaf_names(Params))
    # These sections go whole, as keyword arguments, to the network and to Lightning's callbacks.
    whole = (ModelParams, EarlyStoppingParams, CheckpointParams)
    assert leaves - attributes <= {name for section in whole for name in section.model_fields}


def test_data_dependencies_are_outputs_of_other_stages() -> None:
    made = {out for stage in STAGES for out in outputs(stage)}
    for stage in STAGES:
        for dep in set(STAGES[stage]["deps"]) - code_deps(stage) - WATCHED:
            assert any(_contains(out, dep) or _contains(dep, out) for out in made), (stage, dep)


def test_no_stage_depends_on_a_part_of_an_output() -> None:
    """DVC cannot load a part of a folder that its run cache restored, or that git checkout left."""
    made = {out for stage in STAGES for out in outputs(stage)}
    for stage in STAGES:
        for dep in STAGES[stage]["deps"]:
            assert not any(_contains(out, dep) and out != dep for out in made), (stage, dep)


def test_every_place_is_tracked() -> None:
    made = {out for stage in STAGES for out in outputs(stage)}
    places = {value.as_posix() for value in vars(paths).values() if isinstance(value, Path)}
    # What lies in the cache is checked against a hash or commit, which is in the params; a state to
    # resume from is found by a fingerprint of all that the result depends on.
    # What the stages ran on is read by none of them.
    known = {"params.yaml", ".cache", ".resume", "data/source", "reports/environment.json"}
    for place in places - known:
        assert any(_contains(out, place) or _contains(place, out) for out in made), place


def _contains(outer: str, inner: str) -> bool:
    return Path(inner).is_relative_to(outer)


def _leaf_names(section: Any) -> list[str]:
    names: list[str] = []
    for name, field in section.model_fields.items():
        nested = hasattr(field.annotation, "model_fields")
        names += _leaf_names(field.annotation) if nested else [name]
    return names
