"""How accurate the MLP is on the test split, for the features of a project, over several seeds.

    python benchmarks/features.py                    # after `dvc repro features`
    python benchmarks/features.py --test ../photos   # tested on the images of another project

Each seed trains as stage `train` does and decides by the rule that stage `package` chooses on the
validation split. The interval is that of the mean over seeds, by a bootstrap over the groups of
test images; it holds for these seeds.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

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
    right = []
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
        right.append(predicted == test.labels)
        print(
            f"seed {seed}: test accuracy {100 * right[-1].mean():.1f} % (most probable class "
            f"{100 * (likeliest == test.labels).mean():.1f} %), validation accuracy "
            f"{100 * found.metrics['val_accuracy']:.1f} %, loss {found.metrics['val_loss']:.3f}, "
            f"{found.metrics['epochs_run']} epochs, {time.perf_counter() - started:.0f} s",
            flush=True,
        )
    share = np.mean(right, axis=0)
    groups = np.unique(test.groups, return_inverse=True)[1]
    how = Resampling(params.evaluate.confidence, params.evaluate.bootstrap)
    drawn = resampled(
        lambda weights: {"accuracy": share @ weights / weights.sum(axis=0)},
        len(test),
        how,
        groups,
    )["accuracy"]
    interval = percentile(drawn, how)
    mean = statistics.mean(one.mean() for one in right)
    print(
        f"mean of {asked.seeds} seeds on {len(test)} images: {100 * mean:.1f} % "
        f"({100 * interval.low:.1f} to {100 * interval.high:.1f})"
    )


if __name__ == "__main__":
    main()
