"""One origin: a pool of connections, and requests with retries and redirects over them.

Retries and redirects are a loop in :meth:`HTTPConnectionPool.urlopen`. Each turn is one attempt, in the fast gear
(``_fast.attempt``) if the gate allows it and otherwise in the compatible gear (:meth:`HTTPConnectionPool._attempt`),
where every step is a method that can be replaced.

Threading: shared. The queue of idle connections is the only thing threads compete for.
"""

from __future__ import annotations

import errno
import logging
import queue
import weakref
from http.client import RemoteDisconnected
from socket import timeout as SocketTimeout
from typing import TYPE_CHECKING, Any, ClassVar

from wirepool import _fast, _fork, _gear, _hooks
from wirepool._base_connection import ProxyConfig as ProxyConfig
from wirepool._body import is_cut
from wirepool._collections import HTTPHeaderDict
from wirepool._core.headers_out import is_plain_target
from wirepool._core.idle import IdleQueue
from wirepool._core.watch import Watch
from wirepool._identity import logger_name
from wirepool._reexports import reexports
from wirepool._request_methods import RequestMethods
from wirepool._retrying import (
    after_failure,
    can_send_again,
    joined,
    retries_after_redirect,
    retries_after_status,
    rewind,
    without,
)
from wirepool._slots import check_out, is_held, is_paid_for, owed_by
from wirepool._unix import UnixHTTPConnection, host_of, socket_path
from wirepool.connection import BrokenPipeError as BrokenPipeError
from wirepool.connection import DummyConnection as DummyConnection
from wirepool.connection import (
    HTTPConnection,
    HTTPException,
    HTTPSConnection,
    SSLEOFError,
    _wrap_proxy_error,
)
from wirepool.connection import port_by_scheme as port_by_scheme
from wirepool.exceptions import (
    ClosedPoolError,
    EmptyPoolError,
    FullPoolError,
    HostChangedError,
    InsecureRequestWarning,
    LocationValueError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
    TimeoutError,
)
from wirepool.response import BaseHTTPResponse, BaseSSLError, HTTPResponse
from wirepool.util.connection import is_connection_dropped
from wirepool.util.proxy import connection_requires_http_tunnel as connection_requires_http_tunnel
from wirepool.util.request import set_file_position
from wirepool.util.retry import Retry
from wirepool.util.ssl_match_hostname import CertificateError
from wirepool.util.timeout import _DEFAULT_TIMEOUT, Timeout
from wirepool.util.url import Url, _encode_target, parse_url
from wirepool.util.url import _normalize_host as normalize_host
from wirepool.util.util import to_str

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Literal, Self

    from wirepool._base_connection import _TYPE_BODY
    from wirepool._hooks import Hooks
    from wirepool._observed import Observers
    from wirepool.util.timeout import _TYPE_TIMEOUT

    _TYPE_TIMEOUT_OR_OBJECT = Timeout | _TYPE_TIMEOUT
else:
    __getattr__ = reexports(__name__)

__all__ = ["ConnectionPool", "HTTPConnectionPool", "HTTPSConnectionPool", "connection_from_url"]

log = logging.getLogger(logger_name(__name__))

_blocking_errnos = {errno.EAGAIN, errno.EWOULDBLOCK}
_DEFAULT_QUEUE_CLASS = queue.LifoQueue

_KNOWN_TARGETS = 256
_NO_SLOT = "Pool is empty and a new connection can't be opened due to blocking mode."

# RFC 9110 9.2.2: what may be sent again when nobody can tell whether it arrived.
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


class ConnectionPool:
    """Base class of pools: an origin and its name.

    :raises LocationValueError: there is no host.
    """

    scheme: str | None = None
    QueueCls = queue.LifoQueue

    def __init__(self, host: str, port: int | None = None) -> None:
        if not host:
            raise LocationValueError("No host specified.")
        self.host: str = _normalize_host(host, scheme=self.scheme)  # type: ignore[assignment]  # for None only
        self.port = port
        # With the brackets of an IPv6 address, as CONNECT wants it.
        self._tunnel_host = _tunnel_host(host, self.scheme)

    def __str__(self) -> str:
        return f"{type(self).__name__}(host={self.host!r}, port={self.port!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> Literal[False]:
        self.close()
        return False

    def close(self) -> None:
        """Close all idle connections."""

    def _new_pool_queue(self, maxsize: int) -> Any:
        """The store of idle connections: our own unless ``QueueCls`` or ``queue.LifoQueue`` was replaced."""
        cls = self.QueueCls
        if cls is _DEFAULT_QUEUE_CLASS:
            cls = queue.LifoQueue
        return IdleQueue(maxsize) if cls is _DEFAULT_QUEUE_CLASS else cls(maxsize)


