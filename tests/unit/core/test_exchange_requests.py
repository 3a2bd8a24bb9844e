"""The exchange, sending: heads, bodies, chunks, what the peer does meanwhile, and what must never be sent."""

from __future__ import annotations

import errno
import socket
import threading
from typing import Any

import pytest

from servers.wires import WIRES, ObjectWire, SocketWire, ask
from wirepool._core import exchange as module
from wirepool._core.errors import ConnectionLost, RequestRefused, WaitTimeout
from wirepool._core.exchange import Exchange

wires = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES.keys())

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
AUTOMATIC = b"Host: example.org\r\nAccept-Encoding: identity\r\n"
AGENT = b"User-Agent: tests\r\n"
FAR = 5.0


def sent(wire: Any, *args: Any, **options: Any) -> bytes:
    """What a request puts on the wire."""
    with wire([EMPTY]) as peer:
        assert ask(peer.exchange, *args, **options)[0] == 200
        return bytes(peer.sent)


class Headers:
    """Not a dict, and with a name twice."""

    def items(self) -> list[tuple[str, str]]:
        return [("A", "1"), ("B", "2"), ("A", "3")]


# --- heads ------------------------------------------------------------------------------------------------------------


@wires
@pytest.mark.parametrize(
    ("headers", "lines"),
    [
        (None, AUTOMATIC + AGENT),
        ({}, AUTOMATIC + AGENT),
        ({"A": "b", "C": 5}, AUTOMATIC + AGENT + b"A: b\r\nC: 5\r\n"),
        (Headers(), AUTOMATIC + AGENT + b"A: 1\r\nB: 2\r\nA: 3\r\n"),
        ({"HOST": "x"}, b"Accept-Encoding: identity\r\n" + AGENT + b"HOST: x\r\n"),
        ({"accept-encoding": "br"}, b"Host: example.org\r\n" + AGENT + b"accept-encoding: br\r\n"),
        ({b"User-Agent": b"mine"}, AUTOMATIC + b"User-Agent: mine\r\n"),
        ({"Hosts": "x", "Content-Lengths": "y"}, AUTOMATIC + AGENT + b"Hosts: x\r\nContent-Lengths: y\r\n"),
    ],
)
def test_the_callers_headers_replace_the_automatic_ones(wire: Any, headers: Any, lines: bytes) -> None:
    assert sent(wire, "GET", "/x?y", headers) == b"GET /x?y HTTP/1.1\r\n" + lines + b"\r\n"


@wires
@pytest.mark.parametrize(
    ("body", "lines", "after"),
    [
        (None, b"", b""),
        (b"", b"Content-Length: 0\r\n", b""),
        (b"abc", b"Content-Length: 3\r\n", b"abc"),
        (bytearray(b"abc"), b"Content-Length: 3\r\n", b"abc"),
        (memoryview(b"xabcx")[1:4], b"Content-Length: 3\r\n", b"abc"),
        (b"\x00\r\n", b"Content-Length: 3\r\n", b"\x00\r\n"),
    ],
)
def test_a_body_and_its_length(wire: Any, body: Any, lines: bytes, after: bytes) -> None:
    assert sent(wire, "POST", "/", None, body) == (b"POST / HTTP/1.1\r\n" + AUTOMATIC + lines + AGENT + b"\r\n" + after)


@wires
def test_the_callers_length_is_taken_as_it_is(wire: Any) -> None:
    assert b"Content-Length" not in sent(wire, "POST", "/", {"content-length": "3"}, b"abc")


@wires
@pytest.mark.parametrize("name", ["content-length", b"Content-Length"])
def test_of_both_lengths_the_transfer_encoding_goes_out(wire: Any, name: Any) -> None:
    data = sent(wire, "POST", "/", {name: "3", "Transfer-Encoding": "x, chunked", "A": "b"}, b"abc")
    assert data.endswith(AGENT + b"Transfer-Encoding: x, chunked\r\nA: b\r\n\r\n3\r\nabc\r\n0\r\n\r\n")


@wires
@pytest.mark.parametrize(
    ("body", "coded"), [(b"abc", b"3\r\nabc\r\n0\r\n\r\n"), (b"", b"0\r\n\r\n"), (None, b"0\r\n\r\n")]
)
def test_who_says_transfer_encoding_gets_chunks(wire: Any, body: Any, coded: bytes) -> None:
    data = sent(wire, "POST", "/", {"Transfer-Encoding": "chunked"}, body)
    assert data == b"POST / HTTP/1.1\r\n" + AUTOMATIC + AGENT + b"Transfer-Encoding: chunked\r\n\r\n" + coded


