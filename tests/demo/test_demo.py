"""`bluelight demo`: what its server replies, and what it refuses."""

import base64
import io
import json
import signal
import socket
import subprocess
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline import cli, load
from pipeline.common import paths
from pipeline.common.artifact import DESCRIPTION
from pipeline.common.datasets import SPLIT_COLUMNS, write_table
from pipeline.common.images import MAXIMUM_PIXELS, Pixels, resize
from pipeline.common.params import AugmentParams, Params
from pipeline.demo.replies import (
    ALL_KINDS,
    AUGMENTATION_SEED,
    DRAWS,
    EXAMPLES,
    MAXIMUM_BYTES,
    examples,
    occlusion_map,
    overlay,
)
from pipeline.train.augmentation import Augmentation
from tests.helpers import artifacts
from tests.helpers.demos import served
from tests.helpers.imports import ROOT
from tests.helpers.pictures import encode, encoded, picture, write
from tests.helpers.processes import environment

PHOTO = encoded(1)


class Reply(NamedTuple):
    """A reply of the server."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.body.splitlines()]


class Client(NamedTuple):
    """A client of the demo."""

    port: int

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body or None, named)
        reply = connection.getresponse()
        found = Reply(reply.status, dict(reply.getheaders()), reply.read())
        connection.close()
        return found

    def get(self, path: str, **headers: str) -> Reply:
        return self.send("GET", path, b"", **headers)

    def post(self, path: str, body: bytes, **headers: str) -> Reply:
        return self.send("POST", path, body, **headers)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def demo(folder: Path) -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with served(folder) as running:
            yield Client(running.server_address[1])


def pixels_of(data_uri: str) -> Pixels:
    _, encoded_part = data_uri.split(",")
    with Image.open(io.BytesIO(base64.b64decode(encoded_part))) as image:
        return np.array(image)


# ---- replies


def test_the_page_asks_nothing_of_other_machines(demo: Client) -> None:
    for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/java")):
        found = demo.get(path)
        assert found.status == 200
        assert found.headers["Content-Type"].startswith(kind)
        assert found.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert b"https://" not in found.body


def test_the_prediction_is_the_models(demo: Client, folder: Path) -> None:
    found = demo.post("/prediction", PHOTO).content
    (expected,) = load(folder / "model").predict([picture(1)])
    assert found["label"] == expected.label
    shown = {one["name"]: one["probability"] for one in found["classes"]}
    assert shown == expected.probabilities
    assert list(shown.values()) == sorted(shown.values(), reverse=True)
    assert found["decision"]["threshold"] == artifacts.DECISION.threshold


def test_the_photo_is_shown_in_its_own_shape_with_the_map_over_it(demo: Client) -> None:
    wide = np.concatenate([picture(1), picture(2)], axis=1)
    found = demo.post("/prediction", encode(wide)).content
    assert pixels_of(found["photo"]).shape == (240, 480, 3)
    lines = demo.post("/occlusion", encode(wide)).lines
    assert pixels_of(lines[-1]["map"]).shape == (8, 8, 4)


def test_the_map_comes_row_by_row_with_the_share_that_is_done(demo: Client, folder: Path) -> None:
    lines = demo.post("/occlusion", PHOTO).lines
    shares = [line["done"] for line in lines]
    assert len(shares) == 8  # the image has 8 rows of pixels
    assert shares == sorted(set(shares))
    assert shares[-1] == 1
    model, image = load(folder / "model"), resize(picture(1), 8)
    (predicted,) = model.predictions(image[np.newaxis])
    maps = list(occlusion_map(model, image, model.description.classes.index(predicted.label)))
    for line, changes in zip(lines, maps, strict=True):
        np.testing.assert_array_equal(pixels_of(line["map"]), overlay(changes))


def test_each_kind_of_augmentation_is_drawn_as_training_draws(demo: Client, params: Params) -> None:
    found = demo.post("/augmentations/7", PHOTO).content
    image = resize(picture(1), 8)
    np.testing.assert_array_equal(pixels_of(found["original"]), image)
    kinds = {kind["name"]: kind for kind in found["kinds"]}
    assert set(kinds) == {*AugmentParams.model_fields, ALL_KINDS}
    together = [
        Augmentation(params.augment, AUGMENTATION_SEED)(image, 7, index) for index in range(DRAWS)
    ]
    shown = {pixels_of(uri).tobytes() for uri in kinds[ALL_KINDS]["images"]}
    assert shown == {drawn.tobytes() for drawn in together}


def test_a_kind_is_applied_alone_and_always(demo: Client, params: Params) -> None:
    kinds = {kind["name"]: kind for kind in demo.post("/augmentations/0", PHOTO).content["kinds"]}
    image = resize(picture(1), 8)
    for name, turned in (("horizontal_flip", image[:, ::-1]), ("vertical_flip", image[::-1])):
        (drawn,) = kinds[name]["images"]
        np.testing.assert_array_equal(pixels_of(drawn), turned)
        assert kinds[name]["probability"] == getattr(params.augment, name).probability
    assert kinds["vertical_flip"]["probability"] == 0, "it is shown though training has it off"
    assert kinds["rotation"]["settings"] == {"degrees": params.augment.rotation.degrees}
    for name in ("rotation", "shift", "scale", "noise"):
        drawn = [pixels_of(uri) for uri in kinds[name]["images"]]
        assert len(drawn) == DRAWS
        assert all((pixels != image).any() for pixels in drawn)


def test_drawing_again_draws_others_and_the_same_number_the_same(demo: Client) -> None:
    first, again, other = (demo.post(f"/augmentations/{n}", PHOTO).body for n in (0, 0, 1))
    assert first == again != other


def test_many_requests_at_once_get_the_replies_of_one(demo: Client) -> None:
    photos = [encoded(seed) for seed in range(4)] * 3
    paths_of = ["/prediction", "/augmentations/3", "/occlusion"] * 4
    alone = [demo.post(*one).body for one in zip(paths_of, photos, strict=True)]
    with ThreadPoolExecutor(6) as pool:
        together = [one.body for one in pool.map(demo.post, paths_of, photos)]
    assert together == alone


# ---- examples


def test_examples_are_drawn_where_there_are_no_data(demo: Client) -> None:
    listed = demo.get("/about").content["examples"]
    assert len(listed) == EXAMPLES
    assert set(listed) == set(artifacts.CLASSES)
    found = demo.get("/examples/0")
    assert found.headers["Content-Type"] == "image/jpeg"
    assert demo.post("/prediction", found.body).status == 200


@pytest.mark.usefixtures("elsewhere")
def test_examples_are_of_the_test_split_and_of_all_classes() -> None:
    rows = [(f"{i:02}.png", "c" if i == 40 else "ab"[i % 2], "test", "", "") for i in range(41)]
    rows += [("a.png", "a", "train", "", ""), ("0.tiff", "a", "test", "", "")]
    for name, *_ in rows:
        write(paths.RAW_IMAGES / name, name.encode())
    write_table(paths.SPLIT_CSV, pd.DataFrame(sorted(rows), columns=SPLIT_COLUMNS))
    (paths.RAW_IMAGES / "01.png").unlink()  # not everything was pulled
    found = examples()
    assert [one.name for one in found[:4]] == ["00.png", "40.png", "02.png", "03.png"]
    assert [one.label for one in found[:4]] == ["a", "c", "a", "b"]
    assert len(found) == EXAMPLES
    assert found[0].data == b"00.png"


# ---- refusals


def huge_png() -> bytes:
    """A file of some kilobytes with more pixels than are decoded."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    side = int(MAXIMUM_PIXELS**0.5) + 1
    header = side.to_bytes(4) * 2 + bytes([8, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"no image", "This file is not an image (JPEG, PNG, BMP"),
        (b"", "This file is empty (0 bytes)."),
        (PHOTO[:200], "This file is truncated"),
        (encode(picture(1, side=8)[:4]), "This file is 8x4 pixels; at least 8 a side are needed."),
        (huge_png(), "This file has more than 80 megapixels; reduce it."),
    ],
)
@pytest.mark.parametrize("path", ["/prediction", "/occlusion", "/augmentations/0"])
def test_a_file_that_is_no_photo_gets_one_sentence(
    demo: Client, path: str, data: bytes, message: str
) -> None:
    found = demo.post(path, data, Content_Length=str(len(data)))
    assert found.status == 422
    assert found.content["error"].startswith(message)
    assert found.content["error"].endswith(".")
    assert demo.post("/prediction", PHOTO).status == 200


