"""The workflows run what the repository has, and no action but GitHub's own."""

import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

from pipeline.common.params import load_params
from tests.helpers.clones import run
from tests.helpers.imports import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ALLOWED = {"actions/checkout", "actions/setup-python", "actions/cache"}


def steps(workflow: Path) -> Iterator[dict[str, Any]]:
    for job in YAML(typ="safe").load(workflow)["jobs"].values():
        yield from job["steps"]


def triggers(name: str) -> set[str]:
    """`on` is a boolean to YAML 1.1, and a word to 1.2, which this reads."""
    return set(re.findall(r"push|pull_request", str(YAML(typ="safe").load(ROOT / name)["on"])))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_no_action_of_third_parties_is_used(workflow: Path) -> None:
    used = {step["uses"].partition("@")[0] for step in steps(workflow) if "uses" in step}
    assert used <= ALLOWED


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_the_scripts_that_are_run_exist(workflow: Path) -> None:
    commands = [step.get("run", "").split() for step in steps(workflow)]
    scripts = [command[0] for command in commands if command and "/" in command[0]]
    assert scripts
    assert all(os.access(ROOT / script, os.X_OK) for script in scripts)


def test_pushes_are_tested_and_pull_requests_compared() -> None:
    assert "push" in triggers(".github/workflows/ci.yml")
    assert triggers(".github/workflows/compare.yml") == {"pull_request"}


@pytest.mark.parametrize(
    ("arguments", "params"),
    [
        ([], ["fetch.table=emergency_classification.csv"]),
        (["SOURCE=docs"], [f'fetch.source="{ROOT}/docs"']),
        (["SOURCE=torchvision:MNIST"], ['fetch.source="torchvision:MNIST"']),
    ],
)
def test_make_photos_runs_an_experiment_on_photos(arguments: list[str], params: list[str]) -> None:
    printed = run(ROOT, "make", "--dry-run", "photos", *arguments)
    (line,) = [line for line in printed.splitlines() if line.startswith("dvc exp run")]
    words = shlex.split(line)
    assert set(params) <= set(words)
    with_source = next(word for word in words if word.startswith("fetch.source="))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "params.yaml")
        path.write_bytes((ROOT / "params.yaml").read_bytes())
        apply_overrides(path, [word for word in words if word.startswith("fetch.")])
        source = load_params(path).fetch.source
    assert f'fetch.source="{source}"' == with_source
    if not arguments:
        assert re.fullmatch(r"git\+https://\S+@[0-9a-f]{40}#data/Dataset", source)
