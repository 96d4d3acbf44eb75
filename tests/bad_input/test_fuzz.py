"""Whatever bytes a user hands in, nothing but a `BluelightError` is raised.

    BLUELIGHT_FUZZ=100000 python -m pytest tests/bad_input/test_fuzz.py

searches that many examples for each test, instead of the fixed few of every run.
"""

# ruff: noqa: PT017, SIM105 - of any input, what is raised is what is tested

import io
import json
import os
import re
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import composite
from PIL import Image
from ruamel.yaml import YAML

from pipeline.common.errors import BluelightError, ImageError, message_of, printable
from pipeline.common.files import is_formula, open_output, read_csv
from pipeline.common.images import FORMATS, MINIMUM_SIDE, decode
from pipeline.common.params import load_params
from pipeline.fetch.archives import unpack
from pipeline.fetch.layouts import find_images
from pipeline.predict.inputs import gather
from tests.bad_input.cases import IMAGES, WHOLE, tarred, zipped
from tests.helpers.imports import ROOT
from tests.helpers.pictures import fetch_params, picture

LONGER = int(os.environ.get("BLUELIGHT_FUZZ", "0"))


def budget(examples: int) -> settings:
    """The same few examples in every run, or as many new ones as asked for."""
    quiet = list(HealthCheck)
    return settings(
        max_examples=LONGER or examples,
        derandomize=not LONGER,
        deadline=None,
        database=None,
        suppress_health_check=quiet,
    )


@composite
def damaged(draw: st.DrawFn, wholes: st.SearchStrategy[bytes]) -> bytes:
    """Bytes of a file, some of which are changed, doubled or cut out."""
    data = bytearray(draw(wholes))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        change = draw(st.sampled_from(["set", "cut", "repeat", "insert"]))
        if change == "set" and at < len(data):
            data[at] = draw(st.sampled_from([0, 1, 127, 128, 255]) | st.integers(0, 255))
        elif change == "cut":
            del data[at : at + draw(st.integers(1, 64))]
        elif change == "repeat":
            data[at:at] = data[at : at + draw(st.integers(1, 64))]
        else:
            data[at:at] = draw(st.binary(max_size=8))
    return bytes(data)


def other_modes() -> list[bytes]:
    """Files of each format in every mode that it has."""
    found = []
    for mode in ("1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"):
        image = Image.fromarray(picture(2)[:16, :16])
        if mode == "I;16":
            image = Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16) * 200)
        elif mode in {"LA", "LAB", "I", "F"}:
            image = Image.new(mode, (16, 16))
        else:
            image = image.convert(mode)
        for form in FORMATS:
            buffer = io.BytesIO()
            try:
                image.save(buffer, form)
            except (OSError, ValueError, KeyError):
                continue  # the format does not have this mode
            found.append(buffer.getvalue())
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        buffer = io.BytesIO()
        Image.fromarray(picture(2)).save(buffer, "TIFF", compression=compression)
        found.append(buffer.getvalue())
    return found


PICTURES = st.sampled_from([*WHOLE.values(), *IMAGES.values(), *other_modes()])


@seed(1)
@budget(1000)
@given(data=damaged(PICTURES))
def test_decoding(data: bytes) -> None:
    try:
        pixels = decode(data, "a.png")
    except ImageError as error:
        assert str(error).startswith("a.png ")
        assert "\n" not in str(error)
    else:
        assert pixels.dtype == np.uint8
        assert pixels.shape[2:] == (3,)
        assert min(pixels.shape[:2]) >= MINIMUM_SIDE


