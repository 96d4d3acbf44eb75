"""Run the corpus, each case in a process of its own, and count what fails.

    python -m tests.bad_input            # this version: a line for each failure, and the counts
    python -m tests.bad_input --code DIR # the `pipeline` of another checkout
    python -m tests.bad_input --json     # the result of every case, for the tests

The libraries are imported once; each case runs in a fork, within 5 seconds and 500 MB.
"""

import argparse
import contextlib
import gc
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

SECONDS = 5.0  # of a processor, as others may be at work
MEGABYTES = 500  # of which the libraries take some 200
HANG = 60.0  # seconds after which a case is killed
NOBODY = 65_534
ROOT = Path(__file__).parents[2]


def main() -> None:
    """Run all cases, or those whose names hold a word."""
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs="*")
    parser.add_argument("--code", type=Path, default=ROOT)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        make = (
            "from pathlib import Path; from tests.helpers.artifacts import write; write(Path('M'))"
        )
        subprocess.run(
            [sys.executable, "-c", make.replace("M", str(folder / "model"))],
            cwd=asked.code,
            check=True,
        )
        sys.path.insert(0, str(asked.code))
        for module in [
            name for name in sys.modules if name.split(".")[0] in {"pipeline", "scenes"}
        ]:
            del sys.modules[module]  # `tests` has imported this version's
        results = run_all(folder, asked.code, asked.words)
    if asked.json:
        print(json.dumps(results))
        return
    for name, result in results.items():
        if result["fault"]:
            print(f"{name}: {result['fault']}\n    {result['stderr'].strip()[-200:]!r}")
    kinds = Counter(result["fault"].partition(":")[0] or "good" for result in results.values())
    print(
        len(results), "cases:", ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    )


def run_all(folder: Path, code: Path, words: list[str]) -> dict[str, dict[str, Any]]:
    # All that the commands import, so that each fork starts with it.
    import onnxruntime  # noqa: F401, PLC0415
    import pandas  # noqa: F401, ICN001, PLC0415

    import pipeline.cli  # noqa: PLC0415
    import pipeline.predict  # noqa: PLC0415
    import pipeline.run  # noqa: F401, PLC0415
    from tests.bad_input.cases import CASES  # noqa: PLC0415

    modules = ("fetch.stage", "predict.command", "predict.predict")
    for module in (f"pipeline.{name}" for name in modules):
        with contextlib.suppress(ImportError):
            __import__(module)
    gc.freeze()  # or each fork would copy what its collector looks at
    params = (code / "params.yaml").read_text(encoding="utf-8")
    chosen = {name: case for name, case in CASES.items() if all(word in name for word in words)}
    results = {}
    for number, (name, case) in enumerate(chosen.items()):
        root = folder / str(number) / "work"
        root.mkdir(parents=True)
        results[name] = run_one(case, root, params, folder / "model")
    return results


def run_one(case: Any, root: Path, params: str, model: Path) -> dict[str, Any]:
    """Run a case in a fork; returns what it printed and what is wrong with that, if anything."""
    report = root.with_name("report.json")
    with root.with_name("stderr").open("wb") as stderr, report.open("w") as answer:
        child = os.fork()
        if child == 0:
            code = 70
            try:
                code = child_main(case, root, params, model, stderr.fileno(), answer)
            finally:
                os._exit(code)
    deadline = time.monotonic() + HANG
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            break
        time.sleep(0.002)
    text = report.read_text()
    result: dict[str, Any] = json.loads(text) if text else {"code": None}
    result["stderr"] = root.with_name("stderr").read_bytes().decode(errors="replace")
    before, after = json.loads(root.with_name("before.json").read_text()), snapshot(root)
    paths = before.keys() | after.keys()
    result["changed"] = sorted(at for at in paths if before.get(at) != after.get(at))
    result["fault"] = fault_of(case, result)
    return result


