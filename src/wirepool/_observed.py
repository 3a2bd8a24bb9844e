"""One attempt at a request, with those around it who want to know: the hooks of ``wirepool.hooks``.

The attempt between the hooks is the very one that is made without them, in whichever gear. What a hook raises is no
failure of the request: it passes everything that handles such failures in a carrier (``HookFailed``), which
``urlopen`` takes off.

Imported when the first hook is set. Threading: ``Observers`` are frozen; what is known of an attempt under way is in a
context variable, so that it is found where the connection is made.
"""

from __future__ import annotations

import weakref
from contextvars import ContextVar
from time import perf_counter
from typing import TYPE_CHECKING, Any

from wirepool import _fast
from wirepool._core.idle import IdleQueue
from wirepool._hooks import HookFailed
from wirepool.hooks import ConnectEvent, RequestEvent, ResponseEvent, RetryEvent, TLSFacts, url_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Literal

    from wirepool._hooks import Hook
    from wirepool.connectionpool import HTTPConnectionPool
    from wirepool.response import BaseHTTPResponse
    from wirepool.util.retry import Retry

__all__ = ["Observers", "length_of", "received"]


class _Attempt:
    """What is found out about an attempt while it is made."""

    __slots__ = ("connected", "pool")

    def __init__(self, pool: HTTPConnectionPool) -> None:
        self.pool = pool
        self.connected = False


_under_way: ContextVar[_Attempt | None] = ContextVar("wirepool_attempt", default=None)


class Observers:
    """All hooks of a pool, and its gate."""

    __slots__ = ("_on_connect", "_on_request", "_on_response", "_on_retry", "gate")

    def __init__(
        self,
        gate: Callable[[object], bool],
        on_request: tuple[Hook, ...],
        on_response: tuple[Hook, ...],
        on_retry: tuple[Hook, ...],
        on_connect: tuple[Hook, ...],
    ) -> None:
        self.gate = gate
        self._on_request = on_request
        self._on_response = on_response
        self._on_retry = on_retry
        self._on_connect = on_connect

    # ------------------------------------------------------------ request and response

    def attempt(
        self,
        pool: HTTPConnectionPool,
        method: str,
        target: str,
        body: Any,
        headers: Mapping[str, str],
        chunked: bool,
        retries: Retry,
        timeout: Any,
        pool_timeout: float | None,
        preload: bool,
        decode: bool,
        release: bool,
        response_kw: dict[str, Any],
        replays: int,
    ) -> Any:
        """As ``_fast.attempt`` or ``pool._attempt``.

        :param replays: how often this request was sent again without ``retries`` knowing.
        """
        number = 1 + len(retries.history) + replays
        event = RequestEvent(pool, method, target, headers, body, number, retries, preload)
        found = _Attempt(pool)
        token = _under_way.set(found)
        began = perf_counter()
        try:
            for hook in self._on_request:
                _call(hook, event)
            fields: Any = headers if event._headers is None else event._headers
            # As urlopen() asks where nobody looks on; the gate there is shut.
            if (
                not response_kw
                and release is preload
                and (target[:1] == "/" or (pool.proxy is not None and "Host" in fields))
                and self.gate(pool)
                and type(pool.pool) is IdleQueue
            ):
                response = _fast.attempt(
                    pool, method, target, body, fields, chunked, retries, timeout, pool_timeout, preload, decode
                )
            else:
                response = pool._attempt(
                    method, target, body, fields, chunked, retries, timeout, pool_timeout,
                    preload, decode, release, response_kw,
                )  # fmt: skip
        except BaseException as error:
            meant: BaseException | None = error.error if isinstance(error, HookFailed) else error
            reused = False if found.connected else None
            _call_all(self._on_response, ResponseEvent(event, None, meant, reused, perf_counter() - began))
            raise
        finally:
            _under_way.reset(token)
            meant = None
        self._tell_of_response(ResponseEvent(event, response, None, not found.connected, perf_counter() - began))
        return response

    def _tell_of_response(self, event: ResponseEvent) -> None:
        try:
            _call_all(self._on_response, event)
        except BaseException:
            if event.response is not None:
                event.response.close()  # nobody will get it
            raise

    # ------------------------------------------------------------ sending again

    def tell_of_retry(
        self,
        pool: HTTPConnectionPool,
        reason: Literal["error", "status", "redirect", "replay"],
        method: str,
        url: str,
        retries: Retry,
        delay: float,
        error: BaseException | None = None,
        response: Any = None,
        location: str | None = None,
    ) -> None:
        """Call ``on_retry``. What the hooks raise is raised as it is: nobody handles failures there."""
        if self._on_retry:
            url = url_of(pool, url)
            event = RetryEvent(pool, method, url, reason, retries, delay, error, response, location)
            try:
                _call_all(self._on_retry, event)
            except HookFailed as failed:
                found = failed.error
            else:
                return
            raise found

    # ------------------------------------------------------------ connecting

    def watch(self, pool: HTTPConnectionPool, conn: Any) -> None:
        """Be there when a connection of this attempt connects, whoever calls its ``connect()``."""
        found = _under_way.get()
        namespace = getattr(conn, "__dict__", None)
        if found is None or found.pool is not pool or namespace is None:
            return
        theirs = namespace.get("connect")
        of = weakref.ref(conn)  # no cycle, should it never be called

        def connect() -> None:
            it: Any = of()
            if theirs is None:
                it.__dict__.pop("connect", None)
            else:
                it.__dict__["connect"] = theirs
            found.connected = True
            self._connect(pool, it)

        namespace["connect"] = connect

    def _connect(self, pool: HTTPConnectionPool, conn: Any) -> None:
        if not self._on_connect:
            conn.connect()
            return
        tunnel = getattr(conn, "_tunnel_host", None) and (conn._tunnel_host, conn._tunnel_port)
        began = perf_counter()
        try:
            conn.connect()
        except BaseException as error:
            _call_all(self._on_connect, _connected(pool, conn, tunnel, perf_counter() - began, error))
            raise
        _call_all(self._on_connect, _connected(pool, conn, tunnel, perf_counter() - began, None))


