"""TLS with a proxy and TLS with an origin behind it: two identities, two sets of rules, kept apart."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from behaviour.proxy_talk import OK, SECRETS, proxy_failure, serving, through
from behaviour.talk import wait_until
from servers.certs import Authority, Certificate
from servers.proxy import TLSProxyServer
from servers.tls import GARBAGE, HANG_UP, PLAIN_HTTP, TLSServer
from wirepool import ProxyManager
from wirepool.exceptions import InsecureRequestWarning, MaxRetryError, ProtocolError, ProxyError, SSLError
from wirepool.util import create_urllib3_context

Origins = Callable[..., TLSServer]
Proxies = Callable[..., TLSProxyServer]
FORWARDED = ["http://a.test/", "https://a.test/"]


@pytest.fixture
def theirs(certs: Authority) -> Authority:
    """Whoever is responsible for the proxy, and for nobody else."""
    return certs.stranger()


def context_for(ca_file: str | None = None) -> ssl.SSLContext:
    context = create_urllib3_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


def trusting_nobody() -> ssl.SSLContext:
    """Verifies nothing."""
    context = create_urllib3_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def by_name(server: Any) -> str:
    return f"https://localhost:{server.port}"


def nothing_was_said_to(server: Any) -> bool:
    """Once it knows that the connections are over."""
    wait_until(lambda: all(conn.version is None or conn.eof for conn in server.connections))
    return bool(server.connections) and not any(conn.received for conn in server.connections)


# --- whom to trust ----------------------------------------------------------------------------------------------------


def test_each_has_an_authority_of_its_own(
    gear: str, scripted_tls: Origins, scripted_proxy: Proxies, certs: Authority, theirs: Authority
) -> None:
    origin = scripted_tls(default=serving(OK))
    proxy = scripted_proxy(tls=True, certificate=theirs.localhost)
    with through(proxy, certs, proxy_ssl_context=context_for(theirs.ca_file)) as client:
        assert client.request("GET", origin.url).data == b"ok"


def test_the_proxys_authority_is_not_good_for_origins(
    gear: str, scripted_tls: Origins, scripted_proxy: Proxies, certs: Authority, theirs: Authority
) -> None:
    origin = scripted_tls(default=serving(OK), certificate=theirs.localhost)
    proxy = scripted_proxy(tls=True, certificate=theirs.localhost)
    with through(proxy, certs, proxy_ssl_context=context_for(theirs.ca_file)) as client:
        with pytest.raises(SSLError, match="certificate verify failed"):
            client.request("GET", origin.url, headers=SECRETS)
        with pytest.raises(MaxRetryError) as caught:
            client.request("GET", origin.url, headers=SECRETS, retries=0)
    assert type(caught.value.reason) is SSLError
    assert nothing_was_said_to(origin)


def test_the_origins_authority_is_not_good_for_a_proxy_with_rules_of_its_own(
    gear: str, scripted_tls: Origins, scripted_proxy: Proxies, certs: Authority, theirs: Authority
) -> None:
    proxy = scripted_proxy(tls=True)
    with through(proxy, certs, proxy_ssl_context=context_for(theirs.ca_file)) as client:
        for url in ("http://a.test/", "https://a.test/"):
            assert type(proxy_failure(client, url, headers=SECRETS)) is SSLError
    assert nothing_was_said_to(proxy)


def test_the_origins_authority_is_good_for_a_proxy_without(
    gear: str, scripted_tls: Origins, scripted_proxy: Proxies, certs: Authority
) -> None:
    origin = scripted_tls(default=serving(OK))
    for options in (
        {"ca_certs": certs.ca_file},
        {"ca_cert_data": certs.ca_data, "ca_certs": None},
        {"ca_cert_dir": certs.hashed_directory(), "ca_certs": None},
    ):
        with through(scripted_proxy(tls=True), certs, **options) as client:
            assert client.request("GET", origin.url).data == b"ok"


FORWARDING: list[tuple[str, dict[str, Any]]] = [
    ("http://a.test/", {}),
    ("https://a.test/", {"use_forwarding_for_https": True}),
]


def by_context(proxy: Any, certs: Authority, context: ssl.SSLContext, **options: Any) -> ProxyManager:
    """A manager with a context for origins, and none for the proxy."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*use_forwarding_for_https", FutureWarning)
        return through(proxy, certs, **{"ca_certs": None, "ssl_context": context, **options})


