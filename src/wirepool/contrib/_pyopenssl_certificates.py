"""Certificates and keys between :mod:`ssl`'s words and those of pyOpenSSL and ``cryptography``.

Serves ``contrib.pyopenssl``; also the one place that imports the two packages, and says what is wrong if they are
missing. Functions only, for any thread.
"""

from __future__ import annotations

import contextlib
import logging
import re
import ssl
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, cast

from wirepool._identity import logger_name

log = logging.getLogger(logger_name("wirepool.contrib.pyopenssl"))

# Since this release pyOpenSSL takes keys and certificates of ``cryptography``; everything else is deprecated by now.
_OLDEST = (24, 3)


def _import_pyopenssl() -> tuple[Any, Any, Any]:
    """``OpenSSL.SSL``, ``OpenSSL.crypto`` and ``cryptography.x509``; without static types, which depend on releases."""
    advice = "wirepool.contrib.pyopenssl needs pyOpenSSL {}.{} or newer: install or upgrade pyOpenSSL".format(*_OLDEST)
    try:
        found = import_module("OpenSSL").__version__
        modules = import_module("OpenSSL.SSL"), import_module("OpenSSL.crypto"), import_module("cryptography.x509")
    except (ImportError, AttributeError) as error:
        # An AttributeError is what releases of pyOpenSSL and cryptography that do not fit together end in.
        raise ImportError(f"{advice} ({error})") from error
    if tuple(int(number) for number in found.split(".")[:2]) < _OLDEST:
        raise ImportError(f"{advice} (found {found})")
    return modules


SSL, crypto, x509 = _import_pyopenssl()


def describe(error: Exception) -> str:
    """What OpenSSL has to say about a failure, in words."""
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else ()
    return "; ".join(str(entry[-1]) for entry in queue if entry[-1]) or "OpenSSL gives no reason"


# A peer's certificate


def get_subj_alt_name(peer_cert: Any) -> list[tuple[str, str]]:
    """Names and addresses that a certificate was issued for, as :meth:`ssl.SSLSocket.getpeercert` lists them.

    A certificate whose extensions cannot be read has none, so that it matches no host.

    :param peer_cert: an ``OpenSSL.crypto.X509``, or a ``cryptography.x509.Certificate``.
    """
    certificate = of_cryptography(peer_cert)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return [
            *(("DNS", name) for name in map(_ascii_name, names.get_values_for_type(x509.DNSName)) if name),
            *(("IP Address", str(address)) for address in names.get_values_for_type(x509.IPAddress)),
        ]
    except x509.ExtensionNotFound:
        return []
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError) as error:
        log.warning("The certificate's alternative names cannot be read, so it matches no host: %s", error)
        return []


def of_cryptography(certificate: Any) -> Any:
    return certificate.to_cryptography() if hasattr(certificate, "to_cryptography") else certificate


def _ascii_name(name: str) -> str | None:
    """The name as DNS has it (RFC 5890 2.3.2.1), or None if it is none."""
    if name.isascii():
        return name
    wildcard, name = ("*.", name[2:]) if name.startswith("*.") else ("", name)
    try:
        import idna

        return wildcard + idna.encode(name).decode("ascii")
    except (ImportError, UnicodeError):
        return None


def common_names(certificate: Any) -> tuple[tuple[tuple[str, str]], ...]:
    attributes = certificate.subject.get_attributes_for_oid(x509.oid.NameOID.COMMON_NAME)
    return tuple((("commonName", str(attribute.value)),) for attribute in attributes)


def to_der(certificate: Any) -> bytes:
    encoding = import_module("cryptography.hazmat.primitives.serialization").Encoding.DER
    return cast(bytes, certificate.public_bytes(encoding))


# CA certificates and private keys

_PEM_KEY = re.compile(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)


def count_certificates(path: str) -> int:
    with open(path, "rb") as lines:
        return sum(line.startswith((b"-----BEGIN CERT", b"-----BEGIN TRUSTED CERT")) for line in lines)


def parse_certificates(data: str | bytes | bytearray | memoryview) -> list[Any]:
    encoded = data.encode("ascii") if isinstance(data, str) else bytes(data)
    try:
        if isinstance(data, str) or b"-----BEGIN" in encoded:
            return list(x509.load_pem_x509_certificates(encoded))
        return [x509.load_der_x509_certificate(der) for der in _split_der(encoded)]
    except ValueError as error:
        raise ssl.SSLError(ssl.SSL_ERROR_SSL, f"unable to load trusted certificates from data: {error}") from error


def _split_der(data: bytes) -> list[bytes]:
    """Separates certificates that follow each other without anything in between (X.690 8.1.3)."""
    pieces = []
    while data:
        octets = data[1] & 0x7F if len(data) > 1 and data[1] & 0x80 else 0
        length = int.from_bytes(data[2 : 2 + octets], "big") if octets else data[1] if len(data) > 1 else 0
        end = 2 + octets + length
        pieces.append(data[:end])
        data = data[end:]
    return pieces or [b""]


def windows_certificates(purpose: str) -> Iterator[Any]:
    enumerate_store: Any = getattr(ssl, "enum_certificates", None)
    for store in ("CA", "ROOT") if enumerate_store else ():
        for der, encoding, trust in enumerate_store(store):
            if encoding == "x509_asn" and (trust is True or purpose in trust):
                # One that cannot be parsed must not take the others with it.
                with contextlib.suppress(ValueError):
                    yield x509.load_der_x509_certificate(der)


def parse_private_key(pem: bytes, path: str, password: str | bytes | Callable[[], str | bytes] | None) -> Any:
    found = _PEM_KEY.search(pem)
    if found is None:
        raise ssl.SSLError(ssl.SSL_ERROR_SSL, f"there is no PEM private key in {path}")
    secret = _resolve_password(password) if b"ENCRYPTED" in found[0] else None
    load = import_module("cryptography.hazmat.primitives.serialization").load_pem_private_key
    try:
        return load(found[0] + b"\n", secret)
    except (TypeError, ValueError) as error:
        hint = "wrong password, or a damaged key" if secret else "it may need a password"
        raise ssl.SSLError(ssl.SSL_ERROR_SSL, f"the private key in {path} cannot be read ({hint}): {error}") from error


def _resolve_password(password: str | bytes | Callable[[], str | bytes] | None) -> bytes | None:
    if password is None:
        return None
    given = password() if callable(password) else password
    return given.encode() if isinstance(given, str) else bytes(given)
