"""HTTPretty: sockets that are none, in the place of the standard library's, beside a real server."""

from __future__ import annotations

import re

import httpretty
import requests
import urllib3
from observing import chain, main, scene, servers

SERVERS = ("echo", "nginx", "certs")

TIMEOUT = 5
URL = "http://an.example/path"


def told(answer):
    """What the user sees of a response of urllib3."""
    headers = [(name, value) for name, value in answer.headers.items() if name.lower() not in ("date", "server")]
    return answer.status, answer.reason, answer.version, headers, answer.data, type(answer)


def seen(answer):
    """The same of one of requests."""
    headers = {name: value for name, value in answer.headers.items() if name.lower() not in ("date", "server")}
    return answer.status_code, answer.reason, answer.url, headers, answer.content, answer.cookies.get_dict()


def failure(call):
    try:
        call()
    except Exception as error:
        return chain(error)
    return "nothing"


def asked():
    """What HTTPretty got."""
    fields = ("Host", "Content-Type", "X-Thing", "Content-Length", "Transfer-Encoding")
    return [
        (each.method, each.path, [each.headers.get(name) for name in fields], each.body)
        for each in httpretty.latest_requests()
    ]


@scene
@httpretty.activate()
def managers():
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"):
        httpretty.register_uri(method, URL, body=f"a {method}", status=207, adding_headers={"X-A": "1"})
    manager = urllib3.PoolManager()
    fields = {"X-Thing": "t"}
    found = [
        told(manager.request(method, URL, headers=fields, timeout=TIMEOUT))
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
    ]
    return found, asked()


@scene
@httpretty.activate()
def bodies_sent():
    httpretty.register_uri("POST", re.compile(r"http://an\.example/.*"), body="ok")
    manager = urllib3.PoolManager()
    manager.request("POST", URL, body=b"\x00bytes", timeout=TIMEOUT)
    manager.request("POST", URL, fields={"a": "1"}, encode_multipart=False, timeout=TIMEOUT)
    manager.request("POST", URL + "/json", json={"a": ["ü"]}, timeout=TIMEOUT)
    requests.post(URL, data={"form": "1 2"}, timeout=TIMEOUT)
    requests.post(URL, data=b"x" * 70_000, timeout=TIMEOUT)
    return asked(), httpretty.last_request().parsed_body == "x" * 70_000


@scene
@httpretty.activate()
def streamed():
    httpretty.register_uri("GET", URL, body="x" * 2500)
    httpretty.register_uri("GET", URL + "/pieces", body=(piece for piece in ("one", "two", "three")), streaming=True)
    with urllib3.PoolManager().request("GET", URL, preload_content=False, timeout=TIMEOUT) as got:
        found = [got.read(10), got.tell(), got.length_remaining, len(got.read()), got.read()]
    with requests.get(URL, stream=True, timeout=TIMEOUT) as got:
        found.append([len(piece) for piece in got.iter_content(1000)])
    with requests.get(URL + "/pieces", stream=True, timeout=TIMEOUT) as got:
        found.append(b"".join(got.iter_content(4)))
    return found


@scene
@httpretty.activate()
def sessions():
    httpretty.register_uri("GET", URL, body='{"a": 1}', content_type="text/json", adding_headers={"Set-Cookie": "c=1"})
    httpretty.register_uri("GET", URL + "/on", status=302, location=URL)
    with requests.Session() as session:
        found = [seen(session.get(URL, timeout=TIMEOUT)), seen(session.get(URL + "/on", timeout=TIMEOUT))]
        return found, session.cookies.get_dict(), httpretty.last_request().headers.get("Cookie")


@scene
@httpretty.activate()
def several_answers_and_callbacks():
    answers = [httpretty.Response(body="one"), httpretty.Response(body="two", status=202)]
    httpretty.register_uri("GET", URL, responses=answers)

    def answer(request, url, headers):
        return [418, {**headers, "X-Url": url}, f"body: {request.body!r}"]

    def failing(request, url, headers):
        raise requests.Timeout("slow")

    httpretty.register_uri("POST", URL, body=answer)
    httpretty.register_uri("PUT", URL, body=failing)
    pool = urllib3.HTTPConnectionPool("an.example", maxsize=1, block=True)
    found = [told(pool.request("GET", "/path", timeout=TIMEOUT)) for _ in range(3)]
    found.append(told(pool.request("POST", "/path", body=b"sent", timeout=TIMEOUT)))
    return found, failure(lambda: requests.put(URL, timeout=TIMEOUT)), pool.num_requests


@scene
@httpretty.activate()
def retries():
    answers = [httpretty.Response(body="", status=503), httpretty.Response(body="ok")]
    httpretty.register_uri("GET", URL, responses=answers)
    retry = urllib3.Retry(2, status_forcelist=[503], backoff_factor=0)
    got = urllib3.PoolManager().request("GET", URL, retries=retry, timeout=TIMEOUT)
    return got.data, [each.status for each in got.retries.history], len(asked())


@scene
@httpretty.activate()
def tls():
    url = "https://an.example/secure"
    httpretty.register_uri("GET", url, body="secret")
    return (
        told(urllib3.PoolManager().request("GET", url, retries=False, timeout=TIMEOUT)),
        seen(requests.get(url, timeout=TIMEOUT)),
        seen(requests.get(url, verify=servers.certs.ca_file, timeout=TIMEOUT)),
    )


@scene
@httpretty.activate(allow_net_connect=False)
def without_a_net():
    """Nothing works: urllib3 asks for the socket's ``shutdown``, which HTTPretty takes for an attempt to connect."""
    httpretty.register_uri("GET", URL, body="mocked")
    return (
        failure(lambda: urllib3.request("GET", URL, retries=False, timeout=TIMEOUT)),
        failure(lambda: urllib3.request("GET", "http://unknown.example/", retries=False, timeout=TIMEOUT)),
        failure(lambda: requests.get(servers.echo.url, timeout=TIMEOUT)),
    )


@scene
def pools_before_during_and_after():
    """One manager and one session that have connections already when the sockets are replaced."""
    url = servers.echo.url + "/bytes/5"
    manager = urllib3.PoolManager(maxsize=1, block=True)
    with requests.Session() as session:

        def both():
            return told(manager.request("GET", url, timeout=TIMEOUT)), seen(session.get(url, timeout=TIMEOUT))

        found = [both()]
        with httpretty.enabled():
            httpretty.register_uri("GET", url, body="mocked")
            fresh = urllib3.PoolManager().request("GET", url, timeout=TIMEOUT)
            found.append(told(fresh))
        found.append(both())
        return found


@scene
def let_through():
    """To real servers through HTTPretty's sockets."""
    url, secure = servers.echo.url, servers.nginx.https_url + "/json"
    with httpretty.enabled():
        httpretty.register_uri("GET", URL, body="mocked")
        manager = urllib3.PoolManager(ca_certs=servers.certs.ca_file)
        return (
            failure(lambda: manager.request("GET", url + "/bytes/4", retries=False, timeout=1)),
            failure(lambda: requests.get(url + "/bytes/4", timeout=1)),
            failure(lambda: manager.request("GET", secure, retries=False, timeout=1)),
            manager.request("GET", URL, timeout=TIMEOUT).data,
        )


main()
