"""A certificate authority for tests: certificates good and bad, in PEM files of a directory of its own.

trustme issues the good ones. What it does not make, such as a certificate without names, is signed here with its keys.
Every call makes new files, whose keys only the owner can read. No certificate of this is trusted by anything outside.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import itertools
import os
import ssl
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["LOCALHOST", "Authority", "Certificate"]

LOCALHOST = ("localhost", "127.0.0.1", "::1")
"""The names of a certificate for which no others are asked."""

_PURPOSES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


@dataclass(frozen=True)
class Certificate:
    """A certificate, with the chain above it if there is one, and its key, each in a PEM file."""

    cert_file: str
    key_file: str
    password: str | None = None
    """What the key file is encrypted with."""

    @property
    def pem(self) -> str:
        """The certificate alone, without its chain."""
        return ssl.DER_cert_to_PEM_cert(self.der)

    @property
    def der(self) -> bytes:
        return _first_certificate(self.cert_file).public_bytes(serialization.Encoding.DER)

    @property
    def serial(self) -> int:
        return _first_certificate(self.cert_file).serial_number

    def fingerprint(self, algorithm: str = "sha256") -> str:
        """Hexadecimal digits without colons."""
        return hashlib.new(algorithm, self.der, usedforsecurity=False).hexdigest()

    def load_into(self, context: ssl.SSLContext) -> None:
        """Makes it what that side of a connection shows."""
        context.load_cert_chain(self.cert_file, self.key_file, self.password)


class Authority:
    """Issues certificates into a new directory below ``parent``, which has to exist.

    ``Authority(parent)`` is a root; :meth:`intermediate` gives one below it, :meth:`stranger` one that is not.
    """

    def __init__(self, parent: Path, *, above: Authority | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="ca-", dir=parent))
        self.above = above
        self._numbers = itertools.count(1)
        self._ca: trustme.CA = (
            trustme.CA(organization_name="wirepool tests") if above is None else above._ca.create_child_ca()
        )
        self.ca_file = str(self._write("ca.pem", self._ca.cert_pem.bytes()))
        self.ca_data = self._ca.cert_pem.bytes().decode("ascii")

    @cached_property
    def localhost(self) -> Certificate:
        """One good certificate for the loopback names and addresses, shared by all who need no other."""
        return self.server()

    # --- good ones --------------------------------------------------------------------------------------------------

    def server(self, *names: str) -> Certificate:
        """For host names (also wildcards) and IP addresses."""
        return self._issue(*(names or LOCALHOST))

    def client(self, name: str = "client", *, password: str | None = None) -> Certificate:
        """For a client; ``name`` is its subject's common name."""
        return self._issue(f"{name}@example.test", common_name=name, password=password)

    def encrypted(self, password: str, *names: str) -> Certificate:
        """Like :meth:`server`, with an encrypted key."""
        return self._issue(*(names or LOCALHOST), password=password)

    def intermediate(self) -> Authority:
        """An authority below this one, whose certificates come with their chain."""
        return Authority(self.directory, above=self)

    def stranger(self) -> Authority:
        """An authority that nobody trusts who trusts this one."""
        return Authority(self.directory)

    # --- bad ones ---------------------------------------------------------------------------------------------------

    def expired(self, *names: str) -> Certificate:
        """Ended yesterday."""
        return self._issue(*(names or LOCALHOST), not_before=_days(-30), not_after=_days(-1))

    def not_yet_valid(self, *names: str) -> Certificate:
        """Begins tomorrow."""
        return self._issue(*(names or LOCALHOST), not_before=_days(1), not_after=_days(30))

    def common_name_only(self, name: str = "localhost") -> Certificate:
        """With the host's name in the subject, as was the custom long ago, and no subjectAltName (RFC 9525 s. 2)."""
        return self.custom(common_name=name)

    def client_only(self, *names: str) -> Certificate:
        """With a server's names, but issued for clients only."""
        return self.custom(_general_names(names or LOCALHOST), purposes=[ExtendedKeyUsageOID.CLIENT_AUTH])

    def self_signed(self, *names: str) -> Certificate:
        """Signed by its own key; this authority has nothing to do with it."""
        return self.custom(_general_names(names or LOCALHOST), common_name="self-signed", self_signed=True)

    def without_chain(self, certificate: Certificate) -> Certificate:
        """The same certificate as a server shows it that forgot the intermediate one."""
        return self._store(certificate.pem.encode("ascii"), Path(certificate.key_file).read_bytes())

    def custom(
        self,
        names: Sequence[x509.GeneralName] = (),
        *,
        common_name: str | None = None,
        purposes: Iterable[x509.ObjectIdentifier] = _PURPOSES,
        self_signed: bool = False,
    ) -> Certificate:
        """For what the others do not make: ``names`` go into the subjectAltName as they are, none leave it out."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(common_name)
        issuer, signer = (subject, key) if self_signed else (self._certificate.subject, self._key)
        builder = _builder(subject, issuer, key.public_key(), names, purposes)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        leaf = builder.sign(signer, hashes.SHA256())
        chain = b"" if self_signed else self._chain_above_leaf
        return self._store(leaf.public_bytes(serialization.Encoding.PEM) + chain, _pem_of_key(key))

    # --- what verifiers need ------------------------------------------------------------------------------------------

    def crl(self, *revoked: Certificate) -> str:
        """The path of a revocation list with these certificates; load it as a CA file beside ``ca_file``."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._certificate.subject)
        builder = builder.last_update(_days(-1)).next_update(_days(30))
        builder = builder.add_extension(x509.CRLNumber(next(self._numbers)), critical=False).add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
        )
        for certificate in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial).revocation_date(_days(-1))
            builder = builder.add_revoked_certificate(entry.build())
        crl = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return str(self._write("crl.pem", crl))

    def hashed_directory(self) -> str:
        """A directory in which OpenSSL finds this authority by its subject's hash, for ``ca_cert_dir``."""
        from OpenSSL import crypto

        directory = self.directory / f"{next(self._numbers)}-hashed"
        directory.mkdir()
        name = f"{crypto.X509.from_cryptography(self._certificate).subject_name_hash():08x}.0"
        (directory / name).write_text(self.ca_data, encoding="ascii")
        return str(directory)

    # --- how --------------------------------------------------------------------------------------------------------

    @cached_property
    def _certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self._ca.cert_pem.bytes())

    @cached_property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        key = serialization.load_pem_private_key(self._ca.private_key_pem.bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key

    @property
    def _chain_above_leaf(self) -> bytes:
        """The certificates that a server has to send along; the root is not among them."""
        return b"" if self.above is None else self._ca.cert_pem.bytes() + self.above._chain_above_leaf

    def _issue(
        self,
        *names: str,
        common_name: str | None = None,
        not_before: datetime.datetime | None = None,
        not_after: datetime.datetime | None = None,
        password: str | None = None,
    ) -> Certificate:
        leaf = self._ca.issue_cert(*names, common_name=common_name, not_before=not_before, not_after=not_after)
        chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        return self._store(chain, _encrypted(leaf.private_key_pem.bytes(), password), password)

    def _store(self, chain: bytes, key: bytes, password: str | None = None) -> Certificate:
        return Certificate(str(self._write("cert.pem", chain)), str(self._write("key.pem", key)), password)

    def _write(self, name: str, content: bytes) -> Path:
        path = self.directory / f"{next(self._numbers)}-{name}"
        with open(path, "wb", opener=_open_private) as file:
            file.write(content)
        return path


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _days(count: int) -> datetime.datetime:
    """That many days from now."""
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=count)


def _first_certificate(path: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(Path(path).read_bytes())


def _subject(common_name: str | None) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])


def _general_names(names: Iterable[str]) -> list[x509.GeneralName]:
    return [_general_name(name) for name in names]


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    names: Sequence[x509.GeneralName],
    purposes: Iterable[x509.ObjectIdentifier],
) -> x509.CertificateBuilder:
    """A certificate as RFC 5280 wants it, but for what the caller left out."""
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public_key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(_days(-1)).not_valid_after(_days(30))
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage(list(purposes)), critical=False)
    if names:
        # A certificate whose subject is empty has to say that its names matter (RFC 5280 section 4.2.1.6).
        builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=not list(subject))
    return builder


def _pem_of_key(key: ec.EllipticCurvePrivateKey, password: str | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _encrypted(pem: bytes, password: str | None) -> bytes:
    if password is None:
        return pem
    key = serialization.load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return _pem_of_key(key, password)
