"""The CONNECT request and its response, without a proxy: what is written into one end of a socket pair beforehand."""

from __future__ import annotations

import http.client
import socket
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirepool import HTTPHeaderDict
from wirepool._tunnel import Reply, authority, connect_request, receive_reply

# --- the request ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("target.test", "target.test:443"),
        ("target.test.", "target.test.:443"),
        ("127.0.0.1", "127.0.0.1:443"),
        ("::1", "[::1]:443"),
        ("[::1]", "[::1]:443"),
        ("fe80::1%eth0", "[fe80::1]:443"),
        ("[fe80::1%25eth0]", "[fe80::1]:443"),
        ("b\u00fccher.test", "xn--bcher-kva.test:443"),
        ("xn--bcher-kva.test", "xn--bcher-kva.test:443"),
        ("under_score.test", "under_score.test:443"),
    ],
)
def test_authority(host: str, expected: str) -> None:
    assert authority(host, 443) == expected


@pytest.mark.parametrize("place", ["a{}b", "{}", "ab{}", "[::1]{}"])
@pytest.mark.parametrize("bad", ["\r\n", "\n", "\r", "\0", " ", "\t", "\x7f", "\x1b", " HTTP/1.1\r\nX: "])
def test_authority_of_what_must_not_be_sent(place: str, bad: str) -> None:
    with pytest.raises(ValueError, match="control characters or spaces"):
        authority(place.format(bad), 443)


def test_authority_that_has_no_ascii_form() -> None:
    with pytest.raises(UnicodeError):
        authority("\u00fc" * 64, 443)


def test_request() -> None:
    assert connect_request("h", 1, None) == b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n"
    assert connect_request("::1", 8443, {"X-A": "1", "X-B": b"2"}) == (
        b"CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\nX-A: 1\r\nX-B: 2\r\n\r\n"
    )


@pytest.mark.parametrize("name", ["Host", "host", "HOST", b"Host"])
def test_request_with_a_host_of_the_users(name: Any) -> None:
    request = connect_request("h", 1, {"X-A": "1", name: "other"})
    assert request.lower() == b"connect h:1 http/1.1\r\nx-a: 1\r\nhost: other\r\n\r\n"


def test_request_with_fields_of_any_kind() -> None:
    repeated = HTTPHeaderDict([("X-A", "1"), ("X-A", "2")])
    assert connect_request("h", 1, repeated).endswith(b"\r\nX-A: 1\r\nX-A: 2\r\n\r\n")
    request = connect_request("h", 1, {b"X-Bytes": b"\xfc", "X-Latin": "\u00fc", "X-Number": 5, "X-Empty": ""})
    assert request.endswith(b"\r\nX-Bytes: \xfc\r\nX-Latin: \xfc\r\nX-Number: 5\r\nX-Empty: \r\n\r\n")


@pytest.mark.parametrize("name", ["", "X A", "X:A", "X\r\nA", "X\n", "\0", "X\u00fc", b"X\r\n", " X", "X "])
def test_request_with_a_bad_name(name: Any) -> None:
    with pytest.raises(ValueError, match="header name"):
        connect_request("h", 1, {name: "v"})


@pytest.mark.parametrize("value", ["a\r\nB: c", "a\nb", "a\rb", "a\0b", "\r\n\r\nGET / HTTP/1.1", b"a\r\nb", "\u20ac"])
def test_request_with_a_bad_value(value: Any) -> None:
    with pytest.raises(ValueError):
        connect_request("h", 1, {"X-A": value})


@given(host=st.text(), name=st.text(), value=st.text())
def test_a_request_has_as_many_lines_as_it_should(host: str, name: str, value: str) -> None:
    try:
        request = connect_request(host, 443, {name: value})
    except ValueError:
        return
    assert request.endswith(b"\r\n\r\n")
    lines = request.split(b"\r\n")
    assert len(lines) == (4 if name.lower() == "host" else 5)
    assert lines[0].count(b" ") == 2
    assert not any(c in line for line in lines for c in b"\r\n\0")


# --- the response -----------------------------------------------------------------------------------------------------


