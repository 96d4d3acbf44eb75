"""How the report says a number and a difference: in words that claim no more than was shown."""

from collections.abc import Mapping

from pipeline.common.resampling import Estimate, Interval

MINUS = "\N{MINUS SIGN}"


def number(value: float, digits: int = 2, *, signed: bool = False) -> str:
    """A number with a true minus sign; zero has none."""
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    is_zero = not any(digit in "123456789" for digit in text)
    return (text.lstrip("+-") if is_zero else text).replace("-", MINUS)


def span(estimate: Estimate, scale: float = 1, digits: int = 2) -> str:
    """An interval as `0.4 to 3.2`; empty where there is none."""
    if estimate.interval is None:
        return ""
    low, high = (scale * end for end in (estimate.interval.low, estimate.interval.high))
    return f"{number(low, digits)} to {number(high, digits)}"


def cell(estimate: Estimate, scale: float = 1, digits: int = 2, *, signed: bool = False) -> str:
    """A mean and its interval, for a table of plain text."""
    interval = span(estimate, scale, digits)
    mean = number(scale * estimate.value, digits, signed=signed)
    return f"{mean} ({interval})" if interval else mean


def verdict(difference: Estimate, unit: str = "", scale: float = 1, digits: int = 2) -> str:
    """By how much, where that was shown; otherwise that no difference was.

    Args:
        difference: Less the baseline's.
        unit: After the number: `points`.
        scale: What to multiply with: 100 for points of a percentage.
        digits: Decimals.
    """
    if difference.interval is None:
        change = number(scale * difference.value, digits, signed=True)
        return " ".join(filter(None, (change, unit, "(one seed: no interval)")))
    if not difference.shown:
        interval = span(difference, scale, digits)
        return f"no difference shown ({' '.join(filter(None, (interval, unit)))})"
    way = "more" if difference.value > 0 else "less"
    size = magnitude(difference)
    words = (number(scale * size.value, digits), unit, way, f"({span(size, scale, digits)})")
    return " ".join(filter(None, words))


def difference(found: Mapping[str, float]) -> Estimate:
    """A difference as `metrics.json` and its like have it: `value`, `low` and `high`."""
    return Estimate(found["value"], Interval(found["low"], found["high"]))


def magnitude(difference: Estimate) -> Estimate:
    """A difference as a size, for a sentence that gives its direction in words."""
    if difference.value >= 0 or difference.interval is None:
        return difference
    interval = Interval(-difference.interval.high, -difference.interval.low)
    return Estimate(-difference.value, interval)
