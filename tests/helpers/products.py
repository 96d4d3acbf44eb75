"""Print the bits of a few training steps and augmented images: what a processor could change.

    python -m tests.helpers.products

A twentieth of stage `train`'s imports, for an emulator that takes a minute for those of PyTorch;
`benchmarks/processors.py` runs all stages there.
"""

from hashlib import sha256

from pipeline.common.environment import limit_instructions

limit_instructions(torch=True)

import numpy as np  # noqa: E402 - after the limit
import torch  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402

from pipeline.common.params import load_params  # noqa: E402
from pipeline.train.augmentation import Augmentation  # noqa: E402
from pipeline.train.mlp import MLP  # noqa: E402
from tests.helpers.imports import ROOT  # noqa: E402

IMAGES, BATCH, SIZE = 40, 16, 8


def main() -> None:
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (IMAGES, SIZE, SIZE, 3), np.uint8)
    augment = Augmentation(load_params(ROOT / "params.yaml").augment, seed=1)
    augmented = np.stack([augment(image, 0, index) for index, image in enumerate(images)])
    print("images", sha256(augmented.tobytes()).hexdigest())
    inputs = torch.from_numpy(augmented)
    labels = torch.from_numpy(draw.integers(0, 2, IMAGES))
    torch.manual_seed(0)
    network = MLP(
        size=SIZE,
        classes=2,
        mean=[0.4, 0.5, 0.6],
        std=[0.2, 0.2, 0.3],
        hidden=[32, 8],
        activation="relu",
        batch_norm=True,
        dropout=0.5,
    )
    weights: list[torch.Tensor] = list(network.parameters())
    means, squares = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
    for number, start in enumerate(range(0, IMAGES, BATCH), start=1):
        batch = slice(start, start + BATCH)
        loss = cross_entropy(network(inputs[batch]), labels[batch])
        print("loss", float(loss.detach()).hex())
        gradients = list(torch.autograd.grad(loss, weights))
        with torch.no_grad():
            # The kernel of AdamW(fused=True), whose class imports the compiler.
            torch._fused_adamw_(
                weights,
                gradients,
                means,
                squares,
                [],
                [torch.tensor(float(number)) for _ in weights],
                lr=0.001,
                beta1=0.9,
                beta2=0.999,
                weight_decay=0.01,
                eps=1e-8,
                amsgrad=False,
                maximize=False,
            )
    for name, values in network.state_dict().items():
        print(name, sha256(values.numpy().tobytes()).hexdigest())


if __name__ == "__main__":
    main()
