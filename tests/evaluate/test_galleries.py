"""Galleries show the surest mistakes and the least certain answers, with their files' names."""

import numpy as np

from pipeline.common.metrics import Predictions
from pipeline.evaluate.galleries import SHOWN, WIDTH, captions, least_certain, surest_mistakes

SCORES = np.array([0.9, 0.2, 0.55, 0.7, 0.05])
LABELS = np.array([0, 1, 1, 0, 0])
SHOWN_HERE = Predictions.most_probable(LABELS, np.stack([1 - SCORES, SCORES], axis=1), 1)
NAMES = ["a.jpg", "b.jpg", "c.jpg", "a/long/way/down/to/one/photo-12345.jpg", "e.jpg"]


def test_the_surest_mistake_comes_first() -> None:
    assert surest_mistakes(SHOWN_HERE).tolist() == [0, 1, 3]


def test_the_least_certain_comes_first_right_or_wrong() -> None:
    assert least_certain(SHOWN_HERE).tolist() == [2, 3, 1, 0, 4]


def test_galleries_are_no_longer_than_they_are_shown() -> None:
    many = Predictions.most_probable(np.ones(50, dtype=np.int64), np.tile([0.6, 0.4], (50, 1)), 1)
    assert surest_mistakes(many).tolist() == least_certain(many).tolist() == list(range(SHOWN))


def test_captions_have_the_name_the_truth_and_the_answer() -> None:
    found = captions(SHOWN_HERE, np.array([0, 2]), NAMES, ["other", "emergency"])
    assert found == ["a.jpg\nother\nsaid emergency, 90%", "c.jpg\nemergency\nright, 55%"]


def test_a_long_name_keeps_both_ends() -> None:
    (found,) = captions(SHOWN_HERE, np.array([3]), NAMES, ["other", "emergency"])
    name = found.splitlines()[0]
    assert len(name) == WIDTH
    assert name.startswith("a/long/way/")
    assert name.endswith("12345.jpg")
