"""`params.yaml` is passed through unchanged, and every fault in it is named with its remedy."""

from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

from pipeline.common.errors import ParamsError
from pipeline.common.params import Params, load_params
from tests.helpers.imports import ROOT

TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")


def changed(tmp_path: Path, old: str, new: str) -> Path:
    assert old in TEXT
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    return path


def test_values_pass_through_unchanged() -> None:
    path = ROOT / "params.yaml"
    # A technique says only what it changes: what it does not say is not in the file either.
    passed = load_params(path).model_dump(exclude_unset=True)
    assert passed == YAML(typ="safe").load(path)


def test_no_parameter_has_a_default() -> None:
    def sections(model: type) -> list[type]:
        nested = [f.annotation for f in model.model_fields.values()]  # type: ignore[attr-defined]
        inner = [s for s in nested if hasattr(s, "model_fields")]
        return [model, *(deeper for s in inner for deeper in sections(s))]

    for section in sections(Params):
        for name, field in section.model_fields.items():  # type: ignore[attr-defined]
            assert field.is_required(), f"{section.__name__}.{name}"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs: 120", "epoch: 120", "unknown key `train.epoch`; did you mean `epochs`?"),
        ("epochs: 120", "epochs: 0", "`train.epochs` is 0; it must be greater than or equal to 1"),
        ("epochs: 120", "epochs: sixty", "`train.epochs` is 'sixty'; it must be a valid integer"),
        ("epochs: 120", "epochs: 6.5", "`train.epochs` is 6.5"),
        ("  epochs: 120", "  # none", "`train.epochs` is missing"),
        ("size: 32", "size: yes", "`pack.size` is 'yes'"),
        ("activation: relu", "activation: rely", "`model.activation` is 'rely'; it must be 'relu'"),
        ("- 128", "- -1", "`model.hidden[1]` is -1"),
        ("dropout: 0.5", "dropout: 1.0", "`model.dropout` is 1.0; it must be less than 1"),
        ("dropout: 0.5", "dropout: [0.5]", "dropout lists 1 numbers for 2 hidden layers"),
        ("label_smoothing: 0.0", "label_smoothing: 1.0", "`train.label_smoothing` is 1.0"),
        ("class_weights: none", "class_weights: even", "`train.class_weights` is 'even'"),
        ("schedule: cosine", "schedule: cosin", "`train.schedule` is 'cosin'"),
        ("warmup: 0.3", "warmup: 1.0", "`train.warmup` is 1.0; it must be less than 1"),
        ("batch_size: 64", "batch_size: 1", "train.batch_size is 1 while model.batch_norm is true"),
        ("devices: 1", "devices: 65", "train.batch_size is 64 for 65 processes"),
        ("devices: 1", "devices: 33", "batch normalisation needs 66 images or more"),
        ("precision: 32-true", "precision: 16", "`train.precision` is 16; it must be '32-true'"),
        ("strategy: auto", "strategy: fsdp", "`train.strategy` is 'fsdp'; it must be 'auto'"),
        ("monitor: val_loss\n  mode: min", "monitor: val_loss\n  mode: max", "set mode to min"),
        (
            "monitor: val_loss # smoother",
            "monitor: val_los # s",
            "`checkpoint.monitor` is 'val_los'",
        ),
        ("train: 0.7 ", "train: 0.8 ", "`split`: train + validation + test is 1.1"),
        ("published: ignore", "published: ignor", "`split.published` is 'ignor'"),
        ("folds: 0 ", "folds: 1 ", "`split`: folds is 1; there must be 2 to 20, or 0 for none"),
        ("folds: 0 ", "folds: 21 ", "`split.folds` is 21; it must be less than or equal to 20"),
        ("fold: 0 ", "fold: 1 ", "`split`: fold is 1; it must be 0 while folds is 0"),
        ("kernel: 3 ", "kernel: 4 ", "it must be odd, like 5"),
        ("near_duplicates: 12", "near_duplicates: 2000", "more than half of the 2352 images"),
        (
            "label_conflicts: 2 ",
            "label_conflicts: 200 ",
            "only exact_duplicates (134) can conflict",
        ),
        ("  source: synthetic", "  source: ''", "`fetch.source` is ''"),
        ("sha256: ''", "sha256: abc", "`fetch.sha256`: 'abc' is not a SHA-256, which has"),
        ("sha256: ''", "sha256: 12345678", "`fetch.sha256` is 12345678"),
        ("bad_image: error", "bad_image: ignore", "`fetch.on_bad_image` is 'ignore'"),
        ("published: ignore", "published: use", "`split.published` is 'use'"),
        ("fetch:\n", "fetch: [\n", "is not valid YAML"),
        ("rule: cost", "rule: f1", "`decision.rule` is 'f1'; it must be 'cost', 'recall' or"),
        ("recall: 0.95", "recall: 1.5", "`decision.recall` is 1.5; it must be less than or equal"),
        ("miss_cost: 2.0", "miss_cost: 0.0", "`decision.miss_cost` is 0.0; it must be greater"),
        ("  folds: 5", "  folds: 2", "`ablate.folds` is 2; it must be greater than or equal to 3"),
        ("repeats: 1", "repeats: 0", "`ablate.repeats` is 0"),
        ("processes: 5", "processes: 0", "`ablate.processes` is 0"),
        (
            "    model.dropout: 0.0",
            "    model.dropuot: 0.0",
            "unknown key `ablate.baseline.model.dropuot`; did you mean `model.dropout`?",
        ),
        (
            "    model.dropout: 0.0",
            "    model.dropout: 1.0",
            "`ablate.baseline.model.dropout` is 1.0; it must be less than 1",
        ),
        (
            "    model.dropout: 0.0",
            "    model: 0.0",
            "unknown key `ablate.baseline.model`",
        ),
        (
            "dropout: {model.dropout: 0.5}",
            "dropout: {model.dropot: 0.5}",
            "unknown key `techniques.dropout.model.dropot`; did you mean `model.dropout`?",
        ),
        (
            "dropout: {model.dropout: 0.5}",
            "dropout: {model.dropout: half}",
            "`techniques.dropout.model.dropout` is 'half'; it must be",
        ),
        (
            "dropout: {model.dropout: 0.5}",
            'dropout: {train.batch_size: "64"}',
            "`techniques.dropout.train.batch_size` is '64'; it must be a valid integer",
        ),
        (
            "dropout: {model.dropout: 0.5}",
            "dropout: {early_stopping.min_delta: .inf}",
            "`techniques.dropout.early_stopping.min_delta` is inf; it must be a finite number",
        ),
        (
            "dropout: {model.dropout: 0.5}",
            "dropout: {bse: params}",
            "unknown key `techniques.dropout.bse`; name one such as `model.dropout`",
        ),
        (
            "dropout: {model.dropout: 0.5}",
            "dropout: {train.seed: 3}",
            "unknown key `techniques.dropout.train.seed`; `ablate.seed` sets it for all techniques",
        ),
        (
            "combined: {base: params",
            "combined: {base: train",
            "`techniques.combined.base` is 'train'; it must be 'baseline' or 'params'",
        ),
        (
            "  dropout: {",
            "  ../dropout: {",
            "`techniques`: the name '../dropout' must be of a to z",
        ),
        ("  dropout: {", "  5: {", "`techniques`: the name 5 must be"),
    ],
)
def test_faults_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = changed(tmp_path, old, new)
    with pytest.raises(ParamsError) as caught:
        load_params(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_table_of_folders_is_refused(tmp_path: Path) -> None:
    path = changed(tmp_path, "layout: auto", "layout: folders")
    path.write_text(path.read_text().replace("table: ''", "table: train.csv"), encoding="utf-8")
    with pytest.raises(ParamsError, match=r"table is 'train\.csv' while layout is folders"):
        load_params(path)


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    path = changed(tmp_path, "patience: 40", "patience: 0\n  patience_: 0")
    with pytest.raises(ParamsError) as caught:
        load_params(path)
    assert len(str(caught.value).splitlines()) == 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="not found; run this from the root"):
        load_params(tmp_path / "params.yaml")


