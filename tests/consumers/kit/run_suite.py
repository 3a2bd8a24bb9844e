"""Runs pytest with the arguments given and writes what became of each test, ``{id: outcome}``, to the file named first.

Runs in the consumer's environment. An outcome is ``passed``, ``failed`` or ``skipped``; a module that cannot be
collected is a test that failed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest


class Recorder:
    """Takes down the outcome of each test; the worst of its phases counts."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.outcomes[report.nodeid] = "failed"
        elif report.when == "call" or report.skipped:
            self.outcomes.setdefault(report.nodeid, report.outcome)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.outcomes[report.nodeid] = "failed"


if __name__ == "__main__":
    recorder = Recorder()
    status = pytest.main(sys.argv[2:], plugins=[recorder])
    Path(sys.argv[1]).write_text(json.dumps(recorder.outcomes, indent=1, sort_keys=True), encoding="utf-8")
    sys.exit(int(status))
