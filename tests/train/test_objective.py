"""What training minimises, and what it shows instead: plain cross-entropy."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from pipeline.common.errors import TrainingError
from pipeline.common.params import Params
from pipeline.train.classifier import Classifier

LOGITS = torch.tensor([[2.0, -1.0], [0.5, 0.0], [-1.0, 1.5]])
LABELS = torch.tensor([0, 1, 1])


class Fixed(nn.Module):
    """A network that answers the same whatever it is shown."""

    def forward(self, images: Tensor) -> Tensor:
        del images
        return LOGITS


def classifier(params: Params, counts: list[int], **changes: Any) -> Classifier:
    train = params.train.model_copy(update=changes)
    data = {
        "classes": ["other", "emergency"],
        "counts": counts,
        "size": 8,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
    }
    module = Classifier(params.model, train, data)
    module.network = Fixed()  # type: ignore[assignment]
    module.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
    return module


def objective(module: Classifier) -> float:
    return float(module.training_step((torch.zeros(3, 8, 8, 3), LABELS), 0))


def measured(module: Classifier, name: str) -> float:
    meter: Any = module.meters[name]
    return float(meter.compute())


def mean_loss(targets: Tensor, weights: Tensor) -> float:
    return float(-(log_softmax(LOGITS, 1) * targets * weights).sum(1).mean())


def test_smoothing_spreads_a_share_over_all_classes(params: Params) -> None:
    targets = 0.8 * torch.eye(2)[LABELS] + 0.2 / 2
    module = classifier(params, [2, 4], label_smoothing=0.2)
    assert objective(module) == pytest.approx(mean_loss(targets, torch.ones(2)))


def test_weights_scale_the_images_of_their_class(params: Params) -> None:
    module = classifier(params, [2, 4], class_weights="balanced")
    expected = mean_loss(torch.eye(2)[LABELS], torch.tensor([1.5, 0.75]))
    assert objective(module) == pytest.approx(expected)


def test_losses_shown_are_plain_cross_entropies(params: Params) -> None:
    module = classifier(params, [2, 4], class_weights="balanced", label_smoothing=0.2)
    batch = torch.zeros(3, 8, 8, 3), LABELS
    plain = mean_loss(torch.eye(2)[LABELS], torch.ones(2))
    assert objective(module) != pytest.approx(plain, rel=0.01)
    module.validation_step(batch, 0)
    assert measured(module, "train_loss") == pytest.approx(plain)
    assert measured(module, "val_loss") == pytest.approx(plain)


def test_balanced_weights_give_every_class_the_same_sum(params: Params) -> None:
    counts = np.array([3, 1])
    weights = classifier(params, counts.tolist(), class_weights="balanced").class_weights.numpy()
    np.testing.assert_allclose(weights * counts, [2, 2])
    assert (weights * counts).sum() / counts.sum() == pytest.approx(1)
    plain = classifier(params, counts.tolist(), class_weights="none").class_weights
    assert plain.tolist() == [1, 1]


def test_a_class_without_images_cannot_be_balanced(params: Params) -> None:
    with pytest.raises(TrainingError, match="no training image of other, emergency"):
        classifier(params, [0, 0], class_weights="balanced")
    with pytest.raises(TrainingError, match="no training image of emergency, so"):
        classifier(params, [1, 0], class_weights="balanced")
