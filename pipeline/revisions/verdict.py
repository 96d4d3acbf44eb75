"""A verification on the terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pipeline.common.environment import Facts
from pipeline.revisions.verification import Status, Verification
from pipeline.revisions.wording import pair

COLOURS = {Status.EQUAL: "green", Status.DIFFERENT: "red", Status.MISSING: "red"}


def render(found: Verification) -> RenderableType:
    """Where it was made, where it was made anew, every output, and what follows."""
    return Group(
        Padding(_environment(found), (1, 0)),
        _outputs(found),
        Padding(Text("\n".join(conclusion(found)), style="bold"), (1, 0, 0, 0)),
    )


def conclusion(found: Verification) -> list[str]:
    """Whether the revision could be made again, and what explains it if not."""
    if found.holds:
        return [f"{found.revision.title}: all {len(found.outputs)} outputs are equal"]
    unequal = [output.path for output in found.outputs if output.status is not Status.EQUAL]
    count = f"{len(unequal)} of {len(found.outputs)} outputs are not equal"
    return [f"{found.revision.title}: {count}: {', '.join(unequal)}", *_explanations(found)]


def _explanations(found: Verification) -> Iterator[str]:
    if not found.completed:
        yield "the pipeline did not run to its end: its message is above"
    if found.stale:
        yield (
            f"to be expected: the lock of {', '.join(found.stale)} was made with other params, "
            "code or data than the commit has"
        )
    # With train.portable another processor is no excuse, other instructions are.
    excuses = found.moved.keys() - ({"processor"} if found.portable else set())
    if excuses or found.libraries:
        yield (
            "to be expected: what it ran on is not what the lock was made on (above), which "
            "changes the last bits of results at least"
        )
    elif found.completed and not found.stale:
        yield "nothing that is known of the environments explains it"


def _environment(found: Verification) -> Table:
    table = Table.grid(padding=(0, 2))
    for title, lines in {
        "lock made on": _places(found.made) or ["not recorded in that revision"],
        "made anew on": _places(found.rebuilt) or ["not recorded: the revision is too old for it"],
        "otherwise now": [f"{name} {pair(values)}" for name, values in found.moved.items()],
        "not as locked": [
            f"{name} {pinned} in requirements.lock, {installed} here"
            for name, (pinned, installed) in found.libraries.items()
        ],
        "threads": [] if found.threads is None else [f"{found.threads} (train.threads)"],
    }.items():
        if lines:
            table.add_row(Text(title, style="dim"), Text("\n".join(lines)))
    return table


def _places(stages: Mapping[str, Facts]) -> list[str]:
    """A line for each kind of place; with its stages, where there are several kinds."""
    kinds: dict[str, list[str]] = {}
    for stage, facts in stages.items():
        kinds.setdefault(_place(facts), []).append(stage)
    if len(kinds) < 2:
        return list(kinds)
    return [f"{place}: {', '.join(names)}" for place, names in kinds.items()]


def _place(facts: Mapping[str, Any]) -> str:
    variables = [f"{name}={value}" for name, value in facts["variables"].items()]
    best = facts["instructions"][-1:]
    words = [f"Python {facts['python']}", facts["system"], facts["processor"], *best, *variables]
    return ", ".join(filter(None, words))


def _outputs(found: Verification) -> Table:
    table = Table.grid(padding=(0, 2))
    for output in found.outputs:
        status = Text(output.status, style=COLOURS[output.status])
        table.add_row(status, Text("\n".join([output.path, *(f"  {d}" for d in output.details)])))
    return table
