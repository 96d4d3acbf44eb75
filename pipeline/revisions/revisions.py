"""One revision of the project: what its files and outputs hold, wherever DVC keeps them.

Stages, outputs and their hashes are read from that revision's own `dvc.yaml` and `dvc.lock`, so it
need not be laid out as today's is. Nothing here writes to the workspace or to git's index.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from dvc.scm import SCM, resolve_rev
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.common import paths
from pipeline.common.errors import MissingOutputError, RevisionError

WORKSPACE = "workspace"
DVC_YAML = "dvc.yaml"
NO_REMOTE = "auto-generated-upstream"  # what DVC calls the cache itself where there is no remote
SHORT = 7  # digits of a commit, as git shows them

Table = dict[str, list[str]]


@dataclass(frozen=True)
class Revision:
    """A commit, or the workspace.

    Attributes:
        name: As the user gave it.
        commit: The full hash; None for the workspace.
        files: DVC's file system: tracked by git, or an output in the workspace, cache or remote.
    """

    name: str
    commit: str | None
    files: Any

    @property
    def short(self) -> str:
        """The commit as git abbreviates it; `workspace`."""
        return WORKSPACE if self.commit is None else self.commit[:SHORT]

    @property
    def title(self) -> str:
        """The name and the commit; the commit alone where that is the name."""
        return f"{self.name} ({self.short})" if self.is_named else self.short

    @property
    def is_named(self) -> bool:
        """Whether the user gave a name, rather than the hash or `workspace`."""
        return self.commit is not None and not self.commit.startswith(self.name)

    @property
    def hashes(self) -> dict[str, str]:
        """What `dvc.lock` records of each output: its hash by its path; empty where nothing is."""
        return {
            output.def_path: output.hash_info.value or "" if output.hash_info else ""
            for output in self.files.repo.index.outs
        }

    @property
    def metrics(self) -> list[str]:
        """Paths of the outputs that are metrics."""
        return sorted(output.def_path for output in self.files.repo.index.outs if output.metric)

    def read(self, path: Path) -> bytes:
        """A file as this revision has it.

        Where only the remote has it, it is fetched into the cache.

        Args:
            path: Relative to the root.

        Raises:
            MissingOutputError: It is nowhere to be had; the message says how to get it.
        """
        name = path.as_posix()
        try:
            with self.files.open(name, cache=True) as file:
                return bytes(file.read())
        except Exception as error:  # a remote raises whatever its library does
            raise MissingOutputError(name, self._missing(name, error)) from None

    def read_json(self, path: Path) -> Any:  # noqa: ANN401 - the caller knows what the file holds
        """A JSON file.

        Raises:
            MissingOutputError: As for `read`.
            RevisionError: It is not JSON.
        """
        try:
            return json.loads(self.read(path))
        except ValueError as error:
            raise RevisionError(f"{path} of {self.title} is not JSON ({error})") from None

    def read_table(self, path: Path) -> Table:
        """A CSV file by columns.

        Raises:
            MissingOutputError: As for `read`.
            RevisionError: It is not a table.
        """
        try:
            header, *rows = csv.reader(self.read(path).decode().splitlines())
            columns = map(list, zip(*rows, strict=True)) if rows else ([] for _ in header)
            return dict(zip(header, columns, strict=True))
        except ValueError as error:
            raise RevisionError(f"{path} of {self.title} is no table ({error})") from None

    def read_params(self) -> dict[str, Any]:
        """The leaves of `params.yaml` by dotted key.

        Raises:
            MissingOutputError: There is none.
            RevisionError: It is not YAML.
        """
        try:
            return dict(leaves(YAML(typ="safe").load(self.read(paths.PARAMS)) or {}))
        except YAMLError as error:
            problem = str(error).splitlines()[0]
            raise RevisionError(f"{paths.PARAMS} of {self.title} is not YAML: {problem}") from None

    def digests(self, folder: Path) -> dict[str, str]:
        """The recorded hash of each file of an output; none where the listing is out of reach.

        Args:
            folder: The output, or a folder in it.

        Returns:
            Hashes by the name relative to `folder`.
        """
        try:
            found = self.files.find(folder.as_posix(), detail=True)
        except Exception:  # as above
            return {}
        return {
            PurePosixPath(name).relative_to(folder.as_posix()).as_posix(): info["dvc_info"]["md5"]
            for name, info in found.items()
            if "md5" in info.get("dvc_info", {})
        }

    def copy_output(self, path: str, target: Path) -> None:
        """Copy an output, a file or a folder, to a place outside the project's outputs.

        Args:
            path: Of the output.
            target: Where to; must not exist.

        Raises:
            MissingOutputError: It is nowhere to be had.
        """
        try:
            self.files.get(path, str(target), recursive=True)
        except Exception as error:  # as above
            raise MissingOutputError(path, self._missing(path, error)) from None

    def outputs_of(self, stages: Sequence[str]) -> list[str]:
        """Paths of the outputs of these stages and of those that they need; of all for none.

        Args:
            stages: Names.

        Raises:
            RevisionError: There is no such stage.
        """
        repo = self.files.repo
        try:
            needed = [
                stage for name in stages for stage in repo.stage.collect(name, with_deps=True)
            ]
        except DvcException as error:
            raise RevisionError(f"{self.title}: {_reason(error)}") from None
        found = {out.def_path for stage in needed for out in stage.outs}
        return [path for path in self.hashes if path in found or not stages]

    def stages_reading(self, changed: list[str]) -> list[str]:
        """Names of the stages that list one of these files, or its folder, as a dependency."""
        return [
            stage.name
            for stage in self.files.repo.index.stages
            if any(within(name, dep.def_path) for dep in stage.deps for name in changed)
        ]

    def stale_stages(self) -> list[str]:
        """Names of the stages whose lock was made with other params, code or inputs than these."""
        hashes = self.hashes
        return [
            stage.name
            for stage in self.files.repo.index.stages
            if any(self._is_stale(dependency, hashes) for dependency in stage.deps)
        ]

    def _is_stale(self, dependency: Any, hashes: Mapping[str, str]) -> bool:  # noqa: ANN401 - DVC's
        name = dependency.def_path
        if name in hashes:
            return bool(dependency.hash_info.value != hashes[name])
        # A folder of outputs, or one of an output, says nothing new; a local source is a link out.
        is_made = any(within(name, out) or within(out, name) for out in hashes)
        if is_made or within(name, paths.SOURCE.as_posix()):
            return False
        return bool(dependency.workspace_status())

    def _missing(self, path: str, error: Exception) -> str:
        """Where it was looked for, and how to get it."""
        if self.commit is None:
            return "in the workspace: `dvc repro` makes it"
        if not any(within(path, out) for out in self.hashes):
            return f"in {self.title}: it was not part of the project then"
        return (
            f"of {self.title}: {self._looked(error)}. To make it again: "
            f"`git switch --detach {self.short} && dvc repro`, then "
            "`git switch - && dvc checkout` to come back"
        )

    def _looked(self, error: Exception) -> str:
        remote = self.files.repo.config["core"]["remote"]
        if remote == NO_REMOTE:
            return (
                "it is not in the DVC cache, and no remote is configured to fetch it from (if it "
                "was pushed to one: `dvc remote add --default NAME URL`)"
            )
        if any(isinstance(e, FileNotFoundError) for e in (error, error.__cause__)):
            return f"it is neither in the DVC cache nor in the remote {remote} (was it pushed?)"
        return f"it is not in the DVC cache, and the remote {remote} failed ({_reason(error)})"


def open_revision(root: Path, name: str) -> Revision:
    """Find a revision.

    Args:
        root: Of the project.
        name: Anything that git resolves, the name of a DVC experiment, or `workspace`.

    Raises:
        RevisionError: There is no such revision, or it is no project of DVC's.
    """
    if not (root / DVC_YAML).is_file():
        raise RevisionError(f"no {DVC_YAML} in {root}; go to the root of the project")
    try:
        commit = None if name == WORKSPACE else str(resolve_rev(SCM(str(root)), name))
        files = DVCFileSystem(str(root), rev=commit, config=_storage(root))
        list(files.repo.index.outs)  # reads dvc.yaml and dvc.lock
    except DvcException as error:
        raise RevisionError(f"revision {name} cannot be read: {_reason(error)}") from None
    return Revision(name, commit, files)


def _storage(root: Path) -> dict[str, Any]:
    """Where outputs are kept today; at an older revision it may have been elsewhere."""
    repo = DVCFileSystem(str(root)).repo
    cache, remote = {"dir": repo.cache.local_cache_dir}, repo.config["core"]["remote"]
    return {"cache": cache} | ({} if remote == NO_REMOTE else {"core": {"remote": remote}})


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings, with dotted keys."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def within(inner: str, outer: str) -> bool:
    """Whether a path is another, or lies in it."""
    return PurePosixPath(inner).is_relative_to(outer)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
