"""Every option of TLS, and what it does to a handshake: seen at the server, at the socket and in the warnings."""

from __future__ import annotations

import re
import ssl
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import wirepool
import wirepool.connection
from behaviour.talk import OK, answering
from behaviour.tls_talk import anew, connection_of, contexts_of, get, https_pool, insecure, once_closing, refusal
from servers.certs import Authority
from servers.nginx import TLSListeners
from servers.tls import TLSServer
from wirepool import HTTPSConnectionPool, PoolManager, ProxyManager
from wirepool.connection import HTTPSConnection
from wirepool.exceptions import InsecureRequestWarning, SSLError, SystemTimeWarning

pytestmark = pytest.mark.usefixtures("gear")

Serve = Callable[..., TLSServer]
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture
def server(scripted_tls: Serve) -> TLSServer:
    return scripted_tls(default=answering(OK), alpn=("h2", "http/1.1"))


# --- whom to trust ----------------------------------------------------------------------------------------------------

ROOTS: dict[str, Callable[[Authority], dict[str, Any]]] = {
    "ca_certs": lambda certs: {"ca_certs": certs.ca_file},
    "ca_cert_dir": lambda certs: {"ca_cert_dir": certs.hashed_directory()},
    "ca_cert_data, PEM": lambda certs: {"ca_cert_data": certs.ca_data},
    "ca_cert_data, DER": lambda certs: {"ca_cert_data": ssl.PEM_cert_to_DER_cert(certs.ca_data)},
    "ca_cert_data, a bytearray": lambda certs: {"ca_cert_data": bytearray(ssl.PEM_cert_to_DER_cert(certs.ca_data))},
    "file and directory": lambda certs: {
        "ca_certs": certs.stranger().ca_file,
        "ca_cert_dir": certs.hashed_directory(),
    },
    "file and data": lambda certs: {"ca_certs": certs.stranger().ca_file, "ca_cert_data": certs.ca_data},
}
roots = pytest.mark.parametrize("options", ROOTS.values(), ids=ROOTS.keys())


@roots
def test_certificates_to_trust(server: TLSServer, certs: Authority, options: Any) -> None:
    with https_pool(server, **options(certs)) as pool:
        assert get(pool) == get(pool) == b"ok"
        assert connection_of(pool).is_verified
    assert len(server.connections) == 1


@roots
def test_certificates_to_trust_added_to_a_context(server: TLSServer, certs: Authority, options: Any) -> None:
    with https_pool(server, ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), **options(certs)) as pool:
        assert get(pool) == b"ok"
        assert connection_of(pool).is_verified


