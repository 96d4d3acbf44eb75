"""`python -m dvc` and the project's commands without their imports, which take seconds.

Each stage of a pipeline is a process of its own and imports PyTorch, Lightning or DVC; with little
data, that is nearly all it does. `offered` makes a folder of the programs `python`, `dvc` and
`bluelight`. For the modules in `SERVED` they ask a server for a process, forked from one that has
imported all libraries but none of the project's modules; else `python` is this interpreter.
pytest-xdist's workers are such processes too.
"""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import wait
from pathlib import Path
from runpy import run_module
from typing import Any

from tests.helpers.imports import ROOT

# What each server imports at its first request. ONNX Runtime is not among it: it starts threads,
# which a fork would lose.
CORE = [
    "cv2",
    "pandas",
    "pydantic",
    "rich.progress",
    "ruamel.yaml",
    "safetensors.numpy",
    "scipy.stats",
]
IMPORTS = {
    # Most of these are what DVC itself imports only where it needs them.
    "dvc": [
        "dulwich.repo",
        "dvc.cli.parser",
        "dvc.repo.experiments.executor.local",
        "dvc.repo.experiments.queue.celery",
        "dvc.rwlock",
        "dvc_data.index",
        "dvc_render.vega",
        "hydra.core.override_parser.overrides_parser",
        "networkx",
        "pygit2",
        "ruamel.yaml",
        "scmrepo.git",
    ],
    "command": [*CORE, "dvc.repo", "typer"],
    "stage": [
        *CORE,
        "albumentations",
        "jinja2",
        "matplotlib.pyplot",
        "onnx",
        "pytorch_lightning",
        "sklearn.linear_model",
        "sklearn.metrics",
        "sklearn.neighbors",
        "tensorboard.backend.event_processing.event_accumulator",
        "torch.utils.tensorboard",
        "torchmetrics.classification",
    ],
}
SERVED = {
    "dvc": "dvc",
    "pipeline": "command",
    "pipeline.run": "stage",
    "torch.distributed.run": "stage",
    "benchmarks.speed.bluelight": "stage",
    "benchmarks.speed.floor": "stage",
}
OURS = {"benchmarks", "pipeline", "scenes", "tests"}
VARIABLE = "BLUELIGHT_TEST_PROGRAMS"
WORKER = "-c"  # execnet starts pytest-xdist's workers with a line of code

CLIENT = """\
#!{python} -IS
import json, os, socket, sys

command = {command} + sys.argv[1:]
served = {served}
unbuffered = command[:1] == ["-u"]  # as torchrun and execnet have it
asked = command[unbuffered:]
if asked[:1] == ["-m"] and asked[1] in served:
    del asked[0]
elif not unbuffered or asked[0] != "{worker}":
    os.execv({python!r}, [{python!r}, *command])
request = json.dumps([*asked, os.getcwd(), dict(os.environ)]).encode()
with socket.socket(socket.AF_UNIX) as server:
    server.connect({folder!r} + "/" + served.get(asked[0], "stage") + ".socket")
    socket.send_fds(server, [len(request).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(request)
    status = server.recv(1)
sys.exit(status[0] if status else 1)
"""


@contextmanager
def offered() -> Iterator[Path]:
    """Offer the programs to the tests; yield their folder, which is in the variable `VARIABLE`."""
    with tempfile.TemporaryDirectory(prefix="programs-") as folder:
        commands = {"python": [], "dvc": ["-m", "dvc"], "bluelight": ["-m", "pipeline"]}
        for name, command in commands.items():
            program = Path(folder, name)
            words = {"python": sys.executable, "command": command, "worker": WORKER}
            text = CLIENT.format(folder=folder, served=SERVED, **words)
            program.write_text(text, encoding="utf-8")
            program.chmod(0o755)
        with subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.server", folder],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdout.readline()  # it listens
            os.environ[VARIABLE] = folder
            try:
                yield Path(folder)
            finally:
                del os.environ[VARIABLE]
                process.stdin.close()  # ends it


def main(folder: str) -> None:
    """Start the servers; end them with the tests."""
    servers = []
    for name, imports in IMPORTS.items():
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(f"{folder}/{name}.socket")
        listening.listen(64)
        servers.append(os.fork())
        if servers[-1] == 0:
            answer(next_request(listening, imports), f"{folder}/python")
            os._exit(0)  # the libraries' own farewells take a second
    print("listening", flush=True)
    sys.stdin.read()
    for server in servers:
        os.kill(server, signal.SIGKILL)


def next_request(listening: socket.socket, imports: list[str]) -> socket.socket:
    """Fork a process for each request; only that process returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        connection, _ = listening.accept()
        for module in imports:
            import_module(module)
        gc.freeze()  # a collection in a forked process would copy every page
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listening.close()
            return connection
        connection.close()


def answer(connection: socket.socket, python: str) -> None:
    """Run the module that was asked for, and tell the client how it ended."""
    length, streams, *_ = socket.recv_fds(connection, 8, 3)
    with connection.makefile("rb") as file:
        request = json.loads(file.read(int.from_bytes(length, "big")))
    job = get_context("fork").Process(target=run, args=(streams, python, *request))
    job.start()
    if connection in wait([connection, job.sentinel]):  # the client was stopped
        job.terminate()
    job.join()
    with suppress(BrokenPipeError):
        connection.send(bytes([int(job.exitcode or 0) % 256]))


def run(streams: list[int], python: str, module: str, *rest: Any) -> None:
    """Run a module with these standard streams, arguments, folder and variables."""
    *arguments, folder, variables = rest
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    if lightning := sys.modules.get("lightning_fabric.utilities.rank_zero"):
        lightning.rank_zero_only.rank = lightning._get_rank() or 0  # which it reads when imported
    sys.path[:0] = [folder, *filter(None, variables.get("PYTHONPATH", "").split(os.pathsep))]
    if module == WORKER:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
        exec(arguments[0], vars(sys.modules["__main__"]))  # noqa: S102
    else:
        sys.executable = python
        sys.argv = [module, *arguments]
        run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1])
