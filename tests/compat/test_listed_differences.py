"""Every difference that docs/compat.md lists and no other comparison shows: still one, in both gears.

A program returns what a user would notice. The words are those of its line; what wirepool does about each is tested in
tests/behaviour, here it is only that the page is true. Names that are missing or new are compared in test_surface.py,
HTTP/2 in test_http2_against_urllib3.py.
"""

from __future__ import annotations

import array
import contextlib
import copy
import gzip
import io
import math
import os
import pickle
import socket
import ssl
import sys
import threading
import time
from typing import Any
from unittest import mock

import pytest

from compat.documented import Programs, World, answering
from servers.certs import Authority
from servers.echo import EchoServer
from servers.proxy import refuse, tunnel_after
from servers.scripted import Close, Connection, Cut, Hold, Recv, RecvHead, Send, response

shows = Programs()
differs = shows.differs

SHORT = 0.15


def outcome(work: Any) -> Any:
    """What comes of it, or the class of the error, whatever it is."""
    try:
        return work()
    except Exception as error:
        return type(error).__name__


def got(w: World, wire: bytes, method: str = "GET", **options: Any) -> Any:
    """Status, fields and body of a response, or its error."""
    server = w.serve(default=[Recv(), Send(wire), Close()])

    def ask() -> Any:
        answer = w.manager(timeout=1.0).request(method, server.url, retries=False, **options)
        return answer.status, list(answer.headers.items()), answer.data

    return outcome(ask)


