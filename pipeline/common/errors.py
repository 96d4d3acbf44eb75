"""The one family of errors that a user can cause and mend.

Every message says what is wrong, where, and what to do. The command line prints it without a
traceback and exits with 1; any other exception is a defect of Bluelight and keeps its traceback.
"""


class BluelightError(Exception):
    """Something that the user can put right; the message says how."""


class ParamsError(BluelightError):
    """`params.yaml` is missing, malformed, or has a value that makes no sense."""


class SourceError(BluelightError):
    """The data source named by `fetch.source` cannot be read as a labelled set of images."""


class ImageError(BluelightError):
    """An image file cannot be used."""


class SplitError(BluelightError):
    """The images cannot be divided as `split` asks."""


class FeaturesError(BluelightError):
    """The features that `features` names cannot be computed."""


class TrainingError(BluelightError):
    """Training cannot go on with these data and params."""


class ArtifactError(BluelightError):
    """A model artifact is missing, damaged, or was made for something else."""


class PredictionError(BluelightError):
    """What is to be classified is not there, or the answers cannot be given in the form asked."""


class RevisionError(BluelightError):
    """A revision cannot be found, read or rebuilt."""


class MissingOutputError(RevisionError):
    """An output of a revision is in no place that can be reached.

    Attributes:
        path: Of the output.
        reason: Why, and how to get it; the same for all that are missing alike.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"missing {path} {reason}")
        self.path, self.reason = path, reason


class DemoError(BluelightError):
    """The demo page cannot be served."""


def one_line(error: BaseException) -> str:
    """Return the message of any library's error on one line, or its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
