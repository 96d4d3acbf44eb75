"""features: what the MLP sees, computed once for every image and view."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.common import paths
from pipeline.common.files import atomic_directory, rounded, write_json
from pipeline.common.packed import FEATURES, VECTORS, load_packed
from pipeline.common.params import Params
from pipeline.common.tables import USED_SPLITS
from pipeline.features.backbone import Backbone, load_backbone
from pipeline.features.hog import hog
from pipeline.features.vectors import vector_length, write_vectors

SHOWN = 3  # of the backbone's own classes, for each class of the data


def run(params: Params) -> None:
    """Write `data/features`: the ONNX model of the features, and the vectors of each split.

    Where the MLP sees pixels there is nothing to compute, and the folders say so.
    """
    kind = params.features.kind
    backbone = load_backbone(params.features) if kind == "backbone" else None
    with ExitStack() as stack:
        folders = {
            name: stack.enter_context(atomic_directory(paths.FEATURES / name))
            for name in ("model", *USED_SPLITS)
        }
        description: dict[str, Any] = {"kind": kind}
        model = folders["model"] / paths.FEATURES_ONNX.name
        if backbone:
            model.write_bytes(backbone.model)
        elif kind == "hog":
            model.write_bytes(hog().SerializeToString(deterministic=True))
        if kind != "pixels":
            description["values"] = vector_length(model)
            for split in USED_SPLITS:
                write_vectors(
                    model,
                    paths.PACKED / split,
                    folders[split],
                    params.augment,
                    # Nothing is trained on test images.
                    views=0 if split == "test" else params.features.views,
                    seed=params.features.seed,
                )
        if backbone:
            description |= {
                "backbone": params.features.backbone,
                "sha256": backbone.sha256,
                "licence": backbone.licence,
                "trained_on": backbone.trained_on,
                "known_classes": known_classes(backbone, folders["train"]),
            }
        for folder in folders.values():
            write_json(folder / FEATURES, description)
    summary = {
        "pixels": "none to compute: the MLP sees pixels",
        "hog": "histograms of gradients and colours",
        "backbone": f"{params.features.backbone} ({description.get('licence')})",
    }
    values = f", {description['values']:,} values per image" if "values" in description else ""
    print(f"features: {summary[kind]}{values}")


def known_classes(backbone: Backbone, vectors: Path) -> dict[str, list[dict[str, Any]]]:
    """What the backbone's own head calls the training images of each class, most often first.

    A backbone that has met the classes before makes the task easier than it would be for others,
    and this shows whether it has.

    Args:
        backbone: Its head may be unknown; then nothing is known.
        vectors: The folder with the vectors of the training images.

    Returns:
        For each class of the data: the backbone's own classes that it gives most often to
        unaugmented training images of it, their share, and their share among all other images.
    """
    if backbone.head is None:
        return {}
    packed = load_packed(paths.PACKED / "train")
    values = np.load(vectors / VECTORS, mmap_mode="r")[:, 0]
    weights, biases = backbone.head
    given = (values @ weights.T + biases).argmax(axis=1)
    found = {}
    for label, name in enumerate(packed.classes):
        own = packed.labels == label
        counts = np.bincount(given[own], minlength=len(biases))
        others = np.bincount(given[~own], minlength=len(biases))
        found[name] = [
            {
                "name": backbone.categories[category],
                "share": float(counts[category] / max(own.sum(), 1)),
                "elsewhere": float(others[category] / max((~own).sum(), 1)),
            }
            for category in np.argsort(-counts, kind="stable")[:SHOWN]
            if counts[category]
        ]
    return dict(rounded(found))
