"""Taking URLs apart (RFC 3986) and normalising what goes on the wire.

Most URLs need no normalisation. One regular expression recognises those and cuts them up in the same step; only what
it refuses is looked at component by component. No pattern here can backtrack: runs are of one character class and
possessive (``*+``), so the time is proportional to the length of the URL, whatever it contains.
"""

from __future__ import annotations

import re
import string
from collections.abc import Container
from functools import cache, partial
from typing import NamedTuple
from urllib.parse import unquote as _unquote

from wirepool.exceptions import LocationParseError
from wirepool.util.util import to_str

__all__ = ["LocationParseError", "Url", "_unquote", "parse_url", "partial", "to_str"]

#: Schemes whose URLs are normalised; of the others only scheme and port are interpreted.
_NORMALIZABLE_SCHEMES = ("http", "https", None)

_MAX_PORT = 65535

# Characters that may stand for themselves in a component (RFC 3986 section 2 and 3). All others are percent-encoded.
# No frozen sets: programs add what a server of theirs cannot read encoded.
_UNRESERVED_CHARS = set(string.ascii_letters + string.digits + "._-~")
_SUB_DELIM_CHARS = set("!$&'()*+,;=")
_USERINFO_CHARS = _UNRESERVED_CHARS | _SUB_DELIM_CHARS | {":"}
_PATH_CHARS = _USERINFO_CHARS | {"@", "/"}
_QUERY_CHARS = _PATH_CHARS | {"?"}
_FRAGMENT_CHARS = _QUERY_CHARS

# Patterns of a host, named after the rules of RFC 3986 section 3.2.2 and RFC 6874.
_UNRESERVED_PAT = r"A-Za-z0-9._~\-"
_HEX_PAT = r"[0-9A-Fa-f]{1,4}"
_IPV4_PAT = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
_LS32_PAT = rf"(?:{_HEX_PAT}:{_HEX_PAT}|{_IPV4_PAT})"
_subs = {"hex": _HEX_PAT, "ls32": _LS32_PAT}


def _ipv6_alternative(before: int, after: str) -> str:
    # "::" stands for one or more groups of zeros; at most *before* groups may precede it.
    lead = "" if before == 0 else rf"(?:(?:{_HEX_PAT}:){{0,{before - 1}}}{_HEX_PAT})?"
    return f"{lead}::{after}"


_variations = [
    rf"(?:{_HEX_PAT}:){{6}}{_LS32_PAT}",
    *(_ipv6_alternative(5 - n, rf"(?:{_HEX_PAT}:){{{n}}}{_LS32_PAT}") for n in range(5, -1, -1)),
    _ipv6_alternative(6, _HEX_PAT),
    _ipv6_alternative(7, ""),
]
_IPV6_PAT = f"(?:{'|'.join(_variations)})"
_ZONE_ID_PAT = rf"%(?:[{_UNRESERVED_PAT}]|%[0-9A-Fa-f]{{2}})+"
_IPV6_ADDRZ_PAT = rf"\[{_IPV6_PAT}(?:{_ZONE_ID_PAT})?\]"
_REG_NAME_PAT = r"(?:[^\[\]%:/?#]|%[0-9A-Fa-f]{2})*+"
_HOST_PORT_PAT = rf"({_REG_NAME_PAT}|{_IPV6_ADDRZ_PAT})(?::([0-9]*+))?"

# A pattern with IPv6 addresses takes two milliseconds to compile, so that waits until such an address turns up.
_LAZY_PATTERNS = {
    "_BRACELESS_IPV6_ADDRZ_RE": rf"{_IPV6_PAT}(?:{_ZONE_ID_PAT})?\Z",
    "_HOST_PORT_RE": rf"{_HOST_PORT_PAT}\Z",
    "_IPV6_ADDRZ_RE": rf"{_IPV6_ADDRZ_PAT}\Z",
    "_IPV6_RE": rf"{_IPV6_PAT}\Z",
    "_ZONE_ID_RE": rf"({_ZONE_ID_PAT})\]\Z",
}

_BRACELESS_IPV6_ADDRZ_RE: re.Pattern[str]
_HOST_PORT_RE: re.Pattern[str]
_IPV6_ADDRZ_RE: re.Pattern[str]
_IPV6_RE: re.Pattern[str]
_ZONE_ID_RE: re.Pattern[str]


