"""The report: one self-contained page, and the same in short as Markdown."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.ablate.outcomes import Comparison, flat, statement
from pipeline.ablate.technique_figures import normalised
from pipeline.common import wording
from pipeline.report.copies import Card

WORDS = (
    wording.number,
    wording.span,
    wording.cell,
    wording.verdict,
    statement,
    wording.difference,
)


@dataclass(frozen=True)
class Content:
    """Everything that the report shows.

    Attributes:
        model: `model.json` of the artifact.
        train: Metrics of the training run.
        test: Metrics on the test split.
        references: Metrics of the reference points on it, by their names.
        audit: The audit of the split.
        copies: Groups of copies with their pictures.
        figures: PNG bytes by name: overview, loss, accuracy, mistakes, uncertain, augmentation,
            contact_sheet, those of `result_figures.draw_results` and of
            `technique_figures.draw_all`.
        techniques: The techniques compared.
    """

    model: Mapping[str, Any]
    train: Mapping[str, Any]
    test: Mapping[str, Any]
    references: Mapping[str, Any]
    audit: Mapping[str, Any]
    copies: Sequence[Card]
    figures: Mapping[str, bytes]
    techniques: Comparison


def render(template: str, content: Content) -> str:
    """Fill a template of this package.

    Args:
        template: `report.html.j2` or `report.md.j2`.
        content: What to fill in.
    """
    environment = Environment(
        loader=PackageLoader("pipeline.report", "templates"),
        autoescape=template.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["percent"] = lambda share: f"{100 * share:.1f}\N{NO-BREAK SPACE}%"
    environment.filters["data_uri"] = _data_uri
    environment.filters["flat"] = flat
    environment.filters["capitalised"] = lambda text: text[:1].upper() + text[1:]
    for word in WORDS:
        environment.globals[word.__name__] = word
    environment.globals["normalised"] = normalised
    level = f"{content.test['confidence']:.0%}".replace("%", "\N{NO-BREAK SPACE}%")
    return environment.get_template(template).render(vars(content), level=level)


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
