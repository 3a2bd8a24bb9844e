"""requests through its own front door: sessions and adapters, every way of sending and of reading, every error."""

from __future__ import annotations

import io
import os
import pickle
import warnings

import requests
from observing import chain, main, scene, servers
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth, HTTPDigestAuth
from urllib3.util import Retry, Timeout

from servers.scripted import Close, Hold, Recv, Reset, ScriptedServer, Send, chunked_response, response

SERVERS = ("echo", "nginx", "certs", "squid", "socks")

TIMEOUT = 5


def told(answer):
    """What the user sees of a response."""
    headers = {name: value for name, value in answer.headers.items() if name not in ("Date", "Server")}
    return {
        "status": answer.status_code,
        "reason": answer.reason,
        "url": answer.url,
        "headers": headers,
        "encoding": answer.encoding,
        "content": answer.content,
        "cookies": answer.cookies.get_dict(),
        "history": [(each.status_code, each.url) for each in answer.history],
        "raw": (type(answer.raw), answer.raw.status, answer.raw.version, answer.raw.closed),
    }


def failures(*calls):
    """What each call raises, or "nothing"."""
    found = []
    for call in calls:
        try:
            call()
            found.append("nothing")
        except Exception as error:
            found.append(chain(error))
    return found


# --- plain ------------------------------------------------------------------------------------------------------------


@scene
def methods():
    return {
        method: told(requests.request(method, servers.echo.url + "/echo?q=1", timeout=TIMEOUT))
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "INVENTED")
    }


@scene
def nginx():
    with requests.Session() as session:
        paths = ("/json", "/gzip", "/redirect", "/close", "/status/404", "/status/204", "/status/304", "/nowhere")
        return [told(session.get(servers.nginx.url + path, timeout=TIMEOUT)) for path in paths]


@scene
def urls_and_parameters():
    urls = [
        "/a b/ü?x=ä#f",
        "/%7Euser/%2F?a=%20",
        "/a/../b/./c",
        "//two//slashes",
        "/?",
        "?only=query",
        "/a;b,c:d@e?f/g?h",
    ]
    sent = [requests.get(servers.echo.url + "/echo" + url, timeout=TIMEOUT).url for url in urls]
    got = requests.get(servers.echo.url + "/echo", params={"a": ["1", "2"], "ü": "&=+ "}, timeout=TIMEOUT)
    return sent, got.json()["target"]


@scene
def header_fields():
    fields = {"X-Text": "text", "x-lower": "1", b"X-Bytes": b"\xe4", "Accept": None, "User-Agent": "mine", "Host": "me"}
    got = requests.get(servers.echo.url + "/echo", headers=fields, timeout=TIMEOUT).json()
    return got["headers"], failures(
        lambda: requests.get(servers.echo.url, headers={"A": "b\r\nC: d"}),
        lambda: requests.get(servers.echo.url, headers={"A\n": "b"}),
        lambda: requests.get(servers.echo.url, headers={"A": 1}),
    )


@scene
def keep_alive():
    with requests.Session() as session, ScriptedServer.always(response(b"x")) as server:
        for _ in range(5):
            session.get(server.url, timeout=TIMEOUT)
        return len(server.connections)


# --- reading ----------------------------------------------------------------------------------------------------------


@scene
def streaming():
    found = {}
    for path in (
        "/bytes/5000",
        "/chunked?n=5&size=1000",
        "/gzip?n=5000",
        "/deflate?n=5000&raw=1",
        "/drip?n=5&delay=0.01",
    ):
        for size in (1000, None):
            with requests.get(servers.echo.url + path, stream=True, timeout=TIMEOUT) as got:
                found[f"{path} by {size}"] = [len(b"".join(got.iter_content(size))), got.raw.closed]
        with requests.get(servers.echo.url + path, stream=True, timeout=TIMEOUT) as got:
            found[f"{path} raw"] = [got.raw.read(4), got.raw.tell(), len(got.raw.read()), got.raw.read()]
        with requests.get(servers.echo.url + path, stream=True, timeout=TIMEOUT) as got:
            found[f"{path} decoded"] = [got.raw.read(10, decode_content=True), got.raw.headers.get("content-length")]
    return found


