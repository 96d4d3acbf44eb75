"""Every tunable of the pipeline, typed and validated: the shape of `params.yaml`.

The models change no value and hold no defaults (but "nothing", where a technique is silent). So
`params.yaml` alone says what a run does, and what DVC compares between commits is what the code
reads. Stages therefore need not depend on this module: a test proves that it passes values through
unchanged.
"""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.common import paths
from pipeline.common.errors import ParamsError

Probability = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Text = Annotated[str, Field(min_length=1)]
Monitored = Literal["val_loss", "val_accuracy", "train_loss", "train_accuracy"]
Mode = Literal["min", "max"]

NATURAL_MODE: dict[str, str] = {
    name: "min" if name.endswith("loss") else "max" for name in get_args(Monitored)
}


class Section(BaseModel):
    """A mapping of `params.yaml`: strict, unchangeable, without unknown keys."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class FetchParams(Section):
    """Where the images come from and how their labels are laid out."""

    source: Text
    sha256: str
    layout: Literal["auto", "csv", "folders"]
    table: str
    image_column: Text
    label_column: Text
    class_names: dict[str, Text]
    on_bad_image: Literal["error", "skip"]

    @model_validator(mode="after")
    def hash_is_one(self) -> Self:
        """A SHA-256 has 64 hexadecimal digits; an empty one asks for no check."""
        if not re.fullmatch(r"([0-9a-fA-F]{64})?", self.sha256):
            raise ValueError(
                f"sha256 is {self.sha256!r}; a SHA-256 has 64 hexadecimal digits, as `sha256sum` "
                "prints them"
            )
        return self

    @model_validator(mode="after")
    def table_needs_its_layout(self) -> Self:
        """A table is looked for only where the layout has one."""
        if self.table and self.layout == "folders":
            raise ValueError(
                f"table is {self.table!r} while layout is folders, which reads no table; set "
                'layout to csv or table to ""'
            )
        return self


class SyntheticParams(Section):
    """The embedded generator of vehicle photos."""

    seed: Seed
    images: Annotated[int, Field(ge=20, le=1_000_000)]
    size: Annotated[int, Field(ge=32, le=1024)]
    emergency_fraction: Fraction
    exact_duplicates: Annotated[int, Field(ge=0)]
    near_duplicates: Annotated[int, Field(ge=0)]
    label_conflicts: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def duplicates_leave_originals(self) -> Self:
        """At most half of the images may be planted duplicates; only exact ones can conflict."""
        if 2 * (self.exact_duplicates + self.near_duplicates) > self.images:
            raise ValueError(
                "exact_duplicates + near_duplicates is "
                f"{self.exact_duplicates + self.near_duplicates}, more than half of the "
                f"{self.images} images; plant fewer"
            )
        if self.label_conflicts > self.exact_duplicates:
            raise ValueError(
                f"label_conflicts is {self.label_conflicts}, but only exact_duplicates "
                f"({self.exact_duplicates}) can conflict"
            )
        return self


class SplitParams(Section):
    """How the images are divided, and what counts as a copy."""

    seed: Seed
    train: Fraction
    validation: Fraction
    test: Fraction
    folds: Annotated[int, Field(ge=0, le=20)]
    fold: Annotated[int, Field(ge=0)]
    near_duplicate_distance: Annotated[int, Field(ge=0, le=16)]
    conflicting_labels: Literal["drop", "keep", "error"]
    published: Literal["ignore", "keep"]

    @model_validator(mode="after")
    def shares_add_up(self) -> Self:
        """The three shares are of one whole."""
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train + validation + test is {total:g}; the shares must add up to 1")
        return self

    @model_validator(mode="after")
    def fold_is_one_of_folds(self) -> Self:
        """The fold that validates exists."""
        if self.folds == 1:
            raise ValueError("folds is 1; there must be 2 to 20, or 0 for none")
        if self.fold >= max(self.folds, 1):
            known = f"0 to {self.folds - 1}" if self.folds else "0 while folds is 0"
            raise ValueError(f"fold is {self.fold}; it must be {known}")
        if self.folds and self.published == "keep":
            raise ValueError(
                f"folds is {self.folds} while published is keep; folds would undo the published "
                "splits: set folds to 0 or published to ignore"
            )
        return self


class PackParams(Section):
    """The arrays that training reads."""

    size: Annotated[int, Field(ge=8, le=512)]


class RotationParams(Section):
    """Rotation about the centre."""

    probability: Probability
    degrees: Annotated[float, Field(ge=0, le=180)]


class ShiftParams(Section):
    """Translation in both directions."""

    probability: Probability
    fraction: Annotated[float, Field(ge=0, le=0.5)]


class ScaleParams(Section):
    """Enlarging and shrinking about the centre."""

    probability: Probability
    fraction: Annotated[float, Field(ge=0, le=0.5)]


class FlipParams(Section):
    """Mirroring."""

    probability: Probability


class NoiseParams(Section):
    """Additive Gaussian noise."""

    probability: Probability
    std: Annotated[float, Field(ge=0, le=1)]


class BlurParams(Section):
    """Gaussian blur."""

    probability: Probability
    kernel: Annotated[int, Field(ge=3, le=31)]

    @model_validator(mode="after")
    def kernel_has_a_centre(self) -> Self:
        """A blur kernel is centred on a pixel."""
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel is {self.kernel}; it must be odd, like {self.kernel + 1}")
        return self


class AugmentParams(Section):
    """The random changes made to training images; a probability of 0 switches one off."""

    rotation: RotationParams
    shift: ShiftParams
    scale: ScaleParams
    horizontal_flip: FlipParams
    vertical_flip: FlipParams
    noise: NoiseParams
    blur: BlurParams


class ModelParams(Section):
    """The multilayer perceptron."""

    hidden: Annotated[list[Annotated[int, Field(ge=1, le=65_536)]], Field(max_length=16)]
    activation: Literal["relu", "gelu", "tanh", "sigmoid"]
    batch_norm: bool
    dropout: Annotated[float, Field(ge=0, lt=1)] | list[Annotated[float, Field(ge=0, lt=1)]]

    @model_validator(mode="after")
    def one_dropout_per_layer(self) -> Self:
        """A list of dropouts has an entry for each hidden layer."""
        if isinstance(self.dropout, list) and len(self.dropout) != len(self.hidden):
            raise ValueError(
                f"dropout lists {len(self.dropout)} numbers for {len(self.hidden)} hidden layers; "
                "give one per layer, or a single number for all"
            )
        return self


class TrainParams(Section):
    """The optimisation."""

    seed: Seed
    epochs: Annotated[int, Field(ge=1, le=100_000)]
    batch_size: Annotated[int, Field(ge=1, le=65_536)]
    learning_rate: Annotated[float, Field(gt=0, le=10)]
    weight_decay: Annotated[float, Field(ge=0, le=10)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    class_weights: Literal["none", "balanced"]
    schedule: Literal["constant", "cosine", "one_cycle", "plateau"]
    warmup: Fraction
    plateau_factor: Fraction
    plateau_patience: Annotated[int, Field(ge=0)]
    workers: Annotated[int, Field(ge=0, le=64)]
    accelerator: Literal["cpu", "gpu", "auto"]
    devices: Annotated[int, Field(ge=1, le=1024)]
    num_nodes: Annotated[int, Field(ge=1, le=1024)]
    strategy: Literal["auto", "ddp"]
    precision: Literal["32-true", "bf16-mixed"]
    threads: Annotated[int, Field(ge=1, le=256)]
    portable: bool


class Monitor(Section):
    """A callback that watches one metric."""

    enabled: bool
    monitor: Monitored
    mode: Mode

    @model_validator(mode="after")
    def mode_suits_monitor(self) -> Self:
        """Losses are minimised, accuracies maximised."""
        natural = NATURAL_MODE[self.monitor]
        if self.mode != natural:
            raise ValueError(
                f"mode is {self.mode}, but {self.monitor} is better when "
                f"{'lower' if natural == 'min' else 'higher'}: set mode to {natural}"
            )
        return self


class EarlyStoppingParams(Monitor):
    """Lightning's EarlyStopping."""

    min_delta: Annotated[float, Field(ge=0)]
    patience: Annotated[int, Field(ge=1)]


