"""http.client with a new connection object and a new context for every request: the obvious way to use it once."""

from __future__ import annotations

import http.client
import ssl

from http_client import takes, version
from target import Target

__all__ = ["close", "label", "open", "request", "shareable", "takes", "version"]

label = "http.client, contexts"
shareable = True


def open(target: Target, threads: int) -> Target:
    return target


def request(target: Target, path: str) -> bytes:
    context = ssl.create_default_context(cafile=target.ca_file)
    connection = http.client.HTTPSConnection(target.host, target.port, context=context)
    connection.request("GET", path)
    try:
        return connection.getresponse().read()
    finally:
        connection.close()


def close(target: Target) -> None:
    pass
