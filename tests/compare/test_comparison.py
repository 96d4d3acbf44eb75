"""The comparison claims what was fixed beforehand, and a difference only where one is shown."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from pipeline.common import paths
from pipeline.common.errors import BluelightError
from pipeline.common.params import Params
from pipeline.common.resampling import (
    MINUS,
    Estimate,
    Interval,
    as_data,
    from_data,
    number,
    verdict,
)
from pipeline.compare.plots import draw_all
from pipeline.compare.stage import compare, findings, load, ordered, run
from tests.helpers.data import CLASSES
from tests.helpers.techniques import HOW, NAMES, compared, outcomes, write_technique


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The seven techniques."""
    return compared(tmp_path_factory.mktemp("usual"), NAMES)[0]


def entry(comparison: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in comparison["techniques"] if one["name"] == name)


def test_baseline_comes_first_and_combined_last() -> None:
    assert ordered(["b", "combined", "a", "baseline"]) == ["baseline", "b", "a", "combined"]


def test_results_are_read_back(tmp_path: Path) -> None:
    outcome = load(write_technique(tmp_path, "early_stopping"))
    assert outcome.runs["run"].tolist() == [1, 2, 3, 4, 5]
    assert outcome.predictions["image"].nunique() == len(outcome.predictions) == 350
    lengths = outcome.history.groupby("run").size()
    assert lengths.tolist() == outcome.runs["epochs_run"].tolist()


def test_other_folds_cannot_be_compared(tmp_path: Path) -> None:
    one = load(write_technique(tmp_path, "baseline"))
    other = load(write_technique(tmp_path, "dropout", repeats=2))
    with pytest.raises(BluelightError, match=r"baseline and dropout .* folds.*dvc repro"):
        compare([one, other], HOW, CLASSES[1])


def test_a_missing_result_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BluelightError, match=r"runs\.csv not found"):
        load(tmp_path / "gone")


def test_what_a_technique_changes_is_listed(usual: dict[str, Any]) -> None:
    assert entry(usual, "dropout")["changes"] == {"model.dropout": 0.5}
    assert entry(usual, "baseline")["changes"] == {}
    assert entry(usual, "baseline")["differences"] == {}


def test_accuracy_is_that_of_the_predictions(tmp_path: Path, usual: dict[str, Any]) -> None:
    predictions = load(write_technique(tmp_path, "dropout")).predictions
    emergency = predictions[f"probability_{CLASSES[1]}"].astype(float) > 0.5
    correct = emergency == (predictions["label"] == CLASSES[1])
    assert entry(usual, "dropout")["means"]["accuracy"]["value"] == pytest.approx(correct.mean())


def test_the_claim_is_always_that_of_combined(usual: dict[str, Any]) -> None:
    found = entry(usual, "combined")["differences"]["accuracy"]
    points = f"{100 * found['value']:.1f} points"
    assert usual["finding"].startswith(f"combined beats baseline by {points} (")
    assert usual["finding"].endswith("; 350 images, 5 runs each)")
    assert not any(text.startswith("combined") for text in usual["also_shown"])


def test_only_the_claim_has_an_interval_of_its_own(usual: dict[str, Any]) -> None:
    alone = entry(usual, "combined")["sensitivity"]["smallest"]
    others = [entry(usual, name)["sensitivity"]["smallest"] for name in ("dropout", "batch_norm")]
    assert max(others) > alone  # they reach further for the same standard error


@pytest.mark.parametrize(
    ("names", "claim"),
    [
        (["dropout", "combined"], "no technique is called baseline"),
        (["baseline"], "no technique is called combined"),
        (["baseline", "dropout"], "no technique is called combined"),
    ],
)
def test_nothing_is_claimed_without_grounds(tmp_path: Path, names: list[str], claim: str) -> None:
    assert claim in compared(tmp_path, names, images=60)[0]["finding"]


@pytest.mark.parametrize(
    ("ends", "claim"),
    [
        ((-0.05, -0.01), "combined falls behind baseline by 3.0 points (1.0 to 5.0; 9 images"),
        ((-0.05, 0.01), f"combined is not shown to differ from baseline ({MINUS}5.0 to 1.0 points"),
    ],
)
def test_the_claim_says_no_more_than_its_interval(ends: tuple[float, float], claim: str) -> None:
    difference = {"accuracy": Estimate(-0.03, Interval(*ends))}
    entries = [
        {"name": "baseline", "title": "baseline", "differences": {}},
        {"name": "combined", "title": "combined", "differences": difference},
    ]
    found, also = findings({"images": 9, "runs": 5, "techniques": entries})
    assert found.startswith(claim)
    assert also == []