class CheckpointParams(Monitor):
    """Lightning's ModelCheckpoint."""


class LearningParams(Section):
    """All that a training run reads."""

    augment: AugmentParams
    model: ModelParams
    train: TrainParams
    early_stopping: EarlyStoppingParams
    checkpoint: CheckpointParams

    @model_validator(mode="after")
    def every_process_has_images(self) -> Self:
        """A batch is divided among processes, and one image alone has no batch statistics."""
        train = self.train
        processes = train.devices * train.num_nodes
        if train.batch_size < processes:
            raise ValueError(
                f"train.batch_size is {train.batch_size} for {processes} processes (train.devices "
                "times train.num_nodes), which divide each batch: raise the one or lower the other"
            )
        if self.model.batch_norm and train.batch_size < 2 * processes:
            raise ValueError(
                f"train.batch_size is {train.batch_size} while model.batch_norm is true; batch "
                f"normalisation needs {2 * processes} images or more, 2 for each process: raise "
                "the one or switch off the other"
            )
        return self

    @model_validator(mode="after")
    def plateau_comes_before_the_stop(self) -> Self:
        """A rate that waits longer than early stopping would never fall."""
        waits = self.train.plateau_patience
        stop = self.early_stopping
        watches = stop.enabled and stop.monitor == "val_loss"
        if self.train.schedule == "plateau" and watches and waits >= stop.patience:
            raise ValueError(
                f"train.plateau_patience is {waits}, but early_stopping.patience ({stop.patience}) "
                "ends the run before the rate could fall: lower the one or raise the other"
            )
        return self


