"""Which certificate is whose."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address
from typing import Any

import pytest

from wirepool.util import ssl_match_hostname as module
from wirepool.util.ssl_match_hostname import CertificateError, _dnsname_match, _ipaddress_match, match_hostname


def dns(*names: str) -> dict[str, Any]:
    return {"subjectAltName": tuple(("DNS", name) for name in names)}


def ip(*addresses: str) -> dict[str, Any]:
    return {"subjectAltName": tuple(("IP Address", address) for address in addresses)}


def common_name(*names: str) -> dict[str, Any]:
    return {"subject": ((("countryName", "DE"),), *((("commonName", name),) for name in names))}


@pytest.mark.parametrize(
    ("cert", "hostname"),
    [
        (dns("example.com"), "example.com"),
        (dns("example.com"), "EXAMPLE.com"),
        (dns("EXAMPLE.com"), "example.com"),
        (dns("a.com", "b.com"), "b.com"),
        (dns("*.example.com"), "www.example.com"),
        (dns("*.EXAMPLE.com"), "WWW.example.com"),
        (dns("*.xn--a.com"), "b.xn--a.com"),
        (dns("*.com"), "xn--foo.com"),
        (dns("xn--foo.com"), "xn--foo.com"),
        (dns("f*.com"), "foo.com"),
        (dns("f*.com"), "f.com"),
        (dns("*a.com"), "foa.com"),
        (dns("f*a.com"), "fooa.com"),
        (dns("*"), "a"),
        (ip("1.2.3.4"), "1.2.3.4"),
        (ip("::1"), "::1"),
        (ip("0:0:0:0:0:0:0:1\n"), "::1"),
        (ip("FE80::1"), "fe80::1%eth0"),
        (ip("9.9.9.9", "1.2.3.4"), "1.2.3.4"),
        ({"subjectAltName": (("IP Address", "1.2.3.4"), ("DNS", "a"))}, "a"),
    ],
)
def test_matching(cert: dict[str, Any], hostname: str) -> None:
    match_hostname(cert, hostname)


@pytest.mark.parametrize(
    ("cert", "hostname"),
    [
        (dns("example.com"), "example.org"),
        (dns("example.com"), "example.com."),
        (dns("example.com."), "example.com"),
        (dns("example.com"), "www.example.com"),
        (dns("example.com"), "example.com\n"),
        (dns("*.example.com"), "example.com"),
        (dns("*.example.com"), "a.b.example.com"),
        (dns("*.example.com"), ".example.com"),
        (dns("*"), "a.b"),
        (dns("*.*.com"), "a.b.com"),
        (dns("www.*.com"), "www.a.com"),
        (dns("f*b.com"), "f.b.com"),
        (dns("ab*ba.com"), "aba.com"),
        (dns("xn--*.com"), "xn--foo.com"),
        (dns("XN--*.com"), "xn--foo.com"),
        (dns("x*.com"), "xn--foo.com"),
        (dns(""), ""),
        (dns(""), "a"),
        (dns("1.2.3.4"), "1.2.3.4"),
        (dns("*.2.3.4"), "1.2.3.4"),
        (ip("1.2.3.4"), "1.2.3.5"),
        (ip("1.2.3.4"), "a.com"),
        (ip("1.2.3.4"), "0x01020304"),
        (ip("1.2.3.4"), "01.2.3.4"),
        (ip("1.2.3.4"), "::ffff:1.2.3.4"),
        (ip("::ffff:1.2.3.4"), "1.2.3.4"),
        (ip("::1"), "[::1]"),
        (ip("<invalid>"), "1.2.3.4"),
        ({"subjectAltName": (("URI", "a.com"), ("email", "a.com"))}, "a.com"),
        (common_name("a.com"), "a.com"),
    ],
)
def test_not_matching(cert: dict[str, Any], hostname: str) -> None:
    with pytest.raises(CertificateError):
        match_hostname(cert, hostname)


class TestCommonName:
    @pytest.mark.parametrize(
        ("cert", "hostname"),
        [
            (common_name("a.com"), "a.com"),
            (common_name("x", "a.com"), "a.com"),
            (common_name("*.a.com"), "b.a.com"),
            (common_name("a.com") | {"subjectAltName": (("URI", "x"),)}, "a.com"),
        ],
    )
    def test_it_counts_if_asked_for(self, cert: dict[str, Any], hostname: str) -> None:
        match_hostname(cert, hostname, hostname_checks_common_name=True)

    @pytest.mark.parametrize(
        ("cert", "hostname"),
        [
            (common_name("b.com"), "a.com"),
            (common_name("a.com") | dns("b.com"), "a.com"),
            (common_name("a.com") | ip("1.2.3.4"), "a.com"),
            (common_name("1.2.3.4"), "1.2.3.4"),
            ({"subject": ()}, "a.com"),
        ],
    )
    def test_and_only_where_there_are_no_better_names(self, cert: dict[str, Any], hostname: str) -> None:
        with pytest.raises(CertificateError):
            match_hostname(cert, hostname, hostname_checks_common_name=True)


@pytest.mark.parametrize("cert", [None, {}])
def test_no_certificate(cert: dict[str, Any] | None) -> None:
    with pytest.raises(ValueError, match="no certificate") as info:
        match_hostname(cert, "a.com")
    assert type(info.value) is ValueError


@pytest.mark.parametrize(
    ("cert", "message"),
    [
        (dns("b.com"), "hostname 'a.com' doesn't match 'b.com'"),
        (dns("b.com", "c.com"), "hostname 'a.com' doesn't match either of 'b.com', 'c.com'"),
        (ip("1.2.3.4"), "hostname 'a.com' doesn't match '1.2.3.4'"),
        ({"notAfter": "x"}, "no appropriate subjectAltName fields were found"),
    ],
)
def test_messages(cert: dict[str, Any], message: str) -> None:
    with pytest.raises(CertificateError) as info:
        match_hostname(cert, "a.com")
    assert str(info.value) == message


class TestWildcards:
    @pytest.mark.parametrize("name", ["**.com", "*a*.com", "*" * 1000])
    def test_many_in_a_label_are_refused(self, name: str) -> None:
        with pytest.raises(CertificateError, match="too many wildcards"):
            _dnsname_match(name, "a.com")

    def test_the_limit_can_be_raised(self) -> None:
        assert _dnsname_match("*a*.com", "bac.com", max_wildcards=2)
        assert not _dnsname_match("*a*.com", "bbc.com", max_wildcards=2)

    @pytest.mark.parametrize("name", [None, ""])
    def test_no_name(self, name: str | None) -> None:
        assert _dnsname_match(name, "a") is False

    def test_regular_expressions_are_not_interpreted(self) -> None:
        assert not _dnsname_match("a.*", "axx")
        assert not _dnsname_match("[a]*.com", "ab.com")


def test_addresses_are_compared_as_numbers() -> None:
    assert _ipaddress_match("1.2.3.4\n", IPv4Address("1.2.3.4"))
    assert not _ipaddress_match("nonsense", IPv4Address("1.2.3.4"))
    assert _ipaddress_match("2001:DB8:0:0::1", ip_address("2001:db8::1"))


def test_names_from_ipaddress() -> None:
    assert module.IPv4Address is IPv4Address
    assert module.ipaddress.ip_address is ip_address
    with pytest.raises(AttributeError, match="no_such_name"):
        module.no_such_name  # noqa: B018
