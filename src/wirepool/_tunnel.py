"""A tunnel through a proxy: the CONNECT request and its response (RFC 9110 9.3.6).

The request is checked before it is sent: what names the origin must not be able to add a line to it. The response is
bounded in time as a whole, in octets and in fields; any 2xx opens the tunnel, whatever framing its header fields claim,
and nothing may follow its head before we have spoken, for nobody could tell whose it is.

Threading: confined, with the connection.
"""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from wirepool._core.errors import CoreError, RequestRefused
from wirepool._core.exchange import LIMITS as _EXCHANGE_LIMITS
from wirepool._core.head import LIMITS as _HEAD_LIMITS
from wirepool._core.head import head_length, parse_head
from wirepool._core.headers_out import check_field
from wirepool._errors import stdlib_error
from wirepool.exceptions import ConnectTimeoutError
from wirepool.util.util import to_str

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wirepool.connection import HTTPConnection

__all__ = ["Reply", "authority", "connect_request", "open_tunnel", "receive_reply"]

_MAX_HEAD = _HEAD_LIMITS["MAX_HEAD"]
_MAX_INTERIM = _EXCHANGE_LIMITS["MAX_INTERIM"]
_PIECE = 4096

_HINTS = {407: " (give the proxy's user and password: proxy_headers=make_headers(proxy_basic_auth='user:pw'))"}


class Reply(NamedTuple):
    """What a proxy answered; ``head`` with status line and blank line."""

    status: int
    reason: str
    head: bytes


def open_tunnel(conn: HTTPConnection) -> None:
    """Ask for the tunnel that a connection was set to go through; closes it if there is to be none.

    :raises OSError: the proxy refused.
    :raises ConnectTimeoutError: it gave no answer within the socket's time-out.
    :raises http.client.HTTPException: what it answered is no response to CONNECT.
    :raises ValueError: host or header fields that must not be sent; nothing was.
    """
    host, port = conn._tunnel_host, conn._tunnel_port
    assert host is not None
    assert port is not None
    limit = conn.sock.gettimeout()
    try:
        conn.send(connect_request(host, port, _fields_for(conn)))
        reply = receive_reply(conn.sock, limit, http.client._MAXHEADERS)  # type: ignore[attr-defined]
    except TimeoutError as error:
        raise ConnectTimeoutError(
            conn, f"Tunnel through {conn.host} timed out. (connect timeout={conn.timeout})"
        ) from error
    # For get_proxy_response_headers(), which Python 3.12 has.
    status_line, *conn._raw_proxy_headers = reply.head.splitlines(keepends=True)
    if conn.debuglevel > 0:
        _print(status_line, conn._raw_proxy_headers)
    if not 200 <= reply.status < 300:
        conn.close()
        raise OSError(f"Tunnel connection failed: {reply.status} {reply.reason}{_HINTS.get(reply.status, '')}")


def _fields_for(conn: HTTPConnection) -> Mapping[str, str]:
    """The user's, without the Host that Python 3.12 adds: ours comes first, and has no zone of an IPv6 address."""
    if conn._tunnel_names_host:
        return conn._tunnel_headers
    return {name: value for name, value in conn._tunnel_headers.items() if to_str(name).lower() != "host"}


def _print(status_line: bytes, fields: list[bytes]) -> None:
    """In the words of the standard library."""
    print("reply:", repr(status_line.decode("latin-1")))
    for line in fields[:-1]:
        print("header:", line.decode("latin-1"))


def authority(host: str, port: int) -> str:
    """The origin as CONNECT names it: ASCII, IPv6 addresses in brackets without a zone.

    :raises ValueError: the host holds white space or control characters.
    """
    if any(c <= " " or c == "\x7f" for c in host):
        raise ValueError(f"Tunnel host can't contain control characters or spaces: {host!r}")
    bare = host.strip("[]")
    if ":" in bare:
        bare = f"[{bare.partition('%')[0]}]"
    elif not bare.isascii():
        bare = bare.encode("idna").decode("ascii")
    return f"{bare}:{port}"


def connect_request(host: str, port: int, headers: Mapping[Any, Any] | None) -> bytes:
    """The request, with a ``Host`` field unless ``headers`` have one.

    :raises ValueError: host, names or values that must not be sent.
    """
    target = authority(host, port)
    fields = [(_text(name), _text(value)) for name, value in (headers or {}).items()]
    if not any(name.lower() == "host" for name, _ in fields):
        fields.insert(0, ("Host", target))
    lines = [f"CONNECT {target} HTTP/1.1"]
    for name, value in fields:
        try:
            check_field(name, value)
        except RequestRefused as error:
            raise stdlib_error(error) from None
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def receive_reply(sock: Any, timeout: float | None, max_fields: int) -> Reply:
    """The proxy's final response, within ``timeout`` seconds in all.

    :raises TimeoutError: it took longer.
    :raises http.client.HTTPException: it is none, it is over a limit, or something follows it.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    data = b""
    for _ in range(_MAX_INTERIM + 1):
        data, length = _receive_head(sock, data, deadline, max_fields)
        try:
            facts = parse_head(data[:length], True)
        except CoreError as error:
            raise stdlib_error(error) from None
        if facts["status"] >= 200:
            if data[length:] and facts["status"] < 300:
                raise http.client.HTTPException("the proxy sent more than its response to CONNECT")
            return Reply(facts["status"], facts["reason"], data[:length])
        data = data[length:]
    raise http.client.HTTPException(f"got more than {_MAX_INTERIM} interim responses")


def _receive_head(sock: Any, data: bytes, deadline: float | None, max_fields: int) -> tuple[bytes, int]:
    """Octets that begin with a whole head, and its length."""
    while True:
        try:
            length = head_length(data, max_fields) if data else None
        except CoreError as error:
            raise stdlib_error(error) from None
        if length is not None:
            return data, length
        if len(data) > _MAX_HEAD:
            raise http.client.HTTPException(f"the proxy's response head is over {_MAX_HEAD} octets")
        more = _receive(sock, deadline)
        if not more:
            raise http.client.RemoteDisconnected(
                "the proxy closed the connection " + ("within its response" if data else "without response")
            )
        data += more


def _receive(sock: Any, deadline: float | None) -> bytes:
    if deadline is not None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        sock.settimeout(left)
    return sock.recv(_PIECE)  # type: ignore[no-any-return]
