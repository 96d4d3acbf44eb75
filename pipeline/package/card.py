"""The model card, in Markdown (Mitchell et al., 2019)."""

from pipeline.common.artifact import Description


def model_card(description: Description) -> str:
    """What the model is, how good it was, how it decides and what it is not for."""
    classes = ", ".join(f"`{name}`" for name in description.classes)
    layers = " → ".join(str(units) for units in description.architecture["hidden"]) or "none"
    size = description.size
    counts = ", ".join(f"{value:,} {key}" for key, value in description.data["images"].items())
    metrics = "\n".join(f"| {key} | {value:.4f} |" for key, value in description.metrics.items())
    return f"""# {description.name}

A regularised multilayer perceptron that tells {classes} apart in photos.

- **Input** an RGB photo, resized to {size}x{size} pixels; normalisation is part of the network.
- **Output** a probability for each class, and a label.
- **Hidden layers** {layers} units, {description.architecture["activation"]}, \
batch normalisation {"on" if description.architecture["batch_norm"] else "off"}, \
dropout {description.architecture["dropout"]}.
- **Label** {_label(description)}.
- **Made by** Bluelight {description.version}, from {counts} images \
(content `{description.data["content_hash"][:12]}`).

| validation metric | value |
|---|---|
{metrics}

These are figures of the images that chose the epoch, the temperature and the threshold, and so
too good; those of the test split are in the report.

## How to use it

```sh
bluelight predict PHOTOS --model {description.name}
```

```python
from pipeline import load
load("{description.name}").predict(["photo.jpg"])
```

`model.onnx` needs nothing of Bluelight: input `images`, uint8 [N, {size}, {size}, 3] RGB, output
`logits`, float32 [N, {len(description.classes)}]. Softmax of logits / \
{description.decision.temperature} gives the probabilities, in this order: {classes}. \
`model.safetensors` has
the weights alone; `model.json` the classes, the architecture, how the label is decided, all
parameters of the training, and the hash of its data.

## What it is not for

It is for study and a baseline. It sees a small thumbnail and knows colours and coarse layout, not
what a vehicle is: do not let it decide anything that matters to somebody's safety. It answers for
any picture, also for one without a vehicle. Photos unlike those it was trained on (other countries'
liveries, night, drawings) are beyond what its figures speak of.
"""


def _label(description: Description) -> str:
    decision = description.decision
    if decision.threshold is None:
        return "the most probable class"
    return (
        f"`{decision.positive}` where its probability is at least {decision.threshold} "
        f"(rule `{decision.rule}`, on the validation split)"
    )
