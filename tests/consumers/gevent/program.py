"""gevent: greenlets that fetch at the same time, by urllib3 and requests, with the standard library patched first."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import gc  # noqa: E402
import queue  # noqa: E402
import socket  # noqa: E402
import time  # noqa: E402

import gevent  # noqa: E402
import gevent.pool  # noqa: E402
import requests  # noqa: E402
import urllib3  # noqa: E402
from observing import chain, main, scene, servers  # noqa: E402
from requests.adapters import HTTPAdapter  # noqa: E402

SERVERS = ("echo", "nginx", "certs", "squid", "socks")

TIMEOUT = 5
DELAY = 0.2
GREENLETS = 10


def told(answer):
    headers = [(name, value) for name, value in answer.headers.items() if name not in ("Date", "Server")]
    return answer.status, answer.reason, answer.version, headers, answer.data


def failure(call):
    try:
        call()
    except Exception as error:
        return chain(error)
    except BaseException as error:
        return type(error)
    return "nothing"


def at_once(call, count=GREENLETS):
    """What ``count`` greenlets get, in order, and whether that took much less than one after the other."""
    began = time.monotonic()
    found = gevent.pool.Pool(count).map(call, range(count))
    return found, time.monotonic() - began < DELAY * count / 2


def slow(server=servers.echo):
    return f"{server.url}/slow?delay={DELAY}"


# --- at the same time -------------------------------------------------------------------------------------------------


@scene
def managers():
    with urllib3.PoolManager(maxsize=GREENLETS) as manager:
        found = at_once(lambda n: told(manager.request("GET", slow(), timeout=TIMEOUT)))
        again = at_once(lambda n: manager.request("GET", slow(), timeout=TIMEOUT).data)
        return found, again, manager.connection_from_url(servers.echo.url).num_connections


@scene
def managers_of_their_own():
    return at_once(lambda n: urllib3.PoolManager().request("GET", slow(), timeout=TIMEOUT).status)


@scene
def streamed():
    with urllib3.PoolManager(maxsize=GREENLETS) as manager:

        def call(n):
            options = {"preload_content": False, "timeout": TIMEOUT}
            with manager.request("GET", f"{servers.echo.url}/drip?n=5&delay={DELAY / 5}", **options) as got:
                return list(got.stream(2)), list(got.headers)[:2]

        return at_once(call)


@scene
def sessions():
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(pool_maxsize=GREENLETS))
        found = at_once(lambda n: session.get(slow(), timeout=TIMEOUT).content)
        alone = at_once(lambda n: requests.get(slow(), timeout=TIMEOUT).status_code)
        posted = at_once(lambda n: session.post(slow(), data=b"x" * 100_000, timeout=TIMEOUT).text)
        return found, alone, posted


@scene
def others_run_meanwhile():
    ticks = []

    def tick():
        while True:
            ticks.append(1)
            gevent.sleep(0.01)

    ticking = gevent.spawn(tick)
    urllib3.request("GET", slow(), timeout=TIMEOUT)
    first, _ = len(ticks), ticks.clear()
    requests.get(slow(), timeout=TIMEOUT)
    second = len(ticks)
    ticking.kill()
    return first > 5, second > 5


# --- slots ------------------------------------------------------------------------------------------------------------


@scene
def waiting_for_a_slot():
    """Two connections for six greenlets: three rounds."""
    with urllib3.connection_from_url(servers.echo.url, maxsize=2, block=True) as pool:
        began = time.monotonic()
        call = lambda n: pool.request("GET", f"/slow?delay={DELAY}", timeout=TIMEOUT).data  # noqa: E731
        found = gevent.pool.Pool(6).map(call, range(6))
        took = time.monotonic() - began
        return found, 2.5 * DELAY < took < 5 * DELAY, pool.num_connections, pool.num_requests


@scene
def waiting_in_vain():
    with urllib3.connection_from_url(servers.echo.url, maxsize=1, block=True) as pool:
        holding = gevent.spawn(lambda: pool.request("GET", slow(), timeout=TIMEOUT).data)
        gevent.sleep(0.05)
        found = failure(lambda: pool.request("GET", "/bytes/1", timeout=TIMEOUT, pool_timeout=0.05, retries=False))
        return found, holding.get(), isinstance(pool.pool, queue.Queue)


@scene
def sessions_that_block():
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(pool_maxsize=2, pool_block=True))
        return gevent.pool.Pool(6).map(lambda n: session.get(slow(), timeout=TIMEOUT).content, range(6))


# --- time-outs --------------------------------------------------------------------------------------------------------


@scene
def time_outs():
    began = time.monotonic()
    url = servers.echo.url + "/slow?delay=3"
    with urllib3.PoolManager() as manager:
        manager.request("GET", servers.echo.url + "/bytes/1", timeout=TIMEOUT)
        calls = [
            lambda: manager.request("GET", url, timeout=0.1, retries=False),
            lambda: manager.request("GET", url, timeout=urllib3.Timeout(total=0.1), retries=1),
            lambda: manager.request("GET", servers.echo.url + "/drip?n=5&delay=1", timeout=0.1, retries=False),
            lambda: requests.get(url, timeout=0.1),
            lambda: requests.get(url, timeout=(1, 0.1)),
        ]
        found = [greenlet.get() for greenlet in [gevent.spawn(failure, call) for call in calls]]
    return found, time.monotonic() - began < 1.5


@scene
def time_outs_of_gevent():
    """Raised wherever the greenlet is; the connection that it was in is not used again."""
    with urllib3.connection_from_url(servers.echo.url, maxsize=1, block=True) as pool:

        def call():
            with gevent.Timeout(0.1):
                pool.request("GET", slow(), timeout=TIMEOUT, retries=False)

        found = [failure(call)]
        found.append(pool.request("GET", "/bytes/3", timeout=TIMEOUT).data)
        return found, pool.num_connections, pool.pool.qsize()


@scene
def killed():
    with urllib3.connection_from_url(servers.echo.url, maxsize=1, block=True) as pool:
        greenlets = [gevent.spawn(pool.request, "GET", slow(), timeout=TIMEOUT) for _ in range(3)]
        gevent.sleep(0.05)
        for greenlet in greenlets:
            greenlet.kill()
        gc.collect()
        data = pool.request("GET", "/bytes/3", timeout=TIMEOUT).data
        return data, [type(greenlet.value) for greenlet in greenlets], pool.pool.qsize()


# --- TLS, proxies, names ----------------------------------------------------------------------------------------------


@scene
def tls():
    certs, url = servers.certs, servers.nginx.https_url + "/json"
    with urllib3.PoolManager(ca_certs=certs.ca_file, maxsize=GREENLETS) as manager, requests.Session() as session:
        session.verify = certs.ca_file
        options = {"preload_content": False, "timeout": TIMEOUT}
        with manager.request("GET", servers.nginx.https_url + "/10mb", **options) as got:
            kind = type(got.connection.sock).__module__
            size = sum(len(piece) for piece in got.stream(1 << 16))
        return (
            gevent.pool.Pool(6).map(lambda n: manager.request("GET", url, timeout=TIMEOUT).status, range(12)),
            gevent.pool.Pool(6).map(lambda n: session.get(url, timeout=TIMEOUT).status_code, range(12)),
            failure(lambda: urllib3.request("GET", url, timeout=TIMEOUT, retries=False)),
            failure(lambda: requests.get(url, timeout=TIMEOUT)),
            kind,
            size,
        )


@scene
def proxies():
    def through(proxy):
        with requests.Session() as session:
            session.verify, session.proxies = servers.certs.ca_file, {"http": proxy, "https": proxy}
            urls = [servers.nginx.url + "/json", servers.nginx.https_url + "/json"]
            return gevent.pool.Pool(4).map(lambda url: session.get(url, timeout=TIMEOUT).status_code, urls * 2)

    return [through(proxy) for proxy in (servers.squid.url, servers.squid.https_url, servers.socks.socks5)]


@scene
def errors():
    return [
        failure(lambda: urllib3.request("GET", "http://127.0.0.1:1/", retries=False, timeout=TIMEOUT)),
        failure(lambda: requests.get("http://127.0.0.1:1/", timeout=TIMEOUT)),
        failure(lambda: urllib3.request("GET", "http://127.0.0.1:1/", retries=2, timeout=TIMEOUT)),
    ]


@scene
def pauses_between_retries():
    """They let others run."""
    retry = urllib3.Retry(2, status_forcelist=[404], backoff_factor=DELAY, raise_on_status=False)
    return at_once(lambda n: urllib3.request("GET", servers.echo.url + "/status/404", retries=retry).status)


@scene
def whose_sockets():
    manager = urllib3.PoolManager()
    url = servers.echo.url + "/bytes/1"
    with manager, manager.request("GET", url, preload_content=False, timeout=TIMEOUT) as got:
        sock = got.connection.sock
        return type(sock), isinstance(sock, socket.socket), type(got)


main()
