"""A well-behaved threaded HTTP/1.1 server in this process, for tests of the public API.

======================================  ==============================================================================
path                                    answer
======================================  ==============================================================================
``/echo``                               JSON: ``method``, ``target``, ``headers`` (pairs), ``body`` (latin-1 text)
``/status/<n>``                         that status; a short body where the status allows one
``/redirect?to=URL&code=302``           that redirect, ``to`` percent-encoded
``/chunked?n=3&size=10``                ``n`` chunks of ``size`` bytes
``/bytes/<n>``                          ``n`` bytes of a fixed pattern (:func:`pattern`), with a length
``/gzip?n=100``                         the pattern, content-coded gzip
``/deflate?n=100&raw=0``                the pattern, deflate with (RFC 9110) or without the zlib wrapper
``/slow?delay=0.5``                     ``ok`` after that many seconds
``/headers?n=50``                       ``n`` extra fields ``X-Header-0`` ...
``/close``                              ``Connection: close``
``/retry-after?seconds=0&times=1&key=`` 503 with Retry-After for the first ``times`` requests with that key, then 200
``/nonce``                              the request's ``X-Nonce`` as field and as body
``/drip?n=5&delay=0.02``                ``n`` bytes, each on its own, that far apart
======================================  ==============================================================================
"""

from __future__ import annotations

import contextlib
import gzip
import http.server
import json
import socket
import sys
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ._wire import EndOfStream, RecordedRequest, RequestReader, decode_chunked

__all__ = ["Answer", "EchoServer", "pattern"]

_BODILESS = {204, 304}
JOIN_SECONDS = 2.0


