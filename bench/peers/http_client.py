"""The standard library's http.client: one connection for each thread, and over TLS one context for it."""

from __future__ import annotations

import http.client
import sys

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


def close(client: http.client.HTTPConnection) -> None:
    client.close()
