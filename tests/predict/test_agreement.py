"""One prediction: the same label and probabilities in every file, command, page and interface."""

import json
import shutil
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import load
from pipeline.common import paths
from pipeline.common.artifact import Decision
from pipeline.common.datasets import SPLIT_COLUMNS, load_packed, read_table
from pipeline.common.files import read_json
from pipeline.common.params import Params
from pipeline.evaluate import stage as evaluate
from pipeline.pack.stage import pack
from pipeline.predict.command import predict
from tests.helpers import artifacts
from tests.helpers.artifacts import CLASSES
from tests.helpers.demos import served
from tests.helpers.pictures import encoded, write

IMAGES = 24
ROW = {name: index for index, name in enumerate(CLASSES)}


@pytest.fixture
def decided(params: Params, elsewhere: Path) -> Decision:
    """A project whose stage `evaluate` has run, with a threshold that is not 0.5."""
    names = [f"{index:02}.png" for index in range(IMAGES)]
    for index, name in enumerate(names):
        write(paths.RAW_IMAGES / name, encoded(index))
    for split in ("train", "validation", "test"):
        labels = [CLASSES[index % 2] for index in range(IMAGES)]
        table = zip(names, labels, [split] * IMAGES, names, [""] * IMAGES, strict=True)
        rows = pd.DataFrame(table, columns=SPLIT_COLUMNS)
        pack(8, paths.RAW_IMAGES, rows, CLASSES, elsewhere / "one")
        shutil.move(elsewhere / "one" / split, paths.PACKED / split)
        write(paths.FEATURES / split / "features.json", b'{"kind": "pixels"}')
    decision = Decision(temperature=0.7, positive="emergency", threshold=0.5, rule="cost")
    model = load(artifacts.write(elsewhere / "unused", decision=decision))
    scores = np.sort(model.probabilities(load_packed(paths.PACKED / "test").images)[:, 1])
    # A third of the images on one side, so that the most probable class is not what is predicted.
    third = 8 if (scores >= 0.5).sum() > IMAGES / 2 else 16
    threshold = round(float(scores[third - 1 : third + 1].mean()), 6)
    decision = decision.model_copy(update={"threshold": threshold})
    artifacts.write(paths.MODEL, decision=decision)
    few = params.evaluate.model_copy(update={"bootstrap": 50})
    evaluate.run(params.model_copy(update={"evaluate": few}))
    return decision


def by_command(output: str) -> pd.DataFrame:
    """What `bluelight predict` writes of the test photos."""
    assert predict([str(paths.RAW_IMAGES)], model=paths.MODEL, output=Path(output)) == 0
    if output.endswith(".csv"):
        table = pd.read_csv(output)
    else:
        found = json.loads(Path(output).read_text(encoding="utf-8"))
        shares = pd.DataFrame([one["probabilities"] for one in found]).add_prefix("probability_")
        table = pd.concat([pd.DataFrame(found)[["image", "label"]], shares], axis=1)
    return table.assign(image=table["image"].map(lambda name: Path(name).name))


def by_api() -> pd.DataFrame:
    files = sorted(paths.RAW_IMAGES.iterdir())
    rows = [
        {"image": file.name, "label": found.label}
        | {f"probability_{name}": share for name, share in found.probabilities.items()}
        for file, found in zip(files, load(paths.MODEL).predict(files), strict=True)
    ]
    return pd.DataFrame(rows)


def by_demo(folder: Path, decision: Decision) -> pd.DataFrame:
    rows = []
    with served(folder, decision=decision) as server:
        for file in sorted(paths.RAW_IMAGES.iterdir()):
            connection = HTTPConnection("127.0.0.1", server.server_address[1])
            connection.request("POST", "/prediction", file.read_bytes())
            reply = json.loads(connection.getresponse().read())
            connection.close()
            shares = {f"probability_{one['name']}": one["probability"] for one in reply["classes"]}
            rows.append({"image": file.name, "label": reply["label"], **shares})
    return pd.DataFrame(rows)


def test_every_interface_gives_the_same_predictions(decided: Decision, tmp_path: Path) -> None:
    reported = read_table(paths.TEST_PREDICTIONS)
    assert len(reported) == IMAGES
    others = {
        "bluelight predict, CSV": by_command("found.csv"),
        "bluelight predict, JSON": by_command("found.json"),
        "Python": by_api(),
        "demo": by_demo(tmp_path / "demo", decided),
    }
    columns = [f"probability_{name}" for name in CLASSES]
    for name, table in others.items():
        assert table["image"].tolist() == reported["image"].tolist(), name
        assert table["label"].tolist() == reported["predicted"].tolist(), name
        # One image or many at a time: the last of six decimals may differ.
        np.testing.assert_allclose(table[columns], reported[columns], atol=1.5e-6, err_msg=name)

    most_probable = np.where(reported["probability_emergency"] >= 0.5, "emergency", "other")
    assert (reported["predicted"] != most_probable).any()

    true, predicted = reported["label"].map(ROW), reported["predicted"].map(ROW)
    confusion = read_json(paths.TEST_CONFUSION)
    counts = pd.crosstab(true, predicted).reindex(index=[0, 1], columns=[0, 1], fill_value=0)
    assert (confusion["classes"], confusion["counts"]) == (CLASSES, counts.to_numpy().tolist())
    headline = read_json(paths.TEST_METRICS)
    assert headline["accuracy"] == pytest.approx((true == predicted).mean(), abs=1e-6)
    assert headline["recall"] == pytest.approx(predicted[true == 1].mean(), abs=1e-6)
    assert headline["precision"] == pytest.approx(true[predicted == 1].mean(), abs=1e-6)
