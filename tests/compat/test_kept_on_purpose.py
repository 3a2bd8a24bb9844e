"""What surprises people about urllib3 and is the same in wirepool: "Kept on purpose" in docs/compat.md."""

from __future__ import annotations

import os
from typing import Any
from unittest import mock

import pytest

from compat.documented import Programs, World, answering
from servers.certs import Authority
from servers.echo import EchoServer
from servers.scripted import Close, Recv, response

kept = Programs()


@kept
def urls_of_responses(w: World) -> Any:
    answers = [response(b"", status=302, headers=[("Location", "/there")]), response(b"")]
    retried = [response(b"", status=500), response(b"")]
    http, again = w.manager(), w.lib.Retry(2, status_forcelist=[500])
    found = [
        http.request("GET", f"{w.echo.url}/bytes/1").url,
        http.request("GET", w.serve(default=answering(*answers)).url).url,
        w.pool(w.serve(default=answering(*answers))).request("GET", "/").url,
        http.request("GET", f"{w.serve(default=answering(*retried)).url}/x", retries=again).url,
    ]
    assert found[0] == "/bytes/1"
    assert found[2:] == ["/there", None]
    return found


@kept
def totals_and_bodies(w: World) -> Any:
    return (
        w.manager().request("GET", f"{w.echo.url}/drip?n=6&delay=0.06", timeout=w.lib.Timeout(total=0.2)).status == 200
    )


@kept
def methods_after_redirects(w: World) -> Any:
    found = []
    for status in (301, 302, 303, 307, 308):
        server = w.serve(default=answering(response(b"", status=status, headers=[("Location", "/x")]), response(b"")))
        w.manager().request("POST", server.url, body=b"abc")
        found.append((server.requests[1].method, server.requests[1].body))
    assert found == [
        ("GET" if status == 303 else "POST", b"" if status == 303 else b"abc") for status in (301, 302, 303, 307, 308)
    ]
    return found


@kept
def failures_of_posts(w: World) -> Any:
    lost = w.serve(default=[Recv(), Close()])
    return [
        w.error(lambda url=url: w.manager().request("POST", url, retries=1)) for url in ("http://127.0.0.1:1", lost.url)
    ]


@kept
def busy_for_ever(w: World) -> Any:
    busy = w.serve(default=answering(response(b"", status=429, headers=[("Retry-After", "0")])))
    status = w.manager().request("GET", busy.url, retries=2).status
    assert (status, len(busy.requests)) == (429, 3)
    return status


@kept
def redirects_that_ask_for_patience(w: World) -> Any:
    answers = response(b"", status=302, headers=[("Location", "/x"), ("Retry-After", "7")]), response(b"")
    slept: list[float] = []
    with mock.patch("time.sleep", slept.append):
        w.manager().request("GET", w.serve(default=answering(*answers)).url)
        by_manager = list(slept)
        w.pool(w.serve(default=answering(*answers))).request("GET", "/")
    assert (by_manager, slept) == ([], [7])
    return by_manager, slept


@kept
def reading_what_was_given(w: World) -> Any:
    return w.lib.HTTPResponse(b"abc").read(), w.lib.HTTPResponse(b"abc").data


@kept
def the_environment(w: World) -> Any:
    with mock.patch.dict(os.environ, http_proxy="http://127.0.0.1:1", HTTP_PROXY="http://127.0.0.1:1"):
        return w.manager().request("GET", f"{w.echo.url}/bytes/1", retries=False).status


@pytest.mark.parametrize("name", kept.names())
def test_kept_on_purpose(name: str, gear: str, echo: EchoServer, certs: Authority) -> None:
    kept.check(name, gear, echo, certs)
