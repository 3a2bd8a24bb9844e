"""The exchange, reading: every framing, every cut, every way to read, through both drivers, gives the same."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from servers.pieces import cut, every_cut
from servers.replies import READERS, REPLIES, Reply
from servers.wires import WIRES, ObjectWire, SocketWire, ask
from wirepool._core import exchange as module
from wirepool._core.errors import STATUS, ConnectionLost, CoreError, ProtocolViolation

wires = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES.keys())
replies = pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES.keys())
readers = pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def end_of(reply: Reply) -> Any:
    """How the peer goes on behind the response: silence, where the end is known without it."""
    return "close" if reply.until_close else "open"


@contextmanager
def answered(wire: Any, *pieces: bytes, end: Any = "open", **options: Any) -> Iterator[tuple[Any, Any]]:
    """An exchange that has sent its request and read the head of this answer, and the result."""
    with wire(pieces, end) as peer:
        yield peer.exchange, ask(peer.exchange, **options)


# --- the tables, in all ways ------------------------------------------------------------------------------------------


@wires
@replies
@readers
def test_a_body_is_the_same_however_it_is_cut_and_read(wire: Any, reply: Reply, read: Any) -> None:
    for sizes in every_cut(len(reply.wire)):
        with answered(wire, *cut(reply.wire, sizes), end=end_of(reply), method=reply.method) as (x, _):
            assert read(x) == reply.body
            assert read(x) == b""
            assert (x.complete, x.reusable, x.idle, x.remaining) == (True, reply.reusable, reply.reusable, 0)
            assert x.received == len(reply.body)
            assert x.trailers == reply.trailers
            assert x.held == 0


@wires
@replies
def test_preload_gives_the_same(wire: Any, reply: Reply) -> None:
    for sizes in every_cut(len(reply.wire)):
        pieces = cut(reply.wire, sizes)
        with answered(wire, *pieces, end=end_of(reply), method=reply.method, preload=True) as (x, result):
            status, version, _, head, body, flags = result
            assert (body, x.trailers, x.held) == (reply.body, reply.trailers, 0)
            assert (status, version) == (int(head[9:12]), 10 if head.startswith(b"HTTP/1.0") else 11)
            assert head == reply.wire[: reply.head_len][-len(head) :]
            expected = module.COMPLETE | (module.REUSABLE if reply.reusable else 0)
            assert flags & (module.COMPLETE | module.REUSABLE) == expected
            assert bool(flags & module.TRAILERS) == (reply.trailers is not None)


@wires
@replies
def test_one_connection_serves_all(wire: Any, reply: Reply) -> None:
    """State of one response does not reach the next: any reusable one may come before any other."""
    for before in REPLIES.values():
        if not before.reusable:
            continue
        with wire([before.wire, reply.wire], end_of(reply)) as peer:
            x = peer.exchange
            assert ask(x, before.method, preload=True)[4] == before.body
            assert ask(x, reply.method, preload=True)[4] == reply.body
            assert (x.reusable, x.trailers, x.received) == (reply.reusable, reply.trailers, len(reply.body))


@wires
@pytest.mark.parametrize("after", [b"x", b"HTTP/1.1 200 OK\r\n\r\n", b"\r\n"])
@replies
def test_octets_left_over_end_the_connection(wire: Any, reply: Reply, after: bytes) -> None:
    if not reply.reusable:
        return
    with answered(wire, reply.wire + after, method=reply.method, preload=True) as (x, result):
        assert result[4] == reply.body
        assert (x.complete, x.reusable, x.idle) == (True, False, False)
        with pytest.raises(RuntimeError, match="not complete"):
            ask(x)


# --- the end of the stream at every position --------------------------------------------------------------------------


def expected_end(reply: Reply, at: int) -> str | None:
    """The status when the stream ends there; None where the body is complete all the same."""
    if at == 0:
        return "EOF_NO_RESPONSE"
    if at < reply.head_len:
        return "EOF_IN_HEAD"
    return None if reply.until_close or at >= reply.end_of_data else "EOF_IN_BODY"


def outcome_of(x: Any, reply: Reply, read: Any) -> bytes | int:
    """The body, or the status of the error; ``read`` None: preloaded."""
    try:
        body = ask(x, reply.method, preload=read is None)[4]
        return body if read is None else read(x)  # type: ignore[no-any-return]
    except ConnectionLost as error:
        return error.status


@wires
@replies
@pytest.mark.parametrize("read", [*READERS.values(), None], ids=[*READERS, "preload"])
def test_the_end_of_the_stream_is_never_taken_for_the_end_of_the_body(wire: Any, reply: Reply, read: Any) -> None:
    for at, bytewise in itertools.product(range(len(reply.wire) + 1), (False, True)):
        start = reply.wire[:at]
        expected = expected_end(reply, at)
        with wire(cut(start, (1,) * at if bytewise else (at,)), "close") as peer:
            x = peer.exchange
            found = outcome_of(x, reply, read)
            if expected is not None:
                assert found == STATUS[expected]
                assert x.failed_while == ("body" if expected == "EOF_IN_BODY" else "head")
                with pytest.raises(ConnectionLost):
                    x.read()
            elif reply.until_close:
                assert found == start[reply.head_len :]
            else:
                assert found == reply.body
            assert x.trailers in (None, reply.trailers)
            assert x.held == 0
            assert x.reusable <= (at == len(reply.wire))


def test_what_came_before_the_end_was_given_out() -> None:
    with answered(ObjectWire, OK + b"Content-Length: 9\r\n\r\nabc", b"de", end="close") as (x, _):
        assert [x.read1(), x.read1(), x.received, x.remaining] == [b"abc", b"de", 5, 4]
        with pytest.raises(ConnectionLost, match="closed within the response body"):
            x.read1()
        assert (x.received, x.complete) == (5, False)


# --- how much one call gives ------------------------------------------------------------------------------------------


@wires
def test_read_gives_exactly_what_was_asked_for(wire: Any) -> None:
    with answered(wire, OK + b"Content-Length: 10\r\n\r\nab", b"cd", b"efghij") as (x, _):
        assert [x.read(0), x.read(3), x.remaining, x.read(6), x.read(6)] == [b"", b"abc", 7, b"defghi", b"j"]


@wires
def test_take_rest_gives_what_has_wholly_arrived(wire: Any) -> None:
    with answered(wire, OK + b"Content-Length: 10\r\n\r\nabcdefghij") as (x, _):
        assert (x.take_rest(9), x.received, x.complete) == (None, 0, False)
        assert (x.read(3), x.take_rest(6), x.take_rest(7)) == (b"abc", None, b"defghij")
        assert (x.complete, x.reusable, x.received, x.take_rest(9), x.held) == (True, True, 10, None, 0)


@wires
def test_take_rest_leaves_all_else_to_read(wire: Any) -> None:
    with answered(wire, OK + b"Content-Length: 10\r\n\r\nabcdefghi", b"j") as (x, _):
        assert (x.take_rest(99), x.read()) == (None, b"abcdefghij")
    for reply in (REPLIES["chunked"], REPLIES["until close"], REPLIES["204"], REPLIES["length 0"]):
        with answered(wire, reply.wire, end=end_of(reply), method=reply.method) as (x, _):
            assert (x.take_rest(99), x.read(), x.complete) == (None, reply.body, True)


@wires
def test_take_rest_with_octets_left_over(wire: Any) -> None:
    with answered(wire, OK + b"Content-Length: 10\r\n\r\nabcdefghijHTTP/1.1") as (x, _):
        assert (x.take_rest(10), x.complete, x.reusable) == (b"abcdefghij", True, False)


@wires
def test_read1_gives_what_is_there(wire: Any) -> None:
    with answered(wire, OK + b"Content-Length: 10\r\n\r\nab", b"cd", b"efghij") as (x, _):
        assert [x.read1(0), x.read1(), x.read1(1), x.read1(), x.read1(99)] == [b"", b"ab", b"c", b"d", b"efghij"]


@wires
def test_readinto_fills_what_it_can(wire: Any) -> None:
    with answered(wire, OK + b"Content-Length: 10\r\n\r\nabc", b"defg", b"hij") as (x, _):
        buffer = bytearray(2)
        found = []
        while n := x.readinto(buffer):
            found.append(bytes(buffer[:n]))
        assert found == [b"ab", b"c", b"de", b"fg", b"hi", b"j"]
        assert x.readinto(bytearray()) == 0


@wires
def test_read_chunk_keeps_to_the_chunks(wire: Any) -> None:
    with answered(wire, CHUNKED + b"3\r\nabc\r\n5\r\nde", b"fgh\r\n1\r\ni\r\n0\r\n\r\n") as (x, _):
        assert [x.read_chunk() for _ in range(4)] == [b"abc", b"defgh", b"i", b""]
    with answered(wire, CHUNKED + b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n") as (x, _):
        assert [x.read_chunk(2) for _ in range(4)] == [b"ab", b"c", b"d", b""]


@wires
@pytest.mark.parametrize("size", [65535, 65536, 65537, 200000])
def test_read_chunk_gives_a_large_chunk_whole(wire: Any, size: int) -> None:
    data = CHUNKED + b"%x\r\n" % size + b"x" * size + b"\r\n2\r\nyz\r\n0\r\n\r\n"
    pieces = [data[at : at + 3000] for at in range(0, len(data), 3000)]
    with answered(wire, *pieces) as (x, _):
        assert (len(x.read_chunk()), x.read_chunk(), x.read_chunk()) == (size, b"yz", b"")


@wires
def test_the_connection_is_free_as_soon_as_the_body_was_given_out(wire: Any) -> None:
    """Who reads exactly what there is never sees b"", so the last chunk is looked at ahead, when it is there."""
    with answered(wire, CHUNKED + b"3\r\nabc\r\n0\r\n\r\n") as (x, _):
        assert (x.read(3), x.complete, x.idle, x.held) == (b"abc", True, True, 0)
    with answered(wire, OK + b"Content-Length: 3\r\n\r\nabc") as (x, _):
        assert (x.read1(3), x.complete, x.idle, x.held) == (b"abc", True, True, 0)
    with answered(wire, CHUNKED + b"3\r\nabc\r\n0\r\n", b"\r\n") as (x, _):
        assert (x.read(3), x.complete) == (b"abc", False)
        assert (x.read(3), x.complete) == (b"", True)


@wires
@pytest.mark.parametrize("size", [4095, 4096, 4097, 16384, 65536, 300000])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@readers
def test_large_bodies(wire: Any, size: int, framing: str, read: Any) -> None:
    if size > 70000 and read in (READERS["read(1)"], READERS["readinto(1)"], READERS["read1(2)"], READERS["mixed"]):
        return
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    wires_of = {
        "length": OK + b"Content-Length: %d\r\n\r\n" % size + body,
        "chunked": CHUNKED + b"%x\r\n" % size + body + b"\r\n0\r\n\r\n",
        "close": OK + b"\r\n" + body,
    }
    data = wires_of[framing]
    pieces = [data[at : at + 60000] for at in range(0, len(data), 60000)]
    with answered(wire, *pieces, end="close") as (x, _):
        assert read(x) == body
        assert x.complete


# --- what the head says -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "flag"),
    [
        (b"Content-Encoding: br", module.CONTENT_ENCODING),
        (b"Location: /", module.LOCATION),
        (b"Retry-After: 3", module.RETRY_AFTER),
        (b"no colon", module.SKIPPED_LINE),
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked", module.BOTH_LENGTHS),
    ],
)
def test_flags(field: bytes, flag: int) -> None:
    with answered(ObjectWire, OK + field + b"\r\n\r\n") as (_, result):
        assert result[5] == flag
    with answered(ObjectWire, OK + b"\r\n") as (_, result):
        assert result[5] == 0


def test_a_result() -> None:
    head = b"HTTP/1.0 404 Not  Found\r\nA: b\r\n\r\n"
    with answered(ObjectWire, head + b"body", end="close") as (x, result):
        assert result == (404, 10, "Not  Found", head, None, 0)
        assert (x.chunked, x.remaining, x.complete, x.failed_while) == (False, -1, False, "")
    with answered(ObjectWire, CHUNKED) as (x, _):
        assert (x.chunked, x.remaining) == (True, -1)


@pytest.mark.parametrize("method", ["HEAD", b"HEAD", type("Method", (str,), {})("HEAD")])
def test_the_answer_to_head_has_no_body(method: Any) -> None:
    with answered(ObjectWire, OK + b"Content-Length: 5\r\n\r\n", method=method) as (x, _):
        assert (x.complete, x.reusable, x.read()) == (True, True, b"")


@wires
def test_switching_protocols_ends_the_exchange(wire: Any) -> None:
    with answered(wire, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", preload=True) as (x, result):
        assert (result[0], result[4], x.complete, x.reusable) == (101, b"", True, False)


# --- limits -----------------------------------------------------------------------------------------------------------


@wires
def test_interim_responses_are_limited(wire: Any) -> None:
    limit, final = module.LIMITS["MAX_INTERIM"], OK + b"Content-Length: 0\r\n\r\n"
    with answered(wire, b"HTTP/1.1 102 Wait\r\n\r\n" * limit + final) as (x, result):
        assert (result[0], x.idle) == (200, True)
    data = b"HTTP/1.1 102 Wait\r\n\r\n" * (limit + 1) + final
    with wire([data]) as peer, pytest.raises(ProtocolViolation, match="interim") as caught:
        ask(peer.exchange)
    assert caught.value.status == STATUS["TOO_MANY_INTERIM"]


@wires
def test_the_limit_on_fields_is_the_callers(wire: Any) -> None:
    data = OK + b"A: b\r\n" * 5 + b"Content-Length: 0\r\n\r\n"
    with answered(wire, data, max_fields=6) as (x, _):
        assert x.idle
    with wire([data]) as peer, pytest.raises(ProtocolViolation, match="more header fields than the limit"):
        ask(peer.exchange, max_fields=5)


@wires
@pytest.mark.parametrize(
    ("section", "status"),
    [
        (b"A: b\r\n" * 101, "TOO_MANY_FIELDS"),
        (b"A: " + b"x" * 70000, "LINE_TOO_LONG"),
        ((b"A: " + b"x" * 3000 + b"\r\n") * 40, "HEAD_TOO_LARGE"),
    ],
)
def test_the_trailer_section_is_limited(wire: Any, section: bytes, status: str) -> None:
    data = CHUNKED + b"3\r\nabc\r\n0\r\n" + section
    pieces = [data[at : at + 3000] for at in range(0, len(data), 3000)]
    with answered(wire, *pieces) as (x, _):
        with pytest.raises(ProtocolViolation) as caught:
            x.read()
        assert caught.value.status == STATUS[status]
        assert (x.reusable, x.held) == (False, 0)


@pytest.mark.parametrize("size", [module.LIMITS["MAX_TRAILER"] + extra for extra in (-1, 0, 1, 2, 20000)])
@pytest.mark.parametrize("piece", [1 << 20, 16384, 4093, 700])
def test_the_size_of_a_trailer_section_does_not_depend_on_the_cut(size: int, piece: int) -> None:
    line = b"A: ".ljust(998, b"x") + b"\r\n"
    section = line * (size // 1000 - 1)
    section += b"B: ".ljust(size - len(section) - 4, b"y") + b"\r\n\r\n"
    data = CHUNKED + b"1\r\na\r\n0\r\n" + section
    with answered(ObjectWire, *[data[at : at + piece] for at in range(0, len(data), piece)]) as (x, _):
        if size <= module.LIMITS["MAX_TRAILER"]:
            assert (x.read(), x.reusable, len(section)) == (b"a", True, size)
            return
        with pytest.raises(ProtocolViolation) as caught:
            x.read()
        assert caught.value.status == STATUS["HEAD_TOO_LARGE"]


def test_as_many_trailers_as_allowed() -> None:
    data = CHUNKED + b"3\r\nabc\r\n0\r\n" + b"A: b\r\n" * module.LIMITS["MAX_TRAILER_FIELDS"] + b"\r\n"
    with answered(ObjectWire, data) as (x, _):
        assert (x.read(), x.idle, len(x.trailers)) == (b"abc", True, 100)


def test_trailers_of_one_response_are_gone_with_the_next_request() -> None:
    reply = REPLIES["chunked, trailers"].wire
    with ObjectWire([reply, REPLIES["length"].wire]) as peer:
        x = peer.exchange
        assert x.trailers is None
        ask(x)
        assert x.trailers is None
        x.read()
        ask(x, preload=True)
        assert x.trailers is None


# --- memory -----------------------------------------------------------------------------------------------------------


def peak_of(work: Any) -> int:
    """The most memory, in octets, that was in use while that ran."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@wires