def head(*lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", body])


# --- requests ---------------------------------------------------------------------------------------------------------


@differs("`User-Agent`")
def what_it_calls_itself(w: World) -> Any:
    server = w.always()
    w.manager().request("GET", server.url)
    return server.requests[0].header("User-Agent")


@differs("an empty or non-token method raises `ValueError`")
def no_method(w: World) -> Any:
    return outcome(lambda: w.manager().request("", w.always().url).status)


@differs("header names must be tokens")
def names_that_are_no_tokens(w: World) -> Any:
    return [
        outcome(lambda f=f: w.manager().request("GET", w.always().url, headers=f).status)
        for f in ({"A b": "x"}, {"A": "x\0"})
    ]


@differs("both `Content-Length` and `Transfer-Encoding` from the caller")
def both_lengths(w: World) -> Any:
    server = w.always()
    fields = {"Content-Length": "3", "Transfer-Encoding": "chunked"}
    with contextlib.suppress(Exception):
        w.manager(timeout=0.5).request("PUT", server.url, body=b"abc", headers=fields, retries=False)
    connection = server.connections[0]
    text = (connection.requests[0] if connection.requests else connection.partial).lower()
    return b"content-length" in text, b"transfer-encoding" in text


@differs("files are sent in blocks")
def blocks_of_files(w: World) -> Any:
    server = w.always()
    w.manager().request("PUT", server.url, body=io.BytesIO(b"x" * 200_000))
    return server.requests[0].body.split(b"\r\n")[0]


@differs("memory with holes")
def holes(w: World) -> Any:
    return outcome(lambda: w.told("PUT", body=memoryview(b"abcdef")[::2])["body"])


@differs("chunks of buffers with items wider than an octet")
def wide_items(w: World) -> Any:
    sizes: list[bytes] = []

    def serve(conn: Connection) -> None:
        conn.recv_head()
        sizes.append(conn.recv_until(b"\r\n"))
        conn.send(response(b"", headers=[("Connection", "close")]))

    w.manager().request("PUT", w.serve(default=serve).url, body=array.array("H", [1, 2]), chunked=True, retries=False)
    return sizes


@differs("a finished generator as body")
def a_finished_generator(w: World) -> Any:
    body = (part for part in [b"a"])
    list(body)
    return outcome(lambda: w.told("POST", body=body)["body"])


@differs("a line break in a multipart part header")
def breaks_in_parts(w: World) -> Any:
    field = w.module("fields").RequestField("n", "data", headers={"X": "a\r\nB: c"})
    return outcome(lambda: w.told("POST", fields=[field])["method"])


@differs("JSON on a pool whose `headers` is None")
def json_without_headers(w: World) -> Any:
    pool = w.pool(w.echo)
    pool.headers = None
    return outcome(lambda: pool.request("POST", "/echo", json=1).status)


@differs("the path `/../` becomes `/`")
def above_the_root(w: World) -> Any:
    return w.util.parse_url("http://h/../").path


# --- the pool ---------------------------------------------------------------------------------------------------------


@differs("goes back at once, dirty")
def given_back_early(w: World) -> Any:
    pool = w.pool(w.always(b"x" * 100))
    answer = pool.urlopen("GET", "/", preload_content=False, release_conn=True)
    return answer.connection is None, outcome(lambda: pool.urlopen("GET", "/", retries=False).status)


@differs("wakes threads that wait for a connection")
def closing_wakes(w: World) -> Any:
    pool = w.pool(w.always(), maxsize=1, block=True)
    held = pool.urlopen("GET", "/", preload_content=False)
    told: list[Any] = []
    thread = threading.Thread(target=lambda: told.append(outcome(lambda: pool.urlopen("GET", "/", pool_timeout=0.4))))
    thread.start()
    thread.join(0.1)
    pool.close()
    thread.join()
    held.close()
    return told


@differs("first come, first served")
def who_waits_first(w: World) -> Any:
    """Whoever gives its connection back and asks again overtakes the thread that has waited for it, or does not."""
    pool = w.pool(w.always(), maxsize=1, block=True)
    order: list[str] = []

    def wait() -> None:
        conn = pool._get_conn()
        order.append("waited")
        pool._put_conn(conn)

    held = pool._get_conn()
    waiter = threading.Thread(target=wait)
    waiter.start()
    waiter.join(0.1)
    pool._put_conn(held)
    again = pool._get_conn()
    order.append("came back")
    pool._put_conn(again)
    waiter.join()
    return order


@differs("after `fork` the child forgets")
def a_child(w: World) -> Any:
    server = w.always()
    pool = w.pool(server)
    pool.request("GET", "/")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        conn = pool._get_conn()
        os.write(writer, b"open" if conn.sock is not None else b"none")
        os._exit(0)
    os.waitpid(child, 0)
    found = os.read(reader, 10)
    os.close(reader)
    os.close(writer)
    return found


# --- reading ----------------------------------------------------------------------------------------------------------


@differs("of a brotli body that was cut off all that it holds is given")
def a_cut_brotli_body(w: World) -> Any:
    cut = bytes.fromhex(
        "abc0c60000a8aaaaaafe33b396655b89a8b6655bfeefaa7fcfbdd53da3babc8de1ae78b1b0b0b0b1b1aa9719d5c1"
        "870f3f0683c138ce64550d0683c1603098439d11a9288dc261a19d64ef0972b8fbe5cafd9285a2dff3e802b0e4"
    )
    pytest.importorskip("brotli")
    return len(w.lib.HTTPResponse(io.BytesIO(cut), headers={"content-encoding": "br"}, preload_content=False).data)


@differs("a bare CR, NUL, or white space before the colon")
def odd_octets(w: World) -> Any:
    return got(w, head(b"A: b\0c", b"Content-Length: 0")), got(w, head(b"A : b", b"Content-Length: 0"))


@differs("status must be three digits")
def odd_statuses(w: World) -> Any:
    rest = b" 200 OK\r\nContent-Length: 0\r\n\r\n"
    return got(w, b"HTTP/1.10" + rest), got(w, b"HTTP/1.1 +200 OK\r\nContent-Length: 0\r\n\r\n")


@differs("a head that ends before its blank line")
def half_a_head(w: World) -> Any:
    return got(w, b"HTTP/1.1 200 OK\r\nA: b\r\n")


@differs("`Transfer-Encoding`: `chunked` once and last")
def odd_framing(w: World) -> Any:
    chunked = b"3\r\nabc\r\n0\r\n\r\n"
    return [
        got(w, head(b"Transfer-Encoding: " + te, body=chunked))
        for te in (b"gzip, chunked", b" chunked ", b"chunked, x")
    ]


@differs("`Transfer-Encoding` on 204, 304 and HEAD is ignored")
def chunks_of_nothing(w: World) -> Any:
    wire = b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n"
    server = w.serve(default=[Recv(), Send(wire), Hold()])
    return outcome(lambda: w.manager(timeout=SHORT).request("GET", server.url, retries=False).status)


@differs("chunk sizes: 1 to 16 hex digits")
def odd_chunks(w: World) -> Any:
    wires = b"0x3\r\nabc\r\n0\r\n\r\n", b" 3 \r\nabc\r\n0\r\n\r\n", b"3\r\nabcXX0\r\n\r\n"
    return [got(w, head(b"Transfer-Encoding: chunked", body=body)) for body in wires]


@differs("limits on interim responses, trailers, chunk-size lines and heads")
def endless_trailers(w: World) -> Any:
    trailers = b"".join(b"T%d: x\r\n" % number for number in range(500))
    wire = head(b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n" + trailers + b"\r\n")
    return got(w, wire)


@differs("memory follows the bytes received")
def huge_lengths(w: World) -> Any:
    return got(w, head(b"Content-Length: 100000000000000000", body=b"abc"))


@differs("`read1()` raises when the body is shorter")
def short_for_read1(w: World) -> Any:
    wire = head(b"Content-Length: 9", body=b"abc")
    answer = w.manager().request("GET", w.serve(default=[Recv(), Send(wire), Close()]).url, preload_content=False)
    return outcome(lambda: [answer.read1(), answer.read1(), answer.read1()])


@differs("`read1()` without a number")
def much_for_read1(w: World) -> Any:
    body = gzip.compress(b"\0" * 3_000_000)
    server = w.always(body, headers=[("Content-Encoding", "gzip")])
    answer = w.manager().request("GET", server.url, preload_content=False)
    sizes = [len(answer.read1()) for _ in range(2)]
    return max(sizes) > 1 << 20


@differs("white space in `Content-Encoding` are ignored")
def codings_with_nothing(w: World) -> Any:
    body = gzip.compress(b"abc")
    fields = [b"identity, gzip", b"gzip, ", b" , gzip"]
    wires = [head(b"Content-Encoding: " + f, b"Content-Length: %d" % len(body), body=body) for f in fields]
    return [got(w, wire)[-1] == b"abc" for wire in wires]


@differs("`stream(None)` ends on files that never close themselves")
def files_that_stay_open(w: World) -> Any:
    class Open(io.BytesIO):
        reads = 0

        def read(self, *args: Any) -> bytes:
            self.reads += 1
            if self.reads > 5:
                raise KeyError("for ever")
            return super().read(*args)

        def close(self) -> None:
            pass

    answer = w.lib.HTTPResponse(Open(b"abc"), preload_content=False)
    return outcome(lambda: list(answer.stream(None)))


@differs("`msg` of a pool's response holds the fields")
def the_message(w: World) -> Any:
    return type(w.manager().request("GET", w.always().url).msg).__name__


# --- connecting, TLS --------------------------------------------------------------------------------------------------


@differs("the connect timeout is for all of connecting")
def every_address(w: World) -> Any:
    """Two addresses of which neither answers in time, and a limit for each or for both."""
    told: list[float] = []

    class Silent(socket.socket):
        def connect(self, address: Any) -> None:
            told.append(self.gettimeout() or 0)
            raise TimeoutError

    info = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in (1, 2)]
    with mock.patch("socket.getaddrinfo", return_value=info), mock.patch("socket.socket", Silent):
        outcome(lambda: w.manager(timeout=5.0).request("GET", "http://h.test", retries=False))
    return len(told) == 2 and told[0] == told[1]


@differs("addresses of a host are tried side by side")
def side_by_side(w: World) -> Any:
    server = w.always()
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            ports = full.getsockname()[1], server.port
            info = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
            with mock.patch("socket.getaddrinfo", return_value=info):
                timeout = w.lib.Timeout(connect=0.6, read=5)
                conn = w.pool(server, timeout=timeout)
                began = time.monotonic()
                conn.request("GET", "/", retries=False)
                return time.monotonic() - began < 0.55


@differs("look-ups run in a daemon thread when there is a limit")
def where_names_are_looked_up(w: World) -> Any:
    server, names = w.always(), []

    def look_up(*args: Any, **keywords: Any) -> Any:
        names.append(threading.current_thread() is threading.main_thread())
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]

    with mock.patch("socket.getaddrinfo", look_up):
        w.manager(timeout=3.0).request("GET", "http://h.test")
    return names


