"""After a fork, parent and child do not share connections."""

from __future__ import annotations

import os
import sys

import pytest

import wirepool
from servers.echo import EchoServer

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


def nonce(http: wirepool.PoolManager, url: str, value: str) -> bool:
    response = http.request("GET", f"{url}/nonce", headers={"X-Nonce": value}, retries=False)
    return response.headers["x-nonce"] == value


def in_child(http: wirepool.PoolManager, url: str) -> bool:
    pool = http.connection_from_url(url)
    return pool.pool.queue == [None, None] and all(nonce(http, url, f"child {n}") for n in range(20))


@pytest.mark.usefixtures("gear")
def test_the_child_forgets_idle_connections() -> None:
    with EchoServer() as server, wirepool.PoolManager(maxsize=2) as http:
        assert nonce(http, server.url, "first")
        pool = http.connection_from_url(server.url)
        before = pool.num_connections
        child = os.fork()
        if child == 0:
            ok = False
            try:
                ok = in_child(http, server.url)
            finally:
                sys.stdout.flush()
                os._exit(0 if ok else 1)
        assert all(nonce(http, server.url, f"parent {n}") for n in range(20))
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        # The child said nothing on the connection, so the parent did not have to make another.
        assert pool.num_connections == before


def test_a_closed_pool_stays_closed_in_the_child() -> None:
    pool = wirepool.HTTPConnectionPool("127.0.0.1", 1)
    pool.close()
    child = os.fork()
    if child == 0:
        os._exit(0 if pool.pool is None else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
