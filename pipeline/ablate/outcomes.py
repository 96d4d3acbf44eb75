"""What stage `ablate` wrote of every technique, read back, put in order and compared."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.ablate.comparison import ACCURACY, Right, Values, differences, mean_over_seeds
from pipeline.common.errors import BluelightError
from pipeline.common.resampling import Estimate, Resampling
from pipeline.common.wording import magnitude, number, span

BASELINE, COMBINED = "baseline", "combined"
DIGITS = 6  # beyond them, processors differ

Table = dict[str, list[str]]
Curves = dict[str, Values]


@dataclass(frozen=True)
class Outcome:
    """What one technique's runs gave.

    Attributes:
        name: Of the technique.
        settings: The params that its runs had, by section.
        seeds: One for each run.
        runs: float64 [seeds] by name: the figures of each run.
        histories: Columns of the history of each run.
        images: Names of the test images.
        right: bool [seeds, images], whether the answer was the true class.
        activations: Columns of `activations.csv`.
    """

    name: str
    settings: Mapping[str, Any]
    seeds: list[str]
    runs: dict[str, Values]
    histories: list[Curves]
    images: list[str]
    right: Right
    activations: Table


@dataclass(frozen=True)
class Entry:
    """One technique as the report tells of it.

    Attributes:
        outcome: What its runs gave.
        changes: What its params have otherwise than the baseline's, by dotted key.
        means: Each figure over seeds.
        differences: Each figure less the baseline's; empty for the baseline, or without one.
    """

    outcome: Outcome
    changes: dict[str, Any]
    means: dict[str, Estimate]
    differences: dict[str, Estimate]

    @property
    def name(self) -> str:
        """Of the technique."""
        return self.outcome.name

    @property
    def title(self) -> str:
        """The name as words."""
        return self.name.replace("_", " ")


@dataclass(frozen=True)
class Comparison:
    """All techniques, the baseline first, everything combined last.

    Attributes:
        entries: One for each technique.
        seeds: How many runs each has.
        confidence: Of the intervals.
    """

    entries: list[Entry]
    seeds: int
    confidence: float

    def get(self, name: str) -> Entry | None:
        """The technique of that name, if there is one."""
        return next((entry for entry in self.entries if entry.name == name), None)

    @property
    def baseline(self) -> Entry | None:
        """What the others are compared with."""
        return self.get(BASELINE)

    @property
    def compared(self) -> list[Entry]:
        """The techniques that have a difference to the baseline."""
        return [entry for entry in self.entries if entry.differences]


def ordered(names: Iterable[str]) -> list[str]:
    """The baseline first, everything combined last, the others as they are."""
    return sorted(names, key=lambda name: (name == COMBINED) - (name == BASELINE))


def compare(outcomes: Sequence[Outcome], how: Resampling) -> Comparison:
    """Compare every technique with the one called `baseline`, where there is one.

    Args:
        outcomes: In the order in which to show them; all of the same seeds and images.
        how: How to make intervals.

    Raises:
        BluelightError: A technique ran with other seeds, or on other images, than the first.
    """
    for outcome in outcomes:
        _check_paired(outcome, outcomes[0])
    baseline = next((outcome for outcome in outcomes if outcome.name == BASELINE), None)
    entries = [_entry(outcome, baseline, how) for outcome in outcomes]
    return Comparison(entries, len(outcomes[0].seeds), how.confidence)


def as_data(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON takes it: every mean and difference, with its interval."""
    techniques = {
        entry.name: {
            "means": {name: _as_data(estimate) for name, estimate in entry.means.items()},
            "differences": {name: _as_data(found) for name, found in entry.differences.items()},
        }
        for entry in comparison.entries
    }
    shared = {"seeds": comparison.seeds, "confidence": comparison.confidence}
    return {**shared, "techniques": techniques}


