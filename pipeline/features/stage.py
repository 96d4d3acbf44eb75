"""Stage `features`: packed images → what the MLP sees of each image and view, computed once."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.common import paths
from pipeline.common.datasets import FEATURES, USED_SPLITS, VECTORS, load_packed
from pipeline.common.files import atomic_directory, rounded, write_json
from pipeline.common.params import Params
from pipeline.features.backbone import Backbone, load_backbone
from pipeline.features.hog import hog
from pipeline.features.vectors import vector_length, write_vectors

SHOWN = 3  # of the backbone's own classes, for each class of the data


def run(params: Params) -> None:
    """Write `data/features`: the ONNX model of the features, and the vectors of each split."""
    description = write_features(params, paths.PACKED, paths.FEATURES, USED_SPLITS)
    summary = {
        "pixels": "none to compute, as the MLP sees pixels",
        "hog": "histograms of gradients and colours",
        "backbone": f"{params.features.backbone} ({description.get('licence')})",
    }
    values = f", {description['values']:,} values per image" if "values" in description else ""
    print(f"features: {summary[params.features.kind]}{values}")


def write_features(
    params: Params, packed: Path, destination: Path, splits: Sequence[str]
) -> dict[str, Any]:
    """Write a folder for each split, and `model`; where the MLP sees pixels, they only say so.

    Args:
        params: `features`, and `augment` for the views.
        packed: The folder of the packed splits.
        destination: Where to write the folders; replaced where they exist, all untouched if
            anything fails.
        splits: Which splits; of `test` there are no augmented views, as nothing is trained on it.

    Returns:
        The contents of `features.json`, which each folder has.
    """
    kind = params.features.kind
    backbone = load_backbone(params.features) if kind == "backbone" else None
    description: dict[str, Any] = {"kind": kind}
    with ExitStack() as stack:
        folders = {
            name: stack.enter_context(atomic_directory(destination / name))
            for name in ("model", *splits)
        }
        model = folders["model"] / paths.FEATURES_ONNX.name
        if backbone:
            model.write_bytes(backbone.model)
        elif kind == "hog":
            model.write_bytes(hog().SerializeToString(deterministic=True))
        if kind != "pixels":
            views, seed = params.features.views, params.features.seed
            description |= {"values": vector_length(model), "views": views, "seed": seed}
            description["augment"] = params.augment.model_dump()
            for name in splits:
                given = 0 if name == "test" else views
                images, folder = packed / name, folders[name]
                write_vectors(model, images, folder, params.augment, views=given, seed=seed)
        if backbone:
            description |= {
                "backbone": params.features.backbone,
                "sha256": backbone.sha256,
                "licence": backbone.licence,
                "trained_on": backbone.trained_on,
                "known_classes": known_classes(backbone, packed / "train", folders["train"]),
            }
        for folder in folders.values():
            write_json(folder / FEATURES, description)
    return description


def known_classes(
    backbone: Backbone, images: Path, vectors: Path
) -> dict[str, list[dict[str, Any]]]:
    """Count what the backbone's own head calls the training images of each class, most often first.

    A backbone that has met the classes before makes the task easier than it would be for others,
    and this shows whether it has.

    Args:
        backbone: Its head may be unknown; then nothing is known.
        images: The folder of the packed training images.
        vectors: The folder of their vectors.

    Returns:
        For each class of the data: the backbone's own classes that it gives most often to
        unaugmented training images of it, their share, and their share among all other images.
    """
    if backbone.head is None:
        return {}
    packed = load_packed(images)
    values = np.load(vectors / VECTORS, mmap_mode="r")[:, 0]
    weights, biases = backbone.head
    given = (values @ weights.T + biases).argmax(axis=1)
    found = {}
    for label, name in enumerate(packed.classes):
        own = packed.labels == label
        share, elsewhere = (
            np.bincount(given[rows], minlength=len(biases)) / max(rows.sum(), 1)
            for rows in (own, ~own)
        )
        found[name] = [
            {"name": backbone.categories[k], "share": share[k], "elsewhere": elsewhere[k]}
            for k in np.argsort(-share, kind="stable")[:SHOWN].tolist()
            if share[k]
        ]
    return dict(rounded(found))