def _call(hook: Hook, event: Any) -> None:
    try:
        hook(event)
    except BaseException as error:
        raise HookFailed(error) from None


def _call_all(hooks: tuple[Hook, ...], event: Any) -> None:
    """Call all of them, whatever they raise; then raise the first of that."""
    failed = None
    for hook in hooks:
        try:
            hook(event)
        except BaseException as error:
            failed = failed or HookFailed(error)
    if failed is not None:
        try:
            raise failed from None
        finally:
            failed = None


# ---------------------------------------------------------------- facts


def _connected(
    pool: HTTPConnectionPool, conn: Any, tunnel: Any, duration: float, error: BaseException | None
) -> ConnectEvent:
    path = getattr(conn, "socket_path", None)
    host, port = (path, None) if path is not None else (conn.host, conn.port)
    sock = None if error is not None else getattr(conn, "sock", None)
    return ConnectEvent(pool, conn, host, port, _peer_of(sock), tunnel, _tls_of(conn, sock), duration, error)


def _peer_of(sock: Any) -> Any:
    try:
        return sock.getpeername()
    except (AttributeError, OSError):
        return None


def _tls_of(conn: Any, sock: Any) -> TLSFacts | None:
    version = _told(sock, "version")
    if version is None:
        return None
    cipher = _told(sock, "cipher")
    return TLSFacts(
        version=version,
        cipher=cipher[0] if cipher else None,
        alpn=_told(sock, "selected_alpn_protocol"),
        resumed=getattr(sock, "session_reused", None),
        verified=bool(getattr(conn, "is_verified", False) or getattr(conn, "proxy_is_verified", False)),
    )


def _told(sock: Any, name: str) -> Any:
    method = getattr(sock, name, None)
    return method() if callable(method) else None


def length_of(event: RequestEvent) -> int | None:
    """Octets of a request's body, as far as they can be known without reading it."""
    body = event.body
    if body is None:
        return 0
    if isinstance(body, str):
        return len(body.encode("utf-8"))
    try:
        return memoryview(body).nbytes
    except TypeError:
        pass
    declared = event.headers.get("Content-Length", "")
    return int(declared) if declared.isascii() and declared.isdigit() else None


def received(response: BaseHTTPResponse, preloaded: bool) -> int | None:
    """Octets of a response's body: those that came, or those to come."""
    came = response.tell()
    if preloaded:
        return came
    to_come = response.length_remaining
    return None if to_come is None else came + to_come