@cache
def _lazy_pattern(name: str) -> re.Pattern[str]:
    return re.compile(_LAZY_PATTERNS[name])


def __getattr__(name: str) -> re.Pattern[str]:
    if name in _LAZY_PATTERNS:
        return _lazy_pattern(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


_SCHEME_RE = re.compile(r"[a-zA-Z][a-zA-Z0-9+-]*+:|/")
_PERCENT_RE = re.compile(r"%[0-9A-Fa-f]{2}")
_HOST_PERCENT_RE = re.compile(r"%(?:[0-9A-Fa-f]{2})?")
_HOST_INVALID_CHAR_RE = re.compile(r"[\x00-\x20\x7f]")
_NAME_PORT_RE = re.compile(rf"({_REG_NAME_PAT})(?::([0-9]*+))?\Z")

# What inet_aton() takes for an address: one to four numbers, decimal, octal or hexadecimal ("127.1", "0x7f000001").
_IPV4_RE = re.compile(r"(?:0[xX][0-9a-fA-F]+|[0-9]+)(?:\.(?:0[xX][0-9a-fA-F]+|[0-9]+)){0,3}\Z")

# RFC 3986 appendix B, with the scheme held to its grammar and a backslash ending the authority, as browsers do.
_URI_RE = re.compile(
    r"(?:([a-zA-Z][a-zA-Z0-9+.-]*+):)?(?://([^\\/?#]*+))?([^?#]*+)(?:\?([^#]*+))?(?:#(.*))?\Z", re.DOTALL
)

_PATH_CLASS = rf"{_UNRESERVED_PAT}!$&'()*+,;=:@/"
_TARGET_RE = re.compile(r"(/[^?#]*+)(?:\?([^#]*+))?(?:#.*)?\Z", re.DOTALL)
_PLAIN_TARGET_RE = re.compile(rf"/[{_PATH_CLASS}]*+(?:\?[{_PATH_CLASS}?]*+)?")
_PLAIN_URL_RE = re.compile(
    r"(https?)://([a-z0-9][a-z0-9._-]*+)(?::([0-9]{1,5}))?"
    rf"(/[{_PATH_CLASS}]*+)?(?:\?([{_PATH_CLASS}?]*+))?(?:\#([{_PATH_CLASS}?]*+))?"
)


class _UrlFields(NamedTuple):
    scheme: str | None
    auth: str | None
    host: str | None
    port: int | None
    path: str | None
    query: str | None
    fragment: str | None


class Url(_UrlFields):
    """The parts of a URL. ``None`` stands for a part that is not there; an empty part is ``""``.

    :ivar scheme: lower-case.
    :ivar auth: ``user`` or ``user:password``, percent-encoded as in the URL.
    :ivar host: name or address; IPv6 addresses keep their brackets.
    :ivar port: as number; ``None`` if the URL names none (the scheme's default is not filled in).
    :ivar path: starts with ``/`` unless empty.
    :ivar query: without the ``?``.
    :ivar fragment: without the ``#``; never sent to a server.
    """

    def __new__(
        cls,
        scheme: str | None = None,
        auth: str | None = None,
        host: str | None = None,
        port: int | None = None,
        path: str | None = None,
        query: str | None = None,
        fragment: str | None = None,
    ) -> Url:
        if path and not path.startswith("/"):
            path = "/" + path
        if scheme is not None:
            scheme = scheme.lower()
        return super().__new__(cls, scheme, auth, host, port, path, query, fragment)

    @property
    def hostname(self) -> str | None:
        """Same as :attr:`host`, under the name that :func:`urllib.parse.urlsplit` uses."""
        return self.host

    @property
    def auth_decoded(self) -> tuple[None, None] | tuple[str, str | None]:
        """User name and password with percent-encodings undone; the password is ``None`` if there is no colon."""
        if self.auth is None:
            return None, None
        user, colon, password = self.auth.partition(":")
        return _unquote(user), _unquote(password) if colon else None

    @property
    def auth_decoded_joined(self) -> str | None:
        """``user:password`` decoded, as :func:`~wirepool.util.make_headers` wants it for ``basic_auth``."""
        user, password = self.auth_decoded
        return None if user is None else f"{user}:{password or ''}"

    @property
    def request_uri(self) -> str:
        """Path and query: what stands in the request line."""
        target = self.path or "/"
        return target if self.query is None else f"{target}?{self.query}"

    @property
    def authority(self) -> str | None:
        """User info, host and port (RFC 3986 section 3.2)."""
        netloc = self.netloc
        return netloc if netloc is None or self.auth is None else f"{self.auth}@{netloc}"

    @property
    def netloc(self) -> str | None:
        """Host and port. Without user info, unlike the attribute of that name in :mod:`urllib.parse`."""
        if self.host is None or self.port is None:
            return self.host
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The parts put together again. What :func:`parse_url` normalised stays normalised."""
        scheme, auth, host, port, path, query, fragment = self
        return "".join(
            (
                "" if scheme is None else f"{scheme}://",
                "" if auth is None else f"{auth}@",
                host or "",
                "" if port is None else f":{port}",
                path or "",
                "" if query is None else f"?{query}",
                "" if fragment is None else f"#{fragment}",
            )
        )

    def __str__(self) -> str:
        return self.url


def parse_url(url: str) -> Url:
    """Take a URL apart.

    A URL without scheme is understood as ``host[:port][/path]``, except that ``host:port`` needs a dot or a bracket in
    the host: ``localhost:80`` has the scheme ``localhost``. For ``http``, ``https`` and no scheme the parts are
    normalised: host in lower case and ASCII (IDNA 2008, which takes the ``idna`` package), dot segments of the path
    removed, characters that must not appear percent-encoded, escapes in upper case.

    :raises LocationParseError: host or port are malformed or contain control characters or spaces, or the host is not
        ASCII and cannot be encoded.
    """
    if not url:
        return Url()
    return _parse_plain(url) or _parse_any(url)


def _parse_plain(url: str) -> Url | None:
    match = _PLAIN_URL_RE.fullmatch(url)
    if match is None:
        return None
    scheme, host, port, path, query, fragment = match.groups()
    if path is None:
        path = None if query is None is fragment else ""
    elif "/." in path:
        return None
    if port is not None:
        port = int(port)
        if port > _MAX_PORT:
            return None
    # Nothing is left to be done of what Url.__new__ does.
    return tuple.__new__(Url, (scheme, None, host, port, path, query, fragment))


def _parse_any(url: str) -> Url:
    match = _URI_RE.match(url if _SCHEME_RE.match(url) else f"//{url}")
    assert match is not None, "every string matches"
    scheme, authority, path, query, fragment = match.groups()
    if scheme is not None:
        scheme = scheme.lower()
    auth, host, port = _split_authority(authority, url) if authority else (None, None, None)
    host = _normalize_host(host, scheme)
    if scheme in _NORMALIZABLE_SCHEMES:
        auth = _encode_invalid_chars(auth, _USERINFO_CHARS)
        path = _encode_invalid_chars(_remove_path_dot_segments(path), _PATH_CHARS)
        query = _encode_invalid_chars(query, _QUERY_CHARS)
        fragment = _encode_invalid_chars(fragment, _FRAGMENT_CHARS)
    if not path:
        path = None if query is None is fragment else ""
    return Url(scheme, auth, host, port, path, query, fragment)


def _split_authority(authority: str, url: str) -> tuple[str | None, str, int | None]:
    # The last "@" counts: an "@" in a password is often left unescaped.
    auth, _, host_port = authority.rpartition("@")
    pattern = _lazy_pattern("_HOST_PORT_RE") if host_port.startswith("[") else _NAME_PORT_RE
    match = pattern.match(host_port)
    if match is None:
        _reject_invalid_chars(host_port)
        raise LocationParseError(f"{host_port!r} is not a valid host or port")
    host, digits = match.groups()
    return auth or None, host, _parse_port(digits, host_port, url) if digits else None


def _parse_port(digits: str, host_port: str, url: str) -> int:
    significant = digits.lstrip("0")
    if len(significant) > 5:
        raise LocationParseError(f"{host_port!r} is not a valid host or port")
    port = int(significant or "0")
    if port > _MAX_PORT:
        raise LocationParseError(url)
    return port


def _reject_invalid_chars(host: str) -> None:
    found = _HOST_INVALID_CHAR_RE.search(host)
    if found is not None:
        raise LocationParseError(f"Host {host!r} contains invalid character {found[0]!r}")


def _normalize_host(host: str | None, scheme: str | None) -> str | None:
    if not host:
        return host
    _reject_invalid_chars(host)
    if scheme not in _NORMALIZABLE_SCHEMES:
        return host
    if host.startswith("[") and _lazy_pattern("_IPV6_ADDRZ_RE").match(host):
        return _normalize_ipv6(host)
    if _IPV4_RE.match(host):
        return host
    if "%" in host:
        host = _HOST_PERCENT_RE.sub(_normalize_host_percent_encoding, host)
    # Label by label: labels that DNS has and IDNA has not (empty, "_dmarc") may stand beside one that needs encoding.
    name = ".".join(to_str(_idna_encode(label), "ascii") for label in host.split("."))
    return _PERCENT_RE.sub(_upper, name) if "%" in name else name


def _normalize_ipv6(host: str) -> str:
    address, percent, zone = host[1:-1].partition("%")
    if not percent:
        return host.lower()
    # In a URL the "%" before a zone is written "%25" (RFC 6874); the plain form, illegal but usual, is taken as well.
    if zone.startswith("25") and zone != "25":
        zone = zone[2:]
    zone = _HOST_PERCENT_RE.sub(partial(_normalize_zone_id_percent_encoding, error_host=host), zone)
    return f"[{address.lower()}%{zone}]"


def _upper(match: re.Match[str]) -> str:
    return match[0].upper()


def _decode_percent_encoding(match: re.Match[str], *, error_host: str) -> str:
    char = chr(int(match[0][1:], 16))
    if char < " " or char == "\x7f":
        raise LocationParseError(f"Host {error_host!r} contains invalid percent-encoded control character {match[0]!r}")
    return char


def _normalize_host_percent_encoding(match: re.Match[str]) -> str:
    if match[0] == "%":
        raise LocationParseError(f"{match.string!r} is not a valid host")
    char = _decode_percent_encoding(match, error_host=match.string)
    return char if char in _UNRESERVED_CHARS else match[0].upper()


def _normalize_zone_id_percent_encoding(match: re.Match[str], *, error_host: str) -> str:
    _decode_percent_encoding(match, error_host=error_host)
    return match[0].upper()


def _idna_encode(name: str) -> bytes:
    if name.isascii():
        return name.lower().encode("ascii")
    try:
        import idna
    except ImportError:
        raise LocationParseError(f"{name!r} is not ASCII: that takes the 'idna' package") from None
    try:
        return idna.encode(name.lower(), strict=True, std3_rules=True)
    except idna.IDNAError:
        raise LocationParseError(f"Name {name!r} is not a valid IDNA label") from None


def _encode_invalid_chars(component: str | None, allowed_chars: Container[str]) -> str | None:
    if component is None:
        return None
    if isinstance(allowed_chars, (set, frozenset)) and allowed_chars.issuperset(component):
        return component
    component, escapes = _PERCENT_RE.subn(_upper, component)
    # One "%" that starts no escape shows that the text was not encoded yet, so that no "%" in it is an escape.
    is_encoded = escapes == component.count("%")
    return "".join(
        char if char in allowed_chars or (char == "%" and is_encoded) else _percent_encode(char) for char in component
    )


def _percent_encode(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))


def _remove_path_dot_segments(path: str) -> str:
    """Resolve ``.`` and ``..`` in a path (RFC 3986 section 5.2.4); ``..`` does not lead above the root."""
    if "." not in path:
        return path
    root = "/" if path.startswith("/") else ""
    segments = path[len(root) :].split("/")
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    # A path that ends in a dot segment names a directory.
    if kept and segments[-1] in (".", ".."):
        kept.append("")
    return root + "/".join(kept)


def _encode_target(target: str) -> str:
    """Prepare a request target that starts with ``/``: percent-encode what must be, drop the fragment."""
    if _PLAIN_TARGET_RE.fullmatch(target):
        return target
    match = _TARGET_RE.match(target)
    if match is None:
        raise LocationParseError(f"{target!r} is not a valid request URI")
    path, query = match.groups()
    encoded = _encode_invalid_chars(path, _PATH_CHARS) or ""
    return encoded if query is None else f"{encoded}?{_encode_invalid_chars(query, _QUERY_CHARS)}"
