"""Taking URLs apart: the usual ones, the odd ones, and those meant to hurt."""

from __future__ import annotations

import re
import sys
import time
from typing import Any

import pytest

from wirepool.exceptions import LocationParseError
from wirepool.util import url as module
from wirepool.util.url import (
    Url,
    _encode_invalid_chars,
    _encode_target,
    _idna_encode,
    _normalize_host,
    _parse_any,
    _parse_plain,
    _remove_path_dot_segments,
    parse_url,
)

PLAIN = [
    "http://h",
    "https://h/",
    "http://example.com/a/b",
    "https://example.com:8443/a.b/c?x=1&y=2",
    "http://h?x",
    "http://h#x",
    "http://h?",
    "http://h/?",
    "http://h/#",
    "http://h/?a?b/c#d?e",
    "http://127.0.0.1:80",
    "http://0x7f.1/",
    "http://a_b.c-d/",
    "http://h:0/",
    "http://h:00080/",
    "http://h/a;b=c/@x:y!$&'()*+,~",
    "http://xn--9ca.com/",
    "http://a..b/",
]


class TestUrl:
    def test_all_parts_are_optional(self) -> None:
        assert Url() == (None,) * 7

    def test_scheme_and_path_are_put_straight(self) -> None:
        assert Url("HTTP", host="H", path="a") == ("http", None, "H", None, "/a", None, None)
        assert Url(path="").path == ""

    def test_repr(self) -> None:
        assert repr(Url("http", host="h")) == (
            "Url(scheme='http', auth=None, host='h', port=None, path=None, query=None, fragment=None)"
        )

    def test_replacing_keeps_the_type(self) -> None:
        assert type(Url("http")._replace(scheme="https")) is Url

    @pytest.mark.parametrize(
        ("parts", "netloc", "authority"),
        [
            ({}, None, None),
            ({"host": "h"}, "h", "h"),
            ({"host": "h", "port": 0}, "h:0", "h:0"),
            ({"host": "[::1]", "port": 80}, "[::1]:80", "[::1]:80"),
            ({"host": "h", "auth": "u:p"}, "h", "u:p@h"),
            ({"host": "h", "auth": "", "port": 1}, "h:1", "@h:1"),
            ({"auth": "u"}, None, None),
            ({"port": 80}, None, None),
        ],
    )
    def test_netloc_and_authority(self, parts: dict[str, Any], netloc: str | None, authority: str | None) -> None:
        url = Url(**parts)
        assert (url.netloc, url.authority, url.hostname) == (netloc, authority, url.host)

    @pytest.mark.parametrize(
        ("path", "query", "expected"),
        [(None, None, "/"), ("", None, "/"), ("/a", None, "/a"), (None, "q", "/?q"), ("/a", "", "/a?")],
    )
    def test_request_uri(self, path: str | None, query: str | None, expected: str) -> None:
        assert Url(path=path, query=query, fragment="f").request_uri == expected

    @pytest.mark.parametrize(
        ("parts", "expected"),
        [
            ({}, ""),
            ({"scheme": "http", "host": "h"}, "http://h"),
            ({"host": "h", "path": "/a"}, "h/a"),
            ({"path": "/a", "query": ""}, "/a?"),
            ({"fragment": ""}, "#"),
            (dict(zip(Url._fields, ("http", "u:p", "h", 1, "/a", "q", "f"), strict=True)), "http://u:p@h:1/a?q#f"),
        ],
    )
    def test_putting_together(self, parts: dict[str, Any], expected: str) -> None:
        assert Url(**parts).url == str(Url(**parts)) == expected

    @pytest.mark.parametrize(
        ("auth", "decoded", "joined"),
        [
            (None, (None, None), None),
            ("", ("", None), ":"),
            ("joe", ("joe", None), "joe:"),
            ("joe:", ("joe", ""), "joe:"),
            (":x", ("", "x"), ":x"),
            ("a:b:c", ("a", "b:c"), "a:b:c"),
            ("j%40e:p%3Aw", ("j@e", "p:w"), "j@e:p:w"),
            ("j%C3%B6e:%20+", ("j\xf6e", " +"), "j\xf6e: +"),
        ],
    )
    def test_credentials(self, auth: str | None, decoded: tuple[str | None, str | None], joined: str | None) -> None:
        url = Url(auth=auth)
        assert url.auth_decoded == decoded
        assert url.auth_decoded_joined == joined


