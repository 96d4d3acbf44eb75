"""The benchmark of calibration: temperatures per fold, and a table of means with intervals."""

import numpy as np
import pytest

from benchmarks.calibration import Fold, show, temperatures
from pipeline.common.datasets import PackedSplit

DRAW = np.random.default_rng(0)
TRUE = DRAW.normal(0, 2, (300, 2)).astype(np.float32)
SHARES = 1 / (1 + np.exp(TRUE[:, 0] - TRUE[:, 1]))
LABELS = (DRAW.random(300) < SHARES).astype(np.int64)
# Networks whose logits are too large by 4, by 1 and by 1.
FOLDS = [Fold(TRUE * heat, TRUE * heat, LABELS, np.arange(300)) for heat in (4, 1, 1)]


def test_each_way_of_choosing_a_temperature(capsys: pytest.CaptureFixture[str]) -> None:
    found = temperatures(FOLDS)
    assert found["1"] == [1, 1, 1]
    assert found["fitted"] == pytest.approx(
        [4 * found["fitted"][1], *found["fitted"][1:]], rel=1e-3
    )
    assert found["fitted where shown"] == [found["fitted"][0], 1, 1]
    assert found["out of fold"][0] == pytest.approx(found["fitted"][1], rel=1e-3)
    assert found["out of fold"][1] > 1.2
    assert capsys.readouterr().out.startswith("fold 0: ")


def test_the_table_shows_what_a_temperature_gains(capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"{index}.png" for index in range(300)]
    pixels = np.zeros((300, 1, 1, 3), dtype=np.uint8)
    show(FOLDS, PackedSplit(pixels, LABELS, names, names, ["other", "emergency"], 1))
    printed = capsys.readouterr().out
    (row,) = [
        line for line in printed.splitlines() if "fitted where shown" in line and "loss" in line
    ]
    gain = row.split("│")[-2].split()[0]
    assert float(gain) < -0.05
    assert "300 test images, 3 folds" in printed
