"""`bluelight predict`: many image files to answers, in order, as they come, in little memory."""

import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TextIO

import numpy as np

from pipeline.common.errors import ImageError, PredictionError
from pipeline.common.files import atomic_file
from pipeline.common.images import Pixels
from pipeline.common.parallel import progress_bar
from pipeline.predict.answers import (
    Answers,
    Format,
    Row,
    class_of_ones,
    write_csv,
    write_json,
    write_submission,
    write_table,
)
from pipeline.predict.classifier import ImageClassifier, Prediction, load
from pipeline.predict.gathering import Candidate, gather
from pipeline.predict.pictures import to_pixels
from pipeline.predict.threads import blockwise, decoding_quietly

MANY = 200  # images from which on it takes long enough for a progress bar

Answer = Prediction | ImageError


@dataclass(frozen=True)
class Request:
    """What to classify, and what to make of it.

    Attributes:
        asked: Files, folders, globs and tables.
        model: The artifact's folder.
        images: Where a table's images are; None for beside it.
        form: How to write the answers; None for a table on a terminal, JSON in a file of that
            suffix, and CSV otherwise.
        output: The file to write; None for standard output.
        threshold: Instead of the model's own.
        submission: Whether to write the hackathon's table.
        strict: Whether a bad image stops everything.
    """

    asked: Sequence[str]
    model: Path
    images: Path | None = None
    form: Format | None = None
    output: Path | None = None
    threshold: float | None = None
    submission: bool = False
    strict: bool = False


def predict(request: Request) -> int:
    """Answer a request.

    Returns:
        How many images were bad and left out; each was reported on standard error.

    Raises:
        PredictionError: The request cannot be met.
        ArtifactError: The model cannot be used.
        ImageError: An image is bad, and the request is strict; nothing was written.
    """
    if request.output is not None and request.output.is_dir():
        raise PredictionError(f"--output: {request.output} is a folder; name a file")
    model = _with_threshold(load(request.model), request.threshold)
    candidates = gather(request.asked, request.images)
    if request.submission:
        _check_submission(request, model)
        candidates = _as_submitted(candidates)
    names = [candidate.name for candidate in candidates]
    faults: list[ImageError] = []
    with (
        decoding_quietly(),
        _progress(request, len(candidates)) as show,
        closing(_answers(model, candidates, show)) as answers,
    ):
        rows = _good(zip(names, answers, strict=True), faults, strict=request.strict)
        _write(request, Answers(rows, names, model.description.classes))
    return len(faults)


def _with_threshold(model: ImageClassifier, threshold: float | None) -> ImageClassifier:
    """The model with another threshold, where one is given."""
    if threshold is None:
        return model
    description = model.description
    decision = description.decision
    if len(description.classes) != 2 or decision.positive is None:
        raise PredictionError(
            "--threshold: the model has no positive class of two to compare with it; leave it out, "
            "and the most probable class is answered"
        )
    changed = decision.model_copy(update={"threshold": threshold})
    return replace(model, description=description.model_copy(update={"decision": changed}))


def _progress(request: Request, images: int) -> AbstractContextManager[Callable[[int], object]]:
    """A progress bar, but for few images or where the answers themselves go by."""
    if images < MANY or (request.output is None and sys.stdout.isatty()):
        return nullcontext(lambda _: None)
    return progress_bar("predict", images)


# ---- from files to answers


def _answers(
    model: ImageClassifier, candidates: Sequence[Candidate], show: Callable[[int], object]
) -> Generator[Answer]:
    """A prediction or a fault for each candidate."""
    done = 0
    for block in blockwise(partial(_answer_block, model), candidates):
        yield from block
        done += len(block)
        show(done)


def _answer_block(model: ImageClassifier, block: Sequence[Candidate]) -> list[Answer]:
    size = model.description.size
    pixels = [_pixels_or_fault(candidate, size) for candidate in block]
    usable = [image for image in pixels if not isinstance(image, ImageError)]
    found = iter(model.predictions(np.stack(usable)) if usable else [])
    return [image if isinstance(image, ImageError) else next(found) for image in pixels]


def _pixels_or_fault(candidate: Candidate, size: int) -> Pixels | ImageError:
    try:
        return to_pixels(candidate.path, size, candidate.name)
    except ImageError as error:
        return error


def _good(
    answers: Iterable[tuple[str, Answer]], faults: list[ImageError], *, strict: bool
) -> Iterator[Row]:
    """The predictions; what is bad is raised, or told and added to `faults`."""
    for name, answer in answers:
        if not isinstance(answer, ImageError):
            yield name, answer
        elif strict:
            raise answer
        else:
            faults.append(answer)
            print(f"bluelight: {answer}: left out", file=sys.stderr)


# ---- from answers to the output


def _write(request: Request, answers: Answers) -> None:
    if request.strict:
        answers = answers._replace(rows=list(answers.rows))  # all, before anything is written
    if request.output is None:
        _write_to(sys.stdout, request, answers)
        return
    try:
        with (
            atomic_file(request.output) as partial,
            partial.open("w", encoding="utf-8", newline="") as stream,
        ):
            _write_to(stream, request, answers)
    except OSError as error:
        raise PredictionError(f"{request.output} cannot be written ({error.strerror})") from None


def _write_to(stream: TextIO, request: Request, answers: Answers) -> None:
    if request.submission:
        write_submission(stream, answers)
        return
    writers = {"table": write_table, "csv": write_csv, "json": write_json}
    writers[_form(request)](stream, answers)


def _form(request: Request) -> Format:
    if request.form is not None:
        return request.form
    if request.output is not None:
        return "json" if request.output.suffix.lower() == ".json" else "csv"
    return "table" if sys.stdout.isatty() else "csv"


# ---- submissions


def _check_submission(request: Request, model: ImageClassifier) -> None:
    if request.form not in (None, "csv"):
        raise PredictionError("--submission is a CSV table; leave out --format")
    class_of_ones(model.description.classes)


def _as_submitted(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates by the names that the hackathon's tables have, which know no folders."""
    renamed = [c if c.in_table else c._replace(name=c.path.name) for c in candidates]
    name, count = Counter(candidate.name for candidate in renamed).most_common(1)[0]
    if count > 1:
        raise PredictionError(
            f"--submission tells images apart by file name, and {count} are called {name}; leave "
            "out all but one, or name a table"
        )
    return renamed