def test_automatic_fields_can_be_left_out() -> None:
    with SocketWire([EMPTY]) as peer:
        x = Exchange(peer.ours.fileno(), "example.org", "tests", "@skip@")
        ask(x, headers={"Host": "@skip@", "user-agent": "@skip@", "Accept-Encoding": "@skip@", "A": "b"})
        assert peer.sent == b"GET / HTTP/1.1\r\nA: b\r\n\r\n"
        with pytest.raises(RequestRefused):
            ask(x, headers={"Content-Length": "@skip@"})


@pytest.mark.parametrize(("host", "agent"), [("a\r\nb", None), ("a", "b\nc"), ("a", "\x00"), (b"a\r", None)])
def test_an_exchange_is_not_made_with_an_injection(host: Any, agent: Any) -> None:
    with pytest.raises(RequestRefused):
        Exchange(0, host, agent)


@wires
@pytest.mark.parametrize("size", [1, 16383, 16384, 16385, 1_000_000])
def test_large_bodies_arrive_whole(wire: Any, size: int) -> None:
    body = (bytes(range(256)) * (size // 256 + 1))[:size]
    if wire is ObjectWire:
        assert sent(wire, "PUT", "/", None, body).endswith(b"\r\n\r\n" + body)
        return
    for length_known in (True, False):
        assert upload(body, length_known) == body


def upload(body: bytes, length_known: bool) -> bytes:
    """What a peer that reads slowly gets of a body."""
    ours, theirs = socket.socketpair()
    received = bytearray()

    def serve() -> None:
        wanted = len(body) if length_known else len(b"%x\r\n" % len(body)) + len(body) + 7
        while b"\r\n\r\n" not in received or len(received) < received.index(b"\r\n\r\n") + 4 + wanted:
            received.extend(theirs.recv(7777))
        theirs.sendall(EMPTY)

    thread = threading.Thread(target=serve)
    thread.start()
    with ours, theirs:
        headers = None if length_known else {"Transfer-Encoding": "chunked"}
        assert ask(Exchange(ours.fileno(), "h"), "PUT", "/", headers, body)[0] == 200
        thread.join(10)
    payload = bytes(received).split(b"\r\n\r\n", 1)[1]
    return payload if length_known else payload.split(b"\r\n", 1)[1][:-7]


# --- what must not be sent --------------------------------------------------------------------------------------------


@wires
@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("G T", "/"), RequestRefused),
        (("GET", "/ x"), RequestRefused),
        (("GET", "/", {"A:": "b"}), RequestRefused),
        (("GET", "/", {"A": "b\r\nC: d"}), RequestRefused),
        (("GET", "/", {"X": "ok", "A": "b\nC: d"}), RequestRefused),
        (("GET", "/", {"A": "\u20ac"}), UnicodeEncodeError),
        (("GET", "/", {"A": 1.5}), TypeError),
        (("GET", "/", 5), AttributeError),
        (("GET", "/", None, "text"), TypeError),
        (("GET", "/", None, [b"a"]), TypeError),
        (("GET", "/", None, memoryview(b"abcdef")[::2]), BufferError),
    ],
)
def test_a_refused_request_sends_nothing_and_costs_nothing(wire: Any, args: Any, error: Any) -> None:
    with wire([EMPTY]) as peer:
        x = peer.exchange
        with pytest.raises(error):
            ask(x, *args)
        assert (bytes(peer.sent), x.idle, x.held, x.failed_while) == (b"", True, 0, "")
        if len(args) != 4:
            with pytest.raises(error):
                x.begin(*(*args, None)[:3], 3, 100, False)
            assert (x.idle, x.held) == (True, 0)
        assert ask(x)[0] == 200