@scene
def lines_and_text():
    body = "één\r\ntwo\n\nthree".encode()
    answer = chunked_response([body[:2], body[2:7], body[7:]], headers=[("Content-Type", "text/plain; charset=utf-8")])
    with ScriptedServer.always(answer) as server:
        whole = requests.get(server.url, timeout=TIMEOUT)
        with requests.get(server.url, stream=True, timeout=TIMEOUT) as got:
            lines = list(got.iter_lines(chunk_size=3))
        with requests.get(server.url, stream=True, timeout=TIMEOUT) as got:
            decoded = list(got.iter_lines(decode_unicode=True))
    return whole.text, whole.encoding, whole.apparent_encoding, lines, decoded


@scene
def big_body():
    with requests.get(servers.nginx.url + "/10mb", stream=True, timeout=TIMEOUT) as got:
        return sum(len(block) for block in got.iter_content(1 << 16)), got.headers["Content-Length"]


@scene
def raw_as_a_file():
    with requests.get(servers.echo.url + "/bytes/3000", stream=True, timeout=TIMEOUT) as got:
        buffer = bytearray(100)
        wrapped = io.BufferedReader(got.raw)
        return (
            wrapped.readinto(buffer),
            bytes(buffer[:9]),
            len(wrapped.readline()),
            got.raw.readable(),
            got.raw.seekable(),
        )


@scene
def original_response():
    fields = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Thing", "t")]
    with ScriptedServer.always(response(b"x", headers=fields)) as server:
        original = requests.get(server.url, timeout=TIMEOUT).raw._original_response
        message = original.msg
    return message.get_all("set-cookie"), message["x-thing"], message.items(), original.isclosed(), original.version


# --- uploads ----------------------------------------------------------------------------------------------------------


@scene
def uploads():
    path = os.path.join(os.environ["TMPDIR"], "upload.bin")
    with open(path, "wb") as file:
        file.write(bytes(range(256)) * 1000)
    bodies = {
        "bytes": lambda: {"data": b"\x00raw\xff"},
        "text": lambda: {"data": "tëxt"},
        "form": lambda: {"data": {"a": "1 2", "b": ["ü", "&"]}},
        "pairs": lambda: {"data": [("a", "1"), ("a", "2")]},
        "json": lambda: {"json": {"a": [1, None, "ü"]}},
        "file": lambda: {"data": _opened(path)},
        "empty file": lambda: {"data": io.BytesIO()},
        "half a file": lambda: {"data": _at(io.BytesIO(b"0123456789"), 5)},
        "generator": lambda: {"data": (piece for piece in (b"one", b"", b"two"))},
        "text generator": lambda: {"data": iter(["öne", "two"])},
        "nothing": lambda: {"data": b""},
    }
    found = {}
    for name, body in bodies.items():
        seen = requests.post(servers.echo.url + "/echo", **body(), timeout=TIMEOUT).json()
        found[name] = {"headers": seen["headers"], "body": seen["body"]}
    return found


def _opened(path):
    return open(path, "rb")


def _at(file, position):
    file.seek(position)
    return file


@scene
def multipart():
    files = [
        ("one", ("ümlaut.txt", b"content", "text/plain", {"X-Part": "1"})),
        ("two", io.BytesIO(b"nameless")),
        ("three", (None, "a field")),
    ]
    prepared = requests.Request("POST", servers.echo.url + "/echo", files=files, data={"k": "v"}).prepare()
    boundary = prepared.headers["Content-Type"].partition("boundary=")[2]
    with requests.Session() as session:
        seen = session.send(prepared, timeout=TIMEOUT).json()
    return seen["body"].replace(boundary, "BOUNDARY")


@scene
def an_answer_before_the_body_is_sent():
    early = response(b"too much", status=413, reason="No", headers=[("Connection", "close")])

    def serve(conn):
        conn.recv_head()
        conn.send(early)
        conn.recv_body()
        conn.close()

    with ScriptedServer(serve) as server:
        return told(requests.post(server.url, data=b"x" * 100_000, timeout=TIMEOUT))


# --- sessions ---------------------------------------------------------------------------------------------------------