def test_the_speed_of_learning_is_counted_to_a_loss_that_the_baseline_reaches(
    usual: dict[str, Any],
) -> None:
    plain = entry(usual, "baseline")
    assert plain["reached_target"] == plain["runs"] == 5
    assert plain["means"]["epochs_to_target"]["value"] >= 1
    assert usual["target_loss"] == round(usual["target_loss"], 2)


def test_stopped_runs_are_counted(usual: dict[str, Any]) -> None:
    assert entry(usual, "early_stopping")["stopped_early"] == 5
    assert entry(usual, "baseline")["stopped_early"] == 0


def test_a_technique_whose_name_was_given_another_meaning_has_no_false_plot(
    tmp_path: Path,
) -> None:
    folder = write_technique(tmp_path, "early_stopping", images=40)
    path = folder / paths.TECHNIQUE_PARAMS
    settings = json.loads(path.read_text())
    settings["early_stopping"]["enabled"] = False
    path.write_text(json.dumps(settings))
    read = [load(folder)]
    plots = draw_all(read, compare(read, HOW, CLASSES[1]))
    assert set(plots) == {"curves_early_stopping"}


def test_every_technique_has_its_plots_and_they_are_the_same_twice(tmp_path: Path) -> None:
    read = outcomes(tmp_path, NAMES, images=60)
    comparison = compare(read, HOW, CLASSES[1])
    plots = draw_all(read, comparison)
    assert set(plots) == {
        "differences_accuracy",
        "differences_loss",
        "early_stopping",
        "checkpointing",
        "batch_norm_layer_1",
        "batch_norm_layer_2",
        *(f"curves_{name}" for name in NAMES),
    }
    assert draw_all(read, comparison) == plots


def test_the_stage_merges_the_techniques_that_are_named_and_removes_others(
    elsewhere: Path, params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["baseline", "wide", "combined"]
    for name in [*names, "gone"]:
        write_technique(paths.ABLATION_REPORT, name, images=60)
    (paths.ABLATION_LOGS / "gone").mkdir(parents=True)
    tree = params.model_dump() | {"techniques": {name: {} for name in names}}
    tree["evaluate"]["bootstrap"] = 100
    with paths.PARAMS.open("w", encoding="utf-8") as file:
        YAML().dump(tree, file)
    run(Params.model_validate(tree))
    assert (
        "compare: removing reports/ablation/gone: params.yaml names no" in capsys.readouterr().out
    )
    assert not (paths.ABLATION_REPORT / "gone").exists()
    assert not (paths.ABLATION_LOGS / "gone").exists()
    table = pd.read_csv(elsewhere / paths.COMPARISON_TABLE)
    assert table["technique"].tolist() == names
    assert table["difference"].isna().tolist() == [True, False, False]
    histories = pd.read_csv(elsewhere / paths.COMPARISON_HISTORY)
    assert set(histories["technique"]) == set(names)
    assert (elsewhere / paths.COMPARISON_PLOTS / "curves_wide.png").exists()
    written = json.loads((elsewhere / paths.COMPARISON).read_text())
    assert [one["name"] for one in written["techniques"]] == names


def test_estimates_survive_json() -> None:
    content = {"a": [Estimate(1.0, Interval(0.5, 2.0))], "b": Estimate(3.0, None), "c": "text"}
    assert from_data(json.loads(json.dumps(as_data(content)))) == content


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (0.031, 0.012, 0.05, "3.1 points more (1.2 to 5.0)"),
        (-0.031, -0.05, -0.012, "3.1 points less (1.2 to 5.0)"),
        (0.031, -0.012, 0.05, f"no difference shown ({MINUS}1.2 to 5.0 points)"),
    ],
)
def test_a_difference_in_words(value: float, low: float, high: float, expected: str) -> None:
    assert verdict(Estimate(value, Interval(low, high)), "points", 100, 1) == expected


def test_a_difference_without_an_interval_in_words() -> None:
    assert verdict(Estimate(0.02, None), "points", 100, 1) == "+2.0 points (one run: no interval)"


def test_zero_has_no_sign() -> None:
    found = [number(-0.001), number(0, signed=True), number(-1.5, 1)]
    assert found == ["0.00", "0.00", f"{MINUS}1.5"]
