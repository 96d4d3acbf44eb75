"""A comparison as Markdown, and as one self-contained page with curves and pictures."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.common import paths
from pipeline.common.drawing import TRAIN, VALIDATION
from pipeline.common.errors import MissingOutputError
from pipeline.common.images import Pixels, decode, resize
from pipeline.common.plots import STYLE, png
from pipeline.revisions import wording
from pipeline.revisions.difference import Difference
from pipeline.revisions.predictions import Change
from pipeline.revisions.revisions import Table

SHOWN = 60  # changed answers with a picture
TILE = 128  # pixels a side
QUALITY = 80  # of JPEG: about 5 KB a picture
LINES = ("--", "-")  # the first revision, the second


@dataclass(frozen=True)
class Picture:
    """An image whose answer changed.

    Attributes:
        change: What was said of it.
        uri: The picture as a data URI; empty where it is missing.
    """

    change: Change
    uri: str


def markdown(difference: Difference) -> str:
    """The comparison as GitHub shows it."""
    return _render("diff.md.j2", difference)


def html(difference: Difference) -> str:
    """The comparison as one page that needs no other file."""
    pictures, missing = _pictures(difference)
    curves = {
        what: _data_uri("png", _curves(difference.histories, what))
        for what in ("loss", "accuracy")
        if difference.histories
    }
    return _render("diff.html.j2", difference, pictures=pictures, unseen=missing, curves=curves)


def _render(template: str, difference: Difference, **content: object) -> str:
    environment = Environment(
        loader=PackageLoader("pipeline.revisions", "templates"),
        autoescape=template.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|")
    return environment.get_template(template).render(d=difference, say=wording, **content)


def _curves(histories: Mapping[str, Table], what: str) -> bytes:
    """One figure over epochs, training and validation, of both revisions: PNG."""
    with rc_context(STYLE):
        figure = Figure(figsize=(5.6, 3.6), layout="constrained")
        axes = figure.subplots()
        for style, (title, history) in zip(LINES, histories.items(), strict=False):
            _curve(axes, history, what, title, style)
        axes.set(title=what.capitalize(), xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=True, axis="y")
        axes.legend(frameon=False, fontsize=8)
        return png(figure)


def _curve(axes: Axes, history: Table, what: str, title: str, style: str) -> None:
    epochs = [int(epoch) for epoch in history["epoch"]]
    for name, colour in (("train", TRAIN), ("val", VALIDATION)):
        values = [float(value) for value in history[f"{name}_{what}"]]
        kind = "training" if name == "train" else "validation"
        axes.plot(epochs, values, style, color=colour, label=f"{kind}, {title}")


def _pictures(difference: Difference) -> tuple[list[Picture], str]:
    """The images whose answer changed, and why some have no picture; empty where all have."""
    changed = [] if difference.answers is None else difference.answers.changed[:SHOWN]
    try:
        return [Picture(change, _uri(_photo(difference, change.image))) for change in changed], ""
    except MissingOutputError as error:
        return [Picture(change, "") for change in changed], str(error)


def _photo(difference: Difference, name: str) -> Pixels:
    """An image that is the same in both revisions, from whichever has it."""
    path = paths.RAW_IMAGES / name
    try:
        data = difference.new.read(path)
    except MissingOutputError:
        data = difference.old.read(path)
    return decode(data, name)


def _uri(photo: Pixels) -> str:
    small = resize(photo, TILE)
    data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return _data_uri("jpeg", data.tobytes())


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(data).decode("ascii")