def test_a_huge_file_is_refused_before_it_is_read(demo: Client) -> None:
    found = demo.post("/prediction", b"x", Content_Length=str(MAXIMUM_BYTES + 1))
    assert found.status == 413
    assert found.content["error"] == "This file has more than 20 MB; reduce the photo."


def test_the_largest_file_is_read(demo: Client) -> None:
    padded = PHOTO + bytes(MAXIMUM_BYTES - len(PHOTO))
    assert demo.post("/prediction", padded).status == 200


@pytest.mark.parametrize("length", ["-1", "many", ""])
def test_a_length_that_is_none_is_refused(demo: Client, length: str) -> None:
    assert demo.post("/prediction", b"x", Content_Length=length).status == 411


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "[bad"},
        {"Host": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "null"},
    ],
)
def test_other_sites_are_refused(demo: Client, headers: dict[str, str]) -> None:
    for found in (demo.get("/about", **headers), demo.post("/prediction", PHOTO, **headers)):
        assert found.status == 403
        assert set(found.content) == {"error"}


def test_the_port_may_be_forwarded(demo: Client) -> None:
    own = {"Host": "localhost:9999", "Origin": "http://localhost:9999"}
    assert demo.post("/prediction", PHOTO, **own).status == 200


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/examples/99", "/examples/-1", "/../server.py", "/page.js/", "/prediction"],
)
def test_other_paths_are_not_found(demo: Client, path: str) -> None:
    assert demo.get(path).status == 404
    if path != "/prediction":
        assert demo.post(path, PHOTO).status == 404


