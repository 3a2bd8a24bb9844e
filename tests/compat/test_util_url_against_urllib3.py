"""Thousands of URLs, most of them odd, taken apart by urllib3 and by wirepool.

Values must be equal, errors of a class of the same name. Where the difference is wanted, it stands here with its
reason; one that is no longer a difference fails as well.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import Any

import pytest

from compat.two_libraries import OURS, THEIRS, Library, differences, garbage, outcome

SCHEMES = ["", "//", "http://", "HTTPS://", "http:", "http:/", "ftp://", "Unix+x.1://", "1x://", "mailto:", "\\\\"]
AUTHORITIES = [
    f"{user}{host}"
    for user in ["", "@", "u@", "u:p@", ":@", "u:p@w@", "\xfc:%zz@", "%c3%A4:%41@", "a b@", "[@"]
    for host in [
        "", "h", "EXAMPLE.com", "a.b.c.", "a..b", ".a", "-a", "_x.a", "*.a", "a,b", "a!b", 'a"<>^`{|}b', "a b",
        "a\x00", "a\n",
        "\x7f", "a%", "a%zz", "a%2", "%41%2e%62", "a%2fb", "a%20b", "a%00", "a%c3%a9", "a%25b", "\xe9.com",
        "\xc9%41.B",
        "\u65e5\u672c", "fa\xdf.de", "\xe9..b", "a\u3002b", "\uff41", "\u200b", "\xbd", "-\xe9", "_\xe9",
        "\xe9" * 64,
        "\ud800", "a" * 64, "xn--a", "1.2.3.4", "01.2.3.4", "256.1.1.1", "1.2.3", "0X7F", "1", "[::1]",
        "[FE80::1]", "[::]",
        "[1:2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7:8:9]", "[1:2:3:4:5:6:7::]", "[::2:3:4:5:6:7:8]", "[1::2::3]",
        "[::1.2.3.4]",
        "[1:2:3:4:5:6:1.2.3.4]", "[::1.2.3.4.5]", "[12345::]", "[::g]", "[v1.a]", "[]", "[", "]", "[::1", "::1",
        "[::1]x",
        "[fe80::1%25ETH0]", "[fe80::1%eth0]", "[fe80::1%25]", "[fe80::1%]", "[fe80::1%2525]", "[fe80::1%25%41%2f]",
        "[fe80::1%25a b]", "[fe80::1%25\xe9]", "[fe80::1%25%zz]", "[fe80::1%25%00]", "[1.2.3.4]",
    ]
]  # fmt: skip
PORTS = ["", ":", ":0", ":80", ":00080", ":65535", ":65536", ":123456", ":" + "0" * 40, ":-1", ":+1", ":8a", ":80:90",
         ":\uff18", ": 80", ":80 ", ":80\n"]  # fmt: skip
PATHS = [
    "", "/", "//", "/a/b", "/a/../b", "/a/./b", "/..", "/.", "/../", "/./", "/a/..", "/a/.", "/a/b/..", "/../../a",
    "/a//../b",
    "/...", "/.a", "/a.", "/%2e%2e/", "/%41", "/%c3%a9", "/%zz", "/%", "/%%", "/%aa%zz", "/a%2fb", "/\xe9",
    "/\ud800",
    "/a b", "/\x00\t\r\n\x7f", '/"<>\\^`{|}', "/[]", "/!$&'()*+,;=:@-._~", "\\", "/a/b/c/./../../g", "/;p=1",
    "/a:80",
]  # fmt: skip
TAILS = [
    "",
    "?",
    "#",
    "?#",
    "?a=b&c",
    "?a?b/c:d@e",
    "?\xe9 %zz",
    "?%c3%A4",
    "?[]'\"",
    "#f",
    "#\xe9%zz",
    "#a#b",
    "?q#f?x",
    "#\n",
    "#a\nb",
]

ROOT_WITH_DOTS = "'/../' is '/' (RFC 3986 5.2.4), theirs is an empty path"


def parse(library: Library, text: str) -> Any:
    url = library.url.parse_url(text)
    return (*url, url.url, url.request_uri, url.netloc, url.authority, url.hostname, url.auth_decoded_joined)


def differs_in_its_root_only(text: str, theirs: Any, ours: Any) -> bool:
    path = re.sub(r"[?#].*", "", text, flags=re.DOTALL)
    return path.endswith("./") and isinstance(theirs, tuple) and (theirs[4] or "", ours[4]) == ("", "/")


def different_urls(texts: Iterable[str]) -> dict[Any, Any]:
    found = differences(parse, ((text,) for text in texts))
    return {text: how for text, how in found.items() if not differs_in_its_root_only(text, *how)}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_schemes_and_authorities(scheme: str) -> None:
    texts = (f"{scheme}{authority}{tail}" for authority in AUTHORITIES for tail in ("", "/p", "?q", "\\x"))
    assert different_urls(texts) == {}


def test_ports() -> None:
    hosts = ["http://h", "http://u@[::1]", "a.b", "//", "ftp://H", "http://\xe9"]
    assert different_urls(map("".join, itertools.product(hosts, PORTS, ("", "/p", "?q")))) == {}


@pytest.mark.parametrize("start", ["http://h", "", "a.b", "http:", "ftp://h", "//h", "http://U@h:1", "https://\xe9"])
def test_paths_queries_fragments(start: str) -> None:
    assert different_urls(map("".join, itertools.product([start], PATHS, TAILS))) == {}


PIECES = ["http", "://", "//", "/", ":", "@", "?", "#", "[", "]", "::", "%", "%25", "%41", "%2e", ".", "..", "\\",
          "a", "F", "1", "80", " ", "\n", "\xe9", "\u0130", "-", "_", "+", "&", "\x7f"]  # fmt: skip


def test_garbage() -> None:
    assert different_urls(garbage(6000, PIECES, 12, seed=1)) == {}
    assert different_urls("http://" + text for text in garbage(6000, PIECES, 8, seed=2)) == {}


def test_no_text() -> None:
    assert differences(parse, [(None,), (b"http://h",), (5,)]) == {}


def test_the_empty_root_is_still_a_difference() -> None:
    assert outcome(THEIRS, parse, "http://h/../")[4] is None, ROOT_WITH_DOTS
    assert outcome(OURS, parse, "http://h/../")[4] == "/"


def test_url_objects() -> None:
    values: dict[str, list[Any]] = {
        "scheme": [None, "", "HTTP"],
        "auth": [None, "", "u", "u%40:p:%C3%A9", ":"],
        "host": [None, "", "H", "[::1]"],
        "port": [None, 0, 80],
        "path": [None, "", "a", "/a"],
        "query": [None, "", "q"],
        "fragment": [None, "f"],
    }

    def build(library: Library, *parts: Any) -> Any:
        url = library.url.Url(*parts)
        names = ("url", "request_uri", "netloc", "authority", "hostname", "auth_decoded", "auth_decoded_joined")
        return tuple(url), str(url), [getattr(url, name) for name in names], repr(url._replace(port=1))

    assert differences(build, itertools.product(*values.values())) == {}


def test_private_helpers_of_url() -> None:
    hosts = [
        "h",
        "H%41",
        "FE80::1%25E",
        "[FE80::1%25E]",
        "[::1",
        "1.2.3.4",
        "a b",
        "a%",
        "%00",
        "\xe9",
        "%20\xe9",
        "",
        None,
    ]
    schemes = ["http", "https", None, "HTTP", "ftp", ""]
    assert (
        differences(lambda library, *case: library.url._normalize_host(*case), itertools.product(hosts, schemes)) == {}
    )
    labels = [("abc",), ("ABC",), ("\xc9",), ("",), ("a" * 64,), ("_\xe9",), ("\xe9" * 64,)]
    assert differences(lambda library, label: library.url._idna_encode(label), labels) == {}
    texts = [None, "", "abc", "%", "%%", "%%41", "%aa%zz", "\xe9%c3", "\ud800", "a/b?c"]
    sets = [
        "_PATH_CHARS",
        "_QUERY_CHARS",
        "_FRAGMENT_CHARS",
        "_USERINFO_CHARS",
        "_UNRESERVED_CHARS",
        "_SUB_DELIM_CHARS",
    ]

    def encode(library: Library, text: str, name: str) -> Any:
        return library.url._encode_invalid_chars(text, getattr(library.url, name))

    assert differences(encode, itertools.product(texts, sets)) == {}


def test_targets() -> None:
    texts = ["", "*", "a", "http://h/a", *(path + tail for path in PATHS for tail in TAILS)]
    found = differences(lambda library, text: library.url._encode_target(text), ((text,) for text in texts))
    # A line feed in a fragment makes theirs refuse the target, although the fragment is dropped anyway.
    assert {text for text in found if not text.endswith("#a\nb")} == set()
    assert "/#a\nb" in found


PERCENT = ["%41", "%2f", "%C3", "%00", "%7f", "%20", "%7e"]


def test_percent_encodings_of_hosts() -> None:
    def decode(library: Library, text: str, name: str) -> Any:
        match = re.match("%[0-9a-fA-F]{2}|%", text)
        arguments = {} if "host" in name else {"error_host": "h"}
        return getattr(library.url, name)(match, **arguments)

    names = ["_normalize_host_percent_encoding", "_normalize_zone_id_percent_encoding", "_decode_percent_encoding"]
    assert differences(decode, itertools.product(PERCENT, names)) == {}


@pytest.mark.parametrize(
    "pattern",
    ["_IPV6_RE", "_IPV6_ADDRZ_RE", "_BRACELESS_IPV6_ADDRZ_RE", "_IPV4_RE", "_ZONE_ID_RE", "_HOST_PORT_RE", "_URI_RE",
     "_SCHEME_RE", "_PERCENT_RE", "_HOST_PERCENT_RE", "_HOST_INVALID_CHAR_RE", "_TARGET_RE"],
)  # fmt: skip
def test_patterns(pattern: str) -> None:
    pieces = ["1", "ab", ":", "::", ":", "1.2.3.4", "[", "]", "%25", "%", "eth0", "0x1", ".", "/", "?", "#", "FFFF"]

    def match(library: Library, text: str) -> Any:
        found = getattr(library.url, pattern).match(text)
        return found and found[0]

    assert differences(match, ((text,) for text in garbage(4000, pieces, 9, seed=3))) == {}
