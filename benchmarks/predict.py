"""Time `bluelight predict`: the first prediction of a new process, and many photos.

    python benchmarks/predict.py [--photos FOLDER] [--model FOLDER] [--images 5000] [--rounds 5]

Without a folder, 1,000 synthetic photos of 224x224 pixels are drawn first. For many photos, a table
lists them repeatedly until there are enough. Both measurements alternate; each is a separate
process, timed from the start of Python to its end. The files are in the system's cache. Linux only.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from pipeline.common import paths
from pipeline.common.parallel import available_cores
from scenes import DatasetSpec, generate

ROOT = Path(__file__).parent.parent
DRAWN = DatasetSpec(seed=7, images=1000, size=224, emergency_fraction=0.4)


class Cost(NamedTuple):
    """What a process took.

    Attributes:
        seconds: On the clock.
        cpu: Seconds of its threads together.
        peak: Most mebibytes resident.
    """

    seconds: float
    cpu: float
    peak: float


def measure(*arguments: str) -> Cost:
    """Run `bluelight predict` to its end."""
    command = [sys.executable, "-m", "pipeline", "predict", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(process.returncode)
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def write_table(path: Path, photos: Path, images: int) -> Path:
    """A table of so many rows, which names the photos of a folder again and again."""
    names = sorted(photo.relative_to(photos).as_posix() for photo in photos.rglob("*.jpg"))
    if not names:
        sys.exit(f"{photos} holds no .jpg; name a folder that does")
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["image"], *([name] for name in islice(cycle(names), images))])
    return path


def show(first: list[Cost], many: list[Cost], images: int) -> None:
    """Print one table: medians, with the least and the greatest on the clock."""
    table = Table(title=f"cores: {available_cores()}, rounds: {len(first)}")
    for column in ("", "seconds", "CPU seconds", "images/s", "peak memory, MiB"):
        table.add_column(column, justify="right" if column else "left")
    for name, costs, count in (("one photo", first, 1), (f"{images:,} photos", many, images)):
        seconds, cpu, peak = (median(values) for values in zip(*costs, strict=True))
        ends = sorted(cost.seconds for cost in costs)
        spread = f"{seconds:.2f} ({ends[0]:.2f} to {ends[-1]:.2f})"
        rate = f"{count / seconds:,.0f}" if count > 1 else ""
        table.add_row(name, spread, f"{cpu:.2f}", rate, f"{peak:.0f}")
    Console(width=100).print(table)


def main() -> None:
    """Draw, run, report."""
    parser = argparse.ArgumentParser(description="Time and memory of `bluelight predict`.")
    parser.add_argument("--photos", type=Path, help="a folder of JPEG files instead")
    parser.add_argument("--model", default=str(paths.MODEL))
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.photos is None:
            generate(DRAWN, folder)
        photos = asked.photos or folder / "images"
        table = write_table(folder / "photos.csv", photos, asked.images)
        one = next(photos.rglob("*.jpg"))
        many = [str(table), "--images", str(photos), "--output", str(folder / "predictions.csv")]
        costs = [
            (measure(str(one), "--model", asked.model), measure(*many, "--model", asked.model))
            for _ in range(asked.rounds)
        ]
        show([first for first, _ in costs], [rest for _, rest in costs], asked.images)


if __name__ == "__main__":
    main()
