"""Requests of every main shape, and responses of the corpus, while system calls and allocations fail one by one.

Each child takes some shapes in one gear. Of the whole (``make torture``, or ``WIREPOOL_TORTURE=1``) the normal suite
runs a sample: a few of the calls, a few cases.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corpus.cases import Case
from servers.certs import Authority
from torture import operating
from torture.faults import build, compiler, run_child
from torture.serving import Report, Servers, cases
from torture.shapes import SHAPES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the shim is for Linux"),
]

WHOLE = os.environ.get("WIREPOOL_TORTURE") == "1"
# How many calls of one function fail in turn, at most, and how many cases of the corpus are taken.
MOST = {"system": 60 if WHOLE else 2, "memory": 4000 if WHOLE else 25}
CASES = 60 if WHOLE else 3
# For one child; the whole takes minutes.
SECONDS = 1500.0 if WHOLE else 50.0

QUICK_SHAPES = ["get with retries", "streamed response", "streamed upload", "tls", "proxy tunnels"]
# One child each: what takes longest goes by itself.
GROUPS = [[name] for name in SHAPES] if WHOLE else [QUICK_SHAPES]
CORPUS = cases(CASES)
BATCHES = [CORPUS[start::4] for start in range(4)] if WHOLE else [CORPUS]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if compiler() is None:
        if os.environ.get("CI"):
            pytest.fail("CI has to have a C compiler")
        pytest.skip("NOT TESTED under failing calls: no C compiler")
    return build(tmp_path_factory.mktemp("shim"))


# Every allocation of each is tried, whole or sample.
OPERATIONS = sorted(operating.OPERATIONS)


@pytest.fixture(scope="module")
def servers(certs: Authority) -> Iterator[Servers]:
    with Servers(certs, CORPUS).running() as running:
        yield running


def tortured(shim: Path, servers: Servers, gear: str, kind: str, **what: Any) -> Report:
    """What a child found out; fails if anything was wrong."""
    task = {"shapes": [], "cases": [], **what, "site": servers.site(), "faults": kind, "most": MOST[kind]}
    os.environ["WIREPOOL_GEAR"] = gear
    try:
        report = Report.sum_of([run_child(shim, "requesting", {**task, "identity": uuid.uuid4().hex}, SECONDS)])
    finally:
        del os.environ["WIREPOOL_GEAR"]
    print(report)
    assert not report.wrong, "\n".join(report.wrong)
    assert not servers.twice()
    assert report.hit >= report.tried * 0.7
    return report


@pytest.mark.timeout(SECONDS + 30)
def test_operations_of_the_core(shim: Path) -> None:
    report = Report.sum_of([run_child(shim, "operating", {"operations": OPERATIONS}, SECONDS)])
    print(report)
    assert not report.wrong, "\n".join(report.wrong)
    assert report.hit >= report.tried * 0.9
    assert report.outcomes["MemoryError"] > report.tried * 0.5


@pytest.mark.timeout(SECONDS + 30)
@pytest.mark.parametrize("gear_name", ["fast", "compatible"])
@pytest.mark.parametrize("kind", ["system", "memory"])
@pytest.mark.parametrize("names", GROUPS, ids="+".join)
def test_shapes(shim: Path, servers: Servers, gear_name: str, kind: str, names: list[str]) -> None:
    tortured(shim, servers, gear_name, kind, shapes=names)


@pytest.mark.timeout(SECONDS + 30)
@pytest.mark.parametrize("gear_name", ["fast", "compatible"])
@pytest.mark.parametrize("kind", ["system", "memory"])
@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"{batch[0].name}-and-{len(batch) - 1}-more")
def test_cases(shim: Path, servers: Servers, gear_name: str, kind: str, batch: list[Case]) -> None:
    tortured(shim, servers, gear_name, kind, cases=[(case.name, case.method) for case in batch])
