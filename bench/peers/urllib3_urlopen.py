"""urllib3, the pool of one origin: ``HTTPConnectionPool.urlopen``."""

from __future__ import annotations

import urllib3
from target import Target

label = "urllib3 urlopen"
version = urllib3.__version__
takes = "path"
shareable = True


def open(target: Target, threads: int) -> urllib3.HTTPConnectionPool:
    return urllib3.HTTPConnectionPool(target.host, target.port, maxsize=threads)


def request(client: urllib3.HTTPConnectionPool, path: str) -> bytes:
    return client.urlopen("GET", path).data


def close(client: urllib3.HTTPConnectionPool) -> None:
    client.close()
