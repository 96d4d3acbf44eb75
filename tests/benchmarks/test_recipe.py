"""The variants that benchmarks/recipe.py compares: an hour is long to wait for a misspelt key."""

from collections.abc import Iterator

import pytest

from benchmarks.recipe import VARIANTS, Run, change, interval, print_rows, row
from pipeline.common.params import Params


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_valid_and_differs_from_params_yaml(params: Params, name: str) -> None:
    assert change(params, VARIANTS[name]) != params


def test_an_interval_is_students() -> None:
    assert interval([1.0, 2.0, 3.0], 2) == "2.00 ± 2.48"  # 4.303 * 1 / sqrt(3)


def test_differences_are_paired() -> None:
    default = [Run(0.5, 0.7, 9), Run(0.9, 0.3, 9)]
    better = [Run(0.6, 0.7, 9), Run(1.0, 0.3, 9)]
    assert row("better", better, default)[3] == "10.0 ± 0.0"


def test_a_row_is_printed_before_the_next_is_computed(capsys: pytest.CaptureFixture[str]) -> None:
    def rows() -> Iterator[list[str]]:
        yield ["first", "1", "", "", "", ""]
        assert "first" in capsys.readouterr().out
        yield ["second", "1", "", "", "", ""]

    print_rows(rows())
    assert "second" in capsys.readouterr().out