@pytest.mark.parametrize(("url", "options"), FORWARDING)
def test_the_origins_context_is_that_of_a_proxy_that_forwards(
    gear: str, scripted_proxy: Proxies, certs: Authority, theirs: Authority, url: str, options: dict[str, Any]
) -> None:
    proxy = scripted_proxy(tls=True, default=serving(OK))
    context = context_for(certs.ca_file)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with by_context(proxy, certs, context, **options) as client:
        assert client.request("GET", url).data == b"ok"
        conn = client.connection_from_url(url).pool.queue[-1]
        assert (conn.is_verified, conn.proxy_is_verified) == (False, True)
    assert proxy.connections[0].version == "TLSv1.2"
    for good in (context_for(), context_for(theirs.ca_file)):  # what is given beside it goes into it
        with by_context(proxy, certs, good, ca_certs=certs.ca_file, **options) as client:
            assert client.request("GET", url).data == b"ok"
    for bad in (context_for(), context_for(theirs.ca_file)):
        with by_context(proxy, certs, bad, **options) as client:
            assert type(proxy_failure(client, url, headers=SECRETS)) is SSLError
    assert len(proxy.requests) == 3


@pytest.mark.parametrize(("url", "options"), FORWARDING)
def test_who_a_proxy_that_forwards_is_by_the_origins_context(
    gear: str, scripted_proxy: Proxies, certs: Authority, url: str, options: dict[str, Any]
) -> None:
    """Its name is the proxy's, checked by whoever does it; what is asserted is asserted of the proxy."""
    other = certs.server("other.test")
    proxy = scripted_proxy(tls=True, certificate=other, default=serving(OK))
    lax = context_for(certs.ca_file)
    lax.check_hostname = False
    rules: list[dict[str, Any]] = [
        {},
        {"assert_hostname": False},
        {"assert_hostname": "other.test"},
        {"server_hostname": "other.test"},
        {"assert_fingerprint": other.fingerprint()},
        {"proxy_assert_hostname": "wrong.test"},
    ]
    for context in (context_for(certs.ca_file), lax):
        for rule in rules:
            with by_context(by_name(proxy), certs, context, **rule, **options) as client:
                assert type(proxy_failure(client, url, headers=SECRETS)) is SSLError
    assert proxy.requests == []
    for rule in (
        {"proxy_assert_hostname": "other.test"},
        {"proxy_assert_hostname": False},
        {"proxy_assert_fingerprint": other.fingerprint()},
    ):
        with by_context(by_name(proxy), certs, context_for(certs.ca_file), **rule, **options) as client:
            assert client.request("GET", url).data == b"ok"


@pytest.mark.parametrize(("url", "options"), FORWARDING)
def test_an_origins_context_that_verifies_nobody_is_warned_of(
    gear: str, scripted_proxy: Proxies, certs: Authority, url: str, options: dict[str, Any]
) -> None:
    proxy = scripted_proxy(tls=True, certificate=certs.stranger().localhost, default=serving(OK))
    with by_context(by_name(proxy), certs, trusting_nobody(), **options) as client:
        assert ask_with_warnings(client, url) == (b"ok", ["localhost"])
    # Unless somebody says who has to be verified all the same.
    with by_context(by_name(proxy), certs, trusting_nobody(), cert_reqs="CERT_REQUIRED", **options) as client:
        assert type(proxy_failure(client, url)) is SSLError
    with by_context(
        by_name(proxy), certs, trusting_nobody(), proxy_ssl_context=context_for(certs.ca_file), **options
    ) as client:
        assert type(proxy_failure(client, url)) is SSLError


def test_the_origins_context_is_not_that_of_a_proxy_with_a_tunnel(
    gear: str, scripted_tls: Origins, scripted_proxy: Proxies, certs: Authority
) -> None:
    origin = scripted_tls(default=serving(OK))
    proxy = scripted_proxy(tls=True)
    with by_context(proxy, certs, context_for(certs.ca_file)) as client:
        assert type(proxy_failure(client, origin.url)) is SSLError
    assert nothing_was_said_to(proxy)
    with by_context(proxy, certs, context_for(certs.ca_file), ca_certs=certs.ca_file) as client:
        assert client.request("GET", origin.url).data == b"ok"


# --- bad certificates -------------------------------------------------------------------------------------------------

