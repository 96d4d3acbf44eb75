"""A revision of the project: a commit or the workspace, with its files wherever DVC keeps them.

Stages, outputs and hashes come from the revision's own `dvc.yaml` and `dvc.lock`, so an older
revision may be laid out otherwise. Nothing here writes to the workspace or to git's index.
"""

import os
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from dvc.scm import SCM, resolve_rev
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.common import paths
from pipeline.common.errors import MissingOutputError, RevisionError, one_line
from pipeline.common.files import atomic_directory, flatten

T = TypeVar("T")

WORKSPACE = "workspace"
LOGS = Path("logs")  # outputs below it are TensorBoard's
LOGS_VIEW = paths.CACHE / "tensorboard"  # what TensorBoard is given
NO_REMOTE = "auto-generated-upstream"  # DVC's name for the cache itself, if there is no remote


@dataclass(frozen=True)
class Revision:
    """A commit, or the workspace.

    Attributes:
        name: As the user gave it.
        commit: The full hash; None for the workspace.
        files: DVC's file system: git's files, and outputs from the workspace, cache or remote.
    """

    name: str
    commit: str | None
    files: Any

    @property
    def short(self) -> str:
        """The commit as git abbreviates it, or `workspace`."""
        return WORKSPACE if self.commit is None else self.commit[:7]

    @property
    def is_named(self) -> bool:
        """Whether the user gave a name rather than a hash or `workspace`."""
        return self.commit is not None and not self.commit.startswith(self.name)

    @property
    def title(self) -> str:
        """The name with the commit; the commit alone if that is the name."""
        return f"{self.name} ({self.short})" if self.is_named else self.short

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Hash of each output by path, as `dvc.lock` has it; empty if it has none."""
        return {
            output.def_path: output.hash_info.value or "" if output.hash_info else ""
            for output in self.files.repo.index.outs
        }

    @property
    def metrics(self) -> list[str]:
        """Paths of the outputs that are metrics."""
        return sorted(output.def_path for output in self.files.repo.index.outs if output.metric)

    def read(self, path: Path) -> bytes:
        """Read a file, given relative to the root; fetch it if only the remote has it.

        Raises:
            MissingOutputError: Neither workspace, cache nor remote has it.
        """
        try:
            with self.files.open(path.as_posix(), cache=True) as file:
                return bytes(file.read())
        except Exception as error:  # a remote raises whatever its library does
            raise self._missing(path.as_posix(), error) from None

    def parse(self, path: Path, parse: Callable[[bytes], T]) -> T:
        """Read a file and interpret its bytes by `parse`, which may raise as damage leads to.

        Raises:
            MissingOutputError: As for `read`.
            RevisionError: The file is not what `parse` takes.
        """
        data = self.read(path)
        try:
            return parse(data)
        except (ValueError, LookupError, TypeError, AttributeError, YAMLError) as error:
            raise RevisionError(
                f"{path} of {self.title} is damaged ({one_line(error)[:200]}); `dvc repro` makes "
                "the outputs again, `git checkout` restores what is in git"
            ) from None

    def read_params(self) -> dict[str, Any]:
        """Read the values of `params.yaml` by dotted key; raises as `parse` does."""
        return self.parse(paths.PARAMS, lambda data: flatten(YAML(typ="safe").load(data) or {}))

    def file_hashes(self, folder: Path) -> dict[str, str]:
        """Return the recorded hash of each file in an output, or a folder of it, by relative name.

        Nothing is returned if neither cache nor remote has the list of the output's files.
        """
        root = folder.as_posix()
        try:
            found = self.files.find(root, detail=True)
        except Exception:  # a remote raises whatever its library does
            return {}
        return {
            PurePosixPath(name).relative_to(root).as_posix(): info["dvc_info"]["md5"]
            for name, info in found.items()
            if "md5" in info.get("dvc_info", {})
        }

    def copy_output(self, path: str, target: Path) -> None:
        """Copy an output, a file or a folder, to `target`, which must not exist."""
        try:
            self.files.get(path, str(target), recursive=True)
        except Exception as error:  # a remote raises whatever its library does
            raise self._missing(path, error) from None

    def outputs_of(self, stages: Sequence[str]) -> list[str]:
        """Return the paths of the outputs of stages (if none: all) and of all they depend on.

        Raises:
            RevisionError: There is no such stage.
        """
        collect = self.files.repo.stage.collect
        try:
            needed = [stage for name in stages for stage in collect(name, with_deps=True)]
        except DvcException as error:
            raise RevisionError(f"{self.title}: {one_line(error)}") from None
        found = {output.def_path for stage in needed for output in stage.outs}
        return [path for path in self.hashes if path in found or not stages]

    def stages_reading(self, files: Collection[str]) -> list[str]:
        """Return the names of the stages that list one of `files`, or its folder, in `deps`."""
        return [
            stage.name
            for stage in self.files.repo.index.stages
            if any(is_within(name, dep.def_path) for dep in stage.deps for name in files)
        ]

    def stale_stages(self) -> list[str]:
        """Return the names of the stages whose params, code or data changed since they ran."""
        stages = self.files.repo.index.stages
        return [stage.name for stage in stages if any(map(self._is_stale, stage.deps))]

    def stale_outputs(self) -> set[str]:
        """Return the paths of the outputs of stale stages and of all that depend on them."""
        made = {stage.name: stage.outs for stage in self.files.repo.index.stages}
        stale, found = set(self.stale_stages()), set[str]()
        while stale:
            found |= {out.def_path for name in stale for out in made.pop(name)}
            stale = made.keys() & self.stages_reading(found)
        return found

    def _is_stale(self, dependency: Any) -> bool:  # noqa: ANN401 - one of DVC's classes
        path = dependency.def_path
        if path in self.hashes:
            return bool(dependency.hash_info.value != self.hashes[path])
        # A folder of outputs, or a file of one, follows from them; a local source is outside git.
        is_output = any(is_within(path, out) or is_within(out, path) for out in self.hashes)
        if is_output or is_within(path, paths.SOURCE.as_posix()):
            return False
        return bool(dependency.workspace_status())

    def _missing(self, path: str, error: Exception) -> MissingOutputError:
        """Say where an output was looked for and how to get it."""
        if self.commit is None:
            return MissingOutputError(path, "in the workspace: `dvc repro` makes it")
        if not any(is_within(path, output) for output in self.hashes):
            return MissingOutputError(path, f"in {self.title}: it was not part of the project then")
        remote = self.files.repo.config["core"]["remote"]
        if remote == NO_REMOTE:
            looked = (
                "it is not in the DVC cache, and no remote is configured to fetch it from (if it "
                "was pushed to one: `dvc remote add --default NAME URL`)"
            )
        elif any(isinstance(e, FileNotFoundError) for e in (error, error.__cause__)):
            looked = f"it is neither in the DVC cache nor in the remote {remote} (was it pushed?)"
        else:
            looked = (
                f"it is not in the DVC cache, and the remote {remote} failed ({one_line(error)})"
            )
        return MissingOutputError(
            path,
            f"of {self.title}: {looked}. To rebuild it: "
            f"`git switch --detach {self.short} && dvc repro`, then "
            "`git switch - && dvc checkout` to come back",
        )


def open_revision(name: str, root: Path = Path()) -> Revision:
    """Find a revision.

    Args:
        name: Anything that git resolves, the name of a DVC experiment, or `workspace`.
        root: Of the project.

    Raises:
        RevisionError: There is no such revision, or it has no DVC project.
    """
    root = root.absolute()
    if not (root / "dvc.yaml").is_file():
        raise RevisionError(f"no dvc.yaml in {root}; go to the root of the project")
    try:
        commit = None if name == WORKSPACE else str(resolve_rev(SCM(str(root)), name))
        # An older revision's outputs are looked for where outputs are kept today.
        today = DVCFileSystem(str(root)).repo
        config: dict[str, Any] = {"cache": {"dir": today.cache.local_cache_dir}}
        if today.config["core"]["remote"] != NO_REMOTE:
            config["core"] = {"remote": today.config["core"]["remote"]}
        files = DVCFileSystem(str(root), rev=commit, config=config)
        list(files.repo.index.outs)  # reads dvc.yaml and dvc.lock
    except DvcException as error:
        raise RevisionError(f"revision {name} cannot be read: {one_line(error)}") from None
    return Revision(name, commit, files)


def git_environment() -> dict[str, str]:
    """Return the environment without git's variables, which in a hook name another repository."""
    return {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}