def test_a_file_without_sections_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("- fetch\n", encoding="utf-8")
    with pytest.raises(ParamsError, match="must hold a mapping"):
        load_params(path)


def test_a_dropout_per_layer_is_accepted(tmp_path: Path) -> None:
    params = load_params(changed(tmp_path, "dropout: 0.5", "dropout: [0.5, 0.2]"))
    assert params.model.dropout == [0.5, 0.2]


def test_folds_do_not_go_with_published_splits(tmp_path: Path) -> None:
    text = TEXT.replace("folds: 0 ", "folds: 5 ").replace("published: ignore", "published: keep")
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError, match="set folds to 0 or published to ignore"):
        load_params(path)


def test_the_fold_that_validates_must_exist(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    text = TEXT.replace("folds: 0 ", "folds: 5 ").replace("fold: 0 ", "fold: 5 ")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError, match="fold is 5; it must be 0 to 4"):
        load_params(path)


def test_a_plateau_that_would_outlast_early_stopping_is_refused(tmp_path: Path) -> None:
    text = TEXT.replace("schedule: cosine", "schedule: plateau")
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    assert load_params(path).train.schedule == "plateau"
    text = text.replace("plateau_patience: 5", "plateau_patience: 40")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError, match=r"plateau_patience is 40, but early_stopping.*\(40\)"):
        load_params(path)


def test_dvc_changes_no_more_than_the_values(tmp_path: Path) -> None:
    """`dvc exp run -S` rewrites the file: it must be in the form in which DVC writes it."""
    path = tmp_path / "params.yaml"
    path.write_text(TEXT, encoding="utf-8")
    apply_overrides(path, ["model.dropout=0.2", "model.hidden=[64,32]", "fetch.source=/photos"])
    written = path.read_text(encoding="utf-8")
    changed = [
        pair
        for pair in zip(TEXT.split("\n"), written.split("\n"), strict=True)
        if len(set(pair)) > 1
    ]
    assert [new.split(" #")[0].strip() for _, new in changed] == [
        "source: /photos",
        "- 64",
        "- 32",
        "dropout: 0.2",
    ]
    apply_overrides(path, ["model.dropout=0.5", "model.hidden=[512,128]", "fetch.source=synthetic"])
    assert path.read_text(encoding="utf-8") == TEXT
