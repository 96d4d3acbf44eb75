"""Confidence intervals: made by the bootstrap (Efron, 1979) or over runs, and put into words."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from pipeline.common.errors import printable
from pipeline.common.randomness import Purpose, generator

Values = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]
Metrics = Callable[[Values], Mapping[str, Values]]

AT_ONCE = 2**20  # weights in memory: 8 MB, and a few times as much within a metric


@dataclass(frozen=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float

    @property
    def distance_from_zero(self) -> float:
        """Distance of the nearer end from zero; 0 where the interval includes it."""
        return max(self.low, -self.high, 0.0)


@dataclass(frozen=True)
class Estimate:
    """A value and how far it is uncertain.

    Attributes:
        value: The value.
        interval: None where there is nothing to estimate it from, such as a single run.
    """

    value: float
    interval: Interval | None

    @property
    def shown(self) -> bool:
        """Whether this difference is shown to be other than zero."""
        return self.interval is not None and self.interval.distance_from_zero > 0


@dataclass(frozen=True)
class Resampling:
    """How intervals are made.

    Attributes:
        confidence: Share of cases in which an interval should contain the truth.
        resamples: Number of resamples.
        seed: Seed of the draws.
    """

    confidence: float
    resamples: int
    seed: int = 0

    @property
    def tails(self) -> list[float]:
        """The quantiles at which an interval ends."""
        return [(1 - self.confidence) / 2, (1 + self.confidence) / 2]


def as_data(content: Any) -> Any:  # noqa: ANN401 - any nesting of mappings, lists and scalars
    """Return `content` with every estimate in it as a mapping of `value`, `low` and `high`."""
    if isinstance(content, Estimate):
        ends = {} if content.interval is None else asdict(content.interval)
        return {"value": content.value, **ends}
    if isinstance(content, Mapping):
        return {key: as_data(value) for key, value in content.items()}
    return [as_data(value) for value in content] if isinstance(content, list) else content


def from_data(content: Any) -> Any:  # noqa: ANN401 - what `as_data` returned
    """Return `content` with its estimates as `as_data` found them."""
    if isinstance(content, Mapping):
        if content.keys() in ({"value"}, {"value", "low", "high"}):
            ends = Interval(content["low"], content["high"]) if "low" in content else None
            return Estimate(content["value"], ends)
        return {key: from_data(value) for key, value in content.items()}
    return [from_data(value) for value in content] if isinstance(content, list) else content


def mean_over_runs(values: Values, confidence: float) -> Estimate:
    """Estimate the mean of what independent runs give, with Student's t interval (1908).

    Args:
        values: float64 [runs], at least one.
        confidence: Share of the cases in which the interval should hold the mean.
    """
    mean, runs = float(values.mean()), len(values)
    if runs < 2:
        return Estimate(mean, None)
    quantile = float(stdtrit(runs - 1, (1 + confidence) / 2))
    reach = quantile * float(values.std(ddof=1)) / runs**0.5
    return Estimate(mean, Interval(mean - reach, mean + reach))


def resampled(
    metrics: Metrics, images: int, how: Resampling, groups: Groups | None = None
) -> dict[str, Values]:
    """Compute the metrics of every resample of the images.

    The same images, groups and seed give the same resamples, so differences between the values of
    two models are paired.

    Args:
        metrics: Takes float64 [images, r], how often each image was drawn; returns float64 [r]
            each.
        images: Number of images.
        how: Number of resamples, and seed.
        groups: Group of each image from 0 on, int64 [images], where groups are drawn rather than
            images: duplicates are no independent observations. None: each image is its own group.

    Returns:
        float64 [resamples] each.
    """
    groups = np.arange(images) if groups is None else groups
    count = int(groups.max()) + 1
    draw = generator(how.seed, Purpose.BOOTSTRAP)
    parts = []
    for at_once in chunks(images, how):
        chosen = draw.integers(0, count, size=(at_once, count))
        cells = chosen * at_once + np.arange(at_once)[:, np.newaxis]
        drawn = np.bincount(cells.ravel(), minlength=count * at_once).reshape(count, at_once)
        parts.append(metrics(drawn[groups].astype(np.float64)))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def percentile(values: Values, how: Resampling) -> Interval:
    """Compute the percentile interval of resamples; undefined ones (NaN) are left out.

    Args:
        values: float64 [resamples].
        how: Confidence.
    """
    low, high = np.quantile(values[np.isfinite(values)], how.tails)
    return Interval(float(low), float(high))


def chunks(images: int, how: Resampling) -> Iterator[int]:
    """Yield how many resamples to make at a time, until there are enough."""
    at_once = max(1, AT_ONCE // images)
    for start in range(0, how.resamples, at_once):
        yield min(at_once, how.resamples - start)


MINUS = "\N{MINUS SIGN}"


def number(value: float, digits: int = 2, *, signed: bool = False) -> str:
    """Format a number with a true minus sign; zero has no sign."""
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    is_zero = not any(digit in "123456789" for digit in text)
    return (text.lstrip("+-") if is_zero else text).replace("-", MINUS)


def code(text: str) -> str:
    """Format text as a code span of Markdown, which nothing in the text can end."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence, space = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{space}{printable(text)}{space}{fence}"


def span(estimate: Estimate, scale: float = 1, digits: int = 2) -> str:
    """Format an interval as `0.4 to 3.2`; the empty string where there is none."""
    if estimate.interval is None:
        return ""
    low, high = (scale * end for end in (estimate.interval.low, estimate.interval.high))
    return f"{number(low, digits)} to {number(high, digits)}"


def cell(estimate: Estimate, scale: float = 1, digits: int = 2, *, signed: bool = False) -> str:
    """Format a mean and its interval for a table in plain text: `1.8 (0.4 to 3.2)`."""
    interval = span(estimate, scale, digits)
    mean = number(scale * estimate.value, digits, signed=signed)
    return f"{mean} ({interval})" if interval else mean


def verdict(difference: Estimate, unit: str = "", scale: float = 1, digits: int = 2) -> str:
    """Say how large a difference is where one was shown, otherwise that none was.

    Args:
        difference: Of the technique or model to the one it is compared with.
        unit: Written after the number, such as `points`.
        scale: Factor for the numbers: 100 for points of a percentage.
        digits: Decimals.
    """
    if difference.interval is None:
        change = number(scale * difference.value, digits, signed=True)
        return " ".join(filter(None, (change, unit, "(one run: no interval)")))
    if not difference.shown:
        interval = span(difference, scale, digits)
        return f"no difference shown ({' '.join(filter(None, (interval, unit)))})"
    direction = "more" if difference.value > 0 else "less"
    low, high = sorted(abs(end) for end in (difference.interval.low, difference.interval.high))
    size = Estimate(abs(difference.value), Interval(low, high))
    words = (number(scale * size.value, digits), unit, direction, f"({span(size, scale, digits)})")
    return " ".join(filter(None, words))
