"""httpx: one Client for all threads, with room for a connection each."""

from __future__ import annotations

import httpx
from target import Target

label = "httpx Client"
version = httpx.__version__
takes = "url"
shareable = True


def open(target: Target, threads: int) -> httpx.Client:
    return httpx.Client(limits=httpx.Limits(max_connections=threads, max_keepalive_connections=threads))


def request(client: httpx.Client, url: str) -> bytes:
    return client.get(url).content


def close(client: httpx.Client) -> None:
    client.close()
