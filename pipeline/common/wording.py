"""Numbers, intervals and differences as text that claims no more than was shown."""

import re
from collections.abc import Mapping

from pipeline.common.errors import printable
from pipeline.common.resampling import Estimate, Interval

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
    size = magnitude(difference)
    words = (number(scale * size.value, digits), unit, direction, f"({span(size, scale, digits)})")
    return " ".join(filter(None, words))


def difference(data: Mapping[str, float]) -> Estimate:
    """Read a difference from a metrics file, which has its `value`, `low` and `high`."""
    return Estimate(data["value"], Interval(data["low"], data["high"]))


def magnitude(difference: Estimate) -> Estimate:
    """Return the size of a difference, for a sentence that gives its direction in words."""
    if difference.value >= 0 or difference.interval is None:
        return difference
    interval = Interval(-difference.interval.high, -difference.interval.low)
    return Estimate(-difference.value, interval)
