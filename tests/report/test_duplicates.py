"""The report shows groups of duplicates with their images, the most telling first."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.report.stage import SHOWN_GROUPS, duplicate_groups
from tests.helpers.pictures import encoded, write


def group(name: str, kind: str, *labels: str, ratio: float = 0) -> dict[str, Any]:
    images = {f"{name}{index}.png": label for index, label in enumerate(labels)}
    return {"group": name, "kind": kind, "split": "train", "ratio": ratio, "images": images}


GROUPS = [
    group("pair", "exact", "a", "a"),
    group("large", "exact", *["a"] * 6),
    group("near", "near", *["b"] * 3, ratio=0.1),
    group("doubtful", "near", "b", "b", ratio=0.2),
    group("conflict", "exact", *["a"] * 5, "b"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for one in GROUPS:
        for name in one["images"]:
            write(tmp_path / name, encoded(1))
    return tmp_path


def test_conflicts_come_first_then_the_most_doubtful_then_the_largest(folder: Path) -> None:
    shown = duplicate_groups(GROUPS, folder)
    names = [one["images"][0][0][:-5] for one in shown]
    assert names == ["conflict", "doubtful", "near", "large", "pair"]
    assert [one["conflicting"] for one in shown] == [True, False, False, False, False]
    assert [one["hidden"] for one in shown] == [2, 0, 0, 2, 0]


def test_a_conflict_shows_every_label(folder: Path) -> None:
    images = duplicate_groups(GROUPS, folder)[0]["images"]
    assert {label for _, label, _ in images} == {"a", "b"}
    for _, _, uri in images:
        assert uri.startswith("data:image/jpeg;base64,")
        assert len(uri) < 10_000


def test_the_number_of_groups_is_limited(folder: Path) -> None:
    assert len(duplicate_groups(GROUPS * 20, folder)) == SHOWN_GROUPS
