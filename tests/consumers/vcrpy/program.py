"""vcrpy: recording from a real server and replaying without one, of pools, managers and requests, in each mode."""

from __future__ import annotations

import io
import os

import requests
import urllib3
import vcr
import yaml
from observing import chain, main, scene, servers
from requests.adapters import HTTPAdapter
from vcr.errors import CannotOverwriteExistingCassetteException

from servers.scripted import Close, Recv, ScriptedServer, Send, chunked_response, response

SERVERS = ("echo", "nginx", "certs")

TIMEOUT = 5
OURSELVES = {"User-Agent": "a program"}


def cassette(name):
    return os.path.join(os.environ["TMPDIR"], name + ".yaml")


def tape(name, **options):
    """A cassette in a file."""
    return vcr.use_cassette(cassette(name), **options)


def recorded(name):
    """What is on the cassette, without what varies."""
    with open(cassette(name)) as file:
        found = yaml.unsafe_load(file)  # a generator is kept as an iterator
    for each in found["interactions"]:
        for field in ("Date", "Server"):
            each["response"]["headers"].pop(field, None)
    return found["interactions"]


def told(answer):
    # Of replayed ones the order is that of a set.
    headers = sorted((name, value) for name, value in answer.headers.items() if name not in ("Date", "Server"))
    return answer.status, answer.reason, answer.version, headers, answer.data, type(answer)


def refused(call):
    """What it raises where something is asked for that is not on the cassette."""
    try:
        call()
    except CannotOverwriteExistingCassetteException as error:
        return type(error)
    except Exception as error:
        return chain(error)
    return "nothing"


def twice(name, call, **options):
    """What ``call`` sees while recording and while replaying, what is on the cassette, and how it was played."""
    found = []
    for mode in ("once", "none"):
        with tape(name, record_mode=mode, **options) as tape_:
            found.append([call(), tape_.play_count, len(tape_)])
    return found, recorded(name)


# --- pools ------------------------------------------------------------------------------------------------------------


def several(manager):
    url = servers.echo.url
    calls = [
        ("GET", "/bytes/10", {}),
        ("GET", "/chunked?n=2&size=5", {}),
        ("GET", "/status/404", {}),
        ("HEAD", "/bytes/10", {}),
        ("GET", "/status/204", {}),
        ("POST", "/status/201", {"body": b"bytes"}),
        ("POST", "/status/201", {"fields": {"a": "1"}, "encode_multipart": False}),
        ("PUT", "/status/200", {"json": {"a": 1}}),
        ("GET", "/gzip?n=50", {}),
    ]
    return [told(manager.request(method, url + path, timeout=TIMEOUT, **more)) for method, path, more in calls]


@scene
def managers():
    return twice("managers", lambda: several(urllib3.PoolManager(headers=OURSELVES)))


@scene
def pools():
    def calls():
        with urllib3.connection_from_url(servers.echo.url, headers=OURSELVES, maxsize=1, block=True) as pool:
            found = [told(pool.request("GET", f"/bytes/{n}", timeout=TIMEOUT)) for n in (1, 2, 3)]
            return found, pool.num_connections, pool.num_requests

    return twice("pools", calls)


@scene
def pools_made_before():
    """Pools that have connections already when the cassette is put in, and go on afterwards."""
    with urllib3.connection_from_url(servers.echo.url, headers=OURSELVES, maxsize=1, block=True) as pool:
        found = [told(pool.request("GET", "/bytes/1", timeout=TIMEOUT))]
        for mode in ("once", "none"):
            with tape("before", record_mode=mode) as tape_:
                found.append((told(pool.request("GET", "/bytes/2", timeout=TIMEOUT)), tape_.play_count))
            found.append(told(pool.request("GET", "/bytes/3", timeout=TIMEOUT)))
        return found, recorded("before")


@scene
def streams():
    def calls():
        manager = urllib3.PoolManager(headers=OURSELVES)
        found = []
        for path in ("/bytes/1000", "/chunked?n=3&size=100", "/gzip?n=1000", "/bytes/0"):
            options = {"preload_content": False, "timeout": TIMEOUT}
            got = manager.request("GET", servers.echo.url + path, **options)
            found.append(b"".join(got.stream(64, decode_content=True)))
            got.release_conn()
            got = manager.request("GET", servers.echo.url + path, **options)
            found.append(
                [got.read(5, decode_content=False), got.tell(), len(got.read(decode_content=False)), got.read()]
            )
            got.release_conn()
        return found

    return twice("streams", calls)


