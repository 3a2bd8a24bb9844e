"""TLS: contexts, certificates pinned by fingerprint, and wrapping a socket.

Importable without the :mod:`ssl` module; then :data:`SSLContext` is ``None`` and creating a context fails.
``SSLContext`` is looked up in this module whenever a context is made, so that replacing it (truststore, gevent) works.
"""

from __future__ import annotations

import os
import socket
import sys
import warnings
from binascii import Error as BinasciiError
from binascii import unhexlify
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from wirepool._reexports import reexport
from wirepool.exceptions import ProxySchemeUnsupported, SSLError
from wirepool.util.url import _IPV4_RE, _lazy_pattern

try:
    import ssl
except ImportError:
    ssl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import hashlib
    from ssl import VerifyMode

__all__ = [
    "ALPN_PROTOCOLS",
    "BinasciiError",
    "ProxySchemeUnsupported",
    "SSLContext",
    "SSLError",
    "assert_fingerprint",
    "create_urllib3_context",
    "is_ipaddress",
    "resolve_cert_reqs",
    "resolve_ssl_version",
    "ssl_wrap_socket",
    "unhexlify",
]

#: Protocols to offer during the handshake (RFC 7301).
ALPN_PROTOCOLS: list[str] = ["http/1.1"]

#: Whether ``contrib.pyopenssl`` took the place of the standard library's TLS.
IS_PYOPENSSL = False


def _of_ssl(name: str, default: Any) -> Any:
    return getattr(ssl, name, default)


SSLContext: Any = _of_ssl("SSLContext", None)
_AT_IMPORT = SSLContext, _of_ssl("SSLSocket", None)
TLSVersion: Any = _of_ssl("TLSVersion", None)
OPENSSL_VERSION: str = _of_ssl("OPENSSL_VERSION", "")

#: TLS over a TLS socket, loaded when somebody asks for it; ``None`` without the ssl module.
SSLTransport: Any

# The numbers are those of <openssl/ssl.h> and _ssl, for builds of Python that have no ssl module.
CERT_REQUIRED: Any = _of_ssl("CERT_REQUIRED", 2)
OP_NO_COMPRESSION: Any = _of_ssl("OP_NO_COMPRESSION", 0x20000)
OP_NO_TICKET: Any = _of_ssl("OP_NO_TICKET", 0x4000)
OP_NO_SSLv2: Any = _of_ssl("OP_NO_SSLv2", 0x1000000)
OP_NO_SSLv3: Any = _of_ssl("OP_NO_SSLv3", 0x2000000)
PROTOCOL_TLS: Any = _of_ssl("PROTOCOL_TLS", 2)
PROTOCOL_SSLv23: Any = PROTOCOL_TLS
PROTOCOL_TLS_CLIENT: Any = _of_ssl("PROTOCOL_TLS_CLIENT", 16)
VERIFY_X509_PARTIAL_CHAIN: Any = _of_ssl("VERIFY_X509_PARTIAL_CHAIN", 0x80000)
VERIFY_X509_STRICT: Any = _of_ssl("VERIFY_X509_STRICT", 0x20)

#: What the deprecated ``ssl_version`` asks for.
_SSL_VERSION_TO_TLS_VERSION: dict[int, int] = {
    getattr(ssl, f"PROTOCOL_{name}"): getattr(TLSVersion, name)
    for name in ("TLSv1", "TLSv1_1", "TLSv1_2")
    if hasattr(ssl, f"PROTOCOL_{name}")
}


def _is_has_never_check_common_name_reliable(openssl_version: str) -> bool:
    # LibreSSL and others have the switch, yet ignore it.
    return openssl_version.startswith("OpenSSL ")


#: Whether a context can be told not to fall back to the common name of a certificate.
HAS_NEVER_CHECK_COMMON_NAME: bool = _of_ssl(
    "HAS_NEVER_CHECK_COMMON_NAME", False
) and _is_has_never_check_common_name_reliable(OPENSSL_VERSION)


def __getattr__(name: str) -> Any:
    if name == "_BRACELESS_IPV6_ADDRZ_RE":
        return _lazy_pattern(name)
    if name == "SSLTransport":
        return _load_transport()
    return reexport(__name__, name)


def _load_transport() -> Any:
    # Kept as an ordinary global, which is also where whoever replaces the class puts theirs.
    namespace = globals()
    if "SSLTransport" not in namespace:
        namespace["SSLTransport"] = None if ssl is None else _import_transport()
    return namespace["SSLTransport"]


def _import_transport() -> Any:
    from wirepool.util.ssltransport import SSLTransport

    return SSLTransport


# Certificates pinned by fingerprint


def _hash_function(name: str) -> Callable[[bytes], hashlib._Hash]:
    def digest(data: bytes = b"") -> hashlib._Hash:
        import hashlib

        return hashlib.new(name, data)

    return digest