@pytest.mark.parametrize(
    "start",
    [
        OK + b"Content-Length: 999999999999999999\r\n\r\n0123456789",
        CHUNKED + b"7fffffffffffffff\r\n0123456789",
        CHUNKED + b"4000000000000000\r\n0123456789",
    ],
)
@pytest.mark.parametrize("preload", [True, False])
def test_memory_follows_what_came_and_not_what_was_announced(wire: Any, start: bytes, preload: bool) -> None:
    def work() -> None:
        with wire([start, b"more"], "close") as peer, pytest.raises(ConnectionLost) as caught:
            ask(peer.exchange, preload=preload) and peer.exchange.read()
        assert caught.value.status == STATUS["EOF_IN_BODY"]

    assert peak_of(work) < 2 * module.LIMITS["ANNOUNCED_BODY"]


def test_tiny_chunks_cost_no_more_than_their_data() -> None:
    n = 200_000
    data = CHUNKED + b"1\r\nx\r\n" * n + b"0\r\n\r\n"
    pieces = [data[at : at + 16000] for at in range(0, len(data), 16000)]
    with answered(ObjectWire, *pieces) as (x, _):
        peak = peak_of(lambda: x.read())
        assert (x.received, x.idle) == (n, True)
    assert peak < 4 * n + len(data)


