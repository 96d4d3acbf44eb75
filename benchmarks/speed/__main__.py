"""Time all contestants in turn and compare: `make bench`, or `python -m benchmarks.speed`.

    python -m benchmarks.speed [--rounds 5] [--epochs 6] [--keras PYTHON] [--json FILE]

Each contestant is a process of its own, started once a round, in turn, so that a machine whose
speed drifts is unfair to nobody. The first two epochs of each process, in which workers start and
graphs compile, are not counted. `docs/speed.md` says what is.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.speed.data import prepare
from pipeline.dataset.parallel import available_cores
from pipeline.files import write_json
from pipeline.params import load_params

ROOT = Path(__file__).parents[2]
TRAIN, VALIDATION = 1152, 247
WARM_UP = 2  # epochs of each process that are not counted
Seconds = dict[str, list[float]]


class Contestant(NamedTuple):
    """A script, and how to start it.

    Attributes:
        name: As it is listed.
        module: Which of `benchmarks.speed`.
        python: The interpreter of its environment.
        threads: Passed on to those that let us choose.
    """

    name: str
    module: str
    python: str
    threads: int = 1


def contestants(keras: str) -> list[Contestant]:
    """Everyone; the floor and bluelight with one thread and with two."""
    return [
        Contestant("floor, 1 thread", "floor", sys.executable, 1),
        Contestant("floor, 2 threads", "floor", sys.executable, 2),
        Contestant("bluelight", "bluelight", sys.executable, 1),
        Contestant("bluelight, 2 threads", "bluelight", sys.executable, 2),
        Contestant("Keras", "imagedatagenerator", keras),
        Contestant("ImageFolder", "imagefolder", sys.executable),
    ]


def run(contestant: Contestant, data: Path, epochs: int) -> Seconds:
    """Let one contestant train; seconds of each epoch.

    Raises:
        SystemExit: It failed; its own words are shown.
    """
    command = [contestant.python, "-m", f"benchmarks.speed.{contestant.module}", str(data)]
    command += ["--epochs", str(epochs), "--threads", str(contestant.threads)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{contestant.name} failed:\n{done.stderr}")
    measured: Seconds = json.loads(done.stdout.splitlines()[-1])
    return measured


def compete(everyone: Sequence[Contestant], data: Path, rounds: int, epochs: int) -> Seconds:
    """Median seconds of an epoch, for each contestant and round.

    Of bluelight there are two: the whole epoch, and the part up to its last training batch.
    """
    medians: Seconds = {}
    for number in range(1, rounds + 1):
        for contestant in everyone:
            for part, seconds in run(contestant, data, WARM_UP + epochs).items():
                name = contestant.name if part == "epoch" else f"{contestant.name}, {part} part"
                medians.setdefault(name, []).append(statistics.median(seconds[WARM_UP:]))
        print(f"round {number} of {rounds} done", file=sys.stderr)
    return medians


def best_floor(medians: Mapping[str, Sequence[float]]) -> str:
    """The floor with the number of threads that suits it better."""
    floors = [name for name in medians if name.startswith("floor")]
    return min(floors, key=lambda name: statistics.median(medians[name]))


def ratios(medians: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """Each ratio of medians, and its least and greatest within one round."""
    ours = medians["bluelight"]
    floor = medians[best_floor(medians)]
    return {
        "bluelight / floor": ratio(ours, floor),
        "bluelight / floor, 1 thread each": ratio(ours, medians["floor, 1 thread"]),
        "bluelight, 2 threads / floor": ratio(medians["bluelight, 2 threads"], floor),
        "Keras / bluelight": ratio(medians["Keras"], ours),
        "ImageFolder / bluelight": ratio(medians["ImageFolder"], ours),
    }


def ratio(above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
    """Ratio of medians over rounds; least and greatest of the rounds' own."""
    each = [a / b for a, b in zip(above, below, strict=True)]
    middle = statistics.median(above) / statistics.median(below)
    return {"median": middle, "least": min(each), "greatest": max(each)}


def show(medians: Mapping[str, Sequence[float]], about: str) -> None:
    """Print both tables."""
    times = Table("contestant", title=f"Seconds an epoch; {about}")
    comparison = Table("ratio", title="Ratios of medians")
    for table in (times, comparison):
        for column in ("median", "least", "greatest"):
            table.add_column(column, justify="right")
    for name, each in medians.items():
        figures = (statistics.median(each), min(each), max(each))
        times.add_row(name, *(f"{figure:.3f}" for figure in figures))
    for name, figures_of in ratios(medians).items():
        comparison.add_row(name, *(f"{figure:.2f}" for figure in figures_of.values()))
    Console().print(times, comparison)


def main() -> None:
    """Measure, print, and write the JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=6, help="counted, of each process")
    parser.add_argument("--keras", default=".bench/keras/bin/python", help="its interpreter")
    parser.add_argument("--json", type=Path, default=Path(".bench/speed.json"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bluelight-") as folder:
        prepare(Path(folder), TRAIN, VALIDATION)
        medians = compete(contestants(given.keras), Path(folder), given.rounds, given.epochs)
    train = load_params().train
    about = (
        f"{TRAIN:,} images, {given.rounds} rounds of {given.epochs} epochs, {available_cores()} "
        f"cores; bluelight: train.threads {train.threads}, train.workers {train.workers}"
    )
    show(medians, about)
    write_json(given.json, {"about": about, "seconds": medians, "ratios": ratios(medians)})


if __name__ == "__main__":
    main()