@differs("contexts made from options are shared")
def contexts(w: World) -> Any:
    server = w.serve_tls()
    seen = []
    for _ in range(2):
        conn = w.secure().connection_from_url(server.url)._new_conn()
        conn.connect()
        seen.append(conn.sock.context)
        conn.close()
    return seen[0] is seen[1]


@differs("TLS sessions are resumed")
def sessions(w: World) -> Any:
    server = w.serve_tls(default=[Recv(), Send(response(b"a", headers=[("Connection", "close")])), Close()])
    http = w.secure(ssl_maximum_version=ssl.TLSVersion.TLSv1_2)
    for _ in range(2):
        http.request("GET", server.url)
    return [conn.session_reused for conn in server.connections]


@differs("needs a `close_notify`")
def ends_that_anybody_can_make(w: World) -> Any:
    server = w.serve_tls(default=[Recv(), Send(b"HTTP/1.1 200 OK\r\n\r\nabc"), Cut()])
    return outcome(lambda: w.secure().request("GET", server.url, retries=False).data)


@differs("after a failed handshake the connection is closed")
def failed_handshakes(w: World) -> Any:
    server = w.serve_tls()
    conn = w.module("connection").HTTPSConnection(server.host, server.port, timeout=5)
    outcome(conn.connect)
    found = conn.sock is None
    conn.close()
    return found


