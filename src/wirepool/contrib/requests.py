"""One ``requests.Session`` on wirepool, the rest of the process left as it is.

::

    import requests
    from wirepool.contrib.requests import WirepoolAdapter

    session = requests.Session()
    session.mount("https://", WirepoolAdapter())
    session.mount("http://", WirepoolAdapter())

All that requests promises holds: its exceptions, cookies, proxies, certificates, streaming, redirects. What
``response.raw`` raises is an exception of wirepool and of urllib3 at once. Needs requests 2.32 or newer.

Threading: shared, as far as requests' sessions are; the caches below are dictionaries whose races are benign.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable
from typing import Any

try:
    import requests
    from requests import adapters as _adapters
    from requests import exceptions as _errors
except ImportError as error:
    raise ImportError(
        "wirepool.contrib.requests needs requests 2.32 or newer: pip install 'requests>=2.32'", name="requests"
    ) from error

if not hasattr(_adapters.HTTPAdapter, "get_connection_with_tls_context"):
    raise ImportError(
        f"wirepool.contrib.requests needs requests 2.32 or newer, this is {getattr(requests, '__version__', 'older')}",
        name="requests",
    )

from requests.cookies import RequestsCookieJar, extract_cookies_to_jar
from requests.structures import CaseInsensitiveDict as _Headers
from requests.utils import get_auth_from_url, get_encoding_from_headers, select_proxy
from urllib3.exceptions import LocationValueError as _TheirLocationValueError

from wirepool import _gear
from wirepool._core.head import joined
from wirepool._core.headers_out import is_plain_target
from wirepool.contrib._either_pool import understanding
from wirepool.contrib._from_urllib3 import is_retry, is_timeout, our_retry, our_timeout, passing_for_theirs
from wirepool.contrib._twins import become, twin_of
from wirepool.exceptions import (
    ClosedPoolError,
    ConnectTimeoutError,
    HTTPError,
    InsecureRequestWarning,
    InvalidHeader,
    LocationValueError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    ResponseError,
    SSLError,
)
from wirepool.poolmanager import PoolManager, proxy_from_url
from wirepool.response import HTTPResponse
from wirepool.util.retry import Retry
from wirepool.util.timeout import Timeout

__all__ = ["WirepoolAdapter"]

_NO_LIMIT = Timeout(connect=None, read=None)
_THEIR_SEND = _adapters.HTTPAdapter.send
_INSECURE = twin_of(InsecureRequestWarning)

# Origins, as their URLs spell them, that one adapter remembers the pools of.
_KNOWN_ORIGINS = 256

# What an adapter's short way leaves out.
_SEAMS = (
    "build_connection_pool_key_attributes",
    "cert_verify",
    "get_connection",
    "get_connection_with_tls_context",
    "proxy_manager_for",
    "request_url",
)


# ---------------------------------------------------------------- errors


def _requests_error(error: Exception, request: Any) -> Exception:
    """What requests raises in place of an error of a pool; the error itself if requests lets it through."""
    if isinstance(error, MaxRetryError):
        return _no_retry_left(error, request)
    if isinstance(error, (ProtocolError, OSError, ClosedPoolError)):
        return _errors.ConnectionError(error, request=request)
    if isinstance(error, ProxyError):
        return _errors.ProxyError(error)
    for kind, meaning in _MEANINGS:
        if isinstance(error, kind):
            found: Exception = meaning(error, request=request)
            return found
    return error


_MEANINGS: tuple[tuple[type[Exception], Any], ...] = (
    (SSLError, _errors.SSLError),
    (ReadTimeoutError, _errors.ReadTimeout),
    (InvalidHeader, _errors.InvalidHeader),
)


def _no_retry_left(error: MaxRetryError, request: Any) -> Exception:
    reason = error.reason
    meaning: Any = _errors.ConnectionError
    if isinstance(reason, ConnectTimeoutError) and not isinstance(reason, NewConnectionError):
        meaning = _errors.ConnectTimeout
    elif isinstance(reason, ResponseError):
        meaning = _errors.RetryError
    elif isinstance(reason, ProxyError):
        meaning = _errors.ProxyError
    elif isinstance(reason, SSLError):
        meaning = _errors.SSLError
    found: Exception = meaning(error, request=request)
    return found


# ---------------------------------------------------------------- responses


class _Raw(HTTPResponse):
    """``response.raw``: its errors are of both libraries."""

    __module__ = HTTPResponse.__module__
    __qualname__ = HTTPResponse.__qualname__

    def _raise_meaning(self, exc: BaseException) -> Any:
        try:
            super()._raise_meaning(exc)
        except HTTPError as error:
            become(error)
            raise

    def _run_decoder(self, *args: Any) -> bytes:
        try:
            return super()._run_decoder(*args)
        except HTTPError as error:
            become(error)
            raise


_Response = requests.Response
_START = _Response.__init__
_OWN = {"headers": _Headers, "cookies": RequestsCookieJar, "history": list}
_SHARED = (type(None), bool, int, str, datetime.timedelta)


def _blank() -> dict[str, Any] | None:
    """What all new responses have in common, or None if that is not all of what they have but ``_OWN``."""
    made = vars(_Response())
    own = {name: made.pop(name, None) for name in _OWN}
    is_known = all(type(value) is _OWN[name] for name, value in own.items())
    return made if is_known and all(isinstance(value, _SHARED) for value in made.values()) else None


_BLANK = _blank()


def _new_response() -> requests.Response:
    """As the class makes one. Its header fields are to be set; making empty ones is half of what it takes there."""
    cls = requests.Response
    if cls is not _Response or cls.__init__ is not _START or _BLANK is None:
        return cls()
    response = cls.__new__(cls)
    response.__dict__ = {**_BLANK, "cookies": RequestsCookieJar(), "history": []}
    return response


def _headers_of(fields: dict[str, tuple[str, str]]) -> _Headers[str]:
    """A mapping of requests around the fields, which are in the form in which it keeps them."""
    headers = _Headers.__new__(_Headers)
    headers._store = fields  # type: ignore[assignment]
    return headers


@functools.lru_cache(maxsize=256)  # of what servers send
def _encoding_of(content_type: str) -> str | None:
    return get_encoding_from_headers({"content-type": content_type})  # type: ignore[arg-type]


def _limits_of(timeout: Any) -> Any:
    """What requests calls a timeout, as a pool wants it."""
    if timeout is None:
        return _NO_LIMIT
    if isinstance(timeout, tuple):
        try:
            connect, read = timeout
        except ValueError:
            raise ValueError(f"timeout={timeout!r}: a tuple has two items, (connect, read) in seconds") from None
        return Timeout(connect=connect, read=read)
    return our_timeout(timeout) if is_timeout(timeout) else Timeout(connect=timeout, read=timeout)


def _policy(retries: Any) -> Any:
    """An object of the user's stays what it is; see WirepoolAdapter._retries."""
    return retries if is_retry(retries) else Retry.from_int(retries)


