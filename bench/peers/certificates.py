"""The certificates of the servers that are measured over TLS, and files of roots to trust: PEM files in a folder.

A chain as of a public site: a root, an intermediate and a server's certificate, all with RSA keys of 2048 bits. The
bundle has the roots of certifi besides, as a program has that trusts the public web.
"""

from __future__ import annotations

from pathlib import Path

import certifi
import trustme

NAMES = ("localhost", "127.0.0.1")
_RSA = trustme.KeyType.RSA  # 2048 bits


class Certificates:
    """Makes the files into ``folder``; the attributes are their paths, and ``roots`` how many the bundle has."""

    def __init__(self, folder: Path) -> None:
        root = trustme.CA(key_type=_RSA)
        leaf = root.create_child_ca(key_type=_RSA).issue_cert(*NAMES, key_type=_RSA)
        bundle = Path(certifi.where()).read_bytes() + root.cert_pem.bytes()
        self.roots = bundle.count(b"-----BEGIN CERTIFICATE-----")
        self.cert_file = _write(folder / "server.pem", b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        self.key_file = _write(folder / "server-key.pem", leaf.private_key_pem.bytes())
        self.ca_file = _write(folder / "root.pem", root.cert_pem.bytes())
        self.bundle_file = _write(folder / "bundle.pem", bundle)
        self.stranger_file = _write(folder / "stranger.pem", trustme.CA(key_type=_RSA).cert_pem.bytes())


def _write(path: Path, content: bytes) -> str:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return str(path)