def test_home_directory_in_paths(
    server: TLSServer, certs: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.pem").write_text(certs.ca_data)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    with https_pool(server, ca_certs="~/ca.pem") as pool:
        assert get(pool) == b"ok"


def test_the_systems_roots_if_no_others_are_given(
    server: TLSServer, certs: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with https_pool(server) as pool:
        assert "unable to get local issuer certificate" in str(refusal(pool))
        monkeypatch.setenv("SSL_CERT_FILE", certs.ca_file)
        assert get(pool) == b"ok"
    with https_pool(server, ca_certs=certs.stranger().ca_file) as pool:
        refusal(pool)


BAD_ROOTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "missing file": lambda path: {"ca_certs": str(path / "nowhere.pem")},
    "empty file": lambda path: {"ca_certs": _file(path, b"")},
    "garbage in a file": lambda path: {"ca_certs": _file(path, b"no certificate")},
    "garbage as text": lambda path: {"ca_cert_data": "no certificate"},
    "garbage as bytes": lambda path: {"ca_cert_data": b"\0no certificate"},
    "missing directory": lambda path: {"ca_cert_dir": str(path / "nowhere")},
    "empty directory": lambda path: {"ca_cert_dir": str(path)},
}


@pytest.mark.parametrize("options", BAD_ROOTS.values(), ids=BAD_ROOTS.keys())
def test_certificates_to_trust_that_cannot_be_loaded(server: TLSServer, options: Any, tmp_path: Path) -> None:
    with https_pool(server, **options(tmp_path), block=True) as pool:
        refusal(pool)
        assert pool.pool.qsize() == 1
        server.wait_over()
    assert server.requests == []


def _file(directory: Path, content: bytes) -> str:
    path = directory / "file.pem"
    path.write_bytes(content)
    return str(path)


# --- cert_reqs --------------------------------------------------------------------------------------------------------

NONE = ["NONE", "CERT_NONE", ssl.CERT_NONE, 0]
OPTIONAL = ["OPTIONAL", "CERT_OPTIONAL", ssl.CERT_OPTIONAL, 1]
REQUIRED = [None, "REQUIRED", "CERT_REQUIRED", ssl.CERT_REQUIRED, 2]


@pytest.mark.parametrize("cert_reqs", NONE)
def test_verify_nobody(server: TLSServer, cert_reqs: Any) -> None:
    with https_pool(server, cert_reqs=cert_reqs) as pool, insecure(2):
        assert get(pool) == get(pool) == b"ok"
        assert not connection_of(pool).is_verified
        assert connection_of(pool).proxy_is_verified is None
        assert connection_of(pool).sock.getpeercert() == {}
        assert connection_of(pool).sock.getpeercert(binary_form=True)


@pytest.mark.parametrize("cert_reqs", OPTIONAL)
def test_verify_if_there_is_a_certificate(server: TLSServer, certs: Authority, cert_reqs: Any) -> None:
    with https_pool(server, cert_reqs=cert_reqs, ca_certs=certs.ca_file) as pool, insecure(1):
        assert get(pool) == b"ok"
        assert not connection_of(pool).is_verified
    with https_pool(server, cert_reqs=cert_reqs, ca_certs=certs.stranger().ca_file) as pool:
        refusal(pool)
    with https_pool(server, host="other.test", cert_reqs=cert_reqs, ca_certs=certs.ca_file) as pool:
        assert "doesn't match" in str(refusal(pool))


@pytest.mark.parametrize("cert_reqs", REQUIRED)
def test_verify(server: TLSServer, certs: Authority, cert_reqs: Any) -> None:
    with https_pool(server, cert_reqs=cert_reqs, ca_certs=certs.ca_file) as pool:
        assert get(pool) == b"ok"
        assert connection_of(pool).is_verified
        assert connection_of(pool).sock.getpeercert()["subjectAltName"]
    with https_pool(server, cert_reqs=cert_reqs, ca_certs=certs.stranger().ca_file) as pool:
        refusal(pool)


def test_a_policy_that_does_not_exist(server: TLSServer) -> None:
    with https_pool(server, cert_reqs="CERT_MAYBE", block=True) as pool:
        with pytest.raises(AttributeError, match="CERT_MAYBE"):
            get(pool)
        assert pool.pool.qsize() == 1


def test_the_policy_is_written_into_the_users_context(server: TLSServer, certs: Authority) -> None:
    context = ssl.create_default_context(cafile=certs.ca_file)
    with https_pool(server, ssl_context=context, cert_reqs="CERT_NONE") as pool, insecure(1):
        assert get(pool) == b"ok"
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)
    with https_pool(server, ssl_context=context) as pool, insecure(1):
        assert get(pool) == b"ok"
    with https_pool(server, ssl_context=context, cert_reqs="CERT_REQUIRED") as pool:
        assert get(pool) == b"ok"
        assert connection_of(pool).is_verified
    with https_pool(server, host="other.test", ssl_context=context) as pool:
        assert "doesn't match" in str(refusal(pool))


def test_a_context_that_verifies_nobody_is_believed(server: TLSServer) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with https_pool(server, ssl_context=context) as pool, insecure(1):
        assert get(pool) == b"ok"
        assert connection_of(pool).sock.context is context


