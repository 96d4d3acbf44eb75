"""Names that come from users are text in plots, pages and on the terminal, and nothing else."""

import pytest
from matplotlib.figure import Figure

from pipeline.common.drawing import plot
from pipeline.common.errors import PredictionError, complain, message_of
from pipeline.common.resampling import code


@pytest.mark.parametrize("name", ["$x_$", "$", r"$\frac{$", r"\mathit{", "a$b$c_"])
def test_dollars_are_no_formula_in_a_plot(name: str) -> None:
    def draw(title: str) -> Figure:
        figure = Figure()
        figure.subplots().set_title(title)
        return figure

    assert plot(draw)(name).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "span"),
    [
        ("cat", "`cat`"),
        ("<script>", "`<script>`"),
        ("a`b", "`` a`b ``"),
        ("``", "``` `` ```"),
        ("a\nb", r"`a\nb`"),
    ],
)
def test_nothing_ends_a_code_span(name: str, span: str) -> None:
    assert code(name) == span


def test_a_message_is_one_line_without_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    complain(message_of(PredictionError("a\nb\x1b[2J\udce9 not found")) or "")
    assert capsys.readouterr().err == "bluelight: a\\nb\\x1b[2J\\udce9 not found\n"
