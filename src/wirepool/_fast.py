"""One attempt at a request in the fast gear: checkout, exchange, response, checkin.

The pool has asked the gate before. Mechanism is the core's; this module is the little policy between: which time-out
applies, when to reconnect, what becomes of the connection. Every name looked up and every object made here is paid for
on each request, so defaults cost nothing, and whatever is rare is a function of its own.

A connection goes back only if its response is complete and nothing was in doubt (``REUSABLE``); otherwise it is closed
and its slot goes back empty-handed.
"""

from __future__ import annotations

import http.client
import io
import logging
import queue as queue_module
from socket import getdefaulttimeout
from socket import timeout as SocketTimeout
from typing import TYPE_CHECKING, Any, NoReturn

from wirepool._core.errors import CoreError, RequestRefused, WaitTimeout
from wirepool._core.exchange import (
    BOTH_LENGTHS,
    CONTENT_ENCODING,
    REUSABLE,
    SKIPPED_LINE,
    TRAILERS,
)
from wirepool._core.headers_out import check_field, check_method
from wirepool._errors import is_lost_before_response, stdlib_error
from wirepool._gear import OURS, conn_is_plain, tls_socket_is_plain
from wirepool._identity import logger_name
from wirepool._slots import Owed
from wirepool.connection import BaseSSLError, HTTPConnection
from wirepool.exceptions import ClosedPoolError, EmptyPoolError, ReadTimeoutError
from wirepool.response import HTTPResponse, _warn_of_both_lengths
from wirepool.util.request import _METHODS_NOT_EXPECTING_BODY, _file_blocksize, _octets, body_to_chunks
from wirepool.util.timeout import _DEFAULT_TIMEOUT, Timeout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wirepool._core.exchange import Exchange
    from wirepool._core.idle import IdleQueue
    from wirepool.connectionpool import HTTPConnectionPool
    from wirepool.util.retry import Retry

log = logging.getLogger(logger_name("wirepool.connectionpool"))

_new = HTTPResponse.__new__
_DEBUG = logging.DEBUG
# What the logger has found out about its levels; empty after every change, then the logger is asked. Saves a call.
_enabled_levels: dict[int, bool] = getattr(log, "_cache", {})
# The standard library's own, whose readinto() is known to give what read() does.
_FILES = (io.BufferedReader, io.BufferedRandom, io.FileIO, io.BytesIO)
_RARE = CONTENT_ENCODING | SKIPPED_LINE | TRAILERS | BOTH_LENGTHS


class _OtherGear(Exception):
    """The connection at hand was tampered with, or is none of ours."""


