"""Whether connections over TLS leave anything behind: each of hundreds comes from a pool of its own, with no session.

In a process of its own; the server, in another, is that of the soak. What ``malloc`` has given out is exact, where the
resident set goes up and down with the holes in a heap.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.certs import Authority
from soak.memory import EXACT, HAS_MALLINFO

TESTS = Path(__file__).resolve().parents[1]
SERVER = TESTS / "soak" / "server.py"

pytestmark = [
    pytest.mark.leak,
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_MALLINFO, reason="asks glibc for what is in use"),
]

# A session alone takes 7 KiB; what remains are caches that fill.
MAX_GROWTH_EACH = 512

SCRIPT = """
import gc, itertools, sys
import wirepool
from soak.memory import in_use
from wirepool import _tls

def measure():
    gc.collect()
    return in_use()

def work():
    with wirepool.PoolManager(ca_certs=ca_file) as manager:
        assert manager.request("GET", url).status == 200

url, ca_file, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
if _tls._LEAKS_SESSIONS:  # as it will be when as many were taken as may be
    _tls._reads_left = itertools.repeat(True, 5)
for _ in range(times // 4):
    work()
before = measure()
for _ in range(times):
    work()
print((measure() - before) // times)
"""


@pytest.fixture
def url(certs: Authority) -> Iterator[str]:
    files = (certs.localhost.cert_file, certs.localhost.key_file)
    server = subprocess.Popen(
        [sys.executable, str(SERVER), *files], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        yield f"https://localhost:{server.stdout.readline().split()[1]}/length?x"
    finally:
        server.kill()
        server.communicate()


@pytest.mark.parametrize("gear", ["fast", "compatible"])
def test_connections_leave_nothing(url: str, certs: Authority, gear: str) -> None:
    import wirepool

    roots = (str(Path(wirepool.__file__).parents[1]), str(TESTS), os.environ.get("PYTHONPATH", ""))
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, url, certs.ca_file, "150"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, roots)),
            "WIREPOOL_GEAR": gear,
            **EXACT,
        },
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < MAX_GROWTH_EACH