class TestPlainUrls:
    """The short way must be taken, and give what the long way gives."""

    @pytest.mark.parametrize("text", PLAIN)
    def test_they_are_recognised(self, text: str) -> None:
        short = _parse_plain(text)
        assert short is not None
        assert type(short) is Url
        assert tuple(short) == tuple(_parse_any(text))

    @pytest.mark.parametrize(
        "text",
        [
            "HTTP://h", "http://H", "ftp://h", "h", "/a", "//h", "http:h", "http://", "http://u@h", "http://[::1]",
            "http://h:", "http://h:65536", "http://h:123456", "http://h/a/./b", "http://h/..", "http://h/.a",
            "http://h/%20", "http://h/ ", "http://h/\xe9", "http://h/\n", "http://h\n", "http://h/\\", "http://\xe9",
            "http://h/[", "http://h?%", "http://h#%", "http://h#a#b", " http://h", "http://h/\u0660", "http://h:\u0661",
        ],
    )  # fmt: skip
    def test_others_are_left_to_the_long_way(self, text: str) -> None:
        assert _parse_plain(text) is None


class TestParseUrl:
    @pytest.mark.parametrize("nothing", ["", None])
    def test_nothing(self, nothing: Any) -> None:
        assert parse_url(nothing) == Url()

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("http://h", ("http", None, "h", None, None, None, None)),
            ("HTTP://EXAMPLE.com:080/A?B#C", ("http", None, "example.com", 80, "/A", "B", "C")),
            ("http://h?x", ("http", None, "h", None, "", "x", None)),
            ("http://h#x", ("http", None, "h", None, "", None, "x")),
            ("http://h/?", ("http", None, "h", None, "/", "", None)),
            ("http://", ("http", None, None, None, None, None, None)),
            ("http:///a", ("http", None, None, None, "/a", None, None)),
            ("http:a", ("http", None, None, None, "/a", None, None)),
            ("http://:80", ("http", None, "", 80, None, None, None)),
        ],
    )
    def test_with_a_scheme(self, text: str, parts: tuple[Any, ...]) -> None:
        assert tuple(parse_url(text)) == parts

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("a", (None, None, "a", None, None, None, None)),
            ("a/b", (None, None, "a", None, "/b", None, None)),
            ("a.b:80", (None, None, "a.b", 80, None, None, None)),
            ("1.2.3.4:80/x", (None, None, "1.2.3.4", 80, "/x", None, None)),
            ("[::1]:80", (None, None, "[::1]", 80, None, None, None)),
            ("u@h", (None, "u", "h", None, None, None, None)),
            ("/a?b#c", (None, None, None, None, "/a", "b", "c")),
            ("//H:1/p", (None, None, "h", 1, "/p", None, None)),
            ("?a", (None, None, None, None, "", "a", None)),
            ("*", (None, None, "*", None, None, None, None)),
            ("localhost:80/x", ("localhost", None, None, None, "/80/x", None, None)),
        ],
    )
    def test_without_a_scheme(self, text: str, parts: tuple[Any, ...]) -> None:
        assert tuple(parse_url(text)) == parts

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("ftp://u:P@H:21/A/../x y?\xe9#%zz", ("ftp", "u:P", "H", 21, "/A/../x y", "\xe9", "%zz")),
            ("http+unix://%2Frun%2Fx.sock/a", ("http+unix", None, "%2Frun%2Fx.sock", None, "/a", None, None)),
            ("mailto:a@b", ("mailto", None, None, None, "/a@b", None, None)),
            ("FILE:///etc/x", ("file", None, None, None, "/etc/x", None, None)),
        ],
    )
    def test_other_schemes_are_not_normalised(self, text: str, parts: tuple[Any, ...]) -> None:
        assert tuple(parse_url(text)) == parts

    @pytest.mark.parametrize(
        ("text", "auth", "host"),
        [
            ("http://u:p@h", "u:p", "h"),
            ("http://u:p@w@h", "u:p%40w", "h"),
            ("http://@h", None, "h"),
            ("http://:@h", ":", "h"),
            ("http://u@", "u", ""),
            ("http://\xfc:p@h", "%C3%BC:p", "h"),
            ("http://u%zz@h", "u%25zz", "h"),
            ("http://u%4a@h", "u%4A", "h"),
            ("http://u/@h", None, "u"),
        ],
    )
    def test_user_information(self, text: str, auth: str | None, host: str) -> None:
        assert parse_url(text)[1:3] == (auth, host)

    @pytest.mark.parametrize(
        ("port", "number"), [("", None), (":", None), (":0", 0), (":00080", 80), (":65535", 65535), (":" + "0" * 99, 0)]
    )
    def test_ports(self, port: str, number: int | None) -> None:
        assert parse_url(f"http://h{port}").port == number
        assert parse_url(f"http://h{port}/a").port == number

    @pytest.mark.parametrize(
        "port", [":65536", ":99999", ":123456", ":-1", ":+80", ":8a", ":80:90", ":\uff18", ":\u0661", ":" + "9" * 5000]
    )
    def test_what_is_no_port(self, port: str) -> None:
        with pytest.raises(LocationParseError):
            parse_url(f"http://h{port}")

    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("/a/../b", "/b"), ("/../../a", "/a"), ("/..", "/"), ("/../", "/"), ("/a/.", "/a/"), ("//a//b", "//a//b"),
            ("/%2e%2e/a", "/%2E%2E/a"), ("/a%2fb", "/a%2Fb"), ("/%41", "/%41"), ("/\xe9", "/%C3%A9"),
            ("/%zz", "/%25zz"), ("/%aa%zz", "/%25AA%25zz"), ("/%", "/%25"),
            ('/"<>^`{|}[]\\', "/%22%3C%3E%5E%60%7B%7C%7D%5B%5D%5C"),
            ("/\x00\x7f\r\n\t ", "/%00%7F%0D%0A%09%20"), ("/\ud800", "/%ED%A0%80"), ("\\a", "/%5Ca"),
        ],
    )  # fmt: skip
    def test_paths(self, path: str, expected: str) -> None:
        assert parse_url(f"http://h{path}").path == expected

    def test_query_and_fragment(self) -> None:
        url = parse_url("http://h/?a=\xe9 [%zz]/?#b#\xe9%41%4a")
        assert (url.query, url.fragment) == ("a=%C3%A9%20%5B%25zz%5D/?", "b%23%C3%A9%41%4A")

    @pytest.mark.parametrize("wrong", [b"http://h", 5])
    def test_text_only(self, wrong: Any) -> None:
        with pytest.raises(TypeError):
            parse_url(wrong)

    def test_nothing_of_a_url_can_end_a_header_line(self) -> None:
        text = "http://h/a\r\nX: y?b\r\nX: y#c\r\nX: y"
        assert not re.search(r"[\x00-\x20\x7f]", str(parse_url(text)))


