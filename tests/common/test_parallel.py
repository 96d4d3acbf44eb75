"""Work on several processes gives the same results, ends with its parent, and names what fails."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.common.errors import BluelightError
from pipeline.common.parallel import parallel_map
from tests.helpers.imports import ROOT
from tests.helpers.processes import environment


def square(number: int) -> int:
    return number * number


def end_abruptly(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("processes", [1, 3])
def test_results_are_in_the_order_of_the_items(processes: int) -> None:
    numbers = list(range(50))
    assert parallel_map(square, numbers, label="square", processes=processes) == [
        number * number for number in numbers
    ]


def test_nothing_to_do() -> None:
    assert parallel_map(square, [], label="square") == []


def test_a_killed_worker_is_one_line() -> None:
    with pytest.raises(BluelightError, match="worker process was killed"):
        parallel_map(end_abruptly, [1, 2], label="end", processes=2)


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from pipeline.common.parallel import parallel_map\n"
        "def wait(folder):\n"
        "    (Path(folder) / str(os.getpid())).touch()\n"
        "    time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    parallel_map(wait, [sys.argv[1]] * 2, label='wait', processes=2)\n"
    )
    (tmp_path / "workers").mkdir()
    parent = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "workers")],
        env=environment() | {"PYTHONPATH": str(ROOT)},
    )
    deadline = time.monotonic() + 60
    while len(workers := list((tmp_path / "workers").iterdir())) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    while any(Path("/proc", worker.name).exists() for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)
