"""How often do the comparison's intervals hold the truth? `python -m benchmarks.coverage`.

Each simulated comparison has techniques that are equally good, so that every difference is truly
zero, predicted with the error structure that was measured on the drawn scenes: differences in
accuracy between two runs vary by 22.6 points between images, by 28.2 points beyond that, and by 0.8
points between runs. One in ten images has a duplicate. Printed for each metric: the share of single
intervals that hold zero, and of families of six whose simultaneous intervals all do; and how often
the claim about `combined` would be false. With `--unequal`, the variance between runs differs from
technique to technique, by a factor of up to 3, and is largest for `combined`.
"""

import argparse
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import expit

from pipeline.common.resampling import Resampling
from pipeline.compare.statistics import (
    METRICS,
    between_runs,
    estimates,
    measure_technique,
    simultaneous_quantile,
    single_quantile,
    standard_error,
)

CLASSES = ("other", "emergency")
# Standard deviations of the log-odds of the true class. They give the components of differences in
# accuracy that are named above, which `main` prints as simulated.
IMAGE, TECHNIQUE, RUN, RESIDUAL, MEAN = 2.2, 0.7, 0.04, 0.52, 1.55
DUPLICATED = 0.1
# Variances between runs of the baseline, `combined` and the others, relative to RUN's.
EQUAL, UNEQUAL = (1.0,) * 8, (1.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0, 1.0)


def simulated_images(
    draw: np.random.Generator,
    images: int,
    folds: int,
    repeats: int,
    *,
    techniques: int,
    gain: float = 0.0,
    variances: Sequence[float] = EQUAL,
) -> list[pd.DataFrame]:
    """Simulate the predictions of techniques on the same images, as stage `ablate` writes them.

    Args:
        draw: Draws everything.
        images: How many.
        folds: Runs of each repeat.
        repeats: How often each image is predicted.
        techniques: How many; all are equally good.
        gain: What the last one has more, in log-odds of the true class.
        variances: Of each technique between runs, relative to RUN's.
    """
    groups = np.arange(images)
    copies = draw.random(images) < DUPLICATED
    groups[1:][copies[1:]] = groups[:-1][copies[1:]]
    labels = draw.integers(0, 2, images)
    difficulty = draw.normal(MEAN, IMAGE, images)[groups]
    tables = []
    for technique in range(techniques):
        own = difficulty + draw.normal(0, TECHNIQUE, images)[groups]
        own += gain * (technique == techniques - 1)
        tables.append(own)
    parts: list[list[pd.DataFrame]] = [[] for _ in range(techniques)]
    for repeat in range(repeats):
        fold = draw.permutation(images)[groups] % folds
        for technique, own in enumerate(tables):
            run = draw.normal(0, RUN * variances[technique] ** 0.5, folds)[fold]
            residual = draw.normal(0, RESIDUAL, images)[groups]
            right = expit(own + run + residual)
            emergency = np.where(labels == 1, right, 1 - right)
            table = pd.DataFrame(
                {
                    "run": fold + 1 + repeat * folds,
                    "image": np.arange(images),
                    "label": np.array(CLASSES)[labels],
                    "group": groups,
                    f"probability_{CLASSES[0]}": 1 - emergency,
                    f"probability_{CLASSES[1]}": emergency,
                }
            )
            parts[technique].append(table.sort_values("run", kind="stable"))
    return [pd.concat(part, ignore_index=True) for part in parts]


def components(draw: np.random.Generator, images: int = 20_000) -> tuple[float, float, float]:
    """Measure the simulated components, in points: images, residual and runs."""
    correct = []
    for _ in range(2):
        state = np.random.default_rng(draw.integers(2**32))
        first, second = simulated_images(state, images, 5, 2, techniques=2)
        halves = []
        for repeat in range(2):
            values = []
            for table in (first, second):
                half = table[(table["run"] - 1) // 5 == repeat].sort_values("image")
                emergency = half[f"probability_{CLASSES[1]}"] > 0.5
                values.append((emergency == (half["label"] == CLASSES[1])).to_numpy(float))
            halves.append(values[1] - values[0])
        covariance = np.cov(halves)
        correct.append((covariance[0, 1], covariance[0, 0] - covariance[0, 1]))
    image, residual = np.mean(correct, axis=0)
    state = np.random.default_rng(0)
    base = state.normal(MEAN, IMAGE, images) + state.normal(0, TECHNIQUE, images)
    shifts = [(base + state.normal(0, RUN) > 0).mean() for _ in range(200)]
    return 100 * image**0.5, 100 * residual**0.5, 100 * 2**0.5 * float(np.std(shifts))


def main() -> None:
    """Simulate, count, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--comparisons", type=int, default=1000)
    parser.add_argument("--images", type=int, default=1996)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--unequal", action="store_true")
    asked = parser.parse_args()
    how = Resampling(0.95, asked.resamples)
    print(
        "simulated components: {:.1f}, {:.1f}, {:.2f} points".format(
            *components(np.random.default_rng(1))
        )
    )
    single = np.zeros((asked.comparisons, len(METRICS)))
    joint = np.zeros_like(single)
    claims = 0
    for number in range(asked.comparisons):
        tables = simulated_images(
            np.random.default_rng([7, number]),
            asked.images,
            asked.folds,
            asked.repeats,
            techniques=8,
            variances=UNEQUAL if asked.unequal else EQUAL,
        )
        measured = [measure_technique(table, asked.folds, how, CLASSES[1]) for table in tables]
        between = between_runs(measured)
        combined, *others = [one - measured[0] for one in measured[1:]]
        alone = estimates(
            combined, standard_error(combined, between), single_quantile(how.confidence)
        )
        single[number] = [not alone[name].shown for name in METRICS]
        claims += alone["accuracy"].shown
        reach = simultaneous_quantile(others, how.confidence)
        found = [estimates(one, standard_error(one, between), reach) for one in others]
        joint[number] = [not any(one[name].shown for one in found) for name in METRICS]
    print(
        f"{asked.comparisons} comparisons of {asked.images} images, {asked.folds} folds, "
        f"{asked.repeats} repeats"
    )
    print(f"{'metric':10} {'single holds zero':>18} {'all of six hold':>16}")
    for column, name in enumerate(METRICS):
        print(f"{name:10} {single[:, column].mean():18.1%} {joint[:, column].mean():16.1%}")
    print(f"false claims about combined: {claims / asked.comparisons:.1%}")


if __name__ == "__main__":
    main()
