"""urllib3, the pool of one origin: ``HTTPConnectionPool.urlopen``, ``HTTPSConnectionPool.urlopen``."""

from __future__ import annotations

import urllib3
from target import Target

label = "urllib3 urlopen"
version = urllib3.__version__
takes = "path"
shareable = True


def open(target: Target, threads: int) -> urllib3.HTTPConnectionPool:
    if target.scheme == "https":
        return urllib3.HTTPSConnectionPool(target.host, target.port, maxsize=threads, ca_certs=target.ca_file)
    return urllib3.HTTPConnectionPool(target.host, target.port, maxsize=threads)


def request(client: urllib3.HTTPConnectionPool, path: str) -> bytes:
    return client.urlopen("GET", path).data


def upload(client: urllib3.HTTPConnectionPool, path: str) -> int:
    from source import FIELDS, opened  # not at the top: what a client imports by itself is measured

    return len(client.urlopen("PUT", path, body=opened(), headers=FIELDS).data)


def stream(client: urllib3.HTTPConnectionPool, path: str) -> int:
    return sum(map(len, client.urlopen("GET", path, preload_content=False).stream(65536)))


def readinto(client: urllib3.HTTPConnectionPool, path: str) -> int:
    response, buffer = client.urlopen("GET", path, preload_content=False), bytearray(65536)
    return sum(iter(lambda: response.readinto(buffer), 0))


def chunked(client: urllib3.HTTPConnectionPool, path: str) -> int:
    return sum(map(len, client.urlopen("GET", path, preload_content=False).read_chunked(65536)))


def gunzip(client: urllib3.HTTPConnectionPool, path: str) -> int:
    return stream(client, path)


def upload_chunked(client: urllib3.HTTPConnectionPool, path: str) -> int:
    from source import opened

    return len(client.urlopen("PUT", path, body=opened()).data)


def close(client: urllib3.HTTPConnectionPool) -> None:
    client.close()
