"""Compare two revisions: params, data, code, environment, metrics and predictions; or average many.

Two models tested on the same images are compared image by image: both are measured on the same
resamples of the images, so that what is easy or hard for both cancels out.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from packaging.requirements import Requirement

from pipeline.common import metrics, paths, resampling
from pipeline.common.artifact import DESCRIPTION
from pipeline.common.environment import Facts, by_stage
from pipeline.common.errors import MissingOutputError, RevisionError
from pipeline.common.files import DIGITS, flatten
from pipeline.common.resampling import Estimate, Interval, Resampling
from pipeline.revisions.revision import Revision, changed_files, changed_keys, is_within

CONFIDENCE, RESAMPLES = 0.95, 2000  # for revisions whose params do not have them
CURVES = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")  # of history.csv
PROBABILITY = "probability_"  # begins the names of columns in predictions.csv
KINDS = ("lost", "gained", "other")  # now wrong, now correct, wrong in both

T = TypeVar("T")


@dataclass(frozen=True)
class Change:
    """A value in the first and the second revision; None where there is none."""

    old: Any
    new: Any


@dataclass(frozen=True)
class MetricChange(Change):
    """A metric in the first and the second revision.

    Attributes:
        difference: New less old; None if either is missing.
        interval: Of the difference; None for metrics of other than the test images.
    """

    difference: float | None
    interval: Interval | None

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval of the difference excludes zero."""
        return self.interval is not None and self.interval.distance_from_zero > 0


@dataclass(frozen=True)
class PredictionChanges:
    """The predictions for the test images, compared.

    Attributes:
        images: Number of test images of the first and the second revision.
        common: How many of them are the same.
        paired: Whether all are the same, so that intervals are paired.
        confidence: Of the intervals.
        changed: As `changed_predictions` returns it, for the common images.
    """

    images: tuple[int, int]
    common: int
    paired: bool
    confidence: float
    changed: pd.DataFrame


@dataclass(frozen=True)
class Difference:
    """Two revisions compared.

    Attributes:
        old: The first revision.
        new: The second revision.
        params: Old and new values by dotted key.
        decision: How the model's probabilities become labels, such as the threshold: old and new
            values.
        data: Paths of changed outputs below `data/`.
        code: Changed files of code.
        stages: Names of the stages that read those files.
        environment: Old and new versions of libraries and facts of machines, by name.
        metrics: All metrics, changed or not, by file and name.
        predictions: None if a revision's predictions are missing.
        histories: The training's `history.csv` by the title of the revision, if not missing.
        stale: By title, the stages whose params, code or data changed since they ran.
        missing: A line for each reason why outputs are missing, and for each damaged one.
    """

    old: Revision
    new: Revision
    params: dict[str, Change]
    decision: dict[str, Change]
    data: list[str]
    code: list[str]
    stages: list[str]
    environment: dict[str, Change]
    metrics: dict[str, dict[str, MetricChange]]
    predictions: PredictionChanges | None
    histories: dict[str, pd.DataFrame]
    stale: dict[str, list[str]]
    missing: list[str]

    @property
    def changed_metrics(self) -> dict[str, dict[str, MetricChange]]:
        """The metrics whose values differ, by file and name."""
        found = {
            path: {name: change for name, change in rows.items() if change.old != change.new}
            for path, rows in self.metrics.items()
        }
        return {path: rows for path, rows in found.items() if rows}


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever a comparison holds
    """Convert a part of a comparison for `json.dumps`."""
    if isinstance(value, Revision):
        return {"name": value.name, "commit": value.commit}
    return value.to_dict("records") if isinstance(value, pd.DataFrame) else vars(value)


def compare(old: Revision, new: Revision) -> Difference:
    """Compare two revisions of a project.

    Raises:
        RevisionError: `params.yaml` or another file in git is damaged.
    """
    missing: dict[str, list[str]] = {}
    damaged: list[str] = []

    def attempt(revision: Revision, path: Path, parse: Callable[[bytes], T]) -> T | None:
        """Return what `parse` makes of an output; None if it is missing or damaged, noted."""
        try:
            return revision.parse(path, parse)
        except MissingOutputError as error:
            missing.setdefault(error.reason, []).append(error.path)
        except RevisionError as error:  # damaged, or laid out otherwise by an older revision
            damaged.append(str(error))
        return None

    def parse_history(content: bytes) -> pd.DataFrame:
        return pd.read_csv(BytesIO(content))[["epoch", *CURVES]].astype({"epoch": int})

    revisions = old, new
    params = old.read_params(), new.read_params()
    code = changed_files((old.commit, new.commit), "pipeline", "dvc.yaml")
    facts = changed_facts(recorded(old), recorded(new))
    machines = {name: pair for name, pair in facts.items() if not name.startswith("libraries.")}
    tables = [attempt(each, paths.TEST_PREDICTIONS, parse_predictions) for each in revisions]
    predictions, intervals = _compare_predictions(tables, revisions, params)
    histories = {
        each.title: attempt(each, paths.TRAIN_HISTORY, parse_history) for each in revisions
    }
    before, after = (
        {path: attempt(each, Path(path), parse_metrics) for path in each.metrics}
        for each in revisions
    )
    rules = [
        attempt(each, paths.MODEL / DESCRIPTION, lambda data: flatten(json.loads(data)["decision"]))
        for each in revisions
    ]
    stale = {each.title: each.stale_stages() for each in revisions}
    return Difference(
        old=old,
        new=new,
        params=changes(*params),
        decision=changes(*(rule or {} for rule in rules)) if all(rules) else {},
        data=[path for path in changes(old.hashes, new.hashes) if is_within(path, "data")],
        code=code,
        stages=new.stages_reading(code),
        environment=changes(locked_versions(old), locked_versions(new)) | machines,
        metrics=_compare_metrics(before, after, intervals),
        predictions=predictions,
        histories={title: table for title, table in histories.items() if table is not None},
        stale={title: stages for title, stages in stale.items() if stages},
        missing=[f"missing {', '.join(names)} {why}" for why, names in missing.items()] + damaged,
    )


