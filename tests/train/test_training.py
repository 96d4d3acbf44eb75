"""Training: repeatable to the bit, stopping and choosing weights as params say."""

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from pipeline.common import paths
from pipeline.common.artifact import read_network
from pipeline.common.datasets import load_packed
from pipeline.common.errors import TrainingError
from pipeline.common.files import read_json
from pipeline.common.params import Params
from pipeline.train import stage
from pipeline.train.datamodule import ImageDataModule
from pipeline.train.fit import Fit, fit
from pipeline.train.stage import _warn_of_divergence
from tests.helpers.data import Pack


def with_train(params: Params, **changes: Any) -> Params:
    return params.model_copy(update={"train": params.train.model_copy(update=changes)})


def with_callbacks(params: Params, early_stopping: bool, checkpoint: bool) -> Params:
    return params.model_copy(
        update={
            "early_stopping": params.early_stopping.model_copy(
                update={"enabled": early_stopping, "patience": 2, "min_delta": 0.01}
            ),
            "checkpoint": params.checkpoint.model_copy(
                update={"enabled": checkpoint, "monitor": "val_loss", "mode": "min"}
            ),
        }
    )


class Runs:
    """Runs trainings on the same small data."""

    def __init__(self, pack: Pack, logs: Path) -> None:
        pack("train", 64)
        self.packed = pack("validation", 40).parent
        self.logs = logs

    def __call__(self, params: Params) -> Fit:
        data = ImageDataModule(self.packed, params.augment, params.train)
        with tempfile.TemporaryDirectory() as state:
            return fit(params, data, logs=self.logs, state=Path(state) / "run")


@pytest.fixture
def runs(pack: Pack, tmp_path: Path) -> Runs:
    return Runs(pack, tmp_path / "logs")


def weights(run: Fit) -> dict[str, torch.Tensor]:
    return run.classifier.network.state_dict()


def equal(one: Fit, other: Fit) -> bool:
    pairs = zip(weights(one).values(), weights(other).values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_same_params_same_bits_whatever_the_global_generator_holds(
    runs: Runs, params: Params
) -> None:
    first = runs(params)
    torch.manual_seed(12345)
    torch.rand(7)
    second = runs(params)
    assert equal(first, second)
    pd.testing.assert_frame_equal(first.history, second.history)


def test_workers_do_not_change_the_result(runs: Runs, params: Params) -> None:
    alone, helped = runs(params), runs(with_train(params, workers=2))
    assert equal(alone, helped)
    pd.testing.assert_frame_equal(alone.history, helped.history)


def test_another_seed_gives_another_run(runs: Runs, params: Params) -> None:
    assert not equal(runs(params), runs(with_train(params, seed=2)))


def test_it_learns(runs: Runs, params: Params) -> None:
    run = runs(with_train(params, epochs=25, learning_rate=0.01))
    losses = run.history["train_loss"].tolist()
    assert losses[-1] < 0.8 * losses[0]
    assert run.metrics["val_accuracy"] > 0.8


def test_without_callbacks_every_epoch_runs_and_the_last_weights_are_used(
    runs: Runs, params: Params
) -> None:
    run = runs(with_callbacks(params, early_stopping=False, checkpoint=False))
    assert run.history["epoch"].tolist() == [0, 1, 2]
    assert run.history["early_stopping_best"].isna().all()
    assert run.history["early_stopping_wait"].isna().all()
    assert run.metrics["used_epoch"] == 2


def test_early_stopping_ends_after_patience_and_keeps_the_last_weights(
    runs: Runs, params: Params
) -> None:
    # A rate this small improves nothing by min_delta: epoch 0 stays the best.
    still = with_train(params, epochs=20, learning_rate=1e-9)
    run = runs(with_callbacks(still, early_stopping=True, checkpoint=False))
    assert len(run.history) == 3
    assert run.metrics["used_epoch"] == 2


def test_the_history_has_what_early_stopping_decided_in_each_epoch(
    runs: Runs, params: Params
) -> None:
    wild = with_train(params, epochs=12, learning_rate=0.1, schedule="constant")
    history = runs(with_callbacks(wild, early_stopping=True, checkpoint=False)).history
    best = float("inf")
    waits: list[int] = []
    for epoch, loss in enumerate(history["val_loss"]):
        improved = loss < best - 0.01
        best = loss if improved else best
        waits.append(0 if improved else waits[-1] + 1)
        assert history["early_stopping_best"][epoch] == pytest.approx(best)
    assert history["early_stopping_wait"].tolist() == waits
    assert max(waits) == 2, "the test shows nothing if patience never runs out"
    assert waits.count(0) > 1, "nor if nothing improves"


def test_checkpointing_goes_back_to_the_best_epoch(runs: Runs, params: Params) -> None:
    wild = with_train(params, epochs=12, learning_rate=0.1, schedule="constant")
    run = runs(with_callbacks(wild, early_stopping=False, checkpoint=True))
    losses = run.history["val_loss"].tolist()
    assert run.metrics["used_epoch"] == losses.index(min(losses))
    assert run.metrics["used_epoch"] < 11, "the test shows nothing if the last epoch is the best"
    assert measured_loss(run, runs.packed / "validation") == pytest.approx(min(losses), abs=1e-5)


def test_the_gap_compares_images_as_they_are(runs: Runs, params: Params) -> None:
    run = runs(with_callbacks(with_train(params, epochs=3), False, True))
    training = measured_loss(run, runs.packed / "train")
    metrics = run.metrics
    assert metrics["unaugmented_train_loss"] == pytest.approx(training, abs=1e-5)
    assert metrics["overfitting_gap"] == pytest.approx(metrics["val_loss"] - training, abs=1e-5)
    assert abs(training - metrics["train_loss"]) > 0.001, "dropout should tell them apart"


def measured_loss(run: Fit, folder: Path) -> float:
    split = load_packed(folder)
    with torch.inference_mode():
        logits = run.classifier.network(torch.from_numpy(split.images.copy()))
    return float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(split.labels)))