def attempt(
    pool: HTTPConnectionPool,
    method: str,
    target: str,
    body: Any,
    headers: Mapping[str, str] | None,
    chunked: bool,
    retries: Retry,
    timeout: Any,
    pool_timeout: float | None,
    preload: bool,
    decode: bool,
) -> Any:
    """The response to one request, by the compatible gear if the connection at hand turns out to need that."""
    queue: IdleQueue | None = pool.pool
    if queue is None:  # closed in between
        raise ClosedPoolError(pool, "Pool is closed.")
    limits = pool.timeout if timeout is _DEFAULT_TIMEOUT else timeout
    clock = None
    connect: Any
    read: Any
    if type(limits) is float and limits > 0:
        connect = read = limits
    elif type(limits) is Timeout and limits.total is None:
        connect = limits._connect
        read = limits._read
        if connect is _DEFAULT_TIMEOUT:
            connect = getdefaulttimeout()
        if read is _DEFAULT_TIMEOUT:
            read = getdefaulttimeout()
    else:
        clock = pool._get_timeout(timeout)
        clock.start_connect()
        connect = Timeout.resolve_default_timeout(clock.connect_timeout)
        read = None

    slot: list[Any] = []  # what is owed to the queue; see IdleQueue.lend
    owed = None if preload else Owed(queue, slot)
    conn: Any = None
    exchange: Any = None
    response: Any
    reused = True
    try:
        conn = queue.lend(slot, pool.block, pool_timeout)
        pool.num_requests += 1
        if conn is None:
            reused = False
            conn = pool._new_conn()
        if type(conn) not in OURS:
            raise _OtherGear
        if conn.sock is None:
            if reused:
                log.debug("Resetting dropped connection: %s", pool.host)
                reused = False
            _refuse_early(method, headers)
            _connect(pool, conn, connect, target)
        exchange = conn._exchange
        if (
            exchange is None
            or conn.sock is not conn._exchange_sock
            or (conn._stdlib_used and not conn._stdlib_is_idle())
            or not conn_is_plain(conn)
        ):
            raise _OtherGear
        if conn._attend_to is not False:
            _attend(pool, conn)
        if clock is not None:
            read = _read_limit(pool, target, clock)
        send_limit = -1.0 if connect is None else connect
        read_limit = -1.0 if read is None else read
        if body is None and not chunked:
            payload = None if method in _METHODS_NOT_EXPECTING_BODY else _no_body(method)
            result = exchange.request(
                method, target, headers, payload, preload, send_limit, read_limit,
                http.client._MAXHEADERS, reused,  # type: ignore[attr-defined]
            )  # fmt: skip
            if result is None:
                reused = False
                exchange = _reconnect(pool, conn, connect, target)
                result = exchange.request(
                    method, target, headers, payload, preload, send_limit, read_limit,
                    http.client._MAXHEADERS, False,  # type: ignore[attr-defined]
                )  # fmt: skip
        else:
            if reused and not exchange.alive:
                reused = False
                exchange = _reconnect(pool, conn, connect, target)
            result = _with_body(
                exchange, method, target, headers, body, chunked, preload, send_limit, read_limit, conn.blocksize
            )

        if not reused and conn._session_name is not None:
            conn._remember_session()
        response = _new(HTTPResponse)
        response.status, response.version, response.reason, response._head, content, flags = result
        response._request_url = target
        response._request_method = method
        response._pool = pool
        if retries.history:
            response.retries = retries
        else:
            response._retries = retries
        if not decode:
            response.decode_content = False
        if flags & _RARE:
            _rare(response, exchange, conn, flags)
        else:
            response._encoded = False
        if preload:
            response._body = content
            if flags & REUSABLE == 0:
                conn.close()
            if not queue.take_back(slot, conn):
                pool._discard(conn, queue)
        else:
            response._x = exchange
            response._connection = owed.follow(conn)  # type: ignore[union-attr]  # which pays, if only when it is dropped
    except _OtherGear:
        response = None
    except BaseException as error:
        _give_up(pool, queue, slot, conn, exchange, error, reused, target, read)

    if response is None:
        pool.num_requests -= 1  # it counts by itself
        (owed or Owed(queue, slot)).follow(conn)  # the compatible gear has the connection pay by itself
        return pool._attempt(
            method, target, body, headers, chunked, retries, timeout, pool_timeout,
            preload, decode, preload, {}, (conn, reused),
        )  # fmt: skip
    if preload and flags & CONTENT_ENCODING and decode and not response._leads_elsewhere():
        response._read_data()
    if _enabled_levels.get(_DEBUG, True):
        pool._log_exchange(method, target, response)
    return response


# ---------------------------------------------------------------- what is rare


def _refuse_early(method: str, headers: Mapping[str, str] | None) -> None:
    """What must not be sent is told before connecting: a server that is down is no reason to hide it."""
    check_method(method)
    for name, value in (headers or {}).items():
        check_field(name, value)


def _attend(pool: Any, conn: HTTPConnection) -> None:
    """What TLS asks before each request: is the socket still as it was, and is there somebody to warn?"""
    if conn._attend_to is not True and not tls_socket_is_plain(conn._attend_to):
        raise _OtherGear
    if conn._unverified:
        pool._warn_if_unverified(conn)


def _no_body(method: str) -> bytes | None:
    return None if method.upper() in _METHODS_NOT_EXPECTING_BODY else b""


def _read_limit(pool: HTTPConnectionPool, url: str, clock: Timeout) -> float | None:
    limit = clock.read_timeout
    if limit == 0:
        raise ReadTimeoutError(pool, url, f"Read timed out. (read timeout={limit})")
    return limit


def _connect(pool: HTTPConnectionPool, conn: HTTPConnection, limit: float | None, target: str) -> None:
    """As the steps of the compatible gear do it: through the proxy's tunnel if there is to be one."""
    hooks = pool._hooks
    if hooks is not None:
        hooks.watch(pool, conn)
    conn.timeout = limit
    if pool.proxy is not None and pool._needs_tunnel(target):
        pool._prepare_proxy_on(conn, target)
        return
    try:
        conn.connect()
    except (SocketTimeout, BaseSSLError) as error:
        pool._raise_timeout(err=error, url=target, timeout_value=limit)
        raise


