"""Subprocesses of the tests."""

import os
import sys
from pathlib import Path


def environment() -> dict[str, str]:
    """The environment for a subprocess: this interpreter's programs first, git left alone.

    Before them come those of `tests.helpers.server`, where it runs.
    """
    own = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    programs = [own.get("BLUELIGHT_TEST_PROGRAMS"), str(Path(sys.executable).parent), own["PATH"]]
    return own | {
        "PATH": os.pathsep.join(filter(None, programs)),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "test",
        "GIT_AUTHOR_EMAIL": "test@example.com",
        "GIT_COMMITTER_NAME": "test",
        "GIT_COMMITTER_EMAIL": "test@example.com",
    }
