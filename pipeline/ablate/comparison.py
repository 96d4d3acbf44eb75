"""Statistics of the comparison: what each technique reached over seeds, and what it changed.

Every technique ran with the same seeds and was tested on the same images, so it is compared with
the baseline pair by pair: what a lucky seed or an easy image gives to both cancels out.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from pipeline.common.randomness import Purpose, generator
from pipeline.common.resampling import Estimate, Interval, Resampling

Values = npt.NDArray[np.float64]
Right = npt.NDArray[np.bool_]

ACCURACY = "test_accuracy"


def mean_over_seeds(values: Values, confidence: float) -> Estimate:
    """Mean with Student's t interval (1908): what other seeds would give, on the same images.

    Args:
        values: float64 [seeds].
        confidence: As of `Resampling`.
    """
    mean, runs = float(values.mean()), len(values)
    if runs < 2:
        return Estimate(mean, None)
    quantile = float(stdtrit(runs - 1, (1 + confidence) / 2))
    reach = quantile * float(values.std(ddof=1)) / runs**0.5
    return Estimate(mean, Interval(mean - reach, mean + reach))


def difference_in_accuracy(right: Right, baseline: Right, how: Resampling) -> Estimate:
    """Mean paired difference in accuracy, its interval honest about both seeds and test images.

    Two intervals are made, and the wider end of the two is taken on each side:

    - the pigeonhole bootstrap of Owen (2007, Annals of Applied Statistics 1:386): seeds and images
      are resampled independently, because every seed meets every image. It allows for other
      images, but a handful of seeds resampled vary less than seeds do;
    - Student's t over the seeds' differences, right for few seeds, blind to the choice of images.

    Args:
        right: bool [seeds, images], whether the technique's answer was the true class.
        baseline: The same of the baseline, in the same order of seeds and images.
        how: How to resample.
    """
    differences = right.astype(np.float64) - baseline
    over_seeds = mean_over_seeds(differences.mean(axis=1), how.confidence)
    if over_seeds.interval is None:
        return over_seeds
    low, high = np.quantile(_resampled_means(differences, how), how.tails)
    student = over_seeds.interval
    widest = Interval(min(student.low, float(low)), max(student.high, float(high)))
    return Estimate(over_seeds.value, widest)


def differences(
    runs: Mapping[str, Values],
    right: Right,
    baseline_runs: Mapping[str, Values],
    baseline_right: Right,
    how: Resampling,
) -> dict[str, Estimate]:
    """The paired difference in every figure.

    Accuracy has an interval over seeds and images. Of the other figures one number per run is kept,
    not one per image, so theirs is Student's t over seeds and holds for these test images.

    Args:
        runs: float64 [seeds] by name of the figure.
        right: As for `difference_in_accuracy`.
        baseline_runs: The baseline's figures, in the same order of seeds.
        baseline_right: The baseline's answers.
        how: How to resample.
    """
    over_seeds = {
        name: mean_over_seeds(values - baseline_runs[name], how.confidence)
        for name, values in runs.items()
    }
    return over_seeds | {ACCURACY: difference_in_accuracy(right, baseline_right, how)}


def _resampled_means(table: Values, how: Resampling) -> Values:
    """Means [resamples] of a table [seeds, images] whose rows and columns are drawn anew.

    How often a row is drawn is a multinomial count, so a mean is a product with two weightings.
    """
    draw = generator(how.seed, Purpose.COMPARISON)
    by_seed, by_image = (
        draw.multinomial(count, np.full(count, 1 / count), size=how.resamples) / count
        for count in table.shape
    )
    means: Values = np.einsum("ri,ri->r", by_seed @ table, by_image)
    return means
