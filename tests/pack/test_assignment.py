"""A `split.csv` that leaks, or that does not fit the images, is refused before it is packed."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from pipeline.common import paths
from pipeline.common.datasets import SPLIT_COLUMNS, write_table
from pipeline.common.errors import SplitError
from pipeline.common.files import write_json
from pipeline.common.params import Params
from pipeline.pack import stage as pack
from pipeline.pack.stage import check_assignment
from tests.helpers.pictures import contents, encoded, write

ROWS = pd.DataFrame(
    [
        ("0.png", "cat", "train", "duplicates", ""),
        ("1.png", "cat", "train", "duplicates", ""),
        ("2.png", "dog", "validation", "two", ""),
        ("3.png", "dog", "test", "three", ""),
        ("4.png", "cat", "dropped", "four", ""),
        ("5.png", "dog", "dropped", "four", ""),
    ],
    columns=SPLIT_COLUMNS,
)
IMAGES = ROWS[["image", "label"]].assign(split="", sha256="")

Edit = Callable[[pd.DataFrame], pd.DataFrame]


def edited(index: int, **changes: str) -> Edit:
    """Change values of one row."""

    def edit(rows: pd.DataFrame) -> pd.DataFrame:
        changed = rows.copy()
        changed.loc[index, list(changes)] = list(changes.values())
        return changed

    return edit


EDITS: dict[str, tuple[Edit, str]] = {
    "duplicate in test": (
        edited(1, split="test"),
        "0.png is in train and its duplicate 1.png in test",
    ),
    "duplicate in validation": (
        edited(0, split="validation"),
        "0.png is in validation and its duplicate",
    ),
    "validation duplicate in test": (
        edited(3, group="two"),
        "2.png is in validation and its duplicate 3.png",
    ),
    "unknown image": (edited(2, image="9.png"), "there is no image '9.png'"),
    "unknown label": (edited(2, label="cow"), "2.png is labelled 'cow', in the source 'dog'"),
    "unknown split": (edited(3, split="tset"), "3.png is in 'tset', which is none of train, val"),
    "missing image": (lambda rows: rows[1:], "0.png is listed 0 times instead of once"),
    "image twice": (
        lambda rows: pd.concat([rows, edited(0, split="test", group="other")(rows)[:1]]),
        "0.png is listed 2 times",
    ),
}


def test_a_split_without_leaks_is_accepted() -> None:
    check_assignment(ROWS, IMAGES, may_leak=False)
    check_assignment(edited(0, split="dropped")(ROWS), IMAGES, may_leak=False)


def test_a_published_split_that_is_kept_may_leak() -> None:
    check_assignment(edited(1, split="test")(ROWS), IMAGES, may_leak=True)


@pytest.mark.parametrize(("edit", "message"), EDITS.values(), ids=EDITS.keys())
def test_an_edit_by_hand_is_caught(edit: Edit, message: str) -> None:
    with pytest.raises(SplitError) as caught:
        check_assignment(edit(ROWS), IMAGES, may_leak=False)
    text = str(caught.value)
    assert text.startswith("data/split/split.csv: ")
    assert message in text
    assert "dvc repro --force split" in text
    assert "\n" not in text


def test_the_stage_refuses_it_and_leaves_the_arrays_alone(elsewhere: Path, params: Params) -> None:
    for index, name in enumerate(ROWS["image"]):
        write(paths.RAW_IMAGES / name, encoded(index))
    write_table(paths.RAW_LABELS, IMAGES)
    write_json(paths.RAW_MANIFEST, {"classes": ["cat", "dog"]})
    write_table(paths.SPLIT_CSV, ROWS)
    pack.run(params)
    before = contents(elsewhere / paths.PACKED)
    write_table(paths.SPLIT_CSV, edited(1, split="test")(ROWS))
    with pytest.raises(SplitError, match="leaks"):
        pack.run(params)
    assert contents(elsewhere / paths.PACKED) == before
