"""pytest-httpserver: what its server is asked by urllib3 and by requests, and what they see of its answers."""

from __future__ import annotations

import ssl
import threading
from contextlib import contextmanager

import requests
import urllib3
from observing import chain, main, scene, servers
from pytest_httpserver import HTTPServer, RequestMatcher
from werkzeug import Response

SERVERS = ("certs",)

TIMEOUT = 5


@contextmanager
def serving(**options):
    server = HTTPServer(host="127.0.0.1", **options)
    server.start()
    try:
        yield server
    finally:
        server.clear()
        server.stop()


def told(answer):
    """What the user sees of a response of urllib3."""
    headers = [(name, value) for name, value in answer.headers.items() if name not in ("Date", "Server")]
    return answer.status, answer.reason, answer.version, headers, answer.data


def asked(server):
    """What the server was asked, in order."""
    return [
        (each.method, each.full_path, each.get_data(), [(n, v) for n, v in each.headers.items() if n != "User-Agent"])
        for each, _ in server.log
    ]


def both(server, method, path, **more):
    """By a manager and by requests."""
    body = more.pop("body", None)
    return (
        told(urllib3.request(method, server.url_for(path), body=body, timeout=TIMEOUT, **more)),
        requests.request(method, server.url_for(path), data=body, timeout=TIMEOUT, **more).content,
    )


@scene
def methods():
    with serving() as server:
        names = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
        for name in names:
            server.expect_request("/x", method=name).respond_with_data(f"a {name}", status=207, headers={"X-A": "1"})
        return {name: both(server, name, "/x") for name in names}, asked(server), server.check()


@scene
def matching():
    with serving() as server:
        server.expect_request("/json", json={"a": 1}).respond_with_json({"got": "json"})
        server.expect_request("/query", query_string={"q": "ü 1"}).respond_with_data("query")
        server.expect_request("/header", headers={"X-Kind": "b"}).respond_with_data("header")
        server.expect_request("/data", data=b"\x00\xff").respond_with_data("data")
        url = server.url_for
        found = [
            urllib3.request("POST", url("/json"), json={"a": 1}).json(),
            requests.post(url("/json"), json={"a": 1}, timeout=TIMEOUT).json(),
            urllib3.request("GET", url("/query"), fields={"q": "ü 1"}).data,
            requests.get(url("/query"), params={"q": "ü 1"}, timeout=TIMEOUT).content,
            both(server, "GET", "/header", headers={"X-Kind": "b"}),
            both(server, "PUT", "/data", body=b"\x00\xff"),
            urllib3.request("GET", url("/unknown"), timeout=TIMEOUT).status,
        ]
        return found, asked(server), len(server.assertions)


@scene
def bodies_received():
    def pieces():
        yield b"one"
        yield b"two"

    with serving() as server, urllib3.PoolManager() as manager:
        server.expect_request("/x").respond_with_handler(lambda request: Response(request.get_data()[:9]))
        url = server.url_for("/x")
        found = [
            urllib3.request("POST", url, body=pieces(), headers={"Content-Type": "a/b"}, timeout=TIMEOUT).data,
            manager.request("POST", url, fields={"a": "1"}, encode_multipart=False, timeout=TIMEOUT).data,
            urllib3.request("POST", url, body=b"x" * 300_000, timeout=TIMEOUT).data,
            requests.post(url, data=pieces(), timeout=TIMEOUT).content,
        ]
        return found, asked(server)


@scene
def ordered_and_once():
    with serving() as server, urllib3.PoolManager(retries=False) as manager:
        server.expect_ordered_request("/a").respond_with_data("a")
        server.expect_oneshot_request("/b").respond_with_data("b")
        found = [manager.request("GET", server.url_for(path), timeout=TIMEOUT).data for path in ("/a", "/b")]
        again = manager.request("GET", server.url_for("/b"), timeout=TIMEOUT)
        server.assert_request_made(RequestMatcher("/a"), count=1)
        return found, again.status, again.data


@scene
def streamed():
    with serving() as server:
        server.expect_request("/x").respond_with_handler(lambda request: Response(str(n) * 1000 for n in range(5)))
        with urllib3.request("GET", server.url_for("/x"), preload_content=False, timeout=TIMEOUT) as got:
            first = [len(piece) for piece in got.stream(700)], got.headers.get("Transfer-Encoding")
        with requests.get(server.url_for("/x"), stream=True, timeout=TIMEOUT) as got:
            return sum(first[0]), first[1], sum(len(piece) for piece in got.iter_content(700))


@scene
def retries():
    with serving() as server:
        server.expect_ordered_request("/x").respond_with_data("", status=503, headers={"Retry-After": "0"})
        server.expect_ordered_request("/x").respond_with_data("", status=302, headers={"Location": "/y"})
        server.expect_ordered_request("/y").respond_with_data("there")
        got = urllib3.request("GET", server.url_for("/x"), retries=urllib3.Retry(3, backoff_factor=0), timeout=TIMEOUT)
        return told(got), [(each.status, each.redirect_location) for each in got.retries.history], asked(server)


@scene
def time_outs():
    with serving() as server:
        server.expect_request("/slow").respond_with_handler(lambda request: server_waits(0.4))
        url, found = server.url_for("/slow"), []
        for call in (
            lambda: urllib3.request("GET", url, timeout=0.1, retries=False),
            lambda: requests.get(url, timeout=0.1),
        ):
            try:
                found.append(call())
            except Exception as error:
                found.append(chain(error))
        return found


def server_waits(seconds):
    threading.Event().wait(seconds)
    return Response("slow")


@scene
def tls():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(servers.certs.server_cert, servers.certs.server_key)
    with serving(ssl_context=context) as server:
        server.expect_request("/x").respond_with_data("secret")
        url = server.url_for("/x")
        with urllib3.PoolManager(ca_certs=servers.certs.ca_file) as manager:
            found = [told(manager.request("GET", url, timeout=TIMEOUT)) for _ in range(2)]
        found.append(requests.get(url, verify=servers.certs.ca_file, timeout=TIMEOUT).text)
        try:
            requests.get(url, timeout=TIMEOUT)
        except requests.exceptions.SSLError as error:
            found.append(chain(error)[:3])
        return found


main()
