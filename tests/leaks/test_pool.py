"""Whether the client keeps anything: 20 000 requests leave memory, objects and descriptors where they were.

Each case runs in a process of its own, against a server in another, so that nothing else moves the figures.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

pytestmark = [
    pytest.mark.leak,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the resident set and descriptors from /proc"),
]

REQUESTS = 20_000
# What a healthy process may show: the allocator rounds, caches fill.
MAX_GROWTH_KIB = 1024
MAX_NEW_OBJECTS = 100

# Beyond the socket object, which belongs to Python.
MAX_IDLE_BYTES = 4096

# As small as a server can be: every path has its answer; a POST has the body "abc".
SERVER = r"""
import select, socket, sys

HEAD = b"HTTP/1.1 200 OK\r\nServer: tiny\r\nX-Field: value\r\n"
ANSWERS = {
    b"/length": HEAD + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000,
    b"/chunked": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1f4\r\n" + b"y" * 500 + b"\r\n0\r\nA: b\r\n\r\n",
    b"/big": HEAD + b"Content-Length: 100000\r\n\r\n" + b"z" * 100000,
    b"/bad": b"nonsense\r\n\r\n",
    b"/redirect": b"HTTP/1.1 302 Found\r\nLocation: /length\r\nContent-Length: 0\r\n\r\n",
}
listener = socket.create_server(("127.0.0.1", 0), backlog=256)
print(listener.getsockname()[1], flush=True)
poller = select.epoll()
poller.register(listener, select.EPOLLIN)
connections, pending = {}, {}
while True:
    for number, _ in poller.poll():
        if number == listener.fileno():
            conn, _ = listener.accept()
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connections[conn.fileno()] = conn
            poller.register(conn, select.EPOLLIN)
            continue
        conn = connections[number]
        try:
            data = conn.recv(65536)
            pending[number] = request = pending.get(number, b"") + data
            if request.endswith(b"abc" if request.startswith(b"POST") else b"\r\n\r\n"):
                pending[number] = b""
                conn.sendall(ANSWERS[request.split(b" ", 2)[1]])
        except OSError:
            data = b""
        if not data:
            poller.unregister(conn)
            pending.pop(number, None)
            connections.pop(number).close()
"""

PRELUDE = """
import gc, os, resource, sys
from contextlib import suppress

import wirepool
from wirepool.exceptions import HTTPError

port, times = int(sys.argv[1]), int(sys.argv[2])
url = f"http://127.0.0.1:{port}"

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() // 1024

def state():
    gc.collect()
    return resident(), len(gc.get_objects()), len(os.listdir("/proc/self/fd"))

def measure(work, times):
    for _ in range(times // 10):
        work()
    before = state()
    for _ in range(times):
        work()
    print(*(after - before for before, after in zip(before, state())))
"""

CASES = {
    "plain": """
        manager = wirepool.PoolManager()
        def work():
            assert len(manager.request("GET", url + "/length").data) == 1000
        measure(work, times)
    """,
    "of every kind": """
        manager = wirepool.PoolManager(maxsize=2)
        def work():
            assert len(manager.request("GET", url + "/length", headers={"A": "b"}).headers) == 3
            assert len(manager.request("POST", url + "/chunked", body=b"abc").data) == 500
            answer = manager.request("GET", url + "/chunked", preload_content=False)
            assert sum(map(len, answer.stream(100))) == 500
            assert answer.msg["Server"] == "tiny"
            answer = manager.request("GET", url + "/length", preload_content=False)
            assert answer._fp.read(10) and answer.read()
            assert manager.request("GET", url + "/redirect").status == 200
        measure(work, times // 6)
    """,
    "going wrong": """
        manager = wirepool.PoolManager(maxsize=2, block=True, retries=False)
        def work():
            with suppress(HTTPError):
                manager.request("GET", url + "/bad")
            manager.request("GET", url + "/big", preload_content=False).close()
            manager.request("GET", url + "/big", preload_content=False)
            manager.request("GET", url + "/big", preload_content=False).release_conn()
            with suppress(ValueError):
                manager.request("GET", url + "/length", headers={"A": "\\n"})
        measure(work, times // 10)
    """,
    "a new pool each time": """
        def work():
            with wirepool.PoolManager() as manager:
                manager.request("GET", url + "/length")
            wirepool.HTTPConnectionPool("127.0.0.1", port).urlopen("GET", "/length", preload_content=False).read()
        measure(work, times // 10)
    """,
}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield int(server.stdout.readline())
    finally:
        server.kill()
        server.communicate()


def run(case: str, port: int, times: int, gear: str) -> list[int]:
    """The figures that the script prints in the end."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + textwrap.dedent(case), str(port), str(times)],
        env={**os.environ, "WIREPOOL_GEAR": gear},
        capture_output=True,
        text=True,
        timeout=55,
    )
    assert result.returncode == 0, result.stderr
    return [int(figure) for figure in result.stdout.split()]


@pytest.mark.parametrize("gear", ["fast", "compatible"])
@pytest.mark.parametrize("name", CASES)
def test_nothing_is_kept(port: int, name: str, gear: str) -> None:
    growth, objects, descriptors = run(CASES[name], port, REQUESTS, gear)
    assert growth < MAX_GROWTH_KIB
    assert objects < MAX_NEW_OBJECTS
    assert descriptors == 0


# 200 connections are made and used at the same time; what they hold when idle is all that remains. The socket objects
# are left out by measuring as many of them alone, connected in the same way.
IDLE = """
import socket, tracemalloc

pool = wirepool.HTTPConnectionPool("127.0.0.1", port, maxsize=0)

def round(number):
    held = [pool.urlopen("GET", "/length", preload_content=False) for _ in range(number)]
    for answer in held:
        assert len(answer.read()) == 1000

def taken(work):
    gc.collect()
    tracemalloc.start()
    kept = work()
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size, kept

round(2)
old = pool.pool.drain()
total, _ = taken(lambda: round(200))
idle = pool.pool.drain()
assert len(idle) == 200
sockets, alone = taken(lambda: [socket.create_connection(("127.0.0.1", port)) for _ in idle])
core = sum(conn._exchange.held for conn in idle if conn._exchange is not None)
print((total - sockets + core) // len(idle))
for closable in idle + old + alone:
    closable.close()
"""


@pytest.mark.parametrize("gear", ["fast", "compatible"])
def test_an_idle_connection_is_small(port: int, gear: str) -> None:
    (size,) = run(IDLE, port, 0, gear)
    assert size <= MAX_IDLE_BYTES
