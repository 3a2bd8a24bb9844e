"""httpx: one Client for all threads, with room for a connection each."""

from __future__ import annotations

import httpx
from target import Target

label = "httpx Client"
version = httpx.__version__
takes = "url"
shareable = True


def open(target: Target, threads: int) -> httpx.Client:
    limits = httpx.Limits(max_connections=threads, max_keepalive_connections=threads)
    if target.scheme == "https":
        import ssl

        return httpx.Client(limits=limits, proxy=target.proxy, verify=ssl.create_default_context(cafile=target.ca_file))
    return httpx.Client(limits=limits, proxy=target.proxy)


def request(client: httpx.Client, url: str) -> bytes:
    return client.get(url).content


def close(client: httpx.Client) -> None:
    client.close()
