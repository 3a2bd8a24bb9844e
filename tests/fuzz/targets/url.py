"""URLs and request targets: ``util.url`` and ``is_plain_target``. Input: an octet of options, then a text.

Only LocationParseError comes out; taking apart what was put together gives the same; the short way that most URLs take
gives what the long one gives; what would go on the wire, goes: in one line, within its part of the URL.
"""

from __future__ import annotations

from wirepool._core.headers_out import check_field, is_plain_target, serialize
from wirepool.exceptions import LocationParseError
from wirepool.util import url as module
from wirepool.util.url import Url, parse_url

LATIN_1, TARGET = 1, 2
_BAD_IN_HOST = frozenset(map(chr, range(33))) | frozenset("/?#@\\\x7f")


def check(data: bytes) -> None:
    if not data:
        return
    text = data[1:].decode("latin-1") if data[0] & LATIN_1 else data[1:].decode("utf-8", "surrogateescape")
    if data[0] & TARGET:
        check_target("/" + text)
    else:
        check_url(text)


def check_url(text: str) -> None:
    try:
        url = parse_url(text)
    except LocationParseError:
        assert not text or module._parse_plain(text) is None
        return
    if text:
        plain = module._parse_plain(text)
        assert plain is None or plain == module._parse_any(text), "the short way gives what the long one gives"
    assert url.port is None or 0 <= url.port <= 65535
    if url.scheme in ("http", "https") and url.host:  # without a host nothing is requested
        assert parse_url(url.url) == url, "what was normalised stays as it is"
    if url.scheme in ("http", "https", None):
        check_on_the_wire(url)


def check_on_the_wire(url: Url) -> None:
    """What a request for this URL says."""
    assert serialize("GET", url.request_uri, [])
    if url.host:
        assert url.host.isascii(), "names are encoded"
        assert not _BAD_IN_HOST & set(url.host), "nothing of a host gets out of it"
        assert url.netloc is not None
        check_field("Host", url.netloc)
    for part in (url.auth, url.path, url.query, url.fragment):
        assert part is None or (part.isascii() and part.isprintable() and " " not in part)


def check_target(target: str) -> None:
    encoded = module._encode_target(target)
    assert encoded.startswith("/")
    assert module._encode_target(encoded) == encoded
    assert serialize("GET", encoded, [])
    if is_plain_target(target):
        assert encoded == target
        assert parse_url(f"http://example.org{target}").request_uri == target
        assert serialize("GET", target, [])
