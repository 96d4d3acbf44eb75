"""What benchmarks start as processes of their own, on this processor or on an emulated one."""

import argparse
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
QEMU = "qemu-x86_64"
MODELS = ("Haswell", "EPYC")  # Intel's and AMD's, with AVX2 and, emulated, without AVX-512


def run(
    command: Sequence[str], folder: Path = ROOT, variables: Mapping[str, str] | None = None
) -> str:
    """Run a program that may import the project; what it printed on stdout.

    Args:
        command: The program and its arguments.
        folder: Where it runs.
        variables: Of its environment, beside this process's.

    Raises:
        SystemExit: It failed; its own words are shown.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(variables or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def add_models(parser: argparse.ArgumentParser) -> None:
    """Let the user choose processors: `--model`, once for each, into `models`."""
    parser.add_argument("--model", action="append", dest="models", help="of QEMU's processors")


def emulators(
    parser: argparse.ArgumentParser, models: Sequence[str] | None
) -> dict[str, list[str]]:
    """What to run a program by, for each processor.

    Args:
        parser: Ends the program where QEMU is not installed.
        models: Those asked for; `MODELS` if none.
    """
    if shutil.which(QEMU) is None:
        parser.error(f"{QEMU} is not installed; Debian has it in the package qemu-user")
    return {model: [QEMU, "-cpu", model] for model in models or MODELS}
