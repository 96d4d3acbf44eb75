"""Measure what each part of the recipe contributes: variants of params.yaml over folds and seeds.

    python benchmarks/recipe.py                                    # all, on the images of data/raw
    python benchmarks/recipe.py "no dropout" "no flips" --seeds 3  # some, and params.yaml itself
    python benchmarks/recipe.py --source photos.zip                # other images
    python benchmarks/recipe.py --features hog                     # the MLP sees other features

The test split is set aside; the other images are divided into folds as by `split.folds`, and each
fold validates once per seed. All variants use the same folds and seeds, so differences are paired.
Prints means with 95 % intervals (Student's t) over the n runs, each row as soon as it is complete.
Runs of one fold share their images, so the intervals hold for these images; other images would
differ by more.
"""

import argparse
import hashlib
import json
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import t as student

from pipeline.common import paths
from pipeline.common.datasets import LABEL_COLUMNS, read_table
from pipeline.common.environment import limit_instructions
from pipeline.common.files import read_json
from pipeline.common.params import Params, load_params
from pipeline.features.backbone import input_size
from pipeline.features.stage import write_features
from pipeline.fetch.stage import fetch
from pipeline.pack.stage import pack
from pipeline.split.duplicates import find_duplicates
from pipeline.split.splitting import divide

Changes = dict[str, object]

VARIANTS: dict[str, Changes] = {
    "60 epochs": {"train.epochs": 60, "early_stopping.patience": 20},
    "one cycle": {"train.schedule": "one_cycle"},
    "label smoothing": {"train.label_smoothing": 0.1},
    "gelu": {"model.activation": "gelu"},
    "1 view": {"features.views": 0},
    "3 views": {"features.views": 2},
    "rate 0.0003": {"train.learning_rate": 0.0003},
    "dropout 0.7": {"model.dropout": 0.7},
    "weight decay 1": {"train.weight_decay": 1.0},
    "no hidden layer": {"model.hidden": [], "model.dropout": 0.0},
    "24 pixels": {"pack.size": 24},
    "48 pixels": {"pack.size": 48},
    "batches of 128": {"train.batch_size": 128},
    "600 epochs": {"train.epochs": 600, "early_stopping.enabled": False},
    "scale": {"augment.scale.probability": 0.7},
    "no flips": {"augment.horizontal_flip.probability": 0.0},
    "no rotation": {"augment.rotation.probability": 0.0},
    "no shift": {"augment.shift.probability": 0.0},
    "no noise, no blur": {"augment.noise.probability": 0.0, "augment.blur.probability": 0.0},
    "no batch norm": {"model.batch_norm": False},
    "no dropout": {"model.dropout": 0.0},
    "no weight decay": {"train.weight_decay": 0.0},
    "no early stopping": {"early_stopping.enabled": False},
    "no checkpoint": {"checkpoint.enabled": False},
    "constant rate": {"train.schedule": "constant"},
}


class Run(NamedTuple):
    """The result of one run: metrics of the weights that it keeps."""

    accuracy: float
    loss: float
    epochs: int


class Images(NamedTuple):
    """What is needed to divide images into folds: `data/raw`, its table, groups of duplicates."""

    raw: Path
    table: pd.DataFrame
    groups: npt.NDArray[np.int64]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What each part of the recipe is worth.")
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help=", ".join(VARIANTS))
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--source", help="instead of the images in data/raw")
    parser.add_argument("--features", help="pixels, hog, or a backbone; default: as in params.yaml")
    asked = parser.parse_args()
    unknown = sorted(set(asked.variants) - set(VARIANTS))
    if unknown:
        parser.error(f"no variant {unknown[0]!r}; there are: {', '.join(VARIANTS)}")
    with tempfile.TemporaryDirectory() as folder:
        params = load_params()
        if asked.features in {"pixels", "hog"}:
            params = change(params, {"features.kind": asked.features})
        elif asked.features:
            chosen = {"features.kind": "backbone", "features.backbone": asked.features}
            params = change(params, chosen)
        limit_instructions(torch=params.train.portable)
        images = find_images(params, asked.source, Path(folder))
        names = asked.variants or list(VARIANTS)
        print_rows(compare(params, names, images, asked.folds, asked.seeds, Path(folder)))


