"""HTTP over unix sockets: ``http+unix://%2Frun%2Fdocker.sock/info``, the form that curl's and docker's users know.

The host of the URL is the path of the socket, percent-encoded; requests carry ``Host: localhost``. All else is plain
HTTP, in both gears.

Threading: as ``connection`` and ``connectionpool``.
"""

from __future__ import annotations

import socket
import sys
from typing import Any, ClassVar
from urllib.parse import unquote

from wirepool.connection import HTTPConnection
from wirepool.exceptions import ConnectTimeoutError, NewConnectionError
from wirepool.util import connection

__all__ = ["UnixHTTPConnection"]


class UnixHTTPConnection(HTTPConnection):
    """A connection to a unix socket. ``host`` is its path, percent-encoded or as it is."""

    default_socket_options: ClassVar[Any] = []

    def __init__(self, host: str, port: int | None = None, **kw: Any) -> None:
        if kw.get("socket_options") is HTTPConnection.default_socket_options or "socket_options" not in kw:
            kw["socket_options"] = self.default_socket_options  # TCP_NODELAY means nothing here
        super().__init__("localhost", port, **kw)
        self.socket_path = unquote(host)

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
            sock.settimeout(self.timeout)
            sock.connect(self.socket_path)
        except BaseException:
            sock.close()
            raise
        return sock
