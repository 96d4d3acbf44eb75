"""Duplicates are found, exact and near; images that only resemble each other are not grouped."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from pipeline.common import parallel
from pipeline.common.datasets import LABEL_COLUMNS
from pipeline.common.errors import SplitError
from pipeline.common.images import Pixels, decode, resize
from pipeline.split.duplicates import (
    NEIGHBOURS,
    Duplicates,
    find_duplicates,
    neighbours,
    star_groups,
)
from tests.helpers.pictures import encode, encoded, split_params, write

SIDE = 224


def scene(seed: int, *, details: int | None = None) -> Pixels:
    """Draw something as busy as a photo; `details` draws the fine shapes from another seed."""
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
    "smaller than a thumbnail": lambda pixels: resize(pixels, 20),
    "darker": lambda pixels: (pixels * 0.7).astype(np.uint8),
    "less contrast": lambda pixels: (pixels * 0.6 + 60).astype(np.uint8),
    "cropped": lambda pixels: np.ascontiguousarray(pixels[5:-5, 5:-5]),
    "shifted": lambda pixels: np.ascontiguousarray(pixels[4:, :-3]),
    "watermarked": watermarked,
    "grey": lambda pixels: np.repeat(
        np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)[..., None], 3, axis=2
    ),
}


def find(
    folder: Path,
    pictures: Sequence[Pixels | bytes],
    labels: str = "",
    *,
    order: int = 1,
    **params: object,
) -> Duplicates:
    """Write images and search them in order (1) or in reverse (-1); groups are in order."""
    rows = []
    for index, picture in enumerate(pictures):
        data = picture if isinstance(picture, bytes) else encode(picture)
        write(folder / f"{index}.png", data)
        label = labels[index] if labels else "a"
        rows.append((f"{index}.png", label, "", hashlib.sha256(data).hexdigest()))
    images = pd.DataFrame(rows, columns=LABEL_COLUMNS)[::order]
    found = find_duplicates(images, folder, split_params(**params))
    return found._replace(groups=found.groups[::order])


def groups_of(folder: Path, pictures: Sequence[Pixels | bytes], **options: object) -> list[int]:
    return [int(group) for group in find(folder, pictures, **options).groups]  # type: ignore[arg-type]


def test_exact_duplicates_share_a_group_and_one_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []

    def decode_noting(data: bytes, name: str) -> Pixels:
        decoded.append(name)
        return decode(data, name)

    monkeypatch.setattr("pipeline.split.duplicates.decode", decode_noting)
    groups = groups_of(tmp_path, [encoded(i % 4) for i in range(12)], near_duplicate_ratio=0.0)
    assert len(set(groups)) == 4
    assert groups[:4] == groups[4:8] == groups[8:]
    assert len(decoded) == 4


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_near_duplicates_share_a_group(tmp_path: Path, change: Callable[[Pixels], Pixels]) -> None:
    scenes = [scene(seed) for seed in range(12)]
    groups = groups_of(tmp_path, scenes + [change(pixels) for pixels in scenes])
    assert groups[:12] == groups[12:]
    assert len(set(groups)) == 12


def test_the_same_coarse_shapes_with_other_details_are_no_duplicates(tmp_path: Path) -> None:
    pictures = [scene(seed, details=d) for seed in range(12) for d in (seed, seed + 100)]
    assert len(set(groups_of(tmp_path, pictures))) == 24
    one, other = (resize(pixels, 8).ravel() for pixels in pictures[:2])
    likeness = np.corrcoef(one, other)
    assert likeness.min() > 0.9, "coarse shapes alone should confuse them"


def test_different_labels_outweigh_a_likeness_but_not_the_same_picture(tmp_path: Path) -> None:
    others = [scene(seed) for seed in range(10, 24)]
    blended = cv2.addWeighted(scene(1), 0.82, scene(2), 0.18, 0).astype(np.uint8)
    pictures = [scene(1), CHANGES["larger"](scene(1)), blended, *others]
    groups = groups_of(tmp_path, pictures, labels="a" * 17)
    assert groups[0] == groups[1] == groups[2]
    groups = groups_of(tmp_path, pictures, labels="abc" + "a" * 14)
    assert groups[0] == groups[1] != groups[2]


def garment(seed: int) -> Pixels:
    """Draw one of many trousers on black: the same outline, never quite the same twice."""
    draw = np.random.default_rng(seed)
    outline = np.array([(35, 5), (77, 5), (80, 107), (60, 107), (56, 40), (52, 107), (32, 107)])
    canvas = np.zeros((112, 112, 3), np.uint8)
    corners = (outline + draw.normal(0, 1, outline.shape)).astype(np.int32)
    cv2.fillPoly(canvas, [corners], [int(draw.integers(120, 250))] * 3, cv2.LINE_AA)
    weave = draw.normal(1, 0.1, (7, 7)).astype(np.float32)
    textured = canvas * cv2.resize(weave, (112, 112))[..., None]
    return resize(textured.clip(0, 255).astype(np.uint8), 28)


def test_alike_is_relative_to_the_other_images(tmp_path: Path) -> None:
    garments = [garment(seed) for seed in range(150)]
    darker = (garments[0] * 0.8).astype(np.uint8)
    groups = groups_of(tmp_path, [*garments, darker], near_duplicate_ratio=0.25)
    assert groups[0] == groups[150]
    assert len(set(groups)) == 150
    # Among photos, two such garments would be as alike as a photo and its crop.
    pictures = [*garments[:2], *(scene(seed) for seed in range(30))]
    alone = groups_of(tmp_path / "alone", pictures, near_duplicate_ratio=0.25)
    assert alone[0] == alone[1]


def test_a_copy_of_lower_quality_is_compared_at_that_quality(tmp_path: Path) -> None:
    garments = [garment(seed) for seed in range(150)]
    worse = [
        encode(garments[0], "JPEG", quality=10),
        encode(resize(garments[1], 14)),
        encode(resize(garments[2], 20), "JPEG", quality=30),
    ]
    groups = groups_of(tmp_path, [*garments, *worse])
    assert groups[150:] == groups[:3]
    assert len(set(groups)) == 150


def test_chains_do_not_join_what_differs(tmp_path: Path) -> None:
    first, last = scene(1).astype(np.float32), scene(2).astype(np.float32)
    chain = [((1 - t) * first + t * last).astype(np.uint8) for t in np.linspace(0, 1, 12)]
    groups = groups_of(tmp_path, [*chain, *(scene(seed) for seed in range(10, 40))])
    assert groups[0] != groups[11]
    assert max(groups.count(group) for group in groups[:12]) < 8


def test_every_member_is_linked_to_the_centre_of_its_group() -> None:
    links = [(0, 1), (1, 2), (2, 3), (1, 4), (5, 6)]
    left, right = np.array(links).T
    assert star_groups(8, left, right).tolist() == [1, 1, 1, 3, 1, 5, 5, 7]


def test_pairs_that_a_person_keeps_apart_are_in_no_group_together(tmp_path: Path) -> None:
    pictures = [scene(1), CHANGES["smaller"](scene(1)), CHANGES["darker"](scene(1))]
    assert len(set(groups_of(tmp_path, pictures))) == 1
    groups = groups_of(tmp_path, pictures, not_duplicates=[["2.png", "0.png"]])
    assert groups[0] != groups[2]
    assert groups[1] in (groups[0], groups[2])


def test_a_pair_of_unknown_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match=r"not_duplicates names '9\.png'.* correct or remove"):
        find(tmp_path, [scene(1), scene(2)], not_duplicates=[["0.png", "9.png"]])


def test_the_pairs_tell_how_much_alike_they_are(tmp_path: Path) -> None:
    pictures = [scene(seed) for seed in range(12)]
    found = find(tmp_path, [*pictures, recompressed(pictures[3]), CHANGES["cropped"](pictures[5])])
    close = found.pairs[found.pairs["grouped"]]
    grouped = {frozenset(pair) for pair in zip(close["image"], close["other"], strict=True)}
    assert grouped == {frozenset((3, 12)), frozenset((5, 13))}
    assert close["ratio"].between(0, 0.2).all()


def test_ratio_zero_groups_equal_files_only(tmp_path: Path) -> None:
    pictures = [scene(1), recompressed(scene(1)), scene(1)]
    groups = groups_of(tmp_path, pictures, near_duplicate_ratio=0.0)
    assert groups[0] == groups[2] != groups[1]


def test_flat_pictures_are_duplicates_only_if_exact(tmp_path: Path) -> None:
    flat = [np.full((40, 40, 3), shade, np.uint8) for shade in (0, 90, 90, 91, 255)]
    traces = [scene(1) // 128 + shade for shade in (40, 200)]
    groups = groups_of(tmp_path, [*flat, *traces])
    assert groups[1] == groups[2]
    assert len(set(groups)) == 6


def test_more_duplicates_than_neighbours_are_still_found(tmp_path: Path) -> None:
    saved = [encode(scene(1), "JPEG", quality=quality) for quality in range(50, 96)]
    groups = groups_of(tmp_path, [*saved, *(scene(seed) for seed in range(10, 40))])
    assert max(groups.count(group) for group in groups) > NEIGHBOURS


def test_order_and_processes_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = [scene(seed) for seed in range(5)]
    pictures = scenes + [recompressed(pixels) for pixels in scenes]
    forward = groups_of(tmp_path, pictures)
    assert forward[:5] == forward[5:]
    monkeypatch.setattr(parallel, "available_cores", lambda: 2)
    monkeypatch.setattr(parallel, "WORTH_A_PROCESS", 1)
    assert groups_of(tmp_path, pictures, order=-1) == forward


def test_neighbours_are_those_of_an_exhaustive_search() -> None:
    draw = np.random.default_rng(0)
    points = draw.normal(size=(3000, 12)).astype(np.float32)
    points[:1500] = points[0] + 0.1 * points[:1500]  # half of them crowded
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    likeness = points @ points.T
    np.fill_diagonal(likeness, -2)
    expected = np.argsort(-likeness, axis=1)[:, :5]
    found = neighbours(points, 5)
    shared = [len(set(one) & set(other)) for one, other in zip(found, expected, strict=True)]
    assert np.mean(shared) / 5 > 0.9
    assert (found[:, 0] == expected[:, 0]).mean() > 0.9
    assert not (found == np.arange(3000)[:, None]).any()


def test_few_points_have_few_neighbours() -> None:
    points = np.eye(3, dtype=np.float32)
    assert sorted(neighbours(points, 4)[0].tolist()) == [-1, -1, 1, 2]
    assert neighbours(points[:1], 4).tolist() == [[-1] * 4]
