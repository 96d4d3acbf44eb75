"""`bluelight average`: mean and interval of metrics over revisions, such as folds."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.common.errors import RevisionError
from tests.helpers.clones import commit, dvc
from tests.helpers.projects import replace, reproduce


def average(*revisions: str) -> list[list[str]]:
    """The cells of the table that is printed."""
    command = ["average", *revisions]
    printed = CliRunner().invoke(app, command, catch_exceptions=False).stdout
    return [line.split() for line in printed.splitlines()]


def test_metrics_of_three_commits_are_averaged(project: Path) -> None:
    replace(project / "params.yaml", "dropout: 0.2", "dropout: 0.1")
    reproduce(project, "dropout 0.1")
    lines = average("HEAD~2", "HEAD~1", "HEAD")
    # Accuracies 0.85, 0.9, 1: mean 0.9167, standard error 0.0441, t of 2 degrees of freedom 4.3027.
    assert ["accuracy", "0.9167", "0.7269", "to", "1.1064"] in lines
    assert ["images", "20.0000", "20.0000", "to", "20.0000"] in lines
    assert not any("interval" in line[0] for line in lines[1:])
    replace(project / "params.yaml", "seed: 1", "seed: 2")
    dvc(project, "repro", "--quiet", "data")
    commit(project, "the metrics are those of the old data")
    assert not [line for line in average("HEAD~1", "HEAD") if "accuracy" in line]
    for names in (["HEAD"], ["HEAD", "HEAD"]):
        with pytest.raises(RevisionError, match="two or more different commits"):
            average(*names)
