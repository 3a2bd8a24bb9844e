"""Real servers end with the test process, however that ends."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from servers._process import ServerMissing, ServerProcess, answers, free_ports

TESTS = Path(__file__).parents[2]

HOLDER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from servers.nginx import NginxServer
server = NginxServer()
server.start()
print(server.port, server.home, flush=True)
time.sleep(60)
"""


class Sleeper(ServerProcess):
    """Never answers."""

    program = "sh"
    log = "sleeper.log"

    def _lay_out(self, home: Path) -> list[str]:
        return [self.binary, "-c", "echo nothing to serve; exit 3"]

    def _ready(self, home: Path) -> bool:
        return False


class Nowhere(Sleeper):
    program = "a-program-that-nobody-has"


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM"])
def test_a_server_does_not_outlive_a_test_process_that_is_shot(nginx: object, how: str) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(TESTS)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        port, home = holder.stdout.readline().split()
        assert answers("127.0.0.1", int(port))
        os.kill(holder.pid, getattr(signal, how))
    deadline = time.monotonic() + 3
    while answers("127.0.0.1", int(port)):
        assert time.monotonic() < deadline, "still there"
        time.sleep(0.01)
    # Its directory is all that is left.
    shutil.rmtree(home)


@pytest.mark.skipif(sys.platform == "win32", reason="no sh")
def test_a_server_that_does_not_start_says_why() -> None:
    with pytest.raises(RuntimeError, match="nothing to serve"):
        Sleeper().start()


def test_a_missing_program_is_named() -> None:
    with pytest.raises(ServerMissing, match="a-program-that-nobody-has"):
        Nowhere()


def test_free_ports_differ_and_are_free() -> None:
    ports = free_ports("127.0.0.1", 5)
    assert len(set(ports)) == 5
    socket.create_server(("127.0.0.1", ports[0])).close()