def load_outcome(folder: Path, settings: Mapping[str, Any]) -> Outcome:
    """Read what the runs of one technique gave.

    Args:
        folder: Its own, named after it.
        settings: The params that its runs had.

    Raises:
        BluelightError: A file is missing.
    """
    runs = _read(folder / "runs.csv")
    seeds = runs.pop("seed")
    images, right = _answers(_read(folder / "predictions.csv"), seeds)
    return Outcome(
        name=folder.name,
        settings=settings,
        seeds=seeds,
        runs={name: np.array(cells, dtype=np.float64) for name, cells in runs.items()},
        histories=_histories(_read(folder / "history.csv"), seeds),
        images=images,
        right=right,
        activations=_read(folder / "activations.csv"),
    )


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings, with dotted keys."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _entry(outcome: Outcome, baseline: Outcome | None, how: Resampling) -> Entry:
    means = {name: mean_over_seeds(values, how.confidence) for name, values in outcome.runs.items()}
    if baseline is None or outcome is baseline:
        return Entry(outcome, {}, means, {})
    plain = dict(flat(baseline.settings))
    changes = {key: value for key, value in flat(outcome.settings) if plain.get(key) != value}
    gained = differences(outcome.runs, outcome.right, baseline.runs, baseline.right, how)
    return Entry(outcome, changes, means, gained)


def _as_data(estimate: Estimate) -> dict[str, float]:
    ends = {} if estimate.interval is None else asdict(estimate.interval)
    return {name: round(value, DIGITS) for name, value in {"mean": estimate.value, **ends}.items()}


def _check_paired(outcome: Outcome, first: Outcome) -> None:
    for what, ours, theirs in (
        ("seeds", outcome.seeds, first.seeds),
        ("test images", outcome.images, first.images),
    ):
        if ours != theirs:
            raise BluelightError(
                f"techniques {first.name} and {outcome.name} were run with different {what}, so "
                "they cannot be compared pair by pair; `dvc repro` runs again what is out of date"
            )


def _read(path: Path) -> Table:
    """A CSV file by columns."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
    except FileNotFoundError:
        raise BluelightError(f"{path} not found; `dvc repro` makes it") from None
    columns = map(list, zip(*rows, strict=True)) if rows else ([] for _ in header)
    return dict(zip(header, columns, strict=True))


def _histories(table: Table, seeds: Sequence[str]) -> list[Curves]:
    owner = np.array(table.pop("seed"))
    columns = {name: np.array(cells, dtype=np.float64) for name, cells in table.items()}
    return [{name: cells[owner == seed] for name, cells in columns.items()} for seed in seeds]


def _answers(table: Table, seeds: Sequence[str]) -> tuple[list[str], Right]:
    """The test images, and bool [seeds, images] of whether each answer was right."""
    prefix = "probability_"
    classes = np.array([name.removeprefix(prefix) for name in table if name.startswith(prefix)])
    probabilities = np.array([table[prefix + name] for name in classes], dtype=np.float64)
    right = classes[probabilities.argmax(axis=0)] == np.array(table["label"])
    owner, images = np.array(table["seed"]), np.array(table["image"])
    names: list[str] = images[owner == seeds[0]].tolist()
    return names, np.stack([right[owner == seed] for seed in seeds])


def statement(comparison: Comparison) -> str:
    """The best-supported difference in one line: the interval that lies furthest from zero."""
    if comparison.baseline is None:
        return "no technique is called baseline, so there are no differences to show"
    if not comparison.compared:
        return "no technique beside the baseline"
    if comparison.seeds < 2:
        return "no difference shown: one seed gives no interval"
    shown = [entry for entry in comparison.compared if entry.differences[ACCURACY].shown]
    if not shown:
        return f"no difference shown between techniques and baseline ({comparison.seeds} seeds)"
    return _claim(max(shown, key=_support), comparison.seeds)


def _support(entry: Entry) -> float:
    interval = entry.differences[ACCURACY].interval
    return 0.0 if interval is None else interval.distance_from_zero


def _claim(entry: Entry, seeds: int) -> str:
    difference = entry.differences[ACCURACY]
    verb = "beats" if difference.value > 0 else "falls behind"
    size = magnitude(difference)
    points, interval = number(100 * size.value, 1), span(size, 100, 1)
    return f"{entry.title} {verb} baseline by {points} points ({interval}, {seeds} seeds)"
