"""Find duplicates: files with the same bytes, and images that look the same.

What looks the same depends on the data: two photos of one street differ more than two pictures of
trousers cut out for a catalogue. So a pair counts as near-duplicates where it is alike *beyond what
different images of this data set are*: its distance is below a share
(`split.near_duplicate_ratio`) of the distance from either image to its tenth nearest neighbour.
The idea is that of the ratio test for features (Lowe, "Distinctive Image Features from
Scale-Invariant Keypoints", 2004) and of similarities normalised by those to background images
(Pizzi et al., "A Self-Supervised Descriptor for Image Copy Detection", 2022).

A picture is described by its low frequencies at equal brightness and contrast, each divided by its
standard deviation over the data set. The distance of a pair is what remains after one picture is
shifted and stretched by a few percent to fit the other. To first order, that adds multiples of four
known pictures, the tangents, which are fitted by least squares (Simard, LeCun and Denker,
"Efficient Pattern Recognition Using a New Transformation Distance", 1993). Pairs in doubt are then
compared again, the better of the two files brought to the quality of the other.

Neighbours are found by a forest of random projection trees (Dasgupta and Freund, "Random Projection
Trees and Low Dimensional Manifolds", 2008), whose time grows as n log n however crowded the images
are. Groups are stars: every member is a near-duplicate of the group's centre, so that a chain of
small differences does not join images that have nothing in common.
"""

from collections import defaultdict
from collections.abc import Collection
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from scipy.fft import dct

from pipeline.common.errors import SplitError
from pipeline.common.images import Pixels, decode
from pipeline.common.parallel import parallel_map
from pipeline.common.params import SplitParams

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.int64]

SIDE = 32  # pixels, of a thumbnail
WAVES = 10  # frequencies along each side that describe a picture; higher ones add noise of JPEG
COSINES = dct(np.eye(SIDE, dtype=np.float32), axis=0, norm="ortho")[:WAVES]
FLAT = 2.0  # grey levels of 255: with a smaller standard deviation there is nothing to recognise
REACH = 0.01  # of half a side: the shift or stretch that a tangent stands for
RIDGE = 6e-6  # keeps flat pictures solvable, and fits below a few percent

RANK = 10  # the neighbour that stands for different images; few images have ten duplicates
NEIGHBOURS = 16  # searched for each image
CLOSEST = 0.13  # where the tenth neighbour is closer, it is a duplicate too
UNRELATED = 0.8  # distance to the tenth neighbour where there are fewer images than that
SHOWN = 0.5  # ratio up to which pairs are returned
DESPITE_LABELS = 0.5  # of the ratio allowed: labels that differ are evidence of different pictures

DOUBTFUL = (0.05, 0.7)  # ratios between which the files of a pair are looked at more closely
CLOSE = 96  # pixels a side at which they are aligned, at most
STEPS = (cv2.TERM_CRITERIA_COUNT, 30, 0.0)  # always as many: a tolerance would amplify rounding
MOVED = 0.08  # of a side: an alignment that moves a corner further is none

TREES = 10
LEAF = 64  # images in a leaf, at most; all of them are compared with each other
BLOCK = 4096  # images or pairs held in memory at once


class Duplicates(NamedTuple):
    """The duplicates among N images."""

    groups: Integers  # int64 [N], the number of the group of each image
    # The pairs that were looked at closely: `image` and `other` (positions of two images), `ratio`
    # (of their distance to that of their neighbours), `alike` (whether they count as
    # near-duplicates) and `grouped` (whether they are in one group).
    pairs: pd.DataFrame


