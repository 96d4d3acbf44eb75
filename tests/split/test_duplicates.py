"""Duplicates are found, exact and near; pictures that only resemble each other are not grouped."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common.images import Pixels, decode, resize
from pipeline.common.tables import LABEL_COLUMNS
from pipeline.split.duplicates import _candidates, find_duplicates, near_groups
from tests.helpers.pictures import encode, encoded, write

SIDE = 224


def scene(seed: int, *, details: int | None = None) -> Pixels:
    """Something as busy as a photo; `details` draws the fine shapes from another seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    draw = np.random.default_rng([seed if details is None else details, 1])
    fine = resize(draw.integers(0, 256, (20, 20, 3), dtype=np.uint8), SIDE)
    return cv2.addWeighted(resize(coarse, SIDE), 0.75, fine, 0.25, 0).astype(np.uint8)


def recompressed(pixels: Pixels) -> Pixels:
    return decode(encode(pixels, "JPEG", quality=15), "recompressed")


def watermarked(pixels: Pixels) -> Pixels:
    marked = pixels.copy()
    cv2.putText(marked, "photo.example", (10, 215), 0, 0.5, (200, 200, 200), 1)
    return marked


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "recompressed": recompressed,
    "smaller": lambda pixels: resize(pixels, 90),
    "larger": lambda pixels: resize(pixels, 500),
    "darker": lambda pixels: (pixels * 0.7).astype(np.uint8),
    "less contrast": lambda pixels: (pixels * 0.6 + 60).astype(np.uint8),
    "cropped": lambda pixels: np.ascontiguousarray(pixels[3:-3, 3:-3]),
    "watermarked": watermarked,
    "grey": lambda pixels: np.repeat(
        np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)[..., None], 3, axis=2
    ),
}


def groups_of(folder: Path, pictures: list[Pixels], distance: int = 6) -> list[int]:
    return find(folder, [encode(pixels) for pixels in pictures], distance=distance)


def find(
    folder: Path,
    files: list[bytes],
    labels: str = "",
    *,
    distance: int = 6,
    processes: int | None = None,
    order: int = 1,
) -> list[int]:
    """Write files and return the group of each, searched in order (1) or in reverse (-1)."""
    rows = []
    for index, data in enumerate(files):
        write(folder / f"{index}.png", data)
        label = labels[index] if labels else "a"
        rows.append((f"{index}.png", label, "", hashlib.sha256(data).hexdigest()))
    images = pd.DataFrame(rows, columns=LABEL_COLUMNS)[::order]
    groups = find_duplicates(images, folder, distance, processes=processes)
    return [int(group) for group in groups[::order]]


def thumbnail(pixels: Pixels) -> Pixels:
    return resize(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8), 32)


def test_exact_duplicates_share_a_group_and_one_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []

    def decode_noting(data: bytes, name: str) -> Pixels:
        decoded.append(name)
        return decode(data, name)

    monkeypatch.setattr("pipeline.split.second_look.decode", decode_noting)
    groups = find(tmp_path, [encoded(i % 4) for i in range(12)], distance=0)
    assert len(set(groups)) == 4
    assert groups[:4] == groups[4:8] == groups[8:]
    assert len(decoded) == 4


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_near_duplicates_share_a_group(tmp_path: Path, change: Callable[[Pixels], Pixels]) -> None:
    scenes = [scene(seed) for seed in range(6)]
    groups = groups_of(tmp_path, scenes + [change(pixels) for pixels in scenes])
    assert groups[:6] == groups[6:]
    assert len(set(groups)) == 6


def test_the_same_coarse_shapes_with_other_details_are_no_duplicates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = [(scene(seed), scene(seed, details=seed + 100)) for seed in range(12)]
    thumbnails = np.stack([thumbnail(pixels) for pair in pairs for pixels in pair])
    assert len(set(near_groups(thumbnails, 8).tolist())) == 24
    monkeypatch.setattr("pipeline.split.duplicates.ALIKE", -1)
    assert len(set(near_groups(thumbnails, 8).tolist())) < 20, "the hash alone should confuse them"


