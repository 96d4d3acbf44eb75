"""A folder of a git repository at one commit, with what DVC keeps for it."""

import json
import shlex
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

from pipeline.common.errors import ImageError, SourceError
from pipeline.fetch.repositories import Address, checkout, parse
from pipeline.fetch.stage import fetch
from tests.helpers.imports import ROOT
from tests.helpers.pictures import (
    SYNTHETIC,
    contents,
    encoded,
    fetch_params,
    write,
    write_csv_source,
    write_folders,
)
from tests.helpers.processes import environment


def git(at: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=at,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def dvc(at: Path, *arguments: str) -> None:
    subprocess.run(
        ["dvc", *arguments],
        cwd=at,
        env=environment() | {"DVC_NO_ANALYTICS": "1"},
        capture_output=True,
        check=True,
    )


def commit(at: Path, message: str = "photos") -> str:
    git(at, "add", "--all")
    git(at, "commit", "--quiet", "--message", message)
    return git(at, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Three commits: photos, with a tag and a branch, then more photos, then none."""
    root = tmp_path / "origin"
    write_csv_source(root / "data/set one")
    write(root / "data/other/big.bin", b"x" * 100_000)
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(root))
    commit(root)
    git(root, "tag", "--annotate", "v1", "--message", "one")
    git(root, "branch", "feature/x")
    write_csv_source(root / "data/set one", count=10)
    commit(root)
    shutil.rmtree(root / "data")
    write(root / "README", b"empty")
    commit(root)
    return root


def source(root: Path, revision: str, path: str = "data/set one") -> str:
    return f"git+file://{root}@{revision}#{path}"


def run(origin: str, root: Path) -> dict[str, Any]:
    """Fetch and return the manifest."""
    fetch(fetch_params(origin), SYNTHETIC, root / "raw", root / "cache")
    manifest: dict[str, Any] = json.loads((root / "raw/manifest.json").read_bytes())
    return manifest


@pytest.mark.parametrize("revision", ["v1", "feature/x"])
def test_a_tag_or_branch_is_resolved(repository: Path, tmp_path: Path, revision: str) -> None:
    manifest = run(source(repository, revision), tmp_path)
    assert manifest["revision"] == git(repository, "rev-parse", "v1^{commit}")
    assert manifest["images"] == 8


def test_a_commit_in_the_middle_of_history(repository: Path, tmp_path: Path) -> None:
    middle = git(repository, "rev-parse", "HEAD~1")
    manifest = run(source(repository, middle), tmp_path)
    assert (manifest["revision"], manifest["images"]) == (middle, 10)
    assert contents(tmp_path / "raw/images")["9.png"] == encoded(9)


def test_a_commit_fetched_before_is_fetched_from_nobody(repository: Path, tmp_path: Path) -> None:
    middle = git(repository, "rev-parse", "HEAD~1")
    run(source(repository, middle), tmp_path)
    before = contents(tmp_path / "raw")
    shutil.rmtree(repository)
    run(source(repository, middle), tmp_path)
    assert contents(tmp_path / "raw") == before


def test_only_the_folder_is_kept_and_no_history(repository: Path, tmp_path: Path) -> None:
    checkout(source(repository, "v1"), tmp_path / "cache")
    names = {path.name for path in (tmp_path / "cache").rglob("*")}
    assert "train.csv" in names
    assert not names & {"big.bin", ".git", ".clone", "objects"}


def test_a_branch_that_moved_is_fetched_again(repository: Path, tmp_path: Path) -> None:
    first = run(source(repository, "feature/x"), tmp_path)
    git(repository, "branch", "--force", "feature/x", "HEAD~1")
    assert (first["images"], run(source(repository, "feature/x"), tmp_path)["images"]) == (8, 10)


def test_the_whole_repository(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "origin", {"dog": 3, "cat": 3})
    git(tmp_path, "init", "--quiet", str(root))
    assert run(source(root, commit(root), ""), tmp_path)["counts"] == {"cat": 3, "dog": 3}


def test_an_archive_in_a_repository(tmp_path: Path) -> None:
    root = tmp_path / "origin"
    photos = write_csv_source(tmp_path / "photos")
    shutil.make_archive(str(root / "all [1]"), "zip", photos)
    git(tmp_path, "init", "--quiet", str(root))
    manifest = run(source(root, commit(root), "all [1].zip"), tmp_path)
    assert manifest["images"] == 8
    assert contents(tmp_path / "raw/images") == contents(photos / "images")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "origin", {"dog": 3, "cat": 3})
    (root / "cat/link.png").symlink_to("/etc/hostname")
    git(tmp_path, "init", "--quiet", str(root))
    with pytest.raises(ImageError, match=r"cat/link\.png is not an image"):
        run(source(root, commit(root), ""), tmp_path)


@pytest.mark.parametrize(
    ("revision", "path", "words"),
    [
        ("v2", "data", "no branch or tag 'v2'; check it, or give a commit"),
        ("0" * 40, "data", "cannot be fetched at 0000"),
        ("v1", "photos", "no 'photos' at v1; its folders are data, data/other, data/set one"),
        ("main", "data", "no 'data' at main; its folders are none"),
        ("v1", "data/other/big.bin", "big.bin is not supported; give a folder, an archive"),
    ],
)
def test_what_is_not_there(
    repository: Path, tmp_path: Path, revision: str, path: str, words: str
) -> None:
    with pytest.raises(SourceError) as caught:
        run(source(repository, revision, path), tmp_path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "raw").exists()
    assert not list((tmp_path / "cache").rglob("*.partial"))


def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"cannot be fetched at v1 \(.*nothing.*check the addr"):
        run(source(tmp_path / "nothing", "v1"), tmp_path)


def test_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="git is not installed"):
        run(source(tmp_path, "v1"), tmp_path)


def test_addresses() -> None:
    assert parse("git+https://host/a/b.git@v1#data/x") == Address(
        "https://host/a/b.git", "v1", "data/x"
    )
    assert parse("git+ssh://git@host:22/a/b@feature/x") == (
        "ssh://git@host:22/a/b",
        "feature/x",
        "",
    )
    assert parse("git+file:///a/b@" + "0" * 40 + "#./x/") == ("file:///a/b", "0" * 40, "x")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("git+https://host/a/b#data", "names no revision"),
        ("git+ssh://git@host/a/b#data", "names no revision"),
        ("git+https://host/a/b@#data", "names no revision"),
        ("git+http://host/a/b@v1", "is no address of a repository"),
        ("git+ext://sh -c true/@v1", "is no address of a repository"),
        ("git+https://host", "is no address of a repository"),
        ("git+https:/host/a@v1", "is no address of a repository"),
        ("git+https://host/a@v1#../../etc", "leads out of the repository"),
        ("git+https://host/a@v1#/etc", "leads out of the repository"),
        ("git+https://host/a@--upload-pack=x", "leads out of the repository"),
    ],
)
def test_bad_addresses(address: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        parse(address)


# ---- DVC


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose photos are in DVC's remote, a folder beside it, and nowhere else."""
    root = tmp_path_factory.mktemp("dvc") / "origin"
    write_csv_source(root / "data/photos")
    git(root, "init", "--quiet", "--initial-branch=main")
    dvc(root, "init", "--quiet")
    dvc(root, "remote", "add", "--default", "store", str(root.parent / "store"))
    dvc(root, "add", "--quiet", "data/photos")
    dvc(root, "push", "--quiet")
    commit(root)
    git(root, "tag", "v1")
    shutil.rmtree(root / ".dvc/cache")
    shutil.rmtree(root / "data/photos")
    return root


@pytest.mark.parametrize("path", ["data/photos", "data", ""])
def test_data_of_a_dvc_remote(tracked: Path, tmp_path: Path, path: str) -> None:
    manifest = run(source(tracked, "v1", path), tmp_path)
    assert manifest["revision"] == git(tracked, "rev-parse", "HEAD")
    assert manifest["images"] == 8
    assert contents(tmp_path / "raw/images")["7.png"] == encoded(7)


def test_a_clone_reads_the_remote_too(tracked: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(tracked), "bare.git")
    assert run(source(tmp_path / "bare.git", "v1", "data/photos"), tmp_path)["images"] == 8


def test_no_such_folder_in_a_dvc_repository(tracked: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no 'photos' at v1; its folders are"):
        run(source(tracked, "v1", "photos"), tmp_path)


def test_a_dvc_remote_that_is_gone(tracked: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tracked, tmp_path / "origin")
    dvc(copy, "remote", "modify", "store", "url", str(tmp_path / "gone"))
    with pytest.raises(
        SourceError, match=r"DVC cannot read data/photos at .*check that its remote"
    ):
        run(source(copy, commit(copy), "data/photos"), tmp_path)
    assert not (tmp_path / "raw").exists()


# ---- the line in the README


def test_the_line_about_the_photos_of_the_article_means_what_it_says(tmp_path: Path) -> None:
    page = (ROOT / "docs/own-photos.md").read_text(encoding="utf-8").replace("\\\n", " ")
    [line] = [line for line in page.splitlines() if "git+https" in line and "exp run" in line]
    words = shlex.split(line)
    overrides = [word for before, word in pairwise(words) if before == "-S"]
    shutil.copy(ROOT / "params.yaml", tmp_path)
    apply_overrides(tmp_path / "params.yaml", overrides)
    params = YAML(typ="safe").load(tmp_path / "params.yaml")["fetch"]
    address = parse(params["source"])
    assert len(address.revision) == 40
    assert address.path == "data/Dataset"
    assert params["table"] == "emergency_classification.csv"
    fetch_params(**params)
