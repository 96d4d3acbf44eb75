"""Calibrated probabilities, and the threshold at which they become a label.

Both are found on the validation split; nothing here reads the test split. Probabilities are
softmax(logits / temperature + prior correction).

Temperature: the validation images have chosen the epoch, so a temperature fitted on them says
little unless it is clearly not 1. It is used only where its bootstrap interval excludes 1; what
that is worth was measured over the folds of two data sets: docs/prediction.md.

Prior correction: `train.class_weights: balanced` teaches the network the probabilities of classes
that are equally frequent, and no temperature turns them into those of the real frequencies. The
logarithm of each class's frequency, added to its logit, does (Saerens, Latinne & Decaestecker,
2002).
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from pipeline.common.artifact import Decision
from pipeline.common.datasets import PackedSplit
from pipeline.common.errors import TrainingError
from pipeline.common.files import DIGITS
from pipeline.common.params import DecisionParams, Params
from pipeline.common.resampling import Groups, Interval, Resampling, Values, percentile, resampled

LARGEST = 20.0  # temperature; the smallest is its inverse, where no image is classified wrongly

Logits = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]


def decide(
    params: Params, logits: Logits, validation: PackedSplit, correction: list[float]
) -> tuple[Decision, dict[str, float]]:
    """Choose the temperature, then the threshold on the probabilities that it gives.

    Args:
        params: `decision` and `evaluate`.
        logits: Of the validation images, float32 [N, classes].
        validation: The images' labels, groups and classes.
        correction: Of `prior_correction`; empty for none.

    Returns:
        The decision, and metrics of what it comes to on these images, which chose it.

    Raises:
        TrainingError: No validation image is of the positive class.
    """
    labels, classes = validation.labels, validation.classes
    groups = np.unique(validation.groups, return_inverse=True)[1]
    how = Resampling(params.evaluate.confidence, params.evaluate.bootstrap)
    fitted, interval = fit_temperature(logits, labels, correction, groups, how)
    # At its limits no temperature is best: every image is classified correctly, or nothing learnt.
    is_best = 1.01 / LARGEST < fitted < 0.99 * LARGEST
    is_shown = interval.low > 1 or interval.high < 1
    temperature = fitted if is_best and is_shown else 1.0
    probabilities = calibrated(logits, temperature, correction)
    metrics = {
        "fitted_temperature": fitted,
        "fitted_temperature_low": interval.low,
        "fitted_temperature_high": interval.high,
        "calibrated_loss": cross_entropy(logits, labels, temperature, correction),
    }
    name, rule = params.evaluate.positive, params.decision.rule
    positive, threshold = name if name in classes else None, None
    if positive is None or len(classes) != 2 or rule == "most_probable":
        rule = "most_probable"
    else:
        row = classes.index(positive)
        scores, is_positive = probabilities[:, row], labels == row
        threshold = choose_threshold(params.decision, scores, is_positive)
        called = scores >= threshold
        metrics["recall_at_threshold"] = float(called[is_positive].mean())
        metrics["false_alarm_rate_at_threshold"] = float(called[~is_positive].mean())
    decision = Decision(
        temperature=temperature,
        prior_correction=correction,
        positive=positive,
        threshold=threshold,
        rule=rule,
    )
    return decision, metrics


def prior_correction(labels: Labels, classes: int) -> list[float]:
    """Log-frequency of each class, relative to classes that are equally frequent.

    Args:
        labels: Of the training images, int64 [N]; every class occurs.
        classes: Number of classes.
    """
    counts = np.bincount(labels, minlength=classes)
    found: list[float] = np.log(counts / counts.mean()).round(DIGITS).tolist()
    return found


def calibrated(logits: Logits, temperature: float, correction: list[float]) -> Scores:
    """Probabilities of logits [N, classes], float64, to the 6 decimals that predictions have."""
    return np.asarray(softmax(_scaled(logits, temperature, correction), axis=1).round(DIGITS))


def cross_entropy(
    logits: Logits, labels: Labels, temperature: float, correction: list[float]
) -> float:
    """Mean cross-entropy, in nats, of the probabilities that logits [N, classes] give."""
    log_probabilities = log_softmax(_scaled(logits, temperature, correction), axis=1)
    return float(-log_probabilities[np.arange(len(labels)), labels].mean())


def fit_temperature(
    logits: Logits, labels: Labels, correction: list[float], groups: Groups, how: Resampling
) -> tuple[float, Interval]:
    """Find the temperature with the least cross-entropy (Guo et al., 2017), and its interval.

    It changes no image's most probable class. The loss is convex in the inverse temperature, so
    there is one minimum. Each resample takes one Newton step from there, in the logarithm of the
    temperature, rather than a fit of its own.

    Args:
        logits: float32 [N, classes].
        labels: int64 [N].
        correction: Prior correction; empty for none.
        groups: Group of each image, int64 [N]; duplicates are drawn together.
        how: How to make the interval.

    Returns:
        A temperature in 1/20…20, rounded to 6 digits, and its percentile interval.
    """
    end = np.log(LARGEST)
    found = minimize_scalar(
        lambda log: cross_entropy(logits, labels, float(np.exp(log)), correction),
        bounds=(-end, end),
        method="bounded",
        options={"xatol": 1e-7},
    )
    temperature, values = float(np.exp(found.x)), logits.astype(np.float64)
    shares = softmax(_scaled(logits, temperature, correction), axis=1)
    mean = (shares * values).sum(axis=1)
    # Derivatives of each image's loss by the inverse temperature.
    gradient = mean - values[np.arange(len(labels)), labels]
    curvature = (shares * values**2).sum(axis=1) - mean**2

    def one_step(weights: Values) -> dict[str, Values]:
        slope = temperature * (gradient @ weights) / np.maximum(curvature @ weights, 1e-12)
        return {"temperature": np.exp((found.x + slope).clip(-end, end))}

    drawn = resampled(one_step, len(labels), how, groups)["temperature"]
    return round(temperature, DIGITS), percentile(drawn, how)


def _scaled(logits: Logits, temperature: float, correction: list[float]) -> Scores:
    scaled: Scores = logits.astype(np.float64) / temperature + np.array(correction or [0.0])
    return scaled


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