def child_main(case: Any, root: Path, params: str, model: Path, stderr: int, answer: Any) -> int:
    os.chdir(root)
    Path("params.yaml").write_text(edited(params, case.params), encoding="utf-8")
    Path("model").symlink_to(model)
    Path("data/raw").mkdir(parents=True)
    Path("data/raw/old.txt").write_text("old")
    if "out.csv" in case.command:
        Path("out.csv").write_text("old")
    case.build()
    root.with_name("before.json").write_text(json.dumps(snapshot(root)))
    os.dup2(stderr, 2)
    if case.stdout == "closed":
        os.close(1)
        sys.stdout = None  # as Python starts without it
    else:
        where = os.open(case.stdout or "../stdout", os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(where, 1)
        sys.stdout = open(1, "w", encoding=case.encoding, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    if case.drop and os.geteuid() == 0:
        for path in (root, *root.rglob("*")):
            if not path.is_symlink() and path.exists():
                os.chown(path, NOBODY, NOBODY)
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    start = time.process_time()
    code: object = 70
    try:
        code = command(case.command)
    except SystemExit as error:
        code = error.code
    except BaseException:
        traceback.print_exc()
    seconds = time.process_time() - start
    sys.stderr.flush()
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    json.dump(
        {
            "code": code,
            "seconds": seconds,
            "megabytes": largest // 1024,
        },
        answer,
    )
    answer.flush()
    return 0


def command(arguments: tuple[str, ...]) -> object:
    from pipeline import cli, run  # noqa: PLC0415

    if arguments == ("fetch",):
        return run.main("fetch")
    sys.argv = ["bluelight", *arguments]
    return cli.main()  # type: ignore[func-returns-value]


def edited(text: str, changes: dict[str, str]) -> str:
    """`params.yaml` with other values, written as they are."""
    for key, value in changes.items():
        *sections, last = key.split(".")
        start = 0
        for depth, section in enumerate(sections):
            start = re.compile(rf"(?m)^{'  ' * depth}{section}:").search(text, start).end()  # type: ignore[union-attr]
        indent = "  " * len(sections)
        found = re.compile(rf"(?m)^{indent}{last}:.*\n(?:{indent}(?:- |  ).*\n)*").search(
            text, start
        )
        assert found, key
        text = f"{text[: found.start()]}{indent}{last}: {value}\n{text[found.end() :]}"
    return text


def snapshot(root: Path) -> dict[str, str]:
    """Every path below a folder, with its bytes or its kind, except downloads and locks."""
    found = {}
    for path in root.rglob("*"):
        name = os.fsencode(path.relative_to(root)).decode(errors="backslashreplace")
        if not name.startswith((".cache", ".resume")):
            regular = path.is_file() and not path.is_symlink()
            found[name] = path.read_bytes().hex() if regular else oct(path.lstat().st_mode)
    return found


def fault_of(case: Any, result: dict[str, Any]) -> str:
    """What is wrong with how a case ended; empty where nothing is."""
    text, code = result["stderr"], result["code"]
    if code is None:
        return "hang or kill"
    lines = text.splitlines() or [""]
    written = {"out.csv"} if case.skipped else set()
    most = 99 if case.several else 1 + case.skipped
    faults = {
        f"traceback: {lines[-1]}": "Traceback" in text or code == 70,
        f"exit status: {code}": code != 1,
        f"slow: {result['seconds']:.1f} s": result["seconds"] > SECONDS,
        f"memory: {result['megabytes']} MB": result["megabytes"] > MEGABYTES,
        f"changed: {result['changed']}": set(result["changed"]) - written,
        "message: unlike bluelight's": not all(line.startswith("bluelight: ") for line in lines),
        "message: control characters": not all(line.isprintable() for line in lines),
        "message: not as expected": case.skipped != ("skipped" in lines[-1]),
        f"message: {len(lines)} lines": not 1 + case.skipped <= len(lines) <= most,
    }
    return next((fault for fault, found in faults.items() if found), "")


if __name__ == "__main__":
    main()
