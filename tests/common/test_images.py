"""Every kind of image file becomes the right upright RGB pixels."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.common.errors import ImageError
from pipeline.common.images import FORMATS, Pixels, decode, resize
from tests.helpers.pictures import encode, picture


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def close(one: Pixels, other: Pixels, tolerance: float) -> bool:
    return bool(np.abs(one.astype(float) - other).mean() <= tolerance)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format(form: str) -> None:
    pixels = resize(picture(1, 12), 48)
    decoded = decode(encode(pixels, form), "a")
    assert decoded.dtype == np.uint8
    assert close(decoded, pixels, 12 if form in {"JPEG", "WEBP", "GIF"} else 0)


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "JPEG"])
def test_each_format_is_recognised_when_it_is_the_first_one_read(form: str) -> None:
    # Pillow registers formats as it meets them; in a fresh worker the first file may be any.
    code = (
        "import sys; from pipeline.common.images import decode; "
        "decode(sys.stdin.buffer.read(), 'a')"
    )
    root = Path(__file__).parents[2]
    data = encode(picture(1), form)
    done = subprocess.run([sys.executable, "-c", code], input=data, cwd=root, check=False)
    assert done.returncode == 0


def test_grey_becomes_three_equal_channels() -> None:
    decoded = decode(saved(Image.fromarray(picture(1)).convert("L"), "PNG"), "a")
    assert decoded.shape == (48, 48, 3)
    assert np.array_equal(decoded[..., 0], decoded[..., 2])


def test_one_bit() -> None:
    decoded = decode(saved(Image.fromarray(picture(1)).convert("1"), "PNG"), "a")
    assert set(np.unique(decoded)) == {0, 255}


def test_palette() -> None:
    image = Image.fromarray(picture(1)).quantize(16)
    decoded = decode(saved(image, "PNG"), "a")
    assert np.array_equal(decoded, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_laid_over_white(mode: str) -> None:
    image = Image.new(mode, (8, 8), (0,) * (len(mode) - 1) + (64,))
    expected = round(255 * (1 - 64 / 255))
    assert np.abs(decode(saved(image, "PNG"), "a").astype(int) - expected).max() <= 1


def test_transparent_palette_entry_is_white() -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 200, 10, 10])
    assert decode(saved(image, "PNG", transparency=1), "a").min() == 255
    assert decode(saved(image, "GIF", transparency=1), "a").min() == 255


def test_cmyk() -> None:
    pixels = resize(picture(1, 8), 48)
    image = Image.fromarray(pixels).convert("CMYK")
    assert close(decode(saved(image, "JPEG", quality=95), "a"), pixels, 6)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_keep_the_upper_eight(form: str) -> None:
    values = (np.arange(64 * 64, dtype=np.uint16) * 16).reshape(64, 64)
    decoded = decode(saved(Image.fromarray(values), form), "a")
    assert np.array_equal(decoded[..., 1], (values >> 8).astype(np.uint8))


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (6, lambda a: np.rot90(a, 1)),
        (8, lambda a: np.rot90(a, -1)),
    ],
)
def test_exif_orientation(orientation: int, turn: object) -> None:
    upright = resize(picture(1, 4), 64)[:40]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(np.ascontiguousarray(turn(upright)), "JPEG", quality=95, exif=exif)  # type: ignore[operator]
    assert close(decode(data, "a"), upright, 3)


def test_malformed_exif_does_no_harm() -> None:
    data = encode(picture(1), "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff\x01")
    assert decode(data, "a").shape == (48, 48, 3)


def test_a_telephones_jpeg_with_previews_is_its_first_picture() -> None:
    first, second = (Image.fromarray(picture(seed)) for seed in (1, 2))
    data = saved(first, "MPO", save_all=True, append_images=[second])
    assert close(decode(data, "a"), picture(1), 12)


def test_the_message_names_the_file() -> None:
    with pytest.raises(ImageError, match=r"^cats/7\.png is empty"):
        decode(b"", "cats/7.png")


def test_shrinking_averages_areas() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    blocks = noise.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    assert np.abs(resize(noise, 16) - blocks).max() <= 0.51


def test_a_side_that_shrinks_is_averaged_even_if_the_other_grows() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), 64)[None].repeat(8, axis=0)
    resized = resize(stripes, 16)
    assert resized.shape == (16, 16)
    assert np.abs(resized.astype(int) - 127.5).max() <= 1


def test_enlarging_is_smooth() -> None:
    edge = np.zeros((8, 8), np.uint8)
    edge[:, 4:] = 200
    assert len(np.unique(resize(edge, 64))) > 8


def test_resizing_to_the_same_size_changes_nothing() -> None:
    assert np.array_equal(resize(picture(1), 48), picture(1))
