"""Injection, contexts and certificates of TLS by pyOpenSSL, against the standard library at the other end."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from servers.certs import Authority
from servers.scripted import Connection
from servers.tls import TLSServer
from wirepool import util
from wirepool.exceptions import SSLError
from wirepool.util import ssl_
from wirepool.util.ssl_match_hostname import CertificateError, match_hostname

OpenSSL = pytest.importorskip("OpenSSL")
pyopenssl: Any = pytest.importorskip("wirepool.contrib.pyopenssl", exc_type=ImportError)
certificates: Any = pytest.importorskip("wirepool.contrib._pyopenssl_certificates")
x509 = pytest.importorskip("cryptography.x509")
serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")

PyOpenSSLContext = pyopenssl.PyOpenSSLContext
PASSWORD = "open sesame"

Serve = Callable[..., TLSServer]
Connect = Callable[[TLSServer], socket.socket]
Secure = Callable[..., Any]


def hello(conn: Connection) -> None:
    conn.send(b"hello")


def name_of_client(conn: Any) -> None:
    conn.send((conn.client_name or "nobody").encode())


def everything(sock: Any) -> bytes:
    with sock:
        return b"".join(iter(lambda: sock.recv(1000), b""))


@pytest.fixture
def serve(scripted_tls: Serve) -> Serve:
    """Starts a server that says hello on every connection, or does what it is told to."""
    return lambda script=hello, **options: scripted_tls(default=script, **options)


@pytest.fixture
def connect() -> Iterator[Connect]:
    """``connect(server)``; all of it has to be closed at the end."""
    made: list[socket.socket] = []

    def start(server: TLSServer) -> socket.socket:
        made.append(socket.create_connection((server.host, server.port), 3))
        return made[-1]

    yield start
    left_open = [sock for sock in made if sock.fileno() >= 0]
    for sock in left_open:
        sock.close()
    assert not left_open


@pytest.fixture
def injected() -> Iterator[None]:
    try:
        pyopenssl.inject_into_urllib3()
        yield
    finally:
        pyopenssl.extract_from_urllib3()


@pytest.fixture
def secure(injected: None, certs: Authority, connect: Connect) -> Secure:
    """``secure(server, **options)``: a verified connection, by way of ``ssl_wrap_socket``."""

    def start(server: TLSServer, **options: Any) -> Any:
        sock, options = connect(server), {"ca_certs": certs.ca_file, "server_hostname": "localhost"} | options
        try:
            wrapped = ssl_.ssl_wrap_socket(sock, **options)
        except BaseException:
            sock.close()
            raise
        assert type(wrapped) is pyopenssl.WrappedSocket
        return wrapped

    return start


def state() -> tuple[Any, ...]:
    return util.SSLContext, ssl_.SSLContext, util.IS_PYOPENSSL, ssl_.IS_PYOPENSSL


class TestInjection:
    def test_there_and_back(self) -> None:
        before = state()
        try:
            pyopenssl.inject_into_urllib3()
            assert state() == (PyOpenSSLContext, PyOpenSSLContext, True, True)
            pyopenssl.inject_into_urllib3()
            assert type(ssl_.create_urllib3_context()) is PyOpenSSLContext
        finally:
            pyopenssl.extract_from_urllib3()
        assert state() == before == (ssl.SSLContext, ssl.SSLContext, False, False)
        pyopenssl.extract_from_urllib3()
        assert state() == before
        assert pyopenssl.orig_util_SSLContext is ssl.SSLContext

    def test_what_others_put_there_comes_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        other = type("Other", (), {})
        monkeypatch.setattr(ssl_, "SSLContext", other)
        monkeypatch.setattr(util, "SSLContext", other)
        before = state()
        pyopenssl.inject_into_urllib3()
        pyopenssl.extract_from_urllib3()
        assert state() == before

    def test_after_a_failed_handshake(self, serve: Serve, connect: Connect) -> None:
        before = state()
        pyopenssl.inject_into_urllib3()
        try:
            with pytest.raises(ssl.SSLError):
                ssl_.ssl_wrap_socket(connect(serve()), ssl_context=ssl_.create_urllib3_context())
        finally:
            pyopenssl.extract_from_urllib3()
        assert state() == before

    def test_what_a_new_context_is_like(self, injected: None) -> None:
        context: Any = ssl_.create_urllib3_context()
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname is False
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert context.options & ssl.OP_NO_COMPRESSION
        # TLS inside TLS is done by way of this method; a context without it is refused there.
        assert not hasattr(context, "wrap_bio")


class TestDependency:
    def test_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "OpenSSL", None)
        with pytest.raises(ImportError, match="needs pyOpenSSL"):
            certificates._import_pyopenssl()

    def test_too_old(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(OpenSSL, "__version__", "24.2.1")
        with pytest.raises(ImportError, match=r"24\.3 or newer.*found 24\.2\.1"):
            certificates._import_pyopenssl()

    def test_at_odds_with_cryptography(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "OpenSSL", SimpleNamespace())
        with pytest.raises(ImportError, match="needs pyOpenSSL"):
            certificates._import_pyopenssl()

    def test_is_not_imported_unless_asked_for(self) -> None:
        code = "import sys, wirepool, wirepool.contrib; sys.exit('OpenSSL' in sys.modules)"
        environment = {**os.environ, "PYTHONPATH": str(Path(util.__file__).parents[2])}
        assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=30).returncode == 0


class TestTrust:
    def test_by_file(self, no_leaks: None, serve: Serve, secure: Secure) -> None:
        sock = secure(serve())
        assert sock.version() == "TLSv1.3"
        assert everything(sock) == b"hello"

    @pytest.mark.parametrize("form", ["text", "PEM", "DER", "two"])
    def test_by_data(self, serve: Serve, secure: Secure, certs: Authority, form: str) -> None:
        pem, other = certs.ca_data, ssl.PEM_cert_to_DER_cert(certs.stranger().ca_data)
        der = ssl.PEM_cert_to_DER_cert(pem)
        data = {"text": pem, "PEM": pem.encode(), "DER": der, "two": other + der}[form]
        assert everything(secure(serve(), ca_certs=None, ca_cert_data=data)) == b"hello"

    def test_by_directory(self, serve: Serve, secure: Secure, certs: Authority) -> None:
        assert everything(secure(serve(), ca_certs=None, ca_cert_dir=certs.hashed_directory())) == b"hello"

    @pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
    def test_by_environment(
        self, serve: Serve, secure: Secure, certs: Authority, monkeypatch: pytest.MonkeyPatch, variable: str
    ) -> None:
        is_file = variable == "SSL_CERT_FILE"
        monkeypatch.setenv("SSL_CERT_FILE", certs.ca_file if is_file else "/no/such/file")
        monkeypatch.setenv("SSL_CERT_DIR", "" if is_file else certs.hashed_directory())
        assert everything(secure(serve(), ca_certs=None)) == b"hello"

    def test_unreadable_defaults_are_left_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", __file__)
        monkeypatch.setenv("SSL_CERT_DIR", "")
        context = PyOpenSSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_default_certs()
        assert context.cert_store_stats() == {"x509": 0, "crl": 0, "x509_ca": 0}

    def test_certifi_where_the_system_has_none(self, injected: None, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("certifi")
        nothing = ssl.DefaultVerifyPaths(None, None, "SSL_CERT_FILE", "", "SSL_CERT_DIR", "")  # type: ignore[arg-type]
        monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nothing)
        for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            monkeypatch.delenv(name, raising=False)
        context: Any = ssl_.create_urllib3_context()
        ssl_._load_default_roots(context)
        assert context.cert_store_stats()["x509_ca"] > 20

    def test_stores_of_windows(self, certs: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
        der, server = ssl.PEM_cert_to_DER_cert(certs.ca_data), ssl.Purpose.SERVER_AUTH.oid
        stores = {
            "CA": [(der, "x509_asn", True), (b"damaged", "x509_asn", True), (der, "pkcs_7_asn", True)],
            "ROOT": [(der, "x509_asn", {server}), (der, "x509_asn", {"1.2.3"})],
        }
        monkeypatch.setattr(ssl, "enum_certificates", stores.__getitem__, raising=False)
        assert len(list(certificates.windows_certificates(server))) == 2

    def test_is_loaded_once_for_each_context(
        self, serve: Serve, secure: Secure, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loaded = []
        load = PyOpenSSLContext.load_verify_locations

        def note(*args: Any) -> None:
            loaded.append(args)
            load(*args)

        monkeypatch.setattr(PyOpenSSLContext, "load_verify_locations", note)
        server, context = serve(), ssl_.create_urllib3_context()
        for _ in range(3):
            assert everything(secure(server, ssl_context=context)) == b"hello"
        assert len(loaded) == 1

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ((), TypeError),
            (("/no/such/file",), FileNotFoundError),
            ((__file__,), ssl.SSLError),
            ((None, None, "nonsense"), ssl.SSLError),
            ((None, None, b"nonsense"), ssl.SSLError),
            ((None, None, b"\x30"), ssl.SSLError),
            ((None, None, b""), ssl.SSLError),
        ],
    )
    def test_nothing_to_load(self, arguments: tuple[Any, ...], error: type[Exception]) -> None:
        with pytest.raises(error):
            PyOpenSSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(*arguments)

    def test_what_cannot_be_loaded_is_our_error_in_ssl_wrap_socket(self, serve: Serve, secure: Secure) -> None:
        with pytest.raises(SSLError, match="No such file"):
            secure(serve(), ca_certs="/no/such/file")


class TestRefusal:
    def test_of_an_unknown_issuer(
        self, no_leaks: None, serve: Serve, connect: Connect, injected: None, certs: Authority
    ) -> None:
        with pytest.raises(ssl.SSLCertVerificationError, match=r"certificate verify failed: .*issuer") as caught:
            ssl_.ssl_wrap_socket(connect(serve()), ca_certs=certs.stranger().ca_file, server_hostname="localhost")
        assert caught.value.reason == "CERTIFICATE_VERIFY_FAILED"
        assert caught.value.verify_code == 20
        assert "issuer" in caught.value.verify_message

    @pytest.mark.parametrize(
        ("kind", "reason"),
        [
            ("expired", "cert has expired"),
            ("not_yet_valid", "cert not yet valid"),
            ("self_signed", "self signed"),
            ("client_only", "purpose"),
        ],
    )
    def test_of_a_bad_certificate(self, serve: Serve, secure: Secure, certs: Authority, kind: str, reason: str) -> None:
        server = serve(certificate=getattr(certs, kind)())
        with pytest.raises(ssl.SSLCertVerificationError, match=reason):
            secure(server)

    def test_of_a_revoked_one_if_lists_are_asked_for(self, serve: Serve, secure: Secure, certs: Authority) -> None:
        bad = certs.server()
        context = ssl_.create_urllib3_context(verify_flags=ssl.VERIFY_CRL_CHECK_LEAF)
        context.load_verify_locations(certs.crl(bad))
        assert everything(secure(serve(certificate=certs.server()), ssl_context=context)) == b"hello"
        with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
            secure(serve(certificate=bad), ssl_context=context)

    def test_is_off_with_cert_none(self, serve: Serve, secure: Secure, certs: Authority) -> None:
        sock = secure(serve(), ca_certs=None, cert_reqs=ssl.CERT_NONE)
        assert sock.getpeercert(binary_form=True) == certs.localhost.der
        assert everything(sock) == b"hello"

    def test_is_on_for_clients_without_being_asked_for(self, serve: Serve, connect: Connect) -> None:
        assert PyOpenSSLContext(ssl.PROTOCOL_TLS).verify_mode is ssl.CERT_NONE
        with pytest.raises(ssl.SSLCertVerificationError):
            PyOpenSSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_socket(connect(serve()))

    def test_cert_optional_verifies_as_well(self, serve: Serve, connect: Connect) -> None:
        context = PyOpenSSLContext(ssl.PROTOCOL_TLS)
        context.verify_mode = ssl.CERT_OPTIONAL
        with pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(connect(serve()))

    def test_can_be_switched_between_connections(self, serve: Serve, connect: Connect) -> None:
        server, context = serve(), PyOpenSSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.verify_mode = ssl.CERT_NONE
        assert everything(context.wrap_socket(connect(server))) == b"hello"
        context.verify_mode = ssl.CERT_REQUIRED
        with pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(connect(server))

    def test_of_a_chain_that_is_partial_unless_allowed(self, serve: Serve, secure: Secure, certs: Authority) -> None:
        middle = certs.intermediate()
        server = serve(certificate=middle.server())
        with pytest.raises(ssl.SSLCertVerificationError):
            secure(server, ssl_context=ssl_.create_urllib3_context(verify_flags=0), ca_certs=middle.ca_file)
        lenient = ssl_.create_urllib3_context(verify_flags=ssl.VERIFY_X509_PARTIAL_CHAIN)
        assert everything(secure(server, ssl_context=lenient, ca_certs=middle.ca_file)) == b"hello"

    def test_flags_may_be_taken_back_before_the_first_connection(self, serve: Serve, secure: Secure) -> None:
        context = ssl_.create_urllib3_context()
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        context.verify_flags &= ~ssl.VERIFY_CRL_CHECK_LEAF
        assert everything(secure(serve(), ssl_context=context)) == b"hello"


class TestHostnames:
    @pytest.fixture
    def context(self, certs: Authority) -> Any:
        context = PyOpenSSLContext(ssl.PROTOCOL_TLS)
        context.check_hostname = True
        context.load_verify_locations(certs.ca_file)
        return context

    @pytest.fixture
    def server(self, serve: Serve, certs: Authority) -> TLSServer:
        return serve(certificate=certs.server("localhost", "*.wild.example", "127.0.0.1", "::1"))

    def test_checking_them_needs_verification(self, context: Any) -> None:
        assert context.verify_mode is ssl.CERT_REQUIRED
        with pytest.raises(ValueError, match="check_hostname"):
            context.verify_mode = ssl.CERT_NONE
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE

    @pytest.mark.parametrize("name", ["localhost", "a.wild.example", "127.0.0.1", "::1", b"localhost"])
    def test_right(self, server: TLSServer, connect: Connect, context: Any, name: Any) -> None:
        assert everything(context.wrap_socket(connect(server), server_hostname=name)) == b"hello"

    @pytest.mark.parametrize("name", ["other.example", "a.b.wild.example", "127.0.0.2"])
    def test_wrong(self, server: TLSServer, connect: Connect, context: Any, name: str) -> None:
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            context.wrap_socket(connect(server), server_hostname=name)

    @pytest.mark.parametrize("name", [None, ""])
    def test_none(self, server: TLSServer, connect: Connect, context: Any, name: str | None) -> None:
        with connect(server) as sock, pytest.raises(ValueError, match="server_hostname"):
            context.wrap_socket(sock, server_hostname=name)

    @pytest.mark.parametrize("use", [lambda sock: sock.recv(1), lambda sock: sock.sendall(b"secret")])
    def test_are_checked_before_use_if_the_handshake_was_put_off(
        self, server: TLSServer, connect: Connect, context: Any, use: Callable[[Any], object]
    ) -> None:
        sock = connect(server)
        with context.wrap_socket(sock, do_handshake_on_connect=False, server_hostname="other.example") as wrapped:
            for _ in range(2):
                with pytest.raises(ssl.SSLCertVerificationError):
                    use(wrapped)

    def test_handshake_put_off(self, server: TLSServer, connect: Connect, context: Any) -> None:
        sock = connect(server)
        wrapped = context.wrap_socket(sock, do_handshake_on_connect=False, server_hostname="localhost")
        assert wrapped.getpeercert() is None
        wrapped.do_handshake()
        assert everything(wrapped) == b"hello"

    @pytest.mark.parametrize(
        ("name", "sent"),
        [("localhost", "localhost"), ("bücher.example", "xn--bcher-kva.example"), ("127.0.0.1", None), ("::1", None)],
    )
    def test_are_sent(self, server: TLSServer, secure: Secure, name: str, sent: str | None) -> None:
        assert everything(secure(server, server_hostname=name)) == b"hello"
        assert [connection.sni for connection in server.connections] == [sent]


class TestPeerCertificate:
    def test_as_a_dictionary(self, serve: Serve, secure: Secure, certs: Authority) -> None:
        names = [x509.DNSName(name) for name in ("localhost", "*.wild.example", "xn--bcher-kva.example")]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
        with secure(serve(certificate=certs.custom(names, common_name="the server"))) as sock:
            certificate = sock.getpeercert()
        assert certificate["subject"] == ((("commonName", "the server"),),)
        assert certificate["subjectAltName"] == [
            ("DNS", "localhost"),
            ("DNS", "*.wild.example"),
            ("DNS", "xn--bcher-kva.example"),
            ("IP Address", "127.0.0.1"),
            ("IP Address", "::1"),
        ]
        for name in ("localhost", "a.wild.example", "xn--bcher-kva.example", "::1"):
            match_hostname(certificate, name)
        with pytest.raises(CertificateError):
            match_hostname(certificate, "the server")

    def test_without_names_matches_nothing(self, serve: Serve, secure: Secure, certs: Authority) -> None:
        with secure(serve(certificate=certs.common_name_only("localhost"))) as sock:
            certificate = sock.getpeercert()
        assert certificate == {"subject": ((("commonName", "localhost"),),), "subjectAltName": []}
        with pytest.raises(CertificateError):
            match_hostname(certificate, "localhost")

    @pytest.mark.parametrize("convert", [lambda it: it, lambda it: OpenSSL.crypto.X509.from_cryptography(it)])
    def test_alternative_names_of_other_kinds_are_left_out(self, certs: Authority, convert: Any) -> None:
        names = [x509.DNSName("a.example"), x509.RFC822Name("me@a.example"), x509.DNSName("b.example")]
        certificate = x509.load_pem_x509_certificate(certs.custom(names).pem.encode())
        assert pyopenssl.get_subj_alt_name(convert(certificate)) == [("DNS", "a.example"), ("DNS", "b.example")]

    @pytest.mark.parametrize("der", [b"garbage", b"\x30\x05\x87\x03\x7f\x00\x01"])
    def test_unreadable_alternative_names_match_nothing(self, der: bytes, caplog: pytest.LogCaptureFixture) -> None:
        certificate = _certificate_with(x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, der))
        assert pyopenssl.get_subj_alt_name(certificate) == []
        assert [record.name for record in caplog.records] == ["wirepool.contrib.pyopenssl"]

    @pytest.mark.parametrize(
        ("name", "ascii_name"),
        [
            ("a.example", "a.example"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("*.bücher.example", "*.xn--bcher-kva.example"),
            ("-ü-.example", None),
        ],
    )
    def test_names_that_are_not_ascii(self, name: str, ascii_name: str | None) -> None:
        pytest.importorskip("idna")
        assert certificates._ascii_name(name) == ascii_name


def _certificate_with(extension: Any) -> Any:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name, now = ec.generate_private_key(ec.SECP256R1()), x509.Name([]), datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(1))
    return builder.add_extension(extension, critical=False).sign(key, hashes.SHA256())


class TestSettings:
    @pytest.fixture
    def context(self) -> Any:
        context = PyOpenSSLContext(ssl.PROTOCOL_TLS)
        context.set_ciphers("ECDHE+AESGCM")
        return context

    @pytest.mark.parametrize(
        ("setting", "value", "version"),
        [
            ("maximum_version", ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
            ("minimum_version", ssl.TLSVersion.MAXIMUM_SUPPORTED, "TLSv1.3"),
            ("minimum_version", ssl.TLSVersion.MINIMUM_SUPPORTED, "TLSv1.3"),
            ("options", ssl.OP_NO_TLSv1_3, "TLSv1.2"),
        ],
    )
    def test_versions(
        self, serve: Serve, connect: Connect, context: Any, setting: str, value: int, version: str
    ) -> None:
        setattr(context, setting, value)
        assert getattr(context, setting) == value
        with context.wrap_socket(connect(serve())) as sock:
            assert sock.version() == version

    def test_no_common_version(self, serve: Serve, connect: Connect, context: Any) -> None:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        with pytest.raises(ssl.SSLError, match=r"handshake failed: .*alert protocol version"):
            context.wrap_socket(connect(serve(maximum=ssl.TLSVersion.TLSv1_2)))

    def test_protocols(self) -> None:
        context = PyOpenSSLContext(ssl.PROTOCOL_TLSv1_2)
        assert context.minimum_version is context.maximum_version is ssl.TLSVersion.TLSv1_2
        with pytest.raises(ValueError, match="no such protocol"):
            PyOpenSSLContext(99)

    def test_ciphers(self, serve: Serve, connect: Connect, context: Any) -> None:
        context.set_ciphers("ECDHE+CHACHA20")
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with context.wrap_socket(connect(serve())) as sock:
            assert "CHACHA20" in sock.connection.get_cipher_name()
        with pytest.raises(ssl.SSLError, match="no cipher"):
            PyOpenSSLContext(ssl.PROTOCOL_TLS).set_ciphers("NONSENSE")

    @pytest.mark.parametrize(("offered", "agreed"), [(["h2", b"http/1.1"], "http/1.1"), (["h2"], None), ([], None)])
    def test_alpn(
        self, serve: Serve, connect: Connect, context: Any, offered: list[str | bytes], agreed: str | None
    ) -> None:
        context.set_alpn_protocols(offered)
        with context.wrap_socket(connect(serve(alpn=["http/1.1"]))) as sock:
            assert sock.selected_alpn_protocol() == agreed

    @pytest.mark.parametrize("name", ["", "x" * 256])
    def test_bad_alpn(self, context: Any, name: str) -> None:
        with pytest.raises(ssl.SSLError, match="ALPN"):
            context.set_alpn_protocols([name])

    def test_secrets(self, serve: Serve, secure: Secure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "secrets"
        monkeypatch.setenv("SSLKEYLOGFILE", str(path))
        assert everything(secure(serve())) == b"hello"
        lines = path.read_text().splitlines()
        assert sum("_SECRET" in line for line in lines) >= 2
        assert all(len(line.split()) == 3 for line in lines)

    def test_settings_that_do_not_go_together(self, serve: Serve, connect: Connect, context: Any) -> None:
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(connect(serve()))

    def test_after_the_first_connection(self, serve: Serve, connect: Connect, context: Any, certs: Authority) -> None:
        server, client, other = serve(), certs.client(), certs.client()
        context.load_cert_chain(client.cert_file, client.key_file)
        context.wrap_socket(connect(server)).close()
        changes: list[Callable[[], object]] = [
            lambda: setattr(context, "options", ssl.OP_NO_TLSv1_3),
            lambda: setattr(context, "verify_flags", ssl.VERIFY_X509_STRICT),
            lambda: setattr(context, "minimum_version", ssl.TLSVersion.TLSv1_3),
            lambda: setattr(context, "maximum_version", ssl.TLSVersion.TLSv1_2),
            lambda: context.set_ciphers("ECDHE+CHACHA20"),
            lambda: context.load_cert_chain(other.cert_file, other.key_file),
        ]
        for change in changes:
            with pytest.raises(ssl.SSLError, match="make a new context"):
                change()
        context.options |= ssl.Options(0)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(b"ECDHE+AESGCM")
        context.load_cert_chain(client.cert_file, client.key_file)
        context.set_alpn_protocols(["http/1.1"])
        context.load_verify_locations(certs.ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
        assert everything(context.wrap_socket(connect(server))) == b"hello"


class TestClientCertificate:
    @pytest.fixture
    def server(self, serve: Serve, certs: Authority) -> TLSServer:
        return serve(name_of_client, client_ca=certs.ca_file, client_required=False)

    @pytest.fixture
    def both(self, certs: Authority, tmp_path: Path) -> str:
        client, path = certs.client("alice"), tmp_path / "both.pem"
        path.write_text(Path(client.cert_file).read_text() + Path(client.key_file).read_text())
        return str(path)

    def test_by_ssl_wrap_socket(self, server: TLSServer, secure: Secure, certs: Authority) -> None:
        client, context = certs.client("alice"), ssl_.create_urllib3_context()
        files = {"certfile": client.cert_file, "keyfile": client.key_file}
        for options in (files, files, {}):
            assert everything(secure(server, ssl_context=context, **options)) == b"alice"

    def test_none(self, server: TLSServer, secure: Secure) -> None:
        assert everything(secure(server)) == b"nobody"

    def test_none_though_it_is_required(self, serve: Serve, secure: Secure, certs: Authority) -> None:
        server = serve(name_of_client, client_ca=certs.ca_file, maximum=ssl.TLSVersion.TLSv1_2)
        with pytest.raises(ssl.SSLError, match="handshake failure"):
            secure(server)
        server = serve(name_of_client, client_ca=certs.ca_file)
        with secure(server) as sock, pytest.raises(ssl.SSLError, match="certificate required"):
            sock.recv(1)

    def test_with_a_password_by_ssl_wrap_socket(self, server: TLSServer, secure: Secure, certs: Authority) -> None:
        client = certs.client("alice", password=PASSWORD)
        files = {"certfile": client.cert_file, "keyfile": client.key_file}
        assert everything(secure(server, key_password=PASSWORD, **files)) == b"alice"
        with pytest.raises(SSLError, match="password is required"):
            secure(server, **files)

    @pytest.mark.parametrize("password", [PASSWORD, PASSWORD.encode(), lambda: PASSWORD])
    @pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL", None])
    def test_password(
        self, server: TLSServer, connect: Connect, certs: Authority, tmp_path: Path, password: Any, form: str | None
    ) -> None:
        client, path = certs.client("alice"), tmp_path / "key"
        key = serialization.load_pem_private_key(Path(client.key_file).read_bytes(), None)
        lock = serialization.BestAvailableEncryption(PASSWORD.encode()) if form else serialization.NoEncryption()
        container = getattr(serialization.PrivateFormat, form or "PKCS8")
        path.write_bytes(key.private_bytes(serialization.Encoding.PEM, container, lock))
        context = PyOpenSSLContext(ssl.PROTOCOL_TLS)
        context.load_cert_chain(client.cert_file, str(path), password)
        assert everything(context.wrap_socket(connect(server))) == b"alice"

    def test_one_file(self, server: TLSServer, connect: Connect, both: str) -> None:
        context = PyOpenSSLContext(ssl.PROTOCOL_TLS)
        context.load_cert_chain(both)
        assert everything(context.wrap_socket(connect(server))) == b"alice"

    def test_one_that_moves(self, server: TLSServer, connect: Connect, both: str, tmp_path: Path) -> None:
        context = PyOpenSSLContext(ssl.PROTOCOL_TLS)
        for number in range(3):
            path = tmp_path / f"{number}.pem"
            path.write_bytes(Path(both).read_bytes())
            context.load_cert_chain(str(path))
            assert everything(context.wrap_socket(connect(server))) == b"alice"

    def test_with_its_chain(self, server: TLSServer, connect: Connect, certs: Authority) -> None:
        client = certs.intermediate().client("bob")
        context = PyOpenSSLContext(ssl.PROTOCOL_TLS)
        context.load_cert_chain(client.cert_file, client.key_file)
        assert everything(context.wrap_socket(connect(server))) == b"bob"

    def test_given_to_pyopenssl_itself(self, server: TLSServer, connect: Connect, both: str) -> None:
        pem, context = Path(both).read_bytes(), PyOpenSSLContext(ssl.PROTOCOL_TLS)
        context._ctx.use_certificate(x509.load_pem_x509_certificate(pem))
        context._ctx.use_privatekey(certificates.parse_private_key(pem, both, None))
        assert everything(context.wrap_socket(connect(server))) == b"alice"

    @pytest.mark.parametrize(
        ("cert", "key", "password", "error", "message"),
        [
            ("cert", "locked", "wrong", ssl.SSLError, "wrong password"),
            ("cert", "locked", None, ssl.SSLError, "may need a password"),
            ("cert", "strange", None, ssl.SSLError, "cannot be used with the key"),
            ("cert", None, None, ssl.SSLError, "no PEM private key"),
            ("key", "key", None, ssl.SSLError, "cannot be used"),
            ("missing", "key", None, FileNotFoundError, "No such file"),
            ("cert", "missing", None, FileNotFoundError, "No such file"),
        ],
    )
    def test_unusable(
        self, certs: Authority, cert: str, key: str | None, password: Any, error: type[Exception], message: str
    ) -> None:
        client, locked = certs.client(), certs.client(password=PASSWORD)
        paths: dict[str | None, str | None] = {
            "cert": client.cert_file,
            "key": client.key_file,
            "locked": locked.key_file,
            "strange": certs.client().key_file,
            "missing": "/no/such/file",
            None: None,
        }
        context = PyOpenSSLContext(ssl.PROTOCOL_TLS)
        with pytest.raises(error, match=message):
            context.load_cert_chain(paths[cert], paths[key], password)
