"""Runs a consumer's program, or its own tests, in its environment: on urllib3 and on wirepool in urllib3's place.

Nothing of this process's environment gets through but the path, and nothing that was started outlives its run.

Threading: confined.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import signal
import subprocess
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from .environments import Environment

__all__ = ["Suite", "difference", "ours_only", "run_program", "run_suite"]

KIT = Path(__file__).parent / "kit"
TESTS = Path(__file__).parents[1]
PROGRAM_SECONDS = 60
ON_URLLIB3: Sequence[str] = ()
ON_WIREPOOL: Sequence[str] = ("-m", "wirepool", "exec")

Report = dict[str, Any]


# --- programs ---------------------------------------------------------------------------------------------------------


def run_program(where: Environment, program: Path, servers: Mapping[str, Any], on: Sequence[str], home: Path) -> Report:
    """What the program prints: its JSON document."""
    more = {"CONSUMER_SERVERS": json.dumps(servers), "PYTHONPATH": os.pathsep.join((str(KIT), str(TESTS)))}
    output, errors, status = _run([where.python, *on, str(program)], home, more, PROGRAM_SECONDS)
    if status != 0:
        pytest.fail(f"{' '.join((*on, program.name))} ended with {status}\n{errors[-4000:]}", pytrace=False)
    report: Report = json.loads(output)
    report["errors"] = errors
    return report


def difference(theirs: Report, ours: Report) -> str:
    """A diff of the scenes that differ, with what wirepool's run said on standard error; empty if there are none."""
    parts = []
    for name in sorted({*theirs["scenes"], *ours["scenes"]}):
        on_urllib3, on_wirepool = (json.dumps(run["scenes"].get(name), indent=1) for run in (theirs, ours))
        if on_urllib3 != on_wirepool:
            pair = (on_urllib3.splitlines(), on_wirepool.splitlines(), f"{name} on urllib3", f"{name} on wirepool")
            parts.append("\n".join(difflib.unified_diff(*pair, lineterm="", n=4)))
    return "\n\n".join([*parts, ours["errors"][-4000:]]) if parts else ""


# --- a consumer's own tests -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Suite:
    """``suite.toml``: where a consumer's own tests come from, and how they are run."""

    sdist: str
    requirements: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    seconds: float = 120
    passing: int = 0
    fails_on_urllib3: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)
    differs: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Suite:
        return cls(**tomllib.loads(path.read_text(encoding="utf-8")))

    @property
    def left_out(self) -> list[str]:
        return [*self.fails_on_urllib3, *self.slow, *self.differs]


def run_suite(where: Environment, suite: Suite, tree: Path, on: Sequence[str], home: Path) -> dict[str, str]:
    """The outcome of each test by its id."""
    outcomes = home / "outcomes.json"
    left_out = [f"--deselect={name}" for name in suite.left_out]
    fixed = ["-q", "-p", "no:cacheprovider", f"--rootdir={tree}", f"--basetemp={home / 'basetemp'}"]
    command = [where.python, *on, str(KIT / "run_suite.py"), str(outcomes), *fixed, *suite.arguments, *left_out]
    output, errors, status = _run(command, home, {}, suite.seconds, cwd=tree)
    if status not in (0, 1) or not outcomes.exists():
        pytest.fail(f"the suite ended with {status}\n{output[-3000:]}\n{errors[-3000:]}", pytrace=False)
    found: dict[str, str] = json.loads(outcomes.read_text(encoding="utf-8"))
    return found


def ours_only(theirs: Mapping[str, str], ours: Mapping[str, str]) -> str:
    """The tests that pass on urllib3 and do not on wirepool, each with what became of it; empty if there are none."""
    return "\n\n".join(
        f"{name}: {ours.get(name, 'not run')}"
        for name, outcome in sorted(theirs.items())
        if outcome == "passed" and ours.get(name) != "passed"
    )


# --- processes --------------------------------------------------------------------------------------------------------


def _run(
    command: list[str], home: Path, more: Mapping[str, str], seconds: float, cwd: Path | None = None
) -> tuple[str, str, int]:
    """Standard output, standard error and status of a command, which takes all its offspring along when it ends."""
    home.mkdir(parents=True, exist_ok=True)
    variables = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "TMPDIR": str(home),
        "LC_ALL": "C.UTF-8",
    }
    # Files, not pipes: a grandchild that keeps a pipe open would be waited for.
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, cwd=cwd or home, env={**variables, **more}, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=output, stderr=errors,
        )  # fmt: skip
        try:
            status = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        texts = [_content(file) for file in (output, errors)]
    if status is None:
        pytest.fail(f"{command} took more than {seconds} seconds\n{texts[1][-4000:]}", pytrace=False)
    return texts[0], texts[1], status


def _content(file: Any) -> str:
    file.seek(0)
    return str(file.read())
