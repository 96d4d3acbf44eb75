"""The embedded dataset: the same bytes for the same params, copies as asked, no leaks."""

import csv
import hashlib
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.common.errors import ParamsError
from pipeline.common.params import SyntheticParams
from scenes import generate
from scenes.generation import files_of
from scenes.plan import make_plan

PARAMS = SyntheticParams(
    seed=3,
    images=120,
    size=64,
    emergency_fraction=0.42,
    exact_duplicates=14,
    near_duplicates=6,
    label_conflicts=2,
)


def changed(**values: float) -> SyntheticParams:
    return SyntheticParams.model_validate(PARAMS.model_dump() | values)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read_rows(folder: Path) -> list[tuple[str, int]]:
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file))
    assert header == ["image_names", "emergency_or_not"]
    return [(name, int(label)) for name, label in rows]


def read_groups(folder: Path) -> dict[str, list[tuple[str, int]]]:
    """The rows by the content of their files."""
    groups: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for name, label in read_rows(folder):
        digest = hashlib.sha256((folder / "images" / name).read_bytes()).hexdigest()
        groups[digest].append((name, label))
    return groups


def decode(folder: Path, name: str) -> np.ndarray:
    picture = cv2.imread(str(folder / "images" / name), cv2.IMREAD_COLOR)
    assert picture is not None, f"{name} cannot be decoded"
    return np.asarray(picture)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    generate(PARAMS, folder, processes=1)
    return folder


def test_number_of_processes_does_not_change_a_byte(dataset: Path, tmp_path: Path) -> None:
    generate(PARAMS, tmp_path, processes=2)
    assert contents(tmp_path) == contents(dataset)


def test_another_seed_gives_other_photos(dataset: Path, tmp_path: Path) -> None:
    generate(
        changed(seed=4, images=20, exact_duplicates=0, near_duplicates=0, label_conflicts=0),
        tmp_path,
    )
    shared = set(contents(tmp_path / "images").values()) & set(contents(dataset).values())
    assert not shared


def test_first_photos_do_not_depend_on_how_many_follow(tmp_path: Path) -> None:
    plain = {
        "emergency_fraction": 0.5,
        "exact_duplicates": 0,
        "near_duplicates": 0,
        "label_conflicts": 0,
    }
    for count in (20, 40):
        generate(changed(images=count, **plain), tmp_path / str(count), processes=1)
    few, many = (set(contents(tmp_path / str(n) / "images").values()) for n in (20, 40))
    assert few < many


def test_labels_and_files_are_complete(dataset: Path) -> None:
    rows = read_rows(dataset)
    names = [name for name, _ in rows]
    assert len(set(names)) == PARAMS.images
    assert set(names) == {path.name for path in (dataset / "images").iterdir()}
    assert sum(label for _, label in rows) == round(PARAMS.emergency_fraction * PARAMS.images)


def test_photos_are_jpegs_of_the_size(dataset: Path) -> None:
    for name, _ in read_rows(dataset):
        assert (dataset / "images" / name).read_bytes()[:3] == b"\xff\xd8\xff"
        assert decode(dataset, name).shape == (PARAMS.size, PARAMS.size, 3)


def test_exact_duplicates_are_planted(dataset: Path) -> None:
    groups = read_groups(dataset)
    assert PARAMS.images - len(groups) == PARAMS.exact_duplicates
    assert any(len(group) > 2 for group in groups.values())


def test_conflicting_labels_are_planted(dataset: Path) -> None:
    minority = [
        min(sum(label for _, label in group), sum(1 - label for _, label in group))
        for group in read_groups(dataset).values()
    ]
    assert sum(minority) == PARAMS.label_conflicts


def test_no_copies_where_none_are_asked(tmp_path: Path) -> None:
    generate(changed(images=60, exact_duplicates=0, near_duplicates=0, label_conflicts=0), tmp_path)
    assert len(read_groups(tmp_path)) == 60


def nearest_distances(dataset: Path) -> np.ndarray:
    """For each distinct file the mean difference, in levels, to the file most like it."""
    names = [group[0][0] for group in read_groups(dataset).values()]
    small = [cv2.resize(decode(dataset, n), (16, 16), interpolation=cv2.INTER_AREA) for n in names]
    flat = np.array(small, dtype=np.float64).reshape(len(small), -1)
    distances = np.abs(flat[:, None] - flat[None]).mean(axis=2)
    np.fill_diagonal(distances, np.inf)
    return np.asarray(distances.min(axis=1))


def test_near_duplicates_are_near_and_originals_are_not(dataset: Path) -> None:
    nearest = np.sort(nearest_distances(dataset))
    paired = 2 * PARAMS.near_duplicates
    assert nearest[:paired].max() < 9
    assert nearest[paired:].min() > 12


def test_near_duplicates_keep_the_label(tmp_path: Path) -> None:
    generate(changed(exact_duplicates=0, label_conflicts=0), tmp_path, processes=1)
    labels = dict(read_rows(tmp_path))
    names = list(labels)
    small = [cv2.resize(decode(tmp_path, n), (16, 16), interpolation=cv2.INTER_AREA) for n in names]
    flat = np.array(small, dtype=np.float64).reshape(len(small), -1)
    distances = np.abs(flat[:, None] - flat[None]).mean(axis=2)
    pairs = np.argwhere(np.triu(distances < 9, k=1))
    assert len(pairs) == PARAMS.near_duplicates
    assert all(labels[names[a]] == labels[names[b]] for a, b in pairs)


def test_neither_names_nor_rows_tell_the_label(dataset: Path) -> None:
    rows = read_rows(dataset)
    labels = np.array([label for _, label in rows])
    numbers = np.array([int(Path(name).stem) for name, _ in rows])
    limit = 3 / np.sqrt(len(rows))
    assert abs(np.corrcoef(numbers, labels)[0, 1]) < limit
    assert abs(np.corrcoef(np.arange(len(rows)), labels)[0, 1]) < limit
    assert abs(np.corrcoef(np.arange(len(rows)), numbers)[0, 1]) < limit


def test_copies_do_not_follow_their_original(dataset: Path) -> None:
    numbers = [
        sorted(int(Path(name).stem) for name, _ in group)
        for group in read_groups(dataset).values()
        if len(group) > 1
    ]
    gaps = np.concatenate([np.diff(group) for group in numbers])
    assert gaps.mean() > PARAMS.images / 8


def test_the_progress_bar_is_told_of_every_file() -> None:
    assert files_of(make_plan(PARAMS).tasks) == PARAMS.images


def test_a_failing_worker_is_heard_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "images").mkdir()
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: None)
    (tmp_path / "images").rmdir()
    with pytest.raises(FileNotFoundError):
        generate(PARAMS, tmp_path, processes=2)


def test_copies_of_a_missing_label_are_refused(tmp_path: Path) -> None:
    params = changed(images=20, emergency_fraction=0.01, exact_duplicates=2, near_duplicates=0)
    with pytest.raises(ParamsError, match="emergency_fraction"):
        generate(params, tmp_path, processes=1)