#: Hash functions of fingerprints, by number of hexadecimal digits.
HASHFUNC_MAP: Final = {32: _hash_function("md5"), 40: _hash_function("sha1"), 64: _hash_function("sha256")}


def assert_fingerprint(cert: bytes | None, fingerprint: str) -> None:
    """Check that a certificate is the one expected.

    :param cert: the certificate in DER form.
    :param fingerprint: MD5, SHA-1 or SHA-256 in hexadecimal; case and colons do not matter.
    :raises SSLError: it is another, there is none, or *fingerprint* is not a fingerprint.
    """
    import hmac

    if cert is None:
        raise SSLError("No certificate for the peer.")
    digits = fingerprint.replace(":", "").lower()
    hash_function = HASHFUNC_MAP.get(len(digits))
    if hash_function is None:
        raise SSLError(f"Fingerprint of invalid length: {digits}")
    try:
        expected = unhexlify(digits.encode())
        actual = hash_function(cert).digest()
    except ValueError as error:
        # Not hexadecimal, or a hash function that this system's policy forbids.
        raise SSLError(error) from error
    if not hmac.compare_digest(actual, expected):
        raise SSLError(f'Fingerprints did not match. Expected "{digits}", got "{actual.hex()}"')


# What users pass for constants of the ssl module


def resolve_cert_reqs(candidate: int | str | None) -> VerifyMode:
    """Turn ``"CERT_NONE"``, ``"NONE"`` and the like into the constant; ``None`` means ``CERT_REQUIRED``.

    :raises AttributeError: there is no constant of that name.
    """
    found: VerifyMode = CERT_REQUIRED if candidate is None else _resolve_constant("CERT_", candidate)
    return found


def resolve_ssl_version(candidate: int | str | None) -> int:
    """Turn ``"PROTOCOL_TLSv1_2"``, ``"TLSv1_2"`` and the like into the constant; ``None`` means ``PROTOCOL_TLS``.

    :raises AttributeError: there is no constant of that name.
    """
    found: int = PROTOCOL_TLS if candidate is None else _resolve_constant("PROTOCOL_", candidate)
    return found


def _resolve_constant(prefix: str, candidate: int | str) -> Any:
    if not isinstance(candidate, str):
        return candidate
    value = getattr(ssl, candidate, None)
    return getattr(ssl, prefix + candidate) if value is None else value


def is_ipaddress(hostname: str | bytes) -> bool:
    """Tell whether *hostname* is an address: IPv6 without brackets, or IPv4 in any form that ``inet_aton`` takes."""
    if isinstance(hostname, bytes):
        hostname = hostname.decode("ascii")
    if _IPV4_RE.match(hostname):
        return True
    return ":" in hostname and _lazy_pattern("_BRACELESS_IPV6_ADDRZ_RE").match(hostname) is not None


# Contexts


def context_class() -> Any:
    """The class of contexts: what somebody put here, else the standard library's; its own, unless its sockets are not
    what they were (gevent, eventlet). Contexts of before would go on making sockets of before."""
    known, sockets = _AT_IMPORT
    if SSLContext is not known or ssl is None or ssl.SSLSocket is sockets:
        return SSLContext
    return ssl.SSLContext


def create_urllib3_context(
    ssl_version: int | None = None,
    cert_reqs: int | None = None,
    options: int | None = None,
    ciphers: str | None = None,
    ssl_minimum_version: int | None = None,
    ssl_maximum_version: int | None = None,
    verify_flags: int | None = None,
) -> ssl.SSLContext:
    """Make a client context: TLS 1.2 or newer, certificates and host names verified, no roots loaded yet.

    :param ssl_version: deprecated; exactly this version.
    :param cert_reqs: ``CERT_REQUIRED`` if omitted. Anything less turns off the check of the host name as well.
    :param options: instead of the default ``OP_NO_*`` options.
    :param ciphers: OpenSSL cipher list; the default of OpenSSL if omitted.
    :param ssl_minimum_version: a :class:`ssl.TLSVersion`.
    :param ssl_maximum_version: a :class:`ssl.TLSVersion`.
    :param verify_flags: instead of ``VERIFY_X509_PARTIAL_CHAIN | VERIFY_X509_STRICT`` (from Python 3.13 on).
    :raises TypeError: there is no :mod:`ssl` module.
    :raises ValueError: *ssl_version* came together with a minimum or maximum.

    If the environment has ``SSLKEYLOGFILE``, the secrets of all connections are written to that file.
    """
    if SSLContext is None:
        raise TypeError("Can't create an SSLContext object without an ssl module")
    if ssl_version not in (None, PROTOCOL_TLS, PROTOCOL_TLS_CLIENT):
        if ssl_minimum_version is not None or ssl_maximum_version is not None:
            raise ValueError("'ssl_version' excludes 'ssl_minimum_version' and 'ssl_maximum_version'")
        warnings.warn("'ssl_version' is deprecated, use 'ssl_minimum_version'", FutureWarning, stacklevel=2)
        ssl_minimum_version, ssl_maximum_version = _version_bounds(ssl_version)
    context = context_class()(PROTOCOL_TLS_CLIENT)
    _limit_versions(context, ssl_minimum_version, ssl_maximum_version)
    if ciphers:
        context.set_ciphers(ciphers)
    context.options |= _default_options() if options is None else options
    _set_verification(context, CERT_REQUIRED if cert_reqs is None else cert_reqs)
    context.verify_flags |= _default_verify_flags() if verify_flags is None else verify_flags
    _log_secrets(context)
    return context  # type: ignore[no-any-return]


