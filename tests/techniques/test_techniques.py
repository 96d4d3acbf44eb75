"""A technique is its base with some values changed, written to a file that its runs depend on."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.common import paths
from pipeline.common.errors import ParamsError
from pipeline.common.params import LearningParams, Params, load_params
from pipeline.techniques.stage import resolve, run
from tests.helpers.imports import ROOT

WHOLE = load_params(ROOT / "params.yaml")


def with_changes(**sections: dict[str, Any]) -> Params:
    """The project's params with some values of some sections changed."""
    tree = WHOLE.model_dump()
    for name, changes in sections.items():
        tree[name] |= changes
    return Params.model_validate(tree)


def resolved(name: str, technique: dict[str, Any] | None = None, **sections: Any) -> Any:
    if technique is not None:
        sections["techniques"] = {name: technique}
    return resolve(with_changes(**sections), name)[0]


def test_the_baseline_has_no_technique() -> None:
    plain = resolved("baseline")
    assert not plain["early_stopping"]["enabled"]
    assert not plain["checkpoint"]["enabled"]
    assert not plain["model"]["batch_norm"]
    assert plain["model"]["dropout"] == 0
    assert plain["train"]["weight_decay"] == 0
    assert {kind["probability"] for kind in plain["augment"].values()} == {0.0}
    assert plain["model"]["hidden"] == WHOLE.model.hidden


@pytest.mark.parametrize(
    ("name", "section"),
    [
        ("early_stopping", "early_stopping"),
        ("dropout", "model"),
        ("batch_norm", "model"),
        ("augmentation", "augment"),
        ("checkpointing", "checkpoint"),
    ],
)
def test_a_technique_changes_its_own_section_alone(name: str, section: str) -> None:
    plain, chosen = resolved("baseline"), resolved(name)
    assert plain[section] != chosen[section]
    assert chosen | {section: plain[section]} == plain


def test_augmentation_is_that_of_stage_train() -> None:
    assert resolved("augmentation")["augment"] == WHOLE.augment.model_dump()


def test_combined_is_what_stage_train_has_in_a_shorter_run() -> None:
    combined = resolved("combined")
    expected = WHOLE.model_dump(include=set(LearningParams.model_fields))
    expected["early_stopping"]["patience"] = combined["early_stopping"]["patience"]
    alone = {"workers": 0, "threads": 1, "devices": 1, "num_nodes": 1, "strategy": "auto"}
    expected["train"] |= {"seed": WHOLE.ablate.seed, "epochs": WHOLE.ablate.epochs, **alone}
    assert combined == {"ablate": combined["ablate"], **expected}
    assert combined["early_stopping"]["patience"] < WHOLE.ablate.epochs


def test_a_base_of_baseline_is_the_same_as_none() -> None:
    assert resolved("x", {"base": "baseline"}) == resolved("baseline")


@pytest.mark.parametrize(
    "sections",
    [
        {"model": {"dropout": 0.2}},
        {"early_stopping": {"patience": 30}},
        {"train": {"seed": 7, "epochs": 90, "workers": 3, "threads": 2}},
        {"ablate": {"processes": 1}},
    ],
)
def test_what_changes_no_run_of_a_technique_changes_no_byte_of_its_file(
    sections: dict[str, Any],
) -> None:
    for name in ("baseline", "early_stopping", "dropout", "augmentation"):
        assert resolved(name, **sections) == resolved(name)


def test_values_that_do_not_go_together_are_named() -> None:
    with pytest.raises(ParamsError, match=r"techniques\.x, over its base: `model`: dropout") as e:
        resolved("x", {"model.dropout": [0.1, 0.2, 0.3]})
    assert "lists 3 numbers for 2 hidden layers" in str(e.value)


def test_images_are_not_enlarged() -> None:
    with pytest.raises(ParamsError, match=r"ablate\.size is 64, but pack\.size is 32"):
        resolved("baseline", ablate={"size": 64})


def test_every_technique_of_the_project_can_fire_its_patience() -> None:
    for name in WHOLE.techniques:
        assert resolve(WHOLE, name)[1] == ""


def test_a_patience_that_cannot_end_a_run_is_reported_by_name(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(with_changes(ablate={"epochs": 5}), "early_stopping")
    assert capsys.readouterr().out == (
        "techniques: early_stopping: warning: early_stopping.patience is 5, so it cannot end a run "
        "of 5 epochs; lower it, or set early_stopping.enabled to false\n"
    )
    written = json.loads(
        (elsewhere / paths.ABLATION_REPORT / "early_stopping/params.json").read_text()
    )
    assert written == resolved("early_stopping", ablate={"epochs": 5})


def test_an_unknown_technique_names_the_nearest() -> None:
    with pytest.raises(ParamsError, match=r"no technique `dropuot`; did you mean `dropout`\?"):
        run(WHOLE, "dropuot")
