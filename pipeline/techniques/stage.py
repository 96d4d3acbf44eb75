"""Stage `techniques`: one technique → the params of its runs, as a file.

Stage `ablate` depends on that file and on no section of `params.yaml`. So a changed parameter
trains only those techniques again whose params it changes.
"""

from typing import Any

from pydantic import ValidationError

from pipeline.common import paths
from pipeline.common.errors import ParamsError
from pipeline.common.files import write_json
from pipeline.common.params import LearningParams, Params, faults, suggest

# Every run is one process with one thread: for networks of this size, several runs side by side
# gain more than several threads or workers do.
ALONE = {"workers": 0, "threads": 1, "devices": 1, "num_nodes": 1, "strategy": "auto"}


def run(params: Params, name: str) -> None:
    """Write `reports/ablation/<name>/params.json` for the technique `name`."""
    if name not in params.techniques:
        hint = suggest(name, params.techniques, f"known: {', '.join(params.techniques)}")
        raise ParamsError(f"{paths.PARAMS} has no technique `{name}`; {hint}")
    settings, warning = resolve(params, name)
    if warning:
        print(f"techniques: {name}: warning: {warning}", flush=True)
    write_json(paths.ABLATION_REPORT / name / paths.TECHNIQUE_PARAMS, settings)


def resolve(params: Params, name: str) -> tuple[dict[str, Any], str]:
    """Return the params of a technique's runs, and a warning or the empty string.

    Returns:
        The sections of `LearningParams`, with `train.seed` as the first run has it, and section
        `ablate` with what else the runs read; and why early stopping could not end a run, if so.

    Raises:
        ParamsError: The values do not go together.
    """
    ablate = params.ablate
    technique = dict(params.techniques[name])
    base = {} if technique.pop("base", "baseline") == "params" else ablate.baseline
    tree: dict[str, Any] = {
        "augment": params.augment.model_dump(),
        "model": params.model.model_dump(),
        "train": params.train.model_dump(),
        "early_stopping": params.early_stopping.model_dump(),
        "checkpoint": params.checkpoint.model_dump(),
    }
    tree["train"] |= {"seed": ablate.seed, "epochs": ablate.epochs, **ALONE}
    for key, value in {**base, **technique}.items():
        *sections, leaf = key.split(".")
        target = tree
        for section in sections:
            target = target[section]
        target[leaf] = value
    try:
        learning = LearningParams.model_validate(tree)
    except ValidationError as error:
        raise ParamsError(
            "\n".join(f"techniques.{name}, over its base: {fault}" for fault in faults(error))
        ) from None
    if ablate.size > params.pack.size:
        raise ParamsError(
            f"ablate.size is {ablate.size}, but pack.size is {params.pack.size}: images are only "
            "made smaller; lower the first or raise the second"
        )
    shared = {"folds": ablate.folds, "repeats": ablate.repeats, "size": ablate.size}
    return {"ablate": shared, **learning.model_dump()}, learning.idle_patience
