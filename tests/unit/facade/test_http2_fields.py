"""Heads of HTTP/2: what goes on the wire, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from wirepool.exceptions import LocationParseError, ProtocolError
from wirepool.http2._fields import RequestHead, checked_pairs
from wirepool.util import SKIP_HEADER


def head_of(method: str = "GET", url: str = "/x", **fields: Any) -> RequestHead:
    head = RequestHead(method, url, "localhost:1")
    for name, value in fields.items():
        head.add(name.replace("_", "-"), value)
    return head


def fields_of(head: RequestHead) -> list[tuple[bytes, bytes]]:
    return head.pairs()[4:]


def test_pseudo_fields_come_first() -> None:
    assert head_of("post", "/x?a=b", X_A="1").pairs() == [
        (b":method", b"post"),
        (b":scheme", b"https"),
        (b":authority", b"localhost:1"),
        (b":path", b"/x?a=b"),
        (b"x-a", b"1"),
    ]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("X-A", "b", (b"x-a", b"b")),
        (b"X-A", b"b", (b"x-a", b"b")),
        ("x_a!#$%&'*+.^`|~", "b", (b"x_a!#$%&'*+.^`|~", b"b")),
        ("x", "", (b"x", b"")),
        ("x", " \tb c\t ", (b"x", b"b c")),
        ("x", 17, (b"x", b"17")),
        ("x", "é€", (b"x", "é€".encode())),
        ("x", b"\xe9", (b"x", b"\xe9")),
        ("x", bytearray(b"v"), (b"x", b"v")),
        ("TE", "trailers", (b"te", b"trailers")),
        ("TE", "deflate;q=0.5, Trailers", (b"te", b"trailers")),
    ],
)
def test_a_field(name: Any, value: Any, expected: tuple[bytes, bytes]) -> None:
    head = head_of()
    head.add(name, value)
    assert fields_of(head) == [expected]


def test_a_field_for_each_value() -> None:
    head = head_of()
    head.add("X-A", "1", "2")
    head.add("x-a", "3")
    assert fields_of(head) == [(b"x-a", b"1"), (b"x-a", b"2"), (b"x-a", b"3")]


@pytest.mark.parametrize("name", ["Connection", "keep-alive", "Proxy-Connection", "Transfer-Encoding", "UPGRADE"])
def test_fields_of_an_http1_connection_are_left_out(name: str) -> None:
    head = head_of()
    head.add(name, "close")
    assert fields_of(head) == []
    assert head.has(name.lower())


@pytest.mark.parametrize("value", ["gzip", "", "trailers-not"])
def test_te_says_trailers_or_nothing(value: str) -> None:
    assert fields_of(head_of(TE=value)) == []


def test_host_is_the_authority() -> None:
    head = head_of(Host="other:7")
    assert head.pairs()[2] == (b":authority", b"other:7")
    assert fields_of(head) == []


@pytest.mark.parametrize("name", ["Host", "User-Agent", "accept-encoding"])
def test_skipping(name: str) -> None:
    head = head_of()
    head.add(name, SKIP_HEADER)
    assert fields_of(head) == []
    assert head.has(name.lower())
    assert head.authority == b"localhost:1"


def test_what_cannot_be_skipped() -> None:
    with pytest.raises(ValueError, match="SKIP_HEADER only supports"):
        head_of(X_A=SKIP_HEADER)


@pytest.mark.parametrize("name", ["", " ", "x a", "x:", ":path", ":authority", "x\r\ny", "x\0", "é", b"\xff", "x\n"])
def test_names_that_are_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="Invalid header name"):
        head_of().add(name, "v")


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\r", "a\0b", "\0", b"a\n", "a\r\n b"])
def test_values_that_are_refused(value: Any) -> None:
    for name in ("x", "host", "te", "connection"):
        with pytest.raises(ValueError, match="Invalid header value"):
            head_of().add(name, value)


@pytest.mark.parametrize("method", ["", "G T", "GET\r\nX", "GÉT", "GET\0", "GET:"])
def test_methods_that_are_refused(method: str) -> None:
    with pytest.raises(ValueError, match="non-token"):
        head_of(method)


@pytest.mark.parametrize("method", ["CONNECT", "connect"])
def test_tunnels_are_refused(method: str) -> None:
    with pytest.raises(NotImplementedError, match="CONNECT"):
        head_of(method)


@pytest.mark.parametrize(
    ("url", "path", "authority"),
    [
        ("", "/", "localhost:1"),
        ("/a?b", "/a?b", "localhost:1"),
        ("//a", "//a", "localhost:1"),
        ("https://other/a?b", "/a?b", "other"),
        ("https://other:8443?b", "/?b", "other:8443"),
        ("https://[::1]:5/x", "/x", "[::1]:5"),
        ("https://user:secret@other/x", "/x", "other"),
    ],
)
def test_targets(url: str, path: str, authority: str) -> None:
    pairs = dict(head_of(url=url).pairs())
    assert (pairs[b":path"], pairs[b":authority"]) == (path.encode(), authority.encode())


def test_the_target_of_options() -> None:
    assert (b":path", b"*") in head_of("OPTIONS", "*").pairs()


@pytest.mark.parametrize(
    "url", ["/a b", "/a\r\nb", "/é", "/\0", "/\x7f", "*", "x", "x/y", "http://a/", "ftp://a/", "https:///x", "a:80"]
)
def test_targets_that_are_refused(url: str) -> None:
    with pytest.raises(LocationParseError):
        head_of(url=url)


def test_the_length_that_was_said() -> None:
    assert head_of().content_length() is None
    assert head_of(Content_Length="17").content_length() == 17
    assert head_of(Content_Length=0).content_length() == 0
    for value in ("", "-1", "1, 1", "x", "+1"):
        with pytest.raises(ValueError, match="Content-Length"):
            head_of(Content_Length=value).content_length()


def test_fields_of_a_response() -> None:
    received = [(b":status", b"200"), (b"x-a", b"\xe9"), (b"x-a", b""), (b"set-cookie", b"a=1")]
    assert checked_pairs(received) == [("x-a", "é"), ("x-a", ""), ("set-cookie", "a=1")]


@pytest.mark.parametrize("field", [(b"x\r\n", b"v"), (b"x y", b"v"), (b"", b"v"), (b"x", b"a\r\nb"), (b"x", b"\0")])
def test_fields_that_must_not_be(field: tuple[bytes, bytes]) -> None:
    with pytest.raises(ProtocolError, match="must not be"):
        checked_pairs([field])


def test_too_many_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(checked_pairs([(b"x", b"1")] * 100)) == 100
    with pytest.raises(ProtocolError, match="more than 100 headers"):
        checked_pairs([(b"x", b"1")] * 101)
    monkeypatch.setattr("http.client._MAXHEADERS", 2)
    with pytest.raises(ProtocolError, match="more than 2 headers"):
        checked_pairs([(b"x", b"1")] * 3)
