"""TLS helpers: constants, fingerprints, contexts, roots, handshakes. No certificate is needed for any of it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import ssl
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wirepool.exceptions import ProxySchemeUnsupported, SSLError
from wirepool.util import ssl_
from wirepool.util.ssl_ import (
    ALPN_PROTOCOLS,
    assert_fingerprint,
    create_urllib3_context,
    is_ipaddress,
    resolve_cert_reqs,
    resolve_ssl_version,
    ssl_wrap_socket,
)

certifi = pytest.importorskip("certifi")


class Context:
    """Notes what is done to it, and fails on request."""

    def __init__(self, **failures: Exception) -> None:
        self.failures = failures
        self.calls: list[tuple[Any, ...]] = []

    def _note(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kw: Any) -> str:
            self.calls.append((name, *args, *kw.items()))
            if name in self.failures:
                raise self.failures[name]
            return "wrapped"

        return call

    def __getattr__(self, name: str) -> Any:
        if name in ("load_verify_locations", "load_cert_chain", "set_alpn_protocols", "wrap_socket"):
            return self._note(name)
        raise AttributeError(name)

    def names(self) -> list[str]:
        return [call[0] for call in self.calls]


class TestConstants:
    @pytest.mark.parametrize(
        ("given", "constant"),
        [
            (None, ssl.CERT_REQUIRED),
            ("REQUIRED", ssl.CERT_REQUIRED),
            ("CERT_REQUIRED", ssl.CERT_REQUIRED),
            ("NONE", ssl.CERT_NONE),
            ("CERT_OPTIONAL", ssl.CERT_OPTIONAL),
            (0, ssl.CERT_NONE),
            (ssl.CERT_OPTIONAL, ssl.CERT_OPTIONAL),
        ],
    )
    def test_cert_reqs(self, given: Any, constant: int) -> None:
        assert resolve_cert_reqs(given) == constant

    @pytest.mark.parametrize(
        ("given", "constant"),
        [
            (None, ssl.PROTOCOL_TLS),
            ("TLS", ssl.PROTOCOL_TLS),
            ("PROTOCOL_TLS_CLIENT", ssl.PROTOCOL_TLS_CLIENT),
            ("SSLv23", ssl.PROTOCOL_TLS),
            (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_CLIENT),
        ],
    )
    def test_ssl_version(self, given: Any, constant: int) -> None:
        assert resolve_ssl_version(given) == constant

    @pytest.mark.parametrize("resolve", [resolve_cert_reqs, resolve_ssl_version])
    @pytest.mark.parametrize("wrong", ["bogus", "required", ""])
    def test_unknown_names(self, resolve: Callable[[str], Any], wrong: str) -> None:
        with pytest.raises(AttributeError):
            resolve(wrong)

    @pytest.mark.parametrize(
        ("version", "reliable"),
        [("OpenSSL 3.0.1 14 Dec 2021", True), ("LibreSSL 3.3.6", False), ("AWS-LC 1.2", False), ("", False)],
    )
    def test_which_library_can_be_told_to_ignore_common_names(self, version: str, reliable: bool) -> None:
        assert ssl_._is_has_never_check_common_name_reliable(version) is reliable

    def test_removed_names_stay_away(self) -> None:
        assert not hasattr(ssl_, "DEFAULT_CIPHERS")
        assert not hasattr(ssl_, "HAS_SNI")


@pytest.mark.parametrize(
    ("hostname", "expected"),
    [
        ("1.2.3.4", True), (b"1.2.3.4", True), ("127.1", True), ("0x7f000001", True), ("0X7F.1", True), ("1", True),
        ("08", True), ("::1", True), (b"::1", True), ("::ffff:1.2.3.4", True), ("1:2:3:4:5:6:7:8", True),
        ("fe80::1%eth0", True), ("fe80::1%25eth0", True), ("", False), ("a", False), ("example.com", False),
        ("1.2.3.4.5", False), ("1.2.3.4.", False), ("1.2.3.4 ", False), ("1.2.3.4\n", False), ("0x", False),
        ("\uff11.2.3.4", False), ("[::1]", False), ("::g", False), ("1::2::3", False), ("fe80::1%", False),
        ("::1/64", False), ("::1\n", False), ("abcd:abcd", False),
    ],
)  # fmt: skip
def test_is_ipaddress(hostname: str | bytes, expected: bool) -> None:
    assert is_ipaddress(hostname) is expected


class TestFingerprints:
    CERT = b"a certificate, as far as hashing goes"

    @pytest.mark.parametrize("name", ["md5", "sha1", "sha256"])
    def test_the_right_one(self, name: str) -> None:
        digits = hashlib.new(name, self.CERT).hexdigest()
        pairs = ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))
        for spelling in (digits, digits.upper(), pairs, pairs.upper()):
            assert_fingerprint(self.CERT, spelling)

    @pytest.mark.parametrize("length", [32, 40, 64])
    def test_the_wrong_one(self, length: int) -> None:
        with pytest.raises(SSLError, match=r'did not match\. Expected "0+"'):
            assert_fingerprint(self.CERT, "0" * length)

    @pytest.mark.parametrize("fingerprint", ["", ":", "a", "0" * 31, "0" * 128])
    def test_the_wrong_length(self, fingerprint: str) -> None:
        with pytest.raises(SSLError, match="invalid length"):
            assert_fingerprint(self.CERT, fingerprint)

    @pytest.mark.parametrize("fingerprint", ["z" * 32, "\xe9" * 32, " " * 40, "0" * 63 + " "])
    def test_no_hexadecimal(self, fingerprint: str) -> None:
        with pytest.raises(SSLError) as info:
            assert_fingerprint(self.CERT, fingerprint)
        assert isinstance(info.value.__cause__, ssl_.BinasciiError)

    def test_no_certificate(self) -> None:
        with pytest.raises(SSLError, match="No certificate"):
            assert_fingerprint(None, "0" * 32)

    def test_a_forbidden_hash_function(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def forbidding(name: str, *args: Any) -> Any:
            raise ValueError(f"unsupported hash type {name}")

        monkeypatch.setattr(hashlib, "new", forbidding)
        with pytest.raises(SSLError, match="md5"):
            assert_fingerprint(self.CERT, "0" * 32)

    def test_the_table_of_hash_functions(self) -> None:
        assert {length: function(b"").hexdigest() for length, function in ssl_.HASHFUNC_MAP.items()} == {
            32: hashlib.md5().hexdigest(),
            40: hashlib.sha1().hexdigest(),
            64: hashlib.sha256().hexdigest(),
        }


class TestContext:
    def test_defaults(self) -> None:
        context = create_urllib3_context()
        assert type(context) is ssl.SSLContext
        assert context.protocol is ssl.PROTOCOL_TLS_CLIENT
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert context.maximum_version is ssl.TLSVersion.MAXIMUM_SUPPORTED
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname is True
        assert context.hostname_checks_common_name is False
        assert context.post_handshake_auth is True
        assert context.options & ssl.OP_NO_COMPRESSION
        assert context.options & ssl.OP_NO_SSLv3
        assert context.keylog_filename is None
        assert context.cert_store_stats()["x509"] == 0

    def test_sessions_may_be_resumed(self) -> None:
        assert not create_urllib3_context().options & ssl.OP_NO_TICKET
        assert create_urllib3_context(options=ssl_.OP_NO_TICKET).options & ssl.OP_NO_TICKET

    @pytest.mark.parametrize("cert_reqs", [ssl.CERT_NONE, ssl.CERT_OPTIONAL, 0])
    def test_less_verification(self, cert_reqs: int) -> None:
        context = create_urllib3_context(cert_reqs=cert_reqs)
        assert context.verify_mode == cert_reqs
        assert context.check_hostname is False

    def test_pyopenssl_does_not_check_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ssl_, "IS_PYOPENSSL", True)
        context = create_urllib3_context()
        assert context.check_hostname is False
        assert context.verify_mode is ssl.CERT_REQUIRED

    def test_versions(self) -> None:
        context = create_urllib3_context(
            ssl_minimum_version=ssl.TLSVersion.TLSv1_3, ssl_maximum_version=ssl.TLSVersion.TLSv1_3
        )
        assert context.minimum_version is context.maximum_version is ssl.TLSVersion.TLSv1_3

    @pytest.mark.parametrize("any_version", [None, ssl.PROTOCOL_TLS, ssl.PROTOCOL_TLS_CLIENT])
    def test_no_particular_version(self, any_version: int | None) -> None:
        context = create_urllib3_context(any_version, ssl_minimum_version=ssl.TLSVersion.TLSv1_3)
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3

    @pytest.mark.parametrize("version", [ssl.PROTOCOL_TLSv1_2, "TLSv1_2", "PROTOCOL_TLSv1_2"])
    def test_one_version_is_deprecated(self, version: Any) -> None:
        with pytest.warns(FutureWarning, match="ssl_minimum_version") as caught:
            context = create_urllib3_context(version)
        assert caught[0].filename == __file__
        assert context.minimum_version is context.maximum_version is ssl.TLSVersion.TLSv1_2

    @pytest.mark.parametrize("nonsense", [99, ssl.PROTOCOL_TLS_SERVER])
    def test_an_unknown_version_does_not_lower_the_minimum(self, nonsense: int) -> None:
        with pytest.warns(FutureWarning):
            context = create_urllib3_context(nonsense)
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2

    @pytest.mark.parametrize("bound", ["ssl_minimum_version", "ssl_maximum_version"])
    def test_one_version_and_bounds_contradict(self, bound: str) -> None:
        with pytest.raises(ValueError, match="ssl_version"):
            create_urllib3_context(ssl.PROTOCOL_TLSv1_2, **{bound: ssl.TLSVersion.TLSv1_2})  # type: ignore[arg-type]

    def test_ciphers(self) -> None:
        context = create_urllib3_context(ciphers="AES128-SHA256")
        assert "AES128-SHA256" in {cipher["name"] for cipher in context.get_ciphers()}
        with pytest.raises(ssl.SSLError):
            create_urllib3_context(ciphers="bogus")

    def test_verify_flags(self) -> None:
        strict = ssl.VERIFY_X509_STRICT
        assert bool(create_urllib3_context().verify_flags & strict) is (sys.version_info >= (3, 13))
        assert not create_urllib3_context(verify_flags=0).verify_flags & strict
        assert create_urllib3_context(verify_flags=strict).verify_flags & strict

    def test_secrets_are_logged_on_request(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WIREPOOL_TEST_DIR", str(tmp_path))
        monkeypatch.setenv("SSLKEYLOGFILE", "$WIREPOOL_TEST_DIR/keys")
        assert create_urllib3_context().keylog_filename == str(tmp_path / "keys")
        monkeypatch.setenv("SSLKEYLOGFILE", "")
        assert create_urllib3_context().keylog_filename is None

    def test_the_class_of_contexts_can_be_replaced(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Own(ssl.SSLContext):
            pass

        monkeypatch.setattr(ssl_, "SSLContext", Own)
        assert type(create_urllib3_context()) is Own

    def test_without_ssl(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ssl_, "SSLContext", None)
        with pytest.raises(TypeError, match="without an ssl module"):
            create_urllib3_context()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "bundle.pem"
    first, mark, _ = Path(certifi.where()).read_text(encoding="utf-8").partition("-----END CERTIFICATE-----\n")
    path.write_text(first + mark, encoding="utf-8")
    return path


class TestRoots:
    def test_a_bundle_is_loaded_once_into_a_context(self, bundle: Path) -> None:
        context = Context()
        for _ in range(3):
            ssl_wrap_socket(None, ssl_context=context, ca_certs=str(bundle))  # type: ignore[arg-type]
        assert context.calls.count(("load_verify_locations", str(bundle), None, None)) == 1
        assert context.names().count("wrap_socket") == 3

    def test_a_bundle_that_changed_is_loaded_again(self, bundle: Path) -> None:
        context = Context()
        ssl_._load_roots_once(context, str(bundle), None, None)
        bundle.write_text(bundle.read_text() * 2)
        ssl_._load_roots_once(context, str(bundle), None, None)
        assert context.names() == ["load_verify_locations"] * 2

    def test_another_context_has_nothing_yet(self, bundle: Path) -> None:
        for context in (Context(), Context()):
            ssl_._load_roots_once(context, str(bundle), None, None)
            assert context.names() == ["load_verify_locations"]

    def test_another_source_is_another_thing(self, bundle: Path) -> None:
        context = Context()
        sources = [(str(bundle), None, None), (None, "dir", None), (None, None, "pem"), (None, None, b"der")]
        for source in sources * 2:
            ssl_._load_roots_once(context, *source)
        assert context.calls == [("load_verify_locations", *source) for source in sources]

    def test_contexts_are_not_kept_alive(self, bundle: Path) -> None:
        context = create_urllib3_context()
        ssl_._load_roots_once(context, str(bundle), None, None)
        assert context.cert_store_stats()["x509_ca"] == 1
        alive = weakref.ref(context)
        del context
        assert alive() is None

    def test_what_cannot_be_remembered_is_loaded_each_time(self, bundle: Path) -> None:
        class Unhashable(Context):
            __hash__ = None  # type: ignore[assignment]

        unhashable, plain = Unhashable(), Context()
        for _ in range(2):
            ssl_._load_roots_once(unhashable, str(bundle), None, None)
            ssl_._load_roots_once(plain, None, None, bytearray(b"der"))  # type: ignore[arg-type]
        assert unhashable.names() == plain.names() == ["load_verify_locations"] * 2

    @pytest.mark.parametrize("failure", [OSError("unreadable"), ssl.SSLError("no certificate")])
    def test_failures(self, bundle: Path, failure: OSError) -> None:
        context = Context(load_verify_locations=failure)
        for _ in range(2):
            with pytest.raises(SSLError) as info:
                ssl_wrap_socket(None, ssl_context=context, ca_certs=str(bundle))  # type: ignore[arg-type]
            assert info.value.__cause__ is failure
        assert context.names() == ["load_verify_locations"] * 2

    def test_a_bundle_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(SSLError, match="No such file"):
            ssl_wrap_socket(None, ca_certs=str(tmp_path / "nothing.pem"))  # type: ignore[arg-type]


class TestDefaultRoots:
    @pytest.fixture(autouse=True)
    def no_choice_of_the_user(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)

    @pytest.fixture
    def system_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        paths = ssl.get_default_verify_paths()
        monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths._replace(capath=str(tmp_path)))
        return tmp_path

    class System(Context):
        """A context of a system with *count* certificates."""

        def __init__(self, count: int = 0) -> None:
            super().__init__()
            self.count = count

        def load_default_certs(self) -> None:
            self.calls.append(("load_default_certs",))

        def cert_store_stats(self) -> dict[str, int]:
            return {"x509_ca": self.count}

    def test_the_system_comes_first(self) -> None:
        context = self.System(140)
        ssl_._load_default_roots(context)
        assert context.names() == ["load_default_certs"]

    def test_certificates_in_a_directory_are_not_counted_but_there(self, system_directory: Path) -> None:
        (system_directory / "0a775a30.0").touch()
        context = self.System()
        ssl_._load_default_roots(context)
        assert context.names() == ["load_default_certs"]

    def test_a_system_without_certificates_gets_those_of_certifi(self, system_directory: Path) -> None:
        context = self.System()
        ssl_._load_default_roots(context)
        assert context.calls == [("load_default_certs",), ("load_verify_locations", certifi.where())]

    def test_unless_certifi_is_missing(self, system_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "certifi", None)
        context = self.System()
        ssl_._load_default_roots(context)
        assert context.names() == ["load_default_certs"]

    @pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
    def test_or_the_user_wanted_it_so(
        self, system_directory: Path, monkeypatch: pytest.MonkeyPatch, variable: str
    ) -> None:
        monkeypatch.setenv(variable, os.devnull)
        context = self.System()
        ssl_._load_default_roots(context)
        assert context.names() == ["load_default_certs"]

    def test_contexts_that_have_no_such_notion(self) -> None:
        context = Context()
        ssl_._load_default_roots(context)
        assert context.calls == []

    def test_they_are_for_contexts_of_our_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        context = self.System(140)
        ssl_wrap_socket("socket", ssl_context=context)  # type: ignore[arg-type]
        assert "load_default_certs" not in context.names()
        monkeypatch.setattr(ssl_, "create_urllib3_context", lambda *args, **kw: context)
        ssl_wrap_socket("socket")  # type: ignore[arg-type]
        assert "load_default_certs" in context.names()


class TestClientCertificate:
    @pytest.fixture
    def key(self, tmp_path: Path) -> str:
        path = tmp_path / "key.pem"
        path.write_text("-----BEGIN PRIVATE KEY-----\n")
        return str(path)

    @pytest.fixture(params=["-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "x\nProc-Type: 4,ENCRYPTED\n"])
    def encrypted_key(self, tmp_path: Path, request: pytest.FixtureRequest) -> str:
        path = tmp_path / "encrypted.pem"
        path.write_text(request.param)
        return str(path)

    @staticmethod
    def loaded(**arguments: Any) -> list[tuple[Any, ...]]:
        context = Context()
        ssl_wrap_socket("socket", ssl_context=context, **arguments)  # type: ignore[arg-type]
        return [call[1:] for call in context.calls if call[0] == "load_cert_chain"]

    def test_certificate_alone(self) -> None:
        assert self.loaded(certfile="cert") == [("cert", None)]

    def test_certificate_and_key(self, key: str) -> None:
        assert self.loaded(certfile="cert", keyfile=key) == [("cert", key)]

    def test_password(self, encrypted_key: str) -> None:
        assert self.loaded(certfile="cert", keyfile=encrypted_key, key_password="x") == [("cert", encrypted_key, "x")]

    def test_key_alone_is_of_no_use(self, key: str) -> None:
        assert self.loaded(keyfile=key) == []

    def test_missing_password(self, encrypted_key: str) -> None:
        with pytest.raises(SSLError, match="password"):
            self.loaded(certfile="cert", keyfile=encrypted_key)

    def test_binary_keys_can_be_looked_at(self, tmp_path: Path) -> None:
        path = tmp_path / "key.der"
        path.write_bytes(b"\xff\xfe\x00")
        assert self.loaded(certfile="cert", keyfile=str(path)) == [("cert", str(path))]

    def test_missing_key(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            self.loaded(certfile="cert", keyfile=str(tmp_path / "nothing"))


class TestWrapping:
    def test_a_given_context_is_used(self) -> None:
        context = Context()
        wrapped: Any = ssl_wrap_socket("socket", server_hostname="h", ssl_context=context)  # type: ignore[arg-type]
        assert wrapped == "wrapped"
        assert context.calls == [
            ("set_alpn_protocols", ALPN_PROTOCOLS),
            ("wrap_socket", "socket", ("server_hostname", "h")),
        ]

    def test_a_context_of_our_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        context, asked = Context(), []

        def create(*args: Any, **kw: Any) -> Context:
            asked.append((args, kw))
            return context

        monkeypatch.setattr(ssl_, "create_urllib3_context", create)
        ssl_wrap_socket("socket", cert_reqs=1, ssl_version=2, ciphers="c", ca_cert_data="pem")  # type: ignore[arg-type]
        assert asked == [((2, 1), {"ciphers": "c"})]
        assert context.calls[0] == ("load_verify_locations", None, None, "pem")

    def test_tls_inside_tls_needs_a_context_that_works_in_memory(self) -> None:
        with pytest.raises(ProxySchemeUnsupported, match=r"TLS inside TLS .*wrap_bio.*Context has not"):
            ssl_wrap_socket("socket", ssl_context=Context(), tls_in_tls=True)  # type: ignore[arg-type]

    def test_tls_inside_tls_is_the_work_of_a_class_that_can_be_replaced(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Transport:
            _validate_ssl_context_for_tls_in_tls = staticmethod(lambda context: None)

            def __init__(self, *arguments: Any) -> None:
                self.arguments = arguments

        monkeypatch.setattr(ssl_, "SSLTransport", Transport)
        context = Context()
        wrapped: Any = ssl_wrap_socket("socket", None, None, None, None, "h", ssl_context=context, tls_in_tls=True)  # type: ignore[arg-type]
        assert type(wrapped) is Transport
        assert wrapped.arguments == ("socket", context, "h")
        assert context.names() == ["set_alpn_protocols"]

    def test_tls_inside_tls_without_such_a_class(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ssl_, "SSLTransport", None)
        with pytest.raises(ProxySchemeUnsupported, match="needs the ssl module"):
            ssl_wrap_socket("socket", ssl_context=Context(), tls_in_tls=True)  # type: ignore[arg-type]

    @pytest.mark.parametrize("failure", [OSError("reset"), ssl.SSLError("handshake")])
    def test_errors_of_the_handshake_are_passed_on(self, failure: Exception) -> None:
        with pytest.raises(type(failure)) as info:
            ssl_wrap_socket("socket", ssl_context=Context(wrap_socket=failure))  # type: ignore[arg-type]
        assert info.value is failure


ANONYMOUS = "AECDH-AES128-SHA:@SECLEVEL=0"
"""A cipher suite without certificates, which makes for handshakes without any files."""


@pytest.fixture
def tls_server() -> Iterator[tuple[socket.socket, ssl.SSLContext]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ANONYMOUS)
    context.set_alpn_protocols(["http/1.1"])
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with contextlib.suppress(OSError), context.wrap_socket(theirs, server_side=True) as sock:
            sock.sendall(sock.recv(100).upper())

    for sock in (ours, theirs):
        sock.settimeout(10)
    thread = threading.Thread(target=serve)
    thread.start()
    with ours, theirs:
        yield ours, context
        ours.close()
        thread.join()


def test_a_real_handshake(tls_server: tuple[socket.socket, ssl.SSLContext]) -> None:
    context = create_urllib3_context(
        cert_reqs=ssl.CERT_NONE, ciphers=ANONYMOUS, ssl_maximum_version=ssl.TLSVersion.TLSv1_2
    )
    with ssl_wrap_socket(tls_server[0], ssl_context=context, server_hostname="h") as sock:
        assert type(sock) is ssl.SSLSocket
        assert sock.selected_alpn_protocol() == "http/1.1"
        assert sock.compression() is None
        sock.sendall(b"hello")
        assert sock.recv(100) == b"HELLO"


def test_a_real_refusal(tls_server: tuple[socket.socket, ssl.SSLContext]) -> None:
    with pytest.raises(ssl.SSLError):
        ssl_wrap_socket(tls_server[0], ca_certs=certifi.where(), server_hostname="h")


WITHOUT_SSL = """
import sys
sys.modules["ssl"] = sys.modules["_ssl"] = None
from wirepool.util import ssl_, is_connection_dropped, Retry, Timeout, SSLContext
assert ssl_.ssl is None and ssl_.SSLContext is SSLContext is None and ssl_.TLSVersion is None
assert ssl_.SSLTransport is None
assert ssl_.HAS_NEVER_CHECK_COMMON_NAME is False
assert ssl_.resolve_cert_reqs(None) == 2 and ssl_.resolve_ssl_version(None) == 2
assert ssl_.is_ipaddress("::1")
try:
    ssl_.ssl_wrap_socket(None)
except TypeError as error:
    assert "without an ssl module" in str(error)
else:
    raise AssertionError
"""


def test_everything_imports_without_ssl() -> None:
    run = subprocess.run([sys.executable, "-c", WITHOUT_SSL], capture_output=True, text=True, timeout=30)
    assert run.returncode == 0, run.stderr


LOADED_WHEN_NEEDED = """
import sys
from wirepool.util import ssl_
assert "wirepool.util.ssltransport" not in sys.modules
assert ssl_.SSLTransport is ssl_.SSLTransport is sys.modules["wirepool.util.ssltransport"].SSLTransport
"""


def test_tls_inside_tls_is_loaded_when_needed() -> None:
    run = subprocess.run([sys.executable, "-c", LOADED_WHEN_NEEDED], capture_output=True, text=True, timeout=30)
    assert run.returncode == 0, run.stderr


def test_names_that_do_not_exist() -> None:
    assert ssl_._BRACELESS_IPV6_ADDRZ_RE.match("::1")
    with pytest.raises(AttributeError, match="no_such_name"):
        ssl_.no_such_name  # noqa: B018
