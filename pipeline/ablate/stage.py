"""Stage `ablate`: one technique, cross-fitted → its runs, and a prediction of every image.

The images of the train and validation splits are divided into folds, duplicates together. Each fold
has one run: it trains on the other folds but the next, which validates (early stopping, checkpoint
and curves read it), and predicts the images of its fold. So every image is predicted once and
validates once in each repeat. All techniques have the same folds and seeds. The test split is not
read.
"""

import shutil
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.lib.format import open_memmap
from torch.nn.functional import softmax

from pipeline.common import paths
from pipeline.common.datasets import (
    FEATURES,
    IMAGES,
    LABELS,
    META,
    VECTORS,
    load_packed,
    read_table,
    write_table,
)
from pipeline.common.errors import TrainingError
from pipeline.common.files import DIGITS, atomic_directory, read_json, rounded, write_json
from pipeline.common.parallel import process_pool, progress_bar
from pipeline.common.params import LearningParams, Params
from pipeline.common.randomness import Purpose, generator
from pipeline.features.vectors import write_vectors
from pipeline.train.augmentation import transforms
from pipeline.train.callbacks import LOGGED, Activations
from pipeline.train.datamodule import ImageDataModule
from pipeline.train.fit import describe_hardware, fit
from pipeline.train.logger import StableTensorBoardLogger
from pipeline.train.mlp import predict_logits
from pipeline.train.resume import content_hash, fingerprint

TABLES = ("history", "activations", "predictions")
RESULT = "result.json"  # written last: a folder that has it holds a finished run
LOGS = "logs"

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Run:
    """One run of a technique.

    Its folder is named by its fingerprint, and kept until the outputs are written, so that an
    interrupted comparison repeats no finished run.
    """

    number: int  # from 1
    params: LearningParams  # with its own seed
    folds: Labels  # int64 [N], the fold of each image, the images in the order of their names
    fold: int  # the fold that it predicts
    size: int  # pixels per side of the images
    vectors: Path | None  # folder of the vectors of the splits; None where the MLP sees pixels
    folder: Path


def run(params: Params, name: str) -> None:
    """Train with the technique `name`, once for each fold, and write the results.

    Of `params` only `ablate.processes` is read; what the runs depend on comes from `techniques`.
    """
    started = time.monotonic()
    settings = read_json(paths.ABLATION_REPORT / name / paths.TECHNIQUE_PARAMS)
    kept = paths.RESUME / "ablation" / name
    runs = plan(settings, kept)
    waiting = [one for one in runs if not (one.folder / RESULT).exists()]
    processes = min(params.ablate.processes, len(waiting))
    if len(waiting) < len(runs):
        done = len(runs) - len(waiting)
        print(f"ablate: {name}: {done} of {len(runs)} runs are done already", flush=True)
    try:
        if waiting:
            hardware = describe_hardware(waiting[0].params.train)
            how = f"{len(waiting)} runs, {processes} at a time, each on {hardware}"
            print(f"ablate: {name}: {how}", flush=True)
            _write_vectors(waiting[0])
            # Forked, so that the libraries are imported once; torch has not computed here yet. The
            # bar has a thread of its own, so the processes are started before it.
            method: Literal["fork", "spawn"] = "fork" if sys.platform == "linux" else "spawn"
            with process_pool(processes, method) as pool:
                finished = pool.map(train, waiting)
                with progress_bar(f"ablate: {name}", len(waiting)) as show:
                    for done, _ in enumerate(finished, start=1):
                        show(done)
    except KeyboardInterrupt:
        done = sum((one.folder / RESULT).exists() for one in runs)
        raise KeyboardInterrupt(f"keeps {done} of {len(runs)} runs and continues") from None
    except TrainingError as error:
        raise TrainingError(f"{name}, {error}") from None
    accuracies = _write(name, runs)
    shutil.rmtree(kept)
    print(
        f"ablate: {name}: accuracy {np.mean(accuracies):.3f} ± {np.std(accuracies, ddof=1):.3f} "
        f"({len(runs)} runs, {time.monotonic() - started:.0f} s)"
    )


