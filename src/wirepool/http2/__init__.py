"""HTTP/2 for ``https`` URLs, as urllib3 offers it: to be switched on, process-wide, and experimental.

::

    import wirepool.http2

    wirepool.http2.inject_into_urllib3()
    wirepool.request("GET", "https://localhost/").version_string  # "HTTP/2"

From then on pools of ``https`` make :class:`~wirepool.http2.connection.HTTP2Connection` and offer the server nothing
but HTTP/2; :func:`extract_from_urllib3` undoes it. One request at a time on each connection, response bodies are
received whole, and there are no proxies. Needs the ``h2`` package: ``pip install 'wirepool[h2]'``.

Threading: injection is process-wide and done under a lock. Connections that exist already stay what they are.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from wirepool._reexports import reexports

__all__ = ["extract_from_urllib3", "inject_into_urllib3"]

#: The class of connections that was replaced; None while nothing is.
orig_HTTPSConnection: Any = None

_SUPPORTED = 4  # major version of h2
_INSTALL = "pip install 'wirepool[h2]'"


if not TYPE_CHECKING:
    __getattr__ = reexports(__name__)


class _Injection:
    """What was replaced, while something is: objects with the names of their attributes and the former values."""

    replaced: list[tuple[Any, str, Any]] = []
    lock = threading.Lock()


def inject_into_urllib3() -> None:
    """Speak HTTP/2 to ``https`` origins from now on, in the whole process. Doing it twice is doing it once.

    :raises ImportError: the ``h2`` package is missing, or is not of version 4.
    """
    _require_h2()
    from wirepool import connection, util
    from wirepool.connectionpool import HTTPSConnectionPool
    from wirepool.http2.connection import HTTP2Connection

    global orig_HTTPSConnection
    with _Injection.lock:
        if _Injection.replaced:
            return
        orig_HTTPSConnection = connection.HTTPSConnection
        for owner, name, value in (
            (connection, "HTTPSConnection", HTTP2Connection),
            (HTTPSConnectionPool, "ConnectionCls", HTTP2Connection),
            (util, "ALPN_PROTOCOLS", ["h2"]),
            (util.ssl_, "ALPN_PROTOCOLS", ["h2"]),
        ):
            _Injection.replaced.append((owner, name, getattr(owner, name)))
            setattr(owner, name, value)


def extract_from_urllib3() -> None:
    """Undo :func:`inject_into_urllib3`; does nothing if there is nothing to undo."""
    global orig_HTTPSConnection
    with _Injection.lock:
        while _Injection.replaced:
            owner, name, value = _Injection.replaced.pop()
            setattr(owner, name, value)
        orig_HTTPSConnection = None


def _require_h2() -> None:
    """Refuses to go on without the package that makes and reads the frames.

    :raises ImportError: it is missing, or is not of version 4.
    """
    try:
        import h2
    except ImportError as error:
        raise type(error)(f"HTTP/2 needs the 'h2' package: {_INSTALL}", name="h2") from error
    imported = str(getattr(h2, "__version__", "unknown"))
    for version in (_installed_version(imported), imported):
        if version.partition(".")[0] != str(_SUPPORTED):
            raise ImportError(
                f"HTTP/2 needs version {_SUPPORTED} of the 'h2' package, here it is in version {version}: {_INSTALL}",
                name="h2",
            )


def _installed_version(imported: str) -> str:
    """What ``version`` of this module says, which programs may have replaced; for an ``h2`` that nobody installed, what
    it says itself."""
    import sys
    from importlib.metadata import PackageNotFoundError

    try:
        return str(sys.modules[__name__].version("h2"))
    except PackageNotFoundError:
        return imported
