"""`bluelight diff`: two revisions compared to the image, wherever DVC keeps their outputs."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pipeline.cli import app
from pipeline.common.errors import RevisionError
from tests.helpers.clones import commit, dvc, run
from tests.helpers.projects import NAMES, replace, reproduce


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["diff", *arguments], catch_exceptions=False)


def difference(*revisions: str) -> Any:
    return json.loads(call(*revisions, "--format", "json").stdout)


def test_two_commits_with_another_dropout_differ_as_counted_by_hand(project: Path) -> None:
    found = difference("HEAD~1", "HEAD")
    assert found["new"]["commit"] == run(project, "git", "rev-parse", "HEAD").strip()
    assert found["params"] == {"model.dropout": {"old": 0.5, "new": 0.2}}
    assert found["data"] == found["missing"] == found["code"] == []
    assert found["stale"] == found["environment"] == {}
    accuracy = found["metrics"]["reports/test/metrics.json"]["accuracy"]
    assert (accuracy["old"], accuracy["new"], accuracy["difference"]) == (0.85, 0.9, 0.05)
    # Of 20 images two are gained and one is lost: ±0.165 about 0.05 in the normal approximation.
    assert accuracy["interval"]["low"] == pytest.approx(-0.1, abs=0.05)
    assert accuracy["interval"]["high"] == pytest.approx(0.2, abs=0.05)
    changed = [
        (c["image"], c["label"], c["old"], c["new"]) for c in found["predictions"]["changed"]
    ]
    assert changed == [
        ("03.png", "emergency", "emergency", "other"),
        ("00.png", "other", "emergency", "other"),
        ("01.png", "emergency", "other", "emergency"),
    ]
    assert found["predictions"]["paired"]


def test_a_commit_is_shown_in_short_and_a_name_with_its_commit(project: Path) -> None:
    full = run(project, "git", "rev-parse", "HEAD").strip()
    for name, shown in ((full, full[:7]), (full[:10], full[:7]), ("HEAD", f"HEAD ({full[:7]})")):
        printed = call(name, "--format", "md").stdout
        assert printed.startswith(f"### {shown} \N{RIGHTWARDS ARROW} workspace")


def test_the_default_is_the_last_commit_against_the_workspace(project: Path) -> None:
    assert difference()["params"] == {}
    replace(project / "params.yaml", "dropout: 0.2", "dropout: 0.1")
    dvc(project, "repro", "--quiet")
    found = difference()
    assert found["params"] == {"model.dropout": {"old": 0.2, "new": 0.1}}
    assert found["new"] == {"name": "workspace", "commit": None}
    assert found["metrics"]["reports/test/metrics.json"]["accuracy"]["new"] == 1.0
    assert {change["image"] for change in found["predictions"]["changed"]} == {"02.png", "03.png"}


def test_the_ends_of_an_interval_are_no_metrics(project: Path) -> None:
    del project
    names = set(difference()["metrics"]["reports/test/metrics.json"])
    assert names == {"images", "accuracy", "at_threshold.recall"}


def test_a_changed_file_of_code_names_the_stages_that_read_it(project: Path) -> None:
    with (project / "pipeline/evaluate.py").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    (project / "pipeline/new.py").touch()
    found = difference()
    assert found["code"] == ["pipeline/evaluate.py", "pipeline/new.py"]
    assert found["stages"] == ["evaluate"]
    assert found["stale"] == {"workspace": ["evaluate"]}


def test_a_changed_threshold_is_shown_with_the_images_that_it_flips(project: Path) -> None:
    replace(project / "params.yaml", "threshold: 0.5", "threshold: 0.9")
    dvc(project, "repro", "--quiet")
    found = difference()
    assert found["decision"] == {"threshold": {"old": 0.5, "new": 0.9}}
    flipped = found["predictions"]["changed"]
    # Image 2 was wrongly an emergency vehicle; of the ten true ones only image 3 was missed.
    assert len(flipped) == 10
    assert all((row["old"], row["new"]) == ("emergency", "other") for row in flipped)
    assert [row["image"] for row in flipped if row["kind"] == "gained"] == ["02.png"]
    assert "threshold: 0.5 \N{RIGHTWARDS ARROW} 0.9" in call().stdout


def test_marks_of_markdown_in_values_are_shown_as_they_are(project: Path) -> None:
    replace(project / "params.yaml", "positive: emergency", "positive: '*a* <b>|_c_'")
    assert "evaluate.positive: emergency \N{RIGHTWARDS ARROW} *a* <b>|_c_" in call().stdout


def test_libraries_that_changed_are_named(project: Path) -> None:
    replace(project / "requirements.lock", "torch==2.14.0", "torch==2.15.0")
    assert difference()["environment"] == {"torch": {"old": "2.14.0", "new": "2.15.0"}}


def test_a_stage_that_ran_on_another_processor_is_reported(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROCESSOR", "two")
    dvc(project, "repro", "--quiet", "--force")
    assert difference()["environment"] == {"processor": {"old": "one", "new": "two"}}


def test_a_commit_whose_params_were_not_run_is_reported(project: Path) -> None:
    replace(project / "params.yaml", "dropout: 0.2", "dropout: 0.1")
    commit(project, "not run")
    assert difference("HEAD~1", "HEAD")["stale"].popitem()[1] == ["train"]
    assert "! HEAD (" in call("HEAD~1", "HEAD").stdout


def test_images_of_the_same_name_from_other_data_are_not_paired(project: Path) -> None:
    replace(project / "params.yaml", "seed: 1", "seed: 2")
    reproduce(project, "other data")
    found = difference("HEAD~2", "HEAD")
    assert found["data"] == ["data/raw"]
    # The first five images have other pixels now; all changed predictions are among them.
    assert not found["predictions"]["paired"]
    assert (found["predictions"]["common"], found["predictions"]["changed"]) == (15, [])
    printed = call("HEAD~2", "HEAD").stdout
    assert "The test images differ (20 and 20, 15 of them the same)" in printed
    assert "unpaired" in printed


def test_an_experiment_can_be_named(project: Path) -> None:
    dvc(project, "exp", "run", "--quiet", "--set-param", "model.dropout=0.1", "--name", "drier")
    run(project, "git", "checkout", "--", ".")
    assert difference("HEAD", "drier")["params"] == {"model.dropout": {"old": 0.2, "new": 0.1}}


def test_what_is_missing_is_explained_and_the_rest_is_shown(project: Path) -> None:
    shutil.rmtree(project / ".dvc/cache")
    printed = call("HEAD~1", "HEAD").stdout
    assert (
        "! missing reports/test/predictions.csv, reports/train/history.csv, "
        "models/vehicle-classifier/model.json of HEAD~1 (" in " ".join(printed.split())
    )
    assert "no remote is configured" in " ".join(printed.split())
    assert "&& dvc repro`" in " ".join(printed.split())
    assert "+0.0500" in printed


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("reports/test/metrics.json", "[1]"),
        ("reports/test/metrics.json", '{"accuracy": {'),
        ("reports/test/predictions.csv", "image,label,predicted,probability_other\n"),
        ("reports/train/history.csv", "epoch,loss\n1,2\n"),
        ("models/vehicle-classifier/model.json", '"text"'),
    ],
)
def test_an_output_in_another_form_is_named_and_the_rest_is_shown(
    project: Path, name: str, content: str
) -> None:
    (project / name).write_text(content, encoding="utf-8")
    (line,) = difference()["missing"]
    assert line.startswith(f"{name} of workspace is damaged (")
    assert "metrics" in call("--html", "page.html").stdout


@pytest.mark.parametrize(
    ("name", "content"),
    [("requirements.lock", "torch == nonsense ==\n"), ("reports/environment.json", '{"a": 1}')],
)
def test_a_file_of_git_in_another_form_is_an_error(project: Path, name: str, content: str) -> None:
    (project / name).write_text(content, encoding="utf-8")
    with pytest.raises(RevisionError, match=rf"{name} of workspace is damaged \("):
        call()


def test_outputs_in_a_remote_are_fetched(project: Path, tmp_path: Path) -> None:
    dvc(project, "remote", "add", "--default", "store", str(tmp_path / "store"))
    shutil.move(project / ".dvc/cache", tmp_path / "store")  # a remote is laid out as the cache
    found = difference("HEAD~1", "HEAD")
    assert not found["missing"]
    assert len(found["predictions"]["changed"]) == 3


def test_a_remote_that_lacks_an_output_is_named(project: Path, tmp_path: Path) -> None:
    dvc(project, "remote", "add", "--default", "store", str(tmp_path / "store"))
    shutil.rmtree(project / ".dvc/cache")
    (missing,) = difference("HEAD")["missing"]
    assert "neither in the DVC cache nor in the remote store (was it pushed?)" in missing


def test_workspace_and_index_are_left_alone(project: Path) -> None:
    with (project / "pipeline/train.py").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    (project / "dvc.yaml").touch()  # git would note that it is unchanged
    before = snapshot(project)
    call("HEAD~1", "HEAD")
    call("--format", "json")
    assert snapshot(project) == before


def snapshot(project: Path) -> dict[str, bytes]:
    files = [path for path in project.rglob("*") if path.is_file()]
    inside = [path for path in files if ".dvc" not in path.relative_to(project).parts]
    return {str(path): path.read_bytes() for path in inside}


def test_markdown_has_the_tables_that_a_job_summary_shows(project: Path) -> None:
    del project
    printed = call("HEAD~1", "HEAD", "--format", "md").stdout
    assert printed.startswith("### HEAD~1 (")
    assert "| params | model.dropout: 0.5 \N{RIGHTWARDS ARROW} 0.2 |" in printed
    assert "| accuracy | 0.8500 | 0.9000 | +0.0500 |" in printed
    assert "| 03.png | emergency | emergency | other | 80% | now wrong |" in printed


def test_the_page_holds_curves_and_photos_and_refers_to_nothing(project: Path) -> None:
    call("HEAD~1", "HEAD", "--html", "page.html")
    page = (project / "page.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2  # loss and accuracy
    assert page.count("data:image/jpeg;base64,") == 3  # the changed predictions
    assert 'src="http' not in page
    assert "href=" not in page
    for name in NAMES[:2] + NAMES[3:4]:
        assert name in page


def test_photos_that_are_missing_are_explained(project: Path) -> None:
    shutil.rmtree(project / "data/raw")
    listing = run(project, "git", "show", "HEAD:dvc.lock")
    digest = next(line for line in listing.splitlines() if line.endswith(".dir")).split()[-1]
    (project / ".dvc/cache/files/md5" / digest[:2] / digest[2:]).unlink()
    call("HEAD~1", "HEAD", "--html", "page.html")
    page = (project / "page.html").read_text(encoding="utf-8")
    assert "No photos: missing data/raw/images/" in page
    assert "data:image/jpeg" not in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "revision nonsense cannot be read: unknown Git revision 'nonsense'"),
        (["HEAD~9"], "revision HEAD~9 cannot be read: unknown Git revision 'HEAD~9'"),
    ],
)
@pytest.mark.usefixtures("project")
def test_an_unknown_revision_is_named(arguments: list[str], message: str) -> None:
    with pytest.raises(RevisionError, match=message):
        call(*arguments)


def test_outside_of_a_project_the_message_says_where_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RevisionError, match=r"no dvc\.yaml in .*; go to the root of the project"):
        call()