def pattern(size: int) -> bytes:
    """The bytes that ``/bytes/<size>`` and others send: every cut of them can be told from its neighbours."""
    unit = bytes(range(256)) + b"wirepool"
    return (unit * (size // len(unit) + 1))[:size]


@dataclass
class Answer:
    """A response in parts; a ``stream`` in place of a body is sent piece by piece, chunked unless a length is given."""

    body: bytes = b"ok"
    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    stream: Iterable[bytes] | None = None
    length: int | None = None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    # A response leaves as one segment; its pieces would otherwise wait for the client's delayed ACK.
    wbufsize = -1
    disable_nagle_algorithm = True

    def __getattr__(self, name: str) -> Callable[[], None]:
        # The base class looks up do_<METHOD>; here any method, known or invented, is served alike.
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the test's own output is what matters."""

    def _serve(self) -> None:
        self.content = self._content()
        url = urlsplit(self.path)
        self.query = dict(parse_qsl(url.query))
        self.server.note(self.command, self.path)
        name, _, self.argument = url.path.lstrip("/").partition("/")
        route = _ROUTES.get(name)
        self._send(route(self) if route else Answer(b"no such path", 404))

    def _content(self) -> bytes:
        fields = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        head = RecordedRequest(f"{self.requestline}\r\n{fields}\r\n".encode("latin-1"))
        raw = RequestReader(lambda: self.rfile.read1(65536)).body_of(head)
        return decode_chunked(raw) if "chunked" in self.headers.get("Transfer-Encoding", "").lower() else raw

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in self._framing(answer) + answer.headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and answer.status not in _BODILESS:
            self._send_body(answer)
        self.wfile.flush()

    @staticmethod
    def _framing(answer: Answer) -> list[tuple[str, str]]:
        if answer.status in _BODILESS:
            return []
        if answer.stream is not None and answer.length is None:
            return [("Transfer-Encoding", "chunked")]
        return [("Content-Length", str(len(answer.body) if answer.length is None else answer.length))]

    def _send_body(self, answer: Answer) -> None:
        if answer.stream is None:
            self.wfile.write(answer.body)
            return
        for piece in answer.stream:
            self.wfile.write(piece if answer.length is not None else b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        if answer.length is None:
            self.wfile.write(b"0\r\n\r\n")

    def number(self, name: str, default: float) -> float:
        """A number of the query string."""
        return float(self.query.get(name, default))


def _echo(request: Handler) -> Answer:
    told = {
        "method": request.command,
        "target": request.path,
        "headers": [list(pair) for pair in request.headers.items()],
        "body": request.content.decode("latin-1"),
    }
    return Answer(json.dumps(told).encode(), headers=[("Content-Type", "application/json")])


def _status(request: Handler) -> Answer:
    status = int(request.argument)
    phrase = HTTPStatus(status).phrase if status in HTTPStatus.__members__.values() else "unnamed"
    return Answer(phrase.encode(), status)


def _redirect(request: Handler) -> Answer:
    return Answer(b"elsewhere", int(request.number("code", 302)), [("Location", request.query["to"])])


def _chunked(request: Handler) -> Answer:
    count, size = int(request.number("n", 3)), int(request.number("size", 10))
    return Answer(stream=[pattern(size)] * count)


def _bytes(request: Handler) -> Answer:
    return Answer(pattern(int(request.argument)), headers=[("Content-Type", "application/octet-stream")])


def _gzip(request: Handler) -> Answer:
    body = gzip.compress(pattern(int(request.number("n", 100))))
    return Answer(body, headers=[("Content-Encoding", "gzip")])


def _deflate(request: Handler) -> Answer:
    packer = zlib.compressobj(wbits=-15 if request.number("raw", 0) else 15)
    body = packer.compress(pattern(int(request.number("n", 100)))) + packer.flush()
    return Answer(body, headers=[("Content-Encoding", "deflate")])


def _slow(request: Handler) -> Answer:
    request.server.wait(request.number("delay", 0.5))
    return Answer()


def _headers(request: Handler) -> Answer:
    return Answer(headers=[(f"X-Header-{i}", f"value {i}") for i in range(int(request.number("n", 50)))])


def _close(request: Handler) -> Answer:
    request.close_connection = True
    return Answer(headers=[("Connection", "close")])


def _retry_after(request: Handler) -> Answer:
    if request.server.count(request.query.get("key", "")) > request.number("times", 1):
        return Answer()
    return Answer(b"later", 503, [("Retry-After", request.query.get("seconds", "0"))])


def _nonce(request: Handler) -> Answer:
    nonce = request.headers.get("X-Nonce", "")
    return Answer(nonce.encode("latin-1"), headers=[("X-Nonce", nonce)])


def _drip(request: Handler) -> Answer:
    count, delay = int(request.number("n", 5)), request.number("delay", 0.02)

    def pieces() -> Iterator[bytes]:
        for byte in pattern(count):
            request.server.wait(delay)
            yield bytes([byte])

    return Answer(stream=pieces(), length=count)


_ROUTES: dict[str, Callable[[Handler], Answer]] = {
    "echo": _echo,
    "status": _status,
    "redirect": _redirect,
    "chunked": _chunked,
    "bytes": _bytes,
    "gzip": _gzip,
    "deflate": _deflate,
    "slow": _slow,
    "headers": _headers,
    "close": _close,
    "retry-after": _retry_after,
    "nonce": _nonce,
    "drip": _drip,
}


class _Server(http.server.ThreadingHTTPServer):
    """Keeps what a test wants to know, and the sockets and threads that have to end with it."""

    request_queue_size = 128

    def __init__(self, host: str) -> None:
        if ":" in host:
            self.address_family = socket.AF_INET6
        self.connections = 0
        self.requests: list[str] = []
        self._over = threading.Event()
        self._counts: Counter[str] = Counter()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        super().__init__((host, 0), Handler)

    def server_bind(self) -> None:
        # The base class would look up a host name here.
        super(http.server.HTTPServer, self).server_bind()
        self.server_name, self.server_port = self.server_address[0], self.server_address[1]  # type: ignore[assignment]

    def note(self, method: str, target: str) -> None:
        self.requests.append(f"{method} {target}")

    def count(self, key: str) -> int:
        """How often this was called with the key, this time included."""
        with self._lock:
            self._counts[key] += 1
            return self._counts[key]

    def wait(self, seconds: float) -> None:
        """Sleeps, but not beyond the server's end."""
        self._over.wait(seconds)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        with self._lock:
            self._open[request] = thread
        thread.start()

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of broken connections, which tests make on purpose; anything else is a mistake in this file."""
        if not isinstance(sys.exception(), (OSError, EndOfStream)):
            super().handle_error(request, client_address)

    def end(self) -> list[threading.Thread]:
        """Wakes every handler; returns those that did not end in time."""
        self._over.set()
        with self._lock:
            left = dict(self._open)
        for sock in left:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in left.values():
            thread.join(JOIN_SECONDS / len(left))
        return [thread for thread in left.values() if thread.is_alive()]


class EchoServer:
    """Serves the paths above on a free port of ``host`` while its ``with`` block runs."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self._server = _Server(host)
        self.port: int = self._server.server_address[1]
        # The poll interval bounds only how long close() takes.
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="echo-server", daemon=True
        )

    @property
    def url(self) -> str:
        """``http://host:port`` without a path."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections were accepted so far."""
        return self._server.connections

    @property
    def requests(self) -> list[str]:
        """``"METHOD target"`` of every request so far."""
        return list(self._server.requests)

    def __enter__(self) -> EchoServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all threads and connections."""
        self._server.shutdown()
        self._thread.join(JOIN_SECONDS)
        self._server.server_close()
        if alive := self._server.end():
            raise RuntimeError(f"handlers that did not end: {alive}")