@wires
def test_an_exchange_holds_memory_only_while_it_works(wire: Any) -> None:
    with wire([OK + b"Content-Length: 3\r\n\r\n", b"abc"]) as peer:
        x = peer.exchange
        assert x.held == 0
        ask(x)
        x.read(1)
        assert 0 < x.held <= 65536
        x.read()
        assert x.held == 0


# --- a peer that breaks the protocol ----------------------------------------------------------------------------------


@wires
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"ICY 200 OK\r\n\r\n", "BAD_STATUS_LINE"),
        (b"\x16\x03\x01", "BAD_STATUS_LINE"),
        (OK + b"A : b\r\n\r\n", "BAD_FIELD"),
        (OK + b"Content-Length: x\r\n\r\n", "BAD_CONTENT_LENGTH"),
        (OK + b"Content-Length: 1, 2\r\n\r\n", "CONFLICTING_LENGTH"),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "BAD_TRANSFER_ENCODING"),
        (b"HTTP/1.1 100 x\r\n\r\nHTTP/1.1 2\r\n\r\n", "BAD_STATUS_LINE"),
        (CHUNKED + b"x", "BAD_CHUNK_SIZE"),
        (CHUNKED + b"1\r\nab", "BAD_CHUNK_END"),
        (CHUNKED + b"1;" + b"x" * 20000, "CHUNK_LINE_TOO_LONG"),
        (CHUNKED + b"1\r\na\r\nzz\r\n", "BAD_CHUNK_SIZE"),
    ],
)
def test_a_violation_breaks_the_exchange(wire: Any, data: bytes, status: str) -> None:
    for sizes in [(1,) * len(data), (len(data),)] if len(data) < 200 else [(len(data),)]:
        with wire(cut(data, sizes)) as peer:
            x = peer.exchange
            with pytest.raises(ProtocolViolation) as caught:
                ask(x, preload=True)
            assert caught.value.status == STATUS[status]
            assert (x.reusable, x.idle, x.complete, x.held) == (False, False, False, 0)
            assert x.failed_while == ("body" if data.startswith(CHUNKED) else "head")
            assert_broken(x)