def find_duplicates(images: pd.DataFrame, folder: Path, params: SplitParams) -> Duplicates:
    """Group the images that are duplicates of one another, exact or near.

    Args:
        images: `labels.csv`, N rows.
        folder: The folder below which the images lie.
        params: How alike near-duplicates are, and pairs that a person found to be none.

    Returns:
        The groups, and the pairs that are alike. Images of different classes must be twice as
        alike as others to be grouped.

    Raises:
        ImageError: A file cannot be decoded.
        SplitError: `split.not_duplicates` names an image that does not exist.
    """
    # Of files with the same bytes one is decoded: the first by label, so that order plays no part.
    positions = images.assign(position=np.arange(len(images)))
    unique = positions.sort_values(["sha256", "label", "image"]).drop_duplicates("sha256")
    files = [folder / name for name in unique["image"]]
    read = partial(parallel_map, label="find duplicates")
    pairs, weights = compare(np.stack(read(_read_thumbnail, files)))
    doubtful = np.flatnonzero(pairs["ratio"].between(*DOUBTFUL))
    ends = pairs[["image", "other"]].to_numpy()[doubtful]
    looks = read(_look_closer, [(files[one], files[other]) for one, other in ends])
    for block in _blocks(len(looks)):
        sides = np.stack(looks[block], axis=1)
        distance = _fitted_distance(*(describe(side, weights) for side in sides))
        first, usual = pairs[["ratio", "usual"]].to_numpy()[doubtful[block]].T
        pairs.loc[doubtful[block], "ratio"] = np.minimum(first, distance / usual)
    pairs = pairs[pairs["ratio"] < SHOWN].sort_values(["ratio", "image", "other"])

    position, labels = unique["position"].to_numpy(), unique["label"].to_numpy(dtype=str)
    left, right = pairs["image"].to_numpy(), pairs["other"].to_numpy()
    limit = params.near_duplicate_ratio * np.where(labels[left] == labels[right], 1, DESPITE_LABELS)
    apart = _apart(images, unique, params)
    kept = [ends not in apart for ends in zip(left.tolist(), right.tolist(), strict=True)]
    alike = (pairs["ratio"].to_numpy() < limit) & np.array(kept, bool)
    groups = star_groups(len(unique), left[alike], right[alike], apart)
    pairs["alike"], pairs["grouped"] = alike, groups[left] == groups[right]
    pairs["image"], pairs["other"] = position[left], position[right]
    group_of = pd.Series(groups, index=unique["sha256"])
    return Duplicates(images["sha256"].map(group_of).to_numpy(), pairs)


def _apart(images: pd.DataFrame, unique: pd.DataFrame, params: SplitParams) -> set[tuple[int, int]]:
    """Return the pairs of `split.not_duplicates`, either way, as rows of `unique`."""
    content = dict(zip(images["image"], images["sha256"], strict=True))
    row = {sha256: index for index, sha256 in enumerate(unique["sha256"])}
    pairs = set()
    for one, other in params.not_duplicates:
        for name in (one, other):
            if name not in content:
                raise SplitError(
                    f"split.not_duplicates names {name!r}, which is not among the images; correct "
                    "or remove the pair"
                )
        rows = row[content[one]], row[content[other]]
        pairs |= {rows, rows[::-1]}
    return pairs


def _read_thumbnail(path: Path) -> Pixels:
    return _thumbnail(_decode_grey(path.read_bytes(), path.name))


def _decode_grey(data: bytes, name: str) -> Pixels:
    cv2.setNumThreads(1)
    return np.asarray(cv2.cvtColor(decode(data, name), cv2.COLOR_RGB2GRAY), np.uint8)


