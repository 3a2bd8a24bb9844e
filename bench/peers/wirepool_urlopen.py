"""wirepool, the pool of one origin: ``HTTPConnectionPool.urlopen``, ``HTTPSConnectionPool.urlopen``."""

from __future__ import annotations

from target import Target

import wirepool

label = "wirepool urlopen"
version = wirepool.__version__
takes = "path"
shareable = True


def open(target: Target, threads: int) -> wirepool.HTTPConnectionPool:
    if target.scheme == "https":
        return wirepool.HTTPSConnectionPool(target.host, target.port, maxsize=threads, ca_certs=target.ca_file)
    return wirepool.HTTPConnectionPool(target.host, target.port, maxsize=threads)


def request(client: wirepool.HTTPConnectionPool, path: str) -> bytes:
    return client.urlopen("GET", path).data


def upload(client: wirepool.HTTPConnectionPool, path: str) -> int:
    from source import FIELDS, opened  # not at the top: what a client imports by itself is measured

    return len(client.urlopen("PUT", path, body=opened(), headers=FIELDS).data)


def stream(client: wirepool.HTTPConnectionPool, path: str) -> int:
    return sum(map(len, client.urlopen("GET", path, preload_content=False).stream(65536)))


def readinto(client: wirepool.HTTPConnectionPool, path: str) -> int:
    response, buffer = client.urlopen("GET", path, preload_content=False), bytearray(65536)
    return sum(iter(lambda: response.readinto(buffer), 0))


def chunked(client: wirepool.HTTPConnectionPool, path: str) -> int:
    return sum(map(len, client.urlopen("GET", path, preload_content=False).read_chunked(65536)))


def gunzip(client: wirepool.HTTPConnectionPool, path: str) -> int:
    return stream(client, path)


def upload_chunked(client: wirepool.HTTPConnectionPool, path: str) -> int:
    from source import opened

    return len(client.urlopen("PUT", path, body=opened()).data)


def close(client: wirepool.HTTPConnectionPool) -> None:
    client.close()