@wires
def test_one_request_at_a_time(wire: Any) -> None:
    with wire([b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", EMPTY]) as peer:
        x = peer.exchange
        ask(x)
        first = bytes(peer.sent)
        with pytest.raises(RuntimeError, match="the response before this request is not complete"):
            ask(x)
        with pytest.raises(RuntimeError, match="not complete"):
            x.begin("GET", "/", None, None, 100, False)
        assert bytes(peer.sent) in (first, b"")
        x.read()
        assert ask(x)[0] == 200


def test_a_dead_idle_connection_is_noticed_before_anything_is_sent() -> None:
    for say in (b"HTTP/1.1 408 Late\r\n\r\n", b""):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            x = Exchange(ours.fileno(), "h")
            assert x.begin("GET", "/", None, None, 100, True) is True
            x.abandon()
            x = Exchange(ours.fileno(), "h")
            if say:
                theirs.sendall(say)
            else:
                theirs.shutdown(socket.SHUT_WR)
            assert ask(x, check_idle=True) is None
            assert x.begin("GET", "/", None, None, 100, True) is False
            assert (x.idle, x.held) == (True, 0)
            theirs.setblocking(False)
            with pytest.raises(BlockingIOError):
                theirs.recv(1)


# --- bodies in blocks -------------------------------------------------------------------------------------------------


@wires
@pytest.mark.parametrize("blocks", [[], [b""], [b"abc"], [b"a", b"", bytearray(b"bc")], [b"x" * 300, b"y" * 20]])
def test_blocks_become_chunks(wire: Any, blocks: list[Any]) -> None:
    with wire([EMPTY]) as peer:
        x = peer.exchange
        assert x.begin("POST", "/", None, -1, 100, False) is True
        assert x.idle is False
        assert [x.send(block, FAR) for block in blocks] == [True] * len(blocks)
        assert x.finish(True, FAR, FAR)[:3] == (200, 11, "OK")
        coded = b"".join(b"%x\r\n%b\r\n" % (len(block), block) for block in blocks if block) + b"0\r\n\r\n"
        head = b"POST / HTTP/1.1\r\n" + AUTOMATIC + b"Transfer-Encoding: chunked\r\n" + AGENT + b"\r\n"
        assert (bytes(peer.sent), x.idle, x.held) == (head + coded, True, 0)


@wires
def test_blocks_of_a_known_length_go_as_they_are(wire: Any) -> None:
    with wire([EMPTY]) as peer:
        x = peer.exchange
        x.begin("POST", "/", {"A": "b"}, 5, 100, False)
        for block in (b"ab", b"", b"cde"):
            x.send(block, FAR)
        x.finish(False, FAR, FAR)
        assert bytes(peer.sent).endswith(b"Content-Length: 5\r\n" + AGENT + b"A: b\r\n\r\nabcde")


@wires
def test_the_head_goes_out_with_the_first_block(wire: Any) -> None:
    with wire([]) as peer:
        x = peer.exchange
        x.begin("POST", "/", None, 5, 100, False)
        assert bytes(peer.sent) == b""
        x.send(b"abc", FAR)
        assert bytes(peer.sent).endswith(b"\r\n\r\nabc")


@wires
def test_sending_needs_a_request(wire: Any) -> None:
    with wire([EMPTY]) as peer:
        x = peer.exchange
        for use in (lambda: x.send(b"x", FAR), lambda: x.finish(False, FAR, FAR)):
            with pytest.raises(RuntimeError, match="no request under way"):
                use()
        x.begin("POST", "/", None, -1, 100, False)
        for read in (x.read, x.read1, lambda: x.readinto(bytearray(1))):
            with pytest.raises(ConnectionLost):
                read()
        with pytest.raises(TypeError):
            x.send("text", FAR)
        x.finish(False, FAR, FAR)
        assert x.idle


def test_an_upload_can_be_abandoned() -> None:
    with SocketWire([]) as peer:
        x = peer.exchange
        x.begin("POST", "/", None, -1, 100, False)
        x.send(b"abc", FAR)
        x.abandon()
        assert (x.idle, x.held, x.failed_while) == (False, 0, "sending")
        assert not peer.sent.endswith(b"0\r\n\r\n")
        with pytest.raises(RuntimeError):
            x.send(b"x", FAR)


# --- a peer that answers early ----------------------------------------------------------------------------------------

EARLY = b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nstop"


class DeafWire(ObjectWire):
    """A transport that fails to send, but has an answer."""

    failure: BaseException

    def sendall(self, data: Any) -> None:
        raise self.failure


@pytest.mark.parametrize(
    "failure",
    [BrokenPipeError(), ConnectionResetError(), ConnectionAbortedError(), OSError(errno.EPROTOTYPE, "macOS says")],
    ids=repr,
)
@pytest.mark.parametrize("size", [0, 3, 100_000])
def test_the_answer_of_a_peer_that_stopped_reading_is_read(failure: BaseException, size: int) -> None:
    with DeafWire([EARLY]) as peer:
        peer.failure = failure
        status, _, _, _, body, flags = ask(peer.exchange, "POST", body=b"x" * size, preload=True)
        assert (status, body, flags, peer.exchange.reusable) == (413, b"stop", module.COMPLETE, False)


@pytest.mark.parametrize("failure", [OSError(errno.EIO, "x"), TimeoutError(), KeyError("odd"), KeyboardInterrupt()])
def test_other_failures_pass_through_and_break_the_exchange(failure: BaseException) -> None:
    with DeafWire([EARLY]) as peer:
        peer.failure = failure
        with pytest.raises(type(failure)) as caught:
            ask(peer.exchange, "POST", body=b"abc")
        assert caught.value is failure
        assert (peer.exchange.failed_while, peer.exchange.held) == ("sending", 0)


@pytest.mark.parametrize("size", [0, 10, 1_000_000])
def test_epipe_while_sending_yields_the_answer(size: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(EARLY)
        theirs.shutdown(socket.SHUT_RD)
        x = Exchange(ours.fileno(), "h")
        status, _, _, _, body, flags = ask(x, "POST", body=b"x" * size, preload=True)
        assert (status, body, flags, x.idle) == (413, b"stop", module.COMPLETE, False)


def test_epipe_without_an_answer_is_a_lost_connection() -> None:
    with SocketWire([], "close") as peer:
        peer.theirs.shutdown(socket.SHUT_RD)
        with pytest.raises(ConnectionLost, match="closed without a response"):
            ask(peer.exchange, "POST", body=b"abc")


def test_a_reset_while_sending_blocks_yields_the_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as ours:
        theirs, _ = server.accept()
        x = Exchange(ours.fileno(), "h")
        x.begin("POST", "/", None, -1, 100, False)
        assert x.send(b"x" * 100, FAR) is True
        theirs.sendall(EARLY)
        # Closing with octets unread resets the connection.
        theirs.close()
        while x.send(b"x" * 100_000, FAR):
            pass
        assert x.send(b"more", FAR) is False
        status, _, _, _, body, _ = x.finish(True, FAR, FAR)
        assert (status, body, x.complete, x.reusable) == (413, b"stop", True, False)


def test_a_peer_that_neither_reads_nor_answers_times_the_sending_out() -> None:
    def at_once(x: Exchange) -> None:
        ask(x, "POST", body=b"x" * 3_000_000, send_timeout=0.05)

    def in_blocks(x: Exchange) -> None:
        x.begin("POST", "/", None, -1, 100, False)
        x.send(b"x" * 3_000_000, 0.05)

    for send in (at_once, in_blocks):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            x = Exchange(ours.fileno(), "h")
            with pytest.raises(WaitTimeout):
                send(x)
            assert (x.failed_while, x.held, x.idle) == ("sending", 0, False)


# --- transports that misbehave ----------------------------------------------------------------------------------------


class OddWire(ObjectWire):
    """A transport whose recv_into does what the test says."""

    trick: Any

    def recv_into(self, view: memoryview) -> Any:
        return self.trick(view)


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (-1, ValueError),
        (10**6, ValueError),
        (2**70, OverflowError),
        (None, TypeError),
        ("5", TypeError),
        (1.5, TypeError),
    ],
)
def test_nonsense_from_recv_into_is_refused(result: Any, error: Any) -> None:
    with OddWire([]) as peer:
        peer.trick = lambda view: result
        with pytest.raises(error):
            ask(peer.exchange)
        assert (peer.exchange.failed_while, peer.exchange.held) == ("head", 0)


@pytest.mark.parametrize("failure", [TimeoutError("slow"), OSError(5, "x"), KeyError("odd"), KeyboardInterrupt()])
def test_what_recv_into_raises_passes_through(failure: BaseException) -> None:
    def fail(view: memoryview) -> int:
        raise failure

    with OddWire([]) as peer:
        peer.trick = fail
        with pytest.raises(type(failure)) as caught:
            ask(peer.exchange)
        assert caught.value is failure
        assert peer.exchange.failed_while == "head"


@pytest.mark.parametrize("use", ["abandon", "detach", "read"])
def test_a_transport_that_calls_back_does_no_harm(use: str) -> None:
    """As a finalizer or a signal handler might, while the exchange's memory is being filled."""

    def call_back(view: memoryview) -> int:
        if use == "abandon":
            peer.exchange.abandon()
        else:
            with pytest.raises(RuntimeError, match="two threads"):
                getattr(peer.exchange, use)()
        view[: len(EMPTY)] = EMPTY
        return len(EMPTY)

    with OddWire([]) as peer:
        peer.trick = call_back
        assert ask(peer.exchange)[0] == 200
        assert peer.exchange.idle is (use != "abandon")


def test_a_view_that_was_kept_can_not_be_read_afterwards() -> None:
    kept: list[Any] = []

    class Keeping(ObjectWire):
        def sendall(self, data: Any) -> None:
            kept.append(data)

        def recv_into(self, view: memoryview) -> int:
            kept.append(view)
            return super().recv_into(view)

    with Keeping([EMPTY]) as peer:
        ask(peer.exchange, "POST", body=b"x" * 100_000)
    assert bytes(kept[0]).startswith(b"POST / HTTP/1.1\r\n")
    for view in kept[1:]:
        with pytest.raises(ValueError, match="released"):
            bytes(view)
