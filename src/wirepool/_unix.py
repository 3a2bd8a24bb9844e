"""HTTP over unix sockets: ``http+unix://%2Frun%2Fdocker.sock/info``, the form that curl's and docker's users know.

The host of the URL is the path of the socket, percent-encoded; requests carry ``Host: localhost``. All else is plain
HTTP, in both gears.

Nobody but the program itself may send it to a socket of this machine, whose daemons trust whoever reaches them. So a
manager serves such URLs only with ``unix_sockets=True``: others may have their URLs from strangers. A redirect from
elsewhere to a socket, or from one socket to another, is never followed. ``UnixHTTPConnectionPool(path)`` is for$
programs that need no URL.

Threading: as ``connection`` and ``connectionpool``.
"""

from __future__ import annotations

import socket
import sys
import time
from typing import Any, ClassVar
from urllib.parse import quote, unquote, urljoin, urlsplit

from wirepool.connection import HTTPConnection
from wirepool.exceptions import ConnectTimeoutError, NewConnectionError, URLSchemeUnknown
from wirepool.util import connection
from wirepool.util.timeout import _for_socket

__all__ = ["SCHEME", "UnixHTTPConnection", "check_redirect", "host_of", "join", "socket_path"]

SCHEME = "http+unix"

_PAUSE = 0.005  # seconds between two attempts to connect while the server's queue is full


def socket_path(host: str) -> str:
    """The path that the host of a URL stands for; one that begins with a slash is a path already.

    A path may hold any octets; those that are no text become what :func:`os.fsdecode` makes of them.
    """
    return host if host.startswith("/") else unquote(host, errors="surrogateescape")


def host_of(path: str) -> str:
    """The host that a path is in a URL; what is percent-encoded is returned as it is."""
    return quote(path, safe="", errors="surrogateescape") if path.startswith("/") else path


def join(url: str, reference: str) -> str:
    """``urllib.parse.urljoin``, which leaves relative references as they are for schemes that it does not know."""
    if not _is_ours(url) or urlsplit(reference).scheme:
        return urljoin(url, reference)
    scheme, _, rest = url.partition(":")
    return scheme + urljoin(f"http:{rest}", reference).removeprefix("http")


def check_redirect(url: str, location: str) -> None:
    """Only from itself may a redirect lead to a socket.

    :raises URLSchemeUnknown: it leads from elsewhere, or to another.
    """
    if _is_ours(location) and not (_is_ours(url) and _path_of(url) == _path_of(location)):
        raise URLSchemeUnknown(SCHEME)


def _is_ours(url: str) -> bool:
    return url.partition(":")[0].strip().lower() == SCHEME


def _path_of(url: str) -> str:
    return socket_path(urlsplit(url).netloc)


class UnixHTTPConnection(HTTPConnection):
    """A connection to a unix socket.

    :param host: its path: as it is if it begins with a slash, else percent-encoded. On Linux ``%00name`` is a socket
        in the abstract namespace.
    """

    default_socket_options: ClassVar[Any] = []

    def __init__(self, host: str, port: int | None = None, **kw: Any) -> None:
        if kw.get("socket_options") is HTTPConnection.default_socket_options or "socket_options" not in kw:
            kw["socket_options"] = self.default_socket_options  # TCP_NODELAY means nothing here
        super().__init__("localhost", port, **kw)
        self.socket_path = socket_path(host)

    def __str__(self) -> str:
        return f"{type(self).__name__}(path={self.socket_path!r})"

    def _new_conn(self) -> socket.socket:
        """A connected socket.

        :raises NewConnectionError: there is no such socket, nobody listens, or this system has no unix sockets.
        :raises ConnectTimeoutError: no connection within ``self.timeout``.
        """
        try:
            sock = self._connected()
        except TimeoutError as error:
            raise ConnectTimeoutError(
                self, f"Connection to {self.socket_path} timed out. (connect timeout={self.timeout})"
            ) from error
        except (OSError, ValueError) as error:
            raise NewConnectionError(
                self, f"Failed to establish a new connection: {error} (unix socket {self.socket_path!r})"
            ) from error
        sys.audit("http.client.connect", self, self.socket_path, 0)
        return sock

    def _connected(self) -> socket.socket:
        family = getattr(socket, "AF_UNIX", None)
        if family is None:
            raise OSError("this system has no unix sockets")
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection._set_socket_options(sock, self.socket_options)
            sock.settimeout(_for_socket(self.timeout))
            self._connect_in_time(sock)
        except BaseException:
            sock.close()
            raise
        return sock

    def _connect_in_time(self, sock: socket.socket) -> None:
        """With a time-out the socket does not block, and then Linux does not wait for room in the server's queue."""
        ends = None if self.timeout is None else time.monotonic() + self.timeout
        while True:
            try:
                sock.connect(self.socket_path)
                return
            except BlockingIOError:
                if ends is None or time.monotonic() >= ends:
                    raise TimeoutError("timed out") from None
            time.sleep(_PAUSE)