def _thumbnail(grey: Pixels) -> Pixels:
    """Resize to 32x32 pixels; where a side grows, keep more of its detail than `resize` does."""
    shrunk = _shrink(grey, SIDE)
    return np.asarray(cv2.resize(shrunk, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)


def _shrink(picture: Pixels, side: int) -> Pixels:
    """Reduce each side to so many pixels, at most."""
    height, width = (min(length, side) for length in picture.shape)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def compare(thumbnails: Pixels) -> tuple[pd.DataFrame, Floats]:
    """Measure how alike pictures are beyond what different pictures among them are.

    Args:
        thumbnails: uint8 [N, 32, 32], grey.

    Returns:
        The pairs of neighbours with a ratio that is small or in doubt, with columns `image`,
        `other` and `ratio` as in `Duplicates` and `usual`, the distance of their neighbours; and
        the weights of the frequencies that `describe` takes.
    """
    used = np.flatnonzero(thumbnails.reshape(len(thumbnails), -1).std(axis=1) > FLAT)
    waves = np.empty((len(used), WAVES**2 - 1), np.float32)
    tangents = np.empty((len(used), 4, WAVES**2 - 1), np.float16)
    for block in _blocks(len(used)):
        waves[block] = describe(thumbnails[used[block]])[0]
    weights = 1 / np.maximum(waves.std(axis=0), 1e-3) if len(used) > RANK else np.ones(1)
    for block in _blocks(len(used)):
        waves[block], tangents[block] = describe(thumbnails[used[block]], weights)
    nearest = neighbours(waves, NEIGHBOURS)

    fitted = np.full(nearest.shape, np.inf, np.float32)
    for block in _blocks(len(used), BLOCK // NEIGHBOURS):
        rows, columns = np.nonzero(nearest[block] >= 0)
        one, other = rows + block.start, nearest[block][rows, columns]
        left, right = ((waves[end], tangents[end].astype(np.float32)) for end in (one, other))
        fitted[one, columns] = _fitted_distance(left, right)
    usual: Floats = np.partition(fitted, RANK - 1)[:, RANK - 1]
    usual = np.where(np.isfinite(usual), np.maximum(usual, CLOSEST), UNRELATED)

    lower = np.minimum(usual[:, None], usual[nearest])
    rows, columns = np.nonzero(fitted / lower < DOUBTFUL[1])
    ends = np.sort(used[np.stack([rows, nearest[rows, columns]], axis=1)], axis=1)
    pairs = pd.DataFrame(ends, columns=["image", "other"])
    pairs["usual"] = lower[rows, columns]
    pairs["ratio"] = fitted[rows, columns] / pairs["usual"]
    return pairs.drop_duplicates(["image", "other"], ignore_index=True), weights


def _look_closer(paths: tuple[Path, Path]) -> Pixels:
    """Read two files as pictures of the same quality, size and frame: uint8 [2, 32, 32], grey.

    What the better of the two shows beyond the other proves nothing. So it is made as small and
    compressed as much, and moved onto the other (Evangelidis and Psarakis, "Parametric Image
    Alignment Using Enhanced Correlation Coefficient Maximization", 2008).
    """
    contents = [path.read_bytes() for path in paths]
    pictures = [_decode_grey(data, path.name) for data, path in zip(contents, paths, strict=True)]
    tables = [_quantisation(data) for data in contents]
    worse, better = sorted((0, 1), key=lambda end: (pictures[end].size, -sum(tables[end])))
    height, width = pictures[worse].shape
    reduced = np.asarray(
        cv2.resize(pictures[better], (width, height), interpolation=cv2.INTER_AREA), np.uint8
    )
    if sum(tables[worse]) > sum(tables[better]):
        buffer = BytesIO()
        Image.fromarray(reduced).save(buffer, "JPEG", qtables=[tables[worse]])
        reduced = _decode_grey(buffer.getvalue(), paths[better].name)
    target, image = _shrink(pictures[worse], CLOSE), _shrink(reduced, CLOSE)
    return np.stack([_thumbnail(target), _thumbnail(_move(image, target))])


def _quantisation(data: bytes) -> list[int]:
    """Return the 64 steps to which a JPEG file rounds brightness; of other files none."""
    with Image.open(BytesIO(data)) as image:
        return list(getattr(image, "quantization", {}).get(0, []))


def _move(image: Pixels, target: Pixels) -> Pixels:
    """Move an image onto another by a few percent, if that is possible."""
    identity = np.eye(2, 3, dtype=np.float32)
    try:
        matrix = cv2.findTransformECC(target, image, identity.copy(), cv2.MOTION_AFFINE, STEPS)[1]
    except cv2.error:  # nothing to hold on to, or no convergence
        return image
    height, width = target.shape
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]])
    if (np.abs(corners @ (matrix - identity).T) > MOVED * np.array([width, height])).any():
        return image
    # Where the moved image shows nothing, it is no evidence against the target.
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(
        image, matrix, (width, height), target.copy(), how, cv2.BORDER_TRANSPARENT
    )
    return np.asarray(moved, np.uint8)


def _blocks(count: int, size: int = BLOCK) -> list[slice]:
    return [slice(start, start + size) for start in range(0, count, size)]


def describe(squares: Pixels, weights: Floats | float = 1) -> tuple[Floats, Floats]:
    """Describe pictures by their low frequencies, whatever their brightness and contrast.

    Args:
        squares: uint8 [N, 32, 32].
        weights: float [99], of each frequency.

    Returns:
        The weighted frequencies without the mean, float32 [N, 99], of length 1, and what is added
        to them when the picture is stretched or shifted along x, and along y: [N, 4, 99].
    """
    pictures = squares.astype(np.float32)
    places = (np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2) / (SIDE / 2)
    down, across = np.gradient(pictures, axis=(1, 2))
    changes = np.stack([across * places, across, down * places[:, None], down], axis=1)
    waves = (COSINES @ pictures @ COSINES.T).reshape(len(pictures), -1)[:, 1:] * weights
    tangents = (COSINES @ changes @ COSINES.T).reshape(len(pictures), 4, -1)[:, :, 1:] * weights
    length = np.maximum(np.linalg.norm(waves, axis=1), 1e-6)[:, None]
    return waves / length, tangents * (REACH * SIDE / length[:, None])


