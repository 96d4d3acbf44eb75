"""How a comparison is said: the same sentences for terminal, Markdown and HTML."""

from typing import Any

from pipeline.common.wording import number
from pipeline.revisions.difference import Answers, Difference, MetricChange
from pipeline.revisions.environments import Pair

NOTHING = "\N{EN DASH}"
ARROW = "\N{RIGHTWARDS ARROW}"
SAME = "the same"
DECIMALS = 4
KINDS = {"lost": "wrong now", "gained": "right now", "other": "wrong both times"}


def title(difference: Difference) -> str:
    """Which revisions are compared."""
    return f"{difference.old.title} {ARROW} {difference.new.title}"


def inputs(difference: Difference) -> dict[str, list[str]]:
    """What went in, by kind: a line for each difference, or one that there is none."""
    code = list(difference.code)
    if difference.stages:
        code.append(f"read by {', '.join(difference.stages)}")
    lines = {
        "params": [f"{key}: {pair(values)}" for key, values in difference.params.items()],
        "data": difference.data,
        "code": code,
        "environment": [f"{key} {pair(values)}" for key, values in difference.environment.items()],
    }
    return {kind: found or [SAME] for kind, found in lines.items()}


def pair(values: Pair) -> str:
    """Before and after."""
    return f" {ARROW} ".join(map(_value, values))


def cells(change: MetricChange) -> tuple[str, str, str, str]:
    """A row of the table of metrics: before, after, difference, interval."""
    gained = change.difference
    ends = change.interval
    return (
        figure(change.old),
        figure(change.new),
        NOTHING if gained is None else figure(gained, signed=True),
        "" if ends is None else f"{figure(ends.low)} to {figure(ends.high)}",
    )


def figure(value: float | None, *, signed: bool = False) -> str:
    """A count as a whole number, anything else with four decimals."""
    if value is None:
        return NOTHING
    return number(value, 0 if isinstance(value, int) else DECIMALS, signed=signed)


def pairing(answers: Answers) -> str:
    """Whether the intervals compare image by image."""
    level = f"{100 * answers.confidence:g}\N{NO-BREAK SPACE}%"
    if answers.paired:
        return (
            f"{level} intervals of the difference, paired over the same {answers.images[0]:,} "
            "test images; they do not include what another seed would change"
        )
    first, second = answers.images
    return (
        f"the test images differ ({first:,} and {second:,}, {answers.common:,} of them the same), "
        f"so the {level} intervals are unpaired, and wider than paired ones would be"
    )


def answered(answers: Answers) -> str:
    """How many answers changed."""
    if not answers.common:
        return "no test image is the same in both, so no answers can be compared"
    if not answers.changed:
        return f"the same answers on all {answers.common:,} common test images"
    counts = ((answers.count(kind), meaning) for kind, meaning in KINDS.items())
    kinds = ", ".join(f"{count:,} {meaning}" for count, meaning in counts if count)
    return f"{len(answers.changed):,} of {answers.common:,} answers changed: {kinds}"


def warnings(difference: Difference) -> list[str]:
    """What makes the comparison less than whole."""
    stale = [
        f"{revision}: {', '.join(stages)} not run since params, code or data changed there, so "
        "what follows from them is of an older run; `dvc repro` brings it up to date"
        for revision, stages in difference.stale.items()
    ]
    return stale + difference.missing


def _value(value: Any) -> str:  # noqa: ANN401 - any value of YAML
    return NOTHING if value is None else str(value)
