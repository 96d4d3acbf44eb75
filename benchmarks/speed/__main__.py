"""Time all contestants in turn and compare: `make bench`, or `python -m benchmarks.speed`.

    python -m benchmarks.speed [--rounds 5] [--epochs 12] [--keras PYTHON] [--json FILE]

Each contestant is a separate process. In every round all of them run, one after the other, so that
a change in the machine's speed affects all alike. The first two epochs of each process are not
counted, because workers start and graphs compile in them. `docs/speed.md` has the details.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.processes import run as start
from benchmarks.speed.data import prepare
from pipeline.common.files import write_json
from pipeline.common.parallel import available_cores
from pipeline.common.params import load_params

TRAIN, VALIDATION = 1152, 247
WARM_UP = 2  # epochs of each process that are not counted
TRAINING = ", training part"
UNPORTABLE = "not portable, 1 thread"
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
    """Everyone; the floor and bluelight with one thread and with two, bluelight in both modes."""
    return [
        Contestant("floor, 1 thread", "floor", sys.executable, 1),
        Contestant("floor, 2 threads", "floor", sys.executable, 2),
        Contestant("bluelight, 1 thread", "bluelight", sys.executable, 1),
        Contestant("bluelight, 2 threads", "bluelight", sys.executable, 2),
        Contestant(UNPORTABLE, "unportable", sys.executable, 1),
        Contestant("not portable, 2 threads", "unportable", sys.executable, 2),
        Contestant("Keras", "imagedatagenerator", keras),
        Contestant("ImageFolder", "imagefolder", sys.executable),
    ]


def run(contestant: Contestant, data: Path, epochs: int) -> Seconds:
    """Let one contestant train; seconds of each epoch."""
    command = [contestant.python, "-m", f"benchmarks.speed.{contestant.module}", str(data)]
    command += ["--epochs", str(epochs), "--threads", str(contestant.threads)]
    measured: Seconds = json.loads(start(command).splitlines()[-1])
    return measured


def compete(everyone: Sequence[Contestant], data: Path, rounds: int, epochs: int) -> Seconds:
    """Mean seconds of an epoch, for each contestant and round.

    Means, because bluelight's histograms, pictures and states for resuming fall on few epochs. Of
    bluelight there are two: the whole epoch, and the part up to its last training batch.
    """
    means: Seconds = {}
    for number in range(1, rounds + 1):
        for contestant in everyone:
            for part, seconds in run(contestant, data, WARM_UP + epochs).items():
                name = contestant.name if part == "epoch" else contestant.name + TRAINING
                means.setdefault(name, []).append(statistics.mean(seconds[WARM_UP:]))
        print(f"round {number} of {rounds} done", file=sys.stderr)
    return means


def fastest(seconds: Seconds, who: str, part: str = "") -> list[float]:
    """The rounds of a contestant, with the number of threads that suits it better."""
    times = [each for name, each in seconds.items() if name.startswith(who) and _part(name) == part]
    return min(times, key=statistics.median)


def _part(name: str) -> str:
    return TRAINING if name.endswith(TRAINING) else ""


def ratios(seconds: Seconds) -> dict[str, dict[str, float]]:
    """Each ratio of medians, and its least and greatest within one round.

    The training part is what the others have too: they do not validate, log or save.
    """
    whole, training = fastest(seconds, "bluelight"), fastest(seconds, "bluelight", TRAINING)
    floor = fastest(seconds, "floor")
    alone = seconds[f"bluelight, 1 thread{TRAINING}"]
    return {
        "training part / floor, 1 thread each": ratio(alone, seconds["floor, 1 thread"]),
        "training part / floor, the better of each": ratio(training, floor),
        "epoch / floor, the better of each": ratio(whole, floor),
        "training part, portable / not, 1 thread": ratio(alone, seconds[f"{UNPORTABLE}{TRAINING}"]),
        "Keras / training part": ratio(seconds["Keras"], training),
        "Keras / epoch": ratio(seconds["Keras"], whole),
        "ImageFolder / training part": ratio(seconds["ImageFolder"], training),
        "ImageFolder / epoch": ratio(seconds["ImageFolder"], whole),
    }


def ratio(above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
    """Ratio of medians over rounds; least and greatest of the rounds' own."""
    each = [a / b for a, b in zip(above, below, strict=True)]
    middle = statistics.median(above) / statistics.median(below)
    return {"median": middle, "least": min(each), "greatest": max(each)}


def show(seconds: Seconds, about: str) -> None:
    """Print both tables."""
    times = Table("contestant", title=f"Seconds an epoch; {about}")
    comparison = Table("ratio", title="Ratios of medians")
    for table in (times, comparison):
        for column in ("median", "least", "greatest"):
            table.add_column(column, justify="right")
    for name, each in seconds.items():
        values = (statistics.median(each), min(each), max(each))
        times.add_row(name, *(f"{value:.3f}" for value in values))
    for name, found in ratios(seconds).items():
        comparison.add_row(name, *(f"{value:.2f}" for value in found.values()))
    Console().print(times, comparison)


def main() -> None:
    """Measure, print, and write the JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=12, help="counted, of each process")
    parser.add_argument("--keras", default=".bench/keras/bin/python", help="its interpreter")
    parser.add_argument("--json", type=Path, default=Path(".bench/speed.json"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bluelight-") as folder:
        prepare(Path(folder), TRAIN, VALIDATION)
        seconds = compete(contestants(given.keras), Path(folder), given.rounds, given.epochs)
    train = load_params().train
    about = (
        f"{TRAIN:,} images, {given.rounds} rounds of {given.epochs} epochs, {available_cores()} "
        f"cores; bluelight: train.threads {train.threads}, train.workers {train.workers}"
    )
    show(seconds, about)
    write_json(given.json, {"about": about, "seconds": seconds, "ratios": ratios(seconds)})


if __name__ == "__main__":
    main()
