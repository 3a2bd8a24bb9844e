"""The little HTTP/1.1 that a test server needs: reading one request off a byte stream, writing one response.

Kept apart from the product on purpose: a test that parsed requests with the code under test would share its errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

Read = Callable[[], bytes]
"""Returns the next bytes from the peer, empty at end of stream."""


class RecordedRequest(bytes):
    """One request exactly as it came in, with views on its parts."""

    @property
    def head(self) -> bytes:
        """Everything up to and including the empty line."""
        return bytes(self[: self.find(b"\r\n\r\n") + 4])

    @property
    def body(self) -> bytes:
        """What follows the head, chunk framing included."""
        return bytes(self[self.find(b"\r\n\r\n") + 4 :])

    @property
    def line(self) -> str:
        """The request line."""
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    @property
    def method(self) -> str:
        return self.line.split(" ", 1)[0]

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The fields in the order and spelling of the wire."""
        lines = self.head.decode("latin-1").split("\r\n")[1:-2]
        pairs = (line.partition(":") for line in lines)
        return [(name, value.strip()) for name, _, value in pairs]

    def header(self, name: str) -> str | None:
        """The first field of that name in any spelling, or None."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class EndOfStream(Exception):
    """The peer closed; ``partial`` is what it had sent of an unfinished request."""

    def __init__(self, partial: bytes) -> None:
        super().__init__(f"peer closed after {len(partial)} bytes of a request")
        self.partial = partial


class RequestReader:
    """Cuts a byte stream into requests; whatever follows one request stays buffered for the next."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._pending = b""

    def head(self) -> RecordedRequest:
        """Reads up to and including the empty line."""
        return RecordedRequest(self.until(b"\r\n\r\n"))

    def body_of(self, request: RecordedRequest) -> bytes:
        """Reads the body that the head announces (RFC 9112 section 6.3), framing included."""
        coding = (request.header("Transfer-Encoding") or "").lower()
        if coding.endswith("chunked"):
            return self._chunked()
        return self.exactly(int(request.header("Content-Length") or 0))

    def take_pending(self) -> bytes:
        """What was read already and belongs to no request so far; nothing is waited for."""
        return self._take(len(self._pending))

    def _chunked(self) -> bytes:
        raw = b""
        while True:
            line = self.until(b"\r\n")
            raw += line
            size = int(line.split(b";")[0], 16)
            if size == 0:
                return raw + self._trailers()
            raw += self.exactly(size + 2)

    def _trailers(self) -> bytes:
        raw = b""
        while not raw.endswith(b"\r\n\r\n") and raw != b"\r\n":
            raw += self.until(b"\r\n")
        return raw

    def exactly(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        while len(self._pending) < size:
            self._more()
        return self._take(size)

    def until(self, mark: bytes) -> bytes:
        """The next bytes up to and including the mark."""
        while mark not in self._pending:
            self._more()
        return self._take(self._pending.index(mark) + len(mark))

    def _take(self, size: int) -> bytes:
        taken, self._pending = self._pending[:size], self._pending[size:]
        return taken

    def _more(self) -> None:
        data = self._read()
        if not data:
            raise EndOfStream(self._pending)
        self._pending += data


def decode_chunked(raw: bytes) -> bytes:
    """The content of a well-formed chunked body."""
    content = b""
    while True:
        line, _, raw = raw.partition(b"\r\n")
        size = int(re.split(rb"[; ]", line)[0], 16)
        if size == 0:
            return content
        content, raw = content + raw[:size], raw[size + 2 :]


def response(
    body: bytes = b"",
    *,
    status: int = 200,
    reason: str = "OK",
    headers: Iterable[tuple[str, str]] = (),
    version: str = "HTTP/1.1",
    length: int | None = None,
) -> bytes:
    """A response with a Content-Length; ``length`` overrides the true one, for lying servers."""
    fields = [("Content-Length", str(len(body) if length is None else length)), *headers]
    lines = [f"{version} {status} {reason}", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunked_response(
    chunks: Iterable[bytes], *, headers: Iterable[tuple[str, str]] = (), trailers: Iterable[tuple[str, str]] = ()
) -> bytes:
    """A 200 whose body is sent in the given (non-empty) chunks."""
    lines = ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *(f"{name}: {value}" for name, value in headers)]
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    tail = "".join(f"{name}: {value}\r\n" for name, value in trailers).encode("latin-1")
    return head + body + b"0\r\n" + tail + b"\r\n"
