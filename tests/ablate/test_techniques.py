"""A technique is the baseline but for what it keeps of params.yaml and what it sets."""

from typing import Any

import pytest

from pipeline.ablate.techniques import for_seed, with_technique
from pipeline.common.errors import ParamsError
from pipeline.common.params import LearningParams, Params, Technique, load_params
from tests.helpers.imports import ROOT

WHOLE = load_params(ROOT / "params.yaml")


def learning(params: Params, **changes: Any) -> LearningParams:
    tree = {name: getattr(params, name) for name in LearningParams.model_fields}
    return LearningParams(**tree).model_copy(update=changes)


def merged(name: str, technique: Technique | None = None) -> LearningParams:
    chosen = technique or WHOLE.techniques[name]
    return with_technique(learning(WHOLE), WHOLE.ablate.baseline, name, chosen)


def test_the_baseline_has_no_technique() -> None:
    plain = merged("baseline")
    assert not plain.early_stopping.enabled
    assert not plain.checkpoint.enabled
    assert not plain.model.batch_norm
    assert plain.model.dropout == 0
    assert plain.train.weight_decay == 0
    assert {kind.probability for _, kind in plain.augment} == {0.0}


def test_the_baseline_shares_what_is_no_technique() -> None:
    plain = merged("baseline")
    assert plain.model.hidden == WHOLE.model.hidden
    assert plain.train.model_copy(update={"weight_decay": 0.01}) == WHOLE.train


@pytest.mark.parametrize(
    ("name", "section"),
    [("dropout", "model"), ("batch_norm", "model"), ("augmentation", "augment")],
)
def test_a_technique_changes_its_own_section_alone(name: str, section: str) -> None:
    plain, chosen = merged("baseline"), merged(name)
    assert getattr(plain, section) != getattr(chosen, section)
    assert chosen.model_copy(update={section: getattr(plain, section)}) == plain


def test_all_that_is_kept_is_what_train_has() -> None:
    assert merged("combined") == learning(WHOLE)


def test_a_kept_beginning_ends_at_a_dot() -> None:
    chosen = merged("x", Technique(keep=["augment.rotation"]))
    assert chosen.augment.rotation == WHOLE.augment.rotation
    assert chosen.augment.shift.probability == 0
    flips = merged("x", Technique(keep=["augment.horizontal_flip.probability"]))
    assert flips.augment.horizontal_flip == WHOLE.augment.horizontal_flip


def test_what_is_set_prevails_over_what_is_kept() -> None:
    chosen = merged("x", Technique(keep=["model"], set={"model.dropout": 0.8}))
    assert chosen.model.dropout == 0.8
    assert chosen.model.batch_norm


def test_values_that_do_not_go_together_are_named() -> None:
    technique = Technique(set={"model.dropout": [0.1, 0.2, 0.3]})
    with pytest.raises(
        ParamsError, match=r"techniques\.x, over the baseline: `model`: dropout"
    ) as caught:
        merged("x", technique)
    assert "lists 3 numbers for 2 hidden layers" in str(caught.value)


def test_a_run_has_its_seed_and_one_process_with_one_thread() -> None:
    busy = WHOLE.train.model_copy(update={"workers": 3, "threads": 4, "devices": 2, "seed": 99})
    run = for_seed(learning(WHOLE, train=busy), seed=5, epochs=7).train
    assert (run.seed, run.epochs, run.workers, run.threads, run.devices) == (5, 7, 0, 1, 1)
    assert run.learning_rate == WHOLE.train.learning_rate