@scene
def redirects_and_retries():
    later = response(b"later", status=503, headers=[("Retry-After", "0"), ("Connection", "close")])
    with ScriptedServer([Recv(), Send(later), Close()], [Recv(), Send(response(b"ok")), Close()]) as server:

        def calls():
            manager = urllib3.PoolManager(headers=OURSELVES)
            moved = manager.request("GET", servers.echo.url + "/redirect?to=/bytes/3", timeout=TIMEOUT)
            seen = [
                told(moved),
                moved.geturl(),
                [(each.status, each.redirect_location) for each in moved.retries.history],
            ]
            retry = urllib3.Retry(3, status_forcelist=[503], backoff_factor=0)
            again = manager.request("GET", server.url, retries=retry, timeout=TIMEOUT)
            return seen, told(again), [each.status for each in again.retries.history]

        return twice("redirects", calls, allow_playback_repeats=False), len(server.requests)


# --- requests ---------------------------------------------------------------------------------------------------------


def seen(answer):
    headers = sorted((name, value) for name, value in answer.headers.items() if name not in ("Date", "Server"))
    return answer.status_code, answer.reason, answer.url, headers, answer.content, [old.url for old in answer.history]


@scene
def sessions():
    def calls():
        with requests.Session() as session:
            session.headers = OURSELVES
            url = servers.echo.url
            found = [
                session.get(url + "/bytes/7", params={"q": "ü"}, timeout=TIMEOUT),
                session.get(url + "/redirect?to=/gzip", timeout=TIMEOUT),
                session.post(url + "/status/201", data={"form": "1"}, timeout=TIMEOUT),
                session.post(url + "/status/202", json={"json": 1}, timeout=TIMEOUT),
                session.put(url + "/status/203", data=(piece for piece in (b"one", b"two")), timeout=TIMEOUT),
                session.post(url + "/status/200", data=io.BytesIO(b"a file"), timeout=TIMEOUT),
            ]
            with session.get(url + "/chunked?n=4&size=25", stream=True, timeout=TIMEOUT) as streamed:
                lengths = [len(piece) for piece in streamed.iter_content(40)]
            return [seen(each) for each in found], lengths

    return twice("sessions", calls)


@scene
def cookies():
    fields = [("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2")]
    with ScriptedServer.always(response(b"x", headers=fields)) as server:

        def calls():
            with requests.Session() as session:
                session.headers = OURSELVES
                first = session.get(server.url, timeout=TIMEOUT)
                second = session.get(server.url + "/again", timeout=TIMEOUT)
                return first.cookies.get_dict(), session.cookies.get_dict(), second.request.headers["Cookie"]

        return twice("cookies", calls), len(server.requests)


@scene
def tls():
    certs, url = servers.certs, servers.nginx.https_url

    def calls():
        manager = urllib3.PoolManager(headers=OURSELVES, ca_certs=certs.ca_file)
        with requests.Session() as session:
            session.headers = OURSELVES
            got = session.get(url + "/json", verify=certs.ca_file, timeout=TIMEOUT)
            return manager.request("GET", url + "/json", timeout=TIMEOUT).json(), got.status_code

    found, interactions = twice("tls", calls)
    return found, [each["request"] for each in interactions]


# --- modes ------------------------------------------------------------------------------------------------------------


def get(path):
    return urllib3.request("GET", servers.echo.url + path, headers=OURSELVES, timeout=TIMEOUT, retries=False).data


@scene
def modes():
    found = []
    for mode in ("once", "once", "new_episodes", "none", "all"):
        with tape("modes", record_mode=mode) as tape_:
            found.append([mode, get("/bytes/1"), tape_.play_count])
            found.append([refused(lambda: get("/bytes/2")), tape_.dirty, len(tape_)])
    return found, [each["request"]["uri"] for each in recorded("modes")]


