"""The command `bluelight`: what DVC has no command for."""

import sys

import typer
from rich.console import Console

from pipeline import paths
from pipeline.ablation.techniques import with_technique
from pipeline.errors import BluelightError
from pipeline.evaluation.summary import summary
from pipeline.files import read_json
from pipeline.params import load_params

app = typer.Typer(
    help="A reproducible image-classification pipeline. `dvc repro` runs it.",
    no_args_is_help=True,
    add_completion=False,
)


@app.command()
def check() -> None:
    """Validate params.yaml without running anything."""
    params = load_params()
    for name, technique in params.techniques.items():
        with_technique(params, params.ablate.baseline, name, technique)
    print(f"{paths.PARAMS} is valid")


@app.command("summary")
def show_summary() -> None:
    """Show the result of the last run again."""
    finding = read_json(paths.REPORT_COMPARISON)["finding"]
    Console().print(summary(read_json(paths.TEST_METRICS), finding))


def main() -> None:
    """Run a command; a user's mistake is one message and exit status 1."""
    try:
        app()
    except BluelightError as error:
        for line in str(error).splitlines():
            print(f"bluelight: {line}", file=sys.stderr)
        sys.exit(1)
