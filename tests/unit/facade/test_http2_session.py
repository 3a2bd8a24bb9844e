"""One HTTP/2 connection against the ``h2`` package at the other end, without sockets and without waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from http.client import RemoteDisconnected
from typing import Any

import pytest

from wirepool.exceptions import ProtocolError

pytest.importorskip("h2", reason="NOT TESTED: HTTP/2 needs the h2 package")

import h2.config
import h2.connection
import h2.events
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, PingFrame, PushPromiseFrame

from wirepool.http2._fields import RequestHead
from wirepool.http2._session import LIMITS, Answer, Session

GET = RequestHead("GET", "/x", "localhost").pairs()
POST = RequestHead("POST", "/x", "localhost").pairs()


class Wire:
    """A socket whose other end is a protocol machine; ``step`` is how many bytes one receive gives."""

    def __init__(self, step: int = 65536) -> None:
        self.step = step
        self.server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.server.initiate_connection()
        self.on_request: Callable[[int], None] = lambda stream: None
        self.seen: list[h2.events.Event] = []
        self.coming: deque[bytes] = deque()
        self.closed = False
        self.takes = True
        self.timeouts: list[float | None] = []
        self.writes: list[int] = []
        self.flush()

    # --- what a session asks for

    def settimeout(self, seconds: float | None) -> None:
        self.timeouts.append(seconds)

    def sendall(self, data: bytes) -> None:
        if not self.takes:
            raise BrokenPipeError
        self.writes.append(len(data))
        for event in self.server.receive_data(data):
            self.seen.append(event)
            if isinstance(event, h2.events.DataReceived):
                self.server.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if isinstance(event, h2.events.StreamEnded):
                self.on_request(event.stream_id)
        self.flush()

    def recv(self, size: int) -> bytes:
        if self.coming:
            piece = self.coming.popleft()
            if len(piece) > self.step:
                self.coming.appendleft(piece[self.step :])
            return piece[: self.step]
        if self.closed:
            return b""
        raise BlockingIOError if self.timeouts[-1] == 0 else TimeoutError("timed out")

    # --- what a server does

    def flush(self) -> None:
        data = self.server.data_to_send()
        if data:
            self.coming.append(data)

    def frames(self, *frames: Frame | bytes) -> None:
        self.flush()
        self.coming.append(b"".join(frame if isinstance(frame, bytes) else frame.serialize() for frame in frames))

    def answer(self, stream: int, body: bytes = b"body", *more: tuple[str, str]) -> None:
        self.server.send_headers(stream, [(":status", "200"), *more])
        self.server.send_data(stream, body, end_stream=True)
        self.flush()

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.seen]

    def received(self) -> bytes:
        return b"".join(event.data for event in self.seen if isinstance(event, h2.events.DataReceived))


@pytest.fixture(params=[1, 7, 65536])
def wire(request: pytest.FixtureRequest) -> Wire:
    return Wire(request.param)


def session_on(wire: Wire) -> Session:
    session = Session(wire)
    with session.in_use():
        session.start(1)
    return session


def ask(session: Session, limit: float | None = 1) -> Answer:
    with session.in_use():
        session.open(GET, limit, is_whole=True)
        return session.receive(limit)


def begin(session: Session) -> None:
    with session.in_use():
        session.open(POST, 1, is_whole=False)


def result(session: Session) -> Answer:
    with session.in_use():
        return session.receive(1)


def go_away(last: int, code: int = 0, data: bytes = b"") -> GoAwayFrame:
    return GoAwayFrame(0, last_stream_id=last, error_code=code, additional_data=data)


def test_requests_one_after_the_other(wire: Wire) -> None:
    session = session_on(wire)
    wire.on_request = lambda stream: wire.answer(stream, b"body %d" % stream, ("x-a", "1"))
    for stream in (1, 3, 5):
        answer = ask(session)
        assert answer.status == 200
        assert answer.head == [("x-a", "1")]
        assert bytes(answer.body) == b"body %d" % stream
        assert session.is_reusable()


def test_push_is_turned_off_and_windows_are_wide() -> None:
    wire = Wire()
    session_on(wire)
    changed = next(event for event in wire.seen if isinstance(event, h2.events.RemoteSettingsChanged))
    settings = {int(code): change.new_value for code, change in changed.changed_settings.items()}
    assert settings[SettingCodes.ENABLE_PUSH] == 0
    assert settings[SettingCodes.INITIAL_WINDOW_SIZE] > 65535
    assert settings[SettingCodes.MAX_HEADER_LIST_SIZE] == LIMITS["MAX_HEADER_LIST"]
    assert wire.server.outbound_flow_control_window > 65535


def test_interim_responses_and_trailers(wire: Wire) -> None:
    session = session_on(wire)

    def serve(stream: int) -> None:
        wire.server.send_headers(stream, [(":status", "100")])
        wire.server.send_headers(stream, [(":status", "103"), ("link", "x")])
        wire.server.send_headers(stream, [(":status", "200")])
        wire.server.send_data(stream, b"body")
        wire.server.send_headers(stream, [("x-t", "1")], end_stream=True)
        wire.flush()

    wire.on_request = serve
    answer = ask(session)
    assert (answer.status, bytes(answer.body), answer.trailers) == (200, b"body", [("x-t", "1")])


def test_too_many_interim_responses() -> None:
    wire = Wire()
    session = session_on(wire)

    def serve(stream: int) -> None:
        for _ in range(LIMITS["MAX_INTERIM"] + 1):
            wire.server.send_headers(stream, [(":status", "103")])
        wire.answer(stream)

    wire.on_request = serve
    with pytest.raises(ProtocolError, match="more than 100 interim"):
        ask(session)
    assert session.is_over


def test_switching_protocols_is_refused(wire: Wire) -> None:
    session = session_on(wire)
    wire.on_request = lambda stream: (wire.server.send_headers(stream, [(":status", "101")]), wire.flush())
    with pytest.raises(ProtocolError, match="101"):
        ask(session)
    assert session.is_over


def test_a_graceful_goaway_lets_the_request_finish(wire: Wire) -> None:
    session = session_on(wire)

    def serve(stream: int) -> None:
        wire.frames(go_away(stream, 0, b"have a nice day"))
        wire.answer(stream)

    wire.on_request = serve
    assert bytes(ask(session).body) == b"body"
    assert session.is_over
    assert not session.is_reusable()


def test_a_goaway_in_the_middle_of_a_response(wire: Wire) -> None:
    session = session_on(wire)

    def serve(stream: int) -> None:
        wire.server.send_headers(stream, [(":status", "200")])
        wire.server.send_data(stream, b"bo")
        wire.frames(go_away(stream))
        wire.server.send_data(stream, b"dy", end_stream=True)
        wire.flush()

    wire.on_request = serve
    assert bytes(ask(session).body) == b"body"
    assert not session.is_reusable()


def test_a_goaway_that_leaves_the_request_out(wire: Wire) -> None:
    session = session_on(wire)
    wire.on_request = lambda stream: wire.frames(go_away(0, ErrorCodes.ENHANCE_YOUR_CALM))
    with pytest.raises(ProtocolError, match=r"without taking the request: ENHANCE_YOUR_CALM \(0xb\)") as caught:
        ask(session)
    assert not hasattr(caught.value, "lost_on_reuse")
    assert session.is_over


def test_a_goaway_on_a_reused_connection_may_be_replayed(wire: Wire) -> None:
    session = session_on(wire)
    wire.on_request = wire.answer
    ask(session)
    wire.on_request = lambda stream: wire.frames(go_away(1))
    with pytest.raises(ProtocolError) as caught:
        ask(session)
    assert caught.value.lost_on_reuse  # type: ignore[attr-defined]


def test_a_goaway_while_idle(wire: Wire) -> None:
    session = session_on(wire)
    wire.on_request = wire.answer
    ask(session)
    wire.frames(go_away(1))
    assert not session.is_reusable()


def test_the_last_of_two_goaways_counts(wire: Wire) -> None:
    session = session_on(wire)
    wire.on_request = lambda stream: wire.frames(go_away(2**31 - 1), go_away(0, ErrorCodes.INTERNAL_ERROR))
    with pytest.raises(ProtocolError, match="INTERNAL_ERROR"):
        ask(session)


@pytest.mark.parametrize("frame", [b"\0\0\x04\x07\0\0\0\0\0abcd", b"\0\0\x08\x07\0\0\0\0\x01" + bytes(8)])
def test_a_malformed_goaway(wire: Wire, frame: bytes) -> None:
    session = session_on(wire)
    wire.on_request = lambda stream: wire.frames(frame)
    with pytest.raises(ProtocolError, match="HTTP/2 protocol error"):
        ask(session)
    assert session.is_over


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (ErrorCodes.INTERNAL_ERROR, "reset the stream: INTERNAL_ERROR (0x2)"),
        (ErrorCodes.REFUSED_STREAM, "did not take the request: REFUSED_STREAM (0x7)"),
        (ErrorCodes.HTTP_1_1_REQUIRED, "HTTP_1_1_REQUIRED (0xd); wirepool.http2.extract_from_urllib3()"),
        (0x1234, "reset the stream: 0x1234"),
    ],
)
def test_a_reset(wire: Wire, code: int, message: str) -> None:
    session = session_on(wire)
    wire.on_request = lambda stream: (wire.server.reset_stream(stream, code), wire.flush())
    with pytest.raises(ProtocolError) as caught:
        ask(session)
    assert message in str(caught.value)
    # Of one stream only.
    wire.on_request = wire.answer
    assert session.is_reusable()
    assert bytes(ask(session).body) == b"body"


def test_a_refused_request_on_a_reused_connection_may_be_replayed(wire: Wire) -> None:
    session = session_on(wire)
    wire.on_request = wire.answer
    ask(session)
    wire.on_request = lambda stream: (wire.server.reset_stream(stream, ErrorCodes.REFUSED_STREAM), wire.flush())
    with pytest.raises(ProtocolError) as caught:
        ask(session)
    assert caught.value.lost_on_reuse  # type: ignore[attr-defined]


def test_a_reset_after_the_whole_response_is_none_of_ours(wire: Wire) -> None:
    session = session_on(wire)

    def serve(stream: int) -> None:
        wire.answer(stream)
        wire.frames(b"\0\0\x04\x03\0" + stream.to_bytes(4, "big") + bytes(4))

    wire.on_request = serve
    assert bytes(ask(session).body) == b"body"
    assert session.is_reusable()


def test_the_end_before_a_response(wire: Wire) -> None:
    session = session_on(wire)
    wire.on_request = lambda stream: setattr(wire, "closed", True)
    with pytest.raises(RemoteDisconnected, match=r"without response$") as caught:
        ask(session)
    assert caught.value.response_begun is False  # type: ignore[attr-defined]
    assert not session.is_reusable()


def test_the_end_after_an_interim_response(wire: Wire) -> None:
    session = session_on(wire)

    def serve(stream: int) -> None:
        wire.server.send_headers(stream, [(":status", "103")])
        wire.flush()
        wire.closed = True

    wire.on_request = serve
    with pytest.raises(RemoteDisconnected) as caught:
        ask(session)
    assert caught.value.response_begun is True  # type: ignore[attr-defined]


@pytest.mark.parametrize(("fields", "missing"), [([], ""), ([("content-length", "10")], ", 7 more expected")])
def test_the_end_in_the_middle(wire: Wire, fields: list[tuple[str, str]], missing: str) -> None:
    session = session_on(wire)

    def serve(stream: int) -> None:
        wire.server.send_headers(stream, [(":status", "200"), *fields])
        wire.server.send_data(stream, b"abc")
        wire.flush()
        wire.closed = True

    wire.on_request = serve
    with pytest.raises(ProtocolError, match=rf"IncompleteRead\(3 bytes read{missing}\)"):
        ask(session)


def test_the_end_after_goaway_says_so(wire: Wire) -> None:
    session = session_on(wire)
    wire.on_request = lambda stream: (wire.frames(go_away(stream, 2)), setattr(wire, "closed", True))
    with pytest.raises(RemoteDisconnected, match="it went away with INTERNAL_ERROR"):
        ask(session)


def test_the_end_while_idle(wire: Wire) -> None:
    session = session_on(wire)
    wire.on_request = wire.answer
    ask(session)
    wire.closed = True
    assert not session.is_reusable()


def test_a_ping_while_idle_is_answered(wire: Wire) -> None:
    session = session_on(wire)
    wire.on_request = wire.answer
    ask(session)
    wire.server.ping(b"12345678")
    wire.flush()
    assert session.is_reusable()
    assert "PingAckReceived" in wire.kinds()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_pings_do_not_keep_a_stalled_request_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("wirepool.http2._session.time", clock)
    wire = Wire()
    session = session_on(wire)
    receive = wire.recv

    def recv(size: int) -> bytes:
        clock.now += 0.4
        wire.frames(PingFrame(0, b"12345678"))
        return receive(size)

    monkeypatch.setattr(wire, "recv", recv)
    with pytest.raises(TimeoutError):
        ask(session, 1)
    assert clock.now < 2


def test_a_slow_body_is_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("wirepool.http2._session.time", clock)
    wire = Wire()
    session = session_on(wire)
    receive = wire.recv
    pieces = deque([b"a", b"b", b"c", b"d"])

    def recv(size: int) -> bytes:
        clock.now += 0.4
        if not wire.coming:
            wire.server.send_data(1, pieces.popleft(), end_stream=not pieces)
            wire.flush()
        return receive(size)

    wire.on_request = lambda stream: (wire.server.send_headers(stream, [(":status", "200")]), wire.flush())
    monkeypatch.setattr(wire, "recv", recv)
    assert bytes(ask(session, 1).body) == b"abcd"
    assert clock.now > 2


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff" * 20,
        DataFrame(1, b"x" * 20000).serialize(),
        DataFrame(2, b"x").serialize(),
        b"\0\0\0\x04\0\0\0\0\x01",
        PushPromiseFrame(1, promised_stream_id=2, data=b"\x82", flags=["END_HEADERS"]).serialize(),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
    ids=["garbage", "too long", "unknown stream", "settings of a stream", "push", "HTTP/1.1"],
)
def test_what_is_no_http2(wire: Wire, frame: bytes) -> None:
    session = session_on(wire)
    wire.on_request = lambda stream: wire.frames(frame)
    with pytest.raises(ProtocolError):
        ask(session)
    assert session.is_over
    assert not session.busy


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ([(":status", "200"), ("x", "a\nb")], b""),
        ([(":status", "200"), ("x y", "a")], b""),
        ([(":status", "200"), ("connection", "close")], b""),
        ([(":status", "200"), ("transfer-encoding", "chunked")], b""),
        ([("x", "1")], b""),
        ([(":status", "200"), ("content-length", "3")], b"four"),
        ([(":status", "200"), ("content-length", "5")], b"four"),
        ([(":status", "abc")], b""),
        ([(":status", "2")], b""),
    ],
)
def test_responses_that_are_malformed(wire: Wire, head: list[tuple[str, str]], body: bytes) -> None:
    session = session_on(wire)
    wire.server.config.validate_outbound_headers = False
    wire.server.config.normalize_outbound_headers = False

    def serve(stream: int) -> None:
        wire.server.send_headers(stream, head, end_stream=not body)
        if body:
            wire.server.send_data(stream, body, end_stream=True)
        wire.flush()

    wire.on_request = serve
    with pytest.raises(ProtocolError):
        ask(session)
    assert session.is_over


def test_a_head_that_is_too_long() -> None:
    wire = Wire()
    session = session_on(wire)
    wire.on_request = lambda stream: wire.answer(stream, b"x", *[(f"x-{i}", "v" * 1000) for i in range(70)])
    with pytest.raises(ProtocolError, match="HTTP/2 protocol error"):
        ask(session)
    assert session.is_over


def test_a_body_in_frames(wire: Wire) -> None:
    session = session_on(wire)
    wire.on_request = wire.answer
    begin(session)
    with session.in_use():
        assert session.send(b"x" * 40000, 1)
        assert session.send(memoryview(b"abcd").cast("H"), 1)
        session.finish(1)
    assert bytes(result(session).body) == b"body"
    assert wire.received() == b"x" * 40000 + b"abcd"


def test_the_last_frame_ends_the_request(wire: Wire) -> None:
    session = session_on(wire)
    wire.on_request = wire.answer
    begin(session)
    with session.in_use():
        assert session.send(b"x" * 20000, 1, is_last=True)
        session.finish(1)
    assert bytes(result(session).body) == b"body"
    sizes = [len(event.data) for event in wire.seen if isinstance(event, h2.events.DataReceived)]
    assert sizes == [16384, 3616]


@pytest.mark.parametrize("frame", [16384, 1_000_000])
def test_a_write_has_as_much_as_the_windows_let_us_up_to_a_block(frame: int) -> None:
    wire = Wire()
    wire.server.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20, SettingCodes.MAX_FRAME_SIZE: frame})
    wire.server.increment_flow_control_window(1 << 20)
    wire.flush()
    session = session_on(wire)
    wire.on_request = wire.answer
    begin(session)
    with session.in_use():
        assert session.is_reusable()
        before = len(wire.writes)
        assert session.send(b"x" * 300_000, 1, is_last=True)
        session.finish(1)
    assert bytes(result(session).body) == b"body"
    frames = [131072 // 16384, 131072 // 16384, 3] if frame == 16384 else [1, 1, 1]
    heads = [9 * number for number in frames]
    assert wire.writes[before : before + 3] == [131072 + heads[0], 131072 + heads[1], 300_000 - 262144 + heads[2]]
    assert wire.received() == b"x" * 300_000


def test_more_than_the_window() -> None:
    wire = Wire()
    session = session_on(wire)
    wire.on_request = wire.answer
    begin(session)
    with session.in_use():
        assert session.send(b"x" * 1_000_000, 1)
        session.finish(1)
    result(session)
    assert len(wire.received()) == 1_000_000


def test_a_window_that_never_opens() -> None:
    wire = Wire()
    wire.server.acknowledge_received_data = lambda *args: None  # type: ignore[method-assign]
    session = session_on(wire)
    begin(session)
    with session.in_use(), pytest.raises(TimeoutError):
        session.send(b"x" * 100_000, 1)
    assert len(wire.received()) == 65535


def test_an_answer_before_the_body_is_over(wire: Wire) -> None:
    session = session_on(wire)
    begin(session)
    wire.answer(1, b"too big")
    with session.in_use():
        assert not session.send(b"x" * 1_000_000, 1)
        session.finish(1)
    assert bytes(result(session).body) == b"too big"
    assert "StreamReset" in wire.kinds()
    wire.on_request = wire.answer
    assert bytes(ask(session).body) == b"body"


def test_an_answer_and_a_reset_before_the_body_is_over(wire: Wire) -> None:
    session = session_on(wire)
    begin(session)
    wire.answer(1, b"too big")
    wire.server.reset_stream(1, ErrorCodes.NO_ERROR)
    wire.flush()
    with session.in_use():
        assert not session.send(b"x" * 1_000_000, 1)
    assert bytes(result(session).body) == b"too big"
    assert session.is_reusable()


def test_giving_up(wire: Wire) -> None:
    session = session_on(wire)
    begin(session)
    with session.in_use():
        session.send(b"abc", 1)
        session.give_up()
    (reset,) = [event for event in wire.seen if isinstance(event, h2.events.StreamReset)]
    assert reset.error_code == ErrorCodes.CANCEL
    wire.on_request = wire.answer
    assert bytes(ask(session).body) == b"body"


@pytest.mark.parametrize("has_settings", [False, True])
def test_a_server_that_stops_reading_may_have_answered(wire: Wire, has_settings: bool) -> None:
    session = session_on(wire)
    assert has_settings or session.is_reusable()
    begin(session)
    wire.takes = False
    if has_settings:  # then it is their confirmation that fails, which is none of the caller's business
        with session.in_use():
            assert not session.send(b"abc", 1)
    else:
        with pytest.raises(BrokenPipeError), session.in_use():
            session.send(b"abc", 1)
    wire.answer(1, b"too big")
    with session.in_use():
        session.give_up()
        session.finish(1)
    assert bytes(result(session).body) == b"too big"
    assert session.is_over


def test_credit_that_nobody_takes(wire: Wire) -> None:
    session = session_on(wire)

    def serve(stream: int) -> None:
        wire.answer(stream)
        wire.server.ping(b"12345678")
        wire.flush()
        wire.takes = False

    wire.on_request = serve
    assert bytes(ask(session).body) == b"body"
    assert not session.is_reusable()


def test_streams_that_the_server_does_not_want() -> None:
    wire = Wire()
    wire.server.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 0})
    wire.flush()
    session = session_on(wire)
    assert session.is_reusable()
    with pytest.raises(ProtocolError, match="HTTP/2 protocol error"):
        ask(session)


def test_good_bye(wire: Wire) -> None:
    session = session_on(wire)
    wire.on_request = wire.answer
    ask(session)
    session.say_good_bye()
    session.say_good_bye()
    (gone,) = [event for event in wire.seen if isinstance(event, h2.events.ConnectionTerminated)]
    assert gone.error_code == ErrorCodes.NO_ERROR
    assert session.is_over


def test_good_bye_to_a_server_that_does_not_listen() -> None:
    wire = Wire()
    session = session_on(wire)
    wire.takes = False
    session.say_good_bye()
    assert session.is_over


def test_memory_follows_what_was_received(wire: Wire) -> None:
    session = session_on(wire)

    def serve(stream: int) -> None:
        wire.server.send_headers(stream, [(":status", "200"), ("content-length", str(10**17))])
        wire.server.send_data(stream, b"abc")
        wire.flush()
        wire.closed = True

    wire.on_request = serve
    with pytest.raises(ProtocolError, match="3 bytes read"):
        ask(session)


def test_somebody_elses_data_is_dropped(wire: Wire) -> None:
    """What is still on its way of a request that was given up must not get into the next one."""
    session = session_on(wire)
    begin(session)
    wire.server.send_headers(1, [(":status", "200")])
    wire.server.send_data(1, b"old", end_stream=True)
    wire.flush()
    with session.in_use():
        session.give_up()
    wire.on_request = lambda stream: wire.answer(stream, b"new")
    assert bytes(ask(session).body) == b"new"


def is_busy_inside(session: Session) -> Any:
    with session.in_use():
        return session.busy


def test_busy() -> None:
    session = session_on(Wire())
    assert is_busy_inside(session) is True
    assert session.busy is False
