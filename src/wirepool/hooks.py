"""What tracers, meters and loggers are told of, without patching anything.

A hook is a callable of one argument, the event. Pools and managers take hooks as arguments and as attributes
(``on_request``, ``on_response``, ``on_retry``, ``on_connect``): one callable or a sequence of them. :func:`add` adds
to what is there, for one of them or for the whole process::

    import wirepool

    http = wirepool.PoolManager(on_response=lambda event: print(event.request.url, event.status, event.duration))

Who has no hooks pays nothing for them. docs/hooks.md tells the whole story.

Threading: hooks are called in the thread that makes the request. An event belongs to that one attempt; all but
:attr:`RequestEvent.headers` and :attr:`RequestEvent.state` is for reading.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from wirepool._collections import HTTPHeaderDict
from wirepool._hooks import add as add
from wirepool.util.url import parse_url

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal, NoReturn

    from wirepool._hooks import Hook as Hook
    from wirepool._hooks import Hooks as Hooks
    from wirepool.connectionpool import HTTPConnectionPool
    from wirepool.response import BaseHTTPResponse
    from wirepool.util.retry import Retry

__all__ = ["ConnectEvent", "RequestEvent", "ResponseEvent", "RetryEvent", "TLSFacts", "add"]


class RequestEvent:
    """An attempt that is about to be made; for ``on_request``, and part of the :class:`ResponseEvent` that follows.

    :ivar pool: the pool that makes it.
    :ivar method: as it goes out.
    :ivar target: what stands in the request line: a path with its query, or through a forwarding proxy a whole URL.
    :ivar body: as it was given. Hooks must not read it: what is read once is not sent.
    :ivar attempt: 1, and one more for each time that the request is sent again: after a failure, because of a status,
        for a redirect, or on a new connection because an old one was lost.
    :ivar retries: the :class:`~wirepool.Retry` of this attempt; its ``history`` tells what came before.
    :ivar preload_content: whether the body of the response is received before the call returns.
    :ivar state: a dictionary for the hooks, empty at first: what ``on_request`` puts there, ``on_response`` finds.
    """

    __slots__ = (
        "_given", "_headers", "_origin", "attempt", "body", "method", "pool", "preload_content", "retries", "state",
        "target",
    )  # fmt: skip

    pool: HTTPConnectionPool
    method: str
    target: str
    body: Any
    attempt: int
    retries: Retry
    preload_content: bool
    state: dict[Any, Any]
    _given: Mapping[str, str]
    _headers: HTTPHeaderDict | None
    _origin: tuple[str, str, int | None] | None

    def __init__(
        self,
        pool: HTTPConnectionPool,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Any,
        attempt: int,
        retries: Retry,
        preload_content: bool,
    ) -> None:
        set_ = object.__setattr__
        set_(self, "pool", pool)
        set_(self, "method", method)
        set_(self, "target", target)
        set_(self, "body", body)
        set_(self, "attempt", attempt)
        set_(self, "retries", retries)
        set_(self, "preload_content", preload_content)
        set_(self, "state", {})
        set_(self, "_given", headers)
        set_(self, "_headers", None)
        set_(self, "_origin", None)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{name!r} of an event cannot be set; change its headers, or keep things in its state")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method} {self.url} attempt={self.attempt}>"

    @property
    def headers(self) -> HTTPHeaderDict:
        """The header fields of this attempt, to be changed at will: a copy, made when first asked for.

        ``User-Agent``, ``Host`` and the like that are added when they are missing are not there yet.
        """
        if self._headers is None:
            object.__setattr__(self, "_headers", HTTPHeaderDict(self._given))
        return self._headers  # type: ignore[return-value]

    @property
    def url(self) -> str:
        """The whole URL. User and password are in it only if they were in the URL that goes to a forwarding proxy."""
        return url_of(self.pool, self.target)

    @property
    def scheme(self) -> str:
        """``http``, ``https`` or ``http+unix``; the origin's, not the proxy's."""
        return self._parts()[0]

    @property
    def host(self) -> str:
        """The origin's name or address, without brackets; the path of a unix socket."""
        return self._parts()[1]

    @property
    def port(self) -> int | None:
        """The origin's port; None for a unix socket."""
        return self._parts()[2]

    @property
    def body_length(self) -> int | None:
        """Octets of the body; 0 if there is none, None if only its end will tell."""
        from wirepool._observed import length_of

        return length_of(self)

    def _parts(self) -> tuple[str, str, int | None]:
        if self._origin is None:
            object.__setattr__(self, "_origin", _origin(self.pool, self.target))
        return self._origin  # type: ignore[return-value]


