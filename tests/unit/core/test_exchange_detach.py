"""Going over to the standard library in the middle of a body: nothing is lost, nothing comes twice."""

from __future__ import annotations

import http.client
import io
from collections.abc import Iterator
from typing import Any

import pytest

from servers.pieces import cut, every_cut
from servers.replies import REPLIES, Reply
from servers.wires import WIRES, ObjectWire, Silence, ask
from wirepool._core.errors import CoreError

wires = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES.keys())
replies = pytest.mark.parametrize(
    "reply",
    [reply for reply in REPLIES.values() if reply.method == "GET"],
    ids=[name for name, reply in REPLIES.items() if reply.method == "GET"],
)


class Connection:
    """What HTTPResponse wants of a socket."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        return io.BufferedReader(io.BytesIO(self.data))  # type: ignore[arg-type]


def continued(state: tuple[bytes, str, int, int | None], rest: bytes) -> http.client.HTTPResponse:
    """A response of the standard library that goes on where the exchange was left."""
    buffered, framing, left, chunk_left = state
    response = http.client.HTTPResponse(Connection(buffered + rest))  # type: ignore[arg-type]
    response.status, response.will_close = 200, framing == "close"
    response.chunked, response.chunk_left = framing == "chunked", chunk_left
    response.length = {"length": left, "none": 0}.get(framing)
    return response


def moments(reply: Reply, wire: Any) -> Iterator[tuple[Any, Any, bytes]]:
    """Every exchange, cut in every way and read up to every point in two ways, with what was read of it."""
    end: Any = "close" if reply.until_close else "open"
    for sizes in every_cut(len(reply.wire)):
        pieces = cut(reply.wire, sizes)
        for amount in range(len(reply.body) + 1):
            with wire(pieces, end) as peer:
                ask(peer.exchange)
                yield peer, peer.exchange, peer.exchange.read(amount)
        for steps in range(len(pieces)):
            with wire(pieces, end) as peer:
                ask(peer.exchange)
                yield peer, peer.exchange, b"".join(peer.exchange.read1(4) for _ in range(steps))


@replies
def test_the_standard_library_reads_the_rest(reply: Reply) -> None:
    for peer, x, got in moments(reply, ObjectWire):
        complete = x.complete
        state = x.detach()
        assert got + continued(state, peer.rest()).read() == reply.body
        assert x.complete is False
        assert x.held == 0
        if complete:
            assert state == (b"", "none", 0, None)


@wires
@pytest.mark.parametrize("name", ["length", "chunked", "chunked, trailers", "until close"])
def test_both_drivers_leave_off_at_the_same_place(wire: Any, name: str) -> None:
    reply = REPLIES[name]
    for amount in range(len(reply.body)):
        for pieces in ([reply.wire], cut(reply.wire, (1,) * len(reply.wire))):
            with wire(pieces, "close") as peer:
                ask(peer.exchange)
                got = peer.exchange.read(amount)
                assert got + continued(peer.exchange.detach(), peer.rest()).read() == reply.body


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("pieces", "amount", "expected"),
    [
        ([b"3\r\nabc\r\n"], 0, (b"3\r\nabc\r\n", "chunked", -1, None)),
        ([b"3\r\nabc\r\n"], 1, (b"bc\r\n", "chunked", -1, 2)),
        ([b"3\r\nabc\r\n"], 3, (b"\r\n", "chunked", -1, 0)),
        ([b"3\r\nabc\r\n4"], 3, (b"\r\n4", "chunked", -1, 0)),
        ([b"1\r\na\r\n2\r\nbc\r\n"], 2, (b"c\r\n", "chunked", -1, 1)),
    ],
)
def test_the_state_of_a_chunked_body(pieces: list[bytes], amount: int, expected: Any) -> None:
    with ObjectWire([CHUNKED + pieces[0]]) as peer:
        ask(peer.exchange)
        assert len(peer.exchange.read(amount)) == amount
        assert peer.exchange.detach() == expected


# What the exchange may have eaten of a size line when a receive fails in the middle of it.
@pytest.mark.parametrize(
    "eaten", [b"1", b"1f", b"00a", b"1 ", b"1 \t", b"1;", b"1;a", b'1;a="b', b"1\r", b"1;a\r", b"0", b"0\r"]
)
@pytest.mark.parametrize("waited", [False, True])
def test_a_size_line_that_was_begun_reads_the_same_again(eaten: bytes, waited: bool) -> None:
    size = int(eaten.split(b";")[0], 16)
    rest = {True: b"\n", False: b"\r\n"}[eaten.endswith(b"\r")]
    body = b"x" * size
    after = rest + body + (b"\r\n0\r\n\r\n" if size else b"\r\n")
    with ObjectWire([CHUNKED + b"2\r\nab\r\n" + eaten]) as peer:
        x = peer.exchange
        ask(x)
        assert x.read1() == b"ab"
        if waited:
            with pytest.raises(Silence):
                x.read()
        assert continued(x.detach(), after).read() == body


def test_a_complete_exchange_has_nothing_to_give() -> None:
    for reply in REPLIES.values():
        if not reply.until_close:
            with ObjectWire([reply.wire]) as peer:
                ask(peer.exchange, reply.method, preload=True)
                assert peer.exchange.detach() == (b"", "none", 0, None)
                assert (peer.exchange.idle, peer.exchange.held) == (False, 0)


def test_nothing_can_be_read_after_it() -> None:
    with ObjectWire([REPLIES["length"].wire]) as peer:
        x = peer.exchange
        ask(x)
        x.detach()
        for use in (x.read, x.read1, x.read_chunk, lambda: x.readinto(bytearray(1))):
            with pytest.raises(CoreError):
                use()
        with pytest.raises(RuntimeError):
            ask(x)


def test_what_failed_is_not_taken_for_complete_afterwards() -> None:
    for name in ("length", "chunked"):
        reply = REPLIES[name]
        with ObjectWire([reply.wire[:-8]], "close") as peer:
            ask(peer.exchange)
            with pytest.raises(CoreError):
                peer.exchange.read()
            with pytest.raises(http.client.IncompleteRead):
                continued(peer.exchange.detach(), b"").read()