def test_the_warning_can_be_an_error(no_leaks: None, server: TLSServer) -> None:
    with https_pool(server, cert_reqs="CERT_NONE", block=True) as pool:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(InsecureRequestWarning, match=r"127\.0\.0\.1"):
                get(pool)
        assert pool.pool.qsize() == 1
    assert server.requests == []


# --- the name ---------------------------------------------------------------------------------------------------------


def test_another_name_in_the_certificate(scripted_tls: Serve, certs: Authority) -> None:
    server = scripted_tls(default=answering(OK), certificate=certs.server("right.test"))
    trust = {"host": "wrong.test", "ca_certs": certs.ca_file}
    with https_pool(server, **trust) as pool:
        assert "wrong.test" in str(refusal(pool))
    with https_pool(server, **trust, assert_hostname="right.test") as pool:
        assert get(pool) == b"ok"
        assert connection_of(pool).is_verified
    with https_pool(server, **trust, assert_hostname="other.test") as pool:
        assert "hostname 'other.test' doesn't match 'right.test'" in str(refusal(pool))
    with https_pool(server, **trust, assert_hostname=False) as pool:
        assert get(pool) == b"ok"
        assert connection_of(pool).is_verified
    with https_pool(server, **trust, server_hostname="right.test") as pool:
        assert get(pool) == b"ok"
    names = [conn.sni for conn in server.connections]
    assert names[-1] == "right.test"
    assert set(names[:-1]) == {"wrong.test"}
    assert {request.header("Host") for request in server.requests} == {f"wrong.test:{server.port}"}


def test_any_name_is_no_reason_to_trust_any_authority(server: TLSServer, certs: Authority) -> None:
    with https_pool(server, assert_hostname=False, ca_certs=certs.stranger().ca_file) as pool:
        refusal(pool)


@pytest.mark.parametrize(
    ("host", "sni"), [("localhost", "localhost"), ("a.test.", "a.test"), ("127.0.0.1", None), ("A.Test", "a.test")]
)
def test_the_name_that_is_asked_for(scripted_tls: Serve, certs: Authority, host: str, sni: str | None) -> None:
    server = scripted_tls(default=answering(OK), certificate=certs.server("localhost", "127.0.0.1", "a.test"))
    resolve = {f"{name}:{server.port}": [server.host] for name in ("a.test", "a.test.")}
    with https_pool(server, host=host, ca_certs=certs.ca_file, resolve=resolve) as pool:
        assert get(pool) == b"ok"
    assert server.connections[0].sni == sni


def test_ipv6(scripted_tls: Serve, certs: Authority, loopback: str) -> None:
    server = scripted_tls(default=answering(OK), host=loopback, alpn=["http/1.1"])
    with PoolManager(ca_certs=certs.ca_file) as manager:
        assert manager.request("GET", server.url, timeout=5).data == b"ok"
    assert (server.connections[0].sni, server.connections[0].alpn) == (None, "http/1.1")


# --- fingerprints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
@pytest.mark.parametrize("spell", [str, str.upper, lambda text: ":".join(re.findall("..", text))])
def test_right_fingerprint(server: TLSServer, certs: Authority, algorithm: str, spell: Any) -> None:
    fingerprint = spell(certs.localhost.fingerprint(algorithm))
    with https_pool(server, cert_reqs="CERT_NONE", assert_fingerprint=fingerprint) as pool:
        assert get(pool) == b"ok"
        assert connection_of(pool).is_verified


BAD_FINGERPRINTS = {
    "wrong": ("0" * 64, "did not match"),
    "of another algorithm": ("0" * 56, "invalid length"),
    "odd": ("0" * 63, "invalid length"),
    "no digits": ("z" * 64, "Non-hexadecimal"),
    "not ASCII": ("\xe9" * 32, ""),
    "only colons": (":::", "invalid length"),
}


