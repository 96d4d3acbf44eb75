"""How accurate the MLP is on the test split, for the features of a project, over several seeds.

    python benchmarks/features.py                    # after `dvc repro features`
    python benchmarks/features.py --test ../photos   # tested on the images of another project

Each seed trains as stage `train` does and decides by the rule that stage `package` chooses on the
validation split. That rule counts a miss as worse than a false alarm (`decision.miss_cost`), so the
accuracy of the most probable class is printed too. The intervals are those of the mean over seeds,
by a bootstrap over the groups of test images; they hold for these seeds.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.common import paths
from pipeline.common.datasets import load_packed
from pipeline.common.environment import limit_instructions
from pipeline.common.params import load_params
from pipeline.common.resampling import Resampling, percentile, resampled


def main() -> None:
    """Print a line for each seed, and the mean."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--test", type=Path, default=Path(), help="the project that tests")
    asked = parser.parse_args()
    params = load_params()
    limit_instructions(torch=params.train.portable)
    # Not at the top: torch reads the limit when it is imported.
    from pipeline.package.decision import calibrated, decide  # noqa: PLC0415
    from pipeline.train.datamodule import ImageDataModule  # noqa: PLC0415
    from pipeline.train.fit import fit  # noqa: PLC0415
    from pipeline.train.mlp import predict_logits  # noqa: PLC0415

    test = load_packed(asked.test / paths.PACKED / "test", asked.test / paths.FEATURES / "test")
    right: dict[str, list[npt.NDArray[np.bool_]]] = {"stored rule": [], "most probable class": []}
    for seed in range(1, asked.seeds + 1):
        started = time.perf_counter()
        train = params.train.model_copy(update={"seed": seed})
        data = ImageDataModule(paths.PACKED, params.augment, train, paths.FEATURES)
        with tempfile.TemporaryDirectory() as folder:
            found = fit(
                params.model_copy(update={"train": train}),
                data,
                logs=Path(folder) / "logs",
                state=Path(folder) / "state",
                callbacks=[],
            )
        logits = {
            split: predict_logits(found.classifier.network, images.inputs).numpy()
            for split, images in (("validation", data.validation), ("test", test))
        }
        decision, _ = decide(params, logits["validation"], data.validation, [])
        probabilities = calibrated(logits["test"], decision.temperature, [])
        predicted = likeliest = probabilities.argmax(axis=1)
        if decision.threshold is not None and decision.positive is not None:
            row = test.classes.index(decision.positive)
            reached = probabilities[:, row] >= decision.threshold
            predicted = np.where(reached, row, 1 - row)
        right["stored rule"].append(predicted == test.labels)
        right["most probable class"].append(likeliest == test.labels)
        print(
            f"seed {seed}: test accuracy {100 * right['stored rule'][-1].mean():.1f} % (most "
            f"probable class {100 * (likeliest == test.labels).mean():.1f} %), validation accuracy "
            f"{100 * found.metrics['val_accuracy']:.1f} %, loss {found.metrics['val_loss']:.3f}, "
            f"{found.metrics['epochs_run']} epochs, {time.perf_counter() - started:.0f} s",
            flush=True,
        )
    groups = np.unique(test.groups, return_inverse=True)[1]
    how = Resampling(params.evaluate.confidence, params.evaluate.bootstrap)
    shares = {rule: np.mean(seeds, axis=0) for rule, seeds in right.items()}
    drawn = resampled(
        lambda weights: {r: share @ weights / weights.sum(axis=0) for r, share in shares.items()},
        len(test),
        how,
        groups,
    )
    for rule, share in shares.items():
        interval = percentile(drawn[rule], how)
        print(
            f"{rule}: mean of {asked.seeds} seeds on {len(test)} images: "
            f"{100 * share.mean():.1f} % ({100 * interval.low:.1f} to {100 * interval.high:.1f})"
        )


if __name__ == "__main__":
    main()
