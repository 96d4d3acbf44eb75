"""Let DVC notice when the files behind a local source change.

A stage's dependencies are fixed in `dvc.yaml`, while the source is a parameter. So fetch depends on
a link that it points at what it has read: DVC hashes what lies behind, once after the run and
again only where size or time of a file have changed.
"""

import os
from pathlib import Path

from pipeline.common.files import atomic_file, atomic_write_text


def watch(source: str, local: Path | None, folder: Path) -> None:
    """Point the link `files` in `folder` at a local source; write nothing that is right already.

    The name goes into the file `name`, which is what the link points at where nothing is local. It
    is there lest two places with equal content pass for each other: DVC would then restore from
    its run cache without running fetch, and the link would stay at the wrong one.

    Args:
        source: `fetch.source`.
        local: The folder or archive that it names on this machine; None for any other source.
        folder: Where name and link are; both are in git.
    """
    name, link = folder / "name", folder / "files"
    # The name first: if the run is killed in between, DVC finds the wrong name and runs fetch.
    if not name.is_file() or name.read_text(encoding="utf-8") != f"{source}\n":
        atomic_write_text(name, f"{source}\n")
    target = Path(name.name) if local is None else _target(local, folder)
    if not link.is_symlink() or link.readlink() != target:
        with atomic_file(link) as partial:
            partial.symlink_to(target)


def _target(local: Path, folder: Path) -> Path:
    """Relative within the project, so that a copy of the project finds its own; else absolute."""
    # Resolved but for its own name: where that is a link, it may be pointed elsewhere one day.
    path = local.parent.resolve() / local.name
    inside = path.is_relative_to(Path.cwd())
    return Path(os.path.relpath(path, folder)) if inside else path