@pytest.mark.parametrize(("fingerprint", "message"), BAD_FINGERPRINTS.values(), ids=BAD_FINGERPRINTS.keys())
def test_wrong_fingerprint(server: TLSServer, certs: Authority, fingerprint: str, message: str) -> None:
    with https_pool(server, ca_certs=certs.ca_file, assert_fingerprint=fingerprint, block=True) as pool:
        assert message in str(refusal(pool))
        assert pool.pool.qsize() == 1
        server.wait_over()
    assert server.requests == []


def test_a_fingerprint_stands_for_the_name_not_for_the_chain(server: TLSServer, certs: Authority) -> None:
    fingerprint = certs.localhost.fingerprint()
    with https_pool(server, host="other.test", ca_certs=certs.ca_file, assert_fingerprint=fingerprint) as pool:
        assert get(pool) == b"ok"
    with https_pool(server, ca_certs=certs.stranger().ca_file, assert_fingerprint=fingerprint) as pool:
        assert "unable to get local issuer" in str(refusal(pool))


# --- the user's context -----------------------------------------------------------------------------------------------


class CountingContext(ssl.SSLContext):
    """Counts how often certificates are loaded."""

    loads = 0

    def load_verify_locations(self, *args: Any, **kw: Any) -> None:
        self.loads += 1
        super().load_verify_locations(*args, **kw)


def test_certificates_are_loaded_into_a_context_once(scripted_tls: Serve, certs: Authority, tmp_path: Path) -> None:
    server = scripted_tls(default=once_closing())
    context = CountingContext(ssl.PROTOCOL_TLS_CLIENT)
    path = _file(tmp_path, certs.stranger().ca_data.encode())
    with https_pool(server, ssl_context=context, ca_certs=certs.ca_file, maxsize=3) as pool:
        assert [get(pool) for _ in range(3)] == [b"ok"] * 3
        assert context.loads == 1
        pool.ca_certs = path
        pool.pool.get()
        assert get(pool) == b"ok"
    assert context.loads == 2
    assert len(server.connections) == 4


def test_the_context_is_used_as_it_is(server: TLSServer, certs: Authority) -> None:
    context = ssl.create_default_context(cafile=certs.ca_file)
    context.maximum_version = V12
    context.set_ciphers("ECDHE+AESGCM")
    with https_pool(server, ssl_context=context) as pool:
        assert get(pool) == b"ok"
        sock = connection_of(pool).sock
        assert sock.context is context
        assert (sock.version(), sock.selected_alpn_protocol()) == ("TLSv1.2", "http/1.1")
        assert "GCM" in sock.cipher()[0]
    assert server.connections[0].version == "TLSv1.2"


# --- versions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "served", "agreed"),
    [
        ({}, (V12, V13), "TLSv1.3"),
        ({}, (V12, V12), "TLSv1.2"),
        ({}, (V13, V13), "TLSv1.3"),
        ({"ssl_maximum_version": V12}, (V12, V13), "TLSv1.2"),
        ({"ssl_minimum_version": V13}, (V12, V13), "TLSv1.3"),
        ({"ssl_minimum_version": V12, "ssl_maximum_version": V12}, (V12, V13), "TLSv1.2"),
        ({"ssl_minimum_version": V13}, (V12, V12), None),
        ({"ssl_maximum_version": V12}, (V13, V13), None),
        ({}, (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1), None),
    ],
)
def test_versions(scripted_tls: Serve, certs: Authority, options: Any, served: Any, agreed: str | None) -> None:
    server = scripted_tls(default=answering(OK), minimum=served[0], maximum=served[1])
    with https_pool(server, ca_certs=certs.ca_file, **options) as pool:
        if agreed is None:
            assert "version" in str(refusal(pool)).lower()
        else:
            assert get(pool) == b"ok"
    assert server.connections[-1].version == agreed