@scene
def cookies():
    fields = [("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "gone=1; Max-Age=0"), ("Set-Cookie", 'b="q; x"; HttpOnly')]
    with requests.Session() as session, ScriptedServer.always(response(b"", headers=fields)) as server:
        session.cookies.set("own", "3", domain="127.0.0.1")
        first = session.get(server.url + "/x/y", cookies={"once": "4"}, timeout=TIMEOUT)
        session.get(server.url + "/x/z", timeout=TIMEOUT)
        sent = [request.header("Cookie") for request in server.requests]
        return sent, first.cookies.get_dict(), [(each.name, each.path) for each in session.cookies]


@scene
def redirects():
    with requests.Session() as session:
        found = {}
        for code in (301, 302, 303, 307, 308):
            url = f"{servers.echo.url}/redirect?to=/echo&code={code}"
            found[code] = told(session.post(url, data=b"body", timeout=TIMEOUT))
        kept = session.get(servers.echo.url + "/redirect?to=/echo", allow_redirects=False, timeout=TIMEOUT)
        session.max_redirects = 3
        again = [
            Recv(),
            Send(response(b"on", status=302, headers=[("Location", "/on"), ("Connection", "close")])),
            Close(),
        ]
        with ScriptedServer(default=again) as server:
            return (
                found,
                kept.next.url,
                failures(lambda: session.get(server.url, timeout=TIMEOUT)),
                len(server.requests),
            )


@scene
def credentials_and_redirects():
    other = servers.echo.url.replace("127.0.0.1", "localhost")
    fields = [("Location", other + "/echo"), ("Connection", "close")]
    with ScriptedServer(default=[Recv(), Send(response(b"", status=302, headers=fields)), Close()]) as server:
        got = requests.get(server.url, auth=("user", "pass"), timeout=TIMEOUT)
        return server.requests[0].header("Authorization"), [name for name, _ in got.json()["headers"]]


@scene
def authentication():
    challenge = 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5, opaque="o"'
    asks = response(b"who?", status=401, reason="Unauthorized", headers=[("WWW-Authenticate", challenge)])
    with ScriptedServer([Recv(), Send(asks), Recv(), Send(response(b"you"))]) as server:
        digest = requests.get(server.url + "/d", auth=HTTPDigestAuth("u", "p"), timeout=TIMEOUT)
        offered = server.requests[1].header("Authorization").partition(" ")[0]
        connections = len(server.connections)
    basic = requests.get(servers.echo.url + "/echo", auth=HTTPBasicAuth("ü", "p:"), timeout=TIMEOUT).json()["headers"]
    return digest.text, [each.status_code for each in digest.history], offered, connections, basic


@scene
def pickled():
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=Retry(3, status_forcelist=[500])))
        session = pickle.loads(pickle.dumps(session))
        got = pickle.loads(pickle.dumps(session.get(servers.echo.url + "/bytes/10", timeout=TIMEOUT)))
        return got.content, list(got.headers.items())[:1], session.get_adapter("http://h/").max_retries


# --- retries ----------------------------------------------------------------------------------------------------------


class Logged(Retry):
    """A subclass as programs write them."""

    seen = []

    def increment(self, method=None, url=None, response=None, error=None, *args, **kwargs):
        self.seen.append((method, url, response and response.status, error and type(error)))
        return super().increment(method, url, response, error, *args, **kwargs)


@scene
def retries():
    bad = [Recv(), Send(response(b"", status=503, headers=[("Retry-After", "0"), ("Connection", "close")])), Close()]
    good = [Recv(), Send(response(b"ok")), Close()]
    policy = Logged(total=4, status_forcelist=[503], allowed_methods=None, backoff_factor=0)
    with requests.Session() as session, ScriptedServer(bad, [Recv(), Close()], bad, good) as server:
        session.mount("http://", HTTPAdapter(max_retries=policy))
        got = session.post(server.url, data=b"again", timeout=TIMEOUT)
        history = [(each.method, each.status, each.error and type(each.error)) for each in got.raw.retries.history]
        return got.content, [request.body for request in server.requests], history, Logged.seen


@scene
def retries_that_run_out():
    bad = [Recv(), Send(response(b"", status=500, headers=[("Connection", "close")])), Close()]

    def call(retries, server, **more):
        with requests.Session() as session:
            session.mount("http://", HTTPAdapter(max_retries=retries))
            return session.get(server, timeout=TIMEOUT, **more)

    with ScriptedServer(default=bad) as failing, ScriptedServer(default=[Recv(), Close()]) as closing:
        found = failures(
            lambda: call(Retry(2, status_forcelist=[500]), failing.url),
            lambda: call(Retry(2), closing.url),
            lambda: call(2, closing.url),
            lambda: call(Retry(total=False), closing.url),
            lambda: call(2, "http://127.0.0.1:1/"),
        )
        returned = call(Retry(2, status_forcelist=[500], raise_on_status=False), failing.url)
        return found, returned.status_code, len(failing.requests), len(closing.requests)


