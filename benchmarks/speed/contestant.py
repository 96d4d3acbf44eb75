"""Shared by all contestants: their arguments, and the line of JSON that each prints.

Uses the standard library only, as contestants run in separate environments.
"""

import argparse
import json

SIZE = 64  # pixels a side
BATCH = 64
HIDDEN = (512, 128)
DROPOUT = 0.5
LEARNING_RATE = 1e-3


def arguments() -> argparse.Namespace:
    """`data` (the folder that `benchmarks.speed.data` wrote), `epochs` and `threads`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def report(**seconds: list[float]) -> None:
    """Print what was measured, seconds of each epoch, as one line of JSON."""
    print(
        json.dumps(
            {name: [round(value, 6) for value in values] for name, values in seconds.items()}
        )
    )
