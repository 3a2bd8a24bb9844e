"""HTTP/1.1 client with urllib3's public API and its hot paths in C.

import wirepool

http = wirepool.PoolManager()
response = http.request("GET", "http://example.org/")
response.status, response.data
"""

from __future__ import annotations

import logging
from logging import NullHandler
from typing import TYPE_CHECKING, Any

from wirepool import _core as _core  # first: says what to do where it was not compiled
from wirepool import exceptions as exceptions
from wirepool._collections import HTTPHeaderDict
from wirepool._identity import logger_name
from wirepool._reexports import reexports
from wirepool._version import __version__ as __version__
from wirepool.connectionpool import HTTPConnectionPool, HTTPSConnectionPool, connection_from_url
from wirepool.filepost import encode_multipart_formdata
from wirepool.poolmanager import PoolManager, ProxyManager, proxy_from_url
from wirepool.response import BaseHTTPResponse, HTTPResponse
from wirepool.util.request import make_headers
from wirepool.util.retry import Retry
from wirepool.util.timeout import Timeout

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from wirepool._base_connection import _TYPE_BODY
    from wirepool.filepost import _TYPE_FIELDS

__author__ = "The wirepool authors"
__license__ = "MIT"

__all__ = (
    "BaseHTTPResponse",
    "HTTPConnectionPool",
    "HTTPHeaderDict",
    "HTTPResponse",
    "HTTPSConnectionPool",
    "PoolManager",
    "ProxyManager",
    "Retry",
    "Timeout",
    "add_stderr_logger",
    "connection_from_url",
    "disable_warnings",
    "encode_multipart_formdata",
    "install_as_urllib3",
    "make_headers",
    "proxy_from_url",
    "request",
)

if not TYPE_CHECKING:
    __getattr__ = reexports(__name__)

logging.getLogger(__name__).addHandler(NullHandler())


def _check_openssl() -> None:
    """Refuse an OpenSSL that lacks TLS 1.3, warn of libraries that are tested with nowhere; no ssl module is fine."""
    try:
        import ssl
    except ImportError:
        return
    if not ssl.OPENSSL_VERSION.startswith("OpenSSL "):
        import warnings

        advice = "wirepool is tested with OpenSSL 1.1.1 and newer; this Python's ssl module has {!r}: HTTPS may fail"
        warnings.warn(advice.format(ssl.OPENSSL_VERSION), exceptions.NotOpenSSLWarning, stacklevel=3)
    elif ssl.OPENSSL_VERSION_INFO < (1, 1, 1):
        raise ImportError(f"wirepool needs OpenSSL 1.1.1 or newer, and this Python has {ssl.OPENSSL_VERSION!r}")


_check_openssl()


def add_stderr_logger(level: int = logging.DEBUG) -> logging.StreamHandler[TextIO]:
    """Log to stderr what this package has to say; returns the handler, for taking it away again."""
    name = logger_name(__name__)
    logger = logging.getLogger(name)
    handler: logging.StreamHandler[TextIO] = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.debug("Added a stderr logging handler to logger: %s", name)
    return handler


def _set_warning_filters() -> None:
    import warnings

    warnings.simplefilter("always", exceptions.SecurityWarning, append=True)
    warnings.simplefilter("default", exceptions.InsecurePlatformWarning, append=True)


_set_warning_filters()


def disable_warnings(category: type[Warning] = exceptions.HTTPWarning) -> None:
    """Ignore this package's warnings, or those of one category."""
    import warnings

    warnings.simplefilter("ignore", category)


def install_as_urllib3(*, force: bool = False) -> None:
    """Take urllib3's place in this process: ``import urllib3``, and any module of it, gives this package from now on.

    ::

        import wirepool

        wirepool.install_as_urllib3()
        import requests  # now runs on wirepool

    Call it before anything imports urllib3, or start the program with ``python -m wirepool exec``. Both names give the
    same modules. ``urllib3.__version__`` and :func:`importlib.metadata.version` tell the version of urllib3 whose API
    this is, and what is logged goes to the loggers that urllib3 has. Doing it twice is doing it once, and mends what
    somebody has damaged in between.

    :param force:
        go on if another urllib3 has been imported. Modules that have imported something of it keep that, exceptions
        that must be caught included; a :exc:`RuntimeWarning` names them.
    :raises RuntimeError: another urllib3 is imported already; the message tells by whom.
    """
    from wirepool import _dropin

    _dropin.install(force=force)


_DEFAULT_POOL = PoolManager()


def request(
    method: str,
    url: str,
    *,
    body: _TYPE_BODY | None = None,
    fields: _TYPE_FIELDS | None = None,
    headers: Mapping[str, str] | None = None,
    preload_content: bool | None = True,
    decode_content: bool | None = True,
    redirect: bool | None = True,
    retries: Retry | bool | int | None = None,
    timeout: Timeout | float | int | None = 3,
    json: Any | None = None,
) -> BaseHTTPResponse:
    """Make a request with a manager that the whole process shares; see :meth:`PoolManager.request`.

    :param timeout: seconds for connecting and for each wait after it: 3 unless you say otherwise, unlike elsewhere.
    """
    return _DEFAULT_POOL.request(
        method,
        url,
        body=body,
        fields=fields,
        headers=headers,
        preload_content=preload_content,
        decode_content=decode_content,
        redirect=redirect,
        retries=retries,
        timeout=timeout,
        json=json,
    )
