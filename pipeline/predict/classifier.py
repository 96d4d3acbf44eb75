"""Load an artifact and classify images: ONNX Runtime, without torch."""

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from onnxruntime import InferenceSession, SessionOptions
from PIL import Image

from pipeline.common import artifact
from pipeline.common.errors import ArtifactError, ImageError
from pipeline.common.files import DIGITS, read_regular
from pipeline.common.images import MINIMUM_SIDE, Pixels, decode, resize
from pipeline.common.parallel import available_cores

BATCH = 2**20  # pixels of a memory map at a time (1,024 images of 32 a side): bounds memory
BLOCK = 32  # images per thread: enough for an efficient product, few enough to share among cores

Item = TypeVar("Item")
Result = TypeVar("Result")

Picture = str | Path | Image.Image | Pixels
Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Prediction:
    """Prediction for one image.

    Attributes:
        label: Name of the predicted class.
        probabilities: Calibrated probability of each class, by name.
    """

    label: str
    probabilities: dict[str, float]


@dataclass(frozen=True)
class ImageClassifier:
    """A trained model.

    Attributes:
        session: The network in ONNX Runtime, on one thread, as the number of threads changes the
            last bits of its outputs.
        description: Classes, input size, temperature, threshold and origin of the model.
    """

    session: InferenceSession
    description: artifact.Description

    def probabilities(self, images: npt.NDArray[np.uint8]) -> Probabilities:
        """Compute the calibrated probability of each class.

        Args:
            images: uint8 RGB [N, size, size, 3].

        Returns:
            float64 [N, classes], to 6 decimals, as further ones differ between processors.
        """
        found = outputs_of(self.session, images, artifact.PROBABILITIES)
        if not np.isfinite(found).all():
            name, remedy = artifact.ONNX, artifact.RESTORE
            raise ArtifactError(f"the outputs of {name} are not finite numbers; {remedy}")
        return found.astype(np.float64).round(DIGITS)

    def labels(self, probabilities: Probabilities) -> npt.NDArray[np.int64]:
        """Predict the class by the stored threshold; without one, the most probable class.

        Args:
            probabilities: float64 [N, classes].

        Returns:
            Indices into `description.classes`, int64 [N].
        """
        decision, classes = self.description.decision, self.description.classes
        if decision.threshold is None or decision.positive is None:
            return np.asarray(probabilities.argmax(axis=1))
        positive = classes.index(decision.positive)
        reached = probabilities[:, positive] >= decision.threshold
        return np.where(reached, positive, 1 - positive).astype(np.int64)

    def predictions(self, images: npt.NDArray[np.uint8]) -> list[Prediction]:
        """Classify images that have the size of the model's input.

        Args:
            images: uint8 RGB [N, size, size, 3].
        """
        probabilities, classes = self.probabilities(images), self.description.classes
        return [
            Prediction(classes[label], dict(zip(classes, map(float, row), strict=True)))
            for label, row in zip(self.labels(probabilities), probabilities, strict=True)
        ]

    def predict(self, images: Iterable[Picture]) -> list[Prediction]:
        """Classify pictures of any size, on all cores; predictions come in the same order.

        The pictures are prepared exactly as the training images were.

        Args:
            images: Paths of image files, PIL images, or arrays uint8 RGB [height, width, 3].

        Raises:
            ImageError: One of them is no usable image; the message names it.
        """
        if isinstance(images, str | Path):
            images = [images]
        size = self.description.size

        def classify(block: Sequence[tuple[int, Picture]]) -> list[Prediction]:
            pixels = [to_pixels(picture, size, f"image {index}") for index, picture in block]
            return self.predictions(np.stack(pixels))

        return [found for block in blockwise(classify, enumerate(images)) for found in block]


def load(directory: str | Path) -> ImageClassifier:
    """Load a model artifact from its folder.

    Raises:
        ArtifactError: It is missing, incomplete or damaged, or its parts do not belong together.
    """
    directory = Path(directory)
    description, onnx = artifact.read_artifact(directory)
    try:
        session = open_session(onnx)
    except Exception as error:  # the runtime's own exceptions have no common base class
        reason = " ".join(str(error).split())
        raise ArtifactError(
            f"{directory / artifact.ONNX} is no network to run ({reason})"
        ) from None
    size, classes = description.size, len(description.classes)
    shapes = [part.shape[1:] for part in (*session.get_inputs(), *session.get_outputs())]
    if shapes != [[size, size, 3], [classes], [classes]]:
        raise ArtifactError(
            f"{directory / artifact.ONNX} does not fit {artifact.DESCRIPTION}: its shapes are "
            f"{shapes}, not those of {size} pixels a side and {classes} classes; fetch both again"
        )
    return ImageClassifier(session, description)


def open_session(onnx: bytes) -> InferenceSession:
    """Open a network on one thread, so that the same images give the same bytes."""
    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # fatal; anything less severe is raised as an exception
    return InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


def outputs_of(
    session: InferenceSession, images: npt.NDArray[np.uint8], output: str
) -> npt.NDArray[np.float32]:
    """Run a network over images, batch by batch.

    Args:
        session: The network.
        images: uint8 RGB [N, size, size, 3]; a memory map if they are many.
        output: `logits` or `probabilities`.

    Returns:
        float32 [N, classes].
    """
    name = session.get_inputs()[0].name
    batch = max(1, BATCH // images[:1, ..., 0].size) if len(images) else 1
    starts = range(0, max(len(images), 1), batch)
    batches = (np.ascontiguousarray(images[start : start + batch]) for start in starts)
    return np.concatenate([session.run([output], {name: part})[0] for part in batches])


def to_pixels(picture: Picture, size: int, name: str) -> Pixels:
    """Prepare a picture as stage `pack` prepares the training images.

    Args:
        picture: The path of an image file, a PIL image, or uint8 RGB [height, width, 3].
        size: Pixels a side.
        name: How messages name a picture without a path.

    Returns:
        uint8 [size, size, 3].

    Raises:
        ImageError: It is no usable image.
    """
    if isinstance(picture, Image.Image):
        return resize(decode(picture, name), size)
    if isinstance(picture, np.ndarray):
        is_rgb = picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
        if not is_rgb or min(picture.shape[:2]) < MINIMUM_SIDE:
            raise ImageError(
                f"{name} is {picture.dtype} {list(picture.shape)}; give uint8 RGB "
                f"[height, width, 3] of at least {MINIMUM_SIDE} pixels a side"
            )
        return resize(picture, size)
    try:
        data = read_regular(Path(picture))
    except (OSError, ValueError) as error:  # ValueError: a path cannot have a null character
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{picture} cannot be read ({reason})") from None
    return resize(decode(data, str(picture)), size)


def blockwise(
    function: Callable[[Sequence[Item]], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """Apply a function to block after block of items, in threads on all cores.

    Threads rather than processes: they start at once, and a caller's script needs no
    `if __name__ == "__main__"`. Decoders and ONNX Runtime release Python's lock for most of their
    time (`benchmarks/predict.py` measures it). `Executor.map` would take all items at once.

    Args:
        function: Called with a list of items, in any thread.
        items: Any number; only a few blocks per core are taken ahead.

    Yields:
        The result of each block, in order.
    """
    threads = available_cores()
    remaining = iter(items)
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads)
    # `decode` ignores warnings too, but the filters belong to the whole process: of two threads,
    # the one that ends last would restore the filters that the other had set.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            while block := list(islice(remaining, BLOCK)):
                pending.append(pool.submit(function, block))
                if len(pending) > 2 * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
