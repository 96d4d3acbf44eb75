"""A `split.csv` that leaks, or that does not fit the images, is refused before it is packed."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pipeline.common import paths
from pipeline.common.errors import SplitError
from pipeline.common.files import write_json
from pipeline.common.params import Params
from pipeline.common.tables import Assigned, Labelled, write_assignment, write_labels
from pipeline.pack import stage as pack
from pipeline.pack.assignment import check_assignment
from tests.helpers.pictures import contents, encoded, write

ROWS = [
    Assigned("0.png", "cat", "train", "copies"),
    Assigned("1.png", "cat", "train", "copies"),
    Assigned("2.png", "dog", "validation", "two"),
    Assigned("3.png", "dog", "test", "three"),
    Assigned("4.png", "cat", "dropped", "four"),
    Assigned("5.png", "dog", "dropped", "four"),
]
IMAGES = [Labelled(row.image, row.label) for row in ROWS]


def edited(index: int, **changes: str) -> Callable[[Sequence[Assigned]], list[Assigned]]:
    return lambda rows: [*rows[:index], rows[index]._replace(**changes), *rows[index + 1 :]]


EDITS: dict[str, tuple[Callable[[Sequence[Assigned]], list[Assigned]], str]] = {
    "copy in test": (edited(1, split="test"), "0.png is in train and its copy 1.png in test"),
    "copy in validation": (edited(0, split="validation"), "0.png is in validation and its copy"),
    "validation copy in test": (
        edited(3, group="two"),
        "2.png is in validation and its copy 3.png",
    ),
    "unknown image": (edited(2, image="9.png"), "there is no image '9.png'"),
    "unknown label": (edited(2, label="cow"), "2.png is labelled 'cow', in the source 'dog'"),
    "unknown split": (edited(3, split="tset"), "3.png is in 'tset', which is none of train, val"),
    "missing image": (lambda rows: list(rows[1:]), "0.png is listed 0 times instead of once"),
    "image twice": (
        lambda rows: [*rows, rows[0]._replace(split="test", group="other")],
        "0.png is listed 2 times",
    ),
}


def test_a_split_without_leaks_is_accepted() -> None:
    check_assignment(ROWS, IMAGES, "split.csv")
    check_assignment(edited(0, split="dropped")(ROWS), IMAGES, "split.csv")


@pytest.mark.parametrize(("edit", "message"), EDITS.values(), ids=EDITS.keys())
def test_what_was_planted_by_hand_is_caught(
    edit: Callable[[Sequence[Assigned]], list[Assigned]], message: str
) -> None:
    with pytest.raises(SplitError) as caught:
        check_assignment(edit(ROWS), IMAGES, "data/split/split.csv")
    text = str(caught.value)
    assert text.startswith("data/split/split.csv: ")
    assert message in text
    assert "dvc repro --force split" in text
    assert "\n" not in text


def test_the_stage_refuses_it_and_leaves_the_arrays_alone(elsewhere: Path, params: Params) -> None:
    for index, row in enumerate(ROWS):
        write(paths.RAW_IMAGES / row.image, encoded(index))
    write_labels(paths.RAW_LABELS, IMAGES)
    write_json(paths.RAW_MANIFEST, {"classes": ["cat", "dog"]})
    write_assignment(paths.SPLIT_CSV, ROWS)
    pack.run(params)
    before = contents(elsewhere / paths.PACKED)
    write_assignment(paths.SPLIT_CSV, edited(1, split="test")(ROWS))
    with pytest.raises(SplitError, match="leaks"):
        pack.run(params)
    assert contents(elsewhere / paths.PACKED) == before
