"""What programs reach for in a response is there when they first ask: before, while and after it is read.

The members are those that requests, botocore, docker, CacheControl, kubernetes, Sentry and elastic-transport use.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from behaviour.talk import answering
from behaviour.tls_talk import https_pool
from servers.certs import Authority
from servers.scripted import chunked_response, response
from wirepool import HTTPConnectionPool

BODY = b"0123456789" * 10
COOKIES = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
ANSWERS = {
    "length": response(BODY, headers=COOKIES),
    "chunked": chunked_response([BODY[:40], BODY[40:]], headers=COOKIES),
}

Serve = Callable[..., Any]
Opened = Callable[[], Any]


@pytest.fixture(params=["plain", "tls"])
def pool(
    request: pytest.FixtureRequest, scripted: Serve, scripted_tls: Serve, certs: Authority, framing: str
) -> Iterator[Any]:
    if request.param == "tls":
        made: Any = https_pool(scripted_tls(answering(ANSWERS[framing])), host="localhost", ca_certs=certs.ca_file)
    else:
        server = scripted(answering(ANSWERS[framing]))
        made = HTTPConnectionPool(server.host, server.port, timeout=5)
    with made:
        yield made


@pytest.fixture(params=sorted(ANSWERS))
def framing(request: pytest.FixtureRequest) -> str:
    return request.param  # type: ignore[no-any-return]


STAGES = {"before": 0, "while": 7, "after": len(BODY)}


@pytest.fixture(params=sorted(STAGES))
def opened(request: pytest.FixtureRequest, gear: str, pool: Any) -> Any:
    """A response of which so much was read."""
    answer = pool.urlopen("GET", "/x", preload_content=False)
    amount = STAGES[request.param]
    answer.was_read = answer.read(amount) if amount else b""
    if amount == len(BODY):
        assert answer.read() == b""
    return answer


def rest(answer: Any) -> bytes:
    return answer.was_read + answer.read()  # type: ignore[no-any-return]


def test_the_original_and_its_message(opened: Any) -> None:
    """requests looks for cookies, Sentry for lengths."""
    original = opened._original_response
    assert isinstance(original, http.client.HTTPResponse)
    assert original is opened._original_response
    assert (original.status, original.reason, original.version) == (200, "OK", 11)
    assert original.msg.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert opened.msg is original.msg
    assert original.headers is original.msg
    assert original.getheader("set-cookie") == "a=1, b=2"
    assert isinstance(original.isclosed(), bool)
    assert rest(opened) == BODY


def test_the_file_and_its_framing(opened: Any, framing: str) -> None:
    """docker and CacheControl."""
    is_over = len(opened.was_read) == len(BODY)
    file = opened._fp
    assert file is opened._fp
    assert isinstance(file, http.client.HTTPResponse)
    assert hasattr(file, "chunk_left")
    assert hasattr(opened, "chunk_left")
    assert callable(file._safe_read)
    assert isinstance(file.isclosed(), bool)
    if not is_over:
        assert file.chunked is (framing == "chunked")
        assert file.length in ((None,) if framing == "chunked" else (len(BODY) - len(opened.was_read),))
        assert not file.isclosed()
    assert rest(opened) == BODY
    assert file.isclosed()


def test_the_socket_below_the_file(opened: Any, gear: str) -> None:
    """botocore sets its time-out, docker talks to it."""
    if len(opened.was_read) < len(BODY):
        raw = opened._fp.fp.raw
        assert isinstance(raw, io.RawIOBase)
        sock = raw._sock
        assert isinstance(sock, socket.socket)
        sock.settimeout(3)
        assert opened.connection.sock is sock
    assert rest(opened) == BODY


def test_the_connection_and_its_socket(opened: Any, pool: Any) -> None:
    """kubernetes shuts it down, elastic-transport and pinning look at the certificate."""
    is_over = len(opened.was_read) == len(BODY)
    assert (opened.connection is None) == (opened._connection is None) == is_over
    if not is_over:
        sock = opened.connection.sock
        assert sock.getpeername()[1] == pool.port
        assert sock.fileno() >= 0
        if pool.scheme == "https":
            assert isinstance(sock, ssl.SSLSocket)
            assert sock.getpeercert(True)
            assert sock.version().startswith("TLS")
            assert hasattr(sock._sslobj, "getpeercert")
        sock.shutdown(socket.SHUT_RDWR)
        opened.close()
    else:
        assert rest(opened) == BODY


def test_a_wrapper_in_the_place_of_the_file(opened: Any, framing: str) -> None:
    """CacheControl's: it passes on what it does not have."""

    class Wrapper:
        def __init__(self, file: Any) -> None:
            self.__dict__["file"] = file
            self.__dict__["seen"] = b""

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def read(self, *amount: Any) -> bytes:
            data: bytes = self.file.read(*amount)
            self.__dict__["seen"] += data
            return data

        def _safe_read(self, amount: int) -> bytes:
            data: bytes = self.file._safe_read(amount)
            self.__dict__["seen"] += data if data != b"\r\n" else b""
            return data

    opened._fp = wrapper = Wrapper(opened._fp)
    assert rest(opened) == BODY
    if len(opened.was_read) < len(BODY):
        assert wrapper.seen


def test_like_a_file(opened: Any) -> None:
    """botocore's StreamingBody, and io.BufferedReader around it."""
    assert opened.readable()
    assert opened.tell() >= len(opened.was_read)
    target = bytearray(5)
    count = opened.readinto(target)
    assert opened.was_read + target[:count] + b"".join(opened.readlines()) == BODY
    opened.close()
    assert opened.closed


def test_members_that_were_set_stay(opened: Any) -> None:
    message = http.client.HTTPMessage()
    opened.msg = message
    assert opened.msg is message
    other: Any = object()
    opened._original_response = other
    assert opened._original_response is other
