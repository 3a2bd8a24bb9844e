"""Many origins: a pool for each, found by what makes requests interchangeable, and redirects from one to another.

The way of a request: split the URL at its path, find the pool by the part before, hand over the rest. A URL whose
origin was seen before and whose path needs no normalisation is not parsed at all (``_routes``); any other takes the
long way through :func:`~wirepool.util.parse_url` and the pool key.

Threading: shared. The map of pools has the one lock of this module; ``_routes`` is a cache whose races are benign.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin as urljoin

from wirepool import _fork, _gear, _hooks
from wirepool._base_connection import ProxyConfig
from wirepool._collections import HTTPHeaderDict, RecentlyUsedContainer
from wirepool._core.headers_out import is_plain_target
from wirepool._core.watch import Watch
from wirepool._identity import logger_name
from wirepool._poolkey import _DEFAULT_BLOCKSIZE as _DEFAULT_BLOCKSIZE
from wirepool._poolkey import SSL_KEYWORDS as SSL_KEYWORDS
from wirepool._poolkey import PoolKey as PoolKey
from wirepool._poolkey import _default_key_normalizer as _default_key_normalizer
from wirepool._poolkey import key_fn_by_scheme as key_fn_by_scheme
from wirepool._reexports import reexports
from wirepool._request_methods import RequestMethods
from wirepool._retrying import joined, rewind, without
from wirepool._unix import SCHEME as _UNIX
from wirepool._unix import check_redirect
from wirepool.connectionpool import (
    HTTPConnectionPool,
    HTTPSConnectionPool,
    UnixHTTPConnectionPool,
    _origin_of,
    _url_from_pool,
    port_by_scheme,
)
from wirepool.exceptions import (
    LocationValueError,
    MaxRetryError,
    ProxySchemeUnknown,
    URLSchemeUnknown,
)
from wirepool.response import BaseHTTPResponse, HTTPResponse
from wirepool.util.proxy import connection_requires_http_tunnel
from wirepool.util.request import set_file_position
from wirepool.util.retry import Retry
from wirepool.util.timeout import Timeout
from wirepool.util.url import Url, parse_url
from wirepool.util.util import to_str

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Literal, Self
else:
    __getattr__ = reexports(__name__)

__all__ = ["PoolManager", "ProxyManager", "proxy_from_url"]

log = logging.getLogger(logger_name(__name__))

# More spellings of origins than this are not worth remembering for each pool.
_ROUTES_PER_POOL = 4
# Services ask for the same few URLs again and again; who asks for each URL once pays little for remembering it.
_KNOWN_TARGETS = 256
# What requests asks a pool for before each request; one entry an origin and set of options.
_KNOWN_KEYS = 256

#: The pool classes by scheme, shared by all managers that have none of their own.
pool_classes_by_scheme: dict[str, Any] = {
    "http": HTTPConnectionPool,
    "https": HTTPSConnectionPool,
}


# Where requests to an origin go: pool, its key, and the origin's Host if it is a proxy that forwards them. A plain
# tuple: a named one takes a tenth of a request longer to take apart.
_Route = tuple[Any, PoolKey, "str | None"]

# What the short way of urlopen() leaves out.
_SEAMS = (
    "connection_from_host",
    "connection_from_context",
    "connection_from_pool_key",
    "_merge_pool_kwargs",
    "_new_pool",
    "_proxy_requires_url_absolute_form",
    "_set_proxy_headers",
)


class PoolManager(RequestMethods):
    """Makes requests to any origin, with a pool for each.

    :param num_pools: how many pools are kept; the one that was used longest ago goes first.
    :param headers: header fields of requests that bring none.
    :param connection_pool_kw: for the pools, see :class:`~wirepool.HTTPConnectionPool` and
        :class:`~wirepool.HTTPSConnectionPool`; and ``trust_env=True``: go through the proxies that the environment
        names (``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY``, in either case), asked at each request;
        ``unix_sockets=True``: serve ``http+unix://`` URLs, which reach the daemons of this machine.
        Hooks (``on_request`` ...) hold for all pools of this manager, and are its attributes, too.

    ::

        http = PoolManager(num_pools=50, maxsize=16)
        response = http.request("GET", "http://example.org/")
    """

    proxy: Url | None = None
    proxy_config: ProxyConfig | None = None

    on_request = _hooks.Slot()
    on_response = _hooks.Slot()
    on_retry = _hooks.Slot()
    on_connect = _hooks.Slot()
    # Its pools refer to it, and not to the manager, which can be dropped with them.
    _registered: _hooks.Registered | None = None

    def __init__(
        self, num_pools: int = 10, headers: Mapping[str, str] | None = None, **connection_pool_kw: Any
    ) -> None:
        super().__init__(headers)
        self.trust_env: bool = connection_pool_kw.pop("trust_env", False)
        unix_sockets = connection_pool_kw.pop("unix_sockets", False)
        self._registered = _hooks.taken_from(connection_pool_kw)
        # Managers for the proxies that the environment named, by URL.
        self._by_proxy: dict[str, PoolManager] = {}
        if "retries" in connection_pool_kw and not isinstance(connection_pool_kw["retries"], Retry):
            connection_pool_kw["retries"] = Retry.from_int(connection_pool_kw["retries"], redirect=True)
        self.connection_pool_kw = connection_pool_kw
        self.pools: RecentlyUsedContainer[PoolKey, Any] = RecentlyUsedContainer(num_pools, self._forget_pool)
        self.pool_classes_by_scheme = pool_classes_by_scheme
        self.key_fn_by_scheme = key_fn_by_scheme.copy()
        if unix_sockets:
            self.pool_classes_by_scheme = {**pool_classes_by_scheme, _UNIX: UnixHTTPConnectionPool}
            self.key_fn_by_scheme[_UNIX] = key_fn_by_scheme["http"]
        # Origin as it was spelled -> route; valid for the container and the keywords below.
        self._routes: dict[str, _Route] = {}
        # URL -> (route, target), for the same time.
        self._targets: dict[str, tuple[_Route, str]] = {}
        self._routes_of: tuple[Any, dict[str, Any]] = (None, {})
        self._newest: Any = None
        # What connection_from_host() was asked for -> route, and what that holds for.
        self._asked: dict[tuple[Any, ...], tuple[_Route, str, Any, Any, dict[str, Any]]] = {}
        # Request context -> key.
        self._keys: dict[tuple[Any, ...], PoolKey] = {}
        self._watch = _watch_for(type(self)).allows
        _fork.note_manager(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> Literal[False]:
        self.clear()
        return False

    # ------------------------------------------------------------ pools

    def _new_pool(
        self, scheme: str, host: str, port: int, request_context: dict[str, Any] | None = None
    ) -> HTTPConnectionPool:
        """A pool for an origin; may be overridden."""
        pool_class: type[HTTPConnectionPool] = self.pool_classes_by_scheme[scheme]
        context = dict(self.connection_pool_kw if request_context is None else request_context)
        if context.get("blocksize") is None:
            context["blocksize"] = _DEFAULT_BLOCKSIZE
        for name in ("scheme", "host", "port"):
            context.pop(name, None)
        if scheme != "https":
            for name in SSL_KEYWORDS:
                context.pop(name, None)
        return pool_class(host, port, **context)

    def clear(self) -> None:
        """Forget all pools. Their idle connections are closed; requests under way go on."""
        self.pools.clear()
        self._keys.clear()
        self._asked.clear()
        for manager in list(self._by_proxy.values()):
            manager.clear()
        self._by_proxy.clear()

    def _forget_pool(self, pool: Any) -> None:
        """A pool left the container: no request may be routed to it any more."""
        self._newest = None
        self._targets.clear()
        for origin, route in list(self._routes.items()):
            if route[0] is pool:
                self._routes.pop(origin, None)
        for asked, known in list(self._asked.items()):
            if known[0][0] is pool:
                self._asked.pop(asked, None)

    def connection_from_host(
        self,
        host: str | None,
        port: int | None = None,
        scheme: str | None = "http",
        pool_kwargs: dict[str, Any] | None = None,
    ) -> HTTPConnectionPool:
        """The pool for an origin.

        :param pool_kwargs: override this manager's keywords; a value of None takes one away.
        :raises LocationValueError: there is no host.
        """
        asked = (host, port, scheme, *pool_kwargs.items()) if pool_kwargs else (host, port, scheme)
        known = self._asked_before(asked)
        if known is not None:
            return known  # type: ignore[no-any-return]
        if not host:
            raise LocationValueError("No host specified.")
        if self.trust_env:
            manager = self._manager_for(scheme or "http", host, port)
            if manager is not self:
                return manager.connection_from_host(host, port, scheme, pool_kwargs)
        context = self._merge_pool_kwargs(pool_kwargs)
        context["scheme"] = scheme or "http"
        context["port"] = port_by_scheme.get(context["scheme"].lower(), 80) if port is None else port
        context["host"] = host
        is_lasting = "strict" not in context  # which is warned of each time
        pool = self.connection_from_context(context)
        if is_lasting:
            self._learn_asked(asked, context, pool)
        return pool

    def _asked_before(self, asked: tuple[Any, ...]) -> Any:
        """The pool that :meth:`connection_from_host` has given for the same, if all stands by which it was found.

        requests asks for one before each request.
        """
        try:
            known = self._asked.get(asked)
        except TypeError:  # something in it has no hash
            return None
        if known is None or not self._watch(self):
            return None
        route, scheme, key_fn, pools, keywords = known
        if (
            pools is not self.pools
            or keywords != self.connection_pool_kw
            or self.key_fn_by_scheme.get(scheme) is not key_fn
            or self.trust_env
            or not (route is self._newest or self._touch(route))
        ):
            return None
        return route[0]

    def _learn_asked(self, asked: tuple[Any, ...], context: dict[str, Any], pool: Any) -> None:
        keywords = self.connection_pool_kw
        if self.trust_env or not self._watch(self) or not all(map(_is_plain_value, keywords.values())):
            return
        scheme = context["scheme"].lower()
        key_fn = self.key_fn_by_scheme[scheme]
        try:
            hash(asked)
        except TypeError:
            return
        route = (pool, self._key_of(key_fn, context), None)
        if len(self._asked) >= _KNOWN_KEYS:
            self._asked.clear()
        self._asked[asked] = (route, scheme, key_fn, self.pools, _copy(keywords))
        if not self._touch(route):  # dropped in between
            self._asked.pop(asked, None)

    def connection_from_context(self, request_context: dict[str, Any]) -> HTTPConnectionPool:
        """The pool for a context: the pool's keywords with ``scheme``, ``host`` and ``port``.

        :raises URLSchemeUnknown: there are no pools for the scheme.
        """
        if "strict" in request_context:
            import warnings

            warnings.warn(
                "'strict' means nothing since Python 2 and is left out; a later version will refuse it",
                FutureWarning,
                stacklevel=2,
            )
            request_context.pop("strict")
        scheme = request_context["scheme"].lower()
        key_fn = self.key_fn_by_scheme.get(scheme)
        if not key_fn:
            raise URLSchemeUnknown(scheme)
        return self.connection_from_pool_key(self._key_of(key_fn, request_context), request_context=request_context)

    def _key_of(self, key_fn: Any, request_context: dict[str, Any]) -> PoolKey:
        """``key_fn(request_context)``, remembered: some ask for a pool before each request."""
        context = (key_fn, *request_context.items())
        try:
            key = self._keys.get(context)
        except TypeError:  # something in it has no hash
            return key_fn(request_context)  # type: ignore[no-any-return]
        if key is None:
            if len(self._keys) >= _KNOWN_KEYS:
                self._keys.clear()
            key = self._keys[context] = key_fn(request_context)
        return key

    def connection_from_pool_key(self, pool_key: PoolKey, request_context: dict[str, Any]) -> HTTPConnectionPool:
        """The pool for a key, made if there is none."""
        pools = self.pools
        gone: list[Any] = []
        with pools.lock:
            pool: HTTPConnectionPool | None = pools.get(pool_key)
            if not pool:
                pool = self._new_pool_for(request_context)
                if type(pools) is RecentlyUsedContainer:
                    gone = pools._store(pool_key, pool)
                else:
                    pools[pool_key] = pool
        self._newest = None  # the container has moved its entries
        if gone:
            pools._dispose(gone)  # not under the lock, under which nothing may be finalized either
        return pool

    def _new_pool_for(self, request_context: dict[str, Any]) -> HTTPConnectionPool:
        scheme = request_context["scheme"].lower()
        if scheme not in self.pool_classes_by_scheme:
            raise URLSchemeUnknown(scheme)
        pool = self._new_pool(scheme, request_context["host"], request_context["port"], request_context=request_context)
        if isinstance(pool, HTTPConnectionPool):
            _hooks.adopt(pool, self._registered)
        return pool

    def connection_from_url(self, url: str, pool_kwargs: dict[str, Any] | None = None) -> HTTPConnectionPool:
        """The pool for a URL's origin; arguments as for :meth:`connection_from_host`."""
        parsed = parse_url(url)
        return self.connection_from_host(parsed.host, port=parsed.port, scheme=parsed.scheme, pool_kwargs=pool_kwargs)

    def _merge_pool_kwargs(self, override: dict[str, Any] | None) -> dict[str, Any]:
        """This manager's keywords with others put over them; None takes away."""
        merged = self.connection_pool_kw.copy()
        for name, value in (override or {}).items():
            if value is None:
                merged.pop(name, None)
            else:
                merged[name] = value
        return merged

    def _proxy_requires_url_absolute_form(self, parsed_url: Url) -> bool:
        """Whether the proxy is to be told the whole URL."""
        if self.proxy is None:
            return False
        return not connection_requires_http_tunnel(self.proxy, self.proxy_config, parsed_url.scheme)

    # ------------------------------------------------------------ proxies

    def _manager_for(self, scheme: str, host: str, port: int | None) -> PoolManager:
        """The manager whose pools lead to an origin: this one, or one for the proxy that the environment names."""
        from wirepool._environment import proxy_for

        if self.proxy is not None or scheme not in ("http", "https"):
            return self
        proxy = proxy_for(scheme, host, port or port_by_scheme[scheme])
        return self if proxy is None else self._manager_by(proxy)

    def _manager_by(self, proxy: str) -> PoolManager:
        manager = self._by_proxy.get(proxy)
        if manager is None:
            if len(self._by_proxy) >= _PROXIES:
                self._by_proxy.clear()
            # Of two that were made at the same time one is used by all, or there would be two pools for an origin.
            manager = self._by_proxy.setdefault(proxy, self._new_manager_by(proxy))
        return manager

    def _new_manager_by(self, proxy: str) -> PoolManager:
        num_pools = self.pools._maxsize
        if proxy.lower().startswith("socks"):
            from wirepool.contrib.socks import SOCKSProxyManager

            manager: PoolManager = SOCKSProxyManager(
                proxy, num_pools=num_pools, headers=self.headers, **self.connection_pool_kw
            )
        else:
            manager = ProxyManager(proxy, num_pools=num_pools, headers=self.headers, **self.connection_pool_kw)
            manager.pool_classes_by_scheme = self.pool_classes_by_scheme
            manager.key_fn_by_scheme = self.key_fn_by_scheme
        manager._registered = self._registered
        return manager

    def _outgoing(self, url: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The header fields for a request, with what the way to its origin adds."""
        return headers

    # ------------------------------------------------------------ the short way

    def _routes_hold(self) -> bool:
        """Whether container and keywords are those that the routes were learned with."""
        pools, keywords = self._routes_of
        return pools is self.pools and bool(keywords == self.connection_pool_kw)

    def _lookup(self, url: str) -> tuple[_Route, str] | None:
        """Route and target of a URL whose origin was seen before and whose path needs no second look."""
        slash = url.find("/", 8)
        route = self._routes.get(origin := url[:slash])
        if route is None or not is_plain_target(target := url[slash:]):
            return None
        if len(self._targets) >= _KNOWN_TARGETS:
            self._targets.clear()
        self._targets[url] = known = (route, target if route[2] is None else url)
        if self._routes.get(origin) is not route:  # the pool left the container meanwhile: nothing may keep it alive
            self._targets.pop(url, None)
        return known

    def _forget_routes(self) -> None:
        self._routes.clear()
        self._targets.clear()

    def _touch(self, route: _Route) -> bool:
        """Mark a pool as the one used last; false if it is not in the container any more."""
        pool, key, _ = route
        self._newest = route  # first: should the pool leave the container now, _forget_pool() takes it back
        if self.pools.get(key) is not pool:
            self._newest = None
            return False
        return True

    def _learn_route(self, url: str, parsed: Url, pool: Any) -> None:
        """Remember which pool an origin belongs to, if requests for it may take the short way."""
        origin = url[: max(url.find("/", 8), 0)]
        if self.trust_env:  # which may change its mind
            return
        if not origin or parsed.auth is not None or not self._watch(self) or type(pool) not in _PLAIN_POOLS:
            return
        scheme = origin[: origin.find("://")]
        if scheme not in ("http", "https") or not all(_is_plain_value(v) for v in self.connection_pool_kw.values()):
            return
        if not self._routes_hold():
            self._forget_routes()
            self._routes_of = (self.pools, _copy(self.connection_pool_kw))
        if len(self._routes) >= _ROUTES_PER_POOL * max(self.pools._maxsize, 1):
            self._forget_routes()
        host = parsed.netloc if self._proxy_requires_url_absolute_form(parsed) else None
        to: Any = parsed if host is None else self.proxy
        port = port_by_scheme[to.scheme] if to.port is None else to.port
        key = self.key_fn_by_scheme[to.scheme](
            {**self.connection_pool_kw, "scheme": to.scheme, "host": to.host, "port": port}
        )
        self._routes[origin] = (pool, key, host)  # first, as in _touch()
        if self.pools.get(key) is not pool:
            self._routes.pop(origin, None)

    # ------------------------------------------------------------ requests

    def urlopen(  # type: ignore[override]
        self, method: str, url: str, redirect: bool = True, **kw: Any
    ) -> BaseHTTPResponse:
        """Make a request; arguments as for :meth:`HTTPConnectionPool.urlopen`.

        Redirects to other origins are followed; credentials are not taken along
        (``Retry.remove_headers_on_redirect``).
        """
        while True:
            known = self._targets.get(url) or self._lookup(url)
            if (
                known is not None
                and self._watch(self)
                and self._routes_of[0] is self.pools
                and self._routes_of[1] == self.connection_pool_kw
                and (known[0] is self._newest or self._touch(known[0]))
            ):
                (pool, _, host), target = known
                headers = fields = kw.pop("headers") if "headers" in kw else self.headers
                if host is not None:
                    fields = _for_forwarding(host, headers)
            else:
                known = None
                manager, pool, target = self._way_to(url)
                headers = kw.pop("headers") if "headers" in kw else self.headers
                fields = manager._outgoing(url, headers)
            plain = known is not None and _urlopen_is_ours(pool)
            if kw or not plain:
                if redirect and kw.get("body") is not None:
                    start = set_file_position(kw["body"], kw.get("body_pos"))
                kw["assert_same_host"] = False
                response = pool.urlopen(method, target, headers=fields, redirect=False, **kw)
            else:  # by position: names cost a tenth of the whole call
                response = pool.urlopen(method, target, None, fields, None, False, False)
            if (plain and response.status < 300) or not redirect:
                return response  # type: ignore[no-any-return]
            kw["headers"] = headers
            kw["assert_same_host"] = False
            if kw.get("body") is not None:  # only now: what cannot be set back can still be sent once
                kw["body_pos"] = start
            following = self._following(method, url, response, kw)
            if following is None:
                return response  # type: ignore[no-any-return]
            method, url = following
            if type(self).urlopen is not _URLOPEN or "urlopen" in self.__dict__:  # then it is called for each redirect
                return self.urlopen(method, url, redirect=redirect, **kw)

    def _way_to(self, url: str) -> tuple[PoolManager, Any, str]:
        """The long way: parse the URL, look the pool up by its key. Whose pool it is, the pool, and the target."""
        parsed = parse_url(url)
        if parsed.scheme is None:
            import warnings

            warnings.warn(
                f"the URL {url!r} has no scheme and is taken for http; a later version will refuse it, "
                "so write http:// or https:// in front",
                category=FutureWarning,
                stacklevel=3,
            )
            parsed = parsed._replace(scheme="http")
        manager = self
        if self.trust_env and parsed.host:
            manager = self._manager_for(parsed.scheme or "http", parsed.host, parsed.port)
        pool = manager.connection_from_host(parsed.host, port=parsed.port, scheme=parsed.scheme)
        if manager is self:
            self._learn_route(url, parsed, pool)
        if manager._proxy_requires_url_absolute_form(parsed):
            return manager, pool, parsed._replace(fragment=None).url
        return manager, pool, parsed.request_uri

    def _following(
        self, method: str, url: str, response: BaseHTTPResponse, kw: dict[str, Any]
    ) -> tuple[str, str] | None:
        """Where a redirect leads, and with which method; None if the response is to be returned. Fits ``kw`` to it."""
        location = response.get_redirect_location()
        if not location:
            return None
        sent = method
        if response.status == 303:
            method = "GET"
        retries = kw.get("retries")
        if retries is None and isinstance(response.retries, Retry):
            retries = response.retries
        if not isinstance(retries, Retry):
            retries = Retry.from_int(retries, redirect=True)
        pool = response._pool  # type: ignore[attr-defined]
        try:
            kw["retries"] = retries.increment(method, url, response=response, _pool=pool)
        except MaxRetryError:
            if retries.raise_on_redirect:
                response.drain_conn()
                raise
            return None
        response.drain_conn()
        location = joined(url, str(location))
        log.info("Redirecting %s -> %s", url, location)
        check_redirect(url, location)
        hooks = getattr(pool, "_hooks", None)
        if hooks is not None:
            hooks.tell_of_retry(pool, "redirect", sent, url, kw["retries"], 0.0, None, response, location)
        if response.status == 303:
            kw.update(body=None, body_pos=None, chunked=False)
            kw["headers"] = HTTPHeaderDict(kw["headers"])._prepare_for_method_change()
        if retries.remove_headers_on_redirect and not _stays(pool, url, location):
            kw["headers"] = without(kw["headers"], retries.remove_headers_on_redirect)
        if kw.get("body") is not None:
            rewind(kw["body"], kw.get("body_pos"))
        return method, location


class ProxyManager(PoolManager):
    """A :class:`PoolManager` whose requests go through a proxy.

    To ``https`` origins a tunnel is opened (``CONNECT``), in which TLS is spoken with the origin; requests to ``http``
    origins are forwarded by the proxy, over connections that all such origins share.

    :param proxy_url: ``http://`` or ``https://`` (TLS on the way to the proxy). User and password in it are sent to the
        proxy (Basic, RFC 7617) unless ``proxy_headers`` has a ``Proxy-Authorization``. Or a pool for the proxy's host.
    :param proxy_headers: fields for the proxy: sent with ``CONNECT``, and with each request that is forwarded.
    :param proxy_ssl_context: for TLS with the proxy. Without one, the manager's CA certificates, ``cert_reqs`` and
        versions of TLS hold for the proxy, too, and for requests that it forwards the manager's ``ssl_context``, unless
        a client certificate is given beside it; no name, fingerprint or certificate that is for origins does.
    :param use_forwarding_for_https: let an ``https`` proxy forward requests for ``https`` origins as well: it sees and
        may change all of them, and verifying the origin is its business.
    :param proxy_assert_hostname: the name that the proxy's certificate must be for; False for any.
    :param proxy_assert_fingerprint: of the proxy's certificate.
    :raises ProxySchemeUnknown: another scheme. For SOCKS there is ``contrib.socks``.
    """

    def __init__(
        self,
        proxy_url: str,
        num_pools: int = 10,
        headers: Mapping[str, str] | None = None,
        proxy_headers: Mapping[str, str] | None = None,
        proxy_ssl_context: ssl.SSLContext | None = None,
        use_forwarding_for_https: bool = False,
        proxy_assert_hostname: str | Literal[False] | None = None,
        proxy_assert_fingerprint: str | None = None,
        **connection_pool_kw: Any,
    ) -> None:
        self.proxy = _parse_proxy(proxy_url)
        self.proxy_headers = _with_credentials(proxy_headers or {}, self.proxy)
        self.proxy_ssl_context = proxy_ssl_context
        self.proxy_config = ProxyConfig(
            proxy_ssl_context, use_forwarding_for_https, proxy_assert_hostname, proxy_assert_fingerprint
        )
        if self.proxy.scheme == "https" and use_forwarding_for_https and "ssl_context" in connection_pool_kw:
            _warn_of_unused_context()
        connection_pool_kw["_proxy"] = self.proxy
        connection_pool_kw["_proxy_headers"] = self.proxy_headers
        connection_pool_kw["_proxy_config"] = self.proxy_config
        super().__init__(num_pools, headers, **connection_pool_kw)

    def connection_from_host(
        self,
        host: str | None,
        port: int | None = None,
        scheme: str | None = "http",
        pool_kwargs: dict[str, Any] | None = None,
    ) -> HTTPConnectionPool:
        """The pool for an origin; all ``http`` origins share the one to the proxy."""
        if scheme == "https" or self.proxy is None:
            return super().connection_from_host(host, port, scheme, pool_kwargs=pool_kwargs)
        if not host:
            raise LocationValueError("No host specified.")
        if scheme == _UNIX:  # no proxy can reach the sockets of this machine, or has to know of them
            raise URLSchemeUnknown(scheme)
        proxy = self.proxy
        return super().connection_from_host(proxy.host, proxy.port, proxy.scheme, pool_kwargs=pool_kwargs)

    def _set_proxy_headers(self, url: str, headers: Mapping[str, str] | None = None) -> Mapping[str, str]:
        """The header fields of a request that is forwarded: the user's, and ``Accept`` and ``Host`` if he has none."""
        return _for_forwarding(parse_url(url).netloc, headers)

    def _outgoing(self, url: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        if connection_requires_http_tunnel(self.proxy, self.proxy_config, parse_url(url).scheme or "http"):
            return headers
        return self._set_proxy_headers(url, headers)


def proxy_from_url(url: str, **kw: Any) -> ProxyManager:
    """A manager for the proxy at ``url``; arguments as for :class:`ProxyManager`."""
    return ProxyManager(proxy_url=url, **kw)


def _parse_proxy(proxy_url: str | HTTPConnectionPool) -> Url:
    if isinstance(proxy_url, HTTPConnectionPool):
        proxy_url = _url_from_pool(proxy_url)
    proxy = parse_url(proxy_url)
    if proxy.scheme not in ("http", "https"):
        raise ProxySchemeUnknown(proxy.scheme)
    return proxy if proxy.port is not None else proxy._replace(port=port_by_scheme[proxy.scheme])


def _with_credentials(headers: Mapping[str, str], proxy: Url) -> Mapping[str, str]:
    from wirepool._environment import basic_credentials

    credentials = basic_credentials(proxy)
    if credentials is None or any(name.lower() == "proxy-authorization" for name in headers):
        return headers
    return {**headers, "Proxy-Authorization": credentials}


def _for_forwarding(host: str | None, headers: Mapping[str, str] | None) -> Mapping[str, str]:
    """Header fields with those that a proxy should get, but for those that are there, in whatever case."""
    fields = {"Accept": "*/*"}
    if host:
        fields["Host"] = host
    if headers:
        given = {to_str(name) for name in headers}  # "in" may not tell cases apart, and the update must
        lowered = {name.lower() for name in given}
        fields = {name: value for name, value in fields.items() if name in given or name.lower() not in lowered}
        fields.update(headers)
    return fields


def _warn_of_unused_context() -> None:
    import warnings

    warnings.warn(
        "'ssl_context' is for TLS with origins, and use_forwarding_for_https leaves that to the proxy: give the "
        "context for the proxy as 'proxy_ssl_context'; a later version will refuse this",
        category=FutureWarning,
        stacklevel=3,
    )


_PLAIN_POOLS = frozenset({HTTPConnectionPool, HTTPSConnectionPool})
# Proxies that the environment may name over time; more than this is a program that changes it in a loop.
_PROXIES = 16


def _stays(pool: Any, url: str, location: str) -> bool:
    """Whether a redirect leads to the same origin, through whatever proxy."""
    if pool.proxy is None:
        return bool(pool.is_same_host(location))
    return _origin_of(url) == _origin_of(location)


def _is_plain_value(value: object) -> bool:
    """Whether a keyword's value cannot change its meaning in place: then an equal one means the same pool."""
    if value is None or isinstance(value, (str, bytes, int, float, tuple, Retry, Timeout)):
        return True
    if type(value) in (dict, list):  # of which the routes have a copy
        return True
    return type(value).__eq__ is object.__eq__  # equal only to itself, and so is the pool's key


def _copy(keywords: dict[str, Any]) -> dict[str, Any]:
    """Keywords that stay as they are when somebody changes what they refer to."""
    return {name: value.copy() if type(value) in (dict, list) else value for name, value in keywords.items()}


_watches: dict[type, Watch] = {}
_FUNCTIONS = ((globals(), "parse_url", parse_url),)


def _watch_for(cls: type) -> Watch:
    """Tells whether the steps that the short way leaves out are ours, in a class and in an object of it."""
    watch = _watches.get(cls)
    if watch is None:
        base = ProxyManager if issubclass(cls, ProxyManager) else PoolManager
        watch = _watches[cls] = _gear.watch_methods(cls, base, _SEAMS, _FUNCTIONS)
    return watch


_URLOPEN = PoolManager.urlopen

_gear.note_originals(PoolManager, _SEAMS)
_gear.note_originals(ProxyManager, _SEAMS)
_gear.note_originals(HTTPConnectionPool, ("urlopen",))
# Whoever replaces it may know its arguments by name only. Looked up in the subclass, it is found replaced in either.
_urlopen_is_ours = _gear.watch_methods(
    HTTPSConnectionPool, HTTPConnectionPool, ("urlopen",), more=((HTTPResponse, "get_redirect_location"),)
).allows
