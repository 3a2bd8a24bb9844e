"""Data that the micro benchmarks share, and the loop that all of them measure.

Each benchmark is one job (its group) done by us or by a peer (the parameter of that name). What is timed is CALLS calls
in a plain loop, so that the clock's own cost does not matter; the loop costs all sides the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CALLS = 200
DATA = Path(__file__).parents[1] / "data"
SIZES = (10, 25, 60)

Fields = list[tuple[str, str]]
Race = Callable[..., None]


def _fields(kind: str, count: int) -> Fields:
    lines = (DATA / f"{kind}-{count}.txt").read_text(encoding="ascii").splitlines()
    fields = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    assert len(fields) == count
    return fields


@pytest.fixture(params=SIZES, ids="{}-fields".format)
def response_fields(request: pytest.FixtureRequest) -> Fields:
    """The header fields of a response, as a server behind a cache sends them."""
    return _fields("response", request.param)


@pytest.fixture(params=SIZES, ids="{}-fields".format)
def request_fields(request: pytest.FixtureRequest) -> Fields:
    """The header fields of a request, as an API's client sends them."""
    return _fields("request", request.param)


def _loop(call: Callable[..., object], arguments: tuple[Any, ...], calls: int) -> None:
    for _ in itertools.repeat(None, calls):
        call(*arguments)


@pytest.fixture
def race(request: pytest.FixtureRequest, benchmark: Any) -> Race:
    """``race(job, call, *arguments, calls=CALLS)``: measures ``call(*arguments)`` as an entry for that job."""

    def run(job: str, call: Callable[..., object], *arguments: Any, calls: int = CALLS) -> None:
        benchmark.group = job
        benchmark.extra_info["calls"] = calls
        benchmark.extra_info["peer"] = request.node.callspec.params["peer"].__name__.lstrip("_")
        benchmark(_loop, call, arguments, calls)

    return run
