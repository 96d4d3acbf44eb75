"""A local source whose files have changed is noticed by DVC; one that has not costs nothing."""

import json
import shutil
from pathlib import Path

import pytest

from pipeline.common.params import Params
from pipeline.fetch import stage as fetch_stage
from pipeline.fetch.stage import watch
from tests.helpers.clones import clone_into, dvc, run, set_params
from tests.helpers.pictures import contents, encoded, write, write_folders

UP_TO_DATE = "Data and pipelines are up to date."
SMALL = {
    "synthetic.images": 20,
    "synthetic.size": 32,
    "synthetic.exact_duplicates": 2,
    "synthetic.near_duplicates": 1,
}


# ---- with DVC


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside the project; the tests below change it and put it back."""
    return write_folders(tmp_path_factory.mktemp("elsewhere") / "photos", {"dog": 3, "cat": 4})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A clone that has fetched the photos once."""
    clone = clone_into(tmp_path_factory.mktemp("clone"), SMALL)
    set_params(clone, {"fetch.source": str(photos)})
    dvc(clone, "repro", "fetch")
    return clone


@pytest.fixture
def clone(made: Path, tmp_path: Path) -> Path:
    """A copy of it, cache included."""
    return shutil.copytree(made, tmp_path / "clone", symlinks=True)


def images(clone: Path) -> int:
    manifest = json.loads((clone / "data/raw/manifest.json").read_bytes())
    return int(manifest["images"])


def test_an_unchanged_source_is_up_to_date(clone: Path) -> None:
    assert UP_TO_DATE in dvc(clone, "repro", "fetch")
    assert UP_TO_DATE in dvc(clone, "status", "fetch")


def test_a_replaced_a_new_and_a_lost_file_are_noticed(clone: Path, photos: Path) -> None:
    before = contents(photos)
    write(photos / "cat/0.png", encoded(77))
    assert "data/source/files" in dvc(clone, "status", "fetch")
    write(photos / "cat/0.png", before["cat/0.png"])
    write(photos / "cat/new.png", encoded(78))
    try:
        assert "fetch: 8 images" in dvc(clone, "repro", "fetch")
    finally:
        (photos / "cat/new.png").unlink()
    dvc(clone, "repro", "fetch")
    assert images(clone) == 7
    assert contents(photos) == before


def test_an_experiment_takes_the_link_and_not_the_photos_into_git(clone: Path) -> None:
    dvc(clone, "exp", "run", "--set-param", "fetch.on_bad_image=skip", "fetch")
    experiment = run(clone, "git", "for-each-ref", "--format=%(refname)", "refs/exps").split()[0]
    listed = run(clone, "git", "ls-tree", "-r", experiment, "data/source")
    assert "120000" in listed  # git's mode of a link
    assert ".png" not in listed
    dvc(clone, "exp", "apply", Path(experiment).name, fails=True)  # later stages have not run
    assert (clone / "data/source/files").is_symlink()


def test_a_failed_fetch_leaves_the_link(clone: Path, photos: Path) -> None:
    before = (clone / "data/source/files").readlink()
    bad = shutil.copytree(photos, clone.with_name("bad"))
    write(bad / "cat/bad.png", b"bad")
    set_params(clone, {"fetch.source": str(bad), "fetch.on_bad_image": "error"})
    assert "bad.png is not an image" in dvc(clone, "repro", "fetch", fails=True)
    assert (clone / "data/source/files").readlink() == before


def test_a_lost_source_is_named_and_a_known_one_is_a_line_away(clone: Path, photos: Path) -> None:
    set_params(clone, {"fetch.source": "synthetic"})
    photos.rename(photos.with_name("lost"))
    try:
        assert "data/source/files" in dvc(clone, "repro", "fetch", fails=True)
    finally:
        photos.with_name("lost").rename(photos)
    run(clone, "ln", "-sfn", "name", "data/source/files")
    assert "fetch: 20 images from synthetic" in dvc(clone, "repro", "fetch")
    assert run(clone, "git", "status", "--porcelain", "data") == ""


def test_skipped_images_are_counted_on_the_terminal(
    params: Params, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = write_folders(elsewhere / "photos", {"dog": 3, "cat": 4})
    write(photos / "cat/bad.png", b"bad")
    skipping = params.fetch.model_copy(update={"source": str(photos), "on_bad_image": "skip"})
    fetch_stage.run(params.model_copy(update={"fetch": skipping}))
    printed = capsys.readouterr().out
    assert "7 images from" in printed
    assert "1 unusable image was skipped; data/raw/manifest.json lists them" in printed


# ---- the link itself


def pointed(source: str, local: Path | None) -> str:
    watch(source, local, Path("data/source"))
    assert Path("data/source/name").read_text() == f"{source}\n"
    return str(Path("data/source/files").readlink())


def test_the_link_is_relative_within_the_project_and_absolute_outside(elsewhere: Path) -> None:
    project = elsewhere / "project"
    project.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        assert pointed("synthetic", None) == "name"
        assert pointed("photos", Path("photos")) == "../../photos"
        assert pointed("here", project / "photos") == "../../photos"
        assert pointed("../photos", Path("../photos")) == str(elsewhere / "photos")
        assert pointed("https://host/a.zip", None) == "name"


def test_a_source_that_is_a_link_is_watched_as_one(elsewhere: Path) -> None:
    (elsewhere / "photos").symlink_to("first")
    assert pointed("photos", Path("photos")) == "../../photos"


def test_what_is_right_already_is_not_written_again(elsewhere: Path) -> None:
    pointed("synthetic", None)
    before = {path.name: path.lstat().st_ino for path in (elsewhere / "data/source").iterdir()}
    pointed("synthetic", None)
    after = {path.name: path.lstat().st_ino for path in (elsewhere / "data/source").iterdir()}
    assert after == before


def test_places_with_equal_content_are_told_apart(elsewhere: Path) -> None:
    for name in ("one", "two"):
        write(elsewhere / name, b"same")
        pointed(name, Path(name))
        assert Path("data/source/files").read_bytes() == b"same"
        assert Path("data/source/name").read_text() == f"{name}\n"
