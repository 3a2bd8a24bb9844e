"""The client's own certificate, from files and from memory: whom the server saw, and what never reaches a disk."""

from __future__ import annotations

import functools
import os
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from behaviour.talk import OK, answering
from behaviour.tls_talk import anew, get, https_pool, once_closing, refusal
from servers.certs import Authority, Certificate
from servers.nginx import TLSListeners
from servers.tls import TLSServer
from wirepool import PoolManager
from wirepool.exceptions import MaxRetryError, ProtocolError, SSLError

pytestmark = pytest.mark.usefixtures("gear")

Serve = Callable[..., TLSServer]
Options = Callable[[Certificate], dict[str, Any]]


@pytest.fixture
def server(scripted_tls: Serve, certs: Authority) -> TLSServer:
    return scripted_tls(default=answering(OK), client_ca=certs.ca_file, client_required=False)


def names_at(server: TLSServer) -> list[str | None]:
    """As whom the client came, by connection; None for nobody in particular."""
    return [_common_name(conn.client_certificate) for conn in server.connections]


def _common_name(der: bytes | None) -> str | None:
    if der is None:
        return None
    (name,) = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(name.value)


@functools.cache
def anna(certs: Authority, password: str | None = None) -> Certificate:
    return certs.client("anna", password=password)


def text(path: str) -> str:
    return Path(path).read_text()


def data(path: str) -> bytes:
    return Path(path).read_bytes()


def joined(tmp: Certificate) -> str:
    """One file with certificate and key."""
    path = tmp.cert_file + "-with-key"
    with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text(tmp.cert_file) + text(tmp.key_file))
    return path


PLAIN: dict[str, Options] = {
    "two files": lambda c: {"cert_file": c.cert_file, "key_file": c.key_file},
    "one file": lambda c: {"cert_file": joined(c)},
    "two texts": lambda c: {"cert_data": text(c.cert_file), "key_data": text(c.key_file)},
    "two bytes": lambda c: {"cert_data": data(c.cert_file), "key_data": data(c.key_file)},
    "one text": lambda c: {"cert_data": text(c.cert_file) + text(c.key_file)},
    "two bytearrays": lambda c: {"cert_data": bytearray(data(c.cert_file)), "key_data": bytearray(data(c.key_file))},
    "a needless password": lambda c: {"cert_file": c.cert_file, "key_file": c.key_file, "key_password": "x"},
}
ENCRYPTED: dict[str, Options] = {
    name: PLAIN[name] for name in ("two files", "one file", "two texts", "two bytes", "one text")
}


