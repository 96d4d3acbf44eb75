"""Whatever is wrong with a source, one line says what and how to mend it; nothing is written."""

import io
import shutil
import stat
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.common.errors import BluelightError
from pipeline.fetch.stage import fetch
from tests.helpers.pictures import (
    SYNTHETIC,
    contents,
    encode,
    encoded,
    fetch_params,
    picture,
    write,
    write_csv_source,
    write_folders,
    write_table,
)


@dataclass(frozen=True)
class Case:
    """A bad source, and what the message must hold: what is wrong, and a remedy.

    Attributes:
        build: Makes the source in an empty folder and returns it.
        words: Parts of the message.
        params: Changes to the params of fetch.
    """

    build: Callable[[Path], Path | str]
    words: tuple[str, ...]
    params: dict[str, object] = field(default_factory=dict)


# ---- builders


def folders(root: Path) -> Path:
    return write_folders(root / "source", {"dog": 3, "cat": 3})


def with_file(name: str, data: bytes) -> Callable[[Path], Path]:
    """A good source of folders with one more file."""

    def build(root: Path) -> Path:
        write(folders(root) / name, data)
        return root / "source"

    return build


def with_rows(*rows: tuple[str, str]) -> Callable[[Path], Path]:
    """A good table and its images with more rows at its end."""

    def build(root: Path) -> Path:
        source = write_csv_source(root / "source")
        return write_table(source, [(f"{i}.png", str(i % 2)) for i in range(8)] + list(rows))

    return build


def with_table(data: bytes) -> Callable[[Path], Path]:
    """Images with a table of these bytes."""

    def build(root: Path) -> Path:
        source = write_csv_source(root / "source")
        write(source / "train.csv", data)
        return source

    return build


def with_second(place: str, data: bytes) -> Callable[[Path], Path]:
    """A good table and its images with one more file."""

    def build(root: Path) -> Path:
        source = write_csv_source(root / "source")
        write(source / place, data)
        return source

    return build


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Callable[..., Path]:
    """A zip of good folders and these members."""

    def build(root: Path) -> Path:
        source = folders(root)
        archive = root / "a.zip"
        with zipfile.ZipFile(archive, "w", method) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a name that is there twice
            for name, data in [*contents(source).items(), *members]:
                file.writestr(name, data)
        shutil.rmtree(source)
        return archive

    return build


