"""Stage `compare`: the runs of all techniques → one comparison, as data, tables and plots.

`comparison.json` has what the report shows. `techniques.csv` has a row for each technique and
`histories.csv` one for each epoch of each run; `dvc plots` reads them, so a technique that is added
to `params.yaml` appears everywhere.
"""

import math
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.common import paths
from pipeline.common.datasets import read_table, write_table
from pipeline.common.errors import BluelightError
from pipeline.common.files import (
    DIGITS,
    atomic_directory,
    flatten,
    read_json,
    rounded,
    write_json,
)
from pipeline.common.params import Params
from pipeline.common.resampling import Estimate, Resampling, as_data, mean_over_runs, number, span
from pipeline.compare.plots import draw_all
from pipeline.compare.statistics import (
    BASELINE,
    COMBINED,
    METRICS,
    Outcome,
    between_runs,
    estimates,
    measure_technique,
    sensitivity,
    simultaneous_quantile,
    single_quantile,
    standard_error,
)

# Metrics with one value per run; the others have one per image.
OF_RUNS = (
    "overfitting_gap",
    "train_loss",
    "unaugmented_train_loss",
    "val_loss",
    "epochs_run",
    "used_epoch",
    "roughness",
    "epochs_to_target",
)


def run(params: Params) -> None:
    """Compare the techniques that `params` names; write data, tables and plots."""
    names = ordered(params.techniques)
    _remove_leftovers(names)
    outcomes = [load(paths.ABLATION_REPORT / name) for name in names]
    how = Resampling(params.evaluate.confidence, params.evaluate.bootstrap)
    comparison = compare(outcomes, how, params.evaluate.positive)
    write_json(paths.COMPARISON, rounded(comparison))
    write_table(paths.COMPARISON_TABLE, table(comparison))
    histories = {outcome.name: outcome.history for outcome in outcomes}
    merged = pd.concat(histories, names=["technique"]).reset_index("technique")
    write_table(paths.COMPARISON_HISTORY, merged)
    with atomic_directory(paths.COMPARISON_PLOTS) as folder:
        for name, png in draw_all(outcomes, comparison).items():
            (folder / f"{name}.png").write_bytes(png)
    print(f"compare: {comparison['finding']}")


def ordered(names: Iterable[str]) -> list[str]:
    """Put the baseline first and `combined` last; the others keep their order."""
    return sorted(names, key=lambda name: (name == COMBINED) - (name == BASELINE))


def _remove_leftovers(names: Iterable[str]) -> None:
    """Remove what DVC would take for part of what this stage depends on; its cache still has it."""
    for parent in (paths.ABLATION_REPORT, paths.ABLATION_LOGS, paths.TECHNIQUE_LOGS):
        for folder in sorted(parent.glob("*/")):
            if folder.name not in names:
                print(f"compare: removing {folder}: {paths.PARAMS} names no such technique")
                shutil.rmtree(folder)


def load(folder: Path) -> Outcome:
    """Read what stage `ablate` wrote of a technique.

    Raises:
        BluelightError: A file is missing or damaged.
    """
    tables = {
        name: read_table(folder / f"{name}.csv") for name in ("runs", "history", "activations")
    }
    predictions = read_table(folder / "predictions.csv", text=True)  # a class may be called 1
    predictions["run"] = predictions["run"].astype(int)
    settings = read_json(folder / paths.TECHNIQUE_PARAMS)
    return Outcome(folder.name, settings, predictions=predictions, **tables)


def compare(outcomes: list[Outcome], how: Resampling, positive: str) -> dict[str, Any]:
    """Compare every technique with the one called `baseline`, where there is one.

    Args:
        outcomes: In the order in which to show them.
        how: How to make intervals.
        positive: `evaluate.positive`.

    Returns:
        What `comparison.json` holds: numbers, and estimates as `value`, `low` and `high`.

    Raises:
        BluelightError: A technique ran with other folds or on other images than the first.
    """
    first = outcomes[0]
    keys = ["run", "image", "label", "group"]
    for outcome in outcomes[1:]:
        if not outcome.predictions[keys].equals(first.predictions[keys]):
            raise BluelightError(
                f"techniques {first.name} and {outcome.name} were run on different images or with "
                "different folds, so they cannot be compared image by image; `dvc repro` runs "
                "again what is out of date"
            )
    shared, epochs = first.settings["ablate"], first.settings["train"]["epochs"]
    images = int(first.predictions["image"].nunique())
    measured = {
        one.name: measure_technique(one.predictions, shared["folds"], how, positive)
        for one in outcomes
    }
    differences = {
        name: found - measured[BASELINE]
        for name, found in measured.items()
        if BASELINE in measured and name != BASELINE
    }
    between = between_runs(list(measured.values())) if differences else None
    single = single_quantile(how.confidence)
    family = [found for name, found in differences.items() if name != COMBINED]
    joint = (
        simultaneous_quantile(family, how.confidence) if family else np.full(len(METRICS), single)
    )

    target = math.nan  # the validation loss that every run of the baseline reaches, rounded up
    for one in outcomes:
        if one.name == BASELINE:
            lowest = one.history.groupby("run")["val_loss"].min()
            target = math.ceil(100 * float(lowest.max())) / 100
    runs = {one.name: _with_curves(one, target) for one in outcomes}
    techniques: list[dict[str, Any]] = []
    plain = flatten(first.settings)
    for one in outcomes:
        name = one.name
        entry: dict[str, Any] = {
            "name": name,
            "title": name.replace("_", " "),
            "settings": one.settings,
            "changes": {},
            "runs": len(one.runs),
            "stopped_early": int((one.runs["epochs_run"] < epochs).sum()),
            "reached_target": int(runs[name]["epochs_to_target"].notna().sum()),
            "normalised": normalised(one),
            "means": estimates(measured[name], standard_error(measured[name]), single),
            "differences": {},
            "sensitivity": None,
        }
        entry["means"] |= means(runs[name], how)
        if name in differences:
            settings = flatten(one.settings).items()
            entry["changes"] = {key: value for key, value in settings if plain.get(key) != value}
            found, error = differences[name], standard_error(differences[name], between)
            quantile = np.full_like(joint, single) if name == COMBINED else joint
            entry["differences"] = estimates(found, error, quantile)
            entry["differences"] |= means(runs[name] - runs[BASELINE], how)
            entry["sensitivity"] = sensitivity(found, error, float(quantile[0]), images)
        techniques.append(entry)

    comparison = {
        "finding": "",
        "also_shown": [],
        "confidence": how.confidence,
        "images": images,
        "groups": int(first.predictions["group"].nunique()),
        "folds": shared["folds"],
        "repeats": shared["repeats"],
        "runs": len(first.runs),
        "epochs": epochs,
        "size": shared["size"],
        "target_loss": None if math.isnan(target) else target,
        "techniques": techniques,
    }
    comparison["finding"], comparison["also_shown"] = findings(comparison)
    return dict(as_data(comparison))