class HTTPConnectionPool(ConnectionPool, RequestMethods):
    """A thread-safe pool of connections to one host.

    :param host: name or address.
    :param port: 80 if not given.
    :param timeout: default for requests: seconds (for connecting and for each wait after it), or a
        :class:`~wirepool.Timeout`.
    :param maxsize: how many connections are kept; 0 for any number.
    :param block: never use more than ``maxsize`` connections: a thread that finds none waits, first come, first
        served. If false, more are made when needed, and closed after use.
    :param headers: header fields of requests that bring none.
    :param retries: default for requests; None for ``Retry.DEFAULT``.
    :param on_request, on_response, on_retry, on_connect: who is told of each attempt, of how it ended, of what is sent
        again, and of each connection that was made: a callable of one argument, the event (see :mod:`wirepool.hooks`),
        or a sequence of them. Attributes of the same names may be set at any time.
    :param conn_kw: for connections: ``source_address``, ``socket_options``, ``blocksize``.

    :ivar num_connections: how many connections were made.
    :ivar num_requests: how many requests were sent, each attempt counted.
    """

    scheme = "http"
    ConnectionCls: ClassVar[Any] = HTTPConnection

    on_request = _hooks.Slot()
    on_response = _hooks.Slot()
    on_retry = _hooks.Slot()
    on_connect = _hooks.Slot()
    _registered: _hooks.Registered | None = None
    _registered_by_manager: _hooks.Registered | None = None
    # All that is to be called; None as long as there is nothing.
    _hooks: Observers | None = None
    _gate: Callable[[object], bool]

    def __init__(
        self,
        host: str,
        port: int | None = None,
        timeout: _TYPE_TIMEOUT_OR_OBJECT | None = _DEFAULT_TIMEOUT,
        maxsize: int = 1,
        block: bool = False,
        headers: Mapping[str, str] | None = None,
        retries: Retry | bool | int | None = None,
        _proxy: Url | None = None,
        _proxy_headers: Mapping[str, str] | None = None,
        _proxy_config: ProxyConfig | None = None,
        *,
        on_request: Hooks | None = None,
        on_response: Hooks | None = None,
        on_retry: Hooks | None = None,
        on_connect: Hooks | None = None,
        **conn_kw: Any,
    ) -> None:
        ConnectionPool.__init__(self, host, port)
        RequestMethods.__init__(self, headers)
        self.timeout = timeout if isinstance(timeout, Timeout) else Timeout.from_float(timeout)
        self.retries = Retry.DEFAULT if retries is None else retries
        self.block = block
        self.proxy = _proxy
        self.proxy_headers = _proxy_headers or {}
        self.proxy_config = _proxy_config
        self.num_connections = 0
        self.num_requests = 0
        self.conn_kw = conn_kw
        if self.proxy:
            # Nagle's algorithm stays on towards a proxy, unless the user says otherwise.
            self.conn_kw.setdefault("socket_options", [])
            self.conn_kw["proxy"] = self.proxy
            self.conn_kw["proxy_config"] = self.proxy_config
        # Through a proxy that forwards, each target is a whole URL; those asked for last are not parsed again.
        self._known_targets: dict[str, str] = {}
        self._gate = _gear.watch_pool(type(self)).allows
        self._start_queue(maxsize)
        _fork.note(self)
        _hooks.begin(self, (on_request, on_response, on_retry, on_connect))

    def _start_queue(self, maxsize: int) -> None:
        """An empty pool: as many slots as connections are kept, each for a connection that may be made."""
        self.pool: Any = self._new_pool_queue(maxsize)
        for _ in range(maxsize):
            self.pool.put(None)
        # Not a method of the pool: that would keep the pool alive.
        self._finalizer = weakref.finalize(self, _close_pool_connections, self.pool)

    # ------------------------------------------------------------ connections

    def _new_conn(self) -> Any:
        """A fresh connection object, not yet connected."""
        self.num_connections += 1
        log.debug("Starting new HTTP connection (%d): %s:%s", self.num_connections, self.host, self.port or "80")
        return self.ConnectionCls(host=self.host, port=self.port, timeout=self.timeout.connect_timeout, **self.conn_kw)

    def _get_conn(self, timeout: float | None = None) -> Any:
        """An idle connection, or a new one.

        :param timeout: seconds to wait for one, if the pool blocks.
        :raises ClosedPoolError: the pool is closed.
        :raises EmptyPoolError: the pool blocks, and no connection came back in time.
        """
        conn, has_slot = None, True
        idle = self.pool
        if idle is None:
            raise ClosedPoolError(self, "Pool is closed.")
        try:
            conn = idle.get(block=self.block, timeout=timeout)
        except AttributeError:  # closed in between
            raise ClosedPoolError(self, "Pool is closed.") from None
        except queue.Empty:
            if getattr(idle, "closed", False):
                raise ClosedPoolError(self, "Pool is closed.") from None
            if self.block:
                raise EmptyPoolError(self, _NO_SLOT) from None
            has_slot = False
        try:
            if conn is not None:
                self._reset_if_dropped(conn)
            return conn or self._new_conn()
        except BaseException:
            if has_slot:
                self._put_conn(None)
            raise

    def _check_out(self, timeout: float | None) -> Any:
        """:meth:`_get_conn` for ourselves, who leave it to the connection to pay for its slot when it is dropped."""
        idle = self.pool
        if type(idle) is IdleQueue and type(self)._get_conn is _GET_CONN and "_get_conn" not in self.__dict__:
            return self._get_conn_from(idle, timeout)
        return self._get_conn(timeout=timeout)

    def _get_conn_from(self, idle: IdleQueue, timeout: float | None) -> Any:
        try:
            owed, conn = check_out(idle, self.block, timeout)
        except queue.Empty:
            if idle.closed:
                raise ClosedPoolError(self, "Pool is closed.") from None
            raise EmptyPoolError(self, _NO_SLOT) from None
        try:
            if conn is None and idle.closed:
                raise ClosedPoolError(self, "Pool is closed.")
            if conn is not None:
                self._reset_if_dropped(conn)
            return owed.follow(conn or self._new_conn())
        except BaseException:
            if owed.slot:
                idle.take_back(owed.slot, None)
            raise

    def _reset_if_dropped(self, conn: Any) -> None:
        if is_connection_dropped(conn) or _gear.is_left_behind(getattr(conn, "sock", None)):
            log.debug("Resetting dropped connection: %s", self.host)
            conn.close()

    def _put_conn(self, conn: Any) -> None:
        """Take a connection back, or None for its slot. What finds no room is closed.

        :raises FullPoolError: the pool blocks, and more came back than went out.
        """
        idle = self.pool
        if conn is not None and (slot := owed_by(conn, idle)) is not None:
            self._put_owed(idle, slot, conn)
            return
        if conn is not None and is_paid_for(conn, idle):
            conn.close()
            return
        if idle is not None:
            try:
                idle.put(conn, block=False)
                return
            except AttributeError:  # closed in between
                pass
            except queue.Full:
                if not getattr(idle, "closed", False):
                    self._refuse(conn, idle)
                    return
        if conn:
            conn.close()

    def _put_owed(self, idle: IdleQueue, slot: list[Any], conn: Any) -> None:
        if conn is not None and is_held(slot):
            conn.close()
            conn = None
        if not idle.take_back(slot, conn):
            if idle.closed:
                if conn:
                    conn.close()
            else:
                self._refuse(conn, idle)

    def _put_back_without(self, conn: Any) -> None:
        """Take the slot back of a connection that was closed."""
        idle = self.pool
        slot = owed_by(conn, idle)
        if slot is not None:
            if self._putting_is_ours():
                self._put_owed(idle, slot, None)
                return
            slot.clear()
        elif is_paid_for(conn, idle):
            return
        self._put_conn(None)

    def _putting_is_ours(self) -> bool:
        return type(self)._put_conn is _PUT_CONN and "_put_conn" not in self.__dict__

    def _refuse(self, conn: Any, idle: Any) -> None:
        if conn:
            conn.close()
        if self.block:
            raise FullPoolError(self, "Pool reached maximum size and no more connections are allowed.")
        self._warn_of_full_pool(idle)

    def _discard(self, conn: Any, idle: IdleQueue) -> None:
        """Close a connection that found no room."""
        conn.close()
        if not idle.closed:
            self._warn_of_full_pool(idle)

    def _warn_of_full_pool(self, idle: Any) -> None:
        log.warning(
            "Connection pool is full, discarding connection: %s. Connection pool size: %s", self.host, idle.qsize()
        )

    def _validate_conn(self, conn: Any) -> None:
        """Called before a connection is used."""

    def _prepare_proxy(self, conn: Any) -> None:
        """Called before a connection through a proxy is used."""

    def close(self) -> None:
        """Close all idle connections and refuse requests. Those under way go on; their connections are closed after.

        Threads that wait for a connection get :exc:`~wirepool.exceptions.ClosedPoolError`.
        """
        old, self.pool = self.pool, None
        if old is not None:
            _close_pool_connections(old)

    def is_same_host(self, url: str) -> bool:
        """Whether ``url`` is of this pool's origin; a path always is."""
        if url.startswith("/"):
            return True
        scheme, _, host, port, *_ = parse_url(url)
        scheme = scheme or "http"
        if host is not None:
            host = _normalize_host(host, scheme=scheme)
        if self.port and not port:
            port = port_by_scheme.get(scheme)
        elif not self.port and port == port_by_scheme.get(scheme):
            port = None
        return (scheme, host, port) == (self.scheme, self.host, self.port)

    # ------------------------------------------------------------ time-outs

    def _get_timeout(self, timeout: _TYPE_TIMEOUT_OR_OBJECT) -> Timeout:
        """A ``Timeout`` of its own for one attempt."""
        if timeout is _DEFAULT_TIMEOUT:
            return self.timeout.clone()
        return timeout.clone() if isinstance(timeout, Timeout) else Timeout.from_float(timeout)

    def _raise_timeout(
        self,
        err: BaseSSLError | OSError | SocketTimeout,
        url: str,
        timeout_value: _TYPE_TIMEOUT_OR_OBJECT | None,
    ) -> None:
        """Raise ``ReadTimeoutError`` if that is what ``err`` means."""
        if isinstance(err, SocketTimeout) or getattr(err, "errno", None) in _blocking_errnos:
            raise ReadTimeoutError(self, url, f"Read timed out. (read timeout={timeout_value})") from err

    # ------------------------------------------------------------ one attempt in the compatible gear

    def _make_request(
        self,
        conn: Any,
        method: str,
        url: str,
        body: _TYPE_BODY | None = None,
        headers: Mapping[str, str] | None = None,
        retries: Retry | None = None,
        timeout: _TYPE_TIMEOUT_OR_OBJECT = _DEFAULT_TIMEOUT,
        chunked: bool = False,
        response_conn: Any = None,
        preload_content: bool = True,
        decode_content: bool = True,
        enforce_content_length: bool = True,
    ) -> BaseHTTPResponse:
        """Send a request on a connection and get its response, by the connection's public methods.

        :param response_conn: the connection, if the response is to hold it until it was read.
        """
        self.num_requests += 1
        limits = self._get_timeout(timeout)
        limits.start_connect()
        conn.timeout = Timeout.resolve_default_timeout(limits.connect_timeout)
        try:
            self._validate_conn(conn)
        except (SocketTimeout, BaseSSLError) as error:
            self._raise_timeout(err=error, url=url, timeout_value=conn.timeout)
            raise
        try:
            conn.request(
                method,
                url,
                body=body,
                headers=headers,
                chunked=chunked,
                preload_content=preload_content,
                decode_content=decode_content,
                enforce_content_length=enforce_content_length,
            )
        except OSError as error:
            if not _has_stopped_reading(error):
                raise
        read_timeout = limits.read_timeout
        if not conn.is_closed:
            if read_timeout == 0:
                raise ReadTimeoutError(self, url, f"Read timed out. (read timeout={read_timeout})")
            conn.timeout = read_timeout
        try:
            response: BaseHTTPResponse = conn.getresponse()
        except (BaseSSLError, OSError) as error:
            self._raise_timeout(err=error, url=url, timeout_value=read_timeout)
            if is_cut(error):
                raise RemoteDisconnected("Remote end closed connection without response") from error
            raise
        response.retries = retries
        response._connection = response_conn  # type: ignore[attr-defined]
        response._pool = self  # type: ignore[attr-defined]
        if log.isEnabledFor(logging.DEBUG):
            self._log_exchange(method, url, response, conn)
        return response

    def _log_exchange(self, method: str, url: str, response: Any, conn: Any = None) -> None:
        log.debug(
            '%s://%s:%s "%s %s %s" %s %s',
            self.scheme,
            self.host,
            self.port,
            method,
            url,
            getattr(conn, "_http_vsn_str", "HTTP/1.1"),
            response.status,
            getattr(response, "length_remaining", None),
        )

    def _attempt(
        self,
        method: str,
        url: str,
        body: Any,
        headers: Mapping[str, str] | None,
        chunked: bool,
        retries: Retry,
        timeout: Any,
        pool_timeout: float | None,
        preload_content: bool,
        decode_content: bool,
        release_conn: bool,
        response_kw: dict[str, Any],
        handed_over: tuple[Any, bool] | None = None,
    ) -> BaseHTTPResponse:
        """Checkout, request, response and, unless the response still needs it, checkin of the connection.

        :param handed_over: a connection that the fast gear has checked out, and whether it was used before.
        """
        limits = self._get_timeout(timeout)
        conn, reused = handed_over or (self._check_out(pool_timeout), True)
        try:
            if handed_over and reused:
                self._reset_if_dropped(conn)
            reused = reused and not getattr(conn, "is_closed", False)
            conn.timeout = Timeout.resolve_default_timeout(limits.connect_timeout)
            if (hooks := self._hooks) is not None and conn.is_closed:
                hooks.watch(self, conn)
            if conn.is_closed and self.proxy is not None and self._needs_tunnel(url):
                self._prepare_proxy_on(conn, url)
            response = self._make_request(
                conn,
                method,
                url,
                timeout=limits,
                body=body,
                headers=headers,
                chunked=chunked,
                retries=retries,
                response_conn=None if release_conn else conn,
                preload_content=preload_content,
                decode_content=decode_content,
                **response_kw,
            )
        except BaseException as error:
            error = self._wrap_failure(error, conn)
            if reused and isinstance(error, ConnectionError) and not getattr(error, "response_begun", False):
                error.lost_on_reuse = True  # type: ignore[attr-defined]
            try:
                conn.close()
            finally:
                self._put_back_without(conn)
            raise error
        if getattr(conn, "_session_name", None) is not None:
            conn._remember_session()
        if release_conn:
            self._checkin(conn, response)
        return response

    def _checkin(self, conn: Any, response: Any) -> None:
        """Take the connection back; one that still carries a body stays with its response until that was read."""
        if isinstance(response, HTTPResponse) and not response.closed and response._body is None:
            response._connection = conn
        else:
            self._put_conn(conn)

    def _wrap_failure(self, error: BaseException, conn: Any) -> BaseException:
        """What went wrong before the proxy had done its part is the proxy's."""
        if not getattr(conn, "proxy", None) or conn.has_connected_to_proxy:
            return error
        if isinstance(error, (BaseSSLError, CertificateError)):
            error = SSLError(error)
        if isinstance(error, (OSError, NewConnectionError, TimeoutError, SSLError, HTTPException)):
            return _wrap_proxy_error(error, conn.proxy.scheme)
        return error

    def _needs_tunnel(self, url: str) -> bool:
        """Whether a request goes through a tunnel. The pool to a proxy that forwards has the proxy's scheme, not the
        origin's, which is in the URL; that of an origin has the origin's, wherever it was redirected to."""
        scheme = self.scheme
        if not url.startswith("/") and self._forwards:
            scheme = url.partition(":")[0].lower()
        return connection_requires_http_tunnel(self.proxy, self.proxy_config, scheme)

    @property
    def _forwards(self) -> bool:
        """Whether this is the pool to a proxy, and not to an origin behind one."""
        proxy = self.proxy
        if proxy is None or self.scheme == "http":
            return proxy is not None
        return (self.host, self.port) == (_normalize_host(proxy.host, proxy.scheme), proxy.port)

    def _prepare_proxy_on(self, conn: Any, url: str) -> None:
        try:
            self._prepare_proxy(conn)
        except (BaseSSLError, OSError, SocketTimeout) as error:
            proxy = self.proxy._replace(auth=None).url if self.proxy else url
            self._raise_timeout(err=error, url=proxy, timeout_value=conn.timeout)
            raise

    # ------------------------------------------------------------ requests

    def urlopen(  # type: ignore[override]
        self,
        method: str,
        url: str,
        body: _TYPE_BODY | None = None,
        headers: Mapping[str, str] | None = None,
        retries: Retry | bool | int | None = None,
        redirect: bool = True,
        assert_same_host: bool = True,
        timeout: _TYPE_TIMEOUT_OR_OBJECT = _DEFAULT_TIMEOUT,
        pool_timeout: int | None = None,
        release_conn: bool | None = None,
        chunked: bool = False,
        body_pos: Any = None,
        preload_content: bool = True,
        decode_content: bool = True,
        **response_kw: Any,
    ) -> BaseHTTPResponse:
        """Make a request; :meth:`request` is more convenient.

        :param method: as it goes out.
        :param url: a path (with query), or a URL of this origin.
        :param body: ``str`` (sent as UTF-8), bytes-like, a file, or an iterable of either.
        :param headers: header fields, instead of the pool's.
        :param retries: how often to try again, and when: a :class:`~wirepool.Retry`, a number, False (raise what goes
            wrong, return redirects), or None for the pool's.
        :param redirect: follow redirects.
        :param assert_same_host: raise if ``url`` is of another origin.
        :param timeout: seconds or a :class:`~wirepool.Timeout`, for this request.
        :param pool_timeout: seconds to wait for a connection, if the pool blocks.
        :param release_conn: give the connection back when the call returns; default: if ``preload_content``.
        :param chunked: send the body with ``Transfer-Encoding: chunked`` even if its length is known.
        :param body_pos: where in a file the body begins, for sending it again.
        :param preload_content: receive the body before the call returns.
        :param decode_content: undo the ``Content-Encoding``.
        :raises MaxRetryError: retries are used up; ``reason`` is the last error.
        :raises HostChangedError: another origin, see ``assert_same_host``.
        :raises ClosedPoolError, EmptyPoolError: no connection to be had.
        :raises ProtocolError, ReadTimeoutError: what is not retried, e.g. for a POST after it was sent.
        :raises ValueError: method, target or header fields that must not be sent; nothing was.
        :raises Exception: whatever a hook raises, as it is.
        """
        replays = 0
        if headers is None:
            headers = self.headers
        if retries is None:
            retries = self.retries
        if type(retries) is not Retry:
            retries = self._effective_retries(retries, redirect)
        if release_conn is None:
            release_conn = preload_content
        if body is not None:
            body_pos = set_file_position(body, body_pos)

        while True:
            may_be_fast = (
                not response_kw
                and release_conn is preload_content
                and self._gate(self)
                and type(self.pool) is IdleQueue
            )
            if not (may_be_fast and is_plain_target(url)):
                url = self._target_of(url, assert_same_host, retries)
                # The Host of any other form is in the target (RFC 9112 3.2.2), unless a field says it.
                may_be_fast = may_be_fast and (url[:1] == "/" or (self.proxy is not None and "Host" in headers))
            fields = headers
            if self.proxy is not None and self.proxy_headers and url[:1] != "/" and not self._needs_tunnel(url):
                fields = _joined(headers, self.proxy_headers)
            response: Any
            try:
                if may_be_fast:
                    response = _fast.attempt(
                        self, method, url, body, fields, chunked, retries, timeout, pool_timeout,
                        preload_content, decode_content,
                    )  # fmt: skip
                elif (hooks := self._hooks) is None:
                    response = self._attempt(
                        method, url, body, fields, chunked, retries, timeout, pool_timeout,
                        preload_content, decode_content, release_conn, response_kw,
                    )  # fmt: skip
                else:
                    response = hooks.attempt(
                        self, method, url, body, fields, chunked, retries, timeout, pool_timeout,
                        preload_content, decode_content, release_conn, response_kw, replays,
                    )  # fmt: skip
            except _hooks.HookFailed as failed:
                _hooks.unwrap(failed)
            except (
                TimeoutError,
                HTTPException,
                OSError,
                ProtocolError,
                SSLError,
                CertificateError,
                ProxyError,
            ) as error:
                if getattr(error, "lost_on_reuse", False) and method in _IDEMPOTENT and can_send_again(body, body_pos):
                    log.debug("Replaying on a new connection: %s", url)
                    replayed = True
                    replays += 1
                    if (hooks := self._hooks) is not None:
                        hooks.tell_of_retry(self, "replay", method, url, retries, 0.0, error)
                else:
                    retries = after_failure(self, error, method, url, retries)
                    replayed = False
                if body is not None:
                    rewind(body, body_pos)
                if replayed or not self._urlopen_is_replaced():
                    continue
                break

            status = response.status
            if (
                may_be_fast
                and 200 <= status < 300
                and not retries.status_forcelist
                and type(retries) is Retry
                and _retry_is_plain(retries)
            ):
                return response  # type: ignore[no-any-return]
            location = redirect and response.get_redirect_location()
            if location:
                if self.proxy is not None and not url.startswith("/"):
                    location = joined(url, location)
                following = retries_after_redirect(self, response, retries, method, url, location)
                if following is None:
                    return response  # type: ignore[no-any-return]
                retries = following
                if self.proxy is not None and self._needs_tunnel(location) != self._needs_tunnel(url):
                    # What was for a tunnel must not be seen by the proxy, and what is for the proxy not by the origin.
                    raise HostChangedError(self, location, retries)
                if status == 303:
                    method, body, body_pos, chunked = "GET", None, None, False
                    headers = HTTPHeaderDict(headers)._prepare_for_method_change()
                if not self._stays(url, location):
                    headers = without(headers, retries.remove_headers_on_redirect)
                url = location
            elif retries.is_retry(method, status, bool(response.headers.get("Retry-After"))):
                following = retries_after_status(self, response, retries, method, url)
                if following is None:
                    return response  # type: ignore[no-any-return]
                retries = following
            else:
                return response  # type: ignore[no-any-return]
            if body is not None:
                rewind(body, body_pos)
            if self._urlopen_is_replaced():
                break

        return self.urlopen(
            method,
            url,
            body,
            headers,
            retries=retries,
            redirect=redirect,
            assert_same_host=assert_same_host,
            timeout=timeout,
            pool_timeout=pool_timeout,
            release_conn=release_conn,
            chunked=chunked,
            body_pos=body_pos,
            preload_content=preload_content,
            decode_content=decode_content,
            **response_kw,
        )

    def _urlopen_is_replaced(self) -> bool:
        """Whether somebody wants to see each try: his method is called for all of them, as if it called itself."""
        return type(self).urlopen is not _URLOPEN or "urlopen" in self.__dict__

    def _stays(self, url: str, location: str) -> bool:
        """Whether a redirect leads to the same origin. That of a request through a forwarding proxy is in its URL."""
        if url.startswith("/") or self.proxy is None:
            return self.is_same_host(location)
        return _origin_of(url) == _origin_of(location)

    def _effective_retries(self, retries: Any, redirect: bool) -> Retry:
        if isinstance(retries, Retry):
            return retries
        return Retry.from_int(retries, redirect=redirect, default=self.retries)

    def _target_of(self, url: str, assert_same_host: bool, retries: Retry) -> str:
        """What goes into the request line."""
        known = self._known_targets.get(url)
        if known is not None and not assert_same_host:
            return known
        target = to_str(_encode_target(url) if url.startswith("/") else parse_url(url)._replace(fragment=None).url)
        if assert_same_host and not self.is_same_host(target):
            raise HostChangedError(self, target, retries)
        if self.proxy is not None:
            if len(self._known_targets) >= _KNOWN_TARGETS:
                self._known_targets.clear()
            self._known_targets[url] = target
        return target