def test_decoders_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    draw = np.random.default_rng(1)
    for data in [data for data in other_modes() if data[:2] in {b"II", b"MM"}]:
        for _ in range(5):
            changed = np.frombuffer(data, np.uint8).copy()
            changed[draw.integers(len(data), size=4)] = draw.integers(256, size=4)
            try:
                decode(changed.tobytes(), "a.tif")
            except ImageError:
                continue
    assert capfd.readouterr() == ("", "")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.dates()
    | st.just(10**400)
    | st.sampled_from(["relu", "val_loss", "min", "cost", "train.dropout", "a"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
TREE: dict[str, Any] = YAML(typ="safe").load(ROOT / "params.yaml")
KEYS = [(section, key) for section, content in TREE.items() for key in content]


@seed(1)
@budget(200)
@given(at=st.sampled_from(KEYS), key=st.none() | st.text(max_size=12), value=VALUES)
def test_values_of_params(at: tuple[str, str], key: str | None, value: object) -> None:
    section, name = at
    content = dict(TREE[section])
    if key is None:
        content[name] = value
    else:
        content[key] = content.pop(name)
    buffer = io.StringIO()
    YAML(typ="safe").dump({section: content}, buffer)
    lines = [f"{other}: {json.dumps(TREE[other])}" for other in TREE if other != section]
    check_params("\n".join([*lines, buffer.getvalue()]).encode(errors="surrogatepass"))


@seed(1)
@budget(150)
@given(data=damaged(st.just((ROOT / "params.yaml").read_bytes())))
def test_bytes_of_params(data: bytes) -> None:
    check_params(data)


@seed(1)
@budget(150)
@given(data=st.binary(max_size=60) | st.text("[]{}&*!|>-:,'\"#% a1\n", max_size=60).map(str.encode))
def test_yaml(data: bytes) -> None:
    check_params(data)


def check_params(data: bytes) -> None:
    """Valid, or a `BluelightError` of lines that a terminal can show."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "params.yaml")
        path.write_bytes(data)
        try:
            load_params(path)
        except BluelightError as error:
            assert all(len(line) < 3000 for line in str(error).splitlines())


@seed(1)
@budget(150)
@given(data=damaged(st.sampled_from([zipped(), tarred()])))
def test_archives(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "archive")
        path.write_bytes(data)
        try:
            unpack(path, Path(folder, "out"))
        except BluelightError:
            pass
        assert {found.name for found in Path(folder).iterdir()} <= {"archive", "out"}


NAMES = st.text(min_size=1, max_size=12).filter(lambda name: not {"/", "\0"} & set(name))


@seed(1)
@budget(80)
@given(names=st.lists(st.sampled_from(["..", "/", "a", "C:", "\\", "~", "\n"]) | NAMES, max_size=4))
def test_members_stay_in_the_folder(names: list[str]) -> None:
    name = "/".join(names) or "a"
    zip_file, tar_file = io.BytesIO(), io.BytesIO()
    try:
        with zipfile.ZipFile(zip_file, "w") as archive:
            archive.writestr(name, b"x")
        with tarfile.open(fileobj=tar_file, mode="w") as tar:
            tar.addfile(tarfile.TarInfo(name))
    except UnicodeEncodeError:
        return
    for data in (zip_file.getvalue(), tar_file.getvalue()):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "inner").mkdir()
            path = Path(folder, "archive")
            path.write_bytes(data)
            try:
                unpack(path, Path(folder, "inner", "out"))
            except BluelightError:
                pass
            assert {found.name for found in Path(folder).iterdir()} == {"archive", "inner"}
            assert {found.name for found in Path(folder, "inner").iterdir()} == {"out"}


TABLE = b'image_names,emergency_or_not,split\na.png,0,train\n"b.png",1,test\n'


@seed(1)
@budget(300)
@given(data=damaged(st.just(TABLE)))
def test_tables(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train.csv")
        path.write_bytes(data)
        for name in ("a.png", "b.png"):
            Path(folder, name).touch()
        for read in (
            lambda: read_csv(path, "train.csv"),
            lambda: find_images(Path(folder), fetch_params(folder)),
            lambda: gather([str(path)]),
        ):
            try:
                read()
            except BluelightError as error:
                assert message_of(error) is not None


@seed(1)
@budget(200)
@given(text=st.text(st.characters(blacklist_characters="\0"), max_size=20))
def test_any_input_of_predict_is_found_or_refused(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            inputs = gather([f"{folder}/{text}"])
        except (BluelightError, UnicodeEncodeError) as error:
            assert message_of(error) is not None
        else:
            assert inputs == []


@given(st.text())
@budget(200)
def test_printed_text_has_no_control_characters(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)


@given(st.text(max_size=20))
@budget(200)
def test_what_begins_with_an_equals_sign_is_a_formula(text: str) -> None:
    assert is_formula(f"={text}")
    assert not is_formula(f"./{text}")
    assert not is_formula(re.sub(r"\W", "", text))


def test_two_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with open_output(path) as first:
        first.write("first")
        temporary = [found.name for found in tmp_path.iterdir()]
        assert temporary == [f".out.csv.{os.getpid()}.partial"]
    assert path.read_text() == "first"
