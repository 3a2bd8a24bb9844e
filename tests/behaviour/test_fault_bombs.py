"""Bodies that grow a thousandfold when decoded: where nobody asked for them, nobody decodes them."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from servers.scripted import Connection, ScriptedServer, response
from wirepool import HTTPConnectionPool, PoolManager

Start = Callable[..., ScriptedServer]

MIB = 1 << 20
BOMB = 64 * MIB


@contextmanager
def within(limit: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < limit, f"{peak / MIB:.1f} MiB"


@pytest.fixture(scope="module")
def bomb() -> bytes:
    return gzip.compress(bytes(BOMB), 1)


def redirecting(bomb: bytes) -> Callable[[Connection], None]:
    fields = [("Location", "/there"), ("Content-Encoding", "gzip")]

    def serve(conn: Connection) -> None:
        while True:
            there = conn.recv().target == "/there"
            conn.send(response(b"there") if there else response(bomb, status=302, headers=fields))

    return serve


def test_a_redirect_that_is_followed(gear: str, scripted: Start, bomb: bytes) -> None:
    server = scripted(default=redirecting(bomb))
    with PoolManager(timeout=10) as manager, within(8 * MIB):
        assert manager.request("GET", server.url + "/").data == b"there"
    with HTTPConnectionPool(server.host, server.port, timeout=10) as pool, within(8 * MIB):
        assert pool.urlopen("GET", "/").data == b"there"


def test_a_redirect_that_is_not_followed(gear: str, scripted: Start, bomb: bytes) -> None:
    server = scripted(default=redirecting(bomb))
    with HTTPConnectionPool(server.host, server.port, timeout=10) as pool, within(8 * MIB):
        assert pool.urlopen("GET", "/", redirect=False).status == 302


def test_who_asks_gets_it(gear: str, scripted: Start, bomb: bytes) -> None:
    server = scripted(default=redirecting(gzip.compress(b"moved" * 1000)))
    with HTTPConnectionPool(server.host, server.port, timeout=10) as pool:
        answer = pool.urlopen("GET", "/", redirect=False)
        assert answer.data == b"moved" * 1000
        assert answer.data == b"moved" * 1000
        assert pool.urlopen("GET", "/", redirect=False, decode_content=False).data[:2] == b"\x1f\x8b"