def _write_vectors(one: Run) -> None:
    """Compute the vectors of a technique that augments otherwise than stage `features` did."""
    if one.vectors in {None, paths.FEATURES} or one.vectors.exists():
        return
    features = read_json(paths.FEATURES / "train" / FEATURES)
    with atomic_directory(one.vectors) as folder:
        for split in ("train", "validation"):
            (folder / split).mkdir()
            write_json(folder / split / FEATURES, features)
            write_vectors(
                paths.FEATURES_ONNX,
                paths.PACKED / split,
                folder / split,
                one.params.augment,
                views=features["views"],
                seed=features["seed"],
            )


def plan(settings: dict[str, Any], kept: Path) -> list[Run]:
    """List the runs of a technique.

    Args:
        settings: Its params, as stage `techniques` wrote them.
        kept: Where the runs have their folders.

    Raises:
        TrainingError: There are fewer groups of duplicates than a run needs.
    """
    shared = settings["ablate"]
    learning = {name: settings[name] for name in LearningParams.model_fields}
    images = _images()
    features = read_json(paths.FEATURES / "train" / FEATURES)
    folders = [paths.PACKED] if features["kind"] == "pixels" else [paths.PACKED, paths.FEATURES]
    content = content_hash(*(folder / n for folder in folders for n in ("train", "validation")))
    vectors = None
    if features["kind"] != "pixels":
        active = transforms(LearningParams.model_validate(learning).augment)
        same = features["augment"] == settings["augment"] or not active
        vectors = paths.FEATURES if same else kept / fingerprint(settings["augment"], content)
    runs: list[Run] = []
    for repeat in range(shared["repeats"]):
        draw = generator(settings["train"]["seed"], Purpose.FOLDS, repeat)
        folds = divide(images["label"].to_numpy(), images["group"], shared["folds"], draw)
        if min(np.bincount(folds, minlength=shared["folds"])) < 2:
            raise TrainingError(
                f"{len(images)} images without the test split are too few for {shared['folds']} "
                "folds; lower ablate.folds, or split.test"
            )
        for fold in range(shared["folds"]):
            number = len(runs) + 1
            train = settings["train"] | {"seed": settings["train"]["seed"] + number - 1}
            params = LearningParams.model_validate(learning | {"train": train})
            named = fingerprint({**params.model_dump(), **shared, "run": number}, content)
            runs.append(Run(number, params, folds, fold, shared["size"], vectors, kept / named))
    return runs


def divide(labels: Labels, groups: Iterable[str], folds: int, draw: np.random.Generator) -> Labels:
    """Divide images into folds at random, groups together, each class evenly.

    The groups of a class are dealt in random order, the large ones first, each to the fold that has
    the fewest images of that class so far.

    Args:
        labels: int64 [N]. A group whose images disagree counts as the class of its first image.
        groups: The group of each image.
        folds: How many.
        draw: Draws the order.

    Returns:
        int64 [N], the fold of each image.
    """
    names, first, members, sizes = np.unique(
        np.array(list(groups)), return_index=True, return_inverse=True, return_counts=True
    )
    order = draw.permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    images = np.zeros((int(labels.max()) + 1, folds), dtype=np.int64)
    chosen = np.zeros(len(names), dtype=np.int64)
    for group in order:
        counts = images[labels[first[group]]]
        # Ties go to the fold that has the fewest images of all classes.
        chosen[group] = np.lexsort((images.sum(axis=0), counts))[0]
        counts[chosen[group]] += sizes[group]
    return chosen[members]


def train(one: Run) -> None:
    """Make one run and keep its results in its folder.

    Raises:
        TrainingError: It cannot continue; names the run.
    """
    data, logs, state = (one.folder / name for name in ("data", LOGS, "state"))
    predicted = write_splits(one, data)
    activations = Activations()
    try:
        fitted = fit(
            one.params,
            ImageDataModule(data, one.params.augment, one.params.train, data),
            logs=logs,
            state=state,
            callbacks=[activations],
        )
    except TrainingError as error:
        raise TrainingError(f"run {one.number}: {error}") from None
    held_out = load_packed(data / "held_out", data / "held_out")
    logits = predict_logits(fitted.classifier.network, held_out.inputs)
    probabilities = softmax(logits.double(), dim=1).numpy()
    for column, name in enumerate(held_out.classes):
        # Significant digits: decimals would make 0 of a small one, whose loss is infinite.
        values = [float(f"{value:.{DIGITS}g}") for value in probabilities[:, column]]
        predicted[f"probability_{name}"] = values
    tables = {
        "history": fitted.history.round(DIGITS),
        "activations": pd.DataFrame(activations.rows).round(DIGITS),
        "predictions": predicted,
    }
    for name, table in tables.items():
        write_table(one.folder / f"{name}.csv", table)
    metrics = {
        "accuracy": float((probabilities.argmax(axis=1) == held_out.labels).mean()),
        "images": len(held_out),
        **fitted.metrics,
    }
    write_json(one.folder / RESULT, rounded(metrics))
    shutil.rmtree(data)
    shutil.rmtree(state)


