"""Certificates good and bad: a bad one ends in SSLError that says why, before a byte of the request is sent."""

from __future__ import annotations

import datetime
import ipaddress
import re
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from behaviour.talk import OK, answering, idle_connections
from behaviour.tls_talk import connection_of, get, https_pool, refusal
from servers.certs import LOCALHOST, Authority, Certificate
from servers.tls import LINGER_SECONDS, TLSServer
from wirepool.exceptions import MaxRetryError

pytestmark = pytest.mark.usefixtures("gear")

Serve = Callable[..., TLSServer]
Make = Callable[[Authority], Certificate]


@dataclass(frozen=True)
class Case:
    """What a server shows, what it is asked for, and, if the answer has to be no, words of the reason."""

    make: Make
    reason: str = ""
    host: str | None = None
    options: Callable[[Authority, Certificate], dict[str, Any]] = field(default=lambda certs, certificate: {})
    server: dict[str, Any] = field(default_factory=dict)


def dns(*names: str) -> Make:
    return lambda certs: certs.custom([x509.DNSName(name) for name in names])


def ip(*addresses: str) -> Make:
    return lambda certs: certs.custom([x509.IPAddress(ipaddress.ip_address(address)) for address in addresses])


def localhost(certs: Authority) -> Certificate:
    return certs.localhost


def own_context(adjust: Callable[[ssl.SSLContext, Authority, Certificate], Any]) -> Any:
    """Options with a context of the user's, adjusted to the case."""

    def options(certs: Authority, certificate: Certificate) -> dict[str, Any]:
        context = ssl.create_default_context(cafile=certs.ca_file)
        adjust(context, certs, certificate)
        return {"ssl_context": context}

    return options


def with_crl(context: ssl.SSLContext, certs: Authority, *revoked: Certificate) -> None:
    context.load_verify_locations(certs.crl(*revoked))
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def weak(certs: Authority) -> Certificate:
    """Its own authority, with a key of 1024 bits."""
    key = rsa.generate_private_key(65537, 1024)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "weak")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - datetime.timedelta(1))
    builder = builder.not_valid_after(now + datetime.timedelta(1))
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    leaf = builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(key, hashes.SHA256())
    paths = [Path(certs.directory) / name for name in ("weak.pem", "weak-key.pem")]
    paths[0].write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.TraditionalOpenSSL
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return Certificate(*map(str, paths))


OLD = {"minimum": ssl.TLSVersion.TLSv1, "maximum": ssl.TLSVersion.TLSv1_1}