@scene
def the_server_is_gone():
    with ScriptedServer.always(response(b"still here")) as server:
        url = server.url
        with tape("gone", record_mode="once"):
            requests.get(url, timeout=TIMEOUT)
    with tape("gone", record_mode="none"):
        replayed = requests.get(url, timeout=TIMEOUT).content
    with tape("gone", record_mode="new_episodes"):
        other = refused(lambda: requests.get(url + "/other", timeout=TIMEOUT))
    return replayed, other, refused(lambda: requests.get(url, timeout=TIMEOUT))


@scene
def filters():
    def scrub(request):
        request.headers["X-Scrubbed"] = "yes"
        return request

    options = {
        "filter_headers": ["Authorization"],
        "filter_query_parameters": ["key"],
        "before_record_request": scrub,
        "match_on": ["method", "path", "query"],
        "decode_compressed_response": True,
    }

    def calls():
        url = servers.echo.url + "/gzip?n=20&key=secret"
        return requests.get(url, headers={**OURSELVES, "Authorization": "me"}, timeout=TIMEOUT).content

    return twice("filters", calls, **options)


@scene
def bodies_matched():
    def post(body):
        headers = {**OURSELVES, "Content-Type": "text/plain"}
        return lambda: (
            urllib3.request(
                "POST", servers.echo.url + "/nonce", body=body, headers=headers, retries=False, timeout=TIMEOUT
            ).status
        )

    with tape("bodies", record_mode="once", match_on=["uri", "body"]):
        post(b"one")()
    with tape("bodies", record_mode="none", match_on=["uri", "body"]):
        return post("one")(), refused(post(b"two"))


# --- what goes wrong --------------------------------------------------------------------------------------------------


@scene
def failures():
    scripts = {
        "nothing": [Recv(), Close()],
        "garbage": [Recv(), Send(b"what is this?\r\n\r\n"), Close()],
        "short": [Recv(), Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal"), Close()],
        "chunk": [Recv(), Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal"), Close()],
    }
    found = {}
    for name, script in scripts.items():
        with ScriptedServer(script) as server, tape("failure-" + name, record_mode="once") as tape_:
            got = refused(lambda url=server.url: urllib3.request("GET", url, retries=False, timeout=TIMEOUT).data)
            found[name] = got, len(tape_)
    with tape("refused", record_mode="once"):
        found["refused"] = refused(lambda: requests.get("http://127.0.0.1:1/", timeout=TIMEOUT))
    return found


@scene
def long_chunks():
    pieces = [bytes([65 + n]) * 1000 for n in range(5)]
    with ScriptedServer.always(chunked_response(pieces)) as server:

        def calls():
            got = urllib3.request("GET", server.url, headers=OURSELVES, preload_content=False)
            return [len(piece) for piece in got.stream(1500)]

        return twice("chunks", calls)


@scene
def put_back():
    """What it patched is as before, and no connection of the cassette is left in a pool."""
    names = ("HTTPConnection", "HTTPSConnection", "VerifiedHTTPSConnection")
    before = [getattr(urllib3.connection, name) for name in names]
    classes = urllib3.HTTPConnectionPool.ConnectionCls, urllib3.HTTPSConnectionPool.ConnectionCls
    manager = urllib3.PoolManager(headers=OURSELVES)
    with tape("put-back", record_mode="once"):
        within = urllib3.HTTPConnectionPool.ConnectionCls is classes[0]
        manager.request("GET", servers.echo.url + "/bytes/1", timeout=TIMEOUT)
    after = [getattr(urllib3.connection, name) for name in names]
    restored = (
        before == after,
        classes
        == (
            urllib3.HTTPConnectionPool.ConnectionCls,
            urllib3.HTTPSConnectionPool.ConnectionCls,
        ),
    )
    pool = manager.connection_from_url(servers.echo.url)
    with pool.request("GET", "/bytes/2", timeout=TIMEOUT, preload_content=False) as got:
        kind = type(got.connection) is pool.ConnectionCls, type(got.connection.sock)
        got.read()
    return within, restored, kind


@scene
def adapters():
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(pool_maxsize=1, pool_block=True, max_retries=2))
        session.headers = OURSELVES

        def calls():
            return [session.get(f"{servers.echo.url}/bytes/{n}", timeout=TIMEOUT).content for n in (1, 2, 3)]

        first, during, last = calls(), twice("adapters", calls), calls()
        return first, during, last


main()
