"""Measure the time and the memory of fetch, split and pack on 70,000 images.

    python benchmarks/scale.py [--images 70000] [--archive FILE.zip]
    python benchmarks/scale.py --search 17500 70000  # how the search for near-duplicates grows

Draws digits of 28x28 pixels into a zip file (the same for the same number), or takes an archive of
your own. Runs the three stages with params.yaml in a temporary folder, as DVC would. Memory is the
resident set, summed over a stage and its workers every 50 ms; shared pages count once per process.
Linux only. About three minutes on two idle cores.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from pipeline.common import paths
from pipeline.common.images import Pixels, resize
from pipeline.common.parallel import available_cores
from pipeline.common.params import load_params
from pipeline.split import duplicates
from pipeline.split import stage as split

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

ROOT = Path(__file__).parent.parent
CANVAS = 112  # pixels a side of the paper, reduced to SIDE
SIDE = 28
CLASSES = 10
PAGE = os.sysconf("SC_PAGE_SIZE")
EVERY = 0.05  # seconds between two looks at the memory
STAGES = {
    "fetch": ["-m", "pipeline.run", "fetch"],
    "split": [__file__, "--only-split"],
    "pack": ["-m", "pipeline.run", "pack"],
}


class Cost(NamedTuple):
    """What a stage took.

    Attributes:
        seconds: On the clock.
        cpu: Seconds of all processes together.
        peak: Bytes resident in all processes together.
        printed: On stdout.
    """

    seconds: float
    cpu: float
    peak: int
    printed: str


def digit(index: int) -> Pixels:
    """A digit in one of three fonts, its pen, place, size and outline varied: uint8 [28, 28]."""
    draw = np.random.default_rng(index)
    paper = np.zeros((CANVAS, CANVAS), np.uint8)
    pen, font = int(draw.integers(4, 17)), int(draw.choice([0, 3, 4]))
    left, bottom = (int(place) for place in draw.normal((32, 84), 5))
    size = draw.uniform(2, 3.4)
    cv2.putText(paper, str(index % CLASSES), (left, bottom), font, size, 255, pen, cv2.LINE_AA)
    rows, columns = np.indices(paper.shape).astype(np.float32)
    bend = cv2.resize(draw.normal(0, 10, (2, 4, 4)).transpose(1, 2, 0), paper.shape)
    turn = draw.normal([[1, 0], [0, 1]], 0.25)
    x, y = columns - CANVAS / 2, rows - CANVAS / 2
    across = turn[0, 0] * x + turn[0, 1] * y + bend[..., 0] + CANVAS / 2
    down = turn[1, 0] * x + turn[1, 1] * y + bend[..., 1] + CANVAS / 2
    bent = cv2.remap(paper, across.astype(np.float32), down.astype(np.float32), cv2.INTER_LINEAR)
    return resize(np.asarray(bent, np.uint8), SIDE)


def write_archive(path: Path, count: int) -> Path:
    """One folder per digit, PNG."""
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(count):
            data = cv2.imencode(".png", digit(index))[1].tobytes()
            archive.writestr(f"{index % CLASSES}/{index:06}.png", data)
    return path


def measure(command: list[str], folder: Path) -> Cost:
    """Run Python in `folder` and watch it."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    start, before, peak = time.perf_counter(), os.times(), 0
    with subprocess.Popen(
        [sys.executable, *command], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None:
            peak = max(peak, resident(process.pid))
            time.sleep(EVERY)
        printed = process.stdout.read() if process.stdout else ""
    if process.returncode:
        sys.exit(process.returncode)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user
    return Cost(time.perf_counter() - start, cpu - before.children_system, peak, printed)


def resident(pid: int) -> int:
    """Bytes in memory of a process and all below it; 0 where it has just ended."""
    process = Path("/proc") / str(pid)
    try:
        own = int((process / "statm").read_text().split()[1]) * PAGE
        threads = list((process / "task").iterdir())
        children = [int(child) for t in threads for child in (t / "children").read_text().split()]
    except (OSError, IndexError):
        return 0
    return own + sum(map(resident, children))


def run_split() -> None:
    """Run the stage, with a clock on the search among the thumbnails."""
    duplicates.compare = timed(duplicates.compare)
    split.run(load_params())


def timed(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Print how long each call takes."""

    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        start = time.perf_counter()
        result = function(*args, **kwargs)
        print(f"search: {time.perf_counter() - start} s")
        return result

    return call


def prepare(folder: Path, archive: Path) -> None:
    """Write params.yaml with another source."""
    text = (ROOT / paths.PARAMS).read_text(encoding="utf-8")
    text = text.replace("  source: synthetic", f"  source: {archive.resolve()}", 1)
    (folder / paths.PARAMS).write_text(text, encoding="utf-8")


def show(costs: dict[str, Cost], images: int) -> None:
    """Print one table."""
    table = Table(title=f"{images:,} images, {available_cores()} cores")
    for column in ("stage", "seconds", "CPU seconds", "peak memory, MiB"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage, cost in costs.items():
        table.add_row(stage, f"{cost.seconds:.1f}", f"{cost.cpu:.1f}", f"{cost.peak / 2**20:,.0f}")
    total = sum(cost.seconds for cost in costs.values())
    cpu, peak = sum(cost.cpu for cost in costs.values()), max(cost.peak for cost in costs.values())
    table.add_row("together", f"{total:.1f}", f"{cpu:.1f}", f"{peak / 2**20:,.0f}")
    found = re.search(r"search: ([0-9.]+) s", costs["split"].printed)
    search = float(found[1]) if found else float("nan")
    console = Console()
    console.print(table)
    console.print(
        f"of this the search for near-duplicates: {search:.1f} s, {search / total:.0%} of all, "
        f"{search / costs['split'].seconds:.0%} of split"
    )


def grow(counts: list[int]) -> None:
    """Print what the search among so many drawn digits takes, thumbnails alone, the files aside."""
    drawn = np.stack([resize(digit(index), duplicates.SIDE) for index in range(max(counts))])
    for count in sorted(counts):
        start = time.process_time()
        pairs, _ = duplicates.compare(drawn[:count])
        spent = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        print(
            f"{count:,} images: {spent:.1f} CPU s, {peak:,.0f} MiB, {len(pairs):,} pairs in doubt"
        )


def main() -> None:
    """Draw, run, report."""
    parser = argparse.ArgumentParser(description="Time and memory of the stages before training.")
    parser.add_argument("--images", type=int, default=70_000, help="draw so many")
    parser.add_argument("--archive", type=Path, help="take this one instead")
    parser.add_argument("--search", type=int, nargs="+", help="only the search, among so many")
    parser.add_argument("--only-split", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.search:
        grow(asked.search)
        return
    if asked.only_split:
        run_split()
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = asked.archive or write_archive(folder / "digits.zip", asked.images)
        prepare(folder, archive)
        costs = {stage: measure(command, folder) for stage, command in STAGES.items()}
        for cost in costs.values():
            print(cost.printed, end="")
        with zipfile.ZipFile(archive) as members:
            show(costs, sum(not member.is_dir() for member in members.infolist()))


if __name__ == "__main__":
    main()
