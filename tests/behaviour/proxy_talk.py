"""What the behaviour tests of proxies have in common."""

from __future__ import annotations

from typing import Any

import pytest

from behaviour.talk import SOON
from servers.certs import Authority
from servers.scripted import Connection, RecordedRequest, Script, response
from wirepool import ProxyManager
from wirepool.exceptions import MaxRetryError, ProxyError

FOR_PROXY = {"Proxy-Authorization": "Basic cHJveHk=", "X-Proxy": "p"}
SECRETS = {"Authorization": "a", "Cookie": "c=d", "X-Kept": "k"}
OK = response(b"ok")


def through(proxy: Any, certs: Authority, **options: Any) -> ProxyManager:
    """A manager whose requests go through that proxy, a server or its URL; nothing is retried."""
    options = {"ca_certs": certs.ca_file, "timeout": SOON, "retries": False, **options}
    return ProxyManager(getattr(proxy, "url", proxy), **options)


def serving(*answers: bytes) -> Script:
    """Answers requests with these, one after the other, the last one again and again; HEAD without a body."""

    def serve(conn: Connection) -> None:
        left = list(answers)
        while True:
            request = conn.recv()
            answer = left.pop(0) if len(left) > 1 else left[0]
            conn.send(answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if request.method == "HEAD" else answer)

    return serve


def to(location: str, status: int = 302) -> bytes:
    """A redirect."""
    return response(b"elsewhere", status=status, headers=[("Location", location)])


def lines_of(request: RecordedRequest) -> list[str]:
    """A head as it came, without what says which client it was."""
    lines = request.head.decode("latin-1").split("\r\n")[:-2]
    return [line for line in lines if not line.startswith("User-Agent: ")]


def proxy_failure(client: Any, url: str, **options: Any) -> Exception:
    """The error that a proxy is blamed with, ``retries=False`` and, as the reason, with none left."""
    with pytest.raises(ProxyError) as raw:
        client.request("GET", url, retries=False, **options)
    with pytest.raises(MaxRetryError) as wrapped:
        client.request("GET", url, retries=0, **options)
    reason = wrapped.value.reason
    assert type(reason) is ProxyError
    assert _kind(reason.original_error) is _kind(raw.value.original_error)
    return raw.value.original_error


def _kind(error: Exception) -> type[Exception]:
    """How the loss of a connection shows is a matter of chance."""
    return ConnectionError if isinstance(error, ConnectionError) else type(error)


def free_slots_of(client: Any, url: str) -> tuple[int, int]:
    """How many connections a manager's pool for that URL could give out at once, and how many of them are open."""
    queue = client.connection_from_url(url).pool.queue
    return len(queue), sum(conn is not None and conn.sock is not None for conn in queue)
