"""wirepool, the manager of many origins: ``PoolManager.request``."""

from __future__ import annotations

from target import Target

import wirepool

label = "wirepool request"
version = wirepool.__version__
takes = "url"
shareable = True


def open(target: Target, threads: int) -> wirepool.PoolManager:
    return wirepool.PoolManager(maxsize=threads)


def request(client: wirepool.PoolManager, url: str) -> bytes:
    return client.request("GET", url).data


def close(client: wirepool.PoolManager) -> None:
    client.clear()