def zip_with_link(root: Path) -> Path:
    archive = zipped()(root)
    link = zipfile.ZipInfo("cat/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(link, "/etc/passwd")
    return archive


def patched(build: Callable[[Path], Path], change: Callable[[bytes], bytes]) -> Callable[..., Path]:
    """An archive whose bytes are changed."""

    def patch(root: Path) -> Path:
        archive = build(root)
        archive.write_bytes(change(archive.read_bytes()))
        return archive

    return patch


def first_half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def middle_flipped(data: bytes) -> bytes:
    start, end = len(data) // 2, len(data) // 2 + 64
    return data[:start] + bytes(255 - byte for byte in data[start:end]) + data[end:]


def flags_set(data: bytes) -> bytes:
    """Mark every member of a zip as encrypted, in both of its headers."""
    changed = bytearray(data)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(signature)
        while at >= 0:
            changed[at + offset] |= 1
            at = data.find(signature, at + 1)
    return bytes(changed)


def method_changed(data: bytes) -> bytes:
    """Claim a compression that is not deflate, in both headers of every member of a zip."""
    changed = bytearray(data)
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = data.find(signature)
        while at >= 0:
            changed[at + offset] = 9
            at = data.find(signature, at + 1)
    return bytes(changed)


def tarred(
    *members: tarfile.TarInfo, mode: str = "w", suffix: str = ".tar", size: int = 0
) -> Callable[[Path], Path]:
    """A tar of good folders and these members, each of `size` zeros."""

    def build(root: Path) -> Path:
        source = folders(root)
        archive = root / f"a{suffix}"
        with tarfile.open(archive, mode) as file:  # type: ignore[call-overload]
            file.add(source, "source")
            for member in members:
                member.size = size
                file.addfile(member, io.BytesIO(bytes(size)))
        shutil.rmtree(source)
        return archive

    return build


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size, and holds nothing."""
    header = struct.pack(">4sIIBBBBB", b"IHDR", width, height, 8, 2, 0, 0, 0)
    data = encode(picture(1))
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


def frames(form: str) -> bytes:
    buffer = io.BytesIO()
    first, *rest = (Image.fromarray(picture(seed)) for seed in range(3))
    first.save(buffer, form, save_all=True, append_images=rest)
    return buffer.getvalue()


def tiff(values: np.ndarray[tuple[int, int], np.dtype[np.generic]]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "TIFF")
    return buffer.getvalue()


def broken_link(root: Path) -> Path:
    source = folders(root)
    (source / "cat/gone.png").symlink_to(root / "nowhere.png")
    return source


def two_bad_images(root: Path) -> Path:
    source = folders(root)
    for index in range(5):
        write(source / f"dog/bad{index}.jpg", b"")
    return source


def around_destination(root: Path) -> Path:
    folders(root)
    return root


def folder_without_files(root: Path) -> Path:
    (root / "source/empty").mkdir(parents=True)
    return root / "source"


def two_of_a_name(root: Path) -> Path:
    source = with_rows(("twin.png", "1"))(root)
    write(source / "a/twin.png", PNG)
    write(source / "b/twin.png", PNG)
    return source


def only_table(root: Path) -> Path:
    return write_table(root / "source", [])


def short_class(root: Path) -> Path:
    return write_folders(root / "source", {"dog": 3, "cat": 2})


JPEG = encode(picture(1, 96), "JPEG")
PNG = encoded(1)
HEAD = b"image_names,emergency_or_not\n"

SOURCES = {
    "missing": Case(lambda root: root / "nothing", ("nothing", "not found", "folder")),
    "missing archive": Case(lambda root: root / "no.zip", ("no.zip", "not found", "check")),
    "another web address": Case(lambda _: "ftp://example.org/a.zip", ("not supported", "archive")),
    "Kaggle without a dataset": Case(
        lambda _: "kaggle:owner", ("kaggle:owner", "kaggle:owner/dataset")
    ),
    "another kind of archive": Case(
        lambda root: write(root / "a.rar", b"Rar!"), ("a.rar", "not supported", ".zip")
    ),
    "one image": Case(lambda root: write(root / "a.png", PNG), ("a.png", "not supported")),
    "no files": Case(folder_without_files, ("holds no files", "set fetch.source")),
    "unwatchable": Case(with_file(".dvcignore", b""), (".dvcignore", "within it", "git+file://")),
    "around the output": Case(around_destination, ("contains", "raw", "move")),
}

ARCHIVES = {
    "zip of nothing": Case(lambda root: write(root / "a.zip", b""), ("a.zip", "corrupt", "again")),
    "zip of garbage": Case(lambda root: write(root / "a.zip", b"x" * 999), ("a.zip", "corrupt")),
    "zip that is a tar": Case(
        lambda root: shutil.move(tarred()(root), root / "b.zip"), ("b.zip", "corrupt")
    ),
    "truncated zip": Case(patched(zipped(), first_half), ("a.zip", "corrupt", "again")),
    "damaged zip": Case(patched(zipped(), middle_flipped), ("a.zip", "corrupt", "again")),
    "encrypted zip": Case(patched(zipped(), flags_set), ("encrypted", "password")),
    "zip with odd compression": Case(patched(zipped(), method_changed), ("unpack it yourself",)),
    "zip with an absolute path": Case(zipped(("/etc/x.png", PNG)), ("/etc/x.png", "leads out")),
    "zip with a way up": Case(zipped(("../../x.png", PNG)), ("../../x.png", "remove it")),
    "zip with a Windows way up": Case(zipped(("..\\x.png", PNG)), ("x.png", "leads out")),
    "zip with a drive": Case(zipped(("C:\\x.png", PNG)), ("x.png", "leads out")),
    "zip with a link": Case(zip_with_link, ("cat/link.png", "is a link", "remove it")),
    "zip with a name twice": Case(zipped(("cat/0.png", PNG)), ("cat/0.png", "twice", "keep one")),
    "zip with a file that is a folder": Case(
        zipped(("cat/0.png/1.png", PNG)), ("a.zip", "cannot be unpacked")
    ),
    "zip bomb": Case(zipped(("cat/b.png", bytes(70 * 2**20))), ("bomb", "if you trust it")),
    "tar of garbage": Case(lambda root: write(root / "a.tar", b"x" * 999), ("corrupt", "again")),
    "truncated tar": Case(patched(tarred(), first_half), ("a.tar", "corrupt", "again")),
    "tar cut between members": Case(
        patched(tarred(), lambda data: data[: data.rindex(b"source/cat/0.png")]), ("corrupt",)
    ),
    "tgz with a wrong checksum": Case(
        patched(tarred(mode="w:gz", suffix=".tgz"), lambda data: data[:-8] + bytes(8)),
        ("a.tgz", "again"),
    ),
    "truncated tgz": Case(
        patched(tarred(mode="w:gz", suffix=".tgz"), first_half), ("a.tgz", "corrupt", "again")
    ),
    "damaged tgz": Case(
        patched(tarred(mode="w:gz", suffix=".tgz"), middle_flipped), ("a.tgz", "corrupt")
    ),
    "damaged xz": Case(
        patched(tarred(mode="w:xz", suffix=".tar.xz"), middle_flipped), ("a.tar.xz", "corrupt")
    ),
    "tar with an absolute path": Case(tarred(member("/x.png")), ("/x.png", "leads out")),
    "tar with a way up": Case(tarred(member("a/../../x.png")), ("x.png", "leads out")),
    "tar with a link out": Case(
        tarred(member("cat/l.png", tarfile.SYMTYPE, "/etc/passwd")), ("cat/l.png", "remove it")
    ),
    "tar with a hard link": Case(
        tarred(member("cat/l.png", tarfile.LNKTYPE, "../x")), ("cat/l.png", "is a link")
    ),
    "tar with a device": Case(tarred(member("cat/d.png", tarfile.CHRTYPE)), ("device",)),
    "tar with a pipe": Case(tarred(member("cat/f.png", tarfile.FIFOTYPE)), ("cat/f.png",)),
    "tar bomb": Case(
        tarred(member("cat/b.png"), mode="w:gz", suffix=".tar.gz", size=70 * 2**20),
        ("bomb", "unpack it yourself"),
    ),
}

IMAGES = {
    "empty image": Case(with_file("cat/x.png", b""), ("cat/x.png", "0 bytes", "replace")),
    "text as image": Case(with_file("cat/x.jpg", b"hello" * 9), ("cat/x.jpg", "not an image")),
    "web page as image": Case(with_file("cat/x.jpg", b"<html>404</html>"), ("not an image",)),
    "vector drawing": Case(with_file("cat/x.svg", b"<svg/>"), ("cat/x.svg", "not an image")),
    "note beside images": Case(with_file("cat/notes.txt", b"hi"), ("cat/notes.txt", "remove")),
    "truncated JPEG": Case(with_file("cat/x.jpg", first_half(JPEG)), ("cat/x.jpg", "truncated")),
    "truncated PNG": Case(with_file("cat/x.png", first_half(PNG)), ("cat/x.png", "truncated")),
    "JPEG header alone": Case(with_file("cat/x.jpg", JPEG[:24]), ("cat/x.jpg", "replace")),
    "damaged PNG": Case(with_file("cat/x.png", middle_flipped(PNG)), ("cat/x.png", "damaged")),
    "animated GIF": Case(with_file("cat/x.gif", frames("GIF")), ("cat/x.gif", "animation")),
    "animated PNG": Case(with_file("cat/x.png", frames("PNG")), ("cat/x.png", "animation")),
    "animated WebP": Case(with_file("cat/x.webp", frames("WEBP")), ("cat/x.webp", "animation")),
    "TIFF of several pages": Case(with_file("cat/x.tif", frames("TIFF")), ("several pages",)),
    "too small": Case(
        with_file("cat/x.png", encode(picture(1)[:7])), ("cat/x.png", "48x7", "at least 8")
    ),
    "decompression bomb": Case(
        with_file("cat/x.png", png_header(10_000, 9_000)), ("cat/x.png", "80 megapixels", "reduce")
    ),
    "larger bomb": Case(
        with_file("cat/x.png", png_header(60_000, 60_000)), ("cat/x.png", "80 megapixels")
    ),
    "floating-point pixels": Case(
        with_file("cat/x.tif", tiff(np.zeros((9, 9), np.float32))), ("floating-point", "8 bits")
    ),
    "32-bit pixels": Case(
        with_file("cat/x.tif", tiff(np.full((9, 9), 2**20, np.int32))), ("32-bit", "8 bits")
    ),
    "broken link": Case(broken_link, ("cat/gone.png", "cannot be read")),
    "several": Case(two_bad_images, ("5 images", "dog/bad0.jpg", "and 2 more", "remove them")),
}

TABLES = {
    "missing columns": Case(
        with_table(b"file,kind\n0.png,1\n"),
        ("file, kind", "fetch.image_column"),
        {"layout": "csv"},
    ),
    "missing columns, layout auto": Case(
        with_table(b"file,kind\n0.png,1\n"), ("train.csv has file, kind", "fetch.label_column")
    ),
    "semicolons": Case(
        with_table(b"image_names;emergency_or_not\n0.png;1\n"), ("image_names;emergency_or_not",)
    ),
    "no table": Case(folders, ("no CSV file",), {"layout": "csv"}),
    "empty table": Case(with_table(b""), ("train.csv has none",), {"layout": "csv"}),
    "header alone": Case(only_table, ("train.csv", "names no image")),
    "missing images": Case(
        with_rows(*((f"no{i}.png", "1") for i in range(5))),
        ("5 of 13", "no0.png, no1.png, no2.png, ...", "remove their rows"),
    ),
    "contradicting rows": Case(
        with_rows(("3.png", "0")), ("line 10", "3.png", "'0'", "'1'", "keep one")
    ),
    "empty label": Case(with_rows(("x.png", " ")), ("line 10", "emergency_or_not is empty")),
    "empty name": Case(with_rows(("", "1")), ("line 10", "image_names is empty", "remove the row")),
    "short row": Case(with_table(HEAD + b"0.png\n"), ("line 2", "is empty", "fill it in")),
    "Latin-1": Case(with_table(HEAD + b"caf\xe9.png,1\n"), ("not UTF-8", "save it as UTF-8")),
    "UTF-16": Case(with_table(HEAD.decode().encode("utf-16")), ("not UTF-8", "byte 0")),
    "open quote": Case(with_table(HEAD + b'"0.png,1\n'), ("train.csv", "not a CSV")),
    "image as table": Case(with_table(PNG), ("train.csv", "not UTF-8")),
    "way up": Case(with_rows(("../x.png", "1")), ("line 10", "'../x.png'", "leads out")),
    "Windows way up": Case(with_rows(("a\\..\\..\\x.png", "1")), ("line 10", "leads out")),
    "absolute name": Case(with_rows(("/etc/passwd", "1")), ("/etc/passwd", "relative")),
    "drive": Case(with_rows(("C:/x.png", "1")), ("C:/x.png", "relative")),
    "web address as name": Case(with_rows(("https://a/x.png", "1")), ("leads out",)),
    "two tables": Case(
        with_second("b/valid.csv", HEAD), ("b/valid.csv, train.csv", "set fetch.table")
    ),
    "two images of a name": Case(two_of_a_name, ("twin.png", "could be any of", "a/twin.png")),
    "one class": Case(
        with_table(HEAD + b"0.png,1\n1.png,1\n2.png,1\n"), ("one class emergency", "two or more")
    ),
    "class too small": Case(
        with_table(HEAD + b"0.png,1\n1.png,1\n2.png,1\n3.png,0\n4.png,0\n"),
        ("2 of class 'other'", "3 are needed", "add images"),
    ),
}

FOLDERS = {
    "one folder": Case(lambda root: write_folders(root / "s", {"dog": 3}), ("class in a folder",)),
    "no folders": Case(lambda root: write_folders(root / "s", {".": 3}), ("folder of its own",)),
    "images beside folders": Case(with_file("stray.png", PNG), ("stray.png", "move them")),
    "folder too small": Case(short_class, ("2 of class 'cat'", "remove the class")),
    "published splits": Case(
        lambda root: write_folders(root / "s", {"train/cat": 3, "test/cat": 3}),
        ("neither a table", "two or more folders"),
    ),
}

CASES = {**SOURCES, **ARCHIVES, **IMAGES, **TABLES, **FOLDERS}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_bad_input(tmp_path: Path, case: Case) -> None:
    source = case.build(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(BluelightError) as caught:
        fetch(fetch_params(source, **case.params), SYNTHETIC, tmp_path / "raw")
    message = str(caught.value)
    assert [word for word in case.words if word not in message] == [], message
    assert "\n" not in message
    assert contents(tmp_path) == before
    assert not (tmp_path / "raw").exists()
    assert not (tmp_path / ".raw.partial").exists()


def test_an_earlier_result_survives_a_failure(tmp_path: Path) -> None:
    source = folders(tmp_path)
    fetch(fetch_params(source), SYNTHETIC, tmp_path / "raw")
    before = contents(tmp_path / "raw")
    write(source / "cat/x.png", b"")
    with pytest.raises(BluelightError):
        fetch(fetch_params(source), SYNTHETIC, tmp_path / "raw")
    assert contents(tmp_path / "raw") == before
