"""An HTTP/2 server (RFC 9113) on the scripted TLS server, for what real servers do not do when a test wants it.

    with Http2Server(certificate=certs.localhost) as server:
        client.get(server.url + "/x")
    assert server.asked[0].header(":path") == "/x"

What a server does with a request is up to its handler, a function that gets the :class:`Peer` and the
:class:`Request`; :func:`echo` is the one for which no other is given. With ``on_head=True`` it is called when the head
is there, and reads the body with :meth:`Peer.read_body` if it wants it. Frames are made and read by the ``h2`` package,
which also holds the client to the protocol: an error of the client's is one of the test.

Importing this without ``h2`` fails; see :func:`behaviour.http2_talk`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import h2.config
import h2.connection
import h2.events

from ._wire import EndOfStream
from .certs import Certificate
from .scripted import Connection
from .tls import TLSConnection, TLSServer

__all__ = ["Handler", "Http2Server", "Peer", "Request", "echo", "reply"]

Fields = Sequence[tuple[str, str]]


@dataclass
class Request:
    """One request as far as it has arrived."""

    stream: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    complete: bool = False
    pieces: list[int] = field(default_factory=list)
    """The sizes of the frames that the body came in."""
    reset: int | None = None
    """The code with which the client gave it up."""

    def header(self, name: str) -> str | None:
        """The first field of that name, or None."""
        return next((value for key, value in self.headers if key == name), None)


class Peer:
    """One connection, from the server's side."""

    def __init__(self, conn: TLSConnection, settings: dict[int, int], auto_credit: bool) -> None:
        self.conn = conn
        self.auto_credit = auto_credit
        self.goaway: int | None = None
        """The code of the client's GOAWAY."""
        self.pings_answered = 0
        self.requests: dict[int, Request] = {}
        self._gone = False
        self._unread: list[h2.events.Event] = []
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        if settings:
            self.h2.update_settings(settings)
        self.flush()

    def flush(self) -> None:
        """Sends what there is to be sent."""
        data = self.h2.data_to_send()
        if data:
            self.conn.send(data)

    def raw(self, *frames: Any) -> None:
        """Sends frames behind the back of the protocol machine."""
        self.flush()
        self.conn.send(b"".join(frame if isinstance(frame, bytes) else frame.serialize() for frame in frames))

    def head(self) -> Request:
        """The next request, of which only the head has to be there."""
        while True:
            for index, event in enumerate(self._unread):
                if isinstance(event, h2.events.RequestReceived):
                    del self._unread[: index + 1]
                    return self.requests[event.stream_id]
            self._unread.clear()
            self._receive()

    def read_body(self, request: Request) -> Request:
        """Waits until a request is complete, or was given up."""
        while not request.complete and request.reset is None:
            self._receive()
        return request

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Takes what the client sends until something is so."""
        while not condition():
            self._receive()

    def _receive(self) -> None:
        data = self.conn.recv_bytes()
        if not data:
            raise EndOfStream(b"")
        if self._gone:
            return  # the protocol machine takes nothing any more
        for event in self.h2.receive_data(data):
            self._note(event)
        self.flush()

    def _note(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self.requests[event.stream_id] = Request(event.stream_id, [(str(k), str(v)) for k, v in event.headers])
            self._unread.append(event)
        elif isinstance(event, h2.events.DataReceived):
            request = self.requests[event.stream_id]
            request.body += event.data
            request.pieces.append(len(event.data))
            if self.auto_credit and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.requests[event.stream_id].complete = True
        elif isinstance(event, h2.events.StreamReset):
            self.requests[event.stream_id].reset = int(event.error_code)
        elif isinstance(event, h2.events.PingAckReceived):
            self.pings_answered += 1
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = int(event.error_code)

    def send_head(self, request: Request, status: int = 200, headers: Fields = (), *, end: bool = False) -> None:
        """Sends the head of a response; also an interim one."""
        self.h2.send_headers(request.stream, [(":status", str(status)), *headers], end_stream=end)
        self.flush()

    def send_body(self, request: Request, body: bytes, *, end: bool = True) -> None:
        """Sends data as the client's windows let it, and waits for them when they do not."""
        view = memoryview(body)
        while len(view):
            window = min(self.h2.local_flow_control_window(request.stream), self.h2.max_outbound_frame_size)
            if window <= 0:
                self._receive()
                continue
            self.h2.send_data(request.stream, bytes(view[:window]))
            view = view[window:]
            self.flush()
        if end:
            self.h2.end_stream(request.stream)
        self.flush()

    def send_trailers(self, request: Request, trailers: Fields) -> None:
        self.h2.send_headers(request.stream, list(trailers), end_stream=True)
        self.flush()

    def reset(self, request: Request, code: int = 0) -> None:
        """RST_STREAM."""
        self.h2.reset_stream(request.stream, error_code=code)
        self.flush()

    def go_away(self, code: int = 0, last_stream: int | None = None, more: bytes | None = None) -> None:
        """GOAWAY; after it the protocol machine sends nothing more."""
        self.h2.close_connection(error_code=code, last_stream_id=last_stream, additional_data=more)
        self.flush()
        self._gone = True

    def hang_up(self) -> NoReturn:
        """Closes, with a good-bye of TLS but without one of HTTP/2, and without a RST that would overtake data."""
        with contextlib.suppress(OSError):  # the client may be gone already
            self.conn.half_close()
            self.conn.wait_eof()
        raise EndOfStream(b"")

    def abort(self) -> NoReturn:
        """Closes with a RST of TCP."""
        self.conn.reset()
        raise EndOfStream(b"")


Handler = Callable[[Peer, Request], Any]


def echo(peer: Peer, request: Request) -> None:
    """Answers with what was asked, as JSON; and as long as that is, with a content-length."""
    body = json.dumps({"headers": request.headers, "body": request.body.decode("latin-1")}).encode()
    peer.send_head(request, 200, [("content-type", "application/json"), ("content-length", str(len(body)))])
    peer.send_body(request, body)


def reply(body: bytes = b"", status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Handler:
    """A handler that always answers the same."""
    fields = list(headers)

    def handler(peer: Peer, request: Request) -> None:
        peer.send_head(request, status, fields, end=not body)
        if body:
            peer.send_body(request, body)

    return handler


class Http2Server(TLSServer):
    """Answers all requests of all connections by its handler.

    :param handler: what to do with a request
    :param on_head: call it as soon as the head is there, in place of waiting for the body
    :param settings: SETTINGS of the server, by their numbers
    :param auto_credit: give the client's windows back what it has sent
    """

    def __init__(
        self,
        handler: Handler = echo,
        *,
        certificate: Certificate,
        on_head: bool = False,
        settings: dict[int, int] | None = None,
        auto_credit: bool = True,
        **options: Any,
    ) -> None:
        self.peers: list[Peer] = []
        self._handler = handler
        self._on_head = on_head
        self._settings = settings or {}
        self._auto_credit = auto_credit
        options.setdefault("alpn", ["h2"])
        super().__init__(certificate=certificate, default=self._serve, **options)

    @property
    def asked(self) -> list[Request]:
        """All requests, connection by connection."""
        return [request for peer in list(self.peers) for request in list(peer.requests.values())]

    def _serve(self, conn: Connection) -> None:
        assert isinstance(conn, TLSConnection)
        peer = Peer(conn, self._settings, self._auto_credit)
        self.peers.append(peer)
        while True:
            request = peer.head()
            if not self._on_head and peer.read_body(request).reset is not None:
                continue
            self._handler(peer, request)
