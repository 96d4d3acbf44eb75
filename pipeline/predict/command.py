"""`bluelight predict`: classify many files in order, in little memory, and write predictions."""

import csv
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Literal, TextIO

import numpy as np
from rich.console import Console
from rich.table import Table

from pipeline.common.errors import ImageError, PredictionError, complain, message_of, printable
from pipeline.common.files import is_formula, open_output
from pipeline.common.parallel import progress_bar
from pipeline.predict.classifier import ImageClassifier, Prediction, blockwise, load, to_pixels
from pipeline.predict.inputs import Candidate, gather

Format = Literal["table", "csv", "json"]
Rows = Iterable[tuple[str, Prediction]]  # names and predictions, as they come

MANY = 200  # images from which on a progress bar is worth its place
WIDEST = 60  # columns of the terminal for a name
FEW = 4  # classes whose probabilities have a column each in a table for people
EMERGENCY = "emergency"  # 1 in the hackathon's tables


def predict(
    inputs: Sequence[str],
    *,
    model: Path,
    images: Path | None = None,
    form: Format | None = None,
    output: Path | None = None,
    threshold: float | None = None,
    submission: bool = False,
    strict: bool = False,
) -> int:
    """Classify images and write the predictions; the arguments are the options of the command.

    Without `form` it is a table on a terminal, JSON in a file of that suffix, and CSV otherwise.

    Returns:
        Number of unusable images that were skipped; each was reported on standard error.

    Raises:
        PredictionError: An input or option makes no sense.
        ArtifactError: The model cannot be used.
        ImageError: An image is unusable, and `strict` is set.
    """
    if submission and form not in (None, "csv"):
        raise PredictionError("--submission is a CSV table; leave out --format")
    if form is None and output is not None:
        form = "json" if output.suffix.lower() == ".json" else "csv"
    elif form is None:
        form = "table" if sys.stdout.isatty() else "csv"
    classifier = load(model)
    stored, classes = classifier.description.decision.threshold, classifier.description.classes
    if submission and threshold is None and stored not in (None, 0.5):
        threshold = 0.5
        complain(
            f"--submission: predictions at threshold 0.5, not at the model's {stored:g}, as the "
            "contest counts every error the same; --threshold sets another"
        )
    if threshold is not None:
        classifier = _with_threshold(classifier, threshold)
    candidates = gather(inputs, images)
    if submission:
        write = partial(_write_submission, ones=_class_of_ones(classes))
        candidates = _named_by_file(candidates)
    else:
        writers = {"csv": _write_csv, "json": _write_json, "table": _write_table}
        write = partial(writers[form], classes=classes)
    if output is not None:
        _check_output(output, [*map(Path, inputs), *(candidate.path for candidate in candidates)])
    skipped: list[ImageError] = []
    # No bar for few images, or where the predictions themselves scroll by on a terminal.
    scrolls = output is None and form != "table" and sys.stdout.isatty()
    quiet = len(candidates) < MANY or scrolls
    with (
        nullcontext(lambda _: None) if quiet else progress_bar("predict", len(candidates)) as show,
        closing(_predictions(classifier, candidates, skipped, show, strict=strict)) as found,
    ):
        rows: Rows = list(found) if strict else found  # all of them, before anything is written
        if output is None:
            write(sys.stdout, rows)
            return len(skipped)
        try:
            with open_output(output) as stream:
                write(stream, rows)
        except OSError as error:
            raise PredictionError(f"{output} cannot be written: {message_of(error)}") from None
    return len(skipped)


def _check_output(output: Path, read: Sequence[Path]) -> None:
    """Refuse to write a folder, or over a file that is read."""
    if output.is_dir():
        raise PredictionError(f"--output: {output} is a folder; name a file")
    # Unlike Path.exists, this takes a name that is too long for one that is not there.
    present = [path for path in read if os.path.exists(path)]  # noqa: PTH110
    if output.is_file() and any(path.samefile(output) for path in present):
        raise PredictionError(f"--output: {output} is read as well; name another file")


def _with_threshold(classifier: ImageClassifier, threshold: float) -> ImageClassifier:
    description, decision = classifier.description, classifier.description.decision
    if len(description.classes) != 2 or decision.positive is None:
        raise PredictionError(
            "--threshold: the model has no positive class of two to compare with it; leave it out, "
            "and the most probable class is predicted"
        )
    changed = decision.model_copy(update={"threshold": threshold})
    return replace(classifier, description=description.model_copy(update={"decision": changed}))


