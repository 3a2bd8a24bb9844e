"""The standard library's http.client: one connection for each thread, and over TLS one context for it."""

from __future__ import annotations

import http.client
import sys
import zlib

from target import Target

label = "http.client"
version = sys.version.split()[0]
takes = "path"
shareable = False


def open(target: Target, threads: int) -> http.client.HTTPConnection:
    if target.scheme == "https":
        import ssl

        context = ssl.create_default_context(cafile=target.ca_file)
        return http.client.HTTPSConnection(target.host, target.port, context=context)
    return http.client.HTTPConnection(target.host, target.port)


def request(client: http.client.HTTPConnection, path: str) -> bytes:
    client.request("GET", path)
    return client.getresponse().read()


def upload(client: http.client.HTTPConnection, path: str) -> int:
    from source import FIELDS, opened  # not at the top: what a client imports by itself is measured

    client.request("PUT", path, body=opened(), headers=FIELDS)
    return len(client.getresponse().read())


def stream(client: http.client.HTTPConnection, path: str) -> int:
    client.request("GET", path)
    response = client.getresponse()
    return sum(map(len, iter(lambda: response.read(65536), b"")))


def readinto(client: http.client.HTTPConnection, path: str) -> int:
    client.request("GET", path)
    response, buffer = client.getresponse(), bytearray(65536)
    return sum(iter(lambda: response.readinto(buffer), 0))


chunked = stream


def gunzip(client: http.client.HTTPConnection, path: str) -> int:
    client.request("GET", path)
    response, decoder = client.getresponse(), zlib.decompressobj(31)
    return sum(len(decoder.decompress(part)) for part in iter(lambda: response.read(65536), b""))


def upload_chunked(client: http.client.HTTPConnection, path: str) -> int:
    from source import opened

    client.request("PUT", path, body=opened())
    return len(client.getresponse().read())


def close(client: http.client.HTTPConnection) -> None:
    client.close()