# ---- environment


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Change]:
    """Return the values that differ, old and new, by key."""
    return {key: Change(old.get(key), new.get(key)) for key in changed_keys(old, new)}


def locked_versions(revision: Revision) -> dict[str, str]:
    """Return the versions in `requirements.lock` by library; nothing if there is no such file.

    Alternatives for other machines are joined, as in `1.2 or 1.3`.
    """

    def parse(content: bytes) -> dict[str, str]:
        found: dict[str, list[str]] = {}
        for line in content.decode().splitlines():
            if "==" in line and not line.startswith((" ", "#")):
                pin = Requirement(line.rstrip(" \\"))
                found.setdefault(pin.name, []).append(str(pin.specifier).removeprefix("=="))
        return {name: " or ".join(versions) for name, versions in found.items()}

    try:
        return revision.parse(Path("requirements.lock"), parse)
    except MissingOutputError:
        return {}


def recorded(revision: Revision) -> dict[str, Facts]:
    """Return what each stage ran on; nothing if the revision is older than that record."""
    try:
        return revision.parse(paths.ENVIRONMENT, lambda data: by_stage(json.loads(data)))
    except MissingOutputError:
        return {}


def changed_facts(old: Mapping[str, Facts], new: Mapping[str, Facts]) -> dict[str, Change]:
    """Return what changed for stages recorded in both, old and new value by dotted name."""
    found: dict[str, Change] = {}
    for stage in old.keys() & new.keys():
        found |= changes(flatten(old[stage]), flatten(new[stage]))
    return dict(sorted(found.items()))


# ---- metrics


def _compare_metrics(
    old: Mapping[str, dict[str, float] | None],
    new: Mapping[str, dict[str, float] | None],
    intervals: Mapping[str, Interval],
) -> dict[str, dict[str, MetricChange]]:
    """Compare every number of every file of metrics; those of the test images come first."""
    tested = paths.TEST_METRICS.as_posix()
    found: dict[str, dict[str, MetricChange]] = {}
    for path in sorted(old.keys() | new.keys(), key=lambda path: (path != tested, path)):
        then, now = (each.get(path) or {} for each in (old, new))
        for name in now | then:
            values = then.get(name), now.get(name)
            gap = None if None in values else round(now[name] - then[name], DIGITS)
            interval = intervals.get(name) if path == tested else None
            found.setdefault(path, {})[name] = MetricChange(*values, gap, interval)
    return found


def parse_metrics(content: bytes) -> dict[str, float]:
    """Read the numbers of a file of metrics by dotted key, without ends of intervals."""
    return {
        name: value
        for name, value in flatten(json.loads(content)).items()
        if isinstance(value, int | float)
        and {"interval", "low", "high"}.isdisjoint(name.split("."))
    }


# ---- predictions


def _compare_predictions(
    tables: Sequence[pd.DataFrame | None],
    revisions: Sequence[Revision],
    params: Sequence[Mapping[str, Any]],
) -> tuple[PredictionChanges | None, dict[str, Interval]]:
    """Compare predictions, and return intervals for the differences of the metrics as well."""
    old, new = tables
    if old is None or new is None:
        return None, {}
    common = _common_images(old, new, revisions)
    paired = len(common) == len(old) == len(new)
    how = Resampling(
        float(params[1].get("evaluate.confidence", CONFIDENCE)),
        int(params[1].get("evaluate.bootstrap", RESAMPLES)),
    )
    intervals = difference_intervals(
        old, new, [str(each.get("evaluate.positive", "")) for each in params], how, paired=paired
    )
    changed = changed_predictions(old, new)
    changed = changed[changed["image"].isin(common)]
    sizes = len(old), len(new)
    return PredictionChanges(sizes, len(common), paired, how.confidence, changed), intervals