BAD: dict[str, Callable[[Authority], Certificate]] = {
    "unknown": lambda certs: certs.stranger().localhost,
    "self-signed": lambda certs: certs.self_signed(),
    "expired": lambda certs: certs.expired(),
    "not yet valid": lambda certs: certs.not_yet_valid(),
    "another name": lambda certs: certs.server("other.test"),
    "common name only": lambda certs: certs.common_name_only(),
    "for clients": lambda certs: certs.client_only(),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_certificate_of_the_proxy(
    gear: str, scripted_proxy: Proxies, certs: Authority, name: str, no_leaks: None
) -> None:
    with TLSProxyServer(certificate=BAD[name](certs)) as proxy:
        with through(by_name(proxy), certs, maxsize=1, block=True) as client:
            for url in ("http://a.test/", "https://a.test/"):
                error = proxy_failure(client, url, headers=SECRETS, body=b"secret", pool_timeout=1)
                assert type(error) is SSLError
                assert "certificate verify failed" in str(error)
        assert nothing_was_said_to(proxy)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("name", BAD)
def test_a_bad_certificate_of_the_origin(
    gear: str, scripted_tls: Origins, scripted_proxy: Proxies, certs: Authority, name: str, tls: bool
) -> None:
    origin = scripted_tls(default=serving(OK), certificate=BAD[name](certs))
    proxy = scripted_proxy(tls=tls)
    with through(proxy, certs, maxsize=1, block=True) as client:
        for retries in (False, 0):
            with pytest.raises((SSLError, MaxRetryError)) as caught:
                client.request("GET", by_name(origin), headers=SECRETS, retries=retries, pool_timeout=1)
            error = caught.value if retries is False else caught.value.reason
            assert type(error) is SSLError
            assert "certificate verify failed" in str(error)
    assert nothing_was_said_to(origin)
    assert len(proxy.connects) == len(origin.connections) == 2


# --- what of the origin's rules is not the proxy's --------------------------------------------------------------------


@pytest.mark.parametrize("way", ["tunnelled", "forwarded http", "forwarded https"])
def test_the_client_certificate_is_for_origins(
    gear: str, scripted_tls: Origins, scripted_proxy: Proxies, certs: Authority, way: str
) -> None:
    origin = scripted_tls(default=serving(OK), client_ca=certs.ca_file)
    forwarding = {} if way == "tunnelled" else {"default": serving(OK)}
    proxy = scripted_proxy(tls=True, client_ca=certs.ca_file, client_required=False, **forwarding)
    mine = certs.client("me")
    url = {"tunnelled": origin.url, "forwarded http": "http://a.test/", "forwarded https": "https://a.test/"}[way]
    options = {"use_forwarding_for_https": True} if way == "forwarded https" else {}
    with through(proxy, certs, cert_file=mine.cert_file, key_file=mine.key_file, **options) as client:
        assert client.request("GET", url).data == b"ok"
    assert proxy.connections[0].client_certificate is None
    assert [conn.client_certificate for conn in origin.connections] == [mine.der] * (way == "tunnelled")


def test_a_client_certificate_beside_a_context_is_for_origins(
    gear: str, scripted: Any, scripted_tls: Origins, scripted_proxy: Proxies, certs: Authority
) -> None:
    """It goes into the context, which is the proxy's as well where there is none."""
    origin = scripted_tls(default=serving(OK), client_ca=certs.ca_file)
    plain = scripted(default=serving(OK))
    mine = certs.client("me")
    for options in (
        {"cert_file": mine.cert_file, "key_file": mine.key_file},
        {"cert_data": mine.pem, "key_data": Path(mine.key_file).read_text()},
    ):
        proxy = scripted_proxy(tls=True, client_ca=certs.ca_file, client_required=False)
        with through(proxy, certs, ssl_context=context_for(certs.ca_file), **options) as client:
            assert client.request("GET", origin.url).data == b"ok"
            assert client.request("GET", plain.url).data == b"ok"
        assert [conn.client_certificate for conn in proxy.connections] == [None, None]
    assert [conn.client_certificate for conn in origin.connections] == [mine.der] * 2


def test_a_client_certificate_in_the_context_is_for_a_proxy_that_forwards(
    gear: str, scripted_proxy: Proxies, certs: Authority
) -> None:
    """Nobody else could be meant; and what a context has cannot be taken out of it."""
    proxy = scripted_proxy(tls=True, client_ca=certs.ca_file, default=serving(OK))
    context = context_for(certs.ca_file)
    mine = certs.client("me")
    mine.load_into(context)
    with by_context(proxy, certs, context) as client:
        assert client.request("GET", "http://a.test/").data == b"ok"
    assert proxy.connections[0].client_certificate == mine.der


def test_a_client_certificate_for_the_proxy(
    gear: str, scripted_tls: Origins, scripted_proxy: Proxies, certs: Authority
) -> None:
    origin = scripted_tls(default=serving(OK), client_ca=certs.ca_file, client_required=False)
    proxy = scripted_proxy(tls=True, client_ca=certs.ca_file)
    context = context_for(certs.ca_file)
    mine = certs.client("me")
    mine.load_into(context)
    with through(proxy, certs, proxy_ssl_context=context) as client:
        assert client.request("GET", origin.url).data == b"ok"
    assert proxy.connections[0].client_certificate == mine.der
    assert origin.connections[0].client_certificate is None


def test_the_server_name_is_the_origins(
    gear: str, scripted_tls: Origins, scripted_proxy: Proxies, certs: Authority
) -> None:
    origin = scripted_tls(default=serving(OK), certificate=certs.server("other.test"))
    proxy = scripted_proxy(tls=True)
    with through(by_name(proxy), certs, server_hostname="other.test") as client:
        assert client.request("GET", origin.url).data == b"ok"
    assert (proxy.connections[0].sni, origin.connections[0].sni) == ("localhost", "other.test")


@pytest.mark.parametrize("own_context", [False, True])
@pytest.mark.parametrize("what", ["assert_hostname", "assert_fingerprint"])
def test_what_is_asserted_of_the_origin_is_not_of_the_proxy(
    gear: str, scripted_tls: Origins, scripted_proxy: Proxies, certs: Authority, what: str, own_context: bool
) -> None:
    other = certs.server("other.test")
    origin = scripted_tls(default=serving(OK), certificate=other)
    options: dict[str, Any] = {what: "other.test" if what == "assert_hostname" else other.fingerprint()}
    if own_context:
        options["proxy_ssl_context"] = context_for(certs.ca_file)
    with through(by_name(scripted_proxy(tls=True)), certs, **options) as client:
        assert client.request("GET", origin.url).data == b"ok"
        conn = client.connection_from_url(origin.url).pool.queue[-1]
        assert (conn.is_verified, conn.proxy_is_verified) == (True, True)
    # Neither does it make a bad proxy good, be it asked for anything or not.
    bad = scripted_proxy(tls=True, certificate=other)
    with through(by_name(bad), certs, **options) as client:
        assert type(proxy_failure(client, origin.url)) is SSLError
        assert type(proxy_failure(client, "http://a.test/")) is SSLError
    with through(by_name(bad), certs, **{**options, what: None, "assert_hostname": False}) as client:
        assert type(proxy_failure(client, origin.url)) is SSLError
    assert nothing_was_said_to(bad)


def test_versions_of_tls_are_the_contexts(
    gear: str, scripted_tls: Origins, scripted_proxy: Proxies, certs: Authority
) -> None:
    origin = scripted_tls(default=serving(OK))
    proxy = scripted_proxy(tls=True)
    options = {"ssl_maximum_version": ssl.TLSVersion.TLSv1_2, "proxy_ssl_context": context_for(certs.ca_file)}
    with through(proxy, certs, **options) as client:
        assert client.request("GET", origin.url).data == b"ok"
    assert (proxy.connections[0].version, origin.connections[0].version) == ("TLSv1.3", "TLSv1.2")


# --- what is asserted of the proxy ------------------------------------------------------------------------------------


@pytest.mark.parametrize("own_context", [False, True])
@pytest.mark.parametrize("url", ["http://a.test/", "tunnelled"])
def test_the_name_of_the_proxy(
    gear: str,
    scripted_tls: Origins,
    scripted_proxy: Proxies,
    certs: Authority,
    url: str,
    own_context: bool,
) -> None:
    origin = scripted_tls(default=serving(OK))
    options: dict[str, Any] = {} if url == "tunnelled" else {"default": serving(OK)}
    proxy = scripted_proxy(tls=True, certificate=certs.server("proxy.test"), **options)
    rules = {"proxy_ssl_context": context_for(certs.ca_file)} if own_context else {}
    url = origin.url if url == "tunnelled" else url
    for name in ("proxy.test", False):
        with through(by_name(proxy), certs, proxy_assert_hostname=name, **rules) as client:
            assert client.request("GET", url).data == b"ok"
    said = len(proxy.requests)
    for name in ("localhost", "wrong.test", None):
        with through(by_name(proxy), certs, proxy_assert_hostname=name, **rules) as client:
            assert type(proxy_failure(client, url)) is SSLError
    assert len(proxy.requests) == said


@pytest.mark.parametrize("own_context", [False, True])
@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
def test_the_fingerprint_of_the_proxy(
    gear: str,
    scripted_tls: Origins,
    scripted_proxy: Proxies,
    certs: Authority,
    own_context: bool,
    algorithm: str,
) -> None:
    """Which may have any name, and is not asked of the origin."""
    origin = scripted_tls(default=serving(OK))
    certificate = certs.server("proxy.test")
    proxy = scripted_proxy(tls=True, certificate=certificate)
    rules = {"proxy_ssl_context": context_for(certs.ca_file)} if own_context else {}
    good = certificate.fingerprint(algorithm)
    with through(by_name(proxy), certs, proxy_assert_fingerprint=good, **rules) as client:
        assert client.request("GET", origin.url).data == b"ok"
    wrong = certs.localhost.fingerprint(algorithm)
    with through(by_name(proxy), certs, proxy_assert_fingerprint=wrong, **rules) as client:
        assert "Fingerprints did not match" in str(proxy_failure(client, origin.url))
    assert len(proxy.connects) == 1


# --- verifying nobody -------------------------------------------------------------------------------------------------


def ask_with_warnings(client: ProxyManager, url: str) -> tuple[bytes, list[str]]:
    """The answer, and who was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = client.request("GET", url).data
    assert all(warning.category is InsecureRequestWarning for warning in caught)
    return data, [str(warning.message).split("'")[1] for warning in caught]


def test_a_proxy_that_nobody_verifies(
    gear: str, scripted_tls: Origins, scripted_proxy: Proxies, certs: Authority
) -> None:
    """Is no danger to what is in a tunnel; forwarded requests are another matter."""
    origin = scripted_tls(default=serving(OK))
    stranger = certs.stranger().localhost
    proxy = scripted_proxy(tls=True, certificate=stranger)
    with through(proxy, certs, proxy_ssl_context=trusting_nobody()) as client:
        assert ask_with_warnings(client, origin.url) == (b"ok", [])
        conn = client.connection_from_url(origin.url).pool.queue[-1]
        assert (conn.is_verified, conn.proxy_is_verified) == (True, False)
    proxy = scripted_proxy(tls=True, certificate=stranger, default=serving(OK))
    with through(by_name(proxy), certs, proxy_ssl_context=trusting_nobody()) as client:
        assert ask_with_warnings(client, "http://a.test/") == (b"ok", ["localhost"])


@pytest.mark.parametrize("tls", [False, True])
def test_an_origin_that_nobody_verifies(
    gear: str, scripted_tls: Origins, scripted_proxy: Proxies, certs: Authority, tls: bool
) -> None:
    origin = scripted_tls(default=serving(OK), certificate=certs.stranger().localhost)
    proxy = scripted_proxy(tls=tls)
    with through(proxy, certs, cert_reqs="CERT_NONE", proxy_ssl_context=context_for(certs.ca_file)) as client:
        data, caught = ask_with_warnings(client, by_name(origin))
        conn = client.connection_from_url(by_name(origin)).pool.queue[-1]
        assert (conn.is_verified, conn.proxy_is_verified) == (False, tls)
    assert data == b"ok"
    assert caught == ["localhost"]


# --- no handshake -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["http://a.test/", "https://a.test/"])
@pytest.mark.parametrize("instead", [PLAIN_HTTP, GARBAGE, HANG_UP], ids=["plain", "garbage", "hang up"])
def test_no_tls_with_the_proxy(gear: str, scripted_proxy: Proxies, certs: Authority, instead: Any, url: str) -> None:
    proxy = scripted_proxy(tls=True, handshake=instead)
    with through(proxy, certs, maxsize=1, block=True) as client:
        assert isinstance(proxy_failure(client, url, pool_timeout=1), (SSLError, OSError))


@pytest.mark.parametrize("url", ["http://a.test/", "https://a.test/"])
def test_a_hint_for_who_says_https_and_means_http(
    gear: str, scripted_proxy: Proxies, certs: Authority, url: str
) -> None:
    proxy = scripted_proxy(tls=True, handshake=PLAIN_HTTP)
    with through(proxy, certs) as client, pytest.raises(ProxyError, match="try changing your proxy URL to be HTTP"):
        client.request("GET", url)


@pytest.mark.parametrize("instead", [PLAIN_HTTP, GARBAGE, HANG_UP], ids=["plain", "garbage", "hang up"])
def test_no_tls_with_the_origin(
    gear: str, scripted_tls: Origins, scripted_proxy: Proxies, certs: Authority, instead: Any
) -> None:
    origin = scripted_tls(handshake=instead)
    proxy = scripted_proxy()
    with through(proxy, certs) as client, pytest.raises((SSLError, ProtocolError)) as caught:
        client.request("GET", origin.url)
    assert "proxy URL" not in str(caught.value)
