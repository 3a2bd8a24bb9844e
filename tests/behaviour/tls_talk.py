"""What the behaviour tests of TLS have in common."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from behaviour.talk import idle_connections
from servers.scripted import Connection, Script, response
from wirepool import HTTPSConnectionPool
from wirepool.exceptions import InsecureRequestWarning, MaxRetryError, SSLError


def https_pool(server: Any, *, host: str | None = None, **options: Any) -> HTTPSConnectionPool:
    """A pool for that server; a ``host`` that is no name of this machine leads there too."""
    if host is not None and host != server.host:
        options.setdefault("resolve", {f"{host}:{server.port}": [server.host]})
    options.setdefault("timeout", 5)
    return HTTPSConnectionPool(host or server.host, server.port, **options)


def get(pool: Any, path: str = "/x", **options: Any) -> bytes:
    """The body of the response to a GET that nothing is retried for."""
    options.setdefault("retries", False)
    data: bytes = pool.urlopen("GET", path, **options).data
    return data


def refusal(pool: Any, **options: Any) -> SSLError:
    """The error of a request to which the answer is no, with ``retries=False`` and as a reason the same."""
    raw = _error_of(pool, retries=False, **options)
    reason = getattr(_error_of(pool, retries=0, **options), "reason", None)
    assert type(raw) is SSLError
    assert type(reason) is SSLError
    assert str(reason) == str(raw)
    return raw


def _error_of(pool: Any, **options: Any) -> Exception:
    try:
        pool.urlopen("GET", "/secret", headers={"Authorization": "secret"}, **options)
    except (SSLError, MaxRetryError) as error:
        return error
    raise AssertionError("the request was made")


@contextmanager
def insecure(times: int) -> Iterator[None]:
    """Demands as many warnings of unverified requests, and no others."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert [warning.category for warning in caught] == [InsecureRequestWarning] * times


def connection_of(pool: Any) -> Any:
    """The one connection in a pool."""
    (conn,) = idle_connections(pool)
    return conn


def anew(pool: Any) -> None:
    """Lets the next request of a pool connect anew, in the way of a server that closed: the object is used again."""
    connection_of(pool).close()


def contexts_of(pool: Any) -> ssl.SSLContext:
    """The context of the one connection in a pool."""
    context: ssl.SSLContext = connection_of(pool).sock.context
    return context


def once_closing(body: bytes = b"ok", **options: Any) -> Script:
    """Answers one request, says that it closes, and does."""

    def serve(conn: Connection) -> None:
        conn.recv()
        conn.send(response(body, headers=[("Connection", "close")], **options))

    return serve