@differs("session tickets are allowed")
def tickets(w: World) -> Any:
    return bool(w.util.create_urllib3_context().options & ssl.OP_NO_TICKET)


@differs("an IP address that ends in a line feed is none")
def no_addresses(w: World) -> Any:
    return w.module("util.ssl_").is_ipaddress("127.0.0.1\n")


@differs("`check_hostname` set and no `server_hostname`")
def tls_in_tls_without_a_name(w: World) -> Any:
    pytest.importorskip("ssl")
    context = ssl.create_default_context(cafile=w.certs.ca_file)
    transport, server = w.module("util.ssltransport").SSLTransport, w.serve_tls()
    with socket.create_connection((server.host, server.port), 5) as plain:
        return outcome(lambda: type(transport(plain, context)).__name__)


# --- proxies ----------------------------------------------------------------------------------------------------------


def through(w: World, proxy: Any, **options: Any) -> Any:
    options = {"timeout": 2.0, "retries": False, "ca_certs": w.certs.ca_file, **options}
    return w.stack.enter_context(w.lib.ProxyManager(proxy.url, **options))


# From 3.12 on the standard library does it, and so does urllib3.
@(differs("`CONNECT` is HTTP/1.1 with `Host`") if sys.version_info < (3, 12) else shows)
def how_tunnels_are_asked_for(w: World) -> Any:
    proxy = w.proxy(refuse(403))
    outcome(lambda: through(w, proxy).request("GET", "https://h.test/"))
    return proxy.requests[0].line, proxy.requests[0].header("Host") is not None


@differs("any 2xx opens the tunnel")
def other_answers_to_connect(w: World) -> Any:
    server = w.serve_tls()
    to = (server.host, server.port)
    answers = b"HTTP/1.1 204 Fine\r\n\r\n", b"HTTP/1.1 103 Wait\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
    proxies = [w.proxy(tunnel_after(answer, to)) for answer in answers]
    return [outcome(lambda p=p: through(w, p).request("GET", server.url).data) for p in proxies]


@differs("a stalled `CONNECT`")
def stalled_tunnels(w: World) -> Any:
    proxy = w.proxy([RecvHead(), Hold()])
    return w.error(lambda: through(w, proxy, timeout=SHORT).request("GET", "https://h.test/"))


@differs("a proxy that hangs up on a forwarded request")
def hanging_up(w: World) -> Any:
    proxy = w.proxy(default=[Recv(), Close()])
    return w.error(lambda: through(w, proxy).request("POST", "http://h.test/"))


@differs("replace the automatic ones in any case")
def fields_for_the_proxy(w: World) -> Any:
    proxy = w.proxy(default=answering(response(b"ok")))
    through(w, proxy).request("GET", "http://h.test/", headers={"host": "own", "accept": "own/*"})
    return sorted(name.lower() for name, _ in proxy.requests[0].headers if name.lower() in ("host", "accept"))


@differs("if `cert_file` or `cert_data` is given beside it")
def whose_certificate(w: World) -> Any:
    """Who was shown one, first the origin, then the proxy when it forwards."""
    origin = w.serve_tls(client_ca=w.certs.ca_file)
    proxy = w.proxy(tls=True, client_ca=w.certs.ca_file, client_required=False)
    mine = w.certs.client()
    context = ssl.create_default_context(cafile=w.certs.ca_file)
    http = through(w, proxy, ssl_context=context, cert_file=mine.cert_file, key_file=mine.key_file)
    http.request("GET", origin.url)
    http.request("GET", w.always().url)
    return [conn.client_certificate is not None for conn in (*origin.connections, *proxy.connections)]


@differs('`cert_reqs="CERT_NONE"` beside a context that checks names')
def nothing_verified(w: World) -> Any:
    context = ssl.create_default_context()
    with w.lib.PoolManager(ssl_context=context, cert_reqs="CERT_NONE", timeout=2.0) as http:
        return w.warned(lambda: outcome(lambda: http.request("GET", w.serve_tls().url, retries=False).data))