# --- TLS --------------------------------------------------------------------------------------------------------------


@scene
def tls():
    url, certs = servers.nginx.https_url + "/tls", servers.certs
    with requests.Session() as session:
        session.verify = certs.ca_file
        first, second = (session.get(url, timeout=TIMEOUT).json() for _ in range(2))
    from_directory = requests.get(url, verify=certs.ca_directory, timeout=TIMEOUT).status_code
    os.environ["REQUESTS_CA_BUNDLE"] = certs.ca_file
    try:
        from_environment = requests.get(url, timeout=TIMEOUT).status_code
    finally:
        del os.environ["REQUESTS_CA_BUNDLE"]
    return first, second["scheme"], from_directory, from_environment


@scene
def tls_errors():
    url, certs = servers.nginx.https_url, servers.certs
    return failures(
        lambda: requests.get(url, timeout=TIMEOUT),
        lambda: requests.get(url, verify=certs.other_ca_file, timeout=TIMEOUT),
        lambda: requests.get(url, verify="/no/such/file", timeout=TIMEOUT),
        lambda: requests.get(url, cert="/no/such/file", timeout=TIMEOUT),
        lambda: requests.get(url.replace("localhost", "127.0.0.2"), verify=certs.ca_file, timeout=TIMEOUT),
        lambda: requests.get(servers.nginx.url.replace("http:", "https:"), verify=certs.ca_file, timeout=TIMEOUT),
    )


@scene
def tls_unverified():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        status = requests.get(servers.nginx.https_url + "/tls", verify=False, timeout=TIMEOUT).status_code
    requests.packages.urllib3.disable_warnings()
    with warnings.catch_warnings(record=True) as silenced:
        requests.get(servers.nginx.https_url + "/tls", verify=False, timeout=TIMEOUT)
    return status, [each.category for each in caught], len(silenced)


@scene
def client_certificates():
    url, certs = servers.nginx.client_url + "/tls", servers.certs
    pair = (certs.client_cert, certs.client_key)
    with_one = requests.get(url, verify=certs.ca_file, cert=pair, timeout=TIMEOUT)
    without = requests.get(url, verify=certs.ca_file, timeout=TIMEOUT)
    return with_one.json()["client"], with_one.status_code, without.status_code


# --- proxies ----------------------------------------------------------------------------------------------------------


@scene
def proxies():
    squid, certs = servers.squid, servers.certs
    found = {}
    for name in ("url", "auth_url_with_credentials", "https_url"):
        with requests.Session() as session:
            session.proxies = {"http": getattr(squid, name), "https": getattr(squid, name)}
            session.verify = certs.ca_file
            plain = session.get(servers.nginx.url + "/json", timeout=TIMEOUT)
            tunnelled = session.get(servers.nginx.https_url + "/tls", timeout=TIMEOUT)
            found[name] = [plain.status_code, "Via" in plain.headers, tunnelled.status_code, tunnelled.json()["scheme"]]
    return found


@scene
def proxies_of_the_environment():
    os.environ["http_proxy"] = servers.squid.url
    try:
        through = requests.get(servers.nginx.url + "/json", timeout=TIMEOUT)
        os.environ["no_proxy"] = "127.0.0.1"
        around = requests.get(servers.nginx.url + "/json", timeout=TIMEOUT)
        with requests.Session() as session:
            session.trust_env = False
            del os.environ["no_proxy"]
            untrusting = session.get(servers.nginx.url + "/json", timeout=TIMEOUT)
    finally:
        os.environ.pop("http_proxy", None)
        os.environ.pop("no_proxy", None)
    return ["Via" in each.headers for each in (through, around, untrusting)]