def test_versions_at_a_real_server(nginx_tls: TLSListeners, certs: Authority) -> None:
    with PoolManager(ca_certs=certs.ca_file, retries=False, timeout=5) as manager:
        answers = [manager.request("GET", port.url + "/tls").json() for port in (nginx_tls.tls12, nginx_tls.tls13)]
    assert [(answer["protocol"], answer["alpn"]) for answer in answers] == [
        ("TLSv1.2", "http/1.1"),
        ("TLSv1.3", "http/1.1"),
    ]
    with PoolManager(ca_certs=certs.ca_file, retries=False, ssl_maximum_version=V12) as manager:
        assert manager.request("GET", nginx_tls.both.url + "/tls").json()["protocol"] == "TLSv1.2"
        with pytest.raises(SSLError, match=r"(?i)version"):
            manager.request("GET", nginx_tls.tls13.url + "/tls")


@pytest.mark.parametrize("spelling", [ssl.PROTOCOL_TLSv1_2, "PROTOCOL_TLSv1_2", "TLSv1_2"])
def test_exact_version_is_deprecated(scripted_tls: Serve, certs: Authority, spelling: Any) -> None:
    server = scripted_tls(default=once_closing())
    with https_pool(server, ca_certs=certs.ca_file, ssl_version=spelling) as pool:
        for _ in range(2):
            with pytest.warns(FutureWarning, match="ssl_minimum_version") as caught:
                assert get(pool) == b"ok"
            assert len(caught) == 1
    assert [conn.version for conn in server.connections] == ["TLSv1.2"] * 2


@pytest.mark.parametrize("other", ["ssl_minimum_version", "ssl_maximum_version"])
def test_exact_version_and_bounds(no_leaks: None, server: TLSServer, certs: Authority, other: str) -> None:
    options: dict[str, Any] = {"ssl_version": ssl.PROTOCOL_TLSv1_2, other: V12}
    with https_pool(server, ca_certs=certs.ca_file, block=True, **options) as pool:
        with pytest.raises(ValueError, match="ssl_version"):
            get(pool)
        assert pool.pool.qsize() == 1


# --- environment, clock, what is told ---------------------------------------------------------------------------------


def test_secrets_are_logged_on_request(
    server: TLSServer, certs: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"ca_certs": certs.ca_file}
    with https_pool(server, **options) as pool:
        assert get(pool) == b"ok"
        assert connection_of(pool).sock.context.keylog_filename is None
        log = tmp_path / "keys.log"
        monkeypatch.setenv("KEYS", str(tmp_path))
        monkeypatch.setenv("SSLKEYLOGFILE", "$KEYS/keys.log")
        anew(pool)
        assert get(pool) == b"ok"
        assert "CLIENT_TRAFFIC_SECRET_0 " in log.read_text()
        monkeypatch.delenv("SSLKEYLOGFILE")
        anew(pool)
        size = log.stat().st_size
        assert get(pool) == b"ok"
        assert log.stat().st_size == size


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be deleted there")
@pytest.mark.parametrize("take_away", [Path.unlink, lambda log: log.rename(log.with_suffix(".old"))])
def test_secrets_go_to_the_file_that_is_there_now(
    server: TLSServer, certs: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, take_away: Any
) -> None:
    log = tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    with https_pool(server, ca_certs=certs.ca_file) as pool:
        assert get(pool) == b"ok"
        first = contexts_of(pool)
        anew(pool)
        assert get(pool) == b"ok"
        assert contexts_of(pool) is first
        take_away(log)
        anew(pool)
        assert get(pool) == b"ok"
        assert "CLIENT_TRAFFIC_SECRET_0 " in log.read_text()
        second = contexts_of(pool)
        anew(pool)
        assert get(pool) == b"ok"
        assert contexts_of(pool) is second is not first