def _images() -> pd.DataFrame:
    """The images of the train and validation splits by name: label, class, group, split and row."""
    tables = []
    for name in ("train", "validation"):
        split = load_packed(paths.PACKED / name)
        columns = {"image": split.names, "label": split.labels, "group": split.groups}
        columns |= {"class": np.array(split.classes)[split.labels], "row": np.arange(len(split))}
        tables.append(pd.DataFrame(columns).assign(split=name))
    return pd.concat(tables).sort_values("image", ignore_index=True)


def write_splits(one: Run, folder: Path) -> pd.DataFrame:
    """Write the packed splits of a run; returns the images that it predicts."""
    images = _images()
    packed: dict[str, Any] = {
        name: load_packed(paths.PACKED / name, one.vectors and one.vectors / name)
        for name in ("train", "validation")
    }
    roles = np.full(len(images), "train", dtype=object)
    roles[one.folds == one.fold] = "held_out"
    roles[one.folds == (one.fold + 1) % (one.folds.max() + 1)] = "validation"
    for role in ("train", "validation", "held_out"):
        rows, place = images[roles == role], folder / role
        place.mkdir(parents=True, exist_ok=True)
        pixels = open_memmap(place / IMAGES, "w+", np.uint8, (len(rows), one.size, one.size, 3))
        vectors = None
        if one.vectors is not None:
            shape = (len(rows), *packed["train"].vectors.shape[1:])
            vectors = open_memmap(place / VECTORS, "w+", np.float32, shape)
        for index, (split, row) in enumerate(zip(rows["split"], rows["row"], strict=True)):
            image, size = packed[split].images[row], (one.size, one.size)
            pixels[index] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            if vectors is not None:
                vectors[index] = packed[split].vectors[row]
        np.save(place / LABELS, rows["label"].to_numpy())
        names, groups = rows["image"].tolist(), rows["group"].tolist()
        classes = packed["train"].classes
        meta = {"classes": classes, "names": names, "groups": groups, "size": one.size}
        write_json(place / META, meta)
        write_json(place / FEATURES, {"kind": "pixels" if vectors is None else "other"})
    predicted = images.loc[roles == "held_out", ["image", "class", "group"]]
    return predicted.rename(columns={"class": "label"}).reset_index(drop=True)


def _write(name: str, runs: list[Run]) -> list[float]:
    """Write all outputs of a technique; returns the accuracy of each run."""
    report = paths.ABLATION_REPORT / name
    tables = {
        table: pd.concat(
            {one.number: read_table(one.folder / f"{table}.csv") for one in runs}, names=["run"]
        ).reset_index("run")
        for table in TABLES
    }
    for table, rows in tables.items():
        write_table(report / f"{table}.csv", rows)
    results = [
        {"run": one.number, "seed": one.params.train.seed, **read_json(one.folder / RESULT)}
        for one in runs
    ]
    write_table(report / "runs.csv", pd.DataFrame(results))
    with atomic_directory(paths.ABLATION_LOGS / name) as folder:
        for one in runs:
            shutil.copytree(one.folder / LOGS, folder / f"run-{one.number}")
    with atomic_directory(paths.TECHNIQUE_LOGS / name) as folder:
        logger = StableTensorBoardLogger(folder)
        for epoch, row in mean_history(tables["history"]).iterrows():
            logger.log_metrics({**row[list(LOGGED)], "epoch": epoch})
        logger.finalize("success")
    return [result["accuracy"] for result in results]


def mean_history(history: pd.DataFrame) -> pd.DataFrame:
    """Average the runs, epoch by epoch, up to the last epoch that all of them reached."""
    grouped = history.drop(columns="run").groupby("epoch")
    return grouped.mean()[grouped.size() == history["run"].nunique()]