class TestHosts:
    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("EXAMPLE.Com", "example.com"), ("a.", "a."), ("a_b", "a_b"), ("a!b", "a!b"), ("1.2.3.4", "1.2.3.4"),
            ("01.2.3.4", "01.2.3.4"), ("0X7F", "0X7F"), ("Ex%41mple", "example"), ("a%2eb", "a.b"), ("a%7Eb", "a~b"),
            ("a%2fb", "a%2Fb"), ("a%20b", "a%20b"), ("a%40b", "a%40b"), ("a%c3%a9", "a%C3%A9"),
        ],
    )  # fmt: skip
    def test_names(self, host: str, expected: str) -> None:
        assert parse_url(f"http://{host}/").host == expected

    @pytest.mark.parametrize("host", ["a b", "a\tb", "a\nb", "a\x00b", "a\x7fb", " a", "a ", "a\r", "[fe80::1%25a b]"])
    @pytest.mark.parametrize("scheme", ["http", "ftp"])
    def test_spaces_and_control_characters(self, scheme: str, host: str) -> None:
        with pytest.raises(LocationParseError, match="contains invalid character"):
            parse_url(f"{scheme}://{host}/")

    @pytest.mark.parametrize("host", ["a%00", "a%0a", "a%0D", "a%1f", "a%7f", "[fe80::1%25%00]"])
    def test_control_characters_in_disguise(self, host: str) -> None:
        with pytest.raises(LocationParseError, match="percent-encoded control character"):
            parse_url(f"http://{host}/")

    @pytest.mark.parametrize(
        "host",
        ["a%", "a%z", "a%zz", "[::1", "::1]", "[]", "[::g]", "[1.2.3.4]", "[v1.a]", "[::1]x", "x[::1]", "[::1]%25",
         "[1:2:3:4:5:6:7:8:9]", "[1:2:3:4:5:6:7]", "[1::2::3]", "[:::]", "[fe80::1%]", "[fe80::1%25%zz]",
         "[fe80::1%25\xe9]", "[12345::]"],
    )  # fmt: skip
    def test_malformed_ones(self, host: str) -> None:
        with pytest.raises(LocationParseError, match="is not a valid host or port"):
            parse_url(f"http://{host}/")

    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("[::]", "[::]"), ("[::1]", "[::1]"), ("[FE80::1]", "[fe80::1]"),
            ("[1:2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7:8]"),
            ("[::1.2.3.4]", "[::1.2.3.4]"), ("[1:2:3:4:5:6:1.2.3.4]", "[1:2:3:4:5:6:1.2.3.4]"),
            ("[1:2:3:4:5:6:7::]", "[1:2:3:4:5:6:7::]"), ("[1::8]", "[1::8]"), ("[1:2::7:8]", "[1:2::7:8]"),
            ("[fe80::1%25ETH0]", "[fe80::1%ETH0]"), ("[fe80::1%eth0]", "[fe80::1%eth0]"),
            ("[FE80::1%2525]", "[fe80::1%25]"), ("[fe80::1%25]", "[fe80::1%25]"),
            ("[fe80::1%25a%2fb]", "[fe80::1%a%2Fb]"),
        ],
    )  # fmt: skip
    def test_ipv6(self, host: str, expected: str) -> None:
        assert parse_url(f"http://{host}:80/")[2:4] == (expected, 80)

    @pytest.mark.parametrize("scheme", ["http", "https", None])
    def test_normalize_host(self, scheme: str | None) -> None:
        assert _normalize_host("H%41", scheme) == "ha"
        assert _normalize_host("[FE80::1]", scheme) == "[fe80::1]"
        assert _normalize_host("FE80::1", scheme) == "fe80::1"

    @pytest.mark.parametrize("scheme", ["ftp", "HTTP", ""])
    def test_normalize_host_of_other_schemes(self, scheme: str) -> None:
        assert _normalize_host("H%41", scheme) == "H%41"

    @pytest.mark.parametrize("nothing", [None, ""])
    def test_normalize_nothing(self, nothing: str | None) -> None:
        assert _normalize_host(nothing, "http") is nothing

    def test_normalize_host_refuses_stray_percent_signs(self) -> None:
        with pytest.raises(LocationParseError, match="is not a valid host"):
            _normalize_host("a%zz", "http")