# What `ablate` chooses for each of its runs, so that no technique can.
CHOSEN = {
    "train.seed": "`ablate.seeds` lists the seeds",
    "train.epochs": "`ablate.epochs` sets them for all techniques",
    **dict.fromkeys(
        ("train.workers", "train.threads", "train.devices", "train.num_nodes", "train.strategy"),
        "each of ablate's runs is one process with one thread",
    ),
}


def _leaves(section: Any, prefix: str = "") -> dict[str, FieldInfo]:  # noqa: ANN401 - a model or a type
    """The parameters of a section and of those in it, by dotted key."""
    found: dict[str, FieldInfo] = {}
    for name, field in section.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            found |= _leaves(field.annotation, f"{prefix}{name}.")
        else:
            found[prefix + name] = field
    return found


KEYS = _leaves(LearningParams)
PREFIXES = {".".join(key.split(".")[:depth]) for key in KEYS for depth in (1, 2, 3)}


def _known_key(key: str, known: set[str]) -> str:
    """The key, where it is one that an override may name."""
    if key in CHOSEN:
        raise ValueError(f"`{key}` cannot be set here: {CHOSEN[key]}")
    if key not in known:
        close = get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f"did you mean `{close[0]}`?" if close else "name one such as `model.dropout`"
        raise ValueError(f"unknown key `{key}`; {hint}")
    return key


def _checked_value(overrides: dict[str, Any]) -> dict[str, Any]:
    """The overrides, where each has a known key and a value that its parameter may have."""
    for key, value in overrides.items():
        annotation: Any = KEYS[_known_key(key, set(KEYS))].rebuild_annotation()
        try:
            TypeAdapter(annotation, config=ConfigDict(strict=True)).validate_python(value)
        except ValidationError as error:
            fault = error.errors()[0]
            raise ValueError(f"`{key}` is {value!r}; {_it_must(fault)}") from None
    return overrides


Kept = Annotated[str, AfterValidator(lambda key: _known_key(key, PREFIXES))]
Overrides = Annotated[dict[str, Any], AfterValidator(_checked_value)]
# A folder and a stage of DVC have this name; lower case, as some disks do not tell cases apart.
TechniqueName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class AblateParams(Section):
    """The runs that compare techniques."""

    seeds: Annotated[list[Seed], Field(min_length=1)]
    epochs: Annotated[int, Field(ge=1, le=100_000)]
    processes: Annotated[int, Field(ge=1, le=1024)]
    baseline: Overrides

    @model_validator(mode="after")
    def no_seed_counts_twice(self) -> Self:
        """A run repeated is no further evidence."""
        twice = sorted({seed for seed in self.seeds if self.seeds.count(seed) > 1})
        if twice:
            raise ValueError(f"seeds has {twice[0]} twice; each seed is one run")
        return self