def reply_to(answer: bytes, *, timeout: float | None = 5.0, end: bool = True, max_fields: int = 100) -> Reply:
    """With ``end`` the proxy closes its side behind the answer."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(answer)
        if end:
            theirs.shutdown(socket.SHUT_WR)
        return receive_reply(ours, timeout, max_fields)


GOOD = {
    b"HTTP/1.1 200 Connection established\r\n\r\n": (200, "Connection established"),
    b"HTTP/1.0 200 OK\r\nVia: p\r\n\r\n": (200, "OK"),
    b"HTTP/1.1 200\r\n\r\n": (200, ""),
    b"HTTP/1.1 204 None\r\n\r\n": (204, "None"),
    b"HTTP/1.1 299 Odd\r\n\r\n": (299, "Odd"),
    b"HTTP/1.1 200 OK\nVia: p\n\n": (200, "OK"),
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n": (200, "OK"),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 7\r\n\r\n": (200, "OK"),
    b"HTTP/1.1 407 Who?\r\nContent-Length: 4\r\n\r\nwho?": (407, "Who?"),
    b"HTTP/1.1 302 There\r\nLocation: https://elsewhere/\r\n\r\n": (302, "There"),
    b"HTTP/1.1 502 " + b"x" * 10_000 + b"\r\n\r\n": (502, "x" * 10_000),
}


@pytest.mark.parametrize("answer", GOOD, ids=lambda answer: answer[:40])
def test_reply(answer: bytes) -> None:
    reply = reply_to(answer)
    assert (reply.status, reply.reason) == GOOD[answer]
    assert answer.startswith(reply.head)
    assert reply.head.endswith((b"\r\n\r\n", b"\n\n"))


@pytest.mark.parametrize("answer", GOOD, ids=lambda answer: answer[:40])
def test_reply_behind_interim_ones(answer: bytes) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: </x>\r\n\r\n"
    assert reply_to(interim + answer) == reply_to(answer)


class Drip:
    """Gives these octets one by one, and the last one for ever."""

    def __init__(self, data: bytes, pause: float = 0.0) -> None:
        self.data = data
        self.given = 0
        self.pause = pause
        self.limits: list[float] = []

    def settimeout(self, seconds: float) -> None:
        self.limits.append(seconds)

    def recv(self, size: int) -> bytes:
        time.sleep(self.pause)
        self.given += 1
        return self.data[self.given - 1 :][:1] or self.data[-1:]


def test_reply_in_pieces() -> None:
    answer = b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n"
    drip = Drip(answer)
    assert receive_reply(drip, 5, 100) == Reply(200, "OK", b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n")
    assert drip.given == len(answer)


BAD = [
    b"who are you?\r\n\r\n",
    b"<html>\r\n\r\n",
    b"HTTP/9.9 200 OK\r\n\r\n",
    b"HTTP/1.1 2oo OK\r\n\r\n",
    b"HTTP/1.1 99 OK\r\n\r\n",
    b"HTTP/1.1 -200 OK\r\n\r\n",
    b"HTTP/1.1\r\n\r\n",
    b"SSH-2.0-OpenSSH\r\n\r\n",
    b"\x16\x03\x01\x02\x00\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nmore",
    b"HTTP/1.1 204 OK\r\n\r\n\0",
    b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 101 + b"\r\n",
    b"HTTP/1.1 200 " + b"x" * 70_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000 + b"\r\n\r\n",
    b"HTTP/1.1 100 Go on\r\n\r\n" * 200,
]


@pytest.mark.parametrize("end", [True, False])
@pytest.mark.parametrize("answer", BAD, ids=lambda answer: answer[:40])
def test_what_is_no_reply(answer: bytes, end: bool) -> None:
    """No matter whether the proxy closes the connection behind it."""
    with pytest.raises(http.client.HTTPException):
        reply_to(answer, end=end)


@pytest.mark.parametrize(("answer", "words"), [(b"", "without response"), (b"HTTP/1.1 200 OK\r\n", "within")])
def test_the_end(answer: bytes, words: str) -> None:
    with pytest.raises(http.client.RemoteDisconnected, match=words):
        reply_to(answer)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Go on\r\n\r\n"])
def test_silence(answer: bytes) -> None:
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        reply_to(answer, timeout=0.1, end=False)
    assert 0.05 < time.monotonic() - start < 2


def test_the_time_is_for_the_whole() -> None:
    """However often something comes."""

    drip = Drip(b"HTTP/1.1 200 OK\r\nA: b", pause=0.01)
    with pytest.raises(TimeoutError):
        receive_reply(drip, 0.1, 100)
    assert drip.given <= 10
    assert all(0 < limit <= 0.1 for limit in drip.limits)


def test_no_limit_of_time() -> None:
    assert reply_to(b"HTTP/1.1 200 OK\r\n\r\n", timeout=None).status == 200


def test_the_limit_of_fields() -> None:
    answer = b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20 + b"\r\n"
    assert reply_to(answer, max_fields=20, end=False).status == 200
    with pytest.raises(http.client.HTTPException):
        reply_to(answer, max_fields=19)


class Endless:
    """Begins, and repeats a line for ever; counts the octets."""

    def __init__(self, start: bytes, line: bytes) -> None:
        self.next, self.line = start or line, line
        self.given = 0

    def settimeout(self, seconds: float) -> None:
        pass

    def recv(self, size: int) -> bytes:
        data, self.next = self.next, self.line
        self.given += len(data)
        return data


@pytest.mark.parametrize(
    ("start", "line"),
    [
        (b"", b"x" * 4096),
        (b"", b"HTTP/1.1 100 Go on\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"x" * 4096),
        (b"HTTP/1.1 200 OK\r\n", b"X-Filler: " + b"x" * 1000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n", b" folded\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"no field\r\n"),
    ],
)
def test_no_end(start: bytes, line: bytes) -> None:
    endless = Endless(start, line)
    with pytest.raises(http.client.HTTPException):
        receive_reply(endless, 5, 100)
    assert endless.given < 3 << 20


@given(st.binary())
def test_anything_else_ends_in_an_error_that_is_expected(answer: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall(answer)
        with pytest.raises(http.client.HTTPException):
            receive_reply(ours, 5, 100)
