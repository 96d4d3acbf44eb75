"""What a user names for output is written whole or through, and only regular files are read."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.common.files import atomic_file, files_below, open_output, read_regular
from tests.helpers import artifacts
from tests.helpers.pictures import encoded, write
from tests.helpers.processes import environment


def write_output(path: Path, text: str = "new") -> None:
    with open_output(path) as stream:
        stream.write(text)


def test_the_mode_of_a_file_is_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "out.csv", b"old")
    path.chmod(0o600)
    write_output(path)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o600)


def test_a_link_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "far/real.csv", b"old")
    link = tmp_path / "out.csv"
    link.symlink_to("far/real.csv")
    write_output(link)
    assert link.is_symlink()
    assert (tmp_path / "far/real.csv").read_text() == "new"


def test_a_link_to_nothing_creates_what_it_points_to(tmp_path: Path) -> None:
    link = tmp_path / "out.csv"
    link.symlink_to("real.csv")
    write_output(link)
    assert link.is_symlink()
    assert (tmp_path / "real.csv").read_text() == "new"


def test_a_fifo_is_written_through(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(fifo.read_text()))
    reader.start()
    write_output(fifo)
    reader.join()
    assert received == ["new"]
    assert fifo.is_fifo()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_is_written_through(tmp_path: Path) -> None:
    device = tmp_path / "null"  # not the machine's own, which a mistake here would replace
    os.mknod(device, 0o20666, os.makedev(1, 3))
    write_output(device)
    assert device.is_char_device()


def test_a_failure_leaves_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "out.csv", b"old")
    with pytest.raises(ZeroDivisionError), open_output(path) as stream:
        stream.write(str(1 // 0))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed_and_that_of_a_running_one_stays(
    tmp_path: Path,
) -> None:
    dead, alive = tmp_path / ".a.999999999.partial", tmp_path / f".a.{os.getppid()}.partial"
    dead.touch()
    alive.touch()
    with atomic_file(tmp_path / "a") as partial:
        partial.touch()
    assert sorted(tmp_path.iterdir()) == [alive, tmp_path / "a"]


def test_a_name_of_255_bytes_can_be_written(tmp_path: Path) -> None:
    write_output(tmp_path / ("\N{GRINNING FACE}" * 63))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_terminated_prediction_leaves_nothing(tmp_path: Path) -> None:
    artifacts.write(tmp_path / "model")
    write(tmp_path / "a.png", encoded(1))
    write(tmp_path / "in.csv", b"image\n" + b"a.png\n" * 20_000)
    write(tmp_path / "out/out.csv", b"old")
    command = ["predict", "in.csv", "--output", "out/out.csv", "--model", "model"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *command],
        cwd=tmp_path,
        env=environment(),
    )
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "out").iterdir())) < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["out.csv"]
    assert (tmp_path / "out/out.csv").read_bytes() == b"old"


def test_files_behind_links_are_found_once(tmp_path: Path) -> None:
    write(tmp_path / "real/a.png", b"")
    write(tmp_path / "top/b.png", b"")
    write(tmp_path / "top/.hidden/c.png", b"")
    (tmp_path / "top/loop").symlink_to("..")
    (tmp_path / "top/here").symlink_to(".")
    found = [path.relative_to(tmp_path).as_posix() for path in files_below(tmp_path / "top")]
    assert found == ["top/b.png", "top/loop/real/a.png"]


def test_no_more_is_read_than_allowed(tmp_path: Path) -> None:
    path = write(tmp_path / "a", b"12345")
    assert read_regular(path, 5) == b"12345"
    with pytest.raises(OSError, match="Larger than 4 bytes"):
        read_regular(path, 4)