def find_images(params: Params, source: str | None, folder: Path) -> Images:
    """The images of `data/raw`, or of another source, and which are duplicates of one another."""
    raw = paths.RAW
    if source:
        raw = folder / "raw"
        fetch(params.fetch.model_copy(update={"source": source}), params.synthetic, raw)
    table = read_table(raw / paths.RAW_LABELS.name, LABEL_COLUMNS, text=True)
    found = find_duplicates(table, raw / paths.RAW_IMAGES.name, params.split)
    return Images(raw, table, found.groups)


def compare(
    params: Params, names: Sequence[str], images: Images, folds: int, seeds: int, folder: Path
) -> Iterator[list[str]]:
    """Print a row for params.yaml itself, then one for each variant."""
    default: list[Run] = []
    for name in ("params.yaml", *names):
        chosen = change(params, VARIANTS.get(name, {}))
        runs = [
            train(change(chosen, {"train.seed": seed}), packed(chosen, images, folds, fold, folder))
            for seed in range(1, seeds + 1)
            for fold in range(folds)
        ]
        default = default or runs
        yield row(name, runs, default)


def change(params: Params, changes: Changes) -> Params:
    """Params with other values, named by dotted keys, validated."""
    tree = params.model_dump()
    for key, value in changes.items():
        *sections, last = key.split(".")
        place = tree
        for section in sections:
            place = place[section]
        place[last] = value
    return Params.model_validate(tree)


def packed(params: Params, images: Images, folds: int, fold: int, folder: Path) -> Path:
    """The folder of `packed` and `features` in which this fold validates; made on first use."""
    key = json.dumps([params.pack.model_dump(), params.features.model_dump()])
    if params.features.kind != "pixels":
        key += params.augment.model_dump_json()
    place = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:8]}-{fold}"
    if not place.exists():
        split = change(params, {"split.folds": folds, "split.fold": fold}).split
        rows = divide(images.table, images.groups, split)
        used = rows[rows["split"] != "test"]
        classes = read_json(images.raw / paths.RAW_MANIFEST.name)["classes"]
        pack(
            input_size(params),
            images.raw / paths.RAW_IMAGES.name,
            used,
            classes,
            place / "packed",
        )
        splits = ("train", "validation")
        write_features(params, place / "packed", place / "features", splits)
    return place


def train(params: Params, packed: Path) -> Run:
    """One run of the pipeline's own training."""
    # Not at the top: the processes that decode images import this module, and need no torch.
    from pipeline.train.datamodule import ImageDataModule  # noqa: PLC0415
    from pipeline.train.fit import fit  # noqa: PLC0415

    features = packed / "features"
    data = ImageDataModule(packed / "packed", params.augment, params.train, features)
    with tempfile.TemporaryDirectory() as folder:
        found = fit(params, data, logs=Path(folder) / "logs", state=Path(folder) / "state").metrics
    accuracy, loss = found["val_accuracy"], found["val_loss"]
    where = f"{packed.name}, seed {params.train.seed}"
    print(f"  {where}: accuracy {accuracy:.3f}, loss {loss:.3f}", file=sys.stderr)
    return Run(accuracy, loss, int(found["epochs_run"]))


def row(name: str, runs: Sequence[Run], default: Sequence[Run]) -> list[str]:
    """The cells of one variant."""
    gains = [
        100 * (run.accuracy - other.accuracy) for run, other in zip(runs, default, strict=True)
    ]
    return [
        name,
        str(len(runs)),
        interval([100 * run.accuracy for run in runs], 1),
        interval(gains, 1) if runs is not default else "",
        interval([run.loss for run in runs], 3),
        f"{statistics.mean(run.epochs for run in runs):.0f}",
    ]


def interval(values: Sequence[float], digits: int) -> str:
    """Mean ± half the 95 % interval of the mean, by Student's t."""
    mean = f"{statistics.mean(values):.{digits}f}"
    if len(values) < 2:
        return mean
    error = statistics.stdev(values) / len(values) ** 0.5
    return f"{mean} ± {student.ppf(0.975, len(values) - 1) * error:.{digits}f}"


def print_rows(rows: Iterable[Sequence[str]]) -> None:
    """Print rows as they come."""
    columns = ("variant", "n", "val accuracy %", "difference", "val loss", "epochs")
    widths = (24, 4, 15, 14, 16, 7)
    for cells in chain([columns], rows):
        line = "".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        print(line.rstrip(), flush=True)  # a row takes minutes: do not hold it back


if __name__ == "__main__":
    main()
