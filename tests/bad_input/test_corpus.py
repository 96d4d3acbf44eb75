"""Every bad input is one line and exit status 1, or is skipped and counted; nothing is written."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.bad_input.cases import CASES
from tests.helpers.imports import ROOT
from tests.helpers.processes import environment


@pytest.fixture(scope="module")
def results() -> dict[str, dict[str, Any]]:
    command = [sys.executable, "-m", "tests.bad_input", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, check=True)
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


def test_the_corpus_is_large() -> None:
    assert len(CASES) >= 250


@pytest.mark.parametrize("name", CASES)
def test_bad_input(results: dict[str, dict[str, Any]], name: str) -> None:
    assert results[name]["fault"] == "", results[name]["stderr"]
