"""Short runs of what ``make stress`` does for minutes; see ``stress``."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from servers.certs import Authority
from threads.peer import Peer
from threads.stress import SHAPES, run

pytestmark = [
    pytest.mark.ft,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="counts sockets in /proc"),
    # Of what is collected as cyclic garbage the socket may come first, and say that nobody closed it.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

SECONDS = 1.2
PORTS = 6


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with Peer(PORTS) as peer:
        yield peer


@pytest.fixture(scope="module")
def tls_peer(certs: Authority) -> Iterator[Peer]:
    with Peer(PORTS, (certs.localhost.cert_file, certs.localhost.key_file)) as peer:
        yield peer


@pytest.mark.parametrize("shape", ["few", "open", "pools"])
def test_plain(gear: str, peer: Peer, shape: str) -> None:
    figures = run(SHAPES[shape], peer, seconds=SECONDS)
    assert sum(figures.per_thread) > 0, figures


def test_one_connection(gear: str, peer: Peer) -> None:
    assert run(SHAPES["one"], peer, seconds=SECONDS / 2).most_connections <= 1


def test_tls(gear: str, tls_peer: Peer, certs: Authority) -> None:
    run(SHAPES["all"], tls_peer, seconds=SECONDS, ca_certs=certs.ca_file)


def test_exceptions_from_outside(peer: Peer) -> None:
    """In the fast gear, for preloaded responses; elsewhere each step is Python, and one between two of them may lose a
    slot."""
    figures = run(SHAPES["interrupted"], peer, seconds=SECONDS)
    assert figures.interruptions > 0
