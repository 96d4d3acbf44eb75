"""Honest probabilities, and the threshold at which they become a label; from the validation split.

Nothing here reads the test split.
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from pipeline.common.errors import TrainingError
from pipeline.common.params import DecisionParams

DIGITS = 6  # beyond them, processors differ
HOTTEST = 20.0  # logits twenty times too large; and the inverse, where no image is answered wrongly

Logits = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]


def fit_temperature(logits: Logits, labels: Labels) -> float:
    """The temperature that makes the logits' probabilities most likely (Guo et al., 2017).

    It moves no image to another most probable class. The loss is convex in its inverse, so there is
    one minimum.

    Args:
        logits: float32 [N, classes].
        labels: int64 [N].

    Returns:
        A number in 1/20…20, rounded to 6 digits.
    """
    end = np.log(HOTTEST)
    found = minimize_scalar(
        lambda log: cross_entropy(logits, labels, np.exp(log)),
        bounds=(-end, end),
        method="bounded",
        options={"xatol": 1e-7},
    )
    return round(float(np.exp(found.x)), DIGITS)


def cross_entropy(logits: Logits, labels: Labels, temperature: float) -> float:
    """Mean cross-entropy, in nats, of logits [N, classes] divided by the temperature."""
    shares = log_softmax(logits.astype(np.float64) / temperature, axis=1)
    return float(-shares[np.arange(len(labels)), labels].mean())


def choose_threshold(
    params: DecisionParams, scores: Scores, is_positive: npt.NDArray[np.bool_]
) -> float:
    """The threshold that the rule asks for.

    Args:
        params: `cost` takes the cheapest, and of equals the one next to the one that calibrated
            probabilities would need (Elkan, 2001); `recall` the highest, thus with the fewest false
            alarms, that finds the share asked for.
        scores: Calibrated probability of the positive class, float64 [N].
        is_positive: Which images are of it, bool [N].

    Returns:
        A number in 0…1 of 6 digits: an image whose probability reaches it is called positive.

    Raises:
        TrainingError: No image is positive, so there is nothing to choose by.
    """
    if not is_positive.any():
        raise TrainingError(
            "the validation split has no image of the class evaluate.positive, so no threshold "
            "can be chosen; set decision.rule to most_probable, or split anew"
        )
    candidates = _candidates(scores)
    missed = _below(candidates, scores[is_positive])
    alarms = (~is_positive).sum() - _below(candidates, scores[~is_positive])
    if params.rule == "recall":
        enough = 1 - missed / is_positive.sum() >= params.recall - 1e-9
        return float(candidates[enough].max())
    costs = params.miss_cost * missed + alarms
    cheapest = candidates[costs == costs.min()]
    return float(cheapest[np.abs(cheapest - 1 / (1 + params.miss_cost)).argmin()])


def _candidates(scores: Scores) -> Scores:
    """Both ends, and the middle between each score and the next: far from any image's own."""
    ordered = np.unique(scores)
    middles = (ordered[1:] + ordered[:-1]) / 2
    return np.unique(np.round([0.0, *middles, 1.0], DIGITS))


def _below(candidates: Scores, scores: Scores) -> npt.NDArray[np.int64]:
    """How many scores fail to reach each candidate."""
    return np.searchsorted(np.sort(scores), candidates, side="left")
