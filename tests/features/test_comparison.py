"""The comparison trains on vectors; a technique with other augmentation has views of its own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.ablate import stage as ablate
from pipeline.common import paths
from pipeline.common.datasets import load_packed
from pipeline.common.params import Params
from pipeline.features.hog import SIZE
from pipeline.features.stage import run as compute
from pipeline.techniques.stage import resolve
from tests.ablate.test_ablation import rename
from tests.features.test_features import with_features
from tests.helpers.data import Pack


@pytest.fixture
def project(params: Params, pack: Pack, elsewhere: Path) -> dict[str, Any]:
    """The params tree of a project whose images have vectors."""
    for name in ("train", "validation"):
        pack(name, 12, size=SIZE)
    rename("validation", "validation-")
    pack("test", 4, size=SIZE)
    chosen = with_features(params, kind="hog", views=2)
    compute(chosen)
    tree = chosen.model_dump()
    tree["ablate"] |= {"folds": 3, "epochs": 2, "size": 8}
    tree["techniques"] = {
        "baseline": {},
        "same": {"base": "params"},
        "other": {"base": "params", "augment.vertical_flip.probability": 1.0},
    }
    assert elsewhere == Path.cwd()
    return tree


def first_run(tree: dict[str, Any], technique: str) -> ablate.Run:
    settings, _ = resolve(Params.model_validate(tree), technique)
    one = ablate.plan(settings, paths.RESUME / "ablation" / technique)[0]
    ablate._write_vectors(one)
    return one


@pytest.mark.parametrize("technique", ["baseline", "same"])
def test_a_technique_shares_the_vectors_that_suit_it(
    project: dict[str, Any], technique: str
) -> None:
    assert first_run(project, technique).vectors == paths.FEATURES


def test_a_technique_with_other_augmentation_has_its_own_views(project: dict[str, Any]) -> None:
    one = first_run(project, "other")
    assert one.vectors is not None
    assert one.vectors != paths.FEATURES
    for split in ("train", "validation"):
        own = np.load(one.vectors / split / "vectors.npy")
        shared = np.load(paths.FEATURES / split / "vectors.npy")
        np.testing.assert_array_equal(own[:, 0], shared[:, 0])
        assert not np.array_equal(own[:, 1:], shared[:, 1:])


def test_a_run_gets_the_vectors_of_its_images(project: dict[str, Any], tmp_path: Path) -> None:
    stored: dict[str, Any] = {}
    for name in ("train", "validation"):
        split = load_packed(paths.PACKED / name, paths.FEATURES / name)
        assert split.vectors is not None
        stored |= dict(zip(split.names, split.vectors, strict=True))
    one = first_run(project, "same")
    ablate.write_splits(one, tmp_path / "run")
    seen = set()
    for role in ("train", "validation", "held_out"):
        split = load_packed(tmp_path / "run" / role, tmp_path / "run" / role)
        assert split.vectors is not None
        for name, vectors in zip(split.names, split.vectors, strict=True):
            np.testing.assert_array_equal(vectors, stored[name])
        seen |= set(split.names)
    assert seen == stored.keys()


def test_a_run_is_trained_and_predicts(project: dict[str, Any]) -> None:
    one = first_run(project, "same")
    ablate.train(one)
    assert (one.folder / ablate.RESULT).exists()
