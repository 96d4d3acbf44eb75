"""Do other processors make the same bytes? Every stage, here and as other processors would run it.

    python benchmarks/processors.py [STAGE ...] [--model Haswell --model EPYC] [--not-portable]

Runs the stages at small size in a temporary folder, then again in one for each processor: emulated
by QEMU (Debian's package qemu-user), which has AVX2 and no AVX-512, and calls itself Intel's or
AMD's by the model's name. Prints the files that differ; exits with 1 if there are any. Five minutes
or so for each processor.

Libraries are told apart by what they ask of the processor, so an emulated one takes the paths that
a real one would. What it cannot show is a real one's AVX-512 under the caps: for that, run this on
a machine that has it.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline import paths

ROOT = Path(__file__).parents[1]
QEMU = "qemu-x86_64"
MODELS = ("Haswell", "EPYC")
STAGES = ("fetch", "split", "pack", "train", "package", "evaluate", "ablate", "report")
TECHNIQUES = ("baseline", "combined")
SMALL: dict[str, dict[str, Any]] = {
    "synthetic": {"images": 120, "exact_copies": 6, "near_copies": 4},
    "train": {"epochs": 4, "batch_size": 32},
    "ablate": {"epochs": 2, "seeds": [1]},
}

# Made of what was measured: notes on the machine itself, and the state of an interrupted run.
LEFT_OUT = (paths.ENVIRONMENT, paths.RESUME)


def main() -> None:
    """Run everywhere, compare, print."""
    parser = argparse.ArgumentParser(description="Do other processors make the same bytes?")
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--model", action="append", dest="models", help="of QEMU's processors")
    parser.add_argument("--not-portable", action="store_true", help="with train.portable: false")
    asked = parser.parse_args()
    if shutil.which(QEMU) is None:
        parser.error(f"{QEMU} is not installed; Debian has it in the package qemu-user")
    stages = [stage for stage in STAGES if stage in asked.stages] or STAGES
    with tempfile.TemporaryDirectory(prefix="bluelight-") as folder:
        here = make(Path(folder) / "here", [], stages, portable=not asked.not_portable)
        equal = True
        for model in asked.models or MODELS:
            command = [QEMU, "-cpu", model]
            there = make(Path(folder) / model, command, stages, portable=not asked.not_portable)
            equal &= report(model, here, there)
    sys.exit(0 if equal else 1)


def make(
    folder: Path, emulator: Sequence[str], stages: Sequence[str], *, portable: bool
) -> dict[str, str]:
    """Run the stages in a folder; the SHA-256 of each file by its name there.

    Args:
        folder: Made.
        emulator: What to run Python by.
        stages: Those of `STAGES` to run, with those before them that they need.
        portable: `train.portable`.

    Raises:
        SystemExit: A stage failed; its own words are shown.
    """
    folder.mkdir()
    write_params(folder / paths.PARAMS, portable=portable)
    for stage in STAGES[: STAGES.index(stages[-1]) + 1]:
        for item in TECHNIQUES if stage == "ablate" else ("",):
            command = [
                *emulator,
                sys.executable,
                "-m",
                "pipeline.stages",
                stage,
                *filter(None, [item]),
            ]
            done = subprocess.run(
                command,
                cwd=folder,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
            print(f"{folder.name}: {stage} {item}".rstrip(), file=sys.stderr)
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
