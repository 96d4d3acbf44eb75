"""The page shows what each technique did, in the numbers of its runs, whichever there are."""

import struct
from pathlib import Path
from typing import Any

import pytest

from pipeline.report.stage import render
from tests.helpers.pages import PICTURES, content, text
from tests.helpers.techniques import NAMES, compared


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The content of the page with the seven techniques, small."""
    return content(*compared(tmp_path_factory.mktemp("usual"), NAMES, images=100))


def test_each_technique_has_its_paragraph_and_curves(shown: dict[str, Any]) -> None:
    page = text(render("report.html.j2", shown))
    for entry in shown["techniques"]["techniques"]:
        assert f'id="technique-{entry["name"]}"' in page
        assert f"Accuracy {100 * entry['means']['accuracy'].value:.1f} %" in page
    for idea in (
        "memorise",
        "patience",
        "switched off",
        "standard deviation",
        "Epsilon",
        "mirrored",
        "saves the weights",
    ):
        assert idea in page


def test_numbers_are_those_of_the_runs(shown: dict[str, Any]) -> None:
    page = text(render("report.html.j2", shown))
    entries = {entry["name"]: entry for entry in shown["techniques"]["techniques"]}
    stopping, keeping = entries["early_stopping"], entries["checkpointing"]
    assert f"ran <b>{stopping['means']['epochs_run'].value:.1f}</b> of 40 epochs" in page
    assert f"It ended {stopping['stopped_early']} of 5 runs early" in page
    assert f"epoch <b>{keeping['means']['used_epoch'].value:.1f}</b> on average" in page
    assert "Early stopping ended 0 of 5 runs before epoch 40" in page  # combined
    assert "trains for up to 90 epochs" in page  # the model at the top, beside combined
    batch_norm = entries["batch_norm"]
    assert f"With batch normalisation {batch_norm['reached_target']} of 5 runs reached it" in page


def test_the_claim_comes_first_and_says_what_it_could_have_shown(shown: dict[str, Any]) -> None:
    page = text(render("report.html.j2", shown))
    finding = shown["techniques"]["finding"]
    assert finding[0].upper() + finding[1:] in page
    combined = shown["techniques"]["techniques"][-1]["sensitivity"]
    assert f"combined {100 * combined['smallest']:.1f} points" in page
    assert "A difference of 2 points for combined takes" in page
    assert "intervals of all other techniques are wider, so that they hold together" in page


def test_markdown_has_the_table(shown: dict[str, Any]) -> None:
    lines = render("report.md.j2", shown).splitlines()
    titles = tuple(f"| {entry['title']} |" for entry in shown["techniques"]["techniques"])
    rows = [line for line in lines if line.startswith(titles)]
    assert len(rows) == len(NAMES)
    assert all(row.count("|") == 12 for row in rows)
    assert rows[0].startswith("| baseline |")


def test_every_plot_is_narrow(shown: dict[str, Any]) -> None:
    plots = {name: png for name, png in shown["pictures"].items() if name not in PICTURES}
    assert all(struct.unpack(">I", png[16:20])[0] == 736 for png in plots.values())


def test_without_a_baseline_there_are_no_differences(tmp_path: Path) -> None:
    names = ["dropout", "augmentation", "checkpointing"]
    page = text(render("report.html.j2", content(*compared(tmp_path, names, images=40))))
    assert "No technique is called <code>baseline</code>" in page
    assert "Difference in accuracy" not in page
    assert "no difference shown" not in page.split('id="results"')[0]


def test_the_users_own_technique_is_described_in_general_words(tmp_path: Path) -> None:
    shown = content(*compared(tmp_path, ["baseline", "wide"], images=40))
    page = text(render("report.html.j2", shown))
    assert "Your own technique, from <code>techniques.wide</code>" in page
    assert "| wide |" in render("report.md.j2", shown)
