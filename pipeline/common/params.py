"""Every parameter of the pipeline, typed and checked: the shape of `params.yaml`.

The models change no value and hold no default (except in techniques, which may omit keys). So
`params.yaml` alone determines what a run does, and what DVC compares between commits is what the
code reads. Stages need not depend on this module: a test checks that it passes values unchanged.
"""

import os
import re
import reprlib
from collections.abc import Collection
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetPydanticSchema,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, core_schema
from ruamel.yaml import YAML

from pipeline.common import paths
from pipeline.common.errors import ParamsError, one_line, printable
from pipeline.common.files import read_regular

Probability = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
NotNegative = Annotated[int, Field(ge=0)]
Epochs = Annotated[int, Field(ge=1, le=100_000)]
Processes = Annotated[int, Field(ge=1, le=1024)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Text = Annotated[str, Field(min_length=1)]
Monitored = Literal["val_loss", "val_accuracy", "train_loss", "train_accuracy"]

STRICT = ConfigDict(strict=True, allow_inf_nan=False)
LARGEST_YAML = 2**20  # bytes
BYTES_PER_WEIGHT = 16  # the weight, its gradient and AdamW's two moments, 4 bytes each
MOST_NODES = 20_000  # values in the file: aliases can repeat a few of them without end
MOST_BRACKETS = 2_000  # the parser takes seconds for thousands within each other

SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = SHORT.maxlong = 100


def _hash(value: str) -> str:
    """Return a SHA-256 in hexadecimal, or nothing, as it is."""
    if not re.fullmatch(r"([0-9a-fA-F]{64})?", value):
        raise ValueError(
            f"{value!r} is not a SHA-256, which has 64 hexadecimal digits (`sha256sum` prints one)"
        )
    return value


SHA256 = Annotated[str, AfterValidator(_hash)]


class Section(BaseModel):
    """A mapping of `params.yaml`: strict, immutable, without unknown keys."""

    model_config = STRICT | ConfigDict(frozen=True, extra="forbid")


class FetchParams(Section):
    """Where the images come from and how their labels are laid out."""

    source: Text
    sha256: SHA256
    layout: Literal["auto", "csv", "folders"]
    table: str
    image_column: Text
    label_column: Text
    class_names: dict[str, Text]
    on_bad_image: Literal["error", "skip"]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.table and self.layout == "folders":
            raise ValueError(
                f"table is {self.table!r} while layout is folders, which reads no table; set "
                "layout to csv or table to ''"
            )
        return self


class SyntheticParams(Section):
    """The drawn dataset."""

    seed: Seed
    images: Annotated[int, Field(ge=20, le=1_000_000)]
    size: Annotated[int, Field(ge=32, le=1024)]
    emergency_fraction: Fraction
    exact_duplicates: NotNegative
    near_duplicates: NotNegative
    label_conflicts: NotNegative

    @model_validator(mode="after")
    def _check(self) -> Self:
        duplicates = self.exact_duplicates + self.near_duplicates
        if 2 * duplicates > self.images:
            raise ValueError(
                f"exact_duplicates + near_duplicates is {duplicates}, more than half of the "
                f"{self.images} images; set them lower"
            )
        if self.label_conflicts > self.exact_duplicates:
            raise ValueError(
                f"label_conflicts is {self.label_conflicts}, but only exact_duplicates "
                f"({self.exact_duplicates}) can conflict"
            )
        return self


class SplitParams(Section):
    """How the images are divided, and what counts as a duplicate."""

    seed: Seed
    train: Fraction
    validation: Fraction
    test: Fraction
    folds: Annotated[int, Field(ge=0, le=20)]
    fold: NotNegative
    near_duplicate_ratio: Annotated[float, Field(ge=0, le=0.5)]
    not_duplicates: list[Annotated[list[str], Field(min_length=2, max_length=2)]]
    conflicting_labels: Literal["drop", "keep", "error"]
    published: Literal["ignore", "keep"]

    @model_validator(mode="after")
    def _check(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train + validation + test is {total:g}; the shares must add up to 1")
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


class FeaturesParams(Section):
    """What the MLP sees."""

    kind: Literal["pixels", "hog", "backbone"]
    backbone: Text
    sha256: SHA256
    views: Annotated[int, Field(ge=0, le=1000)]
    seed: Seed


class KindParams(Section):
    """A kind of augmentation; a flip has no more than its probability."""

    probability: Probability


class RotationParams(KindParams):
    """Rotation about the centre."""

    degrees: Annotated[float, Field(ge=0, le=180)]


class ShiftParams(KindParams):
    """Translation in both directions."""

    fraction: Annotated[float, Field(ge=0, le=0.5)]


class ScaleParams(KindParams):
    """Enlarging and shrinking about the centre."""

    fraction: Annotated[float, Field(ge=0, le=0.5)]


class NoiseParams(KindParams):
    """Additive Gaussian noise."""

    std: Probability


class BlurParams(KindParams):
    """Gaussian blur."""

    kernel: Annotated[int, Field(ge=3, le=31)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel is {self.kernel}; it must be odd, like {self.kernel + 1}")
        return self


class AugmentParams(Section):
    """The random changes made to training images; a probability of 0 switches one off."""

    rotation: RotationParams
    shift: ShiftParams
    scale: ScaleParams
    horizontal_flip: KindParams
    vertical_flip: KindParams
    noise: NoiseParams
    blur: BlurParams


class ModelParams(Section):
    """The multilayer perceptron."""

    hidden: Annotated[list[Annotated[int, Field(ge=1, le=65_536)]], Field(max_length=16)]
    activation: Literal["relu", "gelu", "tanh", "sigmoid"]
    batch_norm: bool
    dropout: BelowOne | list[BelowOne]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if isinstance(self.dropout, list) and len(self.dropout) != len(self.hidden):
            raise ValueError(
                f"dropout lists {len(self.dropout)} numbers for {len(self.hidden)} hidden layers; "
                "give one per layer, or a single number for all"
            )
        return self


class TrainParams(Section):
    """The optimisation."""

    seed: Seed
    epochs: Epochs
    batch_size: Annotated[int, Field(ge=1, le=65_536)]
    learning_rate: Annotated[float, Field(gt=0, le=10)]
    weight_decay: Annotated[float, Field(ge=0, le=10)]
    label_smoothing: BelowOne
    class_weights: Literal["none", "balanced"]
    schedule: Literal["constant", "cosine", "one_cycle", "plateau"]
    warmup: Fraction
    plateau_factor: Fraction
    plateau_patience: NotNegative
    workers: Annotated[int, Field(ge=0, le=64)]
    accelerator: Literal["cpu", "gpu", "auto"]
    devices: Processes
    num_nodes: Processes
    strategy: Literal["auto", "ddp"]
    precision: Literal["32-true", "bf16-mixed"]
    threads: Annotated[int, Field(ge=1, le=256)]
    portable: bool


class Monitor(Section):
    """A callback that watches one metric."""

    enabled: bool
    monitor: Monitored
    mode: Literal["min", "max"]

    @model_validator(mode="after")
    def _check(self) -> Self:
        is_loss = self.monitor.endswith("loss")
        if is_loss != (self.mode == "min"):
            raise ValueError(
                f"mode is {self.mode}, but {self.monitor} is better when "
                f"{'lower' if is_loss else 'higher'}: set mode to {'min' if is_loss else 'max'}"
            )
        return self


class EarlyStoppingParams(Monitor):
    """Lightning's EarlyStopping."""

    min_delta: Annotated[float, Field(ge=0)]
    patience: Epochs


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
    def _check(self) -> Self:
        train, stop = self.train, self.early_stopping
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
        stops = stop.enabled and stop.monitor == "val_loss"
        waits = train.plateau_patience
        if train.schedule == "plateau" and stops and waits >= stop.patience:
            raise ValueError(
                f"train.plateau_patience is {waits}, but early_stopping.patience ({stop.patience}) "
                "ends the run before the rate could fall: lower the one or raise the other"
            )
        return self

    @property
    def idle_patience(self) -> str:
        """Say why early stopping cannot end a run; empty where it can, or is switched off."""
        stop = self.early_stopping
        # The first epoch always improves; then `patience` epochs without improvement end the run.
        if not stop.enabled or stop.patience < self.train.epochs:
            return ""
        return (
            f"early_stopping.patience is {stop.patience}, so it cannot end a run of "
            f"{self.train.epochs} epochs; lower it, or set early_stopping.enabled to false"
        )


# What `ablate` sets for each of its runs, so that no technique may.
FIXED = {
    "train.seed": "`ablate.seed` sets it for all techniques",
    "train.epochs": "`ablate.epochs` sets it for all techniques",
    **dict.fromkeys(
        ("train.workers", "train.threads", "train.devices", "train.num_nodes", "train.strategy"),
        "each of ablate's runs is one process with one thread",
    ),
}


def _leaves(section: Any, prefix: str = "") -> dict[str, Any]:  # noqa: ANN401 - a model or a type
    """Return the types of the parameters of a section and of sections in it, by dotted key."""
    found: dict[str, Any] = {}
    for name, field in section.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            found |= _leaves(field.annotation, f"{prefix}{name}.")
        else:
            found[prefix + name] = field.rebuild_annotation()
    return found


def _mapping(types: dict[str, Any]) -> GetPydanticSchema:
    """Make the schema of a mapping that may have these keys, and no others."""

    def schema(_: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        fields = {
            name: core_schema.typed_dict_field(handler(kind), required=False)
            for name, kind in types.items()
        }
        strict = core_schema.CoreConfig(strict=True, allow_inf_nan=False)  # as in a `Section`
        return core_schema.typed_dict_schema(fields, extra_behavior="forbid", config=strict)

    return GetPydanticSchema(schema)


# What a technique may change.
TYPES = {key: kind for key, kind in _leaves(LearningParams).items() if key not in FIXED}
# From "params", the sections above as they stand, or from "baseline", as without it.
BASE = {"base": Literal["baseline", "params"]}
Overrides = Annotated[dict[str, Any], _mapping(TYPES)]
Technique = Annotated[dict[str, Any], _mapping(TYPES | BASE)]
# Also the name of a folder and of a DVC stage; lower case, as some disks ignore case.
TechniqueName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


def suggest(name: str, known: Collection[str], otherwise: str) -> str:
    """Suggest the nearest known name for an unknown one, or say something otherwise."""
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean `{close[0]}`?" if close else otherwise


class AblateParams(Section):
    """The runs that compare techniques."""

    seed: Seed
    folds: Annotated[int, Field(ge=3, le=20)]
    repeats: Annotated[int, Field(ge=1, le=100)]
    epochs: Epochs
    size: Annotated[int, Field(ge=8, le=512)]
    processes: Processes
    baseline: Overrides


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
    features: FeaturesParams
    ablate: AblateParams
    techniques: Annotated[dict[TechniqueName, Technique], Field(min_length=1)]
    decision: DecisionParams
    evaluate: EvaluateParams

    @model_validator(mode="after")
    def _fits_into_memory(self) -> Self:
        units = [3 * self.pack.size**2, *self.model.hidden, 2]
        needed = BYTES_PER_WEIGHT * sum(before * after for before, after in pairwise(units))
        if not hasattr(os, "sysconf"):  # not on Windows
            return self
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if needed > memory:
            raise ValueError(
                f"model.hidden is {_shown(self.model.hidden)} for images of {self.pack.size} "
                f"pixels: training needs {needed / 2**30:,.0f} GiB or more, and this machine has "
                f"{memory / 2**30:,.0f}; choose fewer units, or lower pack.size"
            )
        return self


def load_params(path: Path = paths.PARAMS) -> Params:
    """Read and validate `params.yaml`.

    It is YAML 1.2, read by the parser that DVC uses, so both see the same values.

    Raises:
        ParamsError: The file is missing or not YAML, or a key or value is wrong; the message
            lists every fault found.
    """
    try:
        data = read_regular(path, LARGEST_YAML)
    except FileNotFoundError:
        raise ParamsError(
            f"{path} not found; run this from the root of the project, or restore the file with "
            f"`git checkout {path}`"
        ) from None
    except OSError as error:
        raise ParamsError(f"{path} cannot be read ({error.strerror}); restore it") from None
    if data.count(b"[") + data.count(b"{") > MOST_BRACKETS:
        raise ParamsError(f"{path} has more than {MOST_BRACKETS:,} brackets; remove some")
    try:
        content = YAML(typ="safe").load(data.decode("utf-8"))
    except Exception as error:  # values such as 2026-13-45 and `!!int x` raise almost anything
        reason = one_line(error).replace("<unicode string>", str(path))[:300]
        raise ParamsError(f"{path} is not valid YAML: {reason}") from None
    nodes, waiting = 0, [content]
    while waiting:  # values behind aliases count each time
        node = waiting.pop()
        if isinstance(node, dict | list | set | tuple):
            waiting += node.values() if isinstance(node, dict) else node
        nodes += 1
        if nodes > MOST_NODES:
            raise ParamsError(
                f"{path} has more than {MOST_NODES:,} values; remove some, or aliases"
            )
    if not isinstance(content, dict):
        raise ParamsError(f"{path} must hold a mapping of sections such as `train:`")
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise ParamsError("\n".join(f"{path}: {fault}" for fault in faults(error))) from None


def faults(error: ValidationError) -> list[str]:
    """Return a line for each fault: the key, the value, and what is allowed."""
    return list(dict.fromkeys(_explain(fault) for fault in error.errors()))


def _explain(fault: ErrorDetails) -> str:
    location = fault["loc"]
    where = _dotted(location)
    match fault["type"]:
        case "extra_forbidden":
            name, known = str(location[-1]), _known_keys(location[:-1])
            hint = suggest(name, known, f"known here: {', '.join(known)}")
            if known == [*TYPES]:  # too many to name
                hint = FIXED.get(name) or suggest(name, known, "name one such as `model.dropout`")
            return f"unknown key `{where}`; {hint}"
        case "missing":
            return f"`{where}` is missing; every parameter is set in the file"
        case "value_error":
            return f"`{where}`: ".removeprefix("``: ") + fault["msg"].removeprefix("Value error, ")
        case "invalid_key":
            return f"the key {_shown(fault['input'])} of `{where}` must be text; put it in quotes"
        case _ if location[-1:] == ("[key]",):
            kind = "of a to z, 0 to 9, _ and -" if location[0] == "techniques" else "in quotes"
            return f"`{_dotted(location[:-2])}`: the name {_shown(fault['input'])} must be {kind}"
        case _:
            return f"`{where}` is {_shown(fault['input'])}; {_it_must(fault)}"


def _shown(value: object) -> str:
    """Return a value as a message shows it, shortened: it may have any size."""
    return SHORT.repr(value)


def _it_must(fault: ErrorDetails) -> str:
    return fault["msg"].replace("Input should", "it must", 1)


def _dotted(location: tuple[int | str, ...]) -> str:
    """Write `('model', 'hidden', 0)` as `model.hidden[0]`, without pydantic's tags of unions."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]" and re.fullmatch(r"(float|int|constrained-.*|list\[.*)", part) is None:
            path += f".{printable(part)}"
    return path.removeprefix(".")


def _known_keys(section: tuple[int | str, ...]) -> list[str]:
    if section[:1] == ("techniques",) or section == ("ablate", "baseline"):
        return [*TYPES]
    model: Any = Params
    for part in section:
        model = model.model_fields[part].annotation
    return list(model.model_fields)
