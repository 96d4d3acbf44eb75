"""The one family of errors that a user can cause and fix.

Every message says what is wrong, where, and what to do. The command line prints it without a
traceback and exits with 1. `message_of` does the same for errors of the file system; any other
exception is a defect of Bluelight and keeps its traceback.
"""

import errno
import sys


class BluelightError(Exception):
    """Something that the user can fix; the message says how."""


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
    """An input or option of `bluelight predict` is missing, unusable or contradictory."""


class RevisionError(BluelightError):
    """A revision cannot be found, read or rebuilt."""


class MissingOutputError(RevisionError):
    """An output of a revision can be reached nowhere.

    Attributes:
        path: The output.
        reason: Why it is missing, and how to get it; the same for outputs missing for one reason.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"missing {path} {reason}")
        self.path, self.reason = path, reason


class DemoError(BluelightError):
    """The demo page cannot be served."""


# What to do about an error of the file system, by its number.
REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space, then try again"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "change its permissions, or name another place"),
    errno.EROFS: "name a place that can be written",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path: a file stands where a folder should be",
    errno.EISDIR: "name a file, not a folder",
    errno.ENAMETOOLONG: "shorten the name",
    errno.ELOOP: "mend the link, which leads back to itself",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    errno.EFBIG: "raise the limit of file sizes (`ulimit -f`), or use a smaller file",
}


def message_of(error: BaseException) -> str | None:
    """Say what is wrong and what to do, if the user or the machine caused an error.

    Returns:
        The message, with a line for each fault; None for a defect of Bluelight, which keeps its
        traceback.
    """
    if isinstance(error, ParamsError):
        return str(error)
    if isinstance(error, BluelightError):
        return str(error).replace("\n", "\\n")  # it is in a name
    if isinstance(error, MemoryError):
        return "memory ran out; free some, or work on less at a time"
    if isinstance(error, OSError) and error.errno is not None:
        remedy = REMEDIES.get(error.errno, "check the disk and the path")
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror}; {remedy}"
    if isinstance(error, UnicodeEncodeError):
        return f"{error.object!r} cannot be written as {error.encoding}; rename the file"
    return None


def interruption_of(error: BaseException | None) -> BaseException | None:
    """Find the exit that a signal asked for, if `error` is that or what became of it.

    A signal may come while a thread waits for another; what Python's locks raise then (`cannot
    release un-acquired lock`) hides the exit, which is its context.
    """
    while error is not None and not isinstance(error, KeyboardInterrupt | SystemExit):
        error = error.__context__
    return error


def complain(message: str, prefix: str = "bluelight") -> None:
    """Print each line of an error message on stderr, without what could control a terminal."""
    for line in message.split("\n"):
        print(f"{prefix}: {printable(line)}", file=sys.stderr)


def printable(text: str) -> str:
    """Return `text` with control characters, and bytes that are not UTF-8, as escapes."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def one_line(error: BaseException) -> str:
    """Return the message of any library's error on one line, or its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