def _version_bounds(ssl_version: Any) -> tuple[Any, Any]:
    version = _SSL_VERSION_TO_TLS_VERSION.get(resolve_ssl_version(ssl_version))
    # Nonsense must not lower what we accept, so then our own minimum stays.
    return version, version


def _limit_versions(context: Any, minimum: Any, maximum: Any) -> None:
    context.minimum_version = TLSVersion.TLSv1_2 if minimum is None else minimum
    if maximum is not None:
        context.maximum_version = maximum


def _default_options() -> Any:
    # Compression gives secrets away (CRIME). Session tickets are allowed: resumption halves the handshake.
    return OP_NO_SSLv2 | OP_NO_SSLv3 | OP_NO_COMPRESSION


def _default_verify_flags() -> Any:
    # What ssl.create_default_context() does since Python 3.13; before, some chains in use fail the strict check.
    return VERIFY_X509_PARTIAL_CHAIN | VERIFY_X509_STRICT if sys.version_info >= (3, 13) else 0


def _set_verification(context: Any, cert_reqs: Any) -> None:
    # Turning verification off needs check_hostname off first; turning it on works in either order.
    context.check_hostname = False
    context.verify_mode = cert_reqs
    # pyOpenSSL cannot check names; there we do it after the handshake.
    if cert_reqs == CERT_REQUIRED and not IS_PYOPENSSL:
        context.check_hostname = True
    try:
        context.hostname_checks_common_name = False
    except AttributeError:
        pass
    # Servers may ask for a client certificate after the handshake (TLS 1.3).
    if getattr(context, "post_handshake_auth", None) is not None:
        context.post_handshake_auth = True


def _log_secrets(context: Any) -> None:
    path = os.path.expandvars(os.environ.get("SSLKEYLOGFILE", ""))
    if path:
        context.keylog_filename = path


# Roots


#: What was loaded into which context: reading a CA bundle costs more than a handshake.
_loaded_roots: WeakKeyDictionary[Any, set[tuple[object, ...]]] = WeakKeyDictionary()


def _load_roots_once(
    context: Any, ca_certs: str | None, ca_cert_dir: str | None, ca_cert_data: str | bytes | None
) -> None:
    """Load CA certificates into *context* unless it has them already; a bundle that changed on disk is read again.

    :raises SSLError: they cannot be loaded.
    """
    source = (_file_version(ca_certs), ca_cert_dir, ca_cert_data)
    try:
        loaded = _loaded_roots.setdefault(context, set())
        is_known = source in loaded
    except TypeError:
        # A context that cannot be referred to weakly, or data that can change: nothing to remember them by.
        loaded, is_known = None, False
    if is_known:
        return
    try:
        context.load_verify_locations(ca_certs, ca_cert_dir, ca_cert_data)
    except OSError as error:
        raise SSLError(error) from error
    if loaded is not None:
        loaded.add(source)


def _file_version(path: str | None) -> tuple[object, ...] | None:
    if not path:
        return None
    try:
        status = os.stat(path)
    except OSError:
        # Loading it will fail as well, with a better message, or path is something only the context understands.
        return (path,)
    return path, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _load_default_roots(context: Any) -> None:
    """Load the CA certificates of the system or, if the system has none, those of the ``certifi`` package."""
    if not hasattr(context, "load_default_certs"):
        return
    context.load_default_certs()
    if _has_no_roots(context):
        try:
            import certifi
        except ImportError:
            return
        context.load_verify_locations(certifi.where())


def _has_no_roots(context: Any) -> bool:
    try:
        if context.cert_store_stats()["x509_ca"]:
            return False
    except (AttributeError, NotImplementedError):
        # It does not tell; truststore's contexts find their own.
        return False
    if "SSL_CERT_FILE" in os.environ or "SSL_CERT_DIR" in os.environ:
        # Whoever sets these means them, even if they lead to nothing.
        return False
    # Certificates in a directory are loaded one by one when needed, and not counted before.
    directory = ssl.get_default_verify_paths().capath
    return not directory or not os.listdir(directory)


