"""The corpus: bad inputs by name, each with how to make it and the command that meets it."""

# mypy: disable-error-code="func-returns-value"

import bz2
import gzip
import io
import json
import lzma
import os
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from tests.helpers.pictures import encode, encoded, picture, write, write_csv_source, write_folders

Build = Callable[[], object]  # makes the input in the current folder, an empty one


@dataclass(frozen=True)
class Case:
    """A bad input and the command that meets it.

    Attributes:
        command: Arguments of `bluelight`, or `fetch` for the stage.
        build: Makes the input in the current folder.
        params: Raw YAML of parameters by dotted key, for `params.yaml`.
        skipped: Whether the input is skipped and counted, rather than the command refused.
        stdout: What standard output is; empty for a file.
        encoding: Of standard output.
        drop: Whether to run without root's right to read everything.
        several: Whether the message may have a line for each of several faults.
    """

    command: tuple[str, ...]
    build: Build = lambda: None
    params: dict[str, str] = field(default_factory=dict)
    skipped: bool = False
    stdout: str = ""
    encoding: str = "utf-8"
    drop: bool = False
    several: bool = False


CASES: dict[str, Case] = {}


def add(name: str, case: Case) -> None:
    assert name not in CASES, name
    CASES[name] = case


def predict(*arguments: str, **options: object) -> Case:
    return Case(("predict", *arguments, "--model", "model"), **options)  # type: ignore[arg-type]


def fetch(build: Build, **params: str) -> Case:
    keys = {f"fetch.{key}": value for key, value in params.items()}
    return Case(("fetch",), build, {"fetch.source": "source"} | keys)


# ---- images: predict skips and counts them, fetch refuses the set


