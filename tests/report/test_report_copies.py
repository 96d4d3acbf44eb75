"""The report shows the groups of copies with their pictures, the most telling first."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.report.copies import SHOWN_GROUPS, cards
from tests.helpers.pictures import encoded, write


def group(name: str, kind: str, *labels: str) -> dict[str, Any]:
    images = {f"{name}{index}.png": label for index, label in enumerate(labels)}
    return {"group": name, "kind": kind, "split": "train", "images": images}


GROUPS = [
    group("pair", "exact", "a", "a"),
    group("large", "exact", *["a"] * 6),
    group("near", "near", "b", "b"),
    group("conflict", "exact", *["a"] * 5, "b"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for one in GROUPS:
        for name in one["images"]:
            write(tmp_path / name, encoded(1))
    return tmp_path


def test_conflicts_come_first_then_near_duplicates_then_the_largest(folder: Path) -> None:
    shown = cards(GROUPS, folder)
    assert [card.tiles[0].name[:-5] for card in shown] == ["conflict", "near", "large", "pair"]
    assert [card.conflicting for card in shown] == [True, False, False, False]
    assert [card.hidden for card in shown] == [2, 0, 2, 0]


def test_a_conflict_shows_every_label(folder: Path) -> None:
    tiles = cards(GROUPS, folder)[0].tiles
    assert {tile.label for tile in tiles} == {"a", "b"}
    assert all(tile.uri.startswith("data:image/jpeg;base64,") for tile in tiles)
    assert all(len(tile.uri) < 10_000 for tile in tiles)


def test_many_groups_are_capped(folder: Path) -> None:
    assert len(cards(GROUPS * 20, folder)) == SHOWN_GROUPS
