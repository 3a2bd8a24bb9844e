"""Whether the core keeps anything: memory and objects stay level over tens of thousands of exchanges.

Each case runs in a process of its own, so that nothing else moves the figures; ``PyMem_Raw`` blocks, which no Python
tool counts, show in the resident set.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

pytestmark = [
    pytest.mark.leak,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the resident set from /proc"),
]

# Blocks of growth that a healthy process may show: the allocator rounds, caches fill.
MAX_GROWTH_KIB = 1024
MAX_NEW_OBJECTS = 50

PRELUDE = """
import gc, os, resource, socket
from contextlib import suppress

from wirepool._core.errors import CoreError
from wirepool._core.exchange import Exchange
from wirepool._core.idle import IdleQueue

OK = b"HTTP/1.1 200 OK\\r\\n"
ours, theirs = socket.socketpair()

def ask(x, body=None, preload=True, method="GET"):
    return x.request(method, "/", {"A": "b"}, body, preload, 5.0, 5.0, 100, False)

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() // 1024

def measure(work, times):
    for _ in range(times // 10):
        work()
    gc.collect()
    before, objects = resident(), len(gc.get_objects())
    for _ in range(times):
        work()
    gc.collect()
    print(resident() - before, len(gc.get_objects()) - objects)
"""

CASES = {
    "one connection": """
        x = Exchange(ours.fileno(), "h")
        replies = [
            OK + b"Content-Length: 3\\r\\n\\r\\nabc",
            OK + b"Transfer-Encoding: chunked\\r\\n\\r\\n3\\r\\nabc\\r\\n0\\r\\nA: b\\r\\n\\r\\n",
            b"HTTP/1.1 103 Hints\\r\\nLink: x\\r\\n\\r\\n" + OK + b"Content-Length: 0\\r\\n\\r\\n",
        ]
        def work():
            for reply in replies:
                theirs.send(reply)
                ask(x, b"body")
                x.trailers
                theirs.recv(1000)
                assert x.idle and x.held == 0
        measure(work, 7000)
    """,
    "a new exchange each time, abandoned in the middle": """
        def work():
            x = Exchange(ours.fileno(), "h", "agent")
            theirs.send(OK + b"Content-Length: 9999\\r\\n\\r\\n" + b"x" * 2000)
            ask(x, preload=False)
            x.read(10)
            theirs.recv(1000)
            assert x.held
        measure(work, 20000)
    """,
    "every kind of failure": """
        class Wire:
            def __init__(self, data):
                self.data = data
            def sendall(self, data):
                pass
            def recv_into(self, view):
                n = min(len(view), len(self.data))
                view[:n], self.data = self.data[:n], self.data[n:]
                return n
        bad = [
            b"", b"x", OK, OK + b"A : b\\r\\n\\r\\n", OK + b"Content-Length: x\\r\\n\\r\\n",
            OK + b"Content-Length: 999999\\r\\n\\r\\nabc", OK + b"Transfer-Encoding: chunked\\r\\n\\r\\nx",
            OK + b"Transfer-Encoding: chunked\\r\\n\\r\\n3\\r\\nab", OK + b"A: " + b"x" * 70000,
        ]
        def work():
            for data in bad:
                with suppress(CoreError):
                    ask(Exchange(Wire(data), "h", through_object=True), b"body")
            with suppress(CoreError):
                ask(Exchange(Wire(b""), "h", through_object=True), method="G T")
        measure(work, 2500)
    """,
    "the idle queue": """
        def work():
            q = IdleQueue(3)
            for item in range(5):
                q.give([item])
            q.get()
            with suppress(Exception):
                IdleQueue().get(True, 0)
            q.put(q)
            q.close()
        measure(work, 20000)
    """,
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_nothing_is_kept(case: str) -> None:
    script = PRELUDE + textwrap.dedent(case)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    kib, objects = map(int, done.stdout.split())
    assert kib <= MAX_GROWTH_KIB
    assert objects <= MAX_NEW_OBJECTS


def test_objects_that_are_alive_at_exit_are_no_trouble() -> None:
    script = PRELUDE + textwrap.dedent(
        """
        kept = Exchange(ours.fileno(), "h")
        theirs.send(OK + b"Content-Length: 9\\r\\n\\r\\nabc")
        ask(kept, preload=False)
        q = IdleQueue()
        q.put(kept)
        q.put(q)
        os.kept = [kept, q]
        """
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore::ResourceWarning", "-c", script],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
