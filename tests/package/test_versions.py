"""Versions of the artifact: git tags name them, and `dvc artifacts get` fetches them elsewhere."""

import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline import load
from pipeline.common import paths
from pipeline.common.artifact import Decision
from tests.helpers import artifacts
from tests.helpers.clones import commit, dvc, run
from tests.helpers.imports import ROOT

NAME = paths.MODEL.name


def release(project: Path, version: str, threshold: float, *tag: str) -> None:
    """Make an artifact, commit it and tag it."""
    decision = Decision(temperature=1, positive="emergency", threshold=threshold, rule="cost")
    artifacts.write(project / paths.MODEL, decision=decision)
    shutil.rmtree(project / paths.NETWORK.with_name(f"{NAME}-network"))
    dvc(project, "commit", "--force", "package")
    commit(project, version)
    run(project, *tag)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone without any data, of a project with two versions, one of them in production."""
    folder = tmp_path_factory.mktemp("versions")
    project, store = folder / "project", folder / "store"
    (project / ".dvc").mkdir(parents=True)
    for name in (".dvc/config", ".dvc/.gitignore", "models/.gitignore"):
        (project / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, project / name)
    declared = YAML(typ="safe").load(ROOT / "dvc.yaml")["artifacts"]
    stage = {"cmd": "true", "outs": [paths.MODEL.as_posix()]}
    with (project / "dvc.yaml").open("w", encoding="utf-8") as file:
        YAML().dump({"stages": {"package": stage}, "artifacts": declared}, file)
    run(project, "git", "init", "--quiet")
    dvc(project, "remote", "add", "--default", "store", str(store))
    release(project, "v1.0.0", 0.4, "gto", "register", NAME, "--version", "v1.0.0")
    by_hand = ("git", "tag", "--annotate", f"{NAME}@v1.1.0", "--message", "v1.1.0")
    release(project, "v1.1.0", 0.3, *by_hand)
    dvc(project, "push", "--all-commits")
    run(project, "gto", "assign", NAME, "--version", "v1.0.0", "--stage", "production")
    run(folder, "git", "clone", "--quiet", str(project), "clone")
    return folder / "clone"


@pytest.mark.parametrize(
    ("which", "threshold"),
    [((), 0.3), (("--rev", "v1.0.0"), 0.4), (("--stage", "production"), 0.4)],
    ids=["newest", "version", "stage"],
)
def test_a_version_is_fetched_and_loads(
    published: Path, tmp_path: Path, which: tuple[str, ...], threshold: float
) -> None:
    dvc(tmp_path, "artifacts", "get", str(published), NAME, *which)
    assert load(tmp_path / NAME).description.decision.threshold == threshold


def test_a_version_that_does_not_exist_is_named(published: Path, tmp_path: Path) -> None:
    printed = dvc(tmp_path, "artifacts", "get", str(published), NAME, "--rev", "v9", fails=True)
    assert f"Unable to find artifact '{NAME} @ v9'" in printed
