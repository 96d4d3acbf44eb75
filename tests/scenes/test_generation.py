"""The drawn data set: the same bytes for the same spec, duplicates as asked, no leaks."""

import ast
import csv
import hashlib
from collections import defaultdict
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.common.parallel import parallel_map
from pipeline.common.randomness import Purpose
from scenes import DatasetSpec, generate
from scenes.generation import count_files
from scenes.plan import make_plan
from scenes.randomness import DOMAIN
from tests.helpers.imports import ROOT
from tests.helpers.pictures import contents

SPEC = DatasetSpec(
    seed=3,
    images=120,
    size=64,
    emergency_fraction=0.42,
    exact_duplicates=14,
    near_duplicates=6,
    label_conflicts=2,
)


def changed(**values: Any) -> DatasetSpec:
    return replace(SPEC, **values)


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
    generate(SPEC, folder)
    return folder


def test_number_of_processes_does_not_change_a_byte(dataset: Path, tmp_path: Path) -> None:
    generate(SPEC, tmp_path, partial(parallel_map, label="generate", processes=2))
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
        generate(changed(images=count, **plain), tmp_path / str(count))
    few, many = (set(contents(tmp_path / str(n) / "images").values()) for n in (20, 40))
    assert few < many


def test_labels_and_files_are_complete(dataset: Path) -> None:
    rows = read_rows(dataset)
    names = [name for name, _ in rows]
    assert len(set(names)) == SPEC.images
    assert set(names) == {path.name for path in (dataset / "images").iterdir()}
    assert sum(label for _, label in rows) == round(SPEC.emergency_fraction * SPEC.images)


def test_photos_are_jpegs_of_the_size(dataset: Path) -> None:
    for name, _ in read_rows(dataset):
        assert (dataset / "images" / name).read_bytes()[:3] == b"\xff\xd8\xff"
        assert decode(dataset, name).shape == (SPEC.size, SPEC.size, 3)


def test_exact_duplicates_are_planted(dataset: Path) -> None:
    groups = read_groups(dataset)
    assert SPEC.images - len(groups) == SPEC.exact_duplicates
    assert any(len(group) > 2 for group in groups.values())


def test_conflicting_labels_are_planted(dataset: Path) -> None:
    minority = [
        min(sum(label for _, label in group), sum(1 - label for _, label in group))
        for group in read_groups(dataset).values()
    ]
    assert sum(minority) == SPEC.label_conflicts


def test_no_duplicates_where_none_are_asked_for(tmp_path: Path) -> None:
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
    paired = 2 * SPEC.near_duplicates
    assert nearest[:paired].max() < 9
    assert nearest[paired:].min() > 12


def test_near_duplicates_keep_the_label(tmp_path: Path) -> None:
    generate(changed(exact_duplicates=0, label_conflicts=0), tmp_path)
    labels = dict(read_rows(tmp_path))
    names = list(labels)
    small = [cv2.resize(decode(tmp_path, n), (16, 16), interpolation=cv2.INTER_AREA) for n in names]
    flat = np.array(small, dtype=np.float64).reshape(len(small), -1)
    distances = np.abs(flat[:, None] - flat[None]).mean(axis=2)
    pairs = np.argwhere(np.triu(distances < 9, k=1))
    assert len(pairs) == SPEC.near_duplicates
    assert all(labels[names[a]] == labels[names[b]] for a, b in pairs)


def test_neither_names_nor_order_reveal_the_label(dataset: Path) -> None:
    rows = read_rows(dataset)
    labels = np.array([label for _, label in rows])
    numbers = np.array([int(Path(name).stem) for name, _ in rows])
    limit = 3 / np.sqrt(len(rows))
    assert abs(np.corrcoef(numbers, labels)[0, 1]) < limit
    assert abs(np.corrcoef(np.arange(len(rows)), labels)[0, 1]) < limit
    assert abs(np.corrcoef(np.arange(len(rows)), numbers)[0, 1]) < limit


def test_duplicates_do_not_follow_their_original(dataset: Path) -> None:
    numbers = [
        sorted(int(Path(name).stem) for name, _ in group)
        for group in read_groups(dataset).values()
        if len(group) > 1
    ]
    gaps = np.concatenate([np.diff(group) for group in numbers])
    assert gaps.mean() > SPEC.images / 8


def test_the_progress_bar_counts_every_file() -> None:
    assert count_files(make_plan(SPEC).originals) == SPEC.images


def test_an_error_in_a_worker_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "images").mkdir()
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: None)
    (tmp_path / "images").rmdir()
    with pytest.raises(FileNotFoundError):
        generate(SPEC, tmp_path, partial(parallel_map, label="generate", processes=2))


def test_duplicates_of_a_missing_label_are_refused(tmp_path: Path) -> None:
    spec = changed(images=20, emergency_fraction=0.01, exact_duplicates=2, near_duplicates=0)
    with pytest.raises(ValueError, match="emergency_fraction"):
        generate(spec, tmp_path)


def test_scenes_import_nothing_from_the_pipeline() -> None:
    for module in (ROOT / "scenes").glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "pipeline" for name in names), module


def test_no_stream_of_the_pipeline_repeats_one_of_the_scenes() -> None:
    assert int(Purpose.SYNTHETIC) == DOMAIN
