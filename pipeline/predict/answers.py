"""The answers of `bluelight predict` as a table, CSV, JSON or a submission; a row at a time."""

import csv
import json
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Literal, NamedTuple, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from pipeline.common.errors import PredictionError
from pipeline.predict.classifier import Prediction

Format = Literal["table", "csv", "json"]
Row = tuple[str, Prediction]

DIGITS = 6  # beyond them, processors differ
WIDEST = 60  # columns of the terminal for a name
AT_ONCE = 100  # rows of the table laid out together

EMERGENCY = "emergency"  # 1 in the hackathon's tables


class Answers(NamedTuple):
    """What there is to write.

    Attributes:
        rows: An image's name and its prediction each.
        names: Those of all images, for the width of their column.
        classes: Names of the classes.
    """

    rows: Iterable[Row]
    names: Sequence[str]
    classes: Sequence[str]


def write_csv(stream: TextIO, answers: Answers) -> None:
    """Write `image,label,probability_<class>…`."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["image", "label", *(f"probability_{name}" for name in answers.classes)])
    for image, prediction in answers.rows:
        writer.writerow([image, prediction.label, *_rounded(prediction).values()])


def write_json(stream: TextIO, answers: Answers) -> None:
    """Write a list of objects with `image`, `label` and `probabilities`, one on each line."""
    separator = "[\n"
    for image, prediction in answers.rows:
        shares = _rounded(prediction)
        found = {"image": image, "label": prediction.label, "probabilities": shares}
        stream.write(f"{separator}  {json.dumps(found, ensure_ascii=False)}")
        separator = ",\n"
    stream.write("\n]\n" if separator == ",\n" else "[]\n")


def write_table(stream: TextIO, answers: Answers) -> None:
    """Write a table for people, some rows at a time."""
    wide = None if stream.isatty() else 1000  # a file has no edge to wrap at
    console = Console(file=stream, width=wide, markup=False, emoji=False, highlight=False)
    width = min(WIDEST, max(map(cell_len, answers.names)))
    remaining, first = iter(answers.rows), True
    while part := list(islice(remaining, AT_ONCE)):
        console.print(_part_of_table(part, answers.classes, width, show_header=first))
        first = False


def write_submission(stream: TextIO, answers: Answers) -> None:
    """Write the hackathon's `image_names,emergency_or_not`."""
    ones = class_of_ones(answers.classes)
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["image_names", "emergency_or_not"])
    writer.writerows([image, int(prediction.label == ones)] for image, prediction in answers.rows)


def _part_of_table(
    rows: Sequence[Row], classes: Sequence[str], width: int, *, show_header: bool
) -> Table:
    table = Table(box=None, show_header=show_header, pad_edge=False)
    table.add_column("image", width=max(width, 5), overflow="fold")
    table.add_column("label", width=max(map(cell_len, [*classes, "label"])), style="bold")
    for name in classes:
        table.add_column(name, width=max(cell_len(name), 6), justify="right")
    for image, prediction in rows:
        shares = (f"{share:.1%}" for share in prediction.probabilities.values())
        table.add_row(image, prediction.label, *shares)
    return table


def class_of_ones(classes: Sequence[str]) -> str:
    """The class that a submission calls 1.

    Raises:
        PredictionError: The model's classes are not the hackathon's.
    """
    if set(classes) == {"0", "1"}:
        return "1"
    if len(classes) != 2 or EMERGENCY not in classes:
        raise PredictionError(
            f"--submission: the model tells {', '.join(classes)} apart; emergency_or_not needs two "
            f"classes, one of them called `{EMERGENCY}` (or the labels 0 and 1)"
        )
    return EMERGENCY


def _rounded(prediction: Prediction) -> dict[str, float]:
    return {name: round(share, DIGITS) for name, share in prediction.probabilities.items()}
