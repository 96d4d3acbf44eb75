"""docs/experiments.md does not rot: its commands run, and print what the page says."""

from pathlib import Path

import pytest

from tests.helpers.walkthrough import BLOCK, PAGE, made, play, shape


@pytest.mark.slow
def test_every_command_of_the_page_prints_what_the_page_says(tmp_path: Path) -> None:
    clone = made(tmp_path / "project")
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) > 5
    for block in blocks:
        assert shape(play(clone, block), clone) == shape(block, clone)


def test_tables_of_the_page_fit_a_terminal_of_160_columns() -> None:
    """`dvc exp show` and `dvc metrics diff` among them: metrics are few, with short names."""
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert max(len(line) for block in blocks for line in block.splitlines()) <= 160