def test_it_listens_on_this_machine_alone(demo: Client) -> None:
    with socket.socket() as other, pytest.raises(ConnectionRefusedError):
        other.connect(("127.0.0.2", demo.port))  # as if from another network


def test_a_bug_is_reported_on_the_terminal_and_the_server_keeps_serving(
    demo: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.demo.replies.prediction", lambda *_: 1 / 0)
        found = demo.post("/prediction", PHOTO)
    assert found.status == 500
    assert found.content["error"].startswith("Something went wrong")
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert demo.post("/prediction", PHOTO).status == 200


def test_a_browser_that_hangs_up_leaves_no_trace(
    demo: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(("127.0.0.1", demo.port)) as caller:
        head = "POST /prediction HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n"
        caller.sendall(head.encode() + b"begun")
    assert demo.post("/prediction", PHOTO).status == 200
    assert capsys.readouterr().err == ""


# ---- the command


def run_cli(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["bluelight", "demo", "--no-browser", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


def test_a_port_that_is_taken_is_one_line(
    demo: Client,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ("--model", str(folder / "model"), "--port", str(demo.port))
    assert run_cli(monkeypatch, *options) == 1
    errors = capsys.readouterr().err
    assert errors == (
        f"bluelight: cannot listen on port {demo.port} (Address already in use); choose another "
        "with --port\n"
    )


def test_a_model_that_is_not_there_is_one_line(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(monkeypatch) == 1
    assert capsys.readouterr().err.startswith(f"bluelight: there is no model in {paths.MODEL}")
    artifacts.write(elsewhere / paths.MODEL)
    description = elsewhere / paths.MODEL / DESCRIPTION
    content = json.loads(description.read_text(encoding="utf-8"))
    content["training"]["augment"].pop("blur")
    description.write_text(json.dumps(content), encoding="utf-8")
    assert run_cli(monkeypatch) == 1
    assert "does not say how the training images of" in capsys.readouterr().err


def test_the_command_serves_until_it_is_interrupted(elsewhere: Path) -> None:
    artifacts.write(elsewhere / paths.MODEL)
    command = [sys.executable, "-m", "pipeline", "demo", "--no-browser", "--port", "0"]
    with subprocess.Popen(
        command,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        port = int(address.rsplit(":", 1)[1].strip("/"))
        found = Client(port).post("/prediction", PHOTO)
        process.send_signal(signal.SIGINT)
        try:
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert found.content["label"] in artifacts.CLASSES
    assert (process.returncode, errors) == (0, "")


def test_the_limits_on_the_page_are_those_that_hold(demo: Client) -> None:
    about = demo.get("/about").content
    assert about["limits"] == "20 MB and 80 megapixels"
    assert about["maximum_bytes"] == MAXIMUM_BYTES
    assert about["classes"] == artifacts.CLASSES
