"""Runs pytest with the arguments given and writes what became of each test to the file named first.

A JSON object by the tests' ids: ``passed``, ``skipped``, or ``failed`` with the traceback behind it.

Runs in the consumer's environment. A module that cannot be collected is a test that failed. Whatever reaches for
anything but loopback is stopped by an :exc:`OSError`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")


class Recorder:
    """Takes down the outcome of each test; the worst of its phases counts."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.outcomes[report.nodeid] = f"failed\n{report.longreprtext}"
        elif report.when == "call" or report.skipped:
            self.outcomes.setdefault(report.nodeid, report.outcome)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.outcomes[report.nodeid] = f"failed\n{report.longreprtext}"


def _stay_on_loopback(event: str, args: tuple[Any, ...]) -> None:
    host: Any = None
    if event == "socket.connect" and isinstance(args[1], tuple):
        host = args[1][0]
    elif event == "socket.getaddrinfo":
        host = args[0].decode("latin-1") if isinstance(args[0], bytes) else args[0]
    if host and not str(host).startswith(LOOPBACK):
        raise OSError(f"{event} {host!r}: suites of consumers stay on loopback")


if __name__ == "__main__":
    sys.addaudithook(_stay_on_loopback)
    recorder = Recorder()
    status = pytest.main(sys.argv[2:], plugins=[recorder])
    Path(sys.argv[1]).write_text(json.dumps(recorder.outcomes, indent=1, sort_keys=True), encoding="utf-8")
    sys.exit(int(status))