def test_wrong_clock(server: TLSServer, certs: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    import datetime

    monkeypatch.setattr(wirepool.connection, "RECENT_DATE", datetime.date(9999, 1, 1))
    with https_pool(server, ca_certs=certs.ca_file) as pool, pytest.warns(SystemTimeWarning, match="clock") as caught:
        assert get(pool) == get(pool) == b"ok"
    assert len(caught) == 1


def test_through_a_plain_proxy(server: TLSServer, certs: Authority, scripted_proxy: Any) -> None:
    proxy = scripted_proxy()
    with ProxyManager(proxy.url, ca_certs=certs.ca_file, timeout=5) as manager:
        assert manager.request("GET", server.url).data == b"ok"
        conn = connection_of(manager.connection_from_url(server.url))
        assert (conn.is_verified, conn.proxy_is_verified) == (True, False)
        conn.close()
        assert (conn.is_verified, conn.proxy_is_verified) == (False, None)
    assert server.connections[0].alpn == "http/1.1"


def test_the_socket_is_one_of_the_standard_library(server: TLSServer, certs: Authority) -> None:
    with https_pool(server, ca_certs=certs.ca_file) as pool:
        response = pool.urlopen("GET", "/", preload_content=False)
        sock = response.connection.sock  # type: ignore[attr-defined]
        assert type(sock) is ssl.SSLSocket
        assert ssl.DER_cert_to_PEM_cert(sock.getpeercert(True)) == certs.localhost.pem
        assert ("IP Address", "127.0.0.1") in sock.getpeercert()["subjectAltName"]
        assert (sock.version(), sock.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")
        assert sock.cipher()[1] == "TLSv1.3"
        assert sock.getpeername() == (server.host, server.port)
        assert sock.server_hostname == server.host
        assert response.data == b"ok"


# --- attributes that are assigned later -------------------------------------------------------------------------------


def test_trust_assigned_to_the_pool(server: TLSServer, certs: Authority, tmp_path: Path) -> None:
    with HTTPSConnectionPool(server.host, server.port, timeout=5) as pool:
        refusal(pool)
        pool.pool.get()
        pool.pool.put(None)
        pool.ca_certs = certs.ca_file
        assert get(pool) == b"ok"
        renew(pool).ca_certs = certs.stranger().ca_file
        refusal(pool)
        renew(pool).ca_certs = None
        pool.ca_cert_dir = certs.hashed_directory()
        assert get(pool) == b"ok"
        renew(pool).ca_cert_dir = None
        pool.cert_reqs = "CERT_NONE"
        with insecure(1):
            assert get(pool) == b"ok"
        renew(pool).cert_reqs = "CERT_REQUIRED"
        refusal(pool)


def test_assertions_and_versions_assigned_to_the_pool(server: TLSServer, certs: Authority) -> None:
    with https_pool(server, ca_certs=certs.ca_file) as pool:
        pool.assert_hostname = "other.test"
        refusal(pool)
        renew(pool).assert_hostname = "localhost"
        assert get(pool) == b"ok"
        renew(pool).assert_fingerprint = "0" * 64
        refusal(pool)
        renew(pool).assert_fingerprint = certs.localhost.fingerprint()
        assert get(pool) == b"ok"
        renew(pool).ssl_maximum_version = V12
        assert get(pool) == b"ok"
        assert connection_of(pool).sock.version() == "TLSv1.2"


def renew(pool: Any) -> Any:
    """The pool, its connection thrown away."""
    conn = pool.pool.get()
    if conn is not None:
        conn.close()
    pool.pool.put(None)
    return pool


def test_options_of_a_connection_by_itself(server: TLSServer, certs: Authority) -> None:
    conn = HTTPSConnection("localhost", server.port, timeout=5, ca_certs=certs.ca_file)
    for _ in range(2):
        conn.request("GET", "/", headers={"Connection": "close"})
        assert conn.getresponse().data == b"ok"
        assert conn.is_verified
        conn.close()
        assert not conn.is_verified
    with pytest.warns(FutureWarning, match="set_cert"):
        conn.set_cert(ca_certs=certs.stranger().ca_file)
    with pytest.raises(ssl.SSLCertVerificationError):
        conn.connect()
    assert conn.is_closed
