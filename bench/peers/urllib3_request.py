"""urllib3, the manager of many origins: ``PoolManager.request``."""

from __future__ import annotations

import urllib3
from target import Target

label = "urllib3 request"
version = urllib3.__version__
takes = "url"
shareable = True


def open(target: Target, threads: int) -> urllib3.PoolManager:
    return urllib3.PoolManager(maxsize=threads)


def request(client: urllib3.PoolManager, url: str) -> bytes:
    return client.request("GET", url).data


def close(client: urllib3.PoolManager) -> None:
    client.clear()
