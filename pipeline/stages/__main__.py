"""Run one stage: `python -m pipeline.stages fetch`. `dvc.yaml` starts each stage so."""

import sys
from importlib import import_module

from pipeline.errors import BluelightError
from pipeline.params import load_params

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def main(name: str) -> int:
    """Validate the params and run the stage; returns the exit status.

    Args:
        name: A module of `pipeline.stages`.
    """
    try:
        params = load_params()
        import_module(f"pipeline.stages.{name}").run(params)
    except BluelightError as error:
        for line in str(error).splitlines():
            print(f"bluelight: {name}: {line}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"bluelight: {name}: interrupted; `dvc repro` starts it again", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