class ResponseEvent(NamedTuple):
    """How an attempt ended; for ``on_response``, exactly once for each :class:`RequestEvent`.

    :ivar request: the attempt.
    :ivar response: what the caller gets unless it is sent again; None if the attempt failed. With
        ``preload_content=False`` only the head is there: hooks must not read the body, but may wrap its methods.
    :ivar error: what the attempt failed with, before retries make something else of it; or what a hook raised.
    :ivar reused: whether the connection had been used before; None if the attempt failed and made none.
    :ivar duration: seconds from before the first ``on_request`` hook to the end of the body, or of the head of a body
        that is streamed, or to the failure: with waiting for a connection and connecting.
    """

    request: RequestEvent
    response: BaseHTTPResponse | None
    error: BaseException | None
    reused: bool | None
    duration: float

    @property
    def status(self) -> int | None:
        """The status code; None if the attempt failed."""
        return None if self.response is None else self.response.status

    @property
    def headers(self) -> HTTPHeaderDict | None:
        """The header fields; None if the attempt failed."""
        return None if self.response is None else self.response.headers

    @property
    def version(self) -> int | None:
        """The HTTP version times ten (10, 11, 20); None if the attempt failed."""
        return None if self.response is None else self.response.version

    @property
    def body_length(self) -> int | None:
        """Octets of the body as they came, before decoding. Of a body that is streamed: as announced in the head, and
        None if only its end will tell. None if the attempt failed.
        """
        from wirepool._observed import received

        return None if self.response is None else received(self.response, self.request.preload_content)


class RetryEvent(NamedTuple):
    """A request will be sent again; for ``on_retry``, before the pause. What is not retried is not told.

    :ivar pool: the pool of the attempt that did not settle it.
    :ivar method: of that attempt.
    :ivar url: of that attempt, whole.
    :ivar reason: ``"error"``; ``"status"`` (``status_forcelist``, ``Retry-After``); ``"redirect"``; or ``"replay"``:
        the connection was lost before anything was answered, and the request goes out on a new one at once, at no cost.
    :ivar retries: the :class:`~wirepool.Retry` that is left; its ``history`` ends with that attempt, but for a replay.
    :ivar delay: seconds until the next attempt, from ``Retry-After`` or the back-off. ``backoff_jitter`` is random: the
        pause that follows has another share of it.
    :ivar error: for ``"error"`` and ``"replay"``: what went wrong.
    :ivar response: for ``"status"`` and ``"redirect"``: the response. It was read to its end and its body dropped.
    :ivar location: for ``"redirect"``: where it leads.
    """

    pool: HTTPConnectionPool
    method: str
    url: str
    reason: Literal["error", "status", "redirect", "replay"]
    retries: Retry
    delay: float
    error: BaseException | None = None
    response: BaseHTTPResponse | None = None
    location: str | None = None

    @property
    def status(self) -> int | None:
        """The status code, if there was a response."""
        return None if self.response is None else self.response.status


class TLSFacts(NamedTuple):
    """What a handshake agreed on; None for what the socket at hand cannot tell.

    :ivar version: such as ``"TLSv1.3"``.
    :ivar cipher: such as ``"TLS_AES_256_GCM_SHA384"``.
    :ivar alpn: such as ``"http/1.1"``.
    :ivar resumed: whether an earlier session was resumed.
    :ivar verified: whether we know who is at the other end.
    """

    version: str | None
    cipher: str | None
    alpn: str | None
    resumed: bool | None
    verified: bool


class ConnectEvent(NamedTuple):
    """A pool has connected, or failed to; for ``on_connect``. Nothing was sent yet: raising refuses the connection.

    :ivar pool: the pool.
    :ivar connection: the connection; more about it is in its ``sock``.
    :ivar host: who was connected to: origin or proxy, name or address; the path of a unix socket.
    :ivar port: None for a unix socket.
    :ivar address: the address it became, ``(ip, port, ...)`` as the socket has it; None if that failed.
    :ivar tunnel: host and port at the end of the proxy's tunnel; None without one.
    :ivar tls: None without TLS, or if connecting failed.
    :ivar duration: seconds for all of it: look-up, TCP, proxy, TLS.
    :ivar error: what went wrong, or None.
    """

    pool: HTTPConnectionPool
    connection: Any
    host: str
    port: int | None
    address: Any
    tunnel: tuple[str, int | None] | None
    tls: TLSFacts | None
    duration: float
    error: BaseException | None


_DEFAULT_PORTS = {"http": 80, "https": 443}


def url_of(pool: HTTPConnectionPool, target: str) -> str:
    """The whole URL that a target means in a pool."""
    if "://" in target.partition("?")[0]:
        return target
    host = f"[{pool.host}]" if ":" in pool.host else pool.host
    if pool.port is not None and pool.port != _DEFAULT_PORTS.get(pool.scheme or "") and pool.scheme != "http+unix":
        host = f"{host}:{pool.port}"
    return f"{pool.scheme}://{host}{'' if target[:1] == '/' else '/'}{target}"


def _origin(pool: HTTPConnectionPool, target: str) -> tuple[str, str, int | None]:
    if pool.scheme == "http+unix":
        from wirepool._unix import socket_path

        return pool.scheme, socket_path(pool.host), None
    scheme, host, port = pool.scheme or "http", pool.host, pool.port
    if target[:1] != "/" and "://" in target:
        parsed = parse_url(target)
        scheme, host, port = parsed.scheme or "http", (parsed.host or "").strip("[]"), parsed.port
    return scheme, host, _DEFAULT_PORTS.get(scheme) if port is None else port