def test_different_labels_outweigh_a_likeness_but_not_the_same_picture(tmp_path: Path) -> None:
    pictures = [scene(1), CHANGES["cropped"](scene(1)), CHANGES["larger"](scene(1))]
    groups = find(tmp_path, [encode(pixels) for pixels in pictures], "abc")
    assert groups[0] == groups[2] != groups[1]


def drawn_sign(seed: int) -> Pixels:
    """A stroke on black: one of few shapes, never quite the same twice."""
    draw = np.random.default_rng(seed)
    points = np.random.default_rng(0).uniform(15, 95, (7, 2)) + draw.normal(0, 4, (7, 2))
    canvas = np.zeros((112, 112, 3), np.uint8)
    cv2.polylines(canvas, [points.astype(np.int32)], False, (255, 255, 255), 10, cv2.LINE_AA)
    return resize(canvas, 28)


def test_signs_drawn_alike_are_no_duplicates(tmp_path: Path) -> None:
    signs = [drawn_sign(seed) for seed in range(60)]
    thumbnails = np.stack([thumbnail(pixels) for pixels in signs])
    confused = 60 - len(set(near_groups(thumbnails, 6).tolist()))
    assert confused > 8, "thumbnails alone should confuse some"
    assert 60 - len(set(groups_of(tmp_path, signs))) <= confused // 4


def test_duplicates_of_duplicates_are_one_group(tmp_path: Path) -> None:
    first = scene(1)
    second = recompressed(first)
    third = (second * 0.7).astype(np.uint8)
    assert len(set(groups_of(tmp_path, [third, first, second]))) == 1


def test_distance_zero_accepts_equal_hashes_only(tmp_path: Path) -> None:
    cropped = np.ascontiguousarray(scene(1)[3:-3, 3:-3])
    assert len(set(groups_of(tmp_path, [scene(1), cropped], distance=0))) == 2


def test_flat_pictures_are_duplicates_only_if_exact(tmp_path: Path) -> None:
    flat = [np.full((40, 40, 3), shade, np.uint8) for shade in (0, 90, 90, 91, 255)]
    groups = groups_of(tmp_path, flat)
    assert groups[1] == groups[2]
    assert len(set(groups)) == 4


def test_traces_on_flat_pictures_do_not_make_them_duplicates() -> None:
    traces = thumbnail(scene(1)) // 128
    assert near_groups(np.stack([traces + 40, traces + 200]), 6).tolist() == [0, 1]


def test_thousands_of_duplicates_of_one_picture_are_found_in_bounded_memory() -> None:
    thumbnails = np.repeat(thumbnail(scene(1))[None], 3000, axis=0)
    assert set(near_groups(thumbnails, 6).tolist()) == {0}


def test_order_and_processes_do_not_matter(tmp_path: Path) -> None:
    scenes = [scene(seed) for seed in range(5)]
    pictures = scenes + [recompressed(pixels) for pixels in scenes]
    files = [encode(pixels) for pixels in pictures]
    forward = find(tmp_path, files)
    assert forward[:5] == forward[5:]
    assert find(tmp_path, files, processes=2, order=-1) == forward


@settings(deadline=None, max_examples=40)
@given(
    hashes=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=12),
    flips=st.lists(
        st.tuples(st.integers(0, 11), st.lists(st.integers(0, 63), max_size=14)), max_size=12
    ),
    distance=st.sampled_from([0, 1, 3, 4, 6, 7, 8, 11]),
)
def test_candidates_are_exactly_the_pairs_within_the_distance(
    hashes: list[int], flips: list[tuple[int, list[int]]], distance: int
) -> None:
    for origin, bits in flips:
        hashes.append(hashes[origin % len(hashes)] ^ sum(1 << bit for bit in set(bits)))
    found = [
        (int(one), int(other))
        for left, right in _candidates(
            np.array(hashes, np.uint64), np.arange(len(hashes)), distance
        )
        for one, other in zip(left, right, strict=True)
    ]
    expected = {
        (i, j)
        for j in range(len(hashes))
        for i in range(j)
        if (hashes[i] ^ hashes[j]).bit_count() <= distance
    }
    assert set(found) == expected
    assert len(found) == len(expected)