def _socks_manager(proxy: str, options: dict[str, Any]) -> Any:
    try:
        from wirepool.contrib.socks import SOCKSProxyManager
    except ImportError as error:
        raise _errors.InvalidSchema("SOCKS proxies need PySocks: pip install 'wirepool[socks]'") from error
    username, password = get_auth_from_url(proxy)
    return SOCKSProxyManager(proxy, username=username, password=password, **options)


def _tls_attributes(pool: Any) -> tuple[Any, ...] | None:
    """What cert_verify sets on a pool."""
    if pool.scheme != "https":
        return None
    return pool.cert_reqs, pool.ca_certs, pool.ca_cert_dir, pool.cert_file, pool.key_file


class _Forget:
    """Called with each pool that leaves a manager: whoever remembers it would keep its connections open."""

    def __init__(self, known: dict[Any, tuple[PoolManager, Any, Any]], before: Callable[[Any], Any] | None) -> None:
        self._known = known
        self._before = before

    def __call__(self, pool: Any) -> None:
        for origin, (_, route, _) in list(self._known.items()):
            if route[0] is pool:
                self._known.pop(origin, None)
        if self._before is not None:
            self._before(pool)


# ---------------------------------------------------------------- the adapter


class WirepoolAdapter(_adapters.HTTPAdapter):
    """A transport adapter for :class:`requests.Session` that runs on wirepool.

    A subclass may override whatever it may override of :class:`requests.adapters.HTTPAdapter`. If its
    ``init_poolmanager`` makes a manager of urllib3, requests run on that.

    :param pool_connections: how many pools are kept, of one origin each.
    :param pool_maxsize: how many connections a pool keeps.
    :param max_retries: a number of retries for connections that do not come about, or a ``Retry``, wirepool's or
        urllib3's.
    :param pool_block: make no more than ``pool_maxsize`` connections to an origin at a time.
    :param pool_kwargs: for :class:`~wirepool.PoolManager` and proxies' managers, such as ``resolve=``.

    ``timeout=`` of requests may be a ``Timeout``, too, wirepool's or urllib3's.
    """

    __attrs__ = [*_adapters.HTTPAdapter.__attrs__, "_pool_kwargs"]

    _pool_kwargs: dict[str, Any]

    def __init__(
        self,
        pool_connections: int = _adapters.DEFAULT_POOLSIZE,
        pool_maxsize: int = _adapters.DEFAULT_POOLSIZE,
        max_retries: Any = _adapters.DEFAULT_RETRIES,
        pool_block: bool = _adapters.DEFAULT_POOLBLOCK,
        **pool_kwargs: Any,
    ) -> None:
        self._pool_kwargs = pool_kwargs
        self._start()
        super().__init__(pool_connections, pool_maxsize, 0, pool_block)
        # Not even a refused connection is tried again by default, and what was sent never.
        self.max_retries: Any = Retry(0, read=False) if max_retries == 0 else _policy(max_retries)

    def _start(self) -> None:
        # Origin, with verify and cert if they are special -> manager, its route to the pool, the pool's TLS attributes.
        self._known: dict[Any, tuple[PoolManager, Any, Any]] = {}
        self._is_plain = _gear.watch_methods(type(self), WirepoolAdapter, _SEAMS).allows
        self._converted: tuple[Any, dict[str, Any], Retry] | None = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._start()
        self._pool_kwargs = state["_pool_kwargs"] or {}
        super().__setstate__(state)

    # ------------------------------------------------------------ managers

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        """Make the :class:`~wirepool.PoolManager`; for subclasses that add keywords."""
        self._pool_connections = connections
        self._pool_maxsize = maxsize
        self._pool_block = block
        options = {**self._pool_kwargs, **pool_kwargs}
        self.poolmanager: Any = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **options)

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        """The manager for a proxy, made when it is first needed.

        :raises requests.exceptions.InvalidSchema: a SOCKS proxy, without PySocks.
        """
        manager = self.proxy_manager.get(proxy)
        if manager is None:
            sizes = {"num_pools": self._pool_connections, "maxsize": self._pool_maxsize, "block": self._pool_block}
            options = {**sizes, **self._pool_kwargs, **proxy_kwargs}
            if proxy.lower().startswith("socks"):
                manager = _socks_manager(proxy, options)
            else:
                manager = proxy_from_url(proxy, proxy_headers=self.proxy_headers(proxy), **options)
            self.proxy_manager[proxy] = manager
        return manager

    # ------------------------------------------------------------ sending

    def send(
        self,
        request: Any,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Send a prepared request; called by the session.

        :raises requests.exceptions.RequestException: as requests' own adapter does, wirepool's error as the cause.
        """
        if _adapters.HTTPAdapter.send is not _THEIR_SEND:
            # Tests that replace it, to answer in a server's place, mean every request.
            limits: Any = passing_for_theirs(timeout) if isinstance(timeout, Timeout) else timeout
            return super().send(request, stream, limits, verify, cert, proxies)
        pool, target = self._way_of(request, verify, cert, proxies)
        self.add_headers(request, stream=stream, timeout=timeout, verify=verify, cert=cert, proxies=proxies)
        headers = request.headers
        body = request.body
        limits = _limits_of(timeout)
        try:
            raw = pool.urlopen(
                request.method,
                target,
                body,
                # Its fields one by one are what this mapping is slow at.
                dict(headers._store.values()) if type(headers) is _Headers and pool.proxy is None else headers,
                self._retries(),
                redirect=False,
                assert_same_host=False,
                timeout=limits,
                chunked=body is not None and "Content-Length" not in headers,
                preload_content=False,
                decode_content=False,
            )
        except (HTTPError, OSError) as error:
            meaning = _requests_error(become(error), request)
            if meaning is error:
                raise
            raise meaning from error
        if type(raw) is HTTPResponse:
            raw.__class__ = _Raw
        return self.build_response(request, raw)

    def _retries(self) -> Retry:
        """The policy as wirepool needs it. Programs set the attribute, too."""
        retries: Any = self.max_retries
        if type(retries) is Retry:
            return retries
        known = self._converted
        if known is None or known[0] is not retries or known[1] != getattr(retries, "__dict__", {}):
            known = (retries, dict(getattr(retries, "__dict__", {})), our_retry(retries))
            self._converted = known
        return known[2]

    # ------------------------------------------------------------ from a request to a pool

    def _way_of(self, request: Any, verify: Any, cert: Any, proxies: Any) -> tuple[Any, str]:
        """The pool for a request, and the target to ask it for."""
        url = request.url
        if not self._is_plain(self) or type(url) is not str or (proxies and select_proxy(url, proxies)):
            return self._long_way_of(request, verify, cert, proxies)
        slash = url.find("/", 8)
        target = url[slash:]
        if slash < 0 or url[-1] == "?" or not is_plain_target(target):
            return self._long_way_of(request, verify, cert, proxies)
        origin = url[:slash] if verify is True and cert is None else (url[:slash], str(verify), str(cert))
        known = self._known.get(origin)
        if known is not None:
            manager, route, attributes = known
            if (
                manager is self.poolmanager
                and (route is manager._newest or manager._touch(route))
                and (attributes is None or _tls_attributes(route[0]) == attributes)
            ):
                return route[0], target
        way = self._long_way_of(request, verify, cert, proxies)
        self._learn(origin, way[0])
        return way

    def _learn(self, origin: Any, pool: Any) -> None:
        """Remember which pool an origin belongs to, and how it verifies."""
        manager = self.poolmanager
        if not isinstance(manager, PoolManager) or manager.trust_env:  # which may change its mind
            return
        if len(self._known) >= _KNOWN_ORIGINS:
            self._known.clear()
        pools = manager.pools
        with pools.lock:
            if type(pools.dispose_func) is not _Forget:
                pools.dispose_func = _Forget(self._known, pools.dispose_func)
            keys = [key for key, value in pools._container.items() if value is pool]
            if keys:
                self._known[origin] = (manager, (pool, keys[0], None), _tls_attributes(pool))

    def _long_way_of(self, request: Any, verify: Any, cert: Any, proxies: Any) -> tuple[Any, str]:
        """By the steps of requests' own adapter, each of which a subclass may override."""
        try:
            pool = self.get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
        except (LocationValueError, _TheirLocationValueError) as error:
            raise _errors.InvalidURL(become(error), request=request) from error
        understanding(pool)  # a subclass may have it from anywhere
        self.cert_verify(pool, request.url, verify, cert)
        return pool, self.request_url(request, proxies)

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        """The pool for a request; for subclasses."""
        # None, too, verifies nothing, and must not share connections with what does.
        pool: Any = super().get_connection_with_tls_context(request, verify or False, proxies=proxies, cert=cert)
        if pool.scheme == "https":
            pool._unverified_warning = _INSECURE
        return understanding(pool)

    # ------------------------------------------------------------ from a pool's response to requests'

    def build_response(self, req: Any, resp: Any) -> requests.Response:
        """The response that the user gets, for one of a pool; for subclasses."""
        if type(resp) is HTTPResponse:  # asked for by requests' own send()
            resp.__class__ = _Raw
        if type(resp) is not _Raw or resp._head is None:
            return super().build_response(req, resp)
        response = _new_response()
        response.raw = resp
        response.status_code = resp.status
        response.reason = resp.reason or ""
        response.request = req
        response.connection = self
        url: Any = req.url
        response.url = url.decode("utf-8") if isinstance(url, bytes) else url
        fields = joined(resp._head)
        response.headers = _headers_of(fields)
        content_type = fields.get("content-type")
        if content_type is not None:
            response.encoding = _encoding_of(content_type[1])
        if "set-cookie" in fields:
            extract_cookies_to_jar(response.cookies, req, resp)
        return response


_gear.note_originals(WirepoolAdapter, _SEAMS)