def _predictions(
    classifier: ImageClassifier,
    candidates: Sequence[Candidate],
    skipped: list[ImageError],
    show: Callable[[int], object],
    *,
    strict: bool,
) -> Generator[tuple[str, Prediction]]:
    """Yield name and prediction of each usable image; report the others, or raise if strict."""

    def classify(block: Sequence[Candidate]) -> list[Prediction | ImageError]:
        pixels, faults = [], dict[int, ImageError]()
        for index, candidate in enumerate(block):
            try:
                image = to_pixels(candidate.path, classifier.description.size, candidate.name)
                pixels.append(image)
            except ImageError as error:
                faults[index] = error
        predicted = iter(classifier.predictions(np.stack(pixels)) if pixels else [])
        return [faults.get(index) or next(predicted) for index in range(len(block))]

    for done, result in enumerate(chain.from_iterable(blockwise(classify, candidates))):
        if not isinstance(result, ImageError):
            yield candidates[done].name, result
        elif strict:
            raise result
        else:
            skipped.append(result)
            complain(f"{message_of(result)}: skipped")
        show(done + 1)


def _write_csv(stream: TextIO, rows: Rows, classes: Sequence[str]) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["image", "label", *(f"probability_{name}" for name in classes)])
    for image, prediction in rows:
        # A spreadsheet would run the name as a formula; after `./` it is the same file.
        name = f"./{image}" if is_formula(image) else image
        writer.writerow([name, prediction.label, *prediction.probabilities.values()])


def _write_json(stream: TextIO, rows: Rows, classes: Sequence[str]) -> None:
    """Write a list of objects with `image`, `label` and `probabilities`, one on each line."""
    del classes  # each object names its own
    separator = "[\n"
    for image, prediction in rows:
        found = {"image": image, **asdict(prediction)}
        stream.write(f"{separator}  {json.dumps(found, ensure_ascii=False)}")
        separator = ",\n"
    stream.write("\n]\n" if separator == ",\n" else "[]\n")


def _write_table(stream: TextIO, rows: Rows, classes: Sequence[str]) -> None:
    """Write a table for people: of many classes the three most probable."""
    table = Table(box=None, pad_edge=False)
    table.add_column("image", max_width=WIDEST, overflow="fold")
    table.add_column("label", style="bold")
    few = len(classes) <= FEW
    for name in classes if few else ("most probable", "second", "third"):
        table.add_column(name, justify="right")
    for image, prediction in rows:
        shares = prediction.probabilities
        ranked = sorted(shares, key=lambda name: -shares[name])
        cells = [f"{name} {shares[name]:.1%}" for name in ranked[:3]]
        if few:
            cells = [f"{share:.1%}" for share in shares.values()]
        table.add_row(printable(image), prediction.label, *cells)
    wide = None if stream.isatty() else 1000  # a file has no edge to wrap at
    Console(file=stream, width=wide, markup=False, emoji=False, highlight=False).print(table)


def _write_submission(stream: TextIO, rows: Rows, ones: str) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["image_names", "emergency_or_not"])
    writer.writerows([image, int(prediction.label == ones)] for image, prediction in rows)


def _class_of_ones(classes: Sequence[str]) -> str:
    """The class that a submission calls 1, if the classes are the hackathon's."""
    ones = "1" if set(classes) == {"0", "1"} else EMERGENCY
    if len(classes) != 2 or ones not in classes:
        raise PredictionError(
            f"--submission: the model's classes are {', '.join(classes)}; emergency_or_not needs "
            f"two classes, one of them called `{EMERGENCY}` (or the labels 0 and 1)"
        )
    return ones


def _named_by_file(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Name the candidates as the hackathon's tables do, which know no folders."""
    renamed = [c if c.in_table else c._replace(name=c.path.name) for c in candidates]
    name, count = Counter(candidate.name for candidate in renamed).most_common(1)[0]
    if count > 1:
        raise PredictionError(
            f"--submission tells images apart by file name, and {count} are called {name}; leave "
            "out all but one, or name a table"
        )
    return renamed