@differs("a redirect to a path is one on the origin")
def low_level_redirects(w: World) -> Any:
    proxy = w.proxy(default=answering(response(b"", status=302, headers=[("Location", "/there")]), response(b"ok")))
    pool = through(w, proxy, retries=1).connection_from_url("http://h.test/")
    pool.urlopen("GET", "http://h.test/a", assert_same_host=False)
    return [request.target for request in proxy.requests]


@differs("through a verified proxy, too")
def unverified_in_a_tunnel(w: World) -> Any:
    server, proxy = w.serve_tls(), w.proxy(tls=True)
    context = ssl.create_default_context(cafile=w.certs.ca_file)
    http = through(w, proxy, proxy_ssl_context=context, cert_reqs="CERT_NONE")
    return w.warned(lambda: http.request("GET", server.url).data)


@differs("what follows the answer to `CONNECT` at once is an error")
def behind_the_answer(w: World) -> Any:
    server = w.serve_tls()
    proxy = w.proxy(tunnel_after(b"HTTP/1.1 200 OK\r\n\r\nforged", (server.host, server.port)))
    return outcome(lambda: through(w, proxy).request("GET", server.url).data)


@differs("every failure of `CONNECT` is a `ProxyError`")
def garbage_from_a_proxy(w: World) -> Any:
    proxies = [w.proxy([RecvHead(), Send(b"garbage\r\n\r\n"), Close()]), w.proxy([RecvHead(), Close()])]
    return [w.error(lambda p=p: through(w, p).request("GET", "https://h.test/")) for p in proxies]


@differs("user and password in a proxy's URL are sent to the proxy")
def credentials(w: World) -> Any:
    proxy, server = w.proxy(), w.always()
    http = w.stack.enter_context(w.lib.ProxyManager(proxy.url.replace("//", "//user:pw@"), timeout=2.0))
    http.request("GET", server.url)
    return proxy.requests[0].header("Proxy-Authorization")


@differs("after a redirect through a forwarding proxy, `Host`")
def host_after_a_redirect(w: World) -> Any:
    elsewhere = response(b"", status=302, headers=[("Location", "http://other.test/")])
    proxy = w.proxy(default=answering(elsewhere, response(b"ok")))
    through(w, proxy, retries=1).request("GET", "http://h.test/")
    return [request.header("Host") for request in proxy.requests]


@differs("an unknown name is a `NameResolutionError`")
def names_by_socks(w: World) -> Any:
    pytest.importorskip("socks")
    proxy = w.socks()
    http = w.stack.enter_context(w.module("contrib.socks").SOCKSProxyManager(proxy.socks_url("socks5"), timeout=2.0))
    with mock.patch("socket.getaddrinfo", side_effect=socket.gaierror(socket.EAI_NONAME, "unknown")):
        return outcome(lambda: http.request("GET", "http://nowhere.test/", retries=False))


@differs("`socks.create_connection` is not called")
def who_connects_by_socks(w: World) -> Any:
    socks = pytest.importorskip("socks")
    proxy, server, calls = w.socks(), w.always(), []
    original = socks.create_connection
    with mock.patch.object(socks, "create_connection", lambda *a, **k: calls.append(1) or original(*a, **k)):
        http = w.stack.enter_context(
            w.module("contrib.socks").SOCKSProxyManager(proxy.socks_url("socks5h"), timeout=2.0)
        )
        http.request("GET", server.url)
    return len(calls)


# --- objects ----------------------------------------------------------------------------------------------------------


@differs("`HTTPHeaderDictItemView` is an `ItemsView`")
def views(w: World) -> Any:
    items = w.lib.HTTPHeaderDict({"a": "b"}).items()
    return isinstance(items, set), sorted(items & {("a", "b")})


@differs("`copy.copy(headers)` is independent")
def copies(w: World) -> Any:
    headers = w.lib.HTTPHeaderDict({"a": "b"})
    copy.copy(headers)["c"] = "d"
    return "c" in headers


@differs("pickling keeps message and attributes")
def pickled_errors(w: World) -> Any:
    errors = w.exceptions
    made = [errors.LocationParseError("x"), errors.URLSchemeUnknown("y"), errors.ProxySchemeUnknown("z")]
    return [outcome(lambda error=error: str(pickle.loads(pickle.dumps(error))) == str(error)) for error in made]


