"""The head of an HTTP/2 request, and the fields of a response: what goes on the wire, and what must not.

HTTP/2 has no lines, so that nothing can be smuggled by a line break; but behind most servers there is one of HTTP/1.1
that has (RFC 9113 section 10.3). Hence fields obey the same rules as over HTTP/1.1, by the same functions.

Threading: confined. Nothing here knows the ``h2`` package.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterable

from wirepool._core.errors import RequestRefused
from wirepool._core.headers_out import check_field, check_method, serialize
from wirepool._errors import cannot_be_skipped, stdlib_error
from wirepool.exceptions import LocationParseError, ProtocolError
from wirepool.util.request import SKIP_HEADER, SKIPPABLE_HEADERS
from wirepool.util.url import parse_url

__all__ = ["RequestHead", "checked_pairs"]

Field = tuple[bytes, bytes]

# They speak of an HTTP/1.1 connection (RFC 9113 section 8.2.2), and so do the framing fields.
_OF_THE_CONNECTION = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})


class RequestHead:
    """A head that is being put together.

    :param url: a path with its query; or an ``https`` URL, of which that and the authority are used.
    :param authority: what ``:authority`` is if neither the URL nor a ``Host`` field says otherwise.
    :raises ValueError: the method is no token.
    :raises LocationParseError: the target holds white space, control or non-ASCII characters, or is no target.
    :raises NotImplementedError: the method is CONNECT.
    """

    def __init__(self, method: str, url: str, authority: str) -> None:
        self.authority = authority.encode("ascii")
        self._method = method.encode("latin-1")
        self._path = self._target(method, url or "/").encode("ascii")
        self._fields: list[Field] = []
        self._named: set[str] = set()

    def _target(self, method: str, url: str) -> str:
        try:
            check_method(method)
            serialize(method, url, ())
        except RequestRefused as error:
            raise stdlib_error(error) from None
        if method.upper() == "CONNECT":
            raise NotImplementedError("CONNECT is not done over HTTP/2: wirepool.http2.extract_from_urllib3() first")
        if url.startswith("/") or (url == "*" and method == "OPTIONS"):
            return url
        parsed = parse_url(url)
        if parsed.scheme != "https" or not parsed.host:
            raise LocationParseError(f"{url!r}: over HTTP/2 that has to be a path or an https URL")
        self.authority = (parsed.netloc or "").encode("ascii")
        return parsed.request_uri

    def has(self, name: str) -> bool:
        """Whether a field of that (lower-case) name was added, or left out on purpose."""
        return name in self._named

    def add(self, name: str | bytes, *values: str | bytes | int) -> None:
        """Add a field for each value; ``SKIP_HEADER`` leaves an automatic one out.

        :raises ValueError: the name is not a token, or a value holds CR, LF or NUL; or a field that is never automatic
            is skipped.
        """
        spelled = name.encode("ascii", "replace") if isinstance(name, str) else bytes(name)
        for value in values:
            self._add(spelled.lower(), value)

    def _add(self, name: bytes, value: str | bytes | int) -> None:
        data = _bytes_of(value)
        try:
            check_field(name, data)
        except RequestRefused as error:
            raise stdlib_error(error) from None
        key = name.decode("ascii")
        self._named.add(key)
        if value == SKIP_HEADER:
            if key not in SKIPPABLE_HEADERS:
                raise cannot_be_skipped()
        elif name == b"host":
            self.authority = data
        elif name == b"te":
            self._add_te(data)
        elif name not in _OF_THE_CONNECTION:
            self._fields.append((name, data))

    def _add_te(self, value: bytes) -> None:
        # Of what it can say HTTP/2 knows only this.
        if b"trailers" in (coding.strip().lower() for coding in value.split(b",")):
            self._fields.append((b"te", b"trailers"))

    def content_length(self) -> int | None:
        """What a ``content-length`` that was added says.

        :raises ValueError: that is no number.
        """
        for name, value in self._fields:
            if name == b"content-length":
                if not value.isdigit():
                    raise ValueError(f"Content-Length is no number: {value!r}")
                return int(value)
        return None

    def pairs(self) -> list[Field]:
        """All of it, as it goes on the wire."""
        return [
            (b":method", self._method),
            (b":scheme", b"https"),
            (b":authority", self.authority),
            (b":path", self._path),
            *self._fields,
        ]


def _bytes_of(value: str | bytes | int) -> bytes:
    """A field value without the white space around it, which is not a part of it (RFC 9113 section 8.2.1)."""
    if isinstance(value, int):
        value = str(value)
    data = value.encode("utf-8") if isinstance(value, str) else bytes(value)
    return data.strip(b" \t")


def checked_pairs(received: Iterable[Field]) -> list[tuple[str, str]]:
    """The fields of a response or its trailers as text, without pseudo-fields.

    :raises ProtocolError: there are more than HTTP/1.1 would take, or one that must not be.
    """
    pairs = []
    for name, value in received:
        if name.startswith(b":"):
            continue
        try:
            check_field(name, value)
        except RequestRefused as error:
            raise ProtocolError(f"The server sent a header field that must not be: {error}") from None
        pairs.append((name.decode("ascii"), value.decode("latin-1")))
    most: int = http.client._MAXHEADERS  # type: ignore[attr-defined]
    if len(pairs) > most:
        raise ProtocolError(f"got more than {most} headers")
    return pairs
