"""What ``import wirepool`` drags in. Time is not measured here, its cause is: modules that most programs never use."""

from __future__ import annotations

import subprocess
import sys

# urllib3 does not load these either.
AVOIDED_BY_URLLIB3 = {
    "argparse",
    "ast",
    "asyncio",
    "concurrent.futures",
    "configparser",
    "ctypes",
    "dataclasses",
    "decimal",
    "dis",
    "encodings.idna",
    "fractions",
    "ftplib",
    "getpass",
    "gzip",
    "http.cookiejar",
    "http.cookies",
    "http.server",
    "inspect",
    "multiprocessing",
    "optparse",
    "pickle",
    "platform",
    "pprint",
    "secrets",
    "smtplib",
    "socketserver",
    "sqlite3",
    "statistics",
    "stringprep",
    "subprocess",
    "tarfile",
    "unittest",
    "urllib.request",
    "uuid",
    "xml",
}
# urllib3 loads these; we need them only when somebody uses what they are for.
ON_DEMAND = {
    "bz2",
    "csv",
    "email.generator",
    "email.mime",
    "hashlib",
    "hmac",
    "importlib.metadata",
    "importlib.resources",
    "json",
    "lzma",
    "mimetypes",
    "tempfile",
    "zipfile",
}
# Neither does a program pay for extras or for our own corners that it does not use.
EXTRAS = {
    "OpenSSL",
    "backports.zstd",
    "brotli",
    "brotlicffi",
    "certifi",
    "compression.zstd",
    "h2",
    "idna",
    "opentelemetry",
    "requests",
    "socks",
}
CORNERS = {
    "wirepool.__main__",
    "wirepool._observed",
    "wirepool.cli",
    "wirepool.contrib.requests",
    "wirepool.contrib.socks",
    "wirepool.hooks",
}

# A connection is an http.client connection, a transport is a socket or an SSL socket: what these bring is given
# (http.client brings the parsing half of email).
SCRIPT = """
import http.client, logging, ssl, sys, typing
base = set(sys.modules)
import wirepool
print(*sorted(set(sys.modules) - base))
"""


def modules_of_a_bare_import() -> set[str]:
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=30)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def test_import_loads_nothing_heavy() -> None:
    loaded = modules_of_a_bare_import()
    assert "wirepool.poolmanager" in loaded
    assert sorted(loaded & (AVOIDED_BY_URLLIB3 | ON_DEMAND | EXTRAS | CORNERS)) == []
