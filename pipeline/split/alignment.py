"""How alike two pictures are once one is laid over the other as a crop by a hair would be.

The one is stretched and shifted, per axis, by at most a few percent, and its brightness and
contrast fitted, until it agrees best with the other: a Gauss-Newton search (Lucas and Kanade, "An
Iterative Image Registration Technique", 1981) over many pairs at once. Rotation and shear are left
out: they tell a copy from another drawing of the same sign.
"""

import numpy as np
import numpy.typing as npt

from pipeline.common.images import Pixels

Floats = npt.NDArray[np.float32]

STEPS = 4  # more change the fourth digit
REACH = 0.05  # of the side: the most that a picture is stretched or shifted
EDGE = 2  # pixels left out, which a shift brings in from outside


def aligned_correlation(ones: Pixels, others: Pixels) -> Floats:
    """Correlate pairs of pictures, each laid over the other as well as it can be.

    Args:
        ones: uint8 [N, side, side], grey.
        others: The same, to be fitted to `ones`.

    Returns:
        float32 [N], -1 to 1: the best correlation met on the way, the first without any change.
    """
    fixed, moving = _normalised(ones), _normalised(others)
    change = np.zeros((len(fixed), 4), np.float32)
    best = _correlation(fixed, moving)
    for _ in range(STEPS):
        change = _improve(fixed, _warped(moving, change), change)
        best = np.maximum(best, _correlation(fixed, _warped(moving, change)))
    return best


def _normalised(pictures: npt.NDArray[np.generic]) -> Floats:
    centred = pictures - pictures.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    spread = np.sqrt(np.square(centred).mean(axis=(1, 2), keepdims=True))
    return np.asarray(centred / np.maximum(spread, 1e-3), np.float32)


def _correlation(ones: Floats, others: Floats) -> Floats:
    inner = (slice(None), slice(EDGE, -EDGE), slice(EDGE, -EDGE))
    product = _normalised(ones[inner]) * _normalised(others[inner])
    return np.asarray(product.mean(axis=(1, 2)))


def _improve(fixed: Floats, warped: Floats, change: Floats) -> Floats:
    """One step of Gauss-Newton; change is stretch and shift in x, then in y: float32 [N, 4]."""
    side = fixed.shape[1]
    places = _centred(side)
    down, across = np.gradient(warped, axis=(1, 2))
    parts = [across * places, across, down * places[:, None], down, warped, np.ones_like(warped)]
    slopes = np.stack(parts, axis=-1)[:, EDGE:-EDGE, EDGE:-EDGE].reshape(len(fixed), -1, 6)
    left = (fixed - warped)[:, EDGE:-EDGE, EDGE:-EDGE].reshape(len(fixed), -1, 1)
    turned = slopes.transpose(0, 2, 1)
    # A little added to the diagonal keeps flat pictures solvable.
    system = turned @ slopes + np.float32(1e-3 * side**2) * np.eye(6, dtype=np.float32)
    step = np.linalg.solve(system, turned @ left)[:, :4, 0]
    reach = np.array([2 * REACH, REACH * side] * 2, np.float32)
    return np.asarray(np.clip(change + step, -reach, reach), np.float32)


def _warped(pictures: Floats, change: Floats) -> Floats:
    """Stretch and shift; along each axis that is a product with a matrix."""
    side = pictures.shape[1]
    across = _interpolation(change[:, 0], change[:, 1], side)
    down = _interpolation(change[:, 2], change[:, 3], side)
    return np.asarray(down @ pictures @ across.transpose(0, 2, 1))


def _interpolation(stretch: Floats, shift: Floats, side: int) -> Floats:
    """Linear interpolation at places moved so: float32 [N, side, side]."""
    places = (1 + stretch)[:, None] * _centred(side) + shift[:, None] + (side - 1) / 2
    places = np.clip(places, 0, side - 1)
    before = np.minimum(places.astype(np.int64), side - 2)
    after_share = (places - before).astype(np.float32)
    weights = np.zeros((len(stretch), side, side), np.float32)
    pair, row = np.indices(before.shape)
    weights[pair, row, before] = 1 - after_share
    weights[pair, row, before + 1] = after_share
    return weights


def _centred(side: int) -> Floats:
    return np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)