class HTTPSConnectionPool(HTTPConnectionPool):
    """A thread-safe pool of TLS connections to one host. Certificates are verified unless you say otherwise.

    Arguments as for :class:`HTTPConnectionPool`; those about TLS are those of
    :class:`~wirepool.connection.HTTPSConnection`, where they are explained. Their attributes are read whenever a
    connection is made, so assigning to them later has an effect on later connections. What is not an argument of its
    own here (``ssl_context``, ``server_hostname``, ``ca_cert_data``, ``cert_data``, ``key_data``, ``ssl_resumption``)
    travels in ``conn_kw``.
    """

    scheme = "https"
    ConnectionCls: ClassVar[Any] = HTTPSConnection
    # Of a pool that serves another library, one that is also of that library's.
    _unverified_warning: type[Warning] = InsecureRequestWarning

    def __init__(
        self,
        host: str,
        port: int | None = None,
        timeout: _TYPE_TIMEOUT_OR_OBJECT | None = _DEFAULT_TIMEOUT,
        maxsize: int = 1,
        block: bool = False,
        headers: Mapping[str, str] | None = None,
        retries: Retry | bool | int | None = None,
        _proxy: Url | None = None,
        _proxy_headers: Mapping[str, str] | None = None,
        key_file: str | None = None,
        cert_file: str | None = None,
        cert_reqs: int | str | None = None,
        key_password: str | None = None,
        ca_certs: str | None = None,
        ssl_version: int | str | None = None,
        ssl_minimum_version: ssl.TLSVersion | None = None,
        ssl_maximum_version: ssl.TLSVersion | None = None,
        assert_hostname: str | Literal[False] | None = None,
        assert_fingerprint: str | None = None,
        ca_cert_dir: str | None = None,
        **conn_kw: Any,
    ) -> None:
        super().__init__(host, port, timeout, maxsize, block, headers, retries, _proxy, _proxy_headers, **conn_kw)
        self.key_file = key_file
        self.cert_file = cert_file
        self.cert_reqs = cert_reqs
        self.key_password = key_password
        self.ca_certs = ca_certs
        self.ca_cert_dir = ca_cert_dir
        self.ssl_version = ssl_version
        self.ssl_minimum_version = ssl_minimum_version
        self.ssl_maximum_version = ssl_maximum_version
        self.assert_hostname = assert_hostname
        self.assert_fingerprint = assert_fingerprint
        # TLS sessions of this origin, for all connections of this pool; see _tls.
        self._sessions: dict[Any, Any] = {}

    def _new_conn(self) -> Any:
        """A fresh connection object, not yet connected; to the proxy if there is one.

        :raises ImportError: this Python has no ``ssl`` module.
        """
        self.num_connections += 1
        log.debug("Starting new HTTPS connection (%d): %s:%s", self.num_connections, self.host, self.port or "443")
        if not self.ConnectionCls or self.ConnectionCls is DummyConnection:
            raise ImportError("Can't connect to HTTPS URL because the SSL module is not available.")
        host, port = self.host, self.port
        if self.proxy is not None and self.proxy.host is not None:
            host, port = self.proxy.host, self.proxy.port
        conn = self.ConnectionCls(
            host=host,
            port=port,
            timeout=self.timeout.connect_timeout,
            cert_file=self.cert_file,
            key_file=self.key_file,
            key_password=self.key_password,
            cert_reqs=self.cert_reqs,
            ca_certs=self.ca_certs,
            ca_cert_dir=self.ca_cert_dir,
            assert_hostname=self.assert_hostname,
            assert_fingerprint=self.assert_fingerprint,
            ssl_version=self.ssl_version,
            ssl_minimum_version=self.ssl_minimum_version,
            ssl_maximum_version=self.ssl_maximum_version,
            **self.conn_kw,
        )
        if getattr(conn, "_sessions", None) is not None:
            conn._sessions = self._sessions
        return conn

    def _prepare_proxy(self, conn: Any) -> None:
        """Open the tunnel through the proxy, and TLS in it."""
        scheme = "https" if self.proxy is not None and self.proxy.scheme == "https" else "http"
        conn.set_tunnel(scheme=scheme, host=self._tunnel_host, port=self.port, headers=self.proxy_headers)
        conn.connect()

    def _validate_conn(self, conn: Any) -> None:
        """Connect now, so that the request can be made in the knowledge of who will get it; warn if nobody knows."""
        super()._validate_conn(conn)
        if conn.is_closed:
            conn.connect()
        self._warn_if_unverified(conn)

    def _warn_if_unverified(self, conn: Any) -> None:
        if conn.is_verified or (conn.proxy_is_verified and getattr(conn, "proxy_is_forwarding", True)):
            return
        import warnings

        host = getattr(conn, "_tunnel_host", None) or conn.host
        warnings.warn(
            f"Unverified HTTPS request to {host!r}: whoever answers may be anybody. Certificates are verified "
            "unless cert_reqs or an ssl_context says otherwise; disable_warnings(InsecureRequestWarning) hides this.",
            self._unverified_warning,
            stacklevel=3,
        )