@pytest.mark.parametrize("options", PLAIN.values(), ids=PLAIN.keys())
@pytest.mark.parametrize("own_context", [False, True], ids=["our context", "the user's"])
def test_where_the_certificate_comes_from(
    server: TLSServer, certs: Authority, options: Options, own_context: bool
) -> None:
    more = {"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)} if own_context else {}
    with https_pool(server, ca_certs=certs.ca_file, **options(anna(certs)), **more) as pool:
        assert get(pool) == b"ok"
        anew(pool)
        assert get(pool) == b"ok"
    assert names_at(server) == ["anna", "anna"]


@pytest.mark.parametrize("password", ["right", b"right", lambda: "right"], ids=["str", "bytes", "function"])
@pytest.mark.parametrize("options", ENCRYPTED.values(), ids=ENCRYPTED.keys())
def test_encrypted_key(server: TLSServer, certs: Authority, options: Options, password: Any) -> None:
    client = options(anna(certs, "right"))
    with https_pool(server, ca_certs=certs.ca_file, key_password=password, **client) as pool:
        assert get(pool) == b"ok"
    assert names_at(server) == ["anna"]


@pytest.mark.parametrize("options", ENCRYPTED.values(), ids=ENCRYPTED.keys())
def test_encrypted_key_without_its_password(server: TLSServer, certs: Authority, options: Options) -> None:
    client = options(anna(certs, "right"))
    with https_pool(server, ca_certs=certs.ca_file, block=True, **client) as pool:
        # OpenSSL would ask for it on the terminal, and wait.
        assert "key is encrypted, password is required" in str(refusal(pool))
        assert pool.pool.qsize() == 1
    with https_pool(server, ca_certs=certs.ca_file, key_password="wrong", **client) as pool:
        refusal(pool)
    server.wait_over()
    assert server.requests == []


MIXED: dict[str, tuple[dict[str, str], str]] = {
    "both certificates": ({"cert_file": "x.pem", "cert_data": "pem"}, "either as files"),
    "file and key from memory": ({"cert_file": "x.pem", "key_data": "pem"}, "either as files"),
    "certificate from memory, file of the key": ({"cert_data": "pem", "key_file": "x.pem"}, "either as files"),
    "only the key": ({"key_data": "pem"}, "key_data needs cert_data"),
    "nonsense": ({"cert_data": "no certificate"}, ""),
    "nonsense with a key": ({"cert_data": "no certificate", "key_data": "no key"}, ""),
}


@pytest.mark.parametrize(("options", "message"), MIXED.values(), ids=MIXED.keys())
def test_options_that_make_no_certificate(server: TLSServer, certs: Authority, options: Any, message: str) -> None:
    with https_pool(server, ca_certs=certs.ca_file, block=True, **options) as pool:
        assert message in str(refusal(pool))
        assert pool.pool.qsize() == 1
        server.wait_over()
    assert server.requests == []


def test_key_of_another_certificate(server: TLSServer, certs: Authority) -> None:
    hers, his = anna(certs), certs.client("otto")
    with https_pool(server, ca_certs=certs.ca_file, cert_file=hers.cert_file, key_file=his.key_file) as pool:
        assert "mismatch" in str(refusal(pool)).lower()
    mixed = {"cert_data": text(hers.cert_file), "key_data": text(his.key_file)}
    with https_pool(server, ca_certs=certs.ca_file, **mixed) as pool:
        assert "mismatch" in str(refusal(pool)).lower()


# --- nothing on disk --------------------------------------------------------------------------------------------------


class Files:
    """An audit hook: what Python opened or made while it listened. Hooks cannot be removed, hence the flag."""

    def __init__(self) -> None:
        self.listening = False
        self.seen: list[tuple[str, str]] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if self.listening and event in ("open", "tempfile.mkstemp", "tempfile.mkdtemp", "os.rename", "os.mkdir"):
            self.seen.append((event, str(args[0])))

    @contextmanager
    def listen(self) -> Iterator[list[tuple[str, str]]]:
        self.seen.clear()
        self.listening = True
        try:
            yield self.seen
        finally:
            self.listening = False


_files = Files()


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux has files in memory")
@pytest.mark.parametrize("password", [None, "right"])
def test_a_key_in_memory_stays_there(no_leaks: None, server: TLSServer, certs: Authority, password: str | None) -> None:
    client = anna(certs, password)
    options = {"cert_data": text(client.cert_file), "key_data": text(client.key_file), "key_password": password}
    with https_pool(server, ca_certs=certs.ca_file, **options) as pool:
        with _files.listen() as seen:
            assert get(pool) == b"ok"
        assert [entry for entry in seen if not entry[1].endswith((".py", ".pyc", ".so"))] == []
    assert names_at(server) == ["anna"]


# --- servers that insist ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_insists(no_leaks: None, scripted_tls: Serve, certs: Authority, version: Any) -> None:
    server = scripted_tls(default=answering(OK), client_ca=certs.ca_file, minimum=version, maximum=version)
    with https_pool(server, ca_certs=certs.ca_file, block=True) as pool:
        # With TLS 1.3 the client is done before the server says no.
        with pytest.raises((SSLError, ProtocolError), match=r"(?i)alert|certificate required|handshake"):
            get(pool)
        assert pool.pool.qsize() == 1
    stranger = PLAIN["two files"](certs.stranger().client())
    refused = pytest.raises((SSLError, ProtocolError), match=r"(?i)alert|unknown ca")
    with https_pool(server, ca_certs=certs.ca_file, **stranger) as pool, refused:
        get(pool)
    with https_pool(server, ca_certs=certs.ca_file, **PLAIN["two files"](certs.client("anna"))) as pool:
        assert get(pool) == b"ok"
    assert names_at(server) == [None, None, "anna"]
    assert len(server.requests) == 1


def test_a_real_server_that_insists(nginx_tls: TLSListeners, certs: Authority) -> None:
    url = nginx_tls.client.url + "/tls"
    with PoolManager(ca_certs=certs.ca_file, timeout=5) as manager:
        assert manager.request("GET", url).status == 400
    for options in (PLAIN["two files"], PLAIN["two texts"]):
        with PoolManager(ca_certs=certs.ca_file, timeout=5, **options(certs.client("anna"))) as manager:
            assert "CN=anna" in manager.request("GET", url).json()["client"]


# --- one identity is not taken for another ----------------------------------------------------------------------------


@pytest.mark.parametrize("own_context", [False, True], ids=["our context", "the user's"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_another_certificate_on_the_same_pool(
    scripted_tls: Serve, certs: Authority, own_context: bool, version: Any
) -> None:
    server = scripted_tls(default=once_closing(), client_ca=certs.ca_file, minimum=version, maximum=version)
    context = ssl.create_default_context(cafile=certs.ca_file) if own_context else None
    with https_pool(server, ca_certs=certs.ca_file, ssl_context=context) as pool:
        for name in ("anna", "anna", "otto", "otto"):
            client = certs.client(name)
            pool.cert_file, pool.key_file = client.cert_file, client.key_file
            pool.pool.get()
            pool.pool.put(None)
            assert get(pool) == b"ok"
    assert names_at(server) == ["anna", "anna", "otto", "otto"]


def test_certificates_from_memory_on_the_same_pool(scripted_tls: Serve, certs: Authority) -> None:
    server = scripted_tls(default=once_closing(), client_ca=certs.ca_file)
    context = ssl.create_default_context(cafile=certs.ca_file)
    with https_pool(server, ssl_context=context) as pool:
        for options in (PLAIN["two texts"], PLAIN["two bytearrays"]):
            for name in ("anna", "otto"):
                pool.conn_kw.update(options(certs.client(name)))
                pool.pool.get()
                pool.pool.put(None)
                assert get(pool) == b"ok"
    assert names_at(server) == ["anna", "otto", "anna", "otto"]


def test_pools_of_two_identities(scripted_tls: Serve, certs: Authority) -> None:
    server = scripted_tls(default=once_closing(), client_ca=certs.ca_file)
    her_files, his_files = (PLAIN["two files"](certs.client(name)) for name in ("anna", "otto"))
    with (
        https_pool(server, ca_certs=certs.ca_file, **her_files) as hers,
        https_pool(server, ca_certs=certs.ca_file, **his_files) as his,
    ):
        for pool in (hers, his, hers, his):
            assert get(pool) == b"ok"
    assert names_at(server) == ["anna", "otto", "anna", "otto"]
    assert [conn.session_reused for conn in server.connections] == [False, False, True, True]


def test_a_certificate_renewed_on_disk(scripted_tls: Serve, certs: Authority, tmp_path: Path) -> None:
    server = scripted_tls(default=once_closing(), client_ca=certs.ca_file)
    path = tmp_path / "client.pem"
    with https_pool(server, ca_certs=certs.ca_file, cert_file=str(path)) as pool:
        for name in ("anna", "otto"):
            client = certs.client(name)
            path.write_text(text(client.cert_file) + text(client.key_file))
            assert get(pool) == b"ok"
        path.unlink()
        with pytest.raises((MaxRetryError, ProtocolError, OSError)):
            get(pool)
    assert names_at(server)[:2] == ["anna", "otto"]
