"""Request heads: nothing that could become another request is ever written."""

from __future__ import annotations

import enum
import http
from typing import Any

import pytest

from wirepool._core import headers_out
from wirepool._core.errors import STATUS, RequestRefused

TCHAR = set(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
SEPARATORS = [b"\r\n", b"\r", b"\n", b"\x00", b"\r\n\r\n", b"\r\nX-Injected: 1", b" HTTP/1.1\r\nA: b\r\n\r\n"]


class Text(str):
    """A str that lies about itself."""

    def __str__(self) -> str:
        return "lie\r\nX: y"

    def encode(self, *_: Any) -> bytes:
        return b"lie\r\nX: y"


# Whose str() is "Verb.PUT".
Verb = enum.Enum("Verb", {"PUT": "PUT"}, type=str)


def serialize(method: Any = "GET", target: Any = "/", *fields: tuple[Any, Any]) -> bytes:
    return headers_out.serialize(method, target, fields)


def refused(status: str, *args: Any) -> RequestRefused:
    """The refusal of a head, which must be of this kind."""
    with pytest.raises(RequestRefused) as caught:
        serialize(*args)
    assert caught.value.status == STATUS[status]
    return caught.value


# --- what is written --------------------------------------------------------------------------------------------------


def test_a_head_is_written_in_the_order_given() -> None:
    fields = [("B", "1"), ("a", "2"), ("B", "3"), ("C", "")]
    assert serialize("GET", "/x?y", *fields) == b"GET /x?y HTTP/1.1\r\nB: 1\r\na: 2\r\nB: 3\r\nC: \r\n\r\n"
    assert serialize() == b"GET / HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("text", b"text"),
        (b"bytes", b"bytes"),
        (bytearray(b"array"), b"array"),
        (memoryview(b"view"), b"view"),
        (5, b"5"),
        (-(10**30), b"-1" + b"0" * 30),
        (True, b"True"),
        ("", b""),
        (b"", b""),
        ("\xe9\xff", b"\xe9\xff"),
        (b"\xe9\xff", b"\xe9\xff"),
        ("\u0100"[:0] + "narrow", b"narrow"),
        (" \t spaced \t ", b" \t spaced \t "),
        ("x\x01\x7f", b"x\x01\x7f"),
        (Text("true"), b"true"),
        (http.HTTPStatus.NOT_FOUND, b"404"),
    ],
    ids=lambda value: "a view" if isinstance(value, memoryview) else repr(value),
)
def test_values(value: Any, written: bytes) -> None:
    assert serialize("GET", "/", ("A", value)) == b"GET / HTTP/1.1\r\nA: " + written + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "written"),
    [("GET", b"GET"), (b"GET", b"GET"), ("get", b"get"), ("!#$%&'*+-.^_`|~", b"!#$%&'*+-.^_`|~"), (Verb.PUT, b"PUT")],
)
def test_methods(method: Any, written: bytes) -> None:
    assert serialize(method) == written + b" / HTTP/1.1\r\n\r\n"
    headers_out.check_method(method)


@pytest.mark.parametrize("target", ["*", "/", "http://a/b", "a:80", "/%00", "/a?b=c|{}^`\\\"<>#'", b"/bytes"])
def test_targets(target: Any) -> None:
    written = target if isinstance(target, bytes) else target.encode()
    assert serialize("GET", target) == b"GET " + written + b" HTTP/1.1\r\n\r\n"


def test_a_name_may_be_bytes() -> None:
    assert serialize("GET", "/", (b"A", b"b")) == b"GET / HTTP/1.1\r\nA: b\r\n\r\n"


def test_a_long_head_is_written_whole() -> None:
    fields = [(f"X-{i}", "v" * i) for i in range(1000)]
    head = serialize("GET", "/" + "p" * 5000, *fields)
    assert head.split(b"\r\n")[1:-2] == [f"X-{i}: {'v' * i}".encode() for i in range(1000)]


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", SEPARATORS, ids=repr)
@pytest.mark.parametrize("shape", ["{}", "x{}", "{}x", "x{}x"])
@pytest.mark.parametrize("kind", [str, bytes, bytearray, Text])
def test_nothing_is_injected(separator: bytes, shape: str, kind: Any) -> None:
    text = shape.format(separator.decode())
    evil = text.encode() if kind in (bytes, bytearray) else text
    evil = kind(evil)
    refused("BAD_METHOD", evil)
    refused("BAD_TARGET", "GET", evil)
    refused("BAD_NAME", "GET", "/", (evil, "x"))
    refused("BAD_VALUE", "GET", "/", ("x", evil))


