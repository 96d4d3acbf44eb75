"""The graph of gradients and colours gives what its definition says, pixel by pixel."""

import colorsys
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from onnxruntime import InferenceSession

from pipeline.features.hog import hog

SIDE = 96


@pytest.fixture(scope="module")
def session() -> InferenceSession:
    return InferenceSession(hog().SerializeToString(), providers=["CPUExecutionProvider"])


def vectors(session: InferenceSession, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    found: npt.NDArray[np.float32] = session.run(None, {"images": images})[0]
    return found


def pictures() -> npt.NDArray[np.uint8]:
    """Noise, a smooth ramp, a plain area and stripes of pure colours."""
    noise = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    ramp = np.stack([2 * rows, rows + columns, 255 - 2 * columns], axis=-1)
    plain = np.full((SIDE, SIDE, 3), 128)
    stripes = 255 * np.eye(3)[columns // 8 % 3]
    return np.stack([noise, ramp, plain, stripes]).astype(np.uint8)


def gradients(image: npt.NDArray[np.uint8]) -> list[float]:
    """Dalal and Triggs, 2005: cells of 12 pixels, blocks of 2x2 cells, L2-Hys."""
    values = np.pad(image.astype(np.int64), ((1, 1), (1, 1), (0, 0)), mode="edge")
    cells = np.zeros((8, 8, 9))
    for y, x in np.ndindex(SIDE, SIDE):
        across = values[y + 1, x + 2] - values[y + 1, x]
        down = values[y + 2, x + 1] - values[y, x + 1]
        channel = (across**2 + down**2).argmax()
        angle = math.atan2(down[channel], across[channel]) % math.pi
        strength = math.hypot(down[channel], across[channel]) / 255
        cells[y // 12, x // 12, min(int(9 * angle / math.pi), 8)] += strength / 144
    found: list[float] = []
    blocks = np.stack([cells[y : y + 7, x : x + 7] for y in (0, 1) for x in (0, 1)], axis=2)
    for y, x in np.ndindex(7, 7):
        block = blocks[y, x].ravel()
        block = np.minimum(block / math.sqrt((block**2).sum() + 1e-6), 0.2)
        blocks[y, x] = (block / math.sqrt((block**2).sum() + 1e-6)).reshape(4, 9)
    found.extend(blocks.transpose(2, 3, 0, 1).ravel())
    return found


def colours(image: npt.NDArray[np.uint8]) -> Iterator[float]:
    for top, left in ((0, 0), (0, 48), (48, 0), (48, 48)):
        counts = np.zeros((8, 9))
        for red, green, blue in image[top : top + 48, left : left + 48].reshape(-1, 3).tolist():
            hue, saturation, value = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
            third = [min(int(3 * part + 1e-9), 2) for part in (value, saturation)]
            counts[min(int(8 * hue + 1e-9), 7), 3 * third[0] + third[1]] += 1
        yield from np.sqrt(counts / 48**2).ravel()


def test_gradients_are_what_the_definition_gives(session: InferenceSession) -> None:
    for image, found in zip(pictures(), vectors(session, pictures())[:, :1764], strict=True):
        np.testing.assert_allclose(found, gradients(image), atol=1e-5)


def test_colours_are_what_the_definition_gives(session: InferenceSession) -> None:
    for image, found in zip(pictures(), vectors(session, pictures())[:, 1764:], strict=True):
        np.testing.assert_allclose(found, list(colours(image)), atol=1e-6)


@pytest.mark.parametrize(("turned", "orientation"), [(False, 0), (True, 4)])
def test_an_edge_has_the_orientation_of_its_gradient(
    session: InferenceSession, turned: bool, orientation: int
) -> None:
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[:, 54:] = 200
    image = image.transpose(1, 0, 2) if turned else image
    blocks = vectors(session, image[np.newaxis].copy())[0, :1764].reshape(4, 9, 7, 7)
    assert blocks.sum(axis=(0, 2, 3)).argmax() == orientation


def test_a_plain_image_has_no_gradients(session: InferenceSession) -> None:
    assert not vectors(session, pictures()[2:3])[0, :1764].any()


def test_vectors_do_not_depend_on_other_images(session: InferenceSession) -> None:
    together = vectors(session, pictures())
    alone = np.concatenate([vectors(session, picture[None]) for picture in pictures()])
    np.testing.assert_array_equal(together, alone)


def test_the_file_is_the_same_each_time() -> None:
    assert hog().SerializeToString(deterministic=True) == hog().SerializeToString(
        deterministic=True
    )
