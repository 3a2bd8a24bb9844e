"""One case, one way to read it, one way to cut it: what comes out, and what of the connection.

A *trial* sends a request to the server of :mod:`corpus.server` through a pool of its own, reads the response, and then
sends a second request, which must get its own answer: by its connection it is seen whether the first was used again.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from corpus.cases import Case
from corpus.reading import READERS, suits
from corpus.server import SIZE, family_of, in_full
from wirepool import HTTPConnectionPool, exceptions
from wirepool.connectionpool import UnixHTTPConnectionPool

__all__ = ["Found", "Poisoned", "Stage", "cuts_of", "try_out"]

_SOON = 5.0
# How long the client waits in those cases that leave it waiting for what never comes.
_PATIENCE = 0.15

_ON_UNIX_SOCKETS = sys.platform == "linux"
_counter = itertools.count(1)


class Poisoned(AssertionError):
    """The next request did not get its own answer."""


@dataclass(frozen=True)
class Found:
    """What came out. Two ways to read the same bytes must give equal ones."""

    outcome: str
    """``"response"``, or the name of the exception."""
    status: int = 0
    version: int = 0
    reason: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    # False as well when the body could not be decoded: how much of it was received by then is chance.
    reused: bool = False


class Stage:
    """The server's process, and what it is told."""

    def __init__(self) -> None:
        name = f"wirepool-corpus-{os.getpid()}-{next(_counter)}" if _ON_UNIX_SOCKETS else "127.0.0.1:0"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "corpus.server", name],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[1],
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().decode().strip()
        family, where = family_of(self.address)
        self._control = socket.socket(family, socket.SOCK_STREAM)
        self._control.connect(where)
        self._loaded: bytes | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()
        with self._process:
            self._process.wait(_SOON)

    def _tell(self, *message: Any) -> None:
        data = pickle.dumps(message)
        self._control.sendall(SIZE.pack(len(data)) + data)

    def prepare(self, data: bytes, cuts: Sequence[int], close: bool) -> None:
        if data is not self._loaded:
            self._tell("load", data)
            self._loaded = data
        self._tell("play", tuple(cuts), close)

    def end(self) -> int:
        """Waits until all was sent; the number of the connection it went over."""
        self._tell("end")
        return int(SIZE.unpack(in_full(self._control, SIZE.size))[0])

    def pool(self) -> Any:
        if _ON_UNIX_SOCKETS:
            return UnixHTTPConnectionPool("%00" + self.address, block=True)
        host, _, port = self.address.partition(":")
        return HTTPConnectionPool(host, int(port), block=True)


def cuts_of(case: Case, count: int) -> Iterator[tuple[int, ...]]:
    """Cut in two at about that many positions, all of them if there are no more."""
    n = len(case.wire)
    positions = range(1, n) if n - 1 <= count else sorted({1 + i * (n - 1) // count for i in range(count)})
    return ((at,) for at in positions)


def try_out(stage: Stage, case: Case, reader: str, cuts: Sequence[int] = ()) -> Found | None:
    """What that way of reading makes of the case; None if it is none for this response.

    :raises Poisoned: the request after it did not get its own answer.
    """
    stage.prepare(case.wire, cuts or case.pauses, case.close)
    with stage.pool() as pool:
        found = _outcome(pool, case, reader)
        number = stage.end()
        again = _number_of_next(pool)
    return None if found is None else Found(**found, reused=again == number and found["outcome"] != "DecodeError")


def _outcome(pool: Any, case: Case, reader: str) -> dict[str, Any] | None:
    timeout = _PATIENCE if case.stalls else _SOON
    preload = reader == "preload"
    try:
        response = pool.urlopen(
            case.method, "/case", retries=False, redirect=False, timeout=timeout, preload_content=preload
        )
        with contextlib.closing(response):
            if not suits(reader, response):
                return None
            body = READERS[reader](response, case.step)
    except exceptions.HTTPError as error:
        return {"outcome": _family(error)}
    return {
        "outcome": "response",
        "status": response.status,
        "version": response.version,
        "reason": response.reason,
        "fields": tuple(response.headers.items()),
        "body": body,
    }


def _family(error: BaseException) -> str:
    """The exception's class, or that of what it wraps: some never come bare.

    The compatible gear tells two faults as urllib3 does ("Between the gears" in docs/compat.md): they count as one.
    """
    if "ended prematurely" in str(error):
        return "IncompleteRead"
    for inner in (*_causes(error), *error.args):
        if isinstance(inner, (exceptions.InvalidChunkLength, http.client.IncompleteRead, exceptions.InvalidHeader)):
            return type(inner).__name__
    return type(error).__name__


def _causes(error: BaseException) -> list[BaseException]:
    """It and its causes, the first one first."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None:
        chain.insert(0, cause)
        cause = cause.__cause__
    return chain


def _number_of_next(pool: Any) -> int:
    text = f"{next(_counter)}"
    answer = pool.urlopen("GET", f"/probe/{text}", retries=False, timeout=_SOON, pool_timeout=1)
    own, _, number = answer.data.partition(b" ")
    if own.decode() != text or answer.status != 200:
        raise Poisoned(f"asked for {text}, got {answer.status} {answer.data[:100]!r}")
    return int(number)