@differs("leaves its response behind when pickled")
def pickled_with_a_response(w: World) -> Any:
    answer = w.manager().request("GET", w.echo.url + "/bytes/1", preload_content=False)
    error = w.exceptions.InvalidChunkLength(answer, b"zz")
    found = outcome(lambda: type(pickle.loads(pickle.dumps(error))).__name__)
    answer.close()
    return found


@differs("`ProxySchemeUnknown` has `.scheme`")
def unknown_schemes(w: World) -> Any:
    return getattr(w.exceptions.ProxySchemeUnknown("x"), "scheme", "none")


@differs("`Retry`: an absurd `Retry-After`")
def absurd_times(w: World) -> Any:
    policy = w.lib.Retry(total=None, backoff_factor=1)
    late = outcome(lambda: policy.parse_retry_after("9" * 5000))
    for _ in range(1100):
        policy = policy.increment("GET", "/", error=w.exceptions.ProtocolError())
    return late, outcome(policy.get_backoff_time)


@differs("`Timeout(total=DEFAULT_TIMEOUT, connect=1)` works")
def defaults_as_totals(w: World) -> Any:
    make = w.lib.Timeout
    own = type("Own", (make,), {})
    return outcome(lambda: make(total=make.DEFAULT_TIMEOUT, connect=1).connect_timeout), type(own(1).clone()).__name__


@differs("a limit that is infinite, connect, read or total, is none")
def no_end_of_time(w: World) -> Any:
    pool = w.pool(w.always())
    limits: list[Any] = [{kind: math.inf} for kind in ("connect", "read", "total")]
    return [
        outcome(lambda k=k: pool.request("GET", "/", timeout=w.lib.Timeout(**k), retries=False).data) for k in limits
    ]


@differs("the body of a redirect that is not followed is decoded when `data` is asked for")
def redirects_that_cannot_be_decoded(w: World) -> Any:
    fields = [("Location", "/x"), ("Content-Encoding", "gzip")]
    http, url = w.manager(), w.always(b"no gzip", status=302, headers=fields).url
    answer = outcome(lambda: http.request("GET", url, redirect=False))
    return answer if isinstance(answer, str) else [answer.status, outcome(lambda: answer.data)]


@differs("`wait_for_read(sock, -1)` only looks")
def negative_waits(w: World) -> Any:
    one, other = socket.socketpair()
    with one, other, mock.patch("select.poll", None):
        wait = w.module("util.wait").select_wait_for_socket
        return outcome(lambda: wait(one, read=True, timeout=-1))


@differs("`Timeout` takes `deadline=`")
def additions(w: World) -> Any:
    answer = w.manager().request("GET", w.always().url)
    names = ("trailers", "getcode", "begin", "debuglevel")
    return outcome(lambda: w.lib.Timeout(deadline=1).total), [hasattr(answer, name) for name in names]


@differs("`unix_sockets=` (`http+unix://`), `resolver=`, `resolve=`")
def more_keywords(w: World) -> Any:
    keywords = ("unix_sockets", "resolver", "resolve", "trust_env", "cert_data", "key_data", "ssl_resumption")
    return [outcome(lambda k=k: w.manager(**{k: None}).connection_from_host("h.test").host) for k in keywords]


@differs("requests made in parts")
def parts_of_requests(w: World) -> Any:
    conn = w.connection(w.echo)
    conn.putrequest("GET", "/bytes/2")
    conn.endheaders()
    return outcome(lambda: conn.getresponse().data)


@differs("logger names are `wirepool.*`")
def loggers(w: World) -> Any:
    name = w.module("connectionpool").log.name
    return name == "urllib3.connectionpool"


@differs("`contrib.emscripten` does not exist")
def browsers(w: World) -> Any:
    import importlib.util

    return importlib.util.find_spec(f"{w.package}.contrib.emscripten") is not None


@differs("are `typing.Generic`")
def generics(w: World) -> Any:
    import typing

    return issubclass(w.module("_collections").RecentlyUsedContainer, typing.Generic)  # type: ignore[arg-type]


@differs("`pool` of a pool is an `IdleQueue`")
def queues(w: World) -> Any:
    return type(w.lib.HTTPConnectionPool("h.test").pool).__name__


@differs("`_decoded_buffer` of a response is `None`")
def buffers(w: World) -> Any:
    return type(w.lib.HTTPResponse(b"", preload_content=False)._decoded_buffer).__name__


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("name", shows.names())
def test_still_different(name: str, gear: str, echo: EchoServer, certs: Authority) -> None:
    shows.check(name, gear, echo, certs)
