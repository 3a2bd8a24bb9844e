"""Pools and managers in either gear, closed when the test ends."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from wirepool import HTTPConnectionPool, PoolManager


@pytest.fixture
def pool_to(gear: str) -> Iterator[Callable[..., HTTPConnectionPool]]:
    """``pool_to(server, **options)``: a pool for that server."""
    with contextlib.ExitStack() as stack:

        def make(server: Any, **options: Any) -> HTTPConnectionPool:
            return stack.enter_context(HTTPConnectionPool(server.host, server.port, **options))

        yield make


@pytest.fixture
def manager(gear: str) -> Iterator[PoolManager]:
    with PoolManager() as it:
        yield it
