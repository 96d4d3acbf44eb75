"""`bluelight verify`: a rebuilt commit gives what its lock says, or the output is named."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline.cli import app
from pipeline.common.errors import RevisionError
from pipeline.revisions.verification import largest_difference
from tests.helpers.clones import commit, dvc, run
from tests.helpers.projects import replace

OUTPUTS = 8


def verify(*arguments: str, fails: bool = False) -> str:
    result: Result = CliRunner().invoke(app, ["verify", *arguments], catch_exceptions=False)
    assert result.exit_code == int(fails), result.stdout
    return "\n".join(line.rstrip() for line in result.stdout.splitlines())


def lock_entry(project: Path, path: str) -> str:
    """The recorded hash of an output."""
    lines = (project / "dvc.lock").read_text(encoding="utf-8").splitlines()
    starts = [number for number, line in enumerate(lines) if line.strip() == f"- path: {path}"]
    return lines[starts[-1] + 2].split()[-1]


def spoil(project: Path, path: str) -> None:
    """Change one digit of an output's hash in the lock, wherever it stands, and commit."""
    lock, old = project / "dvc.lock", lock_entry(project, path)
    new = ("1" if old[0] == "0" else "0") + old[1:]
    lock.write_text(lock.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    commit(project, "spoilt")


def test_a_clean_commit_holds_and_nothing_is_touched(project: Path) -> None:
    before = run(project, "git", "status", "--porcelain")
    printed = verify()
    assert printed.count("\nequal") == OUTPUTS
    assert f"all {OUTPUTS} outputs are equal" in printed
    assert run(project, "git", "status", "--porcelain") == before == ""


def test_an_older_commit_is_rebuilt_from_its_own_params(project: Path) -> None:
    replace(project / "params.yaml", "dropout: 0.2", "dropout: 0.1")  # not committed
    assert f"all {OUTPUTS} outputs are equal" in verify("HEAD~1")


def test_neither_caches_nor_earlier_runs_are_used(project: Path) -> None:
    for cached in (project / ".dvc/cache").rglob("*"):
        if cached.is_file() and "runs" not in cached.parts:
            cached.chmod(0o644)
            cached.write_bytes(b"spoilt")
    assert f"all {OUTPUTS} outputs are equal" in verify()


def test_one_digit_of_a_lock_entry_is_enough_to_fail(project: Path) -> None:
    spoil(project, "reports/train/history.csv")
    printed = verify(fails=True)
    assert "1 of 8 outputs differ: reports/train/history.csv" in printed
    assert "so the size of the difference is unknown" in printed
    assert printed.count("\nequal") == OUTPUTS - 1


def test_another_processor_is_reported_with_the_size_of_the_difference(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del project
    monkeypatch.setenv("PROCESSOR", "two")
    printed = verify(fails=True)
    assert "different  models/network" in printed
    assert "model.safetensors: numbers differ by at most 0.0001 (weight)" in printed
    assert "processor one \N{RIGHTWARDS ARROW} two" in printed
    assert (
        "reports/test/metrics.json: numbers differ by at most 2.5e-05 (at_threshold.recall)"
        in printed
    )
    assert "expected: the environment is not the one that dvc.lock was made in" in printed


def test_another_processor_is_no_excuse_where_params_say_portable(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (project / "params.yaml").open("a", encoding="utf-8") as file:
        file.write("train: { portable: true }\n")
    commit(project, "portable")
    monkeypatch.setenv("PROCESSOR", "two")
    printed = verify(fails=True)
    assert "processor one \N{RIGHTWARDS ARROW} two" in printed
    assert "expected:" not in printed
    assert "no known change of the environment explains it" in printed


def test_libraries_that_are_not_those_of_the_lock_are_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(project, "reports/train/history.csv")
    monkeypatch.setenv("NUMPY", "2.1.0")
    printed = verify(fails=True)
    assert "libraries.numpy 2.0.0 \N{RIGHTWARDS ARROW} 2.1.0" in printed
    assert "expected: the environment is not the one that dvc.lock was made in" in printed


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's use of pygtrie
def test_a_stage_is_rebuilt_with_what_it_needs_and_no_more(project: Path) -> None:
    spoil(project, "reports/test/predictions.csv")
    assert "all 5 outputs are equal" in verify("HEAD", "train")
    with pytest.raises(RevisionError, match=r"HEAD \(.*\): Stage 'nonsense' not found"):
        verify("HEAD", "nonsense")


def test_a_pipeline_that_fails_leaves_its_outputs_missing(project: Path) -> None:
    with (project / "pipeline/train.py").open("a", encoding="utf-8") as file:
        file.write("raise SystemExit(1)\n")
    commit(project, "broken")
    printed = verify(fails=True)
    assert "equal    data/raw" in printed
    assert "missing  models/network" in printed
    assert "the pipeline did not run to its end" in printed
    assert "params, code or data of train changed after dvc.lock" in printed


def test_an_output_that_was_never_locked_is_missing(project: Path) -> None:
    (project / "dvc.lock").unlink()
    commit(project, "no lock")
    printed = verify(fails=True)
    assert "not in dvc.lock: `dvc repro`, then commit the lock" in printed


def test_a_source_that_is_not_on_this_machine_is_named(project: Path) -> None:
    (project / "data/source").mkdir()
    (project / "data/source/files").symlink_to("/nowhere/photos")
    commit(project, "own photos")
    with pytest.raises(RevisionError, match="made from /nowhere/photos, which is not on this"):
        verify()


@pytest.mark.usefixtures("project")
def test_the_workspace_cannot_be_verified() -> None:
    with pytest.raises(RevisionError, match="commit it, then verify HEAD"):
        verify("workspace")


def test_a_commit_on_no_branch_can_be_verified(project: Path) -> None:
    dvc(project, "exp", "run", "--quiet", "--set-param", "model.dropout=0.1", "--name", "drier")
    assert "drier (" in verify("drier")


@pytest.mark.parametrize(
    ("suffix", "old", "new", "words"),
    [
        (
            ".json",
            b'{"a": 1, "b": {"c": 0.5}}',
            b'{"a": 1, "b": {"c": 0.75}}',
            "at most 0.25 (b.c)",
        ),
        (".json", b'[{"a": 1}]', b'[{"a": 3}]', "at most 2 (0.a)"),
        (".json", b'{"a": 1}', b'{"b": 1}', "names, shapes"),
        (".csv", b"x,y\na,1\nb,2\n", b"x,y\na,1\nb,2.5\n", "at most 0.5 (y of row 1)"),
        (".csv", b"x\n1\n", b"x\n1\n2\n", "the number of rows differ"),
        (".csv", b"x\n1\n", b"x\n1.0\n", "no number differs"),
        (".json", b"{", b"{}", ""),
        (".png", b"1", b"2", ""),
    ],
)
def test_the_largest_difference_is_reported(
    suffix: str, old: bytes, new: bytes, words: str
) -> None:
    found = largest_difference(suffix, old, new)
    assert words in found
    assert bool(words) == bool(found)
