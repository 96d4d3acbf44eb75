"""Calibrated probabilities, and the threshold at which they become a label.

Both are found on the validation split; nothing here reads the test split.
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from pipeline.common.artifact import Decision
from pipeline.common.errors import TrainingError
from pipeline.common.files import DIGITS
from pipeline.common.params import DecisionParams, Params
from pipeline.predict.classifier import calibrated

LARGEST = 20.0  # temperature; the smallest is its inverse, where no image is classified wrongly

Logits = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]


def decide(params: Params, logits: Logits, labels: Labels, classes: list[str]) -> Decision:
    """Fit the temperature, then choose the threshold on the probabilities that it gives.

    Args:
        params: `decision` and `evaluate.positive`.
        logits: Of the validation images, float32 [N, classes].
        labels: int64 [N].
        classes: Names in the order of the labels.

    Raises:
        TrainingError: No validation image is of the positive class.
    """
    temperature = fit_temperature(logits, labels)
    name, rule = params.evaluate.positive, params.decision.rule
    positive = name if name in classes else None
    if positive is None or len(classes) != 2 or rule == "most_probable":
        return Decision(
            temperature=temperature, positive=positive, threshold=None, rule="most_probable"
        )
    row = classes.index(positive)
    scores = calibrated(logits, temperature)[:, row]
    threshold = choose_threshold(params.decision, scores, labels == row)
    return Decision(temperature=temperature, positive=positive, threshold=threshold, rule=rule)


def fit_temperature(logits: Logits, labels: Labels) -> float:
    """Find the temperature with the least cross-entropy (Guo et al., 2017).

    It changes no image's most probable class. The loss is convex in the inverse temperature, so
    there is one minimum.

    Args:
        logits: float32 [N, classes].
        labels: int64 [N].

    Returns:
        A number in 1/20…20, rounded to 6 digits.
    """
    end = np.log(LARGEST)
    found = minimize_scalar(
        lambda log: cross_entropy(logits, labels, np.exp(log)),
        bounds=(-end, end),
        method="bounded",
        options={"xatol": 1e-7},
    )
    return round(float(np.exp(found.x)), DIGITS)


def cross_entropy(logits: Logits, labels: Labels, temperature: float) -> float:
    """Mean cross-entropy, in nats, of logits [N, classes] divided by the temperature."""
    log_probabilities = log_softmax(logits.astype(np.float64) / temperature, axis=1)
    return float(-log_probabilities[np.arange(len(labels)), labels].mean())


def choose_threshold(
    params: DecisionParams, scores: Scores, is_positive: npt.NDArray[np.bool_]
) -> float:
    """Choose the threshold that the rule asks for.

    The candidates are 0, 1 and the middle between each score and the next. `cost` takes the
    cheapest, and of several the one nearest to the optimum of calibrated probabilities,
    1 / (1 + miss_cost) (Elkan, 2001). `recall` takes the highest, and so the one with the fewest
    false alarms, that reaches the recall asked for.

    Args:
        params: Rule, cost of a miss, recall.
        scores: Calibrated probability of the positive class, float64 [N].
        is_positive: Which images are of it, bool [N].

    Returns:
        A number in 0…1 of 6 digits: an image whose probability reaches it is predicted positive.

    Raises:
        TrainingError: No image is positive, so there is nothing to choose by.
    """
    if not is_positive.any():
        raise TrainingError(
            "the validation split has no image of the class evaluate.positive, so no threshold "
            "can be chosen; set decision.rule to most_probable, or split again"
        )
    ordered = np.unique(scores)
    middles = (ordered[1:] + ordered[:-1]) / 2
    candidates = np.unique(np.round([0.0, *middles, 1.0], DIGITS))
    missed, rejected = (
        np.searchsorted(np.sort(scores[chosen]), candidates, side="left")
        for chosen in (is_positive, ~is_positive)
    )
    if params.rule == "recall":
        enough = 1 - missed / is_positive.sum() >= params.recall - 1e-9
        return float(candidates[enough].max())
    costs = params.miss_cost * missed + (~is_positive).sum() - rejected
    cheapest = candidates[costs == costs.min()]
    return float(cheapest[np.abs(cheapest - 1 / (1 + params.miss_cost)).argmin()])
