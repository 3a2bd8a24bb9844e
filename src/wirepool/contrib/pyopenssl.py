"""TLS by pyOpenSSL instead of the standard library.

For programs that need what only pyOpenSSL offers, such as a client certificate that never touches a file::

    import wirepool.contrib.pyopenssl

    wirepool.contrib.pyopenssl.inject_into_urllib3()

From then on contexts that wirepool makes are :class:`PyOpenSSLContext`; :func:`extract_from_urllib3` undoes it. The
class also works by itself, as ``ssl_context`` of a pool. If pyOpenSSL is missing or too old, importing this module
raises :exc:`ImportError`.

pyOpenSSL freezes a context with its first connection, while pools use one context again and again. Hence settings are
collected here and handed to pyOpenSSL at the first :meth:`~PyOpenSSLContext.wrap_socket`; what pyOpenSSL can set for
each connection (verification, ALPN) is set there.

Threading: contexts are shared; settings are changed and frozen under a lock. Injection is process-wide.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from wirepool import util
from wirepool._reexports import reexports
from wirepool.contrib._pyopenssl_certificates import (
    SSL,
    count_certificates,
    crypto,
    describe,
    get_subj_alt_name,
    parse_certificates,
    parse_private_key,
    windows_certificates,
)
from wirepool.contrib._pyopenssl_socket import SSL_WRITE_BLOCKSIZE, WrappedSocket, _verify_callback
from wirepool.util.ssl_ import is_ipaddress

__all__ = [
    "SSL_WRITE_BLOCKSIZE",
    "PyOpenSSLContext",
    "WrappedSocket",
    "extract_from_urllib3",
    "get_subj_alt_name",
    "inject_into_urllib3",
    "orig_util_SSLContext",
]

if not TYPE_CHECKING:
    __getattr__ = reexports(__name__)

#: The class of contexts as it was when this module was imported.
orig_util_SSLContext: Any = util.ssl_.SSLContext


# Injection


class _Injection:
    """What was replaced, while something is."""

    replaced: tuple[Any, Any] | None = None
    lock = threading.Lock()


def inject_into_urllib3() -> None:
    """Make contexts with pyOpenSSL from now on, in the whole process. Doing it twice is doing it once."""
    with _Injection.lock:
        if _Injection.replaced is None:
            _Injection.replaced = util.SSLContext, util.ssl_.SSLContext
        _install((PyOpenSSLContext, PyOpenSSLContext), True)


def extract_from_urllib3() -> None:
    """Undo :func:`inject_into_urllib3`; does nothing if there is nothing to undo."""
    with _Injection.lock:
        if _Injection.replaced is not None:
            _install(_Injection.replaced, False)
            _Injection.replaced = None


def _install(classes: tuple[Any, Any], is_pyopenssl: bool) -> None:
    util.SSLContext, util.ssl_.SSLContext = classes
    util.IS_PYOPENSSL = util.ssl_.IS_PYOPENSSL = is_pyopenssl


# Settings in the words of both

_stdlib_to_openssl_verify = {
    ssl.CERT_NONE: SSL.VERIFY_NONE,
    ssl.CERT_OPTIONAL: SSL.VERIFY_PEER,
    ssl.CERT_REQUIRED: SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
}

# Beside the versions themselves, which are numbered alike; 0 leaves that end open.
_OPENSSL_MINIMUM = {ssl.TLSVersion.MINIMUM_SUPPORTED: 0, ssl.TLSVersion.MAXIMUM_SUPPORTED: SSL.TLS1_3_VERSION}
_OPENSSL_MAXIMUM = {ssl.TLSVersion.MINIMUM_SUPPORTED: SSL.TLS1_VERSION, ssl.TLSVersion.MAXIMUM_SUPPORTED: 0}

_FLEXIBLE_PROTOCOLS = (ssl.PROTOCOL_TLS, ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER)


def _initial_versions(protocol: int) -> tuple[ssl.TLSVersion, ssl.TLSVersion]:
    if protocol in _FLEXIBLE_PROTOCOLS:
        return ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.MAXIMUM_SUPPORTED
    version = util.ssl_._SSL_VERSION_TO_TLS_VERSION.get(protocol)
    if version is None:
        raise ValueError(f"no such protocol: {protocol!r}")
    return ssl.TLSVersion(version), ssl.TLSVersion(version)


def _setting(name: str, kind: Callable[[Any], Any], meaning: str) -> property:
    def read(self: PyOpenSSLContext) -> Any:
        return self._settings[name]

    def write(self: PyOpenSSLContext, value: Any) -> None:
        self._change(name, kind(value))

    return property(read, write, doc=meaning)


def _writable_path(path: Any) -> Any:
    if path is not None:
        open(path, "ab").close()
    return path


@contextlib.contextmanager
def _errors_of_ssl(doing: str) -> Iterator[None]:
    try:
        yield
    except (SSL.Error, crypto.Error) as error:
        raise ssl.SSLError(ssl.SSL_ERROR_SSL, f"{doing}: {describe(error)}") from error


class PyOpenSSLContext:
    """Takes the place of :class:`ssl.SSLContext`.

    :param protocol: one of :mod:`ssl`'s ``PROTOCOL_TLS*``. ``PROTOCOL_TLS_CLIENT`` verifies certificates, others do not
        unless told to. TLS 1.2 is the minimum unless the protocol itself is an older one.

    Certificate names are compared if ``check_hostname`` is on, which it is not by default: connections of wirepool do
    that by themselves after the handshake.

    After the first connection CA certificates can be added, and verification and ALPN changed; anything else raises
    :exc:`ssl.SSLError`, unless it is as it was. The ``OpenSSL.SSL.Context`` underneath is ``_ctx``: what was done to it
    before the first connection is kept, except for its verification mode and callback.
    """

    #: Whether connections accept a common name where a certificate has no alternative names.
    hostname_checks_common_name = False

    def __init__(self, protocol: int) -> None:
        minimum, maximum = _initial_versions(protocol)
        self.protocol = protocol
        self._ctx = SSL.Context(SSL.TLS_METHOD)
        self._lock = threading.Lock()
        self._is_used = False
        self._settings: dict[str, Any] = {
            "options": ssl.Options(0),
            "verify_flags": ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST,
            "minimum_version": minimum,
            "maximum_version": maximum,
            "keylog_filename": None,
        }
        self._verify_mode = ssl.CERT_REQUIRED if protocol == ssl.PROTOCOL_TLS_CLIENT else ssl.CERT_NONE
        self._check_hostname = False
        self._ciphers: bytes | None = None
        self._alpn_protocols: list[bytes] = []
        self._client_certificate: bytes | None = None
        self._ca_count = 0

    # ------------------------------------------------------------ settings

    options = _setting("options", ssl.Options, "``OP_*`` flags of :mod:`ssl`, beside those OpenSSL has by default.")
    verify_flags = _setting("verify_flags", ssl.VerifyFlags, "``VERIFY_*`` flags of :mod:`ssl`.")
    minimum_version = _setting("minimum_version", ssl.TLSVersion, "Oldest protocol to accept.")
    maximum_version = _setting("maximum_version", ssl.TLSVersion, "Newest protocol to accept.")
    keylog_filename = _setting("keylog_filename", _writable_path, "File to append secrets to, or None.")

    def _change(self, name: str, value: Any) -> None:
        with self._lock:
            if self._settings[name] != value:
                self._check_unused(name)
                self._settings[name] = value

    def _check_unused(self, what: str) -> None:
        if self._is_used:
            raise ssl.SSLError(
                ssl.SSL_ERROR_SSL,
                f"cannot change {what}: pyOpenSSL freezes a context with its first connection; make a new context",
            )

    def _freeze(self) -> None:
        """Hands the settings over, once."""
        with self._lock:
            if not self._is_used:
                with _errors_of_ssl("these settings do not work"):
                    self._apply(**self._settings)
                self._is_used = True

    def _apply(
        self, options: int, verify_flags: int, minimum_version: Any, maximum_version: Any, keylog_filename: Any
    ) -> None:
        self._ctx.set_options(int(options))
        self._ctx.get_cert_store().set_flags(int(verify_flags))
        self._ctx.set_min_proto_version(_OPENSSL_MINIMUM.get(minimum_version, int(minimum_version)))
        self._ctx.set_max_proto_version(_OPENSSL_MAXIMUM.get(maximum_version, int(maximum_version)))
        if keylog_filename is not None:
            self._ctx.set_keylog_callback(_secrets_writer(keylog_filename))

    @property
    def verify_mode(self) -> ssl.VerifyMode:
        """``CERT_NONE``, ``CERT_OPTIONAL`` (for a client the same as required) or ``CERT_REQUIRED``.

        :raises ValueError: when set to ``CERT_NONE`` while ``check_hostname`` is on.
        """
        return self._verify_mode

    @verify_mode.setter
    def verify_mode(self, value: int) -> None:
        mode = ssl.VerifyMode(value)
        if mode == ssl.CERT_NONE and self._check_hostname:
            raise ValueError("verify_mode cannot be CERT_NONE while check_hostname is on: turn that off first")
        self._verify_mode = mode

    @property
    def check_hostname(self) -> bool:
        """Compare the certificate's names with ``server_hostname`` after the handshake; needs verification, and turns
        it on."""
        return self._check_hostname

    @check_hostname.setter
    def check_hostname(self, value: bool) -> None:
        self._check_hostname = bool(value)
        if self._check_hostname and self._verify_mode == ssl.CERT_NONE:
            self._verify_mode = ssl.CERT_REQUIRED

    def set_ciphers(self, ciphers: bytes | str) -> None:
        """Ciphers for TLS 1.2 and older, as an OpenSSL cipher list.

        :raises ssl.SSLError: nothing is left to choose from.
        """
        wanted = ciphers.encode() if isinstance(ciphers, str) else bytes(ciphers)
        with self._lock:
            if wanted == self._ciphers:
                return
            self._check_unused("ciphers")
            with _errors_of_ssl("no cipher can be selected"):
                self._ctx.set_cipher_list(wanted)
            self._ciphers = wanted

    def set_alpn_protocols(self, protocols: list[bytes | str]) -> None:
        """Protocols to offer (RFC 7301), the preferred one first."""
        wanted = [name.encode("ascii") if isinstance(name, str) else bytes(name) for name in protocols]
        if not all(1 <= len(name) <= 255 for name in wanted):
            raise ssl.SSLError("ALPN protocols must be 1 to 255 bytes long")
        self._alpn_protocols = wanted

    # ------------------------------------------------------------ roots

    def load_verify_locations(
        self,
        cafile: str | None = None,
        capath: str | None = None,
        cadata: str | bytes | bytearray | memoryview | None = None,
    ) -> None:
        """Trust the CA certificates of a PEM file, a directory made by ``openssl rehash``, or PEM text or DER bytes.

        :raises OSError: *cafile* cannot be opened.
        :raises ssl.SSLError: there are no certificates in it.
        """
        if cafile is None and capath is None and cadata is None:
            raise TypeError("cafile, capath and cadata cannot be all omitted")
        if cafile is not None or capath is not None:
            self._trust_locations(cafile, capath)
        if cadata is not None:
            self._trust_certificates(parse_certificates(cadata))

    def _trust_locations(self, cafile: str | None, capath: str | None) -> None:
        count = 0 if cafile is None else count_certificates(cafile)
        with _errors_of_ssl(f"unable to load trusted certificates from {cafile or capath}"):
            # The store itself may be added to at any time, unlike the context.
            self._ctx.get_cert_store().load_locations(cafile, capath)
        self._ca_count += count

    def _trust_certificates(self, certificates: list[Any]) -> None:
        store = self._ctx.get_cert_store()
        with _errors_of_ssl("unable to load trusted certificates"):
            for certificate in certificates:
                store.add_cert(crypto.X509.from_cryptography(certificate))
        self._ca_count += len(certificates)

    def set_default_verify_paths(self) -> None:
        """Trust the CA certificates in the file and directory that :mod:`ssl` takes for the system's.

        The environment variables ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` replace them. As with :mod:`ssl`, what cannot
        be read is left out.
        """
        paths = ssl.get_default_verify_paths()
        directories = os.environ.get(paths.openssl_capath_env, paths.openssl_capath)
        for cafile, capath in ((paths.cafile, None), (None, directories)):
            if cafile or capath:
                with contextlib.suppress(OSError):
                    self._trust_locations(cafile, capath)

    def load_default_certs(self, purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH) -> None:
        """Trust the CA certificates of the system: :meth:`set_default_verify_paths` and, on Windows, its stores."""
        self._trust_certificates(list(windows_certificates(purpose.oid)))
        self.set_default_verify_paths()

    def cert_store_stats(self) -> dict[str, int]:
        """How many certificates were loaded from files and as data, all of them taken for CA certificates."""
        return {"x509": self._ca_count, "crl": 0, "x509_ca": self._ca_count}

    # ------------------------------------------------------------ client certificate

    def load_cert_chain(
        self,
        certfile: str,
        keyfile: str | None = None,
        password: str | bytes | Callable[[], str | bytes] | None = None,
    ) -> None:
        """Show this certificate when asked for one.

        :param certfile: PEM file with the certificate and its chain.
        :param keyfile: PEM file with the private key, if *certfile* does not contain it.
        :param password: of the private key, or a function that returns it. The terminal is never asked.
        :raises OSError: a file cannot be opened.
        :raises ssl.SSLError: there is no usable certificate or key in it, or the two do not belong together.
        """
        key_path = certfile if keyfile is None else keyfile
        chain, key_pem = _read(certfile), _read(key_path)
        # Connections load it again and again, at times from a new file each.
        digest = hashlib.sha256(chain + b"\0" + key_pem).digest()
        with self._lock:
            if self._is_used and digest == self._client_certificate:
                return
            self._check_unused("the client certificate")
            key = parse_private_key(key_pem, key_path, password)
            with _errors_of_ssl(f"the certificate in {certfile} cannot be used with the key in {key_path}"):
                self._ctx.use_certificate_chain_file(certfile)
                self._ctx.use_privatekey(key)
                self._ctx.check_privatekey()
            self._client_certificate = digest

    # ------------------------------------------------------------ sockets

    def wrap_socket(
        self,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: bytes | str | None = None,
    ) -> WrappedSocket:
        """Put TLS on a connected socket, which is closed if that fails.

        :param server_side: be the server.
        :param do_handshake_on_connect: shake hands now, within the socket's time-out, and not when told to.
        :param suppress_ragged_eofs: let an end without TLS's farewell look like a proper one.
        :param server_hostname: name to ask for (SNI) and, with ``check_hostname``, to verify.
        :raises ssl.SSLError: the handshake failed; :exc:`ssl.SSLCertVerificationError` if over the certificate.
        :raises ValueError: ``check_hostname`` is on and there is no name.
        """
        hostname = server_hostname.decode("ascii") if isinstance(server_hostname, bytes) else server_hostname
        if self._check_hostname and not (hostname or server_side):
            raise ValueError("check_hostname needs a server_hostname")
        connection = self._new_connection(sock, server_side, hostname)
        expected = hostname if self._check_hostname and not server_side else None
        wrapped = WrappedSocket(connection, sock, suppress_ragged_eofs, expected_hostname=expected)
        if do_handshake_on_connect:
            try:
                wrapped.do_handshake()
            except BaseException:
                wrapped.close()
                raise
        return wrapped

    def _new_connection(self, sock: socket.socket, server_side: bool, hostname: str | None) -> Any:
        self._freeze()
        connection = SSL.Connection(self._ctx, sock)
        connection.set_verify(_stdlib_to_openssl_verify[self._verify_mode], _verify_callback)
        if server_side:
            connection.set_accept_state()
            return connection
        connection.set_connect_state()
        if self._alpn_protocols:
            connection.set_alpn_protos(self._alpn_protocols)
        # Addresses are no names (RFC 6066 3).
        if hostname and not is_ipaddress(hostname):
            connection.set_tlsext_host_name(hostname.encode("ascii" if hostname.isascii() else "idna"))
        return connection


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _secrets_writer(path: Any) -> Callable[[Any, bytes], None]:
    def write(connection: Any, line: bytes) -> None:
        with open(path, "ab", buffering=0) as file:
            file.write(line + b"\n")

    return write
