"""The standard library's http.client: one connection for each thread."""

from __future__ import annotations

import http.client
import platform

from target import Target

label = "http.client"
version = platform.python_version()
takes = "path"
shareable = False


def open(target: Target, threads: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(target.host, target.port)


def request(client: http.client.HTTPConnection, path: str) -> bytes:
    client.request("GET", path)
    return client.getresponse().read()


def close(client: http.client.HTTPConnection) -> None:
    client.close()
