"""Scripted proxies, for what no real one does; without a script, one that really forwards and tunnels.

    with ProxyServer([RecvHead(), Send(b"HTTP/1.1 407 No\\r\\n\\r\\n"), Close()]) as proxy:
        client(proxy.url).get("https://target.test/")
    assert proxy.connects[0].target == "target.test:443"

The scripts are those of the scripted server. Behind an answer to CONNECT, :class:`Relay` passes bytes on.
:class:`TLSProxyServer` is the same behind TLS, so that a tunnel to a TLS server is TLS in TLS.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .relay import Address, address_of, dial, tunnel
from .scripted import Close, Connection, RecordedRequest, RecvHead, Script, ScriptedServer, Send, Step, response
from .tls import TLSServer

__all__ = ["ESTABLISHED", "ProxyServer", "Relay", "TLSProxyServer", "endless_head", "refuse", "relay", "tunnel_after"]

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass(frozen=True)
class Relay(Step):
    """Pass bytes between the client and ``to``, which is the target of its CONNECT if not given.

    With a ``limit`` the tunnel is cut behind so many bytes for the client.
    """

    to: Address | None = None
    limit: int | None = None

    def play(self, conn: Connection) -> None:
        try:
            with dial(self.to or address_of(conn.requests[-1].target, 443), conn) as upstream:
                tunnel(conn, upstream, self.limit)
        except ConnectionRefusedError:
            conn.close()


def relay(conn: Connection) -> None:
    """The script of a proxy that does its work: tunnels, and forwards one request a connection; 502 if it cannot."""
    request = conn.recv_head()
    try:
        if request.method == "CONNECT":
            _tunnel(conn, request)
        else:
            _forward(conn, request)
    except (ConnectionRefusedError, TimeoutError):
        conn.send(response(b"nobody there", status=502, reason="Bad Gateway"))


def tunnel_after(answer: bytes = ESTABLISHED, to: Address | None = None) -> Script:
    """The script of a proxy that answers CONNECT with these bytes, whatever they mean, and then tunnels."""
    return [RecvHead(), Send(answer), Relay(to)]


def refuse(status: int, *, reason: str = "No", body: bytes = b"", headers: Iterable[tuple[str, str]] = ()) -> Script:
    """The script of a proxy that refuses, with a body, and closes."""
    return [RecvHead(), Send(response(body, status=status, reason=reason, headers=headers)), Close()]


def endless_head(conn: Connection) -> None:
    """The script of a proxy whose answer has fields without end."""
    conn.recv_head()
    conn.send(b"HTTP/1.1 200 Connection established\r\n")
    while True:
        conn.send(b"X-Filler: " + b"x" * 1000 + b"\r\n")


def _tunnel(conn: Connection, request: RecordedRequest) -> None:
    with dial(address_of(request.target, 443), conn) as upstream:
        conn.send(ESTABLISHED)
        tunnel(conn, upstream)


def _forward(conn: Connection, request: RecordedRequest) -> None:
    target = urlsplit(request.target)
    if target.scheme != "http":
        conn.send(response(b"only http", status=501, reason="Not Implemented"))
        return
    with dial(address_of(target.netloc), conn) as upstream:
        upstream.send(_in_origin_form(request) + conn.recv_body())
        while data := upstream.recv_bytes():
            conn.send(data)


def _in_origin_form(request: RecordedRequest) -> bytes:
    """The head as the origin gets it: no trace of the proxy, and the connection for this request only."""
    target = urlsplit(request.target)._replace(scheme="", netloc="").geturl() or "/"
    kept = [(name, value) for name, value in request.headers if name.lower() not in _HOP_BY_HOP]
    lines = [f"{request.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in kept), "Connection: close"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


_HOP_BY_HOP = {"connection", "proxy-authorization", "proxy-connection", "keep-alive"}


class _Connects:
    """What both kinds of proxy remember."""

    requests: list[RecordedRequest]

    @property
    def connects(self) -> list[RecordedRequest]:
        """The CONNECT requests as they came, in order."""
        return [request for request in self.requests if request.method == "CONNECT"]


class ProxyServer(_Connects, ScriptedServer):
    """A scripted server, except that connections without a script are relayed."""

    def __init__(self, *scripts: Script, default: Script | None = relay, **options: Any) -> None:
        super().__init__(*scripts, default=default, **options)


class TLSProxyServer(_Connects, TLSServer):
    """The same behind TLS; the options are those of :class:`TLSServer`."""

    def __init__(self, *scripts: Script, default: Script | None = relay, **options: Any) -> None:
        super().__init__(*scripts, default=default, **options)
