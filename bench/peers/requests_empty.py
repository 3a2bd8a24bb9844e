"""requests without a transport: an adapter that has the answer at hand. What is left is requests' own work."""

from __future__ import annotations

from typing import Any

import requests
import requests_session
from requests.adapters import HTTPAdapter
from target import Target

label = "requests, no transport"
version = requests_session.version
takes = "url"
shareable = True
bare, close, request = requests_session.bare, requests_session.close, requests_session.request


class _Answer:
    """As much of a response as requests looks at."""

    status, reason = 200, "OK"

    def __init__(self, headers: dict[str, str], body: bytes) -> None:
        self.headers, self._body = headers, body

    def stream(self, amt: int, decode_content: bool | None = None) -> list[bytes]:
        return [self._body]

    def release_conn(self) -> None: ...

    def close(self) -> None: ...


class _Empty(HTTPAdapter):
    def __init__(self, headers: dict[str, str], body: bytes) -> None:
        super().__init__()
        self._answer = headers, body

    def send(self, request: Any, *args: Any, **options: Any) -> requests.Response:
        return self.build_response(request, _Answer(*self._answer))  # type: ignore[arg-type]


def open(target: Target, threads: int) -> requests.Session:
    session = requests_session.open(target, threads)
    answer = session.get(target.url)
    session.mount(f"{target.scheme}://", _Empty(dict(answer.headers), answer.content))
    return session