BAD: dict[str, Case] = {
    # validity and chain
    "expired": Case(lambda c: c.expired(), "certificate has expired"),
    "not yet valid": Case(lambda c: c.not_yet_valid(), "certificate is not yet valid"),
    "self-signed": Case(lambda c: c.self_signed(), "self-signed certificate"),
    "self-signed, another one trusted": Case(
        lambda c: c.self_signed(), "self-signed", options=lambda c, _: {"ca_certs": c.self_signed().cert_file}
    ),
    "unknown authority": Case(lambda c: c.stranger().server(), "unable to get local issuer certificate"),
    "intermediate missing": Case(
        lambda c: c.without_chain(c.intermediate().server()), "unable to get local issuer certificate"
    ),
    "intermediate of an unknown authority": Case(
        lambda c: c.stranger().intermediate().server(), "unable to get local issuer|self-signed"
    ),
    "for clients only": Case(lambda c: c.client_only(), "unsuitable certificate purpose"),
    "revoked": Case(localhost, "certificate revoked", options=own_context(with_crl)),
    "no list of the revoked": Case(
        localhost,
        "unable to get certificate CRL",
        options=own_context(lambda context, *_: setattr(context, "verify_flags", ssl.VERIFY_CRL_CHECK_LEAF)),
    ),
    "weak key": Case(
        weak,
        "key too weak",
        options=lambda c, certificate: {"ca_cert_data": certificate.pem},
        server={"minimum": ssl.TLSVersion.TLSv1},
    ),
    # versions
    "only old versions": Case(localhost, "(?i)version|unsupported protocol", server=OLD),
    # names
    "another host": Case(dns("right.test"), "Hostname mismatch.*'wrong.test'", "wrong.test"),
    "another host, several names": Case(dns("a.test", "b.test"), "Hostname mismatch", "c.test"),
    # Since Python 3.13 the chain is verified strictly, and comes first.
    "no names": Case(lambda c: c.custom(), "Hostname mismatch|Subject name empty", "a.test"),
    "only a common name": Case(lambda c: c.common_name_only(), "Hostname mismatch", "localhost"),
    "only a common name, asserted": Case(
        lambda c: c.common_name_only("a.test"),
        "no appropriate subjectAltName",
        options=lambda c, _: {"assert_hostname": "a.test"},
    ),
    "subdomain": Case(dns("a.test"), "Hostname mismatch", "www.a.test"),
    "parent domain": Case(dns("www.a.test"), "Hostname mismatch", "a.test"),
    "name as a prefix": Case(dns("a.test"), "Hostname mismatch", "a.test.evil.test"),
    "name with NUL": Case(dns("a.test\0.evil.test"), "mismatch|match", "a.test"),
    "wildcard for everything": Case(dns("*"), "Hostname mismatch", "localhost"),
    "wildcard for a top level domain": Case(dns("*.test"), "Hostname mismatch", "a.test"),
    "wildcard for two levels": Case(dns("*.a.test"), "Hostname mismatch", "x.y.a.test"),
    "wildcard for none": Case(dns("*.a.test"), "Hostname mismatch", "a.test"),
    "two wildcards": Case(dns("*.*.a.test"), "Hostname mismatch", "x.y.a.test"),
    "wildcard in the middle of a label": Case(dns("f*o.a.test"), "Hostname mismatch", "foo.a.test"),
    "wildcard at the end of a label": Case(dns("f*.a.test"), "Hostname mismatch", "foo.a.test"),
    "wildcard in the second label": Case(dns("foo.*.a.test"), "Hostname mismatch", "foo.x.a.test"),
    "wildcard, asserted, two levels": Case(
        dns("*.a.test"), "doesn't match", options=lambda c, _: {"assert_hostname": "x.y.a.test"}
    ),
    "two wildcards, asserted": Case(
        dns("**.a.test"), "too many wildcards", options=lambda c, _: {"assert_hostname": "x.a.test"}
    ),
    # addresses
    "another address": Case(ip("127.0.0.2"), "IP address mismatch"),
    "address as a DNS name": Case(dns("127.0.0.1"), "IP address mismatch"),
    "address as a wildcard": Case(dns("*.0.0.1"), "IP address mismatch"),
    "address as the common name": Case(lambda c: c.common_name_only("127.0.0.1"), "IP address mismatch"),
    "IPv4 in IPv6": Case(ip("::ffff:127.0.0.1"), "IP address mismatch"),
    "name for an address": Case(dns("localhost"), "IP address mismatch"),
    "address for a name": Case(ip("127.0.0.1"), "Hostname mismatch", "localhost"),
    "another address, asserted": Case(
        ip("127.0.0.1"), "doesn't match", options=lambda c, _: {"assert_hostname": "127.0.0.2"}
    ),
}

GOOD: dict[str, Case] = {
    "localhost": Case(localhost, host="localhost"),
    "address": Case(ip("127.0.0.1")),
    "name among others": Case(dns("a.test", "b.test", "c.test"), host="b.test"),
    "upper case": Case(dns("WWW.A.Test"), host="www.a.test"),
    "dot at the end": Case(dns("a.test"), host="a.test."),
    "wildcard": Case(dns("*.a.test"), host="www.a.test"),
    "wildcard, asserted": Case(dns("*.a.test"), options=lambda c, _: {"assert_hostname": "www.a.test"}),
    "address, asserted": Case(ip("127.0.0.2"), options=lambda c, _: {"assert_hostname": "127.0.0.2"}),
    "IPv6 address, asserted": Case(ip("::1"), options=lambda c, _: {"assert_hostname": "[::1]"}),
    "IDNA": Case(dns("xn--bcher-kva.test"), host="xn--bcher-kva.test"),
    "chain complete": Case(lambda c: c.intermediate().intermediate().server()),
    "self-signed, trusted": Case(
        lambda c: c.self_signed(), options=lambda c, certificate: {"ca_cert_data": certificate.pem}
    ),
    "none revoked": Case(
        localhost, options=own_context(lambda context, certs, _: with_crl(context, certs, certs.server()))
    ),
    "any common name if the context says so": Case(
        lambda c: c.common_name_only("a.test"),
        host="a.test",
        options=own_context(lambda context, *_: setattr(context, "hostname_checks_common_name", True)),
    ),
}


def pool_for(case: Case, server: TLSServer, certs: Authority, certificate: Certificate, **more: Any) -> Any:
    options = case.options(certs, certificate)
    if not {"ca_certs", "ca_cert_data", "ssl_context"} & set(options):
        options["ca_certs"] = certs.ca_file
    return https_pool(server, host=case.host, **options, **more)


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_bad(scripted_tls: Serve, certs: Authority, case: Case) -> None:
    certificate = case.make(certs)
    server = scripted_tls(default=answering(OK), certificate=certificate, **case.server)
    with pool_for(case, server, certs, certificate, block=True, maxsize=2) as pool:
        error = refusal(pool)
        assert re.search(case.reason, str(error))
        assert pool.pool.qsize() == 2
        assert idle_connections(pool) == []
        # Sooner than it would give up by itself: the client has closed, although the error is still there.
        server.wait_over(LINGER_SECONDS * 0.9)
    assert [conn.received for conn in server.connections] == [b"", b""]


