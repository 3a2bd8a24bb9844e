"""Does a certificate belong to the host we asked for (RFC 9525, formerly RFC 6125)?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

__all__ = ["CertificateError", "IPv4Address", "IPv6Address", "match_hostname"]


def __getattr__(name: str) -> Any:
    # The module is needed for connections to addresses only.
    if name in ("IPv4Address", "IPv6Address", "ipaddress"):
        import ipaddress

        return ipaddress if name == "ipaddress" else getattr(ipaddress, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class CertificateError(ValueError):
    """The certificate was issued for another host."""


def match_hostname(cert: Mapping[str, Any] | None, hostname: str, hostname_checks_common_name: bool = False) -> None:
    """Check that *cert* was issued for *hostname*.

    Only the subject alternative names count: DNS names, which may have one ``*`` in their first label, for names; IP
    addresses, which must be the same, for addresses.

    :param cert: as :meth:`ssl.SSLSocket.getpeercert` gives it.
    :param hostname: name or address; an IPv6 address comes without brackets, a zone in it is ignored.
    :param hostname_checks_common_name: if the certificate has no alternative names, look at its common name.
    :raises CertificateError: it was not.
    :raises ValueError: there is no certificate (perhaps because verification is off).
    """
    if not cert:
        raise ValueError("there is no certificate to match: it takes a TLS socket that verifies its peer")
    address = _as_address(hostname)
    names = []
    for kind, name in cert.get("subjectAltName", ()):
        if kind not in ("DNS", "IP Address"):
            continue
        if _is_named(kind, name, hostname, address):
            return
        names.append(name)
    if hostname_checks_common_name and address is None and not names:
        for name in _common_names(cert):
            if _dnsname_match(name, hostname):
                return
            names.append(name)
    raise CertificateError(_describe_mismatch(hostname, names))


def _is_named(kind: str, name: str, hostname: str, address: IPv4Address | IPv6Address | None) -> bool:
    if address is None:
        return kind == "DNS" and _dnsname_match(name, hostname)
    return kind == "IP Address" and _ipaddress_match(name, address)


def _common_names(cert: Mapping[str, Any]) -> Iterator[str]:
    for relative_name in cert.get("subject", ()):
        for key, value in relative_name:
            if key == "commonName":
                yield value


def _describe_mismatch(hostname: str, names: list[str]) -> str:
    if not names:
        return "no appropriate subjectAltName fields were found"
    choice = "" if len(names) == 1 else "either of "
    return f"hostname {hostname!r} doesn't match {choice}{', '.join(map(repr, names))}"


def _as_address(text: str) -> IPv4Address | IPv6Address | None:
    import ipaddress

    try:
        # The zone names an interface of this machine; no certificate is about that.
        return ipaddress.ip_address(text.rpartition("%")[0] or text)
    except ValueError:
        return None


def _dnsname_match(dn: str | None, hostname: str, max_wildcards: int = 1) -> bool:
    """Compare a DNS name of a certificate with a host name, ignoring case.

    :raises CertificateError: the first label of *dn* has more than *max_wildcards* wildcards.
    """
    if not dn:
        return False
    label, dot, rest = dn.lower().partition(".")
    host_label, host_dot, host_rest = hostname.lower().partition(".")
    if label.count("*") > max_wildcards:
        # Many wildcards would make matching expensive, and no serious authority issues such names.
        raise CertificateError(f"too many wildcards in certificate DNS name: {dn!r}")
    return (dot, rest) == (host_dot, host_rest) and _label_match(label, host_label)


def _label_match(pattern: str, label: str) -> bool:
    if "*" not in pattern:
        return pattern == label
    if pattern == "*":
        return label != ""
    # Part of an encoded label says nothing about the text it encodes.
    if pattern.startswith("xn--") or label.startswith("xn--"):
        return pattern == label
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), label, re.DOTALL) is not None


def _ipaddress_match(ipname: str, host_ip: IPv4Address | IPv6Address) -> bool:
    """Compare an IP address of a certificate with that of the host, as numbers."""
    # OpenSSL used to end IPv6 addresses with a newline here.
    address = _as_address(ipname.rstrip())
    return address is not None and address.packed == host_ip.packed