def assert_broken(x: Any) -> None:
    """Nothing can be done with an exchange that failed, and it remembers where it did."""
    failed_while = x.failed_while
    for use in (x.read, x.read1, x.read_chunk, lambda: x.readinto(bytearray(1)), lambda: ask(x)):
        with pytest.raises((CoreError, RuntimeError)):
            use()
    x.abandon()
    assert x.failed_while == failed_while != ""


@wires
def test_data_before_a_violation_are_not_lost(wire: Any) -> None:
    with answered(wire, CHUNKED + b"3\r\nabc\r\nx") as (x, _):
        assert x.read(3) == b"abc"
        with pytest.raises(ProtocolViolation):
            x.read(1)


@wires
def test_abandoning_and_completeness(wire: Any) -> None:
    with answered(wire, OK + b"Content-Length: 9\r\n\r\nabc") as (x, _):
        x.abandon()
        x.abandon()
        assert (x.reusable, x.complete, x.held) == (False, False, 0)
        with pytest.raises(ConnectionLost):
            x.read()
    with answered(wire, OK + b"Content-Length: 0\r\n\r\n") as (x, _):
        x.abandon()
        assert x.idle


def test_a_socket_object_is_kept_and_used_by_its_descriptor() -> None:
    with SocketWire([OK + b"Content-Length: 2\r\n\r\nok"]) as peer:
        x = module.Exchange(peer.ours, "example.org")
        assert x.transport is peer.ours
        assert ask(x, preload=True)[4] == b"ok"


@wires
@pytest.mark.parametrize(
    ("section", "trailers", "reusable"),
    [
        (b"A: b\r\n", [("A", "b")], True),
        (b"A B: c\r\n", [("A B", "c")], False),
        (b"no colon\r\n", [], False),
        (b"A\0: b\r\n", None, False),
        (b"A: b\rc\r\n", None, False),
        (b"A: b\r\nContent-Length : 5\r\n", None, False),
        (b" fold: of nothing\r\n", None, False),
    ],
)
def test_trailers_that_can_not_be_read_safely_cost_the_connection(
    wire: Any, section: bytes, trailers: Any, reusable: bool
) -> None:
    data = CHUNKED + b"3\r\nabc\r\n0\r\n" + section + b"\r\n"
    for sizes in every_cut(len(data)):
        with answered(wire, *cut(data, sizes), preload=True) as (x, result):
            assert (result[4], x.complete, x.reusable, x.trailers) == (b"abc", True, reusable, trailers)
            assert x.held == 0
