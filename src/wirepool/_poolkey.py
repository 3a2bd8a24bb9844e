"""What makes requests interchangeable: the key under which a manager keeps a pool.

Two requests share a pool if their keys are equal: same origin, same options. An option that is not part of the key
cannot be given at all, so that no connection is ever used under other rules than it was made by.

Threading: frozen.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

from wirepool import _hooks
from wirepool._lookup import check_resolver, pins

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable

    from wirepool._base_connection import ProxyConfig
    from wirepool.util.retry import Retry
    from wirepool.util.timeout import Timeout
    from wirepool.util.url import Url

__all__ = ["SSL_KEYWORDS", "PoolKey", "key_fn_by_scheme"]

#: What means nothing to pools of plain HTTP.
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
    # Ours
    "cert_data",
    "key_data",
    "ssl_resumption",
)
_DEFAULT_BLOCKSIZE = 16384


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
    # Ours; with defaults, for those who make keys themselves
    key_cert_data: str | bytes | None = None
    key_key_data: str | bytes | None = None
    key_ssl_resumption: bool | None = None
    key_resolver: Callable[[str, int], Iterable[str]] | _Itself | None = None
    key_resolve: frozenset[tuple[tuple[str, int], tuple[str, ...]]] | None = None
    key_on_request: tuple[Any, ...] | None = None
    key_on_response: tuple[Any, ...] | None = None
    key_on_retry: tuple[Any, ...] | None = None
    key_on_connect: tuple[Any, ...] | None = None


class _Itself:
    """Stands in a key for an object that has no hash; equal to what stands for the same object."""

    __slots__ = ("_it",)

    def __init__(self, it: object) -> None:
        self._it = it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and other._it is self._it

    def __hash__(self) -> int:
        return id(self._it)


def _key_of_resolver(resolver: Any) -> Any:
    check_resolver(resolver)
    return _hashable(resolver)


def _hashable(it: Any) -> Any:
    return it if getattr(it, "__hash__", None) is not None else _Itself(it)


def _default_key_normalizer(key_class: type[PoolKey], request_context: dict[str, Any]) -> PoolKey:
    """The key for a request context: host and scheme in lower case, unhashable values in a hashable form.

    :raises TypeError: the context has a key that ``key_class`` does not know.
    :raises ValueError: ``resolver`` or ``resolve`` are none.
    """
    context = request_context.copy()
    context["scheme"] = context["scheme"].lower()
    if context["scheme"] in ("http", "https"):
        context["host"] = context["host"].lower()  # any other, e.g. the path of a unix socket, may differ by case
    for name in ("headers", "_proxy_headers", "_socks_options"):
        if context.get(name) is not None:
            context[name] = frozenset(context[name].items())
    if context.get("socket_options") is not None:
        context["socket_options"] = tuple(context["socket_options"])
    if context.get("resolver") is not None:
        context["resolver"] = _key_of_resolver(context["resolver"])
    if context.get("resolve") is not None:
        context["resolve"] = frozenset(pins(context["resolve"]).items())
    for name in _hooks.NAMES:
        if name in context:
            context[name] = tuple(map(_hashable, _hooks.as_hooks(name, context[name]))) or None
    if context.get("blocksize") is None:
        context["blocksize"] = _DEFAULT_BLOCKSIZE
    known = _options(key_class)  # type: ignore[arg-type]
    key = key_class._make(map(context.get, known))
    if not context.keys() <= known.keys():
        key_class(**{f"key_{name}": value for name, value in context.items()})  # tells of the first it does not know
    return key


@functools.cache
def _options(key_class: type[PoolKey]) -> dict[str, None]:
    """The names that a request context may have, in the order of the key."""
    return dict.fromkeys(name.removeprefix("key_") for name in key_class._fields)


#: How a request context becomes a key, by scheme. A manager has a copy of its own.
key_fn_by_scheme = {
    "http": functools.partial(_default_key_normalizer, PoolKey),
    "https": functools.partial(_default_key_normalizer, PoolKey),
}