def test_the_cosine_schedule_lowers_the_rate(runs: Runs, params: Params) -> None:
    cosine = runs(with_train(params, schedule="cosine")).history["learning_rate"]
    constant = runs(with_train(params, schedule="constant")).history["learning_rate"]
    rate = params.train.learning_rate
    assert cosine.tolist() == pytest.approx([rate, 0.75 * rate, 0.25 * rate])
    assert constant.nunique() == 1


def test_a_loss_that_is_not_finite_stops_with_causes(runs: Runs, params: Params) -> None:
    exploding = params.model_copy(
        update={"model": params.model.model_copy(update={"batch_norm": False, "dropout": 0.0})}
    )
    wild = with_train(exploding, learning_rate=10.0, epochs=400, weight_decay=10.0)
    with pytest.raises(TrainingError, match=r"epoch \d+, step \d+; lower train.learning_rate"):
        runs(wild)


def test_half_precision_trains_and_leaves_weights_in_full(runs: Runs, params: Params) -> None:
    run = runs(with_train(params, precision="bf16-mixed"))
    assert {weight.dtype for weight in run.classifier.network.parameters()} == {torch.float32}
    assert not run.history.equals(runs(params).history)


def test_a_run_that_diverged_says_so() -> None:
    assert _warn_of_divergence(0.693, classes=2) == ""
    assert "diverged, as guessing has 0.693" in _warn_of_divergence(47_730_164, classes=2)


@pytest.mark.usefixtures("runs")
def test_the_network_describes_what_trained_it(elsewhere: Path, params: Params) -> None:
    del elsewhere
    stage.run(params)
    found, _ = read_network(paths.NETWORK)
    assert found.architecture == params.model.model_dump()
    assert found.training == {
        "augment": params.augment.model_dump(),
        "train": params.train.model_dump(exclude={"workers"}),
        "early_stopping": params.early_stopping.model_dump(),
        "checkpoint": params.checkpoint.model_dump(),
    }
    assert found.features == {"kind": "pixels"}
    assert found.data["images"] == {"training": 64, "validation": 40}
    packed = load_packed(paths.PACKED / "train")
    assert found.mean == pytest.approx(packed.images.mean((0, 1, 2)) / 255, abs=1e-6)
    measured = read_json(paths.TRAIN_METRICS)
    assert found.metrics == {"loss": measured["val_loss"], "accuracy": measured["val_accuracy"]}
