"""The command `bluelight`: what DVC has no command for.

Each command imports what it needs when it runs: `bluelight predict` does not wait for torch.
"""

import io
import json
import os
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.common import paths
from pipeline.common.errors import BluelightError, complain, interruption_of, message_of

app = typer.Typer(
    help="A reproducible image-classification pipeline. `dvc repro` runs it.",
    no_args_is_help=True,
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"bluelight {version('bluelight')}")
        raise typer.Exit


@app.callback()
def options(
    *,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version."
        ),
    ] = False,
) -> None:
    """Handle the options that come before a command."""
    del show_version


@app.command()
def check() -> None:
    """Validate params.yaml without running anything."""
    from pipeline.common.params import load_params

    params = load_params()
    from pipeline.techniques.stage import resolve  # torch takes seconds: only if all is well

    for name in params.techniques:
        _, warning = resolve(params, name)
        if warning:
            print(f"techniques.{name}: {warning}")
    print(f"{paths.PARAMS} is valid")


@app.command()
def predict(
    path: Annotated[list[str], typer.Argument(help="Files, folders, patterns, or a CSV table.")],
    *,
    model: Annotated[Path, typer.Option(help="The model's folder.")] = paths.MODEL,
    images: Annotated[
        Path | None, typer.Option(help="Folder of a table's images; else beside it.")
    ] = None,
    form: Annotated[
        Literal["table", "csv", "json"] | None,
        typer.Option("--format", help="By default a table on a terminal, else CSV."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The file to write.")] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Probability threshold; else the model's.")
    ] = None,
    submission: Annotated[
        bool,
        typer.Option("--submission", help="Write image_names,emergency_or_not; predict at 0.5."),
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at an unusable image and write nothing.")
    ] = False,
) -> None:
    """Classify photos and print class probabilities.

    Unusable images are skipped and reported, and the exit status is then 1.
    """
    from pipeline.predict.command import predict as classify

    skipped = classify(
        path,
        model=model,
        images=images,
        form=form,
        output=output,
        threshold=threshold,
        submission=submission,
        strict=strict,
    )
    if skipped:
        were = "image was" if skipped == 1 else "images were"
        print(f"bluelight: {skipped:,} unusable {were} skipped", file=sys.stderr)
        raise typer.Exit(1)


@app.command()
def demo(
    *,
    model: Annotated[Path, typer.Option(help="The model's folder.")] = paths.MODEL,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Of this machine; 0 for any that is free.")
    ] = 8765,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Try the model on a page that this machine alone can open.

    It shows the prediction for a photo, the pixels that it rests on, and each augmentation of it.
    """
    from pipeline.demo.server import run_demo

    run_demo(model, port, browser=browser)


Rev = Annotated[str, typer.Argument(help="Commit, branch, tag, experiment or `workspace`.")]


@app.command()
def diff(
    old: Rev = "HEAD",
    new: Rev = "workspace",
    form: Annotated[
        Literal["table", "json", "md"], typer.Option("--format", help="How to print it.")
    ] = "table",
    html: Annotated[Path | None, typer.Option(help="Also write a page, with photos.")] = None,
) -> None:
    """Compare two revisions: params, data, code, environment, metrics and predictions."""
    from rich.console import Console
    from rich.markdown import Markdown

    from pipeline.common.files import atomic_write_text
    from pipeline.revisions import render
    from pipeline.revisions.diff import compare, plain
    from pipeline.revisions.revision import open_revision

    found = compare(open_revision(old), open_revision(new))
    if html is not None:
        atomic_write_text(html, render.html(found))
    if form == "json":
        print(json.dumps(vars(found), default=plain, indent=2, ensure_ascii=False))
    elif form == "md":
        print(render.markdown(found))
    else:
        Console().print(Markdown(render.markdown(found, rows=10)))


@app.command()
def average(
    revisions: Annotated[list[str], typer.Argument(help="Commits, branches or experiments.")],
) -> None:
    """Average metrics over revisions, such as the folds of a cross-validation, with intervals."""
    from rich.console import Console

    from pipeline.revisions.diff import average_metrics
    from pipeline.revisions.render import averages
    from pipeline.revisions.revision import open_revision

    found = average_metrics([open_revision(name) for name in revisions])
    Console().print(averages(found, len(revisions)))


@app.command()
def verify(
    revision: Rev = "HEAD",
    stages: Annotated[
        list[str] | None, typer.Argument(help="Only these stages and what they depend on.")
    ] = None,
) -> None:
    """Rebuild a commit from scratch and compare its outputs; exit with 0 if all are equal."""
    from pipeline.revisions.revision import open_revision
    from pipeline.revisions.verification import verify as rebuild

    raise typer.Exit(code=0 if rebuild(open_revision(revision), stages or []) else 1)


@app.command()
def tensorboard(
    revisions: Annotated[
        list[str] | None, typer.Argument(help="Revisions to show beside the workspace.")
    ] = None,
    logs: Annotated[
        str, typer.Option(help="Which logs: train, techniques (mean runs) or ablation (all runs).")
    ] = "train",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="To serve on.")] = 6006,
    only_gather: Annotated[
        bool, typer.Option("--print", help="Print the folder of logs, start nothing.")
    ] = False,
) -> None:
    """Open TensorBoard on the logs of the workspace and of revisions."""
    from pipeline.revisions.revision import gather_logs, open_revision

    folder = gather_logs([open_revision(name) for name in revisions or []], logs)
    if only_gather:
        print(folder)
    else:  # replaced by TensorBoard, so that whatever ends this process ends it
        command = ["-m", "tensorboard.main", f"--logdir={folder}", f"--port={port}"]
        os.execv(sys.executable, [sys.executable, *command])  # noqa: S606


def main() -> None:
    """Run a command; a user's mistake is one message and exit status 1."""
    # Temporary files are removed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - to the end
    try:
        if sys.stdout is None:
            raise BluelightError("standard output is closed; open it, or redirect it to a file")
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # names may have letters that it lacks
                stream.reconfigure(errors="backslashreplace")
        try:
            app()
        finally:
            sys.stdout.flush()  # at exit Python would print a traceback if that fails
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in {"pipeline", "scenes"}:
            raise
        complain(
            f"this command needs {error.name}, which comes with the extra `train`: "
            "install bluelight[train]"
        )
        sys.exit(1)
    except Exception as error:
        message = message_of(error)
        if message is None and (interruption := interruption_of(error)):
            interrupted = 128 + signal.SIGINT  # as shells report it
            sys.exit(interruption.code if isinstance(interruption, SystemExit) else interrupted)
        if message is None:
            raise
        complain(message)
        sys.exit(1)