def _reconnect(pool: HTTPConnectionPool, conn: HTTPConnection, limit: float | None, target: str) -> Exchange:
    log.debug("Resetting dropped connection: %s", pool.host)
    conn.close()
    _connect(pool, conn, limit, target)
    if conn._exchange is None:
        raise _OtherGear  # socket.socket was replaced since this connection was made
    return conn._exchange


def _with_body(
    exchange: Exchange,
    method: str,
    target: str,
    headers: Mapping[str, str] | None,
    body: Any,
    chunked: bool,
    preload: bool,
    send_limit: float,
    read_limit: float,
    blocksize: int,
) -> Any:
    max_fields: int = http.client._MAXHEADERS  # type: ignore[attr-defined]
    blocks: Any
    blocks, length = body_to_chunks(body, method=method, blocksize=_file_blocksize(blocksize))
    if not chunked and length is not None and isinstance(blocks, tuple):
        return exchange.request(method, target, headers, blocks[0], preload, send_limit, read_limit, max_fields, False)
    if type(body) in _FILES:
        # Large writes wake the peer less often; but each has to get through within the limit.
        blocks = _blocks_of(body, _file_blocksize(blocksize, unhurried=send_limit < 0))
    exchange.begin(method, target, headers, -1, max_fields, False)
    try:
        for block in blocks or ():
            if type(block) is not bytes:
                block = _octets(block)
            if not exchange.send(block, send_limit):
                break  # the peer has stopped reading; its answer is on the way
        return exchange.finish(preload, send_limit, read_limit)
    except BaseException:
        exchange.abandon()
        raise


def _blocks_of(file: Any, size: int) -> Iterator[memoryview]:
    """The blocks of a file, all in the same memory: each is sent before the next is read. Fresh memory of this size has
    to be mapped and cleared for each block, which takes longer than reading it."""
    memory = memoryview(bytearray(size))
    while count := file.readinto(memory):
        yield memory[:count]


def _raise_without_slot(pool: HTTPConnectionPool, queue: IdleQueue, error: BaseException) -> NoReturn:
    """There was none to be had; or the response has it, or the queue again, when a signal came."""
    if not isinstance(error, queue_module.Empty):
        raise error
    if queue.closed:
        raise ClosedPoolError(pool, "Pool is closed.") from None
    raise EmptyPoolError(pool, "Pool is empty and a new connection can't be opened due to blocking mode.") from None


def _rare(response: HTTPResponse, exchange: Exchange, conn: HTTPConnection, flags: int) -> None:
    if not flags & CONTENT_ENCODING:
        response._encoded = False
    if flags & TRAILERS:
        response._trailer_fields = exchange.trailers
    if flags & BOTH_LENGTHS:
        _warn_of_both_lengths()
    if flags & SKIPPED_LINE:
        conn._warn_of_skipped_line(response._request_url or "", response._head or b"")


def _give_up(
    pool: HTTPConnectionPool,
    queue: IdleQueue,
    slot: list[Any],
    conn: Any,
    exchange: Exchange | None,
    error: BaseException,
    reused: bool,
    url: str,
    read_timeout: float | None,
) -> NoReturn:
    """Closes the connection, gives the slot back, and raises what the compatible gear would have raised."""
    if not slot:
        _raise_without_slot(pool, queue, error)
    conn = conn or slot[0]
    try:
        where = exchange.failed_while if exchange is not None else ""
        meant = error if conn is None or conn.proxy is None else pool._wrap_failure(error, conn)
    finally:
        try:
            if conn is not None:
                conn.close()
        finally:
            queue.take_back(slot, None)
    if isinstance(error, RequestRefused):
        raise stdlib_error(error) from None
    if meant is not error:
        raise meant
    found: BaseException = stdlib_error(error, exchange) if isinstance(error, CoreError) else error
    if where == "body" and isinstance(found, Exception):
        _new(HTTPResponse)._raise_meaning(found)
    if where == "head" and isinstance(error, WaitTimeout):
        raise ReadTimeoutError(pool, url, f"Read timed out. (read timeout={read_timeout})") from found
    if reused and where and exchange and not exchange.answered and is_lost_before_response(error):
        found.lost_on_reuse = True  # type: ignore[attr-defined]
    if found is not error:
        found.__cause__ = error
    try:
        raise found
    finally:
        del error, found, meant  # lest the frames, and the response to a replay, wait for the garbage collector