@scene
def proxies_that_fail():
    squid, https = servers.squid, {"verify": servers.certs.ca_file, "timeout": TIMEOUT}

    def through(proxy, url, **more):
        return lambda: requests.get(url, proxies={"http": proxy, "https": proxy}, timeout=TIMEOUT, **more)

    refused = requests.get(servers.nginx.url, proxies={"http": squid.auth_url}, timeout=TIMEOUT)
    return refused.status_code, failures(
        through("http://127.0.0.1:1", servers.nginx.url),
        through("http://127.0.0.1:1", servers.nginx.https_url),
        through("socks5://127.0.0.1:1", servers.nginx.url),
        through("http:", servers.nginx.url),
        through("gopher://h:1", servers.nginx.url),
        through("https://", servers.nginx.url),
        lambda: requests.get(servers.nginx.https_url, proxies={"https": squid.auth_url}, **https),
    )


@scene
def socks():
    found = {}
    for name in ("socks4", "socks5", "socks5h", "guarded"):
        proxy = getattr(servers.socks, name)
        proxies = {"http": proxy, "https": proxy}
        more = {"proxies": proxies, "verify": servers.certs.ca_file, "timeout": TIMEOUT}
        plain = requests.get(servers.nginx.url + "/json", **more)
        secure = requests.get(servers.nginx.https_url + "/tls", **more)
        found[name] = [plain.status_code, secure.json()["scheme"]]
    wrong = servers.socks.guarded.replace("kim", "tim")
    return found, failures(lambda: requests.get(servers.nginx.url, proxies={"http": wrong}, timeout=TIMEOUT))


# --- errors -----------------------------------------------------------------------------------------------------------


@scene
def time_outs():
    def silent(timeout):
        with ScriptedServer([Recv(), Hold()]) as server:
            requests.get(server.url, timeout=timeout)

    def stalling(timeout):
        with ScriptedServer([Recv(), Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal"), Hold()]) as server:
            requests.get(server.url, timeout=timeout)

    forms = (0.05, (5, 0.05), (None, 0.05), Timeout(0.05), Timeout(connect=5, read=0.05), Timeout(total=0.05))
    wrong = (0, -1, "soon", (1, 2, 3), True, (1, "soon"))
    return (
        failures(*(lambda form=form: silent(form) for form in forms)),
        failures(lambda: stalling(0.05)),
        failures(*(lambda form=form: requests.get(servers.echo.url, timeout=form) for form in wrong)),
    )


BROKEN = {
    "nothing": [Recv(), Close()],
    "reset": [Recv(), Reset()],
    "garbage": [Recv(), Send(b"what is this?\r\n\r\n"), Close()],
    "short": [Recv(), Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal"), Close()],
    "chunk": [Recv(), Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal"), Close()],
    "chunk size": [Recv(), Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), Close()],
    "coding": [Recv(), Send(response(b"no gzip", headers=[("Content-Encoding", "gzip")])), Close()],
}


@scene
def broken_responses():
    def at_once(script):
        with ScriptedServer(script) as server:
            requests.get(server.url, timeout=TIMEOUT)

    def streamed(script):
        with ScriptedServer(script) as server, requests.get(server.url, stream=True, timeout=TIMEOUT) as got:
            list(got.iter_content(4))

    def raw(script):
        with ScriptedServer(script) as server, requests.get(server.url, stream=True, timeout=TIMEOUT) as got:
            got.raw.decode_content = True
            got.raw.read()

    # What tells how much is missing: an IncompleteRead of http.client, or of a class derived from that.
    missing = {"urllib3.exceptions.IncompleteRead", "urllib3.exceptions.InvalidChunkLength"}

    def each(script):
        found = failures(lambda: at_once(script), lambda: streamed(script), lambda: raw(script))
        return [["http.client.IncompleteRead" if name in missing else name for name in names] for names in found]

    return {name: each(script) for name, script in BROKEN.items()}


@scene
def wrong_urls():
    urls = ["", "nothing", "http://", "http://.x/", "http://h:99999999/", "gopher://h/", "http://[::1/", "http://a b/"]
    return dict(zip(urls, failures(*(lambda url=url: requests.get(url, timeout=TIMEOUT) for url in urls)), strict=True))


@scene
def refused():
    try:
        requests.get("http://127.0.0.1:1/x?y", timeout=TIMEOUT)
    except requests.ConnectionError as error:
        reason = error.args[0].reason
        again = pickle.loads(pickle.dumps(error))
        return (
            chain(error),
            chain(again),
            error.request.url,
            error.args[0].url,
            type(error.args[0].pool),
            type(reason.conn),
        )


main()
