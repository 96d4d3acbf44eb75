"""What training minimises, and what it shows instead: plain cross-entropy."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from pipeline.common.errors import TrainingError
from pipeline.common.params import Params
from pipeline.train.classifier import Classifier, class_weights

LOGITS = torch.tensor([[2.0, -1.0], [0.5, 0.0], [-1.0, 1.5]])
LABELS = torch.tensor([0, 1, 1])


class Fixed(nn.Module):
    """A network that answers the same whatever it is shown."""

    def forward(self, images: Tensor) -> Tensor:
        del images
        return LOGITS


def classifier(params: Params, weights: list[float], **changes: Any) -> Classifier:
    module = Classifier(Fixed(), weights, params.train.model_copy(update=changes))
    module.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
    return module


def objective(module: Classifier) -> float:
    return float(module.training_step((torch.zeros(3, 8, 8, 3), LABELS), 0))


def mean_loss(targets: Tensor, weights: Tensor) -> float:
    return float(-(log_softmax(LOGITS, 1) * targets * weights).sum(1).mean())


def test_smoothing_spreads_a_share_over_all_classes(params: Params) -> None:
    targets = 0.8 * torch.eye(2)[LABELS] + 0.2 / 2
    module = classifier(params, [1.0, 1.0], label_smoothing=0.2)
    assert objective(module) == pytest.approx(mean_loss(targets, torch.ones(2)))


def test_weights_scale_the_images_of_their_class(params: Params) -> None:
    module = classifier(params, [1.5, 0.75])
    expected = mean_loss(torch.eye(2)[LABELS], torch.tensor([1.5, 0.75]))
    assert objective(module) == pytest.approx(expected)


def test_losses_shown_are_plain_cross_entropies(params: Params) -> None:
    module = classifier(params, [1.5, 0.75], label_smoothing=0.2)
    batch = torch.zeros(3, 8, 8, 3), LABELS
    plain = mean_loss(torch.eye(2)[LABELS], torch.ones(2))
    assert objective(module) != pytest.approx(plain, rel=0.01)
    module.validation_step(batch, 0)
    assert float(module.train_meters.loss.compute()) == pytest.approx(plain)
    assert float(module.val_meters.loss.compute()) == pytest.approx(plain)


def test_balanced_weights_give_every_class_the_same_sum() -> None:
    labels = np.array([0, 0, 0, 1, 2, 2], dtype=np.int64)
    weights = np.array(class_weights("balanced", labels, ["a", "b", "c"]))
    np.testing.assert_allclose(weights * np.bincount(labels), [2, 2, 2])
    assert weights[labels].mean() == pytest.approx(1)
    assert class_weights("none", labels, ["a", "b", "c"]) == [1, 1, 1]


def test_a_class_without_images_cannot_be_balanced() -> None:
    with pytest.raises(TrainingError, match="no training image of b, d"):
        class_weights("balanced", np.array([0, 2, 2], dtype=np.int64), ["a", "b", "c", "d"])
