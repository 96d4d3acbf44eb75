"""Compare techniques with one of them: `python -m benchmarks.versus combined augmentation`.

Stage `compare` takes all differences to the baseline. This takes them to the technique named first,
from what stage `ablate` has left in `reports/ablation/`: combined against augmentation alone, or
each `without_…` against `combined`. It prints a Markdown table; the intervals of all techniques
named after the first hold together, and that of a single one stands alone.
"""

import argparse

from pipeline.common import paths
from pipeline.common.params import load_params
from pipeline.common.resampling import Resampling, number, span
from pipeline.compare.stage import load
from pipeline.compare.statistics import (
    between_runs,
    estimates,
    measure_technique,
    simultaneous_quantile,
    single_quantile,
    standard_error,
)


def main() -> None:
    """Read, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("reference", help="the technique to compare with")
    parser.add_argument("techniques", nargs="+")
    asked = parser.parse_args()
    params = load_params()
    how = Resampling(params.evaluate.confidence, params.evaluate.bootstrap)
    outcomes = [load(paths.ABLATION_REPORT / n) for n in [asked.reference, *asked.techniques]]
    folds = outcomes[0].settings["ablate"]["folds"]
    measured = [
        measure_technique(outcome.predictions, folds, how, params.evaluate.positive)
        for outcome in outcomes
    ]
    reference, *others = measured
    between = between_runs([reference, *others])
    differences = [other - reference for other in others]
    quantile = single_quantile(how.confidence)
    joint = simultaneous_quantile(differences, how.confidence) if len(others) > 1 else quantile
    print(
        f"| technique | accuracy, % | to {asked.reference}, points | cross-entropy | difference |"
    )
    print("|---|---|---|---|---|")
    for outcome, own in zip(outcomes, measured, strict=True):
        values = estimates(own, standard_error(own), quantile)
        cells = [outcome.name.replace("_", " "), number(100 * values["accuracy"].value, 1)]
        loss = number(values["loss"].value, 3)
        if own is reference:
            cells += ["", loss, ""]
        else:
            found = own - reference
            to = estimates(found, standard_error(found, between), joint)
            points, nats = to["accuracy"], to["loss"]
            cells.append(f"{number(100 * points.value, 1, signed=True)} ({span(points, 100, 1)})")
            cells += [loss, f"{number(nats.value, 2, signed=True)} ({span(nats, 1, 2)})"]
        print(f"| {' | '.join(cells)} |")
    images = outcomes[0].predictions["image"].nunique()
    print(f"\n{images:,} images, {len(outcomes[0].runs)} runs each")


if __name__ == "__main__":
    main()
