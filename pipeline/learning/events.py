"""TensorBoard event files whose bytes depend only on what was logged.

An event carries the second at which it was written, and the file's name the second, host and
process. Rewritten without them, two runs of one commit leave the same file: DVC's lock stays as it
is, and a change in it means a change in the results.
"""

from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

NAME = "events.out.tfevents.0"  # TensorBoard looks for `tfevents` in the name


def make_reproducible(logs: Path) -> None:
    """Rewrite the event files in a folder as one, each event's time being its step.

    Args:
        logs: A TensorBoard run; its writer must be closed.
    """
    written = sorted(path for path in logs.glob("*tfevents*"))
    temporary = logs / "rewritten"
    with temporary.open("wb") as file:
        writer = RecordWriter(file)
        for path in written:
            for record in RawEventFileLoader(str(path)).Load():
                writer.write(_without_time(record))
    for path in written:
        path.unlink()
    temporary.rename(logs / NAME)


def _without_time(record: bytes) -> bytes:
    event = Event.FromString(record)
    event.wall_time = float(event.step)
    return bytes(event.SerializeToString(deterministic=True))
