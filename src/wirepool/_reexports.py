"""Names that our modules offer only because urllib3's do.

Programs import a class, and tests patch a function, by way of a module that merely uses it
(``urllib3.connectionpool.MaxRetryError``). Those that our module of that name does not use itself stand here; they are
looked up when somebody asks, so that they cost nothing and import nothing before. A module of the table says::

    if not TYPE_CHECKING:
        __getattr__ = reexports(__name__)

Threading: shared; two threads that ask at once find the same.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["reexport", "reexports"]

_BODY = "wirepool._base_connection:_TYPE_BODY"
_TIMEOUT = "wirepool.util.timeout:_TYPE_TIMEOUT"

# Module -> name -> "module" or "module:name" that it stands for.
_TABLE: dict[str, dict[str, str]] = {
    "wirepool": {
        "_TYPE_BODY": _BODY,
        "_TYPE_FIELDS": "wirepool.filepost:_TYPE_FIELDS",
        "http2": "wirepool.http2",
        "ssl": "ssl",
        "sys": "sys",
        "warnings": "warnings",
    },
    "wirepool._request_methods": {
        "BaseHTTPResponse": "wirepool.response:BaseHTTPResponse",
        "_TYPE_BODY": _BODY,
        "_TYPE_ENCODE_URL_FIELDS": "wirepool._aliases:_TYPE_ENCODE_URL_FIELDS",
        "_TYPE_FIELDS": "wirepool.filepost:_TYPE_FIELDS",
        "_json": "json",
    },
    "wirepool.connection": {
        "SocketTimeout": "socket:timeout",
        "Url": "wirepool.util.url:Url",
        "_CONTAINS_CONTROL_CHAR_RE": "wirepool._messages:NO_TOKEN_CHAR",
        "_OBSOLETE_FOLD_RE": "wirepool._messages:FOLD",
        "_TYPE_BODY": _BODY,
        "_TYPE_TIMEOUT": _TIMEOUT,
        "_normalize_header_value": "wirepool._messages:unfold",
        "_normalize_header_values": "wirepool._messages:unfold_all",
        "http2_probe": "wirepool.http2.probe",
        "re": "re",
        "resolve_ssl_version": "wirepool.util.ssl_:resolve_ssl_version",
        "threading": "threading",
        "warnings": "warnings",
    },
    "wirepool.connectionpool": {
        "MaxRetryError": "wirepool.exceptions:MaxRetryError",
        "TracebackType": "types:TracebackType",
        "_TYPE_BODY": _BODY,
        "_TYPE_BODY_POSITION": "wirepool.util.request:_TYPE_BODY_POSITION",
        "_TYPE_DEFAULT": "wirepool.util.timeout:_TYPE_DEFAULT",
        "_TYPE_TIMEOUT": _TIMEOUT,
        "sys": "sys",
        "warnings": "warnings",
    },
    "wirepool.contrib.pyopenssl": {
        "NameOID": "cryptography.x509:NameOID",
        "OpenSSL": "OpenSSL",
        "load_pem_private_key": "cryptography.hazmat.primitives.serialization:load_pem_private_key",
        "log": "wirepool.contrib._pyopenssl_certificates:log",
        "logging": "logging",
        "socket_cls": "socket:socket",
        "x509": "cryptography.x509",
    },
    "wirepool.contrib.socks": {"SocketTimeout": "socket:timeout", "ssl": "ssl"},
    "wirepool.exceptions": {
        "_TYPE_REDUCE_RESULT": "wirepool._aliases:_TYPE_REDUCE_RESULT",
        "socket": "socket",
        "warnings": "warnings",
    },
    "wirepool.fields": {"email": "email", "mimetypes": "mimetypes"},
    "wirepool.filepost": {"binascii": "binascii"},
    "wirepool.http2": {"probe": "wirepool.http2.probe", "version": "importlib.metadata:version"},
    "wirepool.http2.connection": {
        "_TYPE_BODY": _BODY,
        "h2": "h2",
        "re": "re",
        "threading": "threading",
        "types": "types",
    },
    "wirepool.poolmanager": {
        "TracebackType": "types:TracebackType",
        "_TYPE_SOCKET_OPTIONS": "wirepool._base_connection:_TYPE_SOCKET_OPTIONS",
        "functools": "functools",
        "warnings": "warnings",
    },
    "wirepool.response": {
        "HTTPConnection": "wirepool.connection:HTTPConnection",
        "_TYPE_BODY": _BODY,
        "_json": "json",
        "collections": "collections",
        "sys": "sys",
        "util": "wirepool.util",
        "warnings": "warnings",
        "zlib": "zlib",
    },
    "wirepool.util": {"ssltransport": "wirepool.util.ssltransport"},
    "wirepool.util.request": {"sys": "sys"},
    "wirepool.util.response": {"httplib": "http.client"},
    "wirepool.util.ssl_": {
        "_TYPE_PEER_CERT_RET": "wirepool._aliases:_TYPE_PEER_CERT_RET",
        "_TYPE_VERSION_INFO": "wirepool._aliases:_TYPE_VERSION_INFO",
        "hashlib": "hashlib",
        "hmac": "hmac",
    },
    "wirepool.util.ssltransport": {"socket": "socket"},
}


def reexports(module: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module."""
    return lambda name: reexport(module, name)


def reexport(module: str, name: str) -> Any:
    """What a name of a module stands for; from then on the module has it as if it had imported it.

    :raises AttributeError: the module has no such name.
    """
    source = _TABLE[module].get(name)
    if source is None:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    value = _find(source, module, name)
    setattr(sys.modules[module], name, value)
    return value


def _find(source: str, module: str, name: str) -> Any:
    place, _, attribute = source.partition(":")
    try:
        found = importlib.import_module(place)
    except ImportError as error:
        # Where Python was built without ssl, say; hasattr() must not fail.
        raise AttributeError(f"module {module!r} has no attribute {name!r}: {error}") from error
    return getattr(found, attribute) if attribute else found