def _fitted_distance(left: tuple[Floats, Floats], right: tuple[Floats, Floats]) -> Floats:
    """Return the distance of each pair after the best small shift and stretch: float32 [N].

    The pictures of each pair are described as by `describe`.
    """
    difference = right[0] - left[0]
    tangents = (left[1] + right[1]) / 2  # at the midpoint the error is of third order
    system = tangents @ tangents.transpose(0, 2, 1) + RIDGE * np.eye(4, dtype=np.float32)
    along = tangents @ difference[..., None]
    explained = (along * np.linalg.solve(system, along)).sum(axis=(1, 2))
    squared = np.square(difference).sum(axis=1) - explained
    return np.asarray(np.sqrt(np.maximum(squared, 0)), np.float32)


def neighbours(points: Floats, count: int) -> Integers:
    """Find the nearest neighbours of each point, almost always all of them.

    Each tree halves the points again and again, at the median along the line through two of them.
    Points that share a leaf of one of the trees are compared.

    Args:
        points: float32 [N, D] of length 1; equal for equal points in any order.
        count: Neighbours of each.

    Returns:
        int64 [N, count], the neighbours, nearest first; -1 where there are fewer.
    """
    total = len(points)
    rng = np.random.default_rng(0)
    found = np.full((total, 2 * count), -1)  # the nearest so far, then those in a leaf
    squared = np.full(found.shape, np.inf, np.float32)
    levels = max(0, int(np.ceil(np.log2(max(total, 1) / LEAF))))
    for _ in range(TREES if levels else 1):
        order, ends = np.arange(total), np.array([0, total])
        for level in range(levels):
            picks = ends[:-1] + (rng.random((2, 2**level)) * np.diff(ends)).astype(np.int64)
            lines = points[order[picks[0]]] - points[order[picks[1]]]
            node = np.repeat(np.arange(2**level), np.diff(ends))
            along = np.empty(total, np.float32)
            for block in _blocks(total):
                along[block] = np.einsum("nd,nd->n", points[order[block]], lines[node[block]])
            order = order[np.lexsort((along, node))]
            ends = total * np.arange(2 ** (level + 1) + 1) // 2 ** (level + 1)
        for leaf in np.split(order, ends[1:-1]):
            apart = 2 - 2 * points[leaf] @ points[leaf].T
            np.fill_diagonal(apart, np.inf)
            best = np.argsort(apart, axis=1, kind="stable")[:, : min(count, len(leaf) - 1)]
            place = np.ix_(leaf, np.arange(count, count + best.shape[1]))
            found[place], squared[place] = leaf[best], np.take_along_axis(apart, best, axis=1)
        for block in _blocks(total):
            again = found[block, count:, None] == found[block, None, :count]
            squared[block, count:][again.any(axis=2)] = np.inf
            best = np.argsort(squared[block], axis=1, kind="stable")
            squared[block] = np.take_along_axis(squared[block], best, axis=1)
            found[block] = np.take_along_axis(found[block], best, axis=1)
        squared[:, count:] = np.inf
    return np.where(np.isfinite(squared[:, :count]), found[:, :count], -1)


def star_groups(
    count: int, left: Integers, right: Integers, apart: Collection[tuple[int, int]] = ()
) -> Integers:
    """Group what is linked, each group around a centre that all its members are linked to.

    Args:
        count: How many there are to group.
        left: int64 [L], one of each pair that is linked, the most alike first.
        right: int64 [L], the other.
        apart: Pairs that may not be in one group, in both orders.

    Returns:
        int64 [count], the number of the group of each: that of its centre.
    """
    linked = defaultdict(list)
    for one, other in zip(left.tolist(), right.tolist(), strict=True):
        linked[one].append(other)
        linked[other].append(one)
    groups = np.arange(count)
    free = set(linked)
    for centre in sorted(linked, key=lambda one: (-len(linked[one]), one)):
        if centre not in free:
            continue
        members = [centre]
        for other in linked[centre]:
            if other in free and not any((other, member) in apart for member in members):
                members.append(other)
        groups[members] = centre
        free.difference_update(members)
    return groups
