"""Which proxy the environment names for an origin, and what a proxy URL says about credentials.

Only variables are read: ``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy``, in lower or upper case. What
macOS and Windows keep in their system settings is not looked at. No standard defines these variables; what is done
here is what curl, Go and requests agree on, and :func:`proxy_for` says what was chosen where they do not.

Threading: pure functions; the cache of parsed exception lists is ``functools``'.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    from wirepool.util.url import Url

__all__ = ["basic_credentials", "proxy_for"]

_SCHEME_RE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*+://")
_SEPARATORS_RE = re.compile(r"[\s,]+")
_ZONE_RE = re.compile(r"%[^/]*+")
# What may be an address; the others need not be shown to ipaddress, which programs without them never import.
_NUMERIC_RE = re.compile(r"[0-9.]+(?:/[0-9.]+)?|(?=[^:]*+:)[0-9a-f:.]+(?:/[0-9]+)?")

# A process has one list, seldom a few.
_KNOWN_LISTS = 16
_PORT_DIGITS = 5


def proxy_for(scheme: str, host: str, port: int, environ: Mapping[str, str] = os.environ) -> str | None:
    """The URL of the proxy for an origin, or ``None`` for a direct connection.

    :param scheme: of the request, ``http`` or ``https``.
    :param host: name or address, IPv6 with or without brackets.
    :param port: the one that is connected to, also where the URL does not name it.

    ``<scheme>_proxy`` counts, else ``all_proxy``. Of a name in both cases, the lower one counts, also if it is empty;
    an empty value is as good as none. ``HTTP_PROXY`` is ignored where ``REQUEST_METHOD`` is set: in a CGI program it
    is what the client sent as ``Proxy:`` header (CVE-2016-5385). A value without scheme is taken for ``http://``; any
    scheme is returned as it stands, for the caller to refuse. System settings of macOS and Windows are not read.

    ``no_proxy`` lists what is connected to directly, separated by commas or white space:

    ==========================  ==================================================  =================================
    entry                       matches                                             among curl, Go, requests
    ==========================  ==================================================  =================================
    ``*``                       everything                                          all; in a longer list only Go
    ``example.org``             ``example.org``, ``www.example.org``; not           all
                                ``badexample.org``
    ``.example.org``            the same                                            all but Go: subdomains only
    ``*.example.org``           ``www.example.org``, not ``example.org``            only Go
    ``10.0.0.1``, ``::1``       that address, however it is written                 all; requests compares the text
    ``10.0.0.0/8``              addresses in that block, also of IPv6; bits of      all; requests IPv4 only
                                the host part do not matter
    ``example.org:8080``        as without port, but only that port                 Go and requests
    ``[::1]:80``                as above                                            only Go
    ==========================  ==================================================  =================================

    Case and trailing dots make no difference, nor does whether a name is spelled in Unicode or in ASCII (IDNA). Names
    are never looked up, so blocks match only hosts given as addresses. Unlike in Go, ``localhost`` is no exception
    unless it is listed. An entry that makes no sense matches nothing.
    """
    proxy = _value(f"{scheme.lower()}_proxy", environ) or _value("all_proxy", environ)
    if not proxy:
        return None
    exceptions = _value("no_proxy", environ)
    if exceptions and _is_exempt(host, port, exceptions):
        return None
    return proxy if _SCHEME_RE.match(proxy) else f"http://{proxy.removeprefix('//')}"


def basic_credentials(url: Url) -> str | None:
    """The value of ``Proxy-Authorization`` for the user info of a proxy's URL (RFC 7617); ``None`` without any.

    The octets are those that the URL says: escapes are undone, other characters beyond ASCII are sent as UTF-8.
    """
    if not url.auth:
        return None
    from urllib.parse import unquote_to_bytes

    from wirepool.util.request import make_headers

    octets = unquote_to_bytes(url.auth if ":" in url.auth else f"{url.auth}:")
    # Latin-1 takes each octet to the character of that number and back.
    return make_headers(proxy_basic_auth=octets.decode("latin-1"))["proxy-authorization"]


# --- variables --------------------------------------------------------------------------------------------------------


def _value(name: str, environ: Mapping[str, str]) -> str:
    """What a variable says, given its name in lower case; empty if it says nothing."""
    if name == "http_proxy" and "REQUEST_METHOD" in environ:
        # Where names have no case, as on Windows, asking for the lower one finds the client's header too.
        return environ[name].strip() if any(known == name for known in environ) else ""
    value = environ.get(name)
    if value is None:
        value = environ.get(name.upper(), "")
    return value.strip()


# --- exceptions -------------------------------------------------------------------------------------------------------


class _Entry(NamedTuple):
    """An entry of ``no_proxy``: a network, or the end of a name beginning with a dot; the empty end is of all hosts."""

    suffix: str
    apex: bool
    network: IPv4Network | IPv6Network | None
    port: int | None

    def matches(self, host: str, address: IPv4Address | IPv6Address | None, port: int) -> bool:
        if self.port is not None and self.port != port:
            return False
        if not self.suffix and self.network is None:
            return True
        if address is not None or self.network is not None:
            return address is not None and self.network is not None and address in self.network
        return (f".{host}" if self.apex else host).endswith(self.suffix)


def _is_exempt(host: str, port: int, exceptions: str) -> bool:
    name = _ascii_name(host.removeprefix("[").removesuffix("]"))
    network = _network(name)
    address = None if network is None else network.network_address
    return any(entry.matches(name, address, port) for entry in _entries(exceptions))


@lru_cache(_KNOWN_LISTS)
def _entries(exceptions: str) -> tuple[_Entry, ...]:
    found = (_entry(text) for text in _SEPARATORS_RE.split(exceptions))
    return tuple(entry for entry in found if entry is not None)


def _entry(text: str) -> _Entry | None:
    host, digits = _split_port(text)
    if digits and not (digits.isascii() and digits.isdigit() and len(digits) <= _PORT_DIGITS):
        return None
    port = int(digits) if digits else None
    if host == "*":
        return _Entry("", True, None, port)
    apex = not host.startswith("*.")
    name = _ascii_name(host if apex else host[2:]).lstrip(".")
    if not name:
        return None
    network = _network(name)
    return _Entry("" if network else f".{name}", apex, network, port)


def _split_port(text: str) -> tuple[str, str]:
    """Host, or block, and the digits of a port; brackets may be around an address or around a whole block."""
    if text.startswith("["):
        inside, _, rest = text[1:].partition("]")
        bits, _, port = rest.partition(":")
        return inside + bits, port
    if text.count(":") > 1:
        return text, ""
    host, _, port = text.partition(":")
    return host, port


def _network(name: str) -> IPv4Network | IPv6Network | None:
    """An address or a block as network; ``None`` for names. Zones say which link, not which host: they are left out."""
    text = _ZONE_RE.sub("", name) if ":" in name else name
    if not _NUMERIC_RE.fullmatch(text):
        return None
    from ipaddress import ip_network

    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _ascii_name(host: str) -> str:
    """A name as it is compared: lower case, no trailing dots, in its ASCII form if it has one."""
    host = host.rstrip(".")
    if not host.isascii():
        from wirepool.exceptions import LocationParseError
        from wirepool.util.url import _normalize_host

        try:
            host = _normalize_host(host, "http") or ""
        except LocationParseError:
            pass
    return host.lower()
