"""The page shows what each technique did, in the numbers of the run, whichever there are."""

import struct
from pathlib import Path

import numpy as np
import pytest

from pipeline.ablate.outcomes import Comparison, compare, load_outcome, ordered
from pipeline.ablate.technique_figures import draw_all, improvements
from pipeline.common.resampling import Resampling
from pipeline.report.page import Content, render
from tests.helpers.pages import PICTURES, content, text
from tests.helpers.techniques import NAMES, settings, write_technique

HOW = Resampling(confidence=0.95, resamples=200)


def compared(folder: Path, names: list[str], **sizes: int) -> Comparison:
    return compare(
        [
            load_outcome(write_technique(folder, name, **sizes), settings(name))
            for name in ordered(names)
        ],
        HOW,
    )


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """The seven techniques, small."""
    return compared(tmp_path_factory.mktemp("usual"), NAMES, images=100)


@pytest.fixture(scope="module")
def shown(usual: Comparison) -> Content:
    """The content of the page."""
    return content(usual)


def test_each_technique_has_its_paragraph_and_curves(usual: Comparison, shown: Content) -> None:
    page = text(render("report.html.j2", shown))
    for entry in usual.entries:
        assert f'id="technique-{entry.name}"' in page
        accuracy = f"Test accuracy {100 * entry.means['test_accuracy'].value:.1f} %"
        assert accuracy in page
    for idea in (
        "memorise",
        "patience",
        "switched off",
        "standard deviation",
        "mirrored",
        "saves the weights",
    ):
        assert idea in page


def test_numbers_are_the_runs(usual: Comparison, shown: Content) -> None:
    page = text(render("report.html.j2", shown))
    stopping, checkpointing = (usual.get(name) for name in ("early_stopping", "checkpointing"))
    assert stopping is not None
    assert checkpointing is not None
    assert f"after <b>{stopping.means['epochs_run'].value:.1f}</b> of 40 epochs" in page
    assert f"epoch <b>{checkpointing.means['used_epoch'].value:.1f}</b> on average" in page


def test_markdown_has_the_table(usual: Comparison, shown: Content) -> None:
    lines = render("report.md.j2", shown).splitlines()
    rows = [
        line for line in lines if line.startswith(tuple(f"| {e.title} |" for e in usual.entries))
    ]
    assert len(rows) == len(NAMES)
    assert all(row.count("|") == 10 for row in rows)
    assert rows[0].startswith("| baseline |")


def test_every_plot_is_narrow_and_the_same_twice(usual: Comparison, shown: Content) -> None:
    plots = {name: png for name, png in shown.pictures.items() if name not in PICTURES}
    expected = {"forest", "early_stopping", "checkpointing", "batch_norm_layer_1"}
    assert set(plots) == {
        *expected,
        "batch_norm_layer_2",
        *(f"curves_{name}" for name in NAMES),
    }
    assert all(struct.unpack(">I", png[16:20])[0] == 736 for png in plots.values())
    assert draw_all(usual) == plots


def test_one_seed_says_that_it_has_no_interval(tmp_path: Path) -> None:
    techniques = compared(tmp_path, ["baseline", "dropout"], seeds=1, images=40)
    page = text(render("report.html.j2", content(techniques)))
    assert "(one seed: no interval)" in page
    assert "95 % interval of the difference" not in page


def test_without_a_baseline_there_are_no_differences(tmp_path: Path) -> None:
    techniques = compared(tmp_path, ["dropout", "augmentation", "checkpointing"], images=40)
    page = text(render("report.html.j2", content(techniques)))
    assert "No technique is called <code>baseline</code>" in page
    assert "Difference in test accuracy" not in page
    assert "no difference shown" not in page.split('id="results"')[0]


def test_the_users_own_technique_is_described_in_general_words(tmp_path: Path) -> None:
    techniques = compared(tmp_path, ["baseline", "wide"], images=40)
    page = text(render("report.html.j2", content(techniques)))
    assert "Your own technique, from <code>techniques.wide</code>" in page
    assert "| wide |" in render("report.md.j2", content(techniques))


def test_a_technique_whose_name_was_given_another_meaning_has_no_false_plot(
    tmp_path: Path,
) -> None:
    folder = write_technique(tmp_path, "early_stopping", images=40)
    plain = settings("baseline")
    plots = draw_all(compare([load_outcome(folder, plain)], HOW))
    assert set(plots) == {"curves_early_stopping"}


def test_an_improvement_must_exceed_the_threshold() -> None:
    best, last = improvements(np.array([1.0, 0.995, 0.9, 0.895, 0.95]), min_delta=0.01)
    assert best.tolist() == [1.0, 1.0, 0.9, 0.9, 0.9]
    assert last == 2