def animated(form: str) -> bytes:
    buffer = io.BytesIO()
    first, *rest = (Image.fromarray(picture(seed)) for seed in range(3))
    first.save(buffer, form, save_all=True, append_images=rest)
    return buffer.getvalue()


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG that claims a size, and holds nothing."""
    data = encode(picture(1))
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return data[:8] + chunk(b"IHDR", head) + data[33:]


GREY = np.arange(48 * 48, dtype=np.float32).reshape(48, 48)
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
WHOLE = {form: encode(picture(1), form) for form in FORMATS}
IMAGES: dict[str, bytes] = {
    "empty": b"",
    "one byte": b"\xff",
    "zeros": bytes(5000),
    "text": b"no image\n" * 50,
    "html": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "pdf": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\nshowpage\n",
    "pointer of git lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500),
    "zip": b"PK\x03\x04" + bytes(100),
    "jpeg signature only": b"\xff\xd8\xff",
    "jpeg without pixels": b"\xff\xd8\xff\xd9",
    "png signature only": WHOLE["PNG"][:8],
    "png claims 60000 x 60000": png_of(60_000, 60_000),
    "png claims 2^31 x 2^31": png_of(2**31 - 1, 2**31 - 1),
    "png claims 0 x 0": png_of(0, 0),
    "png of unknown colours": png_of(48, 48, 8, 9),
    "png of a bad depth": png_of(48, 48, 7, 2),
    "png with a bad checksum": WHOLE["PNG"][:40] + b"\0" + WHOLE["PNG"][41:],
    "png with a text bomb": WHOLE["PNG"][:33]
    + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8), 9))
    + WHOLE["PNG"][33:1000],
    "1 x 1": encode(picture(1)[:1, :1]),
    "7 x 48": encode(np.ascontiguousarray(picture(1)[:7])),
    "48 x 7": encode(np.ascontiguousarray(picture(1)[:, :7])),
    "81 megapixels": saved(Image.new("1", (9000, 9000)), "PNG"),
    "animated gif": animated("GIF"),
    "animated webp": animated("WEBP"),
    "animated png": animated("PNG"),
    "tiff of three pages": animated("TIFF"),
    "floating point": saved(Image.fromarray(GREY), "TIFF"),
    "not a number": saved(Image.fromarray(np.full((48, 48), np.nan, np.float32)), "TIFF"),
    "32 bits": saved(Image.fromarray((GREY * 9999).astype(np.int32)), "TIFF"),
    "negative": saved(Image.fromarray((GREY - 9999).astype(np.int32)), "TIFF"),
    "ppm of words": b"P3\n48 48\n255\nred green blue\n",
    "ppm of a huge maximum": b"P6\n48 48\n99999999999\n" + bytes(6912),
    "ppm of a huge size": b"P6\n99999999 99999999\n255\n",
    "ppm with a comment that never ends": b"P6\n#" + b"x" * 10**6,
    "ppm without a size": b"P6\n",
    "bmp claims a negative width": WHOLE["BMP"][:18] + b"\xff" * 4 + WHOLE["BMP"][22:],
    "bmp of 99 bits": WHOLE["BMP"][:28] + b"\x63" + WHOLE["BMP"][29:],
    "gif without a picture": b"GIF89a\x30\x00\x30\x00\x00\x00\x00;",
    "tiff directory points at itself": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
    "tiff directory beyond the end": b"II*\0\xff\xff\xff\x7f",
    "webp of a wrong length": WHOLE["WEBP"][:4] + b"\xff" * 4 + WHOLE["WEBP"][8:60],
    "noise": np.random.default_rng(1).bytes(4000),
}
for form in FORMATS:
    for share in (0.05, 0.3, 0.6):
        IMAGES[f"{form} cut at {share:.0%}"] = WHOLE[form][: int(len(WHOLE[form]) * share)]
    IMAGES[f"{form} header, then noise"] = WHOLE[form][:24] + IMAGES["noise"]


def image_in_source(data: bytes) -> Build:
    return lambda: (write_folders(Path("source"), {"dog": 3, "cat": 3}), write(BAD, data))


BAD = Path("source/cat/bad.png")
for name, data in IMAGES.items():
    one = predict("bad.png", "--output", "out.csv", skipped=True)
    add(
        f"predict: {name}",
        Case(one.command, partial(write, Path("bad.png"), data), {}, True),
    )
    add(f"fetch: {name}", fetch(image_in_source(data)))


# ---- what is in place of a file


def looping() -> None:
    Path("a.png").symlink_to("b.png")
    Path("b.png").symlink_to("a.png")


def folder_of_photos(*extra: Callable[[Path], object]) -> Build:
    def build() -> None:
        folder = write_folders(Path("source"), {"dog": 3, "cat": 3})
        for make in extra:
            make(folder)

    return build


def unreadable(path: str) -> Callable[[Path], object]:
    return lambda folder: (folder / path).chmod(0)


def within_a_class(make: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: make(folder / "cat")


FILES: dict[str, Callable[[Path], object]] = {
    "fifo": lambda at: os.mkfifo(at / "bad.png"),
    "/dev/zero": lambda at: (at / "bad.png").symlink_to("/dev/zero"),
    "link to a link to /dev/zero": lambda at: (
        (at / "x").symlink_to("/dev/zero"),
        (at / "bad.png").symlink_to("x"),
    ),
    "/dev/null": lambda at: (at / "bad.png").symlink_to("/dev/null"),
    "dangling link": lambda at: (at / "bad.png").symlink_to("nowhere"),
    "link to itself": lambda at: (at / "bad.png").symlink_to("bad.png"),
    "socket": lambda at: os.mknod(at / "bad.png", 0o140644),
}
for name, make in FILES.items():
    add(f"predict: {name}", predict("bad.png", build=partial(make, Path()), skipped=True))
    in_source = folder_of_photos(within_a_class(make))
    add(f"fetch: {name}", fetch(in_source))
    table = {"fifo": "train.csv", "/dev/zero": "train.csv", "dangling link": "train.csv"}
    if name in table:

        def as_table(make: Callable[[Path], object] = make) -> None:
            write_csv_source(Path("source"))
            Path("source/train.csv").unlink()
            make(Path("source"))
            Path("source/bad.png").rename("source/train.csv")

        def as_params(make: Callable[[Path], object] = make) -> None:
            Path("params.yaml").unlink(missing_ok=True)
            make(Path())
            Path("bad.png").rename("params.yaml")

        def as_input(make: Callable[[Path], object] = make) -> None:
            make(Path())
            Path("bad.png").rename("in.csv")

        add(f"fetch: table is a {name}", fetch(as_table))
        add(f"check: params.yaml is a {name}", Case(("check",), as_params))
        add(f"predict: table is a {name}", predict("in.csv", build=as_input))

add(
    "predict: unreadable file",
    predict(
        "a.png", skipped=True, drop=True, build=lambda: write(Path("a.png"), encoded(1)).chmod(0)
    ),
)
add(
    "predict: unreadable folder",
    predict("source", drop=True, build=folder_of_photos(unreadable("cat"))),
)
add(
    "predict: unreadable folder by a pattern",
    predict("source/**/*.png", drop=True, build=folder_of_photos(unreadable("cat"))),
)
add(
    "fetch: unreadable folder",
    Case(("fetch",), folder_of_photos(unreadable("cat")), {"fetch.source": "source"}, drop=True),
)
add(
    "fetch: unreadable folder, skipping",
    Case(
        ("fetch",),
        folder_of_photos(unreadable("cat")),
        {"fetch.source": "source", "fetch.on_bad_image": "skip"},
        drop=True,
    ),
)
add(
    "fetch: unreadable source",
    Case(("fetch",), folder_of_photos(unreadable(".")), {"fetch.source": "source"}, drop=True),
)
add(
    "fetch: unreadable image",
    Case(
        ("fetch",), folder_of_photos(unreadable("cat/0.png")), {"fetch.source": "source"}, drop=True
    ),
)
add(
    "check: unreadable params.yaml",
    Case(("check",), lambda: Path("params.yaml").chmod(0), drop=True),
)
add(
    "check: params.yaml is a folder",
    Case(("check",), lambda: (Path("params.yaml").unlink(), Path("params.yaml").mkdir())),
)
add("check: no params.yaml", Case(("check",), lambda: Path("params.yaml").unlink()))
add(
    "check: params.yaml is a link to itself",
    Case(
        ("check",),
        lambda: (Path("params.yaml").unlink(), Path("params.yaml").symlink_to("params.yaml")),
    ),
)


# ---- names

NAMES = {
    "newline": b"a\nb.png",
    "carriage return": b"a\rb.png",
    "escape": b"a\x1b[31mb.png",
    "tab": b"a\tb.png",
    "bell": b"\x07.png",
    "not UTF-8": b"caf\xe9.png",
    "formula": b"=cmd|' C'!A0.png",
    "right to left": "a\u202egnp.png".encode(),
}
for name, raw in NAMES.items():

    def named(at: str, raw: bytes = raw, data: bytes = b"") -> None:
        Path(at).mkdir(parents=True, exist_ok=True)
        Path(os.fsdecode(os.path.join(os.fsencode(at), raw))).write_bytes(data)  # noqa: PTH118

    def in_class(named: Callable[..., None] = named) -> None:
        write_folders(Path("source"), {"dog": 3, "cat": 3})
        named("source/cat", data=encoded(9))

    def as_class(raw: bytes = raw) -> None:
        write_folders(Path("source"), {"dog": 3, "cat": 3})
        os.rename(b"source/cat", b"source/" + raw)  # noqa: PTH104

    add(
        f"predict: name with {name}",
        predict("photos", build=lambda n=named: n("photos"), skipped=True),
    )
    if name != "formula":  # below a folder it is none
        add(f"fetch: name with {name}", fetch(in_class))
    add(f"fetch: class with {name}", fetch(as_class))
add("predict: name of 300 letters", predict("x" * 300 + ".png"))
add("predict: path of 5000 letters", predict("x/" * 2500 + ".png"))
add("predict: empty path", predict(""))
add("predict: missing", predict("nowhere.png"))
add("predict: missing with an escape", predict("\x1b[2Jnowhere.png"))
add("predict: pattern without matches", predict("*.png"))
add("predict: bad pattern", predict("[.png"))
add("predict: unknown user", predict("~nouser/a.png"))
add("predict: empty folder", predict("photos", build=lambda: Path("photos").mkdir()))
for name, source in {
    "missing": "nowhere",
    "name of 300 letters": "x" * 300,
    "archive of 300 letters": "x" * 300 + ".zip",
    "path of 5000 letters": "x/" * 2500,
    "unknown user": "~nouser/photos",
    "of an unknown scheme": "ftp://host/photos.zip",
    "device": "/dev/zero",
    "device as an archive": "zero.zip",
    "file": "params.yaml",
    "around data": ".",
    "null character": '"a\\0b"',
    "escape": '"a\\e[31mb"',
    "newline": '"a\\nb"',
    "empty": '""',
    "number": "12",
    "list": "[a, b]",
    "git without a revision": "git+https://host/repository",
    "git without a host": "git+https://",
    "git that is not there": "git+file:///nowhere/at/all@main#a",
    "kaggle without an owner": "kaggle:dataset",
    "torchvision's unknown": "torchvision:nothing",
    "http without a host": "http://",
}.items():
    add(
        f"fetch: source is {name}",
        Case(
            ("fetch",),
            lambda: Path("zero.zip").symlink_to("/dev/zero"),
            {
                "fetch.source": source,
                "fetch.sha256": '"' + "0" * 64 + '"' if "http" in name else '""',
            },
        ),
    )


# ---- tables

TABLES: dict[str, bytes] = {
    "empty": b"",
    "only a byte-order mark": b"\xef\xbb\xbf",
    "only line feeds": b"\n\n\n",
    "header without rows": b"image_names,emergency_or_not\n",
    "no header": b"0.png,0\n1.png,1\n",
    "UTF-16": "image_names,emergency_or_not\n0.png,0\n".encode("utf-16"),
    "Latin-1": "image_names,emergency_or_not\ncafé.png,0\n".encode("latin-1"),
    "null bytes": b"image_names,emergency_or_not\n\0.png,0\n",
    "an open quote": b'image_names,emergency_or_not\n"0.png,0\n' + b"x" * 200_000,
    "a field of a megabyte": b"image_names,emergency_or_not\n" + b"x" * 10**6 + b".png,0\n",
    "semicolons": b"image_names;emergency_or_not\n0.png;0\n",
    "an absolute path": b"image_names,emergency_or_not\n/etc/passwd,0\n",
    "a path that leads out": b"image_names,emergency_or_not\n../../secret.png,0\n",
    "a drive": b"image_names,emergency_or_not\nC:\\photos\\a.png,0\n",
    "missing images": b"image_names,emergency_or_not\nnowhere.png,0\n",
    "a name of 5000 letters": b"image_names,emergency_or_not\n" + b"x" * 5000 + b".png,0\n",
    "a name with a newline": b'image_names,emergency_or_not\n"a\nb.png",0\n',
    "a name with an escape": b"image_names,emergency_or_not\na\x1b[31m.png,0\n",
}
ONLY_FETCH: dict[str, bytes] = {
    "empty labels": b"image_names,emergency_or_not\n0.png,\n1.png,1\n",
    "one class": b"image_names,emergency_or_not\n0.png,0\n1.png,0\n2.png,0\n",
    "contradicting rows": b"image_names,emergency_or_not\n0.png,0\n0.png,1\n",
    "one file by two names": b"image_names,emergency_or_not\n0.png,0\nimages/0.png,1\n",
    "an unknown split": b"image_names,emergency_or_not,split\n0.png,0,holdout\n",
    "labels of control characters": b"image_names,emergency_or_not\n"
    + b"".join(b"%d.png,a\x07%d\n" % (i, i % 2) for i in range(8)),
    "labels of formulas": b"image_names,emergency_or_not\n"
    + b"".join(b"%d.png,=A%d\n" % (i, i % 2) for i in range(8)),
    "labels of 5000 letters": b"image_names,emergency_or_not\n"
    + b"".join(b"%d.png,%s\n" % (i, b"xy"[i % 2 : i % 2 + 1] * 5000) for i in range(8)),
}
for name, data in (TABLES | ONLY_FETCH).items():

    def with_table(data: bytes = data) -> None:
        write_csv_source(Path("source"))
        write(Path("source/train.csv"), data)

    add(f"fetch: table with {name}", fetch(with_table, layout="csv"))
for name, data in TABLES.items():
    if name not in {"no header", "semicolons"}:
        names_images = (data.count(b"\n") == 2 and b"0\n" in data) or name.startswith("a ")
        add(
            f"predict: table with {name}",
            predict(
                "in.csv",
                skipped=names_images and data[:2] != b"\xff\xfe",
                build=lambda data=data: write(Path("in.csv"), data),
            ),
        )
for name in (
    "Latin-1",
    "an open quote",
    "a field of a megabyte",
):  # refused, although they have rows
    build = CASES[f"predict: table with {name}"].build
    CASES[f"predict: table with {name}"] = predict("in.csv", build=build)


# ---- archives


def archive(name: str, data: Callable[[], bytes]) -> Build:
    return lambda: Path(name).write_bytes(data())


def zipped(
    *members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for seed in range(6):
            file.writestr(f"{'ab'[seed % 2]}/{seed}.png", encoded(seed))
        for name, data in members:
            file.writestr(name, data)
    return buffer.getvalue()


def linked(target: str) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo("a/link.png")
    info.external_attr = 0o120777 << 16
    return info, target.encode()


def tarred(*members: tarfile.TarInfo, form: int = tarfile.GNU_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as file:
        for seed in range(6):
            info = tarfile.TarInfo(f"{'ab'[seed % 2]}/{seed}.png")
            info.size = len(encoded(seed))
            file.addfile(info, io.BytesIO(encoded(seed)))
        for info in members:
            file.addfile(info, io.BytesIO(bytes(info.size)))
    return buffer.getvalue()


def member(
    name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info


def long_header(kind: bytes, size: int = 3 * 2**29) -> bytes:
    """A .tar.gz whose one header claims, and has, 1.5 GiB."""
    info = member("././@LongLink", kind, size=size)
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT)) + gzip.compress(ZEROS) * (size // 2**24)


ZEROS = bytes(2**24)


def flags_set(data: bytes) -> bytes:
    changed = bytearray(data)
    for at in (match.start() for match in re.finditer(b"PK\x01\x02", data)):
        changed[at + 8] |= 1
    for at in (match.start() for match in re.finditer(b"PK\x03\x04", data)):
        changed[at + 6] |= 1
    return bytes(changed)


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "empty.zip": lambda: b"",
    "noise.zip": lambda: IMAGES["noise"],
    "half.zip": lambda: zipped()[: len(zipped()) // 2],
    "nothing.zip": lambda: b"PK\x05\x06" + bytes(18),
    "out.zip": lambda: zipped(("../out.png", b"x")),
    "absolute.zip": lambda: zipped(("/tmp/out.png", b"x")),  # noqa: S108 - never written
    "drive.zip": lambda: zipped(("C:/out.png", b"x")),
    "backslash.zip": lambda: zipped(("..\\out.png", b"x")),
    "link.zip": lambda: zipped(linked("/etc/passwd")),
    "bomb.zip": lambda: zipped(("a/zeros.png", bytes(2 * 10**8))),
    "long.zip": lambda: zipped(("a/" + "x" * 300 + ".png", b"x")),
    "deep.zip": lambda: zipped(("a/" * 3000 + "x.png", b"x")),
    "newline.zip": lambda: zipped(("a/b\nc.png", encoded(9))),
    "escape.zip": lambda: zipped(("a/b\x1b[31mc.png", encoded(9))),
    "clash.zip": lambda: zipped(("a/0.png/inner.png", encoded(9))),
    "encrypted.zip": lambda: flags_set(zipped()),
    "junk.zip": lambda: zipped()[:200] + bytes(64) + zipped()[264:],
    "bad-image.zip": lambda: zipped(("a/bad.png", b"bad")),
    "empty.tar": lambda: b"",
    "zeros.tar": lambda: bytes(10_240),
    "noise.tar": lambda: IMAGES["noise"],
    "half.tar": lambda: tarred()[: len(tarred()) // 2],
    "out.tar": lambda: tarred(member("../out.png")),
    "absolute.tar": lambda: tarred(member("/tmp/out.png")),  # noqa: S108 - never written
    "link.tar": lambda: tarred(member("a/link.png", tarfile.SYMTYPE, "/etc/passwd")),
    "hard.tar": lambda: tarred(member("a/link.png", tarfile.LNKTYPE, "a/0.png")),
    "device.tar": lambda: tarred(member("a/zero.png", tarfile.CHRTYPE)),
    "fifo.tar": lambda: tarred(member("a/fifo.png", tarfile.FIFOTYPE)),
    "twice.tar": lambda: tarred(member("a/0.png")),
    "deep.tar": lambda: tarred(member("a/" * 3000 + "x.png")),
    "newline.tar": lambda: tarred(member("a/b\nc.png")),
    "bomb.tar.gz": lambda: gzip.compress(tarred(member("a/zeros.png", size=2 * 10**8)), 1),
    "bomb.tar.bz2": lambda: bz2.compress(tarred(member("a/zeros.png", size=10**8))),
    "bomb.tar.xz": lambda: lzma.compress(tarred(member("a/zeros.png", size=10**8)), preset=0),
    "long-name.tar.gz": lambda: long_header(tarfile.GNUTYPE_LONGNAME),
    "pax.tar.gz": lambda: long_header(tarfile.XHDTYPE),
    "half.tar.gz": lambda: gzip.compress(tarred())[:2000],
    "checksum.tar.gz": lambda: gzip.compress(tarred())[:-8] + bytes(8),
    "noise.tar.xz": lambda: b"\xfd7zXZ\0" + IMAGES["noise"],
}
for name, data_of in ARCHIVES.items():
    add(f"fetch: {name}", fetch(archive(name, data_of), source=name))
add("fetch: archive is a fifo", fetch(lambda: os.mkfifo("a.zip"), source="a.zip"))
add("fetch: archive is a folder", fetch(lambda: Path("a.zip").mkdir(), source="a.zip"))
add(
    "fetch: hash of a link to /dev/zero",
    fetch(
        lambda: Path("a.zip").symlink_to("/dev/zero"), source="a.zip", sha256='"' + "0" * 64 + '"'
    ),
)


# ---- layouts


def links_to_here() -> None:
    for name in ("one", "two"):
        Path(name).symlink_to(".")


add("predict: ** over two links to here", predict("**/*.png", build=links_to_here))
add("predict: folder with links to here", predict(".", build=links_to_here))
add(
    "fetch: folder with links to here",
    fetch(lambda: (Path("source").mkdir(), os.chdir("source"), links_to_here(), os.chdir(".."))),
)
add("fetch: empty folder", fetch(lambda: Path("source").mkdir()))
add("fetch: one class", fetch(lambda: write_folders(Path("source"), {"dog": 5})))
add("fetch: two of a class", fetch(lambda: write_folders(Path("source"), {"dog": 5, "cat": 2})))
add(
    "fetch: images beside folders",
    fetch(
        lambda: (
            write_folders(Path("source"), {"a": 3, "b": 3}),
            write(Path("source/c.png"), encoded(9)),
        )
    ),
)


# ---- params

SEED = "synthetic.seed"
VALUES: dict[str, dict[str, str]] = {
    "5000 digits": {SEED: "9" * 5000},
    "400 digits": {SEED: "9" * 400},
    "a float of 400 digits": {"train.learning_rate": "9" * 400},
    "a date": {SEED: "2026-01-05"},
    "a date that does not exist": {SEED: "2026-13-45"},
    "a time": {SEED: "2026-01-05 25:61:61"},
    "an int that is none": {SEED: "!!int abc"},
    "a float that is none": {"train.learning_rate": "!!float abc"},
    "a bool that is none": {"train.portable": "!!bool maybe"},
    "binary": {"fetch.source": "!!binary abc"},
    "an unknown tag": {SEED: "!thing abc"},
    "a python object": {SEED: "!!python/object/apply:os.system [ls]"},
    "an unknown alias": {SEED: "*nothing"},
    "null": {SEED: "null"},
    "nothing": {SEED: ""},
    "text": {SEED: "seven"},
    "a bool": {SEED: "true"},
    "a float": {SEED: "7.0"},
    "negative": {SEED: "-1"},
    "a list": {SEED: "[7]"},
    "a mapping": {SEED: "{a: 7}"},
    "octal": {SEED: "0o9"},
    "a control character": {SEED: '"\\a"'},
    "a null character": {SEED: '"\\0"'},
    "a surrogate": {SEED: '"\\ud800"'},
    "infinity": {"early_stopping.min_delta": ".inf"},
    "minus infinity": {"early_stopping.min_delta": "-.inf"},
    "not a number": {"early_stopping.min_delta": ".nan"},
    "infinite rate": {"train.learning_rate": ".inf"},
    "rate that is not a number": {"train.learning_rate": ".NaN"},
    "infinite dropout": {"model.dropout": ".inf"},
    "dropout that is not a number": {"model.dropout": "[.nan, .nan]"},
    "infinite cost": {"decision.miss_cost": ".inf"},
    "infinite degrees": {"augment.rotation.degrees": ".inf"},
    "patience beyond all": {"early_stopping.patience": "1" + "0" * 100},
    "units beyond memory": {"model.hidden": "[65536, 65536, 65536]"},
    "units beyond memory in one layer": {
        "model.hidden": "[65536]",
        "pack.size": "512",
        "model.dropout": "0.1",
        "train.batch_size": "65536",
        "train.epochs": "0",
    },
    "a negative layer": {"model.hidden": "[-1]"},
    "layers as text": {"model.hidden": "many"},
    "names that are numbers": {"fetch.class_names": "{0: other}"},
    "names that are lists": {"fetch.class_names": "{[a]: other}"},
    "names that are not text": {"fetch.class_names": "{'0': 1}"},
    "an empty name": {"fetch.class_names": "{'0': ''}"},
    "a hash that is none": {"fetch.sha256": "abc"},
    "techniques with numbers": {"techniques": "{0: {}}"},
    "techniques with spaces": {"techniques": "{a b: {}}"},
    "techniques that lead out": {"techniques": "{../a: {}}"},
    "techniques of unknown keys": {"techniques": "{a: {set: {model.depth: 3}}}"},
    "techniques of infinite values": {"techniques": "{a: {set: {train.weight_decay: .inf}}}"},
    "no techniques": {"techniques": "{}"},
    "shares beyond one": {"split.train": "0.9"},
    "a merge key of a list": {SEED: "{<<: [1]}"},
    "nested 3000 deep": {SEED: "[" * 3000 + "]" * 3000},
    "nested 3000 mappings deep": {SEED: "{a: " * 3000 + "1" + "}" * 3000},
}
for name, params in VALUES.items():
    add(f"check: {name}", Case(("check",), params=params, several=True))
BILLION = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{one}: &{one} [{','.join([f'*{before}'] * 9)}]\n"
    for before, one in zip("abcdefghi", "bcdefghij", strict=True)
)
WHOLE_FILES: dict[str, bytes] = {
    "empty": b"",
    "text": b"hello",
    "a list": b"- 1\n",
    "not UTF-8": b"a: \xff\n",
    "UTF-16": "fetch: {}\n".encode("utf-16"),
    "null bytes": bytes(100),
    "an alias bomb": BILLION.encode(),
    "an alias of itself": b"fetch: &a [*a]\n",
    "a mapping of itself": b"fetch: &a {b: *a}\n",
    "tabs": b"fetch:\n\tsource: a\n",
    "two documents": b"a: 1\n---\nb: 2\n",
    "a key twice": b"fetch: {}\nfetch: {}\n",
    "10 MB": b"a: " + b"x" * 10**7,
    "conflict markers": b"<<<<<<< HEAD\nfetch: {}\n=======\n",
    "keys that are lists": b"? [a, b]\n: 1\n",
    "numbers for keys": b"1: 2\n3: 4\n",
    "nested 100,000 deep": b"[" * 100_000,
}
for name, data in WHOLE_FILES.items():
    add(
        f"check: file with {name}",
        Case(("check",), partial(Path("params.yaml").write_bytes, data), several=True),
    )


def renamed_key(old: str, new: str) -> Build:
    def build() -> None:
        text = Path("params.yaml").read_text(encoding="utf-8")
        Path("params.yaml").write_text(re.sub(rf"(?m)^( *){old}:", rf"\1{new}:", text))

    return build


for old, new in {
    "batch_size": "batch-size",
    "early_stopping": "early-stopping",
    "hidden": "Hidden",
    "seed": "'seed '",
    "fetch": "12",
}.items():
    add(f"check: key {new}", Case(("check",), renamed_key(old, new), several=True))


# ---- outputs


def photo() -> None:
    write(Path("a.png"), encoded(1))


def photo_and_output(make: Build) -> Build:
    return lambda: (photo(), make())


def table_of_photos() -> None:
    photo()
    write(Path("in.csv"), b"image\na.png\n")


add("predict: output is the input", predict("in.csv", "--output", "in.csv", build=table_of_photos))
add(
    "predict: output is an image of the input",
    predict("in.csv", "--output", "a.png", build=table_of_photos),
)
add(
    "predict: output is a link to the input",
    predict(
        "in.csv",
        "--output",
        "link.csv",
        build=lambda: (table_of_photos(), Path("link.csv").symlink_to("in.csv")),
    ),
)
add(
    "predict: output is a folder",
    predict("a.png", "--output", "out", build=photo_and_output(lambda: Path("out").mkdir())),
)
add("predict: output below a file", predict("a.png", "--output", "a.png/out.csv", build=photo))
add("predict: output of 300 letters", predict("a.png", "--output", "x" * 300, build=photo))
add(
    "predict: output is a link to itself",
    predict(
        "a.png",
        "--output",
        "loop.csv",
        build=photo_and_output(lambda: Path("loop.csv").symlink_to("loop.csv")),
    ),
)
if (
    os.geteuid() == 0
):  # a device of its own: a version that replaces devices would harm the machine's
    add(
        "predict: output is a full device",
        predict(
            "a.png",
            "--output",
            "full",
            build=photo_and_output(lambda: os.mknod("full", 0o20666, os.makedev(1, 7))),
        ),
    )
add(
    "predict: output in an unwritable folder",
    predict(
        "a.png",
        "--output",
        "shut/out.csv",
        drop=True,
        build=photo_and_output(lambda: Path("shut").mkdir(mode=0o555)),
    ),
)
add("predict: stdout is full", predict("a.png", build=photo, stdout="/dev/full"))
add(
    "predict: stdout is full, as JSON",
    predict("a.png", "--format", "json", build=photo, stdout="/dev/full"),
)
add(
    "predict: stdout is full, as a table",
    predict("a.png", "--format", "table", build=photo, stdout="/dev/full"),
)
add("predict: stdout is closed", predict("a.png", build=photo, stdout="closed"))
add("check: stdout is full", Case(("check",), stdout="/dev/full"))
add("check: stdout is closed", Case(("check",), stdout="closed"))
add(
    "predict: stdout lacks letters",
    predict(
        "photos",
        encoding="ascii",
        skipped=True,
        build=lambda: (write(Path("photos/é.png"), encoded(1)), write(Path("photos/ü.png"), b"")),
    ),
)
add("predict: images is not there", predict("in.csv", "--images", "nowhere", build=table_of_photos))
add("predict: images is a file", predict("in.csv", "--images", "a.png", build=table_of_photos))


# ---- models


def damaged(change: Callable[[Path], object]) -> Build:
    def build() -> None:
        photo()
        files = {path.name: path.read_bytes() for path in Path("model").iterdir()}
        Path("model").unlink()
        for name, data in files.items():
            write(Path("model") / name, data)
        change(Path("model"))

    return build


def described(**changes: object) -> Build:
    def change(folder: Path) -> None:
        path = folder / "model.json"
        content = json.loads(path.read_bytes())
        for key, value in changes.items():
            at, _, last = key.rpartition("__")
            (content[at] if at else content)[last] = value
        path.write_text(json.dumps(content))

    return damaged(change)


def file_of(name: str, data: bytes) -> Build:
    return damaged(lambda folder: (folder / name).write_bytes(data))


MODELS: dict[str, Build] = {
    "missing": lambda: (photo(), Path("model").unlink()),
    "a file": lambda: (photo(), Path("model").unlink(), Path("model").write_bytes(b"x")),
    "an empty folder": damaged(lambda folder: [path.unlink() for path in folder.iterdir()]),
    "without weights": damaged(lambda folder: (folder / "model.safetensors").unlink()),
    "without ONNX": damaged(lambda folder: (folder / "model.onnx").unlink()),
    "of other ONNX": file_of("model.onnx", b"x"),
    "of other weights": file_of("model.safetensors", b"x"),
    "with an empty description": file_of("model.json", b""),
    "with a list for a description": file_of("model.json", b"[]"),
    "with a deep description": file_of("model.json", b"[" * 100_000),
    "with a description that is not UTF-8": file_of("model.json", b"\xff\xfe{}"),
    "with a fifo for a description": damaged(
        lambda folder: ((folder / "model.json").unlink(), os.mkfifo(folder / "model.json"))
    ),
    "of format 99": described(format=99),
    "of format text": described(format="new"),
    "of a tiny temperature": described(decision__temperature=1e-320),
    "of temperature 0": described(decision__temperature=0),
    "of a temperature that is not a number": described(decision__temperature=float("nan")),
    "of infinite temperature": described(decision__temperature=float("inf")),
    "of a threshold that is not a number": described(decision__threshold=float("nan")),
    "of duplicate classes": described(classes=["emergency", "emergency"]),
    "of one class": described(classes=["emergency"]),
    "of three classes": described(classes=["a", "emergency", "c"]),
    "without classes": described(classes=[]),
    "of size 0": described(size=0),
    "of size -8": described(size=-8),
    "of a huge size": described(size=10**9),
    "of an unknown positive class": described(decision__positive="fire"),
}
for name, build in MODELS.items():
    add(f"predict: model {name}", predict("a.png", build=build))
