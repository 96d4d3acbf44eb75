"""Every metric of a set of predictions, each image counted once."""

import numpy as np

from pipeline.common.metrics import Predictions, weighted_metrics


def measure(predictions: Predictions) -> dict[str, float]:
    values = weighted_metrics(predictions, np.ones((len(predictions.labels), 1)))
    return {name: float(value[0]) for name, value in values.items()}
