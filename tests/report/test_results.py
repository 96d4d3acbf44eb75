"""The page shows the test results, in the numbers of the run."""

import re
import struct
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.common.metrics import BINS
from pipeline.common.resampling import MINUS
from pipeline.report.plots import draw_results
from pipeline.report.stage import class_metrics, render
from tests.helpers.pages import METRICS, content, results, text
from tests.helpers.techniques import compared

# What a model without a positive class lacks.
NO_POSITIVE = dict.fromkeys(("most_probable", "missed", "false_alarms", "cost"))
PLOTS = ("confusion", "reliability", "roc", "precision_recall", "thresholds")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The page of a binary model with a threshold, and of one technique."""
    return content(*compared(tmp_path_factory.mktemp("one"), ["baseline"], images=40))


def without(shown: dict[str, Any], plots: tuple[str, ...] = (), **test: Any) -> dict[str, Any]:
    """The content without these plots, and with these metrics changed: None for none."""
    metrics = {
        name: value for name, value in {**shown["test"], **test}.items() if value is not None
    }
    kept = {name: png for name, png in shown["pictures"].items() if name not in plots}
    return dict(shown, test=metrics, pictures=kept)


def test_every_metric_is_shown_beside_the_reference_models(shown: dict[str, Any]) -> None:
    page = text(render("report.html.j2", shown))
    for value in (shown["test"][name] for name in METRICS):
        cell = f"{value:.3f}<small>{value - 0.1:.3f} to {value + 0.1:.3f}</small>"
        assert page.count(cell) >= 3
    # The nearest neighbour has no probabilities, so five metrics are missing; none has a cost.
    assert page.split('id="confusion"')[0].count("\N{EN DASH}</td>") == 5 + 3


def test_the_header_says_what_the_data_are(shown: dict[str, Any]) -> None:
    assert "drawn scenes, not photos" in text(render("report.html.j2", shown))
    own = dict(shown, model={**shown["model"], "data": {"content_hash": "", "source": "a.zip"}})
    page = text(render("report.html.j2", own))
    assert "drawn scenes" not in page
    assert "come from <code>a.zip</code>" in page


def test_each_kind_of_augmentation_has_its_name_and_settings(shown: dict[str, Any]) -> None:
    page = text(render("report.html.j2", shown))
    assert "<b>Rotation</b>" in page
    assert "applied to 70 % of images; degrees up to 15" in page.replace("&nbsp;", " ")
    assert "<b>Vertical flip</b>" in page
    assert "not used in training" in page


def test_the_header_says_what_the_network_sees(shown: dict[str, Any]) -> None:
    assert "The MLP sees" not in render("report.html.j2", shown)
    known = {"emergency": [{"name": "ambulance", "share": 0.5, "elsewhere": 0.01}], "other": []}
    backbone = {
        "kind": "backbone",
        "values": 1024,
        "backbone": "small",
        "trained_on": "ImageNet",
        "licence": "Apache-2.0",
        "known_classes": known,
    }
    for features, sentence in (
        ({"kind": "hog", "values": 2048}, "histograms of gradients and colours (2,048 values)"),
        (backbone, "1,024 values that the pretrained network <code>small</code> gives"),
        (backbone, "of class emergency, it calls 50.0 % ambulance (1.0 % of the others)"),
    ):
        page = render("report.html.j2", dict(shown, model={**shown["model"], "features": features}))
        assert sentence in text(page)


def test_it_suggests_an_experiment_other_than_the_one_just_run(shown: dict[str, Any]) -> None:
    assert "-S model.dropout=0.2" in render("report.html.j2", shown)
    tried = dict(shown, model={**shown["model"], "architecture": {"dropout": 0.2}})
    assert "-S model.dropout=0.2" not in render("report.html.j2", tried)


@pytest.mark.parametrize(
    ("dropout", "probability", "active"),
    [
        (0.5, 0.7, "with dropout and augmentation active"),
        ([0.0, 0.5], 0.0, "with dropout active"),
        ([0.0, 0.0], 0.7, "with augmentation active"),
        (0.0, 0.0, None),
    ],
)
def test_what_makes_the_training_loss_higher_is_what_was_active(
    shown: dict[str, Any], dropout: float | list[float], probability: float, active: str | None
) -> None:
    augment = {"rotation": {"probability": probability, "degrees": 15}}
    training = {**shown["model"]["training"], "augment": augment}
    changed = {**shown["model"], "architecture": {"dropout": dropout}, "training": training}
    page = text(render("report.html.j2", dict(shown, model=changed)))
    assert ("Training metrics are averages" in page) == (active is not None)
    assert (active or "") in page


def test_each_class_has_its_metrics(shown: dict[str, Any]) -> None:
    page = text(render("report.html.j2", shown))
    row = "other</th><td>60</td><td>0.800</td><td>0.900</td><td>0.847</td>"
    assert row in page
    assert "emergency</th><td>0</td>" + 3 * "<td>\N{EN DASH}</td>" in page


def test_metrics_of_a_class_follow_from_the_confusion_matrix() -> None:
    names = ["a", "b", "c"]
    counts = pd.DataFrame([[8, 2, 0], [4, 6, 0], [0, 0, 0]], index=names, columns=names)
    first, second, empty = class_metrics(counts)
    assert first["precision"] == pytest.approx(8 / 12)
    assert first["recall"] == pytest.approx(0.8)
    assert first["f1"] == pytest.approx(2 * (8 / 12) * 0.8 / (8 / 12 + 0.8))
    assert (second["name"], second["images"]) == ("b", 10)
    assert empty == {"name": "c", "images": 0, "precision": None, "recall": None, "f1": None}


def test_every_metric_is_in_the_glossary_and_every_link_leads_somewhere(
    shown: dict[str, Any],
) -> None:
    page = render("report.html.j2", shown)
    ids = re.findall(r'id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)
    assert {f"glossary-{name}" for name in METRICS} <= set(ids)


def test_it_claims_no_more_over_a_reference_than_was_shown(shown: dict[str, Any]) -> None:
    page = text(render("report.html.j2", shown))
    assert "majority class, 20.0 points more (10.0 to 30.0)" in page
    assert f"nearest neighbour, no difference shown ({MINUS}1.0 to 11.0 points)" in page
    assert "logistic regression, 7.0 points less (5.0 to 9.0)" in page


def test_the_threshold_and_what_it_costs(shown: dict[str, Any]) -> None:
    page = text(render("report.html.j2", shown))
    assert "predicts emergency where the probability is <b>0.250</b> or more" in page
    assert "misses <b>12</b> and raises <b>3,456</b> false alarms" in page
    assert "At 0.5 it would miss 34 and raise 56" in page
    assert "If a miss counts as 2 false alarms, the cost is 0.600 per image" in page
    assert "dvc exp run -S decision.miss_cost=5" in page


def test_a_model_without_a_threshold_says_so(shown: dict[str, Any]) -> None:
    page = text(render("report.html.j2", without(shown, most_probable=None)))
    assert "The model stores no threshold" in page
    assert "misses <b>12</b> and raises <b>3,456</b> false alarms" in page
    assert "at 0.5" not in page.lower().replace("<br>", " ")


@pytest.mark.parametrize(
    ("temperature", "words"),
    [(1.2, "overconfident"), (0.7, "underconfident")],
)
def test_what_the_temperature_means(shown: dict[str, Any], temperature: float, words: str) -> None:
    decision = shown["test"]["decision"] | {"temperature": temperature}
    assert words in text(render("report.html.j2", without(shown, decision=decision)))


def test_a_temperature_of_one_is_explained(shown: dict[str, Any]) -> None:
    plain = without(shown, uncalibrated=None)
    assert "The temperature is 1" in text(render("report.html.j2", plain))
    assert "temperature" not in render("report.md.j2", plain).split("## Comparison")[0]


def test_several_classes_without_a_positive_one(shown: dict[str, Any]) -> None:
    model = {**shown["model"], "classes": ["a", "b", "c"], "decision": {"positive": None}}
    counts = {"test": dict.fromkeys("abc", 30)}
    several = dict(shown, model=model, audit={**shown["audit"], "counts": counts})
    page = text(render("report.html.j2", without(several, ("thresholds",), **NO_POSITIVE)))
    assert "are means over classes" in page
    assert 'id="threshold"' not in page
    assert "those of the class" not in page


def test_test_images_of_one_class_have_no_ranking(shown: dict[str, Any]) -> None:
    alone = without(shown, ("roc", "precision_recall"), roc_auc=None, average_precision=None)
    page = text(render("report.html.j2", alone))
    assert ">ROC AUC</a></th>" not in page
    assert 'id="curves"' not in page
    assert "roc_auc" not in render("report.md.j2", alone).split("## Comparison")[0]


def test_a_model_without_errors_has_no_gallery_of_them(shown: dict[str, Any]) -> None:
    page = text(render("report.html.j2", without(shown, accuracy=1.0)))
    assert "every test image was predicted correctly" in page
    assert "Images with the most confident wrong predictions" not in page


def test_markdown_has_the_same_metrics(shown: dict[str, Any]) -> None:
    lines = render("report.md.j2", shown).splitlines()
    names = (*METRICS, "cost")
    rows = [line for line in lines if line.startswith(tuple(f"| {name} |" for name in names))]
    assert len(rows) == len(names)
    assert all(row.count("|") == 7 for row in rows)
    assert any("12 missed, 3456 false alarms" in line for line in lines)


def drawn(classes: int, positive: str | None) -> dict[str, bytes]:
    draw = np.random.default_rng(classes)
    names = [f"class {index}" for index in range(classes)]
    spread = np.arange(11) / 10
    bins = {
        "low": np.arange(BINS) / BINS,
        "high": (np.arange(BINS) + 1) / BINS,
        "images": draw.integers(1, 50, BINS),
        "probability": (np.arange(BINS) + 0.5) / BINS,
        "frequency": draw.random(BINS),
        "chance_low": 0.0,
        "chance_high": 1.0,
    }
    reliability = [pd.DataFrame({"temperature": when, **bins}) for when in ("before", "after")]
    tables = {
        "confusion": pd.DataFrame(
            draw.integers(0, 1000, (classes, classes)), index=names, columns=names
        ),
        "roc": pd.DataFrame({"fpr": spread, "tpr": np.sqrt(spread)}),
        "precision_recall": pd.DataFrame({"recall": spread, "precision": 1 - spread / 2}),
        "reliability": pd.concat(reliability, ignore_index=True),
        "thresholds": pd.DataFrame(
            {"threshold": spread, "precision": spread, "recall": 1 - spread, "cost": spread}
        ),
    }
    return draw_results(results(), {"positive": positive, "threshold": 0.25}, tables)


@pytest.mark.parametrize("classes", [2, 3, 12, 13, 43, 100])
def test_plots_are_narrow_however_many_classes(classes: int) -> None:
    plots = drawn(classes, "class 1")
    assert set(plots) == set(PLOTS)
    widths = {name: struct.unpack(">I", png[16:20])[0] for name, png in plots.items()}
    assert widths.pop("confusion") <= 1280
    assert max(widths.values()) == 736


def test_plots_are_the_same_twice() -> None:
    assert drawn(2, "class 1") == drawn(2, "class 1")


def test_without_a_positive_class_no_threshold_is_drawn() -> None:
    assert set(drawn(3, None)) == set(PLOTS) - {"thresholds"}