@pytest.mark.parametrize("octet", range(256))
def test_every_octet_everywhere(octet: int) -> None:
    text = chr(octet)
    for build, good in (
        (lambda: serialize(text), octet in TCHAR),
        (lambda: serialize("GET", text), 0x21 <= octet <= 0x7E),
        (lambda: serialize("GET", "/", (text, "x")), octet in TCHAR),
        (lambda: serialize("GET", "/", ("x", text)), octet not in b"\0\r\n"),
    ):
        if good:
            assert text.encode("latin-1") in build()
        else:
            with pytest.raises(RequestRefused):
                build()


@pytest.mark.parametrize("empty", ["", b""])
def test_nothing_is_no_token(empty: Any) -> None:
    refused("BAD_METHOD", empty)
    refused("BAD_TARGET", "GET", empty)
    refused("BAD_NAME", "GET", "/", (empty, "x"))


def test_a_refusal_says_what_was_refused() -> None:
    error = refused("BAD_NAME", "GET", "/", ("A:", "b"))
    assert error.detail == "A:"
    assert str(error) == "the header field name is not a token: 'A:'"
    assert isinstance(error, ValueError)


@pytest.mark.parametrize("text", ["\u0100", "\u20ac", "\U0001f600", "\ud800"], ids=ascii)
def test_what_latin_1_does_not_have_is_refused(text: str) -> None:
    for args in ((text,), ("GET", text), ("GET", "/", (text, "x")), ("GET", "/", ("x", text))):
        with pytest.raises(UnicodeEncodeError):
            serialize(*args)


@pytest.mark.parametrize("value", [None, 1.5, object(), ["x"], {"x": 1}])
def test_other_types_are_refused(value: Any) -> None:
    for args in ((value,), ("GET", value), ("GET", "/", (value, "x")), ("GET", "/", ("x", value))):
        with pytest.raises(TypeError):
            serialize(*args)


@pytest.mark.parametrize("number", [5, True, http.HTTPStatus.OK])
def test_only_values_may_be_numbers(number: Any) -> None:
    for args in ((number,), ("GET", number), ("GET", "/", (number, "x"))):
        with pytest.raises(TypeError):
            serialize(*args)


def test_checks_without_writing() -> None:
    headers_out.check_field("A", 5)
    with pytest.raises(RequestRefused, match="the header field value holds CR, LF or NUL"):
        headers_out.check_field("A", "b\r\nC: d")
    with pytest.raises(RequestRefused, match="the method is not a token"):
        headers_out.check_method("GET /")


# --- targets that need no second look ---------------------------------------------------------------------------------

PLAIN = ["/", "/a", "/a/b.c/", "/a?b=c&d=e", "/a?", "/a?b?c", "/~x/!$&'()*+,;=:@-_", "/a..b/c.", "/a?x=/", "//a"]
NOT_PLAIN = [
    "",
    "a",
    "*",
    "?a",
    "http://a/",
    "/a b",
    "/%41",
    "/a#b",
    "/.",
    "/..",
    "/a/./b",
    "/a/../b",
    "/.hidden",
    "/a?b=/.c",
    "/\xe9",
    "/\u20ac",
    "/a\\b",
    "/a\n",
    "/\x00",
    "/a[b]",
    '/a"b',
    "/a|b",
    "/a^b",
    "/a`b",
    "/{a}",
    "/<a>",
    "/\x7f",
]


@pytest.mark.parametrize("target", PLAIN)
def test_plain_targets(target: str) -> None:
    assert headers_out.is_plain_target(target)


@pytest.mark.parametrize("target", NOT_PLAIN)
def test_targets_that_need_a_second_look(target: str) -> None:
    assert not headers_out.is_plain_target(target)


@pytest.mark.parametrize("target", [None, b"/", 5])
def test_a_target_is_text(target: Any) -> None:
    with pytest.raises(TypeError):
        headers_out.is_plain_target(target)