class TestInternationalHosts:
    @pytest.fixture(autouse=True)
    def idna(self) -> None:
        pytest.importorskip("idna")

    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("\xe9.com", "xn--9ca.com"), ("\xc9X.com", "xn--x-9fa.com"), ("\u65e5\u672c", "xn--wgv71a"),
            ("fa\xdf.de", "xn--fa-hia.de"), ("_dmarc.\xe9", "_dmarc.xn--9ca"), ("\xe9.", "xn--9ca."),
            ("\xe9..b", "xn--9ca..b"), ("\xe9%41", "xn--a-9fa"), ("%41\xe9.B", "xn--a-bga.b"),
        ],
    )  # fmt: skip
    def test_encoding(self, host: str, expected: str) -> None:
        assert parse_url(f"http://{host}:80/p").host == expected

    @pytest.mark.parametrize(
        "host", ["a\u3002b", "\uff41", "\u200b", "\xbd", "-\xe9", "\xe9" * 64, "\ud800", "%20\xe9"]
    )
    def test_what_idna_forbids(self, host: str) -> None:
        with pytest.raises(LocationParseError, match="IDNA"):
            parse_url(f"http://{host}/")

    def test_labels_are_bytes(self) -> None:
        assert _idna_encode("\xc9") == b"xn--9ca"
        assert _idna_encode("ABC") == b"abc"