class Technique(Section):
    """What a technique brings back of the sections above, and what it sets.

    What it does not name it does not change: only here has absence a meaning.
    """

    keep: list[Kept] = []
    set: Overrides = {}


class DecisionParams(Section):
    """How the model's probabilities become a label."""

    rule: Literal["cost", "recall", "most_probable"]
    miss_cost: Annotated[float, Field(gt=0, le=1_000_000)]
    recall: Annotated[float, Field(gt=0, le=1)]


class EvaluateParams(Section):
    """What is reported on the test split."""

    positive: Text
    bootstrap: Annotated[int, Field(ge=100, le=1_000_000)]
    confidence: Annotated[float, Field(gt=0.5, lt=1)]


class Params(LearningParams):
    """The whole of `params.yaml`."""

    fetch: FetchParams
    synthetic: SyntheticParams
    split: SplitParams
    pack: PackParams
    ablate: AblateParams
    techniques: Annotated[dict[TechniqueName, Technique], Field(min_length=1)]
    decision: DecisionParams
    evaluate: EvaluateParams


def load_params(path: Path = paths.PARAMS) -> Params:
    """Read and validate `params.yaml`.

    Args:
        path: The file; YAML 1.2, read by the parser that DVC uses, so both see the same values.

    Returns:
        The validated tree.

    Raises:
        ParamsError: The file is missing or not YAML, or a key or value is wrong; the message
            lists every fault found.
    """
    try:
        content = YAML(typ="safe").load(path)
    except FileNotFoundError:
        raise ParamsError(
            f"{path} not found; run this from the root of the project, or restore the file with "
            f"`git checkout {path}`"
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} is not valid YAML: {_one_line(error)}") from None
    if not isinstance(content, dict):
        raise ParamsError(f"{path} must hold a mapping of sections such as `train:`")
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise ParamsError("\n".join(f"{path}: {fault}" for fault in faults(error))) from None


def faults(error: ValidationError) -> list[str]:
    """A line for each fault: the key, the value, and what is allowed."""
    return list(dict.fromkeys(_explain(fault) for fault in error.errors()))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _explain(fault: ErrorDetails) -> str:
    """One line for one fault: the key, the value, and what is allowed."""
    where = _dotted(fault["loc"])
    match fault["type"]:
        case "extra_forbidden":
            return f"unknown key `{where}`{_suggest(fault['loc'])}"
        case "missing":
            return f"`{where}` is missing; every parameter is set in the file"
        case "value_error":
            prefix = f"`{where}`: " if where else ""
            return prefix + fault["msg"].removeprefix("Value error, ")
        case _ if fault["loc"][-1:] == ("[key]",):
            return f"`techniques`: the name {fault['input']!r} must be of a to z, 0 to 9, _ and -"
        case _:
            return f"`{where}` is {fault['input']!r}; {_it_must(fault)}"


def _it_must(fault: ErrorDetails) -> str:
    return fault["msg"].replace("Input should", "it must", 1)


def _dotted(location: tuple[int | str, ...]) -> str:
    """`('model', 'hidden', 0)` as `model.hidden[0]`, less the tags of unions."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part.isidentifier() and part not in {"float", "int"}:
            path += f".{part}"
    return path.removeprefix(".")


def _suggest(location: tuple[int | str, ...]) -> str:
    known = _known_keys(location[:-1])
    close = get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean `{close[0]}`?"
    return f"; known here: {', '.join(known)}"


def _known_keys(section: tuple[int | str, ...]) -> list[str]:
    model: Any = Params
    for part in section:
        named = hasattr(model, "model_fields")
        # Techniques have names of the user's own, and all have the same keys.
        model = model.model_fields[str(part)].annotation if named else get_args(model)[1]
    return list(model.model_fields)
