"""wirepool, the manager of many origins: ``PoolManager.request``; with a proxy ``ProxyManager.request``."""

from __future__ import annotations

from target import Target

import wirepool

label = "wirepool request"
version = wirepool.__version__
takes = "url"
shareable = True


def open(target: Target, threads: int) -> wirepool.PoolManager:
    if target.proxy:
        return wirepool.ProxyManager(target.proxy, maxsize=threads, ca_certs=target.ca_file)
    return wirepool.PoolManager(maxsize=threads, ca_certs=target.ca_file)


def request(client: wirepool.PoolManager, url: str) -> bytes:
    return client.request("GET", url).data


def close(client: wirepool.PoolManager) -> None:
    client.clear()
