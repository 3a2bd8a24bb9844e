"""Many origins: a pool for each, found by what makes requests interchangeable, and redirects from one to another.

The way of a request: split the URL at its path, find the pool by the part before, hand over the rest. A URL whose
origin was seen before and whose path needs no normalisation is not parsed at all (``_routes``); any other takes the
long way through :func:`~wirepool.util.parse_url` and the pool key.

Threading: shared. The map of pools has the one lock of this module; ``_routes`` is a cache whose races are benign.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urljoin

from wirepool import _gear
from wirepool._base_connection import ProxyConfig
from wirepool._collections import HTTPHeaderDict, RecentlyUsedContainer
from wirepool._core.headers_out import is_plain_target
from wirepool._core.watch import Watch
from wirepool._request_methods import RequestMethods
from wirepool._retrying import rewind, without
from wirepool.connectionpool import HTTPConnectionPool, port_by_scheme
from wirepool.exceptions import LocationParseError, LocationValueError, MaxRetryError, URLSchemeUnknown
from wirepool.response import BaseHTTPResponse
from wirepool.util.proxy import connection_requires_http_tunnel
from wirepool.util.request import set_file_position
from wirepool.util.retry import Retry
from wirepool.util.timeout import Timeout
from wirepool.util.url import Url, parse_url

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Literal, Self

__all__ = ["PoolManager"]

log = logging.getLogger(__name__)

SSL_KEYWORDS = (
    "key_file",
    "cert_file",
    "cert_reqs",
    "ca_certs",
    "ca_cert_data",
    "ssl_version",
    "ssl_minimum_version",
    "ssl_maximum_version",
    "ca_cert_dir",
    "ssl_context",
    "key_password",
    "server_hostname",
    "assert_hostname",
    "assert_fingerprint",
)
_DEFAULT_BLOCKSIZE = 16384

# More spellings of origins than this are not worth remembering for each pool.
_ROUTES_PER_POOL = 4
# Services ask for the same few URLs again and again; who asks for each URL once pays little for remembering it.
_KNOWN_TARGETS = 256


class PoolKey(NamedTuple):
    """All that two requests must agree on to use the same pool."""

    key_scheme: str
    key_host: str
    key_port: int | None
    key_timeout: Timeout | float | int | None
    key_retries: Retry | bool | int | None
    key_block: bool | None
    key_source_address: tuple[str, int] | None
    key_key_file: str | None
    key_key_password: str | None
    key_cert_file: str | None
    key_cert_reqs: str | None
    key_ca_certs: str | None
    key_ca_cert_data: str | bytes | None
    key_ssl_version: int | str | None
    key_ssl_minimum_version: ssl.TLSVersion | None
    key_ssl_maximum_version: ssl.TLSVersion | None
    key_ca_cert_dir: str | None
    key_ssl_context: ssl.SSLContext | None
    key_maxsize: int | None
    key_headers: frozenset[tuple[str, str]] | None
    key__proxy: Url | None
    key__proxy_headers: frozenset[tuple[str, str]] | None
    key__proxy_config: ProxyConfig | None
    key_socket_options: tuple[tuple[int, int, int | bytes], ...] | None
    key__socks_options: frozenset[tuple[str, str]] | None
    key_assert_hostname: bool | str | None
    key_assert_fingerprint: str | None
    key_server_hostname: str | None
    key_blocksize: int | None


def _default_key_normalizer(key_class: type[PoolKey], request_context: dict[str, Any]) -> PoolKey:
    """The key for a request context: host and scheme in lower case, unhashable values in a hashable form.

    :raises TypeError: the context has a key that ``key_class`` does not know.
    """
    context = request_context.copy()
    context["scheme"] = context["scheme"].lower()
    context["host"] = context["host"].lower()
    for name in ("headers", "_proxy_headers", "_socks_options"):
        if context.get(name) is not None:
            context[name] = frozenset(context[name].items())
    if context.get("socket_options") is not None:
        context["socket_options"] = tuple(context["socket_options"])
    fields = {f"key_{name}": value for name, value in context.items()}
    for name in key_class._fields:
        fields.setdefault(name, None)
    if fields["key_blocksize"] is None:
        fields["key_blocksize"] = _DEFAULT_BLOCKSIZE
    return key_class(**fields)


#: How a request context becomes a key, by scheme. A manager has a copy of its own.
key_fn_by_scheme = {
    "http": functools.partial(_default_key_normalizer, PoolKey),
    "https": functools.partial(_default_key_normalizer, PoolKey),
}

#: The pool classes by scheme, shared by all managers that have none of their own.
pool_classes_by_scheme: dict[str, Any] = {"http": HTTPConnectionPool}

# What the short way of urlopen() leaves out.
_SEAMS = (
    "connection_from_host",
    "connection_from_context",
    "connection_from_pool_key",
    "_merge_pool_kwargs",
    "_new_pool",
    "_proxy_requires_url_absolute_form",
)


class PoolManager(RequestMethods):
    """Makes requests to any origin, with a pool for each.

    :param num_pools: how many pools are kept; the one that was used longest ago goes first.
    :param headers: header fields of requests that bring none.
    :param connection_pool_kw: for the pools, see :class:`~wirepool.HTTPConnectionPool`.

    ::

        http = PoolManager(num_pools=50, maxsize=16)
        response = http.request("GET", "http://example.org/")
    """

    proxy: Url | None = None
    proxy_config: ProxyConfig | None = None

    def __init__(
        self, num_pools: int = 10, headers: Mapping[str, str] | None = None, **connection_pool_kw: Any
    ) -> None:
        super().__init__(headers)
        if "retries" in connection_pool_kw and not isinstance(connection_pool_kw["retries"], Retry):
            connection_pool_kw["retries"] = Retry.from_int(connection_pool_kw["retries"], redirect=True)
        self.connection_pool_kw = connection_pool_kw
        self.pools: RecentlyUsedContainer[PoolKey, Any] = RecentlyUsedContainer(num_pools, self._forget_pool)
        self.pool_classes_by_scheme = pool_classes_by_scheme
        self.key_fn_by_scheme = key_fn_by_scheme.copy()
        # Origin as it was spelled -> (pool, key); valid for the container and the keywords below.
        self._routes: dict[str, tuple[Any, PoolKey]] = {}
        # URL -> (route, target), for the same time.
        self._targets: dict[str, tuple[tuple[Any, PoolKey], str]] = {}
        self._routes_of: tuple[Any, dict[str, Any]] = (None, {})
        self._newest: Any = None
        self._watch = _watch_for(type(self))

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

    def _new_pool(self, scheme: str, host: str, port: int, request_context: dict[str, Any] | None = None) -> Any:
        """A pool for an origin; may be overridden."""
        pool_class = self.pool_classes_by_scheme[scheme]
        context = dict(self.connection_pool_kw if request_context is None else request_context)
        if context.get("blocksize") is None:
            context["blocksize"] = _DEFAULT_BLOCKSIZE
        for name in ("scheme", "host", "port"):
            context.pop(name, None)
        if scheme == "http":
            for name in SSL_KEYWORDS:
                context.pop(name, None)
        return pool_class(host, port, **context)

    def clear(self) -> None:
        """Forget all pools. Their idle connections are closed; requests under way go on."""
        self.pools.clear()

    def _forget_pool(self, pool: Any) -> None:
        """A pool left the container: no request may be routed to it any more."""
        self._newest = None
        self._targets.clear()
        for origin, route in list(self._routes.items()):
            if route[0] is pool:
                self._routes.pop(origin, None)

    def connection_from_host(
        self,
        host: str | None,
        port: int | None = None,
        scheme: str | None = "http",
        pool_kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """The pool for an origin.

        :param pool_kwargs: override this manager's keywords; a value of None takes one away.
        :raises LocationValueError: there is no host.
        """
        if not host:
            raise LocationValueError("No host specified.")
        context = self._merge_pool_kwargs(pool_kwargs)
        context["scheme"] = scheme or "http"
        context["port"] = port or port_by_scheme.get(context["scheme"].lower(), 80)
        context["host"] = host
        return self.connection_from_context(context)

    def connection_from_context(self, request_context: dict[str, Any]) -> Any:
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
        return self.connection_from_pool_key(key_fn(request_context), request_context=request_context)

    def connection_from_pool_key(self, pool_key: PoolKey, request_context: dict[str, Any]) -> Any:
        """The pool for a key, made if there is none."""
        self._newest = None  # the container moves its entries
        with self.pools.lock:
            pool = self.pools.get(pool_key)
            if pool:
                return pool
            scheme = request_context["scheme"].lower()
            if scheme not in self.pool_classes_by_scheme:
                raise URLSchemeUnknown(scheme)
            pool = self._new_pool(
                scheme, request_context["host"], request_context["port"], request_context=request_context
            )
            self.pools[pool_key] = pool
        return pool

    def connection_from_url(self, url: str, pool_kwargs: dict[str, Any] | None = None) -> Any:
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

    # ------------------------------------------------------------ the short way

    def _routes_hold(self) -> bool:
        """Whether container and keywords are those that the routes were learned with."""
        pools, keywords = self._routes_of
        return pools is self.pools and bool(keywords == self.connection_pool_kw)

    def _lookup(self, url: str) -> tuple[tuple[Any, PoolKey], str] | None:
        """Route and target of a URL whose origin was seen before and whose path needs no second look."""
        slash = url.find("/", 8)
        route = self._routes.get(url[:slash])
        if route is None or not is_plain_target(target := url[slash:]):
            return None
        if len(self._targets) >= _KNOWN_TARGETS:
            self._targets.clear()
        self._targets[url] = known = (route, target)
        return known

    def _forget_routes(self) -> None:
        self._routes.clear()
        self._targets.clear()

    def _touch(self, route: tuple[Any, PoolKey]) -> bool:
        """Mark a pool as the one used last; false if it is not in the container any more."""
        pool, key = route
        if self.pools.get(key) is not pool:
            return False
        self._newest = route
        return True

    def _learn_route(self, url: str, parsed: Url, pool: Any) -> None:
        """Remember which pool an origin belongs to, if requests for it may take the short way."""
        origin = url[: max(url.find("/", 8), 0)]
        if not origin or parsed.auth is not None or not self._watch(self) or type(pool) is not HTTPConnectionPool:
            return
        if not origin.startswith("http://") or not all(_is_plain_value(v) for v in self.connection_pool_kw.values()):
            return
        if not self._routes_hold():
            self._forget_routes()
            self._routes_of = (self.pools, self.connection_pool_kw.copy())
        if len(self._routes) >= _ROUTES_PER_POOL * max(self.pools._maxsize, 1):
            self._forget_routes()
        context = {**self.connection_pool_kw, "scheme": "http", "host": parsed.host, "port": parsed.port or 80}
        key = self.key_fn_by_scheme["http"](context)
        if self.pools.get(key) is pool:
            self._routes[origin] = (pool, key)

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
                (pool, _), target = known
            else:
                pool, target = self._pool_and_target(url)
            headers = kw.pop("headers") if "headers" in kw else self.headers
            if kw:
                if redirect and kw.get("body") is not None:
                    kw["body_pos"] = set_file_position(kw["body"], kw.get("body_pos"))
                response = pool.urlopen(method, target, headers=headers, redirect=False, assert_same_host=False, **kw)
            else:  # by position: names cost a tenth of the whole call
                response = pool.urlopen(method, target, None, headers, None, False, False)
            if response.status < 300 or not redirect:
                return response  # type: ignore[no-any-return]
            kw["headers"] = headers
            following = self._following(method, url, response, kw)
            if following is None:
                return response  # type: ignore[no-any-return]
            method, url = following
            if self._is_overridden("urlopen"):
                return self.urlopen(method, url, redirect=redirect, **kw)

    def _is_overridden(self, name: str) -> bool:
        return getattr(type(self), name) is not getattr(PoolManager, name) or name in self.__dict__

    def _pool_and_target(self, url: str) -> tuple[Any, str]:
        """The long way: parse the URL, look the pool up by its key."""
        parsed = parse_url(url)
        if parsed.scheme is None:
            import warnings

            warnings.warn(
                f"the URL {url!r} has no scheme and is taken for http; a later version will refuse it, "
                "so write http:// or https:// in front",
                category=FutureWarning,
                stacklevel=3,
            )
        pool = self.connection_from_host(parsed.host, port=parsed.port, scheme=parsed.scheme)
        self._learn_route(url, parsed, pool)
        if self._proxy_requires_url_absolute_form(parsed):
            return pool, parsed._replace(fragment=None).url
        return pool, parsed.request_uri

    def _following(
        self, method: str, url: str, response: BaseHTTPResponse, kw: dict[str, Any]
    ) -> tuple[str, str] | None:
        """Where a redirect leads, and with which method; None if the response is to be returned. Fits ``kw`` to it."""
        location = response.get_redirect_location()
        if not location:
            return None
        try:
            location = urljoin(url, str(location))
        except ValueError:
            raise LocationParseError(str(location)) from None
        if response.status == 303:
            method = "GET"
            kw["body"] = None
            kw["headers"] = HTTPHeaderDict(kw["headers"])._prepare_for_method_change()
            kw.pop("body_pos", None)
            kw["chunked"] = False
        retries = kw.get("retries")
        if retries is None and isinstance(response.retries, Retry):
            retries = response.retries
        if not isinstance(retries, Retry):
            retries = Retry.from_int(retries, redirect=True)
        pool = response._pool  # type: ignore[attr-defined]
        if retries.remove_headers_on_redirect and not pool.is_same_host(location):
            kw["headers"] = without(kw["headers"], retries.remove_headers_on_redirect)
        try:
            retries = retries.increment(method, url, response=response, _pool=pool)
        except MaxRetryError:
            if retries.raise_on_redirect:
                response.drain_conn()
                raise
            return None
        kw["retries"] = retries
        log.info("Redirecting %s -> %s", url, location)
        response.drain_conn()
        if kw.get("body") is not None:
            rewind(kw["body"], kw.get("body_pos"))
        return method, location


def _is_plain_value(value: object) -> bool:
    """Whether a keyword's value cannot change its meaning in place: then an equal one means the same pool."""
    return value is None or isinstance(value, (str, bytes, int, float, tuple, Retry, Timeout))


_watches: dict[type, Watch] = {}


def _watch_for(cls: type) -> Watch:
    """Tells whether the steps that the short way leaves out are ours, in a class and in an object of it."""
    watch = _watches.get(cls)
    if watch is None:
        watch = _watches[cls] = _gear.watch_methods(cls, PoolManager, _SEAMS)
    return watch


_gear.note_originals(PoolManager, _SEAMS)