# Sockets


def ssl_wrap_socket(
    sock: socket.socket,
    keyfile: str | None = None,
    certfile: str | None = None,
    cert_reqs: int | None = None,
    ca_certs: str | None = None,
    server_hostname: str | None = None,
    ssl_version: int | None = None,
    ciphers: str | None = None,
    ssl_context: ssl.SSLContext | None = None,
    ca_cert_dir: str | None = None,
    key_password: str | None = None,
    ca_cert_data: str | bytes | None = None,
    tls_in_tls: bool = False,
    *,
    session: ssl.SSLSession | None = None,
) -> ssl.SSLSocket:
    """Do the TLS handshake on a connected socket.

    *cert_reqs*, *ssl_version* and *ciphers* are for making a context and have no effect if *ssl_context* is given; CA
    certificates and the client certificate are added to a given context too.

    :param keyfile: PEM file with the private key of the client certificate, if *certfile* does not contain it.
    :param certfile: PEM file with the client certificate and its chain.
    :param ca_certs: PEM file with CA certificates. If none of the three CA arguments and no context is given, those of
        the system are used.
    :param ca_cert_dir: directory of CA certificates, as made by ``openssl rehash``.
    :param ca_cert_data: CA certificates, as PEM text or DER bytes.
    :param server_hostname: name to ask for (SNI) and to verify.
    :param key_password: of the private key.
    :param tls_in_tls: *sock* is a TLS socket itself; the result is a :class:`~wirepool.util.ssltransport.SSLTransport`.
    :param session: of an earlier connection with the same context and to the same name, to be resumed.
    :raises SSLError: CA certificates cannot be loaded, or the private key is encrypted and *key_password* missing.
    :raises ssl.SSLError: the handshake failed.
    :raises ProxySchemeUnsupported: *tls_in_tls* with a context that cannot do that, for want of ``wrap_bio``.
    """
    context: Any = ssl_context
    if context is None:
        context = create_urllib3_context(ssl_version, cert_reqs, ciphers=ciphers)
    if ca_certs or ca_cert_dir or ca_cert_data:
        _load_roots_once(context, ca_certs, ca_cert_dir, ca_cert_data)
    elif ssl_context is None:
        _load_default_roots(context)
    _load_client_certificate(context, certfile, keyfile, key_password)
    context.set_alpn_protocols(ALPN_PROTOCOLS)
    try:
        if session is not None and not tls_in_tls:
            return context.wrap_socket(sock, server_hostname=server_hostname, session=session)  # type: ignore[no-any-return]
        return _ssl_wrap_socket_impl(sock, context, tls_in_tls, server_hostname)
    except Exception:
        raise
    except BaseException as interrupt:
        _close_unfinished(interrupt)
        raise


def _close_unfinished(interrupt: BaseException) -> None:
    """Close the TLS socket whose handshake was interrupted.

    It has the descriptor by then, and nobody has it but its own frames, which live as long as the traceback; before
    Python 3.13 it closes itself after errors only, and not after a KeyboardInterrupt.
    """
    step = interrupt.__traceback__
    while step is not None:
        frame, step = step.tb_frame, step.tb_next
        unfinished = frame.f_locals.get("self") if frame.f_code.co_name == "_create" else None
        if ssl is not None and isinstance(unfinished, ssl.SSLSocket):
            unfinished.close()


def _load_client_certificate(context: Any, certfile: str | None, keyfile: str | None, key_password: str | None) -> None:
    # OpenSSL would ask for the password on the terminal.
    if keyfile and key_password is None and _is_key_file_encrypted(keyfile):
        raise SSLError("Client private key is encrypted, password is required")
    if not certfile:
        return
    if key_password is None:
        context.load_cert_chain(certfile, keyfile)
    else:
        context.load_cert_chain(certfile, keyfile, key_password)


def _is_key_file_encrypted(key_file: str) -> bool:
    # "Proc-Type: 4,ENCRYPTED" (RFC 1421) or "BEGIN ENCRYPTED PRIVATE KEY" (RFC 7468).
    with open(key_file, "rb") as lines:
        return any(b"ENCRYPTED" in line for line in lines)


def _ssl_wrap_socket_impl(
    sock: socket.socket, ssl_context: ssl.SSLContext, tls_in_tls: bool, server_hostname: str | None = None
) -> ssl.SSLSocket:
    if not tls_in_tls:
        return ssl_context.wrap_socket(sock, server_hostname=server_hostname)
    transport = _load_transport()
    if transport is None:
        raise ProxySchemeUnsupported("TLS inside TLS (an https target behind an https proxy) needs the ssl module")
    transport._validate_ssl_context_for_tls_in_tls(ssl_context)
    # Not an SSLSocket, but with its methods.
    return transport(sock, ssl_context, server_hostname)  # type: ignore[no-any-return]
