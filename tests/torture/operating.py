"""A child: operations of the core while each of their allocations fails in turn. Task: ``operations``, their names.

After each: the answer or MemoryError, and nothing is kept: the second and the third round over all allocations of an
operation leave as many blocks of memory behind as there were. Report as that of ``requesting.py``.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import socket
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from torture.faults import MEMORY, Shim
from wirepool._core.buffer import Buffer
from wirepool._core.chunked import decode_chunked, encode_chunk
from wirepool._core.exchange import Exchange
from wirepool._core.head import head_length, parse_fields, parse_head
from wirepool._core.headers_out import serialize
from wirepool._core.idle import IdleQueue

HEAD = b"HTTP/1.1 200 Fine\r\nServer: x\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nX-Folded: a\r\n b\r\n"
LENGTH = HEAD + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"400\r\n" + b"y" * 1024 + b"\r\n0\r\nA: b\r\n\r\n"
INTERIM = b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + LENGTH
FIELDS = [("Host", "a.test"), ("X-Number", 5), ("X-Text", "é"), (b"X-Octets", b"z")]

PATIENCE = 60.0
# Lists of free objects, and Python's own caches, grow by a few.
FEW_BLOCKS = 12


def exchanged(reply: bytes, preload: bool) -> Callable[[], Any]:
    """A request over a pair of sockets, whose answer is there before it is asked for."""

    def operation() -> Any:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(reply)
            theirs.shutdown(socket.SHUT_WR)
            exchange = Exchange(ours.fileno(), "a.test", "agent")
            result = exchange.request("POST", "/", {"A": "b"}, b"body", preload, 5.0, 5.0, 100, False)
            rest = [] if preload else [exchange.read(2), exchange.read(-1)]
            return result, rest, exchange.trailers if not preload else None

    return operation


def queued() -> Any:
    """A queue of two from hand to hand: what is lent comes back, whatever fails in between."""
    queue = IdleQueue(2)
    queue.put("a")
    queue.put("b")
    slot: list[Any] = []
    try:
        queue.lend(slot, True, 0)
        queue.lend([], True, 0)
        queue.put("c")
    finally:
        if slot:
            assert queue.take_back(slot, "d")
    return queue.queue, queue.close()


def buffered() -> Any:
    buffer = Buffer()
    for size in (10, 600, 5000):
        buffer.feed(b"x" * size)
        buffer.skip(size // 2)
    return bytes(buffer)


OPERATIONS: dict[str, Callable[[], Any]] = {
    "parse a head": lambda: (parse_head(LENGTH[:-5]), parse_fields(LENGTH[:-5]), head_length(LENGTH)),
    "decode chunks": lambda: (decode_chunked(CHUNKED[CHUNKED.index(b"400") :]), encode_chunk(b"abc")),
    "write a head": lambda: serialize("GET", "/path?query", FIELDS),
    "fill a buffer": buffered,
    "lend and give back": queued,
    "ask and read all": exchanged(LENGTH, True),
    "ask and read in parts": exchanged(LENGTH, False),
    "read chunks": exchanged(CHUNKED, True),
    "read chunks in parts": exchanged(CHUNKED, False),
    "skip what comes before": exchanged(INTERIM, True),
}


class Operating:
    """One child's work and what it found."""

    def __init__(self) -> None:
        self.shim = Shim(python_memory=True)
        self.tried = self.hit = 0
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []
        sys.unraisablehook = self._unraisable

    def run(self, name: str, operation: Callable[[], Any]) -> None:
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        right = operation()
        for fault in MEMORY:
            self.shim.attempt(fault, 0, operation)
            calls = self.shim.counts()[fault.call]
            blocks = [self._round(f"{name}: {fault}", operation, right, fault, calls) for _ in range(3)]
            if blocks[2] - blocks[1] > FEW_BLOCKS:
                self.wrong.append(f"{name}: {fault}: keeps memory: {blocks} blocks")
        faulthandler.cancel_dump_traceback_later()

    def _round(self, doing: str, operation: Callable[[], Any], right: Any, fault: Any, calls: int) -> int:
        for n in range(1, calls + 1):
            outcome, hits = self.shim.attempt(fault, n, operation)
            self.tried += 1
            self.hit += hits
            failed = isinstance(outcome, BaseException)
            self.outcomes[type(outcome).__name__ if failed else "answer"] += 1
            if not isinstance(outcome, MemoryError) if failed else outcome != right:
                self.wrong.append(f"{doing} at {n}: {outcome!r:.300}")
            del outcome
            if operation() != right:
                self.wrong.append(f"{doing} at {n}: another answer afterwards")
        gc.collect()
        return sys.getallocatedblocks()

    def _unraisable(self, args: Any) -> None:
        if not isinstance(args.exc_value, MemoryError):
            self.wrong.append(f"ignored in {args.object!r}: {args.exc_value!r}")


def main() -> None:
    task = json.load(sys.stdin)
    operating = Operating()
    for name in task["operations"]:
        operating.run(name, OPERATIONS[name])
    report = {"tried": operating.tried, "hit": operating.hit, "outcomes": operating.outcomes}
    print(json.dumps({**report, "wrong": operating.wrong[:100]}))


if __name__ == "__main__":
    main()