def test_without_the_idna_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "idna", None)
    assert parse_url("http://ABC/").host == "abc"
    with pytest.raises(LocationParseError, match="'idna' package"):
        parse_url("http://\xe9/")


class TestEncoding:
    def test_nothing(self) -> None:
        assert _encode_invalid_chars(None, {"a"}) is None

    @pytest.mark.parametrize("kind", [set, frozenset, list, "".join])
    def test_any_container_of_characters(self, kind: Any) -> None:
        assert _encode_invalid_chars("ab%61c", kind("ab61")) == "ab%61%63"

    def test_allowed_text_is_returned_as_it_is(self) -> None:
        text = "/a/b"
        assert _encode_invalid_chars(text, module._PATH_CHARS) is text

    @pytest.mark.parametrize(
        ("target", "expected"),
        [
            ("/", "/"), ("/a?b", "/a?b"), ("/a?", "/a?"), ("/a#f", "/a"), ("/a?b#f", "/a?b"), ("//a//b", "//a//b"),
            ("/a/../b", "/a/../b"), ("/\xe9?\xfc", "/%C3%A9?%C3%BC"), ("/%zz?%4a", "/%25zz?%4A"), ("/a b", "/a%20b"),
            ("/\r\nX: y", "/%0D%0AX:%20y"), ("/a?b\nc", "/a?b%0Ac"), ("/a\n", "/a%0A"), ("/a#\n", "/a"),
        ],
    )  # fmt: skip
    def test_targets(self, target: str, expected: str) -> None:
        assert _encode_target(target) == expected

    @pytest.mark.parametrize("target", ["", "a", "*", "?x", "http://h/a", "\n/a"])
    def test_what_is_no_target(self, target: str) -> None:
        with pytest.raises(LocationParseError, match="not a valid request URI"):
            _encode_target(target)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", ""), ("/", "/"), ("//", "//"), ("a", "a"), (".", ""), ("..", ""), ("./a", "a"), ("../a", "a"),
        ("a/..", ""),
        ("a/./", "a/"), ("/./", "/"), ("/../", "/"), ("/a/b/..", "/a/"), ("/a/b/.", "/a/b/"), ("/a/./b/../c", "/a/c"),
        ("/a/../../b", "/b"), ("a/../../b", "b"), ("a//../b", "a/b"), ("///..", "//"), ("/.../a", "/.../a"),
        ("/..a/b..", "/..a/b.."), ("/a/b/c/./../../g", "/a/g"), ("mid/content=5/../6", "mid/6"),
    ],
)  # fmt: skip
def test_dot_segments(path: str, expected: str) -> None:
    assert _remove_path_dot_segments(path) == expected


@pytest.mark.parametrize(
    "text",
    [
        "http://" + "a" * 100_000,
        "http://" + "a." * 50_000,
        "http://" + "%41" * 30_000 + "\x00",
        "http://" + "@" * 100_000,
        "http://" + "a@" * 50_000 + "[",
        "http://[" + ":" * 100_000,
        "http://[" + "1:" * 50_000 + "]",
        "http://[::1%25" + "a" * 100_000,
        "http://[::1%25" + "%41" * 30_000,
        "http://h:" + "0" * 100_000 + "x",
        "http://h/" + "../" * 30_000,
        "http://h/" + "%" * 100_000,
        "http://h/" + "a" * 50_000 + "?" * 50_000 + "\xe9",
        "http://h" + "?" * 100_000 + "#" * 100_000,
        "http://" + "1." * 50_000 + "x",
        "a" * 100_000 + "+" * 1000,
        "//" * 50_000,
    ],
    ids=lambda text: text[:16],
)  # fmt: skip
def test_time_grows_with_length_only(text: str) -> None:
    start = time.perf_counter()
    try:
        parse_url(text)
    except LocationParseError:
        pass
    # Quadratic behaviour takes many seconds here; linear a few hundredths of one.
    assert time.perf_counter() - start < 2


def test_patterns_for_ipv6_are_compiled_when_needed() -> None:
    for name in module._LAZY_PATTERNS:
        assert name not in vars(module)
        assert isinstance(getattr(module, name), re.Pattern)
    with pytest.raises(AttributeError, match="no_such_name"):
        module.no_such_name  # noqa: B018
