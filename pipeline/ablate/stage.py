"""Stage `ablate`: one technique, every seed → figures, histories, predictions, TensorBoard logs.

It measures on the test split, and nothing that it finds is used to choose anything.
"""

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import astuple, fields
from difflib import get_close_matches
from pathlib import Path
from statistics import mean, stdev

from pipeline.ablate.runs import Run, Task, run_all
from pipeline.ablate.techniques import for_seed, with_technique
from pipeline.common import paths
from pipeline.common.errors import ParamsError
from pipeline.common.files import atomic_directory, write_json
from pipeline.common.metrics import Predictions, measure
from pipeline.common.packed import PackedSplit, load_packed
from pipeline.common.params import LearningParams, Params, Technique
from pipeline.common.tables import write_csv
from pipeline.train.activations import Activity
from pipeline.train.callbacks import Epoch
from pipeline.train.resume import content_hash, fingerprint

DIGITS = 6  # beyond them, processors differ

Figures = dict[str, float]


def run(params: Params, name: str) -> None:
    """Train with one technique and every seed; write what came of it.

    Args:
        params: The whole of `params.yaml`.
        name: The technique.

    Raises:
        ParamsError: There is no such technique, or its values do not go together.
    """
    started = time.monotonic()
    technique = _find(name, params.techniques)
    merged = with_technique(params, params.ablate.baseline, name, technique)
    kept = paths.RESUME / "ablation" / name
    content = content_hash(*(paths.PACKED / split for split in ("train", "validation", "test")))
    tasks = [
        _task(for_seed(merged, seed, params.ablate.epochs), kept, content)
        for seed in params.ablate.seeds
    ]
    _mention(name, tasks)
    runs = run_all(tasks, processes=params.ablate.processes, technique=name)
    figures = _write(name, runs, params.evaluate.positive)
    shutil.rmtree(kept)
    _summarise(name, figures, time.monotonic() - started)


def _find(name: str, techniques: dict[str, Technique]) -> Technique:
    if name in techniques:
        return techniques[name]
    close = get_close_matches(name, techniques, n=1, cutoff=0.5)
    hint = f"did you mean `{close[0]}`?" if close else f"known: {', '.join(techniques)}"
    raise ParamsError(f"{paths.PARAMS} has no technique `{name}`; {hint}")


def _task(params: LearningParams, kept: Path, content: str) -> Task:
    name = fingerprint(params.model_dump(), content)
    return Task(params, paths.PACKED, kept / name)


def _mention(name: str, tasks: list[Task]) -> None:
    done = sum(task.is_done for task in tasks)
    if done:
        print(f"ablate: {name}: {done} of {len(tasks)} seeds are done already", flush=True)


def _write(name: str, runs: list[Run], positive: str) -> list[Figures]:
    """Write all outputs; returns the figures of each run."""
    test = load_packed(paths.PACKED / "test")
    figures = [_figures(run, test, positive) for run in runs]
    with atomic_directory(paths.ABLATION_LOGS / name) as folder:
        for run in runs:
            shutil.copytree(run.logs, folder / f"seed-{run.seed}")
    report = paths.ABLATION_REPORT / name
    write_json(report / "metrics.json", {"runs": len(runs), **_means(figures)})
    seeds = ([run.seed, *row.values()] for run, row in zip(runs, figures, strict=True))
    write_csv(report / "runs.csv", ["seed", *figures[0]], seeds)
    _write_rows(report / "history.csv", Epoch, runs, lambda run: run.epochs)
    _write_rows(report / "activations.csv", Activity, runs, lambda run: run.activity)
    _write_predictions(report / "predictions.csv", runs, test)
    return figures


def _figures(run: Run, test: PackedSplit, positive: str) -> Figures:
    """What one run is judged by; the losses are of the weights that it ends with."""
    chosen = test.classes.index(positive) if positive in test.classes else None
    metrics = measure(Predictions.most_probable(test.labels, run.probabilities, chosen))
    used = run.epochs[run.used]
    figures = {f"test_{name}": metrics[name] for name in ("accuracy", "f1", "roc_auc", "loss")}
    figures |= {"train_loss": used.train_loss, "val_loss": used.val_loss}
    figures["clean_train_loss"] = run.clean_train_loss
    figures["overfitting_gap"] = used.val_loss - run.clean_train_loss
    rounded = {name: round(value, DIGITS) for name, value in figures.items()}
    return rounded | {"epochs_run": len(run.epochs), "used_epoch": used.epoch}


def _means(figures: list[Figures]) -> Figures:
    left_out = {"train_loss", "val_loss", "clean_train_loss"}  # the gap between them says more
    names = [name for name in figures[0] if name not in left_out]
    return {name: round(mean(row[name] for row in figures), DIGITS) for name in names}


def _write_rows(
    path: Path,
    kind: type[Epoch] | type[Activity],
    runs: list[Run],
    rows: Callable[[Run], Iterable[Epoch | Activity]],
) -> None:
    """A table of every run's rows, each after its seed."""
    columns = [field.name for field in fields(kind)]
    table = ([run.seed, *map(_rounded, astuple(row))] for run in runs for row in rows(run))
    write_csv(path, ["seed", *columns], table)


def _write_predictions(path: Path, runs: list[Run], test: PackedSplit) -> None:
    """The probabilities of every test image and run, to so many significant digits.

    Decimals would make 0 of a small one, of which the loss is infinite.
    """
    names = test.classes
    write_csv(
        path,
        ["image", "label", "seed", *(f"probability_{name}" for name in names)],
        (
            [image, names[label], run.seed, *(float(f"{value:.{DIGITS}g}") for value in row)]
            for run in runs
            for image, label, row in zip(test.names, test.labels, run.probabilities, strict=True)
        ),
    )


def _rounded(value: object) -> object:
    return round(value, DIGITS) if isinstance(value, float) else value


def _summarise(name: str, figures: list[Figures], seconds: float) -> None:
    accuracies = [row["test_accuracy"] for row in figures]
    spread = f" ± {stdev(accuracies):.3f}" if len(accuracies) > 1 else ""
    print(
        f"ablate: {name}: accuracy {mean(accuracies):.3f}{spread} "
        f"({len(accuracies)} seeds, {seconds:.0f} s)"
    )