def _with_curves(outcome: Outcome, target: float) -> pd.DataFrame:
    """The columns `OF_RUNS`, a row for each run, with what only the curves tell.

    `roughness` is the mean absolute second difference of the validation loss: 0 for a straight
    line. `epochs_to_target` counts the epochs until the validation loss is at most `target`, from
    1; it is missing where it never was.
    """
    rows, history = outcome.runs.set_index("run"), outcome.history
    losses = history.groupby("run")["val_loss"]
    rows["roughness"] = losses.agg(lambda loss: loss.diff().diff().abs().mean())
    reached = history[history["val_loss"] <= target]
    rows["epochs_to_target"] = reached.groupby("run")["epoch"].min() + 1
    return rows[list(OF_RUNS)].astype(float)


def means(rows: pd.DataFrame, how: Resampling) -> dict[str, Estimate]:
    """The mean of each column over runs; missing values are left out, columns of them too."""
    return {
        str(name): mean_over_runs(rows[name].dropna().to_numpy(), how.confidence)
        for name in rows.dropna(axis="columns", how="all")
    }


def normalised(outcome: Outcome) -> dict[str, dict[str, float]] | None:
    """`mean` and `std` `before` and `after` batch norm: layer 1, run 1, last epoch; or None."""
    rows = outcome.activations.query("run == 1 and layer == 'layer_1'")
    rows = rows[rows["epoch"] == rows["epoch"].max()].set_index("stage")
    if "batch_norm" not in rows.index:
        return None
    stages = {"before": "linear", "after": "batch_norm"}
    return {when: rows.loc[stage, ["mean", "std"]].to_dict() for when, stage in stages.items()}


def findings(comparison: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The claim about `combined` in one line, and what else is shown of accuracies."""
    entries = {entry["name"]: entry for entry in comparison["techniques"]}
    basis = f"{comparison['images']:,} images, {comparison['runs']} runs each"
    also = [
        f"{entry['title']} {number(100 * found.value, 1, signed=True)} ({span(found, 100, 1)})"
        for name, entry in entries.items()
        if name != COMBINED
        and (found := entry["differences"].get("accuracy")) is not None
        and found.shown
    ]
    if BASELINE not in entries:
        return "no technique is called baseline, so there are no differences to show", also
    if COMBINED not in entries:
        return "no technique is called combined, whose difference to baseline is the claim", also
    found = entries[COMBINED]["differences"]["accuracy"]
    if not found.shown:
        interval = span(found, 100, 1)
        return f"combined is not shown to differ from baseline ({interval} points; {basis})", also
    verb = "beats" if found.value > 0 else "falls behind"
    low, high = sorted((abs(found.interval.low), abs(found.interval.high)))
    size = f"{100 * abs(found.value):.1f} points ({100 * low:.1f} to {100 * high:.1f}; {basis})"
    return f"combined {verb} baseline by {size}", also


def table(comparison: Mapping[str, Any]) -> pd.DataFrame:
    """A row for each technique: its metrics, and its difference in accuracy with the interval."""
    rows = []
    for entry in comparison["techniques"]:
        means, difference = entry["means"], entry["differences"].get("accuracy", {})
        row = {"technique": entry["name"], **{name: means[name]["value"] for name in METRICS}}
        row["difference"] = difference.get("value")
        row |= {end: difference.get(end) for end in ("low", "high")}
        row |= {n: means[n]["value"] for n in ("overfitting_gap", "epochs_run", "used_epoch")}
        rows.append(row)
    return pd.DataFrame(rows).round(DIGITS)
