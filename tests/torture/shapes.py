"""What is done while calls fail: requests of every main shape, each on a client of its own, and the corpus's responses.

A shape opens a client (a pool), may prepare it, and acts: that part is done under faults, and gives an answer that is
the same each time. Used by children; the servers are the parent's (``serving.py``), known by their URLs.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import wirepool
from wirepool.util.retry import Retry

TIMEOUT = 5.0


class Site(NamedTuple):
    """Where the servers are."""

    http: str
    https: str
    proxy: str
    ca: str


class Shape(NamedTuple):
    """One kind of request. ``act`` gets the client and an identity for what must not arrive twice."""

    open: Callable[[Site], contextlib.AbstractContextManager[Any]]
    act: Callable[[Any, str], Any]
    prepare: Callable[[Any], Any] = lambda pool: None
    closes: bool = False
    """Whether the end of the connection is, or may be taken for, the end of the answer."""
    secure: bool = False


# --- clients: at most one connection, so that a slot that is lost shows in the next request ---------------------------

OPTIONS: dict[str, Any] = {"maxsize": 1, "block": True, "timeout": TIMEOUT}


def plain(site: Site) -> Any:
    return wirepool.connection_from_url(site.http, **OPTIONS)


def secure(site: Site) -> Any:
    return wirepool.connection_from_url(site.https, ca_certs=site.ca, **OPTIONS)


@contextlib.contextmanager
def tunnelled(site: Site) -> Iterator[Any]:
    with wirepool.ProxyManager(site.proxy, ca_certs=site.ca, **OPTIONS) as manager:
        yield manager.connection_from_url(site.https)


@contextlib.contextmanager
def forwarded(site: Site) -> Iterator[Any]:
    """The plain server takes a whole URL as a target, too, and so is its own proxy."""
    with wirepool.ProxyManager(site.http, **OPTIONS) as manager:
        yield _Whole(manager, "http://origin.test")


@contextlib.contextmanager
def managed(site: Site) -> Iterator[Any]:
    with wirepool.PoolManager(**OPTIONS) as manager:
        yield _Whole(manager, site.http)


class _Whole:
    """A manager that is asked for paths, as a pool is."""

    def __init__(self, manager: wirepool.PoolManager, url: str) -> None:
        self._manager, self._url = manager, url

    def urlopen(self, method: str, path: str, **options: Any) -> Any:
        return self._manager.request(method, self._url + path, **options)


# --- requests ---------------------------------------------------------------------------------------------------------


def ask(pool: Any, method: str, path: str, **options: Any) -> Any:
    """Status and body of a request that is read at once."""
    options.setdefault("retries", False)
    reply = pool.urlopen(method, path, **options)
    return reply.status, reply.data


def get(pool: Any, identity: str) -> Any:
    return ask(pool, "GET", "/echo/get")


def get_with_retries(pool: Any, identity: str) -> Any:
    return ask(pool, "GET", "/echo/retried", retries=Retry(3))


def redirected(pool: Any, identity: str) -> Any:
    return ask(pool, "GET", "/redirect", retries=Retry(2))


def compressed(pool: Any, identity: str) -> Any:
    return ask(pool, "GET", "/gzip")


def streamed(pool: Any, identity: str) -> Any:
    """A chunked response, read in parts."""
    with contextlib.closing(pool.urlopen("GET", "/chunked", retries=False, preload_content=False)) as reply:
        return reply.status, b"".join(reply.stream(700)), sorted(reply.headers)


def long(pool: Any, identity: str) -> Any:
    return ask(pool, "GET", "/long")


def post(pool: Any, identity: str) -> Any:
    return ask(pool, "POST", f"/post/{identity}", body=b"x" * 3000, retries=None)[0]


def upload(pool: Any, identity: str) -> Any:
    """A body of unknown length."""
    return ask(pool, "POST", f"/post/{identity}", body=iter([b"a" * 1000, b"b", b"c" * 20000]), retries=None)[0]


def upload_file(pool: Any, identity: str) -> Any:
    return ask(pool, "POST", f"/post/{identity}", body=io.BytesIO(b"f" * 50000), retries=None)[0]


def once(pool: Any) -> Any:
    return ask(pool, "GET", "/echo/before")


SHAPES: dict[str, Shape] = {
    "get": Shape(plain, get),
    "get on a used connection": Shape(plain, get, once),
    "get with retries": Shape(plain, get_with_retries, once),
    "redirect": Shape(plain, redirected),
    "gzip": Shape(plain, compressed),
    "streamed response": Shape(plain, streamed),
    "long response": Shape(plain, long),
    "post": Shape(plain, post, once),
    "streamed upload": Shape(plain, upload),
    "file upload": Shape(plain, upload_file),
    "manager": Shape(managed, get),
    "tls": Shape(secure, get, secure=True),
    "tls on a used connection": Shape(secure, streamed, once, secure=True),
    "tls upload": Shape(secure, upload, secure=True),
    "proxy forwards": Shape(forwarded, get),
    "proxy tunnels": Shape(tunnelled, get, secure=True),
}


def of_case(name: str, method: str) -> Shape:
    """Asks for a case of the corpus; an error may be the right answer."""

    def act(pool: Any, identity: str) -> Any:
        reply = pool.urlopen(method, f"/case/{name}", retries=False, redirect=False)
        return reply.status, reply.data, reply.headers.items()

    return Shape(plain, act, closes=True)
