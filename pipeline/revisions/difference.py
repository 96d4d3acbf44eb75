"""What differs between two revisions: params, data, code, environment, metrics, answers."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pipeline.common import paths
from pipeline.common.errors import MissingOutputError
from pipeline.common.resampling import Interval
from pipeline.revisions.environments import REQUIREMENTS, Pair, moved, pins, recorded
from pipeline.revisions.git import changed_files
from pipeline.revisions.predictions import Change, Predictions, changes, intervals, parse
from pipeline.revisions.revisions import Revision, Table, leaves, within

DATA = "data"  # outputs below it are data
CODE = ("pipeline", "dvc.yaml")
CONFIDENCE, RESAMPLES = 0.95, 2000  # where a revision's params do not say
ENDS = {"interval", "low", "high"}  # in a key of a metric: the end of an interval, no metric
DIGITS = 6  # beyond them, processors differ

T = TypeVar("T")


@dataclass(frozen=True)
class MetricChange:
    """A metric in both revisions.

    Attributes:
        old: None where the first revision lacks it.
        new: None where the second lacks it.
        interval: Of new less old; None for metrics that are not of the test images.
    """

    old: float | None
    new: float | None
    interval: Interval | None = None

    @property
    def difference(self) -> float | None:
        """New less old, where there are both."""
        if self.old is None or self.new is None:
            return None
        return round(self.new - self.old, DIGITS)

    @property
    def shown(self) -> bool:
        """Whether the interval leaves zero out."""
        ends = self.interval
        return ends is not None and (ends.low > 0 or ends.high < 0)


@dataclass(frozen=True)
class Answers:
    """What the two models said of the test images.

    Attributes:
        images: How many the first and the second revision tested.
        common: How many of them are the same.
        paired: Whether all are, so that intervals pair them.
        confidence: Of the intervals.
        changed: The images whose answer is another now.
    """

    images: tuple[int, int]
    common: int
    paired: bool
    confidence: float
    changed: list[Change]

    def count(self, kind: str) -> int:
        """How many changes are `lost`, `gained` or `other`."""
        return sum(change.kind == kind for change in self.changed)


@dataclass(frozen=True)
class Difference:
    """Two revisions compared.

    Attributes:
        old: The first.
        new: The second.
        params: Values by dotted key, of the first and the second; None where there is none.
        data: Paths of outputs that are data and not the same.
        code: Files that are not the same.
        stages: Names of the stages that read those files.
        environment: Versions in `requirements.lock`, by library; what else stages ran on.
        metrics: By file and name; those that are the same too.
        answers: None where a revision's predictions are missing.
        histories: Columns of the training's history, of those revisions that have it.
        stale: By revision, the stages whose outputs were made with other params or code.
        missing: What could not be read, and how to get it.
    """

    old: Revision
    new: Revision
    params: dict[str, Pair]
    data: list[str]
    code: list[str]
    stages: list[str]
    environment: dict[str, Pair]
    metrics: dict[str, dict[str, MetricChange]]
    answers: Answers | None
    histories: dict[str, Table]
    stale: dict[str, list[str]]
    missing: list[str] = field(default_factory=list)

    @property
    def changed_metrics(self) -> dict[str, dict[str, MetricChange]]:
        """The metrics that differ, by file."""
        found = {
            path: {name: change for name, change in rows.items() if change.old != change.new}
            for path, rows in self.metrics.items()
        }
        return {path: rows for path, rows in found.items() if rows}


class _Reader:
    """Reads what is there, and notes what is not."""

    def __init__(self) -> None:
        self._paths: dict[str, list[str]] = {}

    @property
    def missing(self) -> list[str]:
        """What was not there, one line for all that is missing for the same reason."""
        return [f"missing {', '.join(found)} {reason}" for reason, found in self._paths.items()]

    def attempt(self, read: Callable[[Path], T], path: Path) -> T | None:
        """What `read` makes of the file; None where there is none."""
        try:
            return read(path)
        except MissingOutputError as error:
            self._paths.setdefault(error.reason, []).append(error.path)
            return None


def compare(root: Path, old: Revision, new: Revision) -> Difference:
    """Compare two revisions.

    Args:
        root: Of the project.
        old: The first.
        new: The second.

    Raises:
        RevisionError: A file of theirs is damaged.
    """
    read = _Reader()
    params = old.read_params(), new.read_params()
    code = changed_files(root, old.commit, new.commit, *CODE)
    answers, ends = _answers(read, old, new, params)
    return Difference(
        old=old,
        new=new,
        params=_changed(*params),
        data=_changed_data(old, new),
        code=code,
        stages=new.stages_reading(code),
        environment=_environment(old, new),
        metrics=_metrics(read, old, new, ends),
        answers=answers,
        histories=_histories(read, old, new),
        stale={
            revision.title: stages for revision in (old, new) if (stages := revision.stale_stages())
        },
        missing=read.missing,
    )


def as_data(difference: Difference) -> dict[str, Any]:
    """A comparison as JSON takes it."""
    answers = difference.answers
    return {
        "old": _named(difference.old),
        "new": _named(difference.new),
        "params": _pairs(difference.params),
        "data": difference.data,
        "code": {"files": difference.code, "stages": difference.stages},
        "environment": _pairs(difference.environment),
        "metrics": {
            path: {
                name: {**asdict(change), "difference": change.difference}
                for name, change in rows.items()
            }
            for path, rows in difference.metrics.items()
        },
        "answers": None if answers is None else asdict(answers),
        "stale": difference.stale,
        "missing": difference.missing,
    }


def _named(revision: Revision) -> dict[str, str | None]:
    return {"name": revision.name, "commit": revision.commit}


def _pairs(changed: Mapping[str, Pair]) -> dict[str, dict[str, Any]]:
    return {key: {"old": old, "new": new} for key, (old, new) in changed.items()}


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Pair]:
    """The keys whose values differ, in the order of the second, then of the first."""
    return {
        key: (old.get(key), new.get(key))
        for key in [*new, *(key for key in old if key not in new)]
        if old.get(key) != new.get(key)
    }


def _changed_data(old: Revision, new: Revision) -> list[str]:
    return [path for path in _changed(old.hashes, new.hashes) if within(path, DATA)]


def _environment(old: Revision, new: Revision) -> dict[str, Pair]:
    """The locked libraries that changed, and what else the stages ran on."""
    places = moved(recorded(old), recorded(new))
    beside = {name: pair for name, pair in places.items() if not name.startswith("libraries.")}
    return _changed(_pins(old), _pins(new)) | beside


def _pins(revision: Revision) -> dict[str, str]:
    """The locked versions; none where a revision has no lock."""
    try:
        return pins(revision.read(REQUIREMENTS).decode())
    except MissingOutputError:
        return {}


def _histories(read: _Reader, old: Revision, new: Revision) -> dict[str, Table]:
    found = {
        revision.title: read.attempt(revision.read_table, paths.TRAIN_HISTORY)
        for revision in (old, new)
    }
    return {title: table for title, table in found.items() if table is not None}


def _metrics(
    read: _Reader, old: Revision, new: Revision, ends: Mapping[str, Interval]
) -> dict[str, dict[str, MetricChange]]:
    before, after = _figures(read, old), _figures(read, new)
    tested = paths.TEST_METRICS.as_posix()
    return {
        path: {
            name: MetricChange(
                before.get(path, {}).get(name),
                after.get(path, {}).get(name),
                ends.get(name) if path == tested else None,
            )
            for name in [*after.get(path, {}), *_only(before.get(path, {}), after.get(path, {}))]
        }
        for path in sorted({*before, *after}, key=lambda path: (path != tested, path))
    }


def _only(old: Mapping[str, float], new: Mapping[str, float]) -> Iterator[str]:
    return (name for name in old if name not in new)


def _figures(read: _Reader, revision: Revision) -> dict[str, dict[str, float]]:
    """The numbers of every file of metrics, by dotted key; the ends of intervals left out."""
    files = {path: read.attempt(revision.read_json, Path(path)) for path in revision.metrics}
    return {
        path: {
            name: value
            for name, value in leaves(content)
            if isinstance(value, int | float) and ENDS.isdisjoint(name.split("."))
        }
        for path, content in files.items()
        if content is not None
    }


def _answers(
    read: _Reader, old: Revision, new: Revision, params: tuple[dict[str, Any], dict[str, Any]]
) -> tuple[Answers | None, dict[str, Interval]]:
    """The answers of both, and the intervals of the metrics' differences."""
    first, second = (
        _predictions(read, revision, values)
        for revision, values in zip((old, new), params, strict=True)
    )
    if first is None or second is None:
        return None, {}
    common = _common(first, second, old, new)
    paired = first.images == second.images and len(common) == len(first.images)
    confidence = float(params[1].get("evaluate.confidence", CONFIDENCE))
    resamples = int(params[1].get("evaluate.bootstrap", RESAMPLES))
    ends = intervals(first, second, paired=paired, resamples=resamples, confidence=confidence)
    found = [change for change in changes(first, second) if change.image in common]
    sizes = len(first.images), len(second.images)
    return Answers(sizes, len(common), paired, confidence, found), ends


def _predictions(
    read: _Reader, revision: Revision, params: Mapping[str, Any]
) -> Predictions | None:
    table = read.attempt(revision.read_table, paths.TEST_PREDICTIONS)
    positive = str(params.get("evaluate.positive", ""))
    title = f"{paths.TEST_PREDICTIONS} of {revision.title}"
    return None if table is None else parse(table, positive, title)


def _common(first: Predictions, second: Predictions, old: Revision, new: Revision) -> set[str]:
    """The test images that are the same in both: the same name, label and, as far as told, bytes.

    The synthetic images of another seed have the same names, so a name alone proves nothing.
    """
    labels = [
        dict(zip(p.images, (p.classes[label] for label in p.labels), strict=True))
        for p in (first, second)
    ]
    names = {name for name, label in labels[0].items() if labels[1].get(name) == label}
    raw = paths.RAW.as_posix()
    if old.hashes.get(raw) == new.hashes.get(raw):
        return names
    before, after = (revision.digests(paths.RAW_IMAGES) for revision in (old, new))
    return {name for name in names if name in after and before.get(name) == after[name]}