class UnixHTTPConnectionPool(HTTPConnectionPool):
    """A thread-safe pool of connections to a unix socket.

    :param host: the path of the socket, as it is or percent-encoded as in URLs; see ``_unix``.
    """

    scheme = "http+unix"
    ConnectionCls: ClassVar[Any] = UnixHTTPConnection

    def __init__(self, host: str, port: int | None = None, *args: Any, **kw: Any) -> None:
        super().__init__(host_of(host), port, *args, **kw)

    def __str__(self) -> str:
        return f"{type(self).__name__}(path={socket_path(self.host or '')!r})"

    def is_same_host(self, url: str) -> bool:
        """Whether ``url`` is of this socket; a path always is."""
        if url.startswith("/"):
            return True
        scheme, _, host, *_ = parse_url(url)
        return scheme == self.scheme and socket_path(host or "") == socket_path(self.host or "")

    def _target_of(self, url: str, assert_same_host: bool, retries: Retry) -> str:
        # The server has no idea what its socket is called.
        target = super()._target_of(url, assert_same_host, retries)
        return target if target.startswith("/") else parse_url(target).request_uri


def connection_from_url(url: str, **kw: Any) -> HTTPConnectionPool:
    """A pool for the origin of ``url``; ``http`` if it has no scheme. ``kw`` as for the pool.

    :raises LocationValueError: the URL cannot be parsed, or has no host.
    """
    scheme, _, host, port, *_ = parse_url(url)
    scheme = scheme or "http"
    if port is None:
        port = port_by_scheme.get(scheme, 80)
    pool_class = _CLASSES.get(scheme, HTTPConnectionPool)
    return pool_class(host, port=port, **kw)  # type: ignore[arg-type]