@pytest.mark.parametrize("case", GOOD.values(), ids=GOOD.keys())
def test_good(scripted_tls: Serve, certs: Authority, case: Case) -> None:
    certificate = case.make(certs)
    server = scripted_tls(default=answering(OK), certificate=certificate, **case.server)
    with pool_for(case, server, certs, certificate) as pool:
        assert get(pool) == b"ok"
        assert connection_of(pool).is_verified


@pytest.mark.parametrize(
    ("addresses", "good"), [(["::1"], True), (["127.0.0.1", "::1"], True), (["127.0.0.1"], False), (["::2"], False)]
)
def test_ipv6_address(scripted_tls: Serve, certs: Authority, loopback: str, addresses: list[str], good: bool) -> None:
    if ":" not in loopback:
        addresses = [{"::1": "127.0.0.1", "127.0.0.1": "127.0.0.3", "::2": "127.0.0.2"}[text] for text in addresses]
    certificate = ip(*addresses)(certs)
    server = scripted_tls(default=answering(OK), certificate=certificate, host=loopback)
    with https_pool(server, host=f"[{loopback}]" if ":" in loopback else None, ca_certs=certs.ca_file) as pool:
        if good:
            assert get(pool) == b"ok"
        else:
            assert "IP address mismatch" in str(refusal(pool))
    assert len(server.requests) == good


def test_a_name_with_an_underscore_and_one_in_unicode(scripted_tls: Serve, certs: Authority) -> None:
    server = scripted_tls(default=answering(OK), certificate=dns("a_b.test", "xn--bcher-kva.test")(certs))
    with https_pool(server, host="a_b.test", ca_certs=certs.ca_file) as pool:
        assert get(pool) == b"ok"
    resolve = {f"xn--bcher-kva.test:{server.port}": [server.host]}
    with https_pool(server, host="b\xfccher.test", ca_certs=certs.ca_file, resolve=resolve) as pool:
        assert get(pool) == b"ok"
    assert [conn.sni for conn in server.connections] == ["a_b.test", "xn--bcher-kva.test"]


# --- what a refusal is for the rest of the program --------------------------------------------------------------------


def test_a_refusal_is_retried_like_any_other_failure(no_leaks: None, scripted_tls: Serve, certs: Authority) -> None:
    server = scripted_tls(default=answering(OK), certificate=certs.expired())
    with https_pool(server, ca_certs=certs.ca_file) as pool, pytest.raises(MaxRetryError) as caught:
        pool.request("GET", "/", retries=2)
    assert "certificate has expired" in str(caught.value)
    assert isinstance(caught.value.reason.args[0], ssl.SSLCertVerificationError)  # type: ignore[union-attr]
    server.wait_over()
    assert [conn.received for conn in server.connections] == [b""] * 3


def test_a_refusal_tells_the_server_why(scripted_tls: Serve, certs: Authority) -> None:
    server = scripted_tls(default=answering(OK), certificate=certs.server("other.test"))
    with https_pool(server, ca_certs=certs.ca_file) as pool:
        refusal(pool)
        server.wait_over()
    assert [conn.version for conn in server.connections] in ([None, None], ["TLSv1.3"] * 2)
    assert server.requests == []


def test_a_body_is_not_touched(no_leaks: None, scripted_tls: Serve, certs: Authority) -> None:
    server = scripted_tls(default=answering(OK), certificate=certs.expired())

    def body() -> Any:
        raise AssertionError("taken from the generator")
        yield b"secret"

    with https_pool(server, ca_certs=certs.ca_file) as pool:
        refusal(pool, body=body())
        refusal(pool, body=b"secret", chunked=True)


def test_refusals_while_others_wait_for_a_slot(no_leaks: None, scripted_tls: Serve, certs: Authority) -> None:
    server = scripted_tls(default=answering(OK), certificate=certs.self_signed(*LOCALHOST))
    with https_pool(server, ca_certs=certs.ca_file, block=True, maxsize=1) as pool:
        outcomes: list[Any] = []
        threads = [threading.Thread(target=lambda: outcomes.append(refusal(pool))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        assert len(outcomes) == 4
        assert pool.pool.qsize() == 1


def test_the_certificate_that_was_refused_is_logged(
    scripted_tls: Serve, certs: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    server = scripted_tls(default=answering(OK))
    with https_pool(server, ca_certs=certs.ca_file, assert_hostname="other.test") as pool:
        error = refusal(pool)
    assert "Certificate did not match expected hostname: other.test. Certificate: {" in caplog.text
    assert error.args[0]._peer_cert["subjectAltName"]