def parse_predictions(content: bytes) -> pd.DataFrame:
    """Read `predictions.csv`.

    Returns:
        Columns group, label, predicted and the probabilities as float64, by image, sorted.

    Raises:
        KeyError: A column is missing.
        ValueError: It is not CSV, has no rows, or a cell makes no sense.
    """
    table = pd.read_csv(BytesIO(content), dtype=str, keep_default_na=False)
    columns = [name for name in table if name.startswith(PROBABILITY)]
    if "group" not in table:  # written by an older revision: each image by itself
        table = table.assign(group=table["image"])
    found = table.set_index("image").sort_index()[["group", "label", "predicted", *columns]]
    if found.empty:
        raise ValueError("it has no rows")
    unknown = {*found["label"], *found["predicted"]} - set(_classes(found))
    if unknown:
        raise ValueError(f"no column of probabilities for {', '.join(sorted(unknown))}")
    return found.astype(dict.fromkeys(columns, np.float64))


def changed_predictions(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Return the images in both tables whose prediction changed, as `PredictionChanges` has them.

    Those that are wrong now come first, the most probable prediction first.
    """
    both = new.join(old["predicted"].rename("old"), how="inner").rename_axis("image")
    both = both[both["old"] != both["predicted"]].reset_index()
    probability = [row[PROBABILITY + row["predicted"]] for _, row in both.iterrows()]
    kind = np.select(
        [both["old"] == both["label"], both["predicted"] == both["label"]], KINDS[:2], KINDS[2]
    )
    found = both[["image", "label", "old", "predicted"]].rename(columns={"predicted": "new"})
    found = found.assign(probability=probability, kind=kind)
    order = np.lexsort((-found["probability"], [KINDS.index(one) for one in kind]))
    return found.iloc[order].reset_index(drop=True)


def difference_intervals(
    old: pd.DataFrame,
    new: pd.DataFrame,
    positive: list[str],
    how: Resampling,
    *,
    paired: bool,
) -> dict[str, Interval]:
    """Percentile bootstrap intervals (Efron, 1979) of each metric's difference, new less old.

    They allow for other test images, not for other seeds of the training.

    Args:
        old: Predictions of the first revision.
        new: Predictions of the second revision.
        positive: Name of the positive class in each; metrics are averages over classes where the
            data lack it.
        how: Confidence and number of resamples.
        paired: Whether both have the same images, which are then resampled together. Groups of
            duplicates are drawn as one, as they are no independent observations.

    Returns:
        By the metric's name in `metrics.json`.
    """
    samples = []
    for table, name, seed in zip((old, new), positive, (0, 0 if paired else 1), strict=True):
        classes = _classes(table)
        predictions = metrics.Predictions(
            labels=np.array([classes.index(label) for label in table["label"]]),
            predicted=np.array([classes.index(label) for label in table["predicted"]]),
            probabilities=table[[PROBABILITY + one for one in classes]].to_numpy(),
            positive=classes.index(name) if name in classes else None,
        )
        groups = pd.factorize((new if paired else table)["group"])[0]
        draws = Resampling(how.confidence, how.resamples, seed)
        measure = partial(metrics.weighted_metrics, predictions)
        samples.append(resampling.resampled(measure, len(table), draws, groups))
    before, after = samples
    gaps = {name: after[name] - before[name] for name in sorted(before.keys() & after.keys())}
    return {
        name: resampling.percentile(gap, how)
        for name, gap in gaps.items()
        if np.isfinite(gap).any()
    }


def _classes(table: pd.DataFrame) -> list[str]:
    return [
        name.removeprefix(PROBABILITY) for name in map(str, table) if name.startswith(PROBABILITY)
    ]


def _common_images(old: pd.DataFrame, new: pd.DataFrame, revisions: Sequence[Revision]) -> set[str]:
    """Return the images that are the same in both: same name, label and content.

    Names do not suffice: synthetic images of another seed have the same names.
    """
    names = {name for name, label in old["label"].items() if new["label"].get(name) == label}
    raw = paths.RAW.as_posix()
    first, second = revisions
    if first.hashes.get(raw) == second.hashes.get(raw):
        return names
    before, after = (revision.file_hashes(paths.RAW_IMAGES) for revision in revisions)
    return {name for name in names if name in after and before.get(name) == after[name]}


# ---- averages


def average_metrics(revisions: Sequence[Revision]) -> dict[tuple[str, str], Estimate]:
    """Return mean and interval of every metric that all revisions have, made by their params.

    Intervals are Student's t over revisions. The folds of a cross-validation share most of their
    training images, which the interval does not know: take it as a guide (Bengio and Grandvalet,
    2004).

    Returns:
        Estimates by file and metric.

    Raises:
        MissingOutputError: A file of metrics is missing.
        RevisionError: There are fewer than two different commits.
    """
    commits = {revision.commit for revision in revisions}
    if len(commits) < max(2, len(revisions)):
        raise RevisionError("name two or more different commits to average over")
    values: dict[tuple[str, str], list[float]] = {}
    for revision in revisions:
        for path in sorted({*revision.metrics} - revision.stale_outputs()):
            for name, value in revision.parse(Path(path), parse_metrics).items():
                values.setdefault((path, name), []).append(value)
    return {
        key: resampling.mean_over_runs(np.array(found, np.float64), CONFIDENCE)
        for key, found in values.items()
        if len(found) == len(revisions)
    }