def _has_stopped_reading(error: OSError) -> bool:
    """Whether sending failed because the peer reads no more: it may have answered early, so its response is read."""
    # That is what Python's ssl makes of any write that failed, in most versions.
    return isinstance(error, (BrokenPipeError, SSLEOFError)) or error.errno in (errno.EPROTOTYPE, errno.ECONNRESET)


def _joined(headers: Mapping[str, str], more: Mapping[str, str]) -> Mapping[str, str]:
    """Header fields with others put over them; the caller's mapping is left as it is."""
    copy = getattr(headers, "copy", None)
    joined: Any = dict(headers) if copy is None else copy()
    joined.update(more)
    return joined  # type: ignore[no-any-return]


def _normalize_host(host: str | None, scheme: str | None) -> str | None:
    """The host as it is compared and connected to: lower case, IDNA, no brackets."""
    host = normalize_host(host, scheme)
    if host and host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return host


def _tunnel_host(host: str, scheme: str | None) -> str | None:
    normalized = normalize_host(host, scheme)
    return normalized.lower() if normalized else normalized


def _origin_of(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port, also where the URL leaves it to the scheme."""
    scheme, _, host, port, *_ = parse_url(url)
    scheme = scheme or "http"
    return scheme, host, port_by_scheme.get(scheme) if port is None else port


def _url_from_pool(pool: HTTPConnectionPool, path: str | None = None) -> str:
    """The URL of a pool's origin, for messages."""
    host = f"[{pool.host}]" if ":" in (pool.host or "") else pool.host
    return Url(scheme=pool.scheme, host=host, port=pool.port, path=path).url


def _close_pool_connections(pool: Any) -> None:
    """Close whatever is idle in a pool's queue."""
    if isinstance(pool, IdleQueue):
        for conn in pool.close():
            if conn:
                conn.close()
        return
    try:
        while True:
            conn = pool.get(block=False)
            if conn:
                conn.close()
    except queue.Empty:
        pass


_URLOPEN = HTTPConnectionPool.urlopen
_GET_CONN = HTTPConnectionPool._get_conn
_PUT_CONN = HTTPConnectionPool._put_conn
# Whether one object asks by the class's own methods.
_retry_is_plain = Watch((), (), ("is_retry",)).allows

_gear.declare(HTTPConnectionPool, HTTPConnection, HTTPResponse, Retry)
_gear.declare(HTTPSConnectionPool, HTTPSConnection, HTTPResponse, Retry)
_gear.declare(UnixHTTPConnectionPool, UnixHTTPConnection, HTTPResponse, Retry)

_CLASSES: dict[str, type[HTTPConnectionPool]] = {
    "http": HTTPConnectionPool,
    "https": HTTPSConnectionPool,
}
