"""Mixup: mixtures of neighbours, in shares that only seed and step decide."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import beta, kstest
from torch import Tensor, nn

from pipeline.learning.classifier import Classifier
from pipeline.learning.mixup import mix, mixing_share
from pipeline.params import Params
from tests.conftest import Pack
from tests.resuming import resumes_exactly

IMAGES = torch.arange(4 * 2 * 2 * 3, dtype=torch.uint8).reshape(4, 2, 2, 3)
LABELS = torch.tensor([0, 1, 2, 1])


def mixing(params: Params, **changes: Any) -> Params:
    train = params.train.model_copy(update={"mixup": 0.4} | changes)
    return params.model_copy(update={"train": train})


def test_images_and_labels_are_mixed_in_the_same_shares() -> None:
    images, targets = mix(IMAGES, LABELS, classes=3, share=0.75)
    torch.testing.assert_close(images[2], 0.75 * IMAGES[2] + 0.25 * IMAGES[1])
    torch.testing.assert_close(targets[2], torch.tensor([0.0, 0.25, 0.75]))
    torch.testing.assert_close(images[0], 0.75 * IMAGES[0] + 0.25 * IMAGES[3])
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(4))


def test_the_whole_share_leaves_images_as_they_are() -> None:
    images, targets = mix(IMAGES, LABELS, classes=3, share=1.0)
    assert torch.equal(images, IMAGES.float())
    assert torch.equal(targets.argmax(dim=1), LABELS)


def test_a_share_depends_on_seed_and_step_alone() -> None:
    assert mixing_share(0.2, 1, 5) == mixing_share(0.2, 1, 5)
    shares = {mixing_share(0.2, seed, step) for seed in range(5) for step in range(20)}
    assert len(shares) == 100


def test_shares_follow_the_beta_distribution() -> None:
    shares = np.array([mixing_share(0.4, 1, step) for step in range(2000)])
    assert kstest(shares, beta(0.4, 0.4).cdf).pvalue > 0.001


class Seeing(nn.Module):
    """Remembers what it was shown; answers class 1."""

    def forward(self, images: Tensor) -> Tensor:
        self.images = images
        return torch.tensor([0.0, 9.0, 0.0]).expand(len(images), 3)


def test_training_sees_mixtures_and_validation_does_not(params: Params) -> None:
    network = Seeing()
    module = Classifier(network, [1.0] * 3, mixing(params).train)
    module.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
    share = mixing_share(0.4, params.train.seed, 0)
    module.training_step((IMAGES, LABELS), 0)
    assert torch.equal(network.images, mix(IMAGES, LABELS, classes=3, share=share)[0])
    module.validation_step((IMAGES, LABELS), 0)
    assert torch.equal(network.images, IMAGES)


@pytest.mark.parametrize("steps", range(4))
def test_accuracy_counts_the_larger_share(params: Params, steps: int) -> None:
    seeded = mixing(params, seed=steps)
    module = Classifier(Seeing(), [1.0] * 3, seeded.train)
    module.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
    module.training_step((IMAGES, LABELS), 0)
    larger = LABELS if mixing_share(0.4, steps, 0) > 0.5 else LABELS.roll(1)
    expected = (larger == 1).float().mean()
    assert float(module.train_meters.accuracy.compute()) == expected


def test_a_run_in_two_halves_equals_a_run_in_one(
    params: Params, pack: Pack, tmp_path: Path
) -> None:
    folders = pack("train", 32), pack("validation", 20)
    assert resumes_exactly(mixing(params, epochs=4), folders, tmp_path / "half.ckpt")
