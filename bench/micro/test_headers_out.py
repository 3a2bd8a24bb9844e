"""Writing a request head: method, target and fields in, octets out, everything checked for injection."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from typing import Any

import pytest

from wirepool._core.headers_out import serialize

Fields = list[tuple[str, str]]
TARGET = "/v2/items/48213?expand=price,stock&currency=EUR"


class _Sink:
    """Mixed into a connection: keeps what would be sent."""

    sent = b""

    def send(self, data: bytes) -> None:
        self.sent = data


class _Connection(_Sink, http.client.HTTPConnection):
    pass


def _wirepool(fields: Fields) -> Callable[[], bytes]:
    return lambda: serialize("GET", TARGET, fields)


def _http_client(fields: Fields) -> Callable[[], bytes]:
    connection = _Connection("api.example.com")

    def write() -> bytes:
        connection.putrequest("GET", TARGET, skip_host=True, skip_accept_encoding=True)
        for name, value in fields:
            connection.putheader(name, value)
        connection.endheaders()
        return _finished(connection)

    return write


def _urllib3(fields: Fields) -> Callable[[], bytes]:
    base: Any = pytest.importorskip("urllib3.connection").HTTPConnection
    connection = type("Connection", (_Sink, base), {})("api.example.com")
    headers = dict(fields)

    def write() -> bytes:
        connection.request("GET", TARGET, headers=headers)
        return _finished(connection)

    return write


def _finished(connection: Any) -> bytes:
    """What was sent; the connection is ready for the next request, as if the response had come."""
    connection._HTTPConnection__state = "Idle"
    sent: bytes = connection.sent
    return sent


@pytest.mark.parametrize("peer", [_wirepool, _http_client, _urllib3])
def test_write_head(race: Any, request_fields: Fields, peer: Callable[[Fields], Callable[[], bytes]]) -> None:
    write = peer(request_fields)
    assert sorted(write().split(b"\r\n")) == sorted(serialize("GET", TARGET, request_fields).split(b"\r\n"))
    race(f"write a request head, {len(request_fields)} fields", write)
