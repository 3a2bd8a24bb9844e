"""mocket: sockets and TLS that are none, in the place of the standard library's; recording from a real server."""

from __future__ import annotations

import json
import os

import requests
import urllib3
from mocket import Mocket, Mocketizer, mocketize
from mocket.exceptions import StrictMocketException
from mocket.mocks.mockhttp import Entry, Response
from observing import chain, main, scene, servers

SERVERS = ("echo", "nginx", "certs")

TIMEOUT = 5
URL = "http://an.example/path"
SECURE = "https://an.example/secure"
VARYING = ("date", "server", "last-modified")


def told(answer):
    """What the user sees of a response of urllib3."""
    headers = [(name, value) for name, value in answer.headers.items() if name.lower() not in VARYING]
    return answer.status, answer.reason, answer.version, headers, answer.data, type(answer)


def seen(answer):
    """The same of one of requests."""
    headers = {name: value for name, value in answer.headers.items() if name.lower() not in VARYING}
    return answer.status_code, answer.reason, answer.url, headers, answer.content, answer.cookies.get_dict()


def failure(call):
    try:
        call()
    except Exception as error:
        return chain(error)
    return "nothing"


def asked():
    """What mocket got; it waits for the body of a request without one for ever."""
    fields = ("host", "content-type", "x-thing", "content-length", "transfer-encoding")
    return [
        (each.method, each.path, [each.headers.get(name) for name in fields], each.method == "POST" and each.body)
        for each in Mocket.request_list()
    ]


@scene
@mocketize(strict_mode=True)
def managers():
    methods = ("GET", "PUT", "DELETE", "PATCH", "OPTIONS")
    for method in methods:
        Entry.single_register(method, URL, body=f"a {method}", status=207, headers={"X-A": "1"})
    manager = urllib3.PoolManager()
    fields = {"X-Thing": "t"}
    return [told(manager.request(method, URL, headers=fields, timeout=TIMEOUT)) for method in methods], asked()


@scene
@mocketize(strict_mode=True)
def a_pool_with_one_connection():
    Entry.register(Entry.GET, URL, Response(body="one"), Response(body="two", status=404), Response(body="three"))
    with urllib3.HTTPConnectionPool("an.example", maxsize=1, block=True) as pool:
        found = [told(pool.request("GET", "/path", timeout=TIMEOUT)) for _ in range(4)]
        return found, pool.num_connections, pool.num_requests


@scene
@mocketize(strict_mode=True)
def bodies_sent():
    Entry.register(Entry.POST, URL, Response(body="ok"))
    manager = urllib3.PoolManager()
    manager.request("POST", URL, body=b"bytes", timeout=TIMEOUT)
    manager.request("POST", URL, fields={"a": "1"}, encode_multipart=False, timeout=TIMEOUT)
    manager.request("POST", URL, json={"a": ["ü"]}, timeout=TIMEOUT)
    requests.post(URL, data={"form": "1 2"}, timeout=TIMEOUT)
    return asked()


@scene
@mocketize(strict_mode=True)
def streamed():
    Entry.single_register(Entry.GET, URL, body="x" * 2500)
    with urllib3.PoolManager().request("GET", URL, preload_content=False, timeout=TIMEOUT) as got:
        found = [got.read(10), got.tell(), got.length_remaining, len(got.read()), got.read()]
    with requests.get(URL, stream=True, timeout=TIMEOUT) as got:
        found.append([len(piece) for piece in got.iter_content(1000)])
    return found


@scene
@mocketize(strict_mode=True)
def sessions():
    Entry.single_register(Entry.GET, URL, body=json.dumps({"a": 1}), headers={"Set-Cookie": "c=1"})
    Entry.single_register(Entry.GET, URL + "/on", status=302, headers={"Location": URL})
    with requests.Session() as session:
        found = [seen(session.get(URL, timeout=TIMEOUT)), seen(session.get(URL + "/on", timeout=TIMEOUT))]
        return found, session.cookies.get_dict(), Mocket.last_request().headers.get("cookie")


@scene
@mocketize(strict_mode=True)
def tls():
    Entry.single_register(Entry.GET, SECURE, body="secret")
    return (
        told(urllib3.PoolManager().request("GET", SECURE, timeout=TIMEOUT)),
        seen(requests.get(SECURE, timeout=TIMEOUT)),
        seen(requests.get(SECURE, verify=servers.certs.ca_file, timeout=TIMEOUT)),
        seen(requests.get(SECURE, verify=False, timeout=TIMEOUT)),
    )


@scene
@mocketize(strict_mode=True)
def retries_and_errors():
    Entry.register(Entry.GET, URL, Response(status=503), Response(body="ok"))
    Entry.register(Entry.GET, URL + "/error", requests.Timeout("slow"), ConnectionResetError("gone"))
    retry = urllib3.Retry(2, status_forcelist=[503], backoff_factor=0)
    got = urllib3.PoolManager().request("GET", URL, retries=retry, timeout=TIMEOUT)
    return (
        got.data,
        [each.status for each in got.retries.history],
        failure(lambda: requests.get(URL + "/error", timeout=TIMEOUT)),
        failure(lambda: urllib3.request("GET", URL + "/error", retries=False, timeout=TIMEOUT)),
    )


@scene
def strictness():
    found = []
    with Mocketizer(strict_mode=True):
        try:
            requests.get(servers.echo.url, timeout=TIMEOUT)
        except StrictMocketException as error:
            found.append(type(error))
    with Mocketizer(strict_mode=True, strict_mode_allowed=["127.0.0.1"]):
        found.append(told(urllib3.request("GET", servers.echo.url + "/bytes/5", timeout=TIMEOUT)))
    return found


@scene
def let_through():
    """To real servers through mocket's sockets, which lose the body of a request."""
    with Mocketizer():
        manager = urllib3.PoolManager()
        found = [
            told(manager.request("GET", servers.echo.url + path, timeout=TIMEOUT)) for path in ("/bytes/5", "/gzip")
        ]
        found.append(seen(requests.get(servers.echo.url + "/chunked", timeout=TIMEOUT)))
    return found


@scene
def pools_before_during_and_after():
    """One manager and one session that have connections already when the sockets are replaced."""
    url = servers.echo.url + "/bytes/5"
    manager = urllib3.PoolManager(maxsize=1, block=True, ca_certs=servers.certs.ca_file)
    secure = servers.nginx.https_url + "/json"
    with requests.Session() as session:

        def all_of_them():
            return (
                told(manager.request("GET", url, timeout=TIMEOUT)),
                manager.request("GET", secure, timeout=TIMEOUT).status,
                seen(session.get(url, timeout=TIMEOUT)),
            )

        found = [all_of_them()]
        with Mocketizer():
            Entry.single_register(Entry.GET, url, body="mocked")
            found.append(told(urllib3.PoolManager().request("GET", url, timeout=TIMEOUT)))
        found.append(all_of_them())
        return found


@scene
def recorded():
    where = os.path.join(os.environ["TMPDIR"], "recorded")
    os.makedirs(where)
    found = []
    for _ in range(2):
        with Mocketizer(truesocket_recording_dir=where, namespace="scene"):
            found.append(
                seen(requests.get(servers.echo.url + "/bytes/7", headers={"User-Agent": "me"}, timeout=TIMEOUT))
            )
    (name,) = os.listdir(where)
    with open(os.path.join(where, name)) as file:
        kept = json.load(file)
    return found, [list(each) for each in kept.values()]


main()
