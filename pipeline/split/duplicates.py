"""Find duplicates: files with the same bytes, and images that look the same.

Near-duplicates are proposed by a perceptual hash and confirmed on pixels. The hash is pHash
(Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010): which of the
64 lowest frequencies of a 32x32 grey thumbnail lie above their median. Candidates come from
multi-index hashing (Norouzi, Punjani and Fleet, "Fast Exact Search in Hamming Space", 2014):
two hashes that differ in d bits differ in at most d // 4 of the bits of one of four 16-bit bands,
so looking up each band's near values finds every pair without comparing all.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.common.images import Pixels
from pipeline.common.parallel import parallel_map
from pipeline.split.second_look import ALIKE, Closer, grey_thumbnail

Floats = npt.NDArray[np.float32]
Details = npt.NDArray[np.float16]
Integers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Pairs = tuple[Integers, Integers]

SIDE = 32  # of a thumbnail
HASH_BITS = 64
BANDS = 4
BAND_BITS = HASH_BITS // BANDS
BATCH = 1 << 15  # pairs held in memory at once
CLOSER_BATCH = 256  # pairs looked at closer at once
BLOCK = 4096  # images transformed at once

# Of a thumbnail's grey levels (0 to 255): with less spread there is nothing to recognise.
FLAT = 2.0
# Share of a thumbnail whose shade changes, by more than a level per pixel. Of 823 real photos 99 %
# have 0.85 or more, of 2,000 drawn digits and 1,000 line drawings none has more than 0.52.
BUSY = 0.6


class Spectra(NamedTuple):
    """The frequencies of N thumbnails.

    Attributes:
        hashes: uint64 [N], of the 64 lowest frequencies.
        details: float16 [N, 959], all higher ones, scaled to length 1.
        structured: bool [N], whether there is anything but one flat shade.
        busy: bool [N], whether the picture fills its frame, as photos do and drawings do not.
    """

    hashes: Hashes
    details: Details
    structured: npt.NDArray[np.bool_]
    busy: npt.NDArray[np.bool_]


def find_duplicates(
    images: pd.DataFrame, folder: Path, distance: int, *, processes: int | None = None
) -> Integers:
    """Group the images that are duplicates of one another, exact or near.

    Args:
        images: `labels.csv`. Pictures of different classes must be almost the same to count as
            near-duplicates.
        folder: The folder below which the images lie.
        distance: Near-duplicates differ in at most this many of the 64 bits of their hashes, 0 to
            16.
        processes: How many read the files; by default, one per core.

    Returns:
        int64 [N], the number of the group of each image.

    Raises:
        ImageError: A file cannot be decoded.
    """
    # Of files with the same bytes one is decoded: the first by label, so that order plays no part.
    unique = images.sort_values(["sha256", "label"]).drop_duplicates("sha256")
    files = [folder / name for name in unique["image"]]
    thumbnails = parallel_map(thumbnail, files, label="find duplicates", processes=processes)
    closer = Closer(files, unique["label"].to_numpy(dtype=str))
    groups = near_groups(np.stack(thumbnails), distance, closer)
    return np.asarray(images["sha256"].map(pd.Series(groups, index=unique["sha256"])))


def thumbnail(path: Path) -> Pixels:
    """Read an image file as uint8 [32, 32], grey."""
    return grey_thumbnail(path.read_bytes(), path.name, SIDE)


def near_groups(thumbnails: Pixels, distance: int, closer: Closer | None = None) -> Integers:
    """Group thumbnails that show the same picture.

    Args:
        thumbnails: uint8 [N, 32, 32], grey.
        distance: Largest number of differing bits, 0 to 16.
        closer: The files and labels, for a closer look; without, thumbnails decide alone.

    Returns:
        int64 [N]: the number of each one's group, counted from 0 without gaps.
    """
    spectra = _spectra(thumbnails)
    groups = np.arange(len(thumbnails))
    structured = np.flatnonzero(spectra.structured)
    doubtful: list[Pairs] = [(groups[:0], groups[:0])]
    for pair in _candidates(spectra.hashes, structured, distance):
        apart = groups[pair[0]] != groups[pair[1]]
        left, right = pair[0][apart], pair[1][apart]
        alike = _correlation(spectra.details, left, right)
        busy = spectra.busy[left] & spectra.busy[right]
        sure = alike >= (ALIKE if closer is None else closer.enough(busy, left, right))
        groups = _merge(groups, left[sure], right[sure])
        unsure = ~sure & (alike >= ALIKE) & (groups[left] != groups[right])
        doubtful.append((left[unsure], right[unsure]))
    return groups if closer is None else _look_closer(closer, groups, doubtful)


def _look_closer(closer: Closer, groups: Integers, doubtful: Sequence[Pairs]) -> Integers:
    """Merge those doubtful pairs that a closer look confirms, and that it has not joined yet."""
    left, right = (np.concatenate(side) for side in zip(*doubtful, strict=True))
    for start in range(0, len(left), CLOSER_BATCH):
        one, other = left[start : start + CLOSER_BATCH], right[start : start + CLOSER_BATCH]
        apart = groups[one] != groups[other]
        one, other = one[apart], other[apart]
        same = closer.confirm(one, other)
        groups = _merge(groups, one[same], other[same])
    return groups


def _spectra(thumbnails: Pixels) -> Spectra:
    """Transform block by block, so that only what is kept needs memory for every image."""
    blocks = [
        _transform(thumbnails[start : start + BLOCK]) for start in range(0, len(thumbnails), BLOCK)
    ]
    return Spectra(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


def _transform(thumbnails: Pixels) -> Spectra:
    """The cosine transform keeps lengths, so parts of it correlate as parts of the picture do."""
    spectrum = dctn(thumbnails.astype(np.float32), axes=(1, 2), norm="ortho")
    # From low to high frequency; the first, the mean brightness, says nothing.
    waves = spectrum[:, *_by_frequency()][:, 1:]
    details = waves[:, HASH_BITS:]
    length = np.linalg.norm(details, axis=1, keepdims=True)
    structured = np.linalg.norm(waves, axis=1) > FLAT * SIDE
    details = (details / np.maximum(length, 1)).astype(np.float16)
    return Spectra(_hash(waves[:, :HASH_BITS]), details, structured, _is_busy(thumbnails))


def _is_busy(thumbnails: Pixels) -> npt.NDArray[np.bool_]:
    down, across = np.gradient(thumbnails.astype(np.float32), axis=(1, 2))
    return np.asarray((np.hypot(down, across) > 1).mean(axis=(1, 2)) > BUSY)


def _by_frequency() -> tuple[Integers, Integers]:
    """Rows and columns of a spectrum, by the sum of both frequencies."""
    rows, columns = np.indices((SIDE, SIDE)).reshape(2, -1)
    order = np.lexsort((rows, rows + columns))
    return rows[order], columns[order]


def _hash(frequencies: Floats) -> Hashes:
    bits = frequencies > np.median(frequencies, axis=1, keepdims=True)
    return np.ascontiguousarray(np.packbits(bits, axis=1)).view(np.uint64)[:, 0]


def _candidates(
    hashes: Hashes, members: Integers, distance: int
) -> Iterator[tuple[Integers, Integers]]:
    """Yield, in batches, every pair of members whose hashes differ in at most `distance` bits."""
    chosen = hashes[members]
    for band in range(BANDS):
        keys = _band(chosen, band)
        order = np.argsort(keys, kind="stable")
        ends = np.cumsum(np.bincount(keys, minlength=1 << BAND_BITS))
        for mask in _masks(distance // BANDS):
            for left, place in _lookups(keys ^ mask, ends):
                right = order[place]
                differing = chosen[left] ^ chosen[right]
                near = np.flatnonzero((left < right) & (np.bitwise_count(differing) <= distance))
                near = near[_is_first(differing[near], band, distance // BANDS)]
                yield members[left[near]], members[right[near]]


def _band(hashes: Hashes, band: int) -> Integers:
    return (hashes >> np.uint64(band * BAND_BITS)).astype(np.int64) & ((1 << BAND_BITS) - 1)


def _is_first(differing: Hashes, band: int, radius: int) -> npt.NDArray[np.bool_]:
    """Whether no earlier band finds the pair too: each shall be weighed once."""
    first = np.ones(len(differing), bool)
    for earlier in range(band):
        first &= np.bitwise_count(_band(differing, earlier)) > radius
    return first


def _masks(radius: int) -> Iterator[int]:
    """Every pattern of up to `radius` changed bits of a band."""
    for changed in range(radius + 1):
        for bits in combinations(range(BAND_BITS), changed):
            yield sum(1 << bit for bit in bits)


def _lookups(keys: Integers, ends: Integers) -> Iterator[tuple[Integers, Integers]]:
    """Yield, in batches, (asking, place) for every entry of the bucket that each one asks for.

    Args:
        keys: int64 [N], the bucket that each one asks for.
        ends: int64 [65536], where each bucket ends; each begins where the one before ends.
    """
    sizes = np.diff(ends, prepend=0)[keys]
    starts = ends[keys] - sizes
    batch = np.cumsum(sizes) // BATCH
    for number in range(int(batch[-1]) + 1 if len(batch) else 0):
        asking = np.flatnonzero(batch == number)
        counts = sizes[asking]
        before = np.repeat(np.cumsum(counts) - counts, counts)
        offset = np.arange(counts.sum()) - before
        yield np.repeat(asking, counts), np.repeat(starts[asking], counts) + offset


def _correlation(details: Details, left: Integers, right: Integers) -> Floats:
    """How much the details of each pair agree: -1 to 1, float32 [pairs].

    The hash has proposed the pair for its coarse shapes; two white cars before a dark wall share
    those. What the hash did not see is independent evidence.
    """
    one, other = details[left].astype(np.float32), details[right].astype(np.float32)
    return np.asarray(np.einsum("ij,ij->i", one, other))


def _merge(groups: Integers, left: Integers, right: Integers) -> Integers:
    """Join the groups of each pair."""
    if not len(left):
        return groups
    count = len(groups)
    links = coo_array((np.ones(len(left), bool), (groups[left], groups[right])), (count, count))
    _, joined = connected_components(links, directed=False)
    return np.asarray(joined[groups], dtype=np.int64)
