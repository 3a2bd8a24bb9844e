"""Private names that programs reach for, used the same way in urllib3 and in wirepool."""

from __future__ import annotations

import http.client
import importlib
import itertools
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("urllib3", minversion="2.8")

from servers.scripted import Recv, ScriptedServer, Send

PACKAGES = ["urllib3", "wirepool"]


def module(package: str, name: str) -> Any:
    return importlib.import_module(f"{package}.{name}")


def same(look: Callable[[Any], Any], name: str) -> Any:
    """What both libraries answer, given the module of that name."""
    theirs, ours = (look(module(package, name)) for package in PACKAGES)
    assert ours == theirs
    return ours


PIECES = ["a", " ", "\t", "\r\n", "\n", "\r", "b"]
VALUES = ["".join(chosen) for length in range(5) for chosen in itertools.product(PIECES, repeat=length)]


def test_folded_values_are_unfolded() -> None:
    unfolded = same(lambda connection: [connection._normalize_header_value(value) for value in VALUES], "connection")
    assert unfolded[VALUES.index("a\r\n b")] == "a b"
    same(lambda connection: [connection._OBSOLETE_FOLD_RE.sub("_", value) for value in VALUES], "connection")


def test_folded_messages_are_unfolded_in_place() -> None:
    def unfold(connection: Any) -> Any:
        message = http.client.HTTPMessage()
        message.set_raw("A", "x\r\n y")
        message.set_raw("a", "plain")
        return connection._normalize_header_values(message), message.items()

    assert same(unfold, "connection") == ([("A", "x y"), ("a", "plain")],) * 2


@pytest.mark.parametrize("package", PACKAGES)
def test_responses_of_another_class_are_unfolded(package: str, scripted: Callable[..., ScriptedServer]) -> None:
    """As botocore's, which derive from the standard library's."""
    server = scripted([Recv(), Send(b"HTTP/1.1 200 OK\r\nA: b \r\n\t c\r\nContent-Length: 2\r\n\r\nok")])
    conn = module(package, "connection").HTTPConnection("127.0.0.1", server.port)
    conn.response_class = type("Theirs", (http.client.HTTPResponse,), {})
    conn.request("GET", "/")
    answer = conn.getresponse()
    conn.close()
    assert (answer.headers["A"], answer._original_response.msg["A"], answer.data) == ("b c", "b c", b"ok")


def test_what_no_method_may_contain() -> None:
    octets = [chr(octet) for octet in range(256)]
    found = same(lambda c: [bool(c._CONTAINS_CONTROL_CHAR_RE.search(octet)) for octet in octets], "connection")
    assert found.count(False) == 77  # tchar, RFC 9110 5.6.2


@pytest.mark.parametrize("host", [b"::1", b"[::1]", b"[::1", b"h", b"1.2.3.4", b"fe80::1%eth0", b""])
def test_hosts_of_tunnels(host: bytes) -> None:
    same(lambda connection: connection.HTTPConnection("h")._wrap_ipv6(host), "connection")


def test_checks_of_tunnels() -> None:
    octets = [bytes([octet]) for octet in range(256)]

    def look(connection: Any) -> Any:
        cls = connection.HTTPConnection
        return [
            (
                bool(cls("h")._is_legal_header_name(octet)),
                bool(cls._is_illegal_header_value(b"a" + octet + b"b")),
                bool(cls._contains_disallowed_url_pchar_re.search(octet.decode("latin-1"))),
            )
            for octet in octets
        ]

    same(look, "connection")


@pytest.mark.parametrize(
    ("characters", "url"),
    [
        ("_PATH_CHARS", "http://h/a[1]|b"),
        ("_QUERY_CHARS", "http://h/?a[1]=|"),
        ("_FRAGMENT_CHARS", "http://h/#a[1]|"),
        ("_USERINFO_CHARS", "http://a|[1]@h/"),
    ],
)
def test_characters_that_programs_add_are_left_alone(characters: str, url: str) -> None:
    def look(urls: Any) -> Any:
        allowed = getattr(urls, characters)
        before = set(allowed)
        allowed |= {"|", "["}
        try:
            return tuple(urls.parse_url(url))
        finally:
            allowed.intersection_update(before)

    parts = same(look, "util.url")
    assert any("|" in part and "%5D" in part for part in parts if isinstance(part, str))


def test_pool_keys_can_be_made_of_what_urllib3_knows() -> None:
    theirs, ours = (module(package, "poolmanager").PoolKey for package in PACKAGES)
    made = ours(*range(len(theirs._fields)))
    assert tuple(made)[: len(theirs._fields)] == tuple(theirs(*range(len(theirs._fields))))
    assert set(tuple(made)[len(theirs._fields) :]) == {None}
    contexts = [{"scheme": "HTTP", "host": "H", "port": 80}, {"scheme": "https", "host": "h", "headers": {"a": "b"}}]
    for context in contexts:
        keys = [
            module(package, "poolmanager").key_fn_by_scheme[context["scheme"].lower()](context) for package in PACKAGES
        ]
        assert tuple(keys[1])[: len(theirs._fields)] == tuple(keys[0])
