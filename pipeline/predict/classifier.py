"""Load an artifact and classify images: ONNX Runtime, without torch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnxruntime import InferenceSession, SessionOptions

from pipeline.common.artifact import DESCRIPTION, ONNX, Description, read_artifact
from pipeline.common.errors import ArtifactError
from pipeline.predict.pictures import Picture, to_pixels
from pipeline.predict.threads import blockwise, decoding_quietly

BATCH = 1024  # images at a time: bounds memory
FATAL = 4  # of the runtime's levels of logging: what is less comes as an exception

Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Prediction:
    """What the model says of one image.

    Attributes:
        label: The class it is called.
        probabilities: The calibrated probability of each class, by name.
    """

    label: str
    probabilities: dict[str, float]


@dataclass(frozen=True)
class ImageClassifier:
    """A trained model.

    Attributes:
        session: The network in ONNX Runtime, on one thread: their number changes the last bits.
        description: Its classes, input size, temperature and threshold, and its origin.
    """

    session: InferenceSession
    description: Description

    def logits(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """The network's own answers, before the temperature.

        Args:
            images: uint8 RGB [N, size, size, 3].

        Returns:
            float32 [N, classes].
        """
        return logits_of(self.session, images)

    def probabilities(self, images: npt.NDArray[np.uint8]) -> Probabilities:
        """The calibrated probability of each class.

        Args:
            images: uint8 RGB [N, size, size, 3].

        Returns:
            float64 [N, classes]; rows sum to 1.
        """
        return calibrated(self.logits(images), self.description.decision.temperature)

    def labels(self, probabilities: Probabilities) -> npt.NDArray[np.int64]:
        """The class that each row stands for, by the stored threshold; else the most probable.

        Args:
            probabilities: float64 [N, classes].

        Returns:
            int64 [N], indices into `description.classes`.
        """
        decision, classes = self.description.decision, self.description.classes
        if decision.threshold is None or decision.positive is None:
            return np.asarray(probabilities.argmax(axis=1))
        positive = classes.index(decision.positive)
        reached = probabilities[:, positive] >= decision.threshold
        return np.where(reached, positive, 1 - positive).astype(np.int64)

    def predictions(self, images: npt.NDArray[np.uint8]) -> list[Prediction]:
        """Label and probabilities of images that are as large as the model's input.

        Args:
            images: uint8 RGB [N, size, size, 3].
        """
        probabilities, classes = self.probabilities(images), self.description.classes
        return [
            Prediction(classes[label], dict(zip(classes, map(float, row), strict=True)))
            for label, row in zip(self.labels(probabilities), probabilities, strict=True)
        ]

    def predict(self, images: Iterable[Picture]) -> list[Prediction]:
        """Label and probabilities of pictures of any size, in their order.

        They are prepared exactly as the training images were, on all cores.

        Args:
            images: Paths of image files, PIL images, or arrays uint8 RGB [height, width, 3].

        Raises:
            ImageError: One of them is no usable image; the message names it.
        """
        if isinstance(images, str | Path):
            images = [images]
        with decoding_quietly():
            blocks = blockwise(self._predict_block, enumerate(images))
            return [prediction for block in blocks for prediction in block]

    def _predict_block(self, block: Sequence[tuple[int, Picture]]) -> list[Prediction]:
        size = self.description.size
        pixels = [to_pixels(image, size, f"image {index}") for index, image in block]
        return self.predictions(np.stack(pixels))


def load(directory: str | Path) -> ImageClassifier:
    """Load a model artifact.

    Args:
        directory: The artifact's folder.

    Raises:
        ArtifactError: It is missing, incomplete or damaged, or its parts do not belong together.
    """
    directory = Path(directory)
    description, onnx = read_artifact(directory)
    try:
        session = open_session(onnx)
    except Exception as error:  # the runtime has a dozen of its own, without a common ancestor
        reason = " ".join(str(error).split())
        raise ArtifactError(f"{directory / ONNX} is no network to run ({reason})") from None
    _check_shapes(session, description, directory)
    return ImageClassifier(session, description)


def open_session(onnx: bytes) -> InferenceSession:
    """A network ready to run on one thread, so that the same images give the same bytes."""
    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = FATAL
    return InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


def logits_of(session: InferenceSession, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Run images uint8 [N, size, size, 3], a memory map if they are many: float32 [N, classes]."""
    starts = range(0, max(len(images), 1), BATCH)
    name = session.get_inputs()[0].name
    return np.concatenate(
        [
            session.run(None, {name: np.ascontiguousarray(images[start : start + BATCH])})[0]
            for start in starts
        ]
    )


def calibrated(logits: npt.NDArray[np.float32], temperature: float) -> Probabilities:
    """Softmax of logits [N, classes] / temperature: float64 (Guo et al., 2017)."""
    scaled = logits.astype(np.float64) / temperature
    shares = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _check_shapes(session: InferenceSession, description: Description, directory: Path) -> None:
    size = description.size
    found = [part.shape[1:] for part in (*session.get_inputs(), *session.get_outputs())]
    if found != [[size, size, 3], [len(description.classes)]]:
        raise ArtifactError(
            f"{directory / ONNX} does not fit {DESCRIPTION}: its shapes are {found}, not those of "
            f"{size} pixels a side and {len(description.classes)} classes; fetch both anew"
        )
