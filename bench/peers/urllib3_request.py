"""urllib3, the manager of many origins: ``PoolManager.request``; with a proxy ``ProxyManager.request``."""

from __future__ import annotations

import urllib3
from target import Target

label = "urllib3 request"
version = urllib3.__version__
takes = "url"
shareable = True


def open(target: Target, threads: int) -> urllib3.PoolManager:
    if target.proxy:
        return urllib3.ProxyManager(target.proxy, maxsize=threads, ca_certs=target.ca_file)
    return urllib3.PoolManager(maxsize=threads, ca_certs=target.ca_file)


def request(client: urllib3.PoolManager, url: str) -> bytes:
    return client.request("GET", url).data


def close(client: urllib3.PoolManager) -> None:
    client.clear()
