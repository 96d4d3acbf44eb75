"""Compare the outputs of every stage on this processor and on emulated ones.

    python -m benchmarks.processors [--until STAGE] [--model Haswell --model EPYC] [--not-portable]

Runs the stages at small size in a temporary folder, then again for each processor that QEMU
emulates (Debian's package qemu-user): it has AVX2 but no AVX-512, and reports the vendor of the
model. Prints the files that differ, and exits with 1 if there are any. Each processor takes about
five minutes.

Libraries choose their code by what the processor reports, so they use the same code on an emulated
processor as on a real one. QEMU does not emulate AVX-512: its effect under the instruction limits
shows only if this machine has it.
"""

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks.processes import ROOT, add_models, emulators, run
from pipeline.common import paths

STAGES = (
    "fetch",
    "split",
    "pack",
    "train",
    "package",
    "evaluate",
    "techniques",
    "ablate",
    "compare",
    "report",
)
TECHNIQUES = ("baseline", "combined")
ITEMISED = ("techniques", "ablate")  # run once for each technique
SMALL: dict[str, dict[str, Any]] = {
    "synthetic": {"images": 120, "exact_duplicates": 6, "near_duplicates": 4},
    "train": {"epochs": 4, "batch_size": 32},
    "ablate": {"epochs": 2, "folds": 3},
}

# No outputs: notes on the machine itself, and where an interrupted run keeps its state.
LEFT_OUT = (paths.ENVIRONMENT, paths.RESUME)


def main() -> None:
    """Run everywhere, compare, print."""
    parser = argparse.ArgumentParser(description="Do other processors make the same bytes?")
    parser.add_argument("--until", choices=STAGES, default=STAGES[-1], help="the last stage to run")
    parser.add_argument("--not-portable", action="store_true", help="with train.portable: false")
    add_models(parser)
    asked = parser.parse_args()
    stages = STAGES[: STAGES.index(asked.until) + 1]
    places = {"here": [], **emulators(parser, asked.models)}
    with tempfile.TemporaryDirectory(prefix="bluelight-") as folder:
        made = {
            name: make(Path(folder) / name, emulator, stages, portable=not asked.not_portable)
            for name, emulator in places.items()
        }
    here = made.pop("here")
    equal = [report(model, here, there) for model, there in made.items()]
    sys.exit(0 if all(equal) else 1)


def make(
    folder: Path, emulator: Sequence[str], stages: Sequence[str], *, portable: bool
) -> dict[str, str]:
    """Run the stages in a folder; the SHA-256 of each file by its name there.

    Args:
        folder: Made.
        emulator: What to run Python by.
        stages: Of `STAGES`, the first ones.
        portable: `train.portable`.
    """
    folder.mkdir()
    write_params(folder / paths.PARAMS, portable=portable)
    for stage in stages:
        for item in [[name] for name in TECHNIQUES] if stage in ITEMISED else [[]]:
            run([*emulator, sys.executable, "-m", "pipeline.run", stage, *item], folder)
            print(f"{folder.name}: {' '.join([stage, *item])}", file=sys.stderr)
    return digests(folder)


def write_params(path: Path, *, portable: bool) -> None:
    """The project's params at small size, with two techniques."""
    yaml = YAML()
    params = yaml.load(ROOT / paths.PARAMS)
    for section, changes in SMALL.items():
        params[section].update(changes)
    params["train"]["portable"] = portable
    params["techniques"] = {name: params["techniques"][name] for name in TECHNIQUES}
    yaml.dump(params, path)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file that the stages have made."""
    made = (path for path in sorted(folder.rglob("*")) if path.is_file())
    names = (path.relative_to(folder) for path in made)
    return {
        name.as_posix(): hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in names
        if not any(name.is_relative_to(left_out) for left_out in LEFT_OUT)
    }


def report(model: str, here: dict[str, str], there: dict[str, str]) -> bool:
    """Print what differs; whether nothing does."""
    differing = sorted(name for name in here | there if here.get(name) != there.get(name))
    print(f"{model}: {len(here) - len(differing)} of {len(here)} files are equal")
    for name in differing:
        print(f"  differs: {name}")
    return not differing


if __name__ == "__main__":
    main()
