"""Compute the vectors of images and of augmented views of them, once, on every core.

Row `i` of `vectors.npy` holds the vectors of image `i` unaugmented (view 0) and of its augmented
views. A view is a pure function of (seed, view, index), and ONNX Runtime has one thread in each
process, so the vectors depend neither on the number of processes nor on their order.
"""

from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from numpy.lib.format import open_memmap
from onnxruntime import InferenceSession, SessionOptions

from pipeline.common.datasets import VECTORS, load_packed
from pipeline.common.errors import FeaturesError, one_line
from pipeline.common.parallel import parallel_map
from pipeline.common.params import AugmentParams
from pipeline.train.augmentation import Augmentation

FATAL = 4  # of ONNX Runtime's levels of logging: what is less comes as an exception
BLOCK = 16  # images whose vectors a process computes between two writes


def write_vectors(
    model: Path, packed: Path, folder: Path, augment: AugmentParams, *, views: int, seed: int
) -> None:
    """Write `vectors.npy`: float32 [N, 1 + views, values].

    Args:
        model: The ONNX file of the features.
        packed: The folder of a packed split.
        folder: The folder to write to.
        augment: The random changes of the views.
        views: Augmented views of each image.
        seed: Of the views.

    Raises:
        FeaturesError: The features fail, or are not finite numbers.
    """
    images = load_packed(packed)
    array = folder / VECTORS
    shape = (len(images), 1 + views, vector_length(model))
    open_memmap(array, "w+", np.float32, shape)
    starts = range(0, len(images), BLOCK)
    parallel_map(
        partial(_fill, model, packed, array, augment, seed),
        [range(start, min(start + BLOCK, len(images))) for start in starts],
        label=f"features of {packed.name}",
        weight=lambda rows: len(rows) * (1 + views),
    )


def vector_length(model: Path) -> int:
    """Run the features on a black image, and return the number of values.

    Raises:
        FeaturesError: They cannot be run, or do not give one vector of finite numbers per image.
    """
    session = _session(model)
    size = session.get_inputs()[0].shape[1]
    vectors = _vectors(session, np.zeros((2, size, size, 3), np.uint8), "a black image")
    return int(vectors.shape[1])


def _fill(
    model: Path, packed: Path, array: Path, augment: AugmentParams, seed: int, block: range
) -> None:
    """Compute a block; every process writes to the file itself, and none holds all of it."""
    cv2.setNumThreads(1)
    images, rows = load_packed(packed), open_memmap(array, "r+")
    session, augmentation = _session(model), Augmentation(augment, seed)
    for index in block:
        image = images.images[index]
        views = [augmentation(image, view, index) for view in range(1, rows.shape[1])]
        rows[index] = _vectors(session, np.stack([image, *views]), images.names[index])


@cache
def _session(model: Path) -> InferenceSession:
    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = FATAL
    try:
        return InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has a dozen of its own, without a common ancestor
        raise _failed(error) from None


def _vectors(
    session: InferenceSession, images: npt.NDArray[np.uint8], what: str
) -> npt.NDArray[np.float32]:
    """uint8 [N, size, size, 3] → float32 [N, values]."""
    try:
        outputs = session.run(None, {session.get_inputs()[0].name: images})
    except Exception as error:  # as above, and for want of memory
        raise _failed(error) from None
    vectors: npt.NDArray[np.float32] = outputs[0]
    if len(outputs) != 1 or vectors.dtype != np.float32 or len(vectors) != len(images):
        found = ", ".join(f"{output.dtype} {list(output.shape)}" for output in outputs)
        raise FeaturesError(
            f"features.backbone gives {found} for {len(images)} images; it must give one output, "
            "float32 [N, values]"
        )
    vectors = vectors.reshape(len(images), -1)
    if not np.isfinite(vectors).all():
        raise FeaturesError(
            f"features.backbone gives values that are no finite numbers for {what}; its file or "
            "its input's scale is wrong: choose another"
        )
    return vectors


def _failed(error: Exception) -> FeaturesError:
    reason = one_line(error)[:200]
    return FeaturesError(
        f"features.backbone cannot be run ({reason}); choose a smaller or another one"
    )
