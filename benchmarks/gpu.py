"""What training does on a GPU: its time, whether runs and resumed runs have the same bytes.

    python benchmarks/gpu.py                     # after `dvc repro features`
    python benchmarks/gpu.py --accelerator cpu   # the same checks without a GPU

Each line is a run of stage `train` as params.yaml says, on the accelerator, in a folder of its own
that is emptied before each; its digest is that of all that the stage writes.
"""

import argparse
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import torch
from ruamel.yaml import YAML

from pipeline.common import paths
from pipeline.common.files import read_json

ROOT = Path(__file__).parent.parent.resolve()
OUTPUTS = ("models", "logs", "reports", ".resume")
YAML_FILE = YAML(typ="safe")


def start(folder: Path, *stage: str, **changes: object) -> subprocess.Popen[bytes]:
    """Start a stage in a folder, with other values of `train`."""
    tree = YAML_FILE.load(ROOT / "params.yaml")
    tree["train"] |= changes
    YAML_FILE.dump(tree, folder / "params.yaml")
    command = [sys.executable, "-m", "pipeline.run", *stage]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    return subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True)


def train(folder: Path, name: str, kill_after: int = 0, **changes: object) -> str:
    """Run stage `train`, killed once where asked; print a line; return the digest."""
    for output in OUTPUTS:
        shutil.rmtree(folder / output, ignore_errors=True)
    started = time.perf_counter()
    process = start(folder, "train", **changes)
    if kill_after:
        wanted = ".resume/*/after-*"
        while process.poll() is None and not any(
            int(state.name.rpartition("-")[2]) >= kill_after for state in folder.glob(wanted)
        ):
            time.sleep(0.02)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process = start(folder, "train", **changes)
    if process.wait():
        print(f"{name}: FAILED with exit status {process.returncode}", flush=True)
        return ""
    seconds = time.perf_counter() - started
    whole = hashlib.sha256()
    outputs = ("models/network", "logs/train", "reports/train")
    for path in sorted(file for output in outputs for file in (folder / output).rglob("*")):
        if path.is_file():
            whole.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    metrics = read_json(folder / paths.TRAIN_METRICS)
    epochs = metrics["epochs_run"]
    print(
        f"{name}: {whole.hexdigest()[:12]}, {epochs} epochs, {seconds:.1f} s, "
        f"{seconds / epochs:.3f} s per epoch with start and end, "
        f"val_loss {metrics['val_loss']:.4f}, val_accuracy {metrics['val_accuracy']:.4f}",
        flush=True,
    )
    return whole.hexdigest()


def main() -> None:
    """Run the checks one by one."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("--accelerator", choices=["gpu", "cpu"], default="gpu")
    parser.add_argument("--epochs", type=int, default=120)
    asked = parser.parse_args()
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    libraries = [f"{name} {version(name)}" for name in ("torch", "pytorch-lightning")]
    print(card, f"Python {platform.python_version()}", *libraries, sep=", ", flush=True)
    on = {"accelerator": asked.accelerator, "epochs": asked.epochs}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(ROOT / "data/packed", folder / "data/packed")
        shutil.copytree(ROOT / "data/features", folder / "data/features")
        first = train(folder, asked.accelerator, **on)
        again = train(folder, f"{asked.accelerator}, again", **on)
        killed = train(folder, "killed in the middle", asked.epochs // 3, **on)
        print(f"same bytes: again {again == first}, resumed {killed == first}", flush=True)
        many = train(folder, "8 workers", workers=8, **on)
        print(f"same bytes with 8 workers: {many == first}", flush=True)
        half = [train(folder, "bf16-mixed", precision="bf16-mixed", **on) for _ in range(2)]
        print(f"same bytes twice with bf16-mixed: {half[0] == half[1]}", flush=True)
        packaged = start(folder, "package", **on).wait()
        print(f"package of the last: exit status {packaged}", flush=True)


if __name__ == "__main__":
    main()