def git(folder: Path, *arguments: str) -> str:
    """Run git in `folder` and return what it printed.

    Raises:
        RevisionError: It failed; the message has the last line of its output.
    """
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=git_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise RevisionError(f"`git {' '.join(arguments)}` failed: {reason}")
    return done.stdout


def changed_files(commits: Collection[str | None], *folders: str) -> list[str]:
    """Return the files in `folders` that differ between two commits; None is the workspace.

    Files that are new to git count too.
    """
    if len(set(commits)) < 2:
        return []
    found = set[str]()
    if None in commits:
        new = git(Path(), "ls-files", "--others", "--exclude-standard", "-z", "--", *folders)
        found = set(filter(None, new.split("\0")))
    # Git would otherwise refresh its index, and without `--numstat` list files that were touched.
    options = ("-c", "diff.autoRefreshIndex=false", "diff", "--numstat", "--no-renames", "-z")
    changed = git(Path(), *options, *filter(None, commits), "--", *folders)
    return sorted(found | {line.split("\t")[2] for line in changed.split("\0") if line})


def changed_keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the keys whose values differ, sorted; a key that one mapping lacks counts."""
    return sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))


def is_within(inner: str, outer: str) -> bool:
    """Whether a path is another, or lies in it."""
    return PurePosixPath(inner).is_relative_to(outer)


def gather_logs(revisions: Sequence[Revision], kind: str) -> Path:
    """Collect the logs of revisions beside the workspace's, which are shown as they grow.

    Destructive: replaces the folder of an earlier call.

    Args:
        revisions: Whose logs to show.
        kind: Which folder in `logs/`: `train`, or one of the comparison of techniques.

    Returns:
        A folder for TensorBoard: `workspace` in it, and one folder for each revision.

    Raises:
        MissingOutputError: Neither cache nor remote has the logs.
        RevisionError: There are no logs to show.
    """
    logs = LOGS / kind
    with atomic_directory(LOGS_VIEW) as view:
        if logs.is_dir():
            (view / WORKSPACE).symlink_to(logs.resolve())
        for revision in revisions:
            # The name alone would not do: a branch moves on.
            name = revision.name.replace("/", "_")
            run = view / (f"{name}-{revision.short}" if revision.is_named else revision.short)
            if revision.commit is None or run.exists():
                continue
            outputs = [path for path in revision.hashes if is_within(path, logs.as_posix())]
            if not outputs:
                raise RevisionError(f"{revision.title} has no output in {logs}")
            for path in outputs:
                target = run / Path(path).relative_to(logs)
                target.parent.mkdir(parents=True, exist_ok=True)
                revision.copy_output(path, target)
        if not any(any(run.resolve().rglob("*tfevents*")) for run in view.iterdir()):
            raise RevisionError(f"no logs to show in {logs}; `dvc repro` makes them")
    return LOGS_VIEW.absolute()
