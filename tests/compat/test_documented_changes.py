"""What urllib3's guide to its version 2 and its change log from 2.0 to 2.8 promise, with either library.

Advisories have tests of their own (tests/behaviour/test_advisories.py); what concerns builds, distributors or browsers
has no place here.
"""

from __future__ import annotations

import gzip
import importlib
import io
import json
import logging
import pickle
import queue
import socket
import ssl
import zlib
from typing import Any
from unittest import mock

import pytest

from compat.documented import Programs, World, answering
from servers.certs import Authority
from servers.echo import EchoServer, pattern
from servers.scripted import Close, Hold, Recv, Send, chunked_response, response

shows = Programs()


# --- the guide to version 2 -------------------------------------------------------------------------------------------


@shows
def what_was_removed(w: World) -> Any:
    names = [
        ("util.ssl_", "DEFAULT_CIPHERS"),
        ("util.ssl_", "HAS_SNI"),
        ("exceptions", "SNIMissingWarning"),
        ("connectionpool", "VerifiedHTTPSConnection"),
        ("connection", "VerifiedHTTPSConnection"),
        ("response", "HTTPResponse.from_httplib"),
        ("util.retry", "Retry.BACKOFF_MAX"),
        ("util.retry", "Retry.DEFAULT_METHOD_WHITELIST"),
    ]

    def there(module: str, path: str) -> bool:
        found: Any = w.module(module)
        for name in path.split("."):
            found = getattr(found, name, None)
        return found is not None

    modules = ["contrib.appengine", "contrib.ntlmpool", "contrib.securetransport", "request", "packages.six"]
    gone = [w.error(lambda m=m: w.module(m), ImportError) for m in modules]
    return [there(*name) for name in names], gone, callable(w.lib.request)


@shows
def arguments_that_are_gone(w: World) -> Any:
    def refused(make: Any) -> list[str]:
        return w.error(make, TypeError)

    connection = w.module("connection").HTTPConnection
    return [
        refused(lambda: w.lib.Retry(method_whitelist=["GET"])),
        refused(lambda: w.lib.HTTPResponse(b"", strict=True)),
        refused(lambda: connection("h.test", 80, 5)),
        refused(lambda: connection("h.test", strict=True)),
        refused(lambda: w.lib.HTTPConnectionPool("h.test", strict=True).request("GET", "/")),
        refused(lambda: w.manager(no_such_option=1).request("GET", w.echo.url)),
    ]


@shows
def a_common_name_is_no_name(w: World) -> Any:
    server = w.serve_tls(certificate=w.certs.common_name_only("localhost"))
    url = f"https://localhost:{server.port}/"
    context = ssl.create_default_context(cafile=w.certs.ca_file)
    context.hostname_checks_common_name = True
    return w.error(lambda: w.secure().request("GET", url)), w.manager(ssl_context=context).request("GET", url).data


@shows
def sending_and_getting_json(w: World) -> Any:
    answer = w.lib.request("POST", f"{w.echo.url}/echo", json={"key": ["value"]})
    return answer.json()["body"], dict(answer.json()["headers"])["Content-Type"]


# --- 2.0 --------------------------------------------------------------------------------------------------------------


@shows
def a_full_pool(w: World) -> Any:
    server = w.always()
    pool = w.pool(server, maxsize=1, block=True)
    conn = pool._get_conn()
    pool._put_conn(conn)
    return w.error(lambda: pool._put_conn(pool._new_conn()))


@shows
def a_name_without_an_address(w: World) -> Any:
    failure = socket.gaierror(socket.EAI_NONAME, "unknown")
    with mock.patch("socket.getaddrinfo", side_effect=failure):
        names = w.error(lambda: w.manager().request("GET", "http://nowhere.test/", retries=0))
    error = w.exceptions.NameResolutionError("h", None, failure)
    return names, isinstance(error, w.exceptions.NewConnectionError), isinstance(error, w.exceptions.TimeoutError)


@shows
def reads_end_only_at_the_end(w: World) -> Any:
    """However little of the packed bytes makes an octet of text, nothing but the end is empty."""
    packed = gzip.compress(pattern(3000), 1)
    wire = [
        chunked_response([packed[i : i + 3] for i in range(0, len(packed), 3)], headers=[("Content-Encoding", "gzip")])
    ]
    answer = w.manager().request("GET", w.serve(default=[Recv(), Send(wire[0])]).url, preload_content=False)
    sizes, body = [], b""
    while part := answer.read(700):
        sizes.append(len(part))
        body += part
    return sizes, body == pattern(3000), answer.read(1)


@shows
def what_getresponse_gives(w: World) -> Any:
    conn = w.connection(w.echo)
    conn.request("GET", "/bytes/4", preload_content=False, decode_content=True)
    answer = conn.getresponse()
    return isinstance(answer, w.lib.HTTPResponse), answer.read(), answer.connection is None


@shows
def the_default_of_enforcing_lengths(w: World) -> Any:
    short = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"
    by_hand = w.lib.HTTPResponse(io.BytesIO(b"abc"), headers={"content-length": "9"}, preload_content=False)
    server = w.serve(default=[Recv(), Send(short)])
    return w.error(lambda: w.manager().request("GET", server.url, retries=0)), w.error(lambda: list(by_hand.stream(2)))


@shows
def chunks_are_framed_in_lower_case(w: World) -> Any:
    server = w.always()
    w.manager().request("POST", server.url, body=[b"x" * 171, b"y"])
    return server.requests[0].body[:4], server.requests[0].body[-9:]


@shows
def blocks_are_of_16_kib(w: World) -> Any:
    return w.connection(w.echo).blocksize, w.manager().connection_from_url("http://h.test").conn_kw.get("blocksize")


@shows
def form_parameters_follow_the_whatwg(w: World) -> Any:
    server = w.always()
    w.manager().request("POST", server.url, fields={"a\u00fc": ('na"me\x01\n.txt', b"x")}, multipart_boundary="B")
    return server.requests[0].body


@shows
def any_failure_to_reach_the_proxy(w: World) -> Any:
    silent, plain = w.proxy(default=[Hold()]), w.proxy(tls=True)
    target = w.serve_tls()

    def ask(url: str, **options: Any) -> list[str]:
        http = w.stack.enter_context(w.lib.ProxyManager(url, retries=False, **options))
        return w.error(lambda: http.request("GET", target.url))

    with mock.patch("socket.getaddrinfo", side_effect=socket.gaierror(socket.EAI_NONAME, "unknown")):
        unknown = ask("http://proxy.test")
    return unknown, ask("http://127.0.0.1:1"), ask(plain.url), ask(f"https://127.0.0.1:{silent.port}", timeout=0.1)


@shows
def a_new_timeout_for_each_request(w: World) -> Any:
    server = w.serve(default=answering(response(b"a")))
    conn = w.connection(server, timeout=0.5)
    seen = []
    for timeout in (0.5, 3.5):
        conn.timeout = timeout
        conn.request("GET", "/")
        seen.append(conn.sock.gettimeout())
        seen.append(conn.getresponse().data)
    return seen


@shows
def headers_of_the_caller_stay(w: World) -> Any:
    elsewhere = w.always()
    start = w.serve(
        default=answering(response(b"", status=302, headers=[("Location", f"http://localhost:{elsewhere.port}")]))
    )
    own = {"Authorization": "x"}
    w.manager(headers=own).request("GET", start.url)
    given = w.lib.HTTPHeaderDict(own)
    w.manager().request("POST", start.url, headers=given, json={})
    return own, dict(given)


# --- 2.1 to 2.5 -------------------------------------------------------------------------------------------------------


@shows
def authorities_from_memory_for_proxies(w: World) -> Any:
    proxy, server = w.proxy(tls=True), w.serve_tls()
    http = w.stack.enter_context(w.lib.ProxyManager(proxy.url, ca_cert_data=w.certs.ca_data, timeout=5.0))
    return http.request("GET", server.url).data, http.request("GET", w.echo.url + "/bytes/1").data


@shows
def dots_at_the_end_of_a_host(w: World) -> Any:
    server, proxy = w.serve_tls(), w.proxy()
    http = w.stack.enter_context(w.lib.ProxyManager(proxy.url, ca_certs=w.certs.ca_file, timeout=5.0))
    return http.request("GET", f"https://localhost.:{server.port}/").data, server.connections[0].sni


@shows
def what_a_connection_says_of_its_proxy(w: World) -> Any:
    plain, secure, target, https = w.proxy(), w.proxy(tls=True), w.always(), w.serve_tls()
    found = []
    for proxy in (plain, secure):
        for url in (target.url, https.url):
            http = w.stack.enter_context(w.lib.ProxyManager(proxy.url, ca_certs=w.certs.ca_file, timeout=5.0))
            answer = http.request("GET", url, preload_content=False)
            conn = answer.connection
            state = [conn.is_verified, conn.proxy_is_verified, conn.proxy_is_tunneling, conn.proxy_is_forwarding]
            found.append([*state, conn.has_connected_to_proxy])
            answer.close()
    return found


@shows
def headers_of_a_json_request_stay(w: World) -> Any:
    own = {"X": "y"}
    w.manager().request("POST", f"{w.echo.url}/echo", json=1, headers=own)
    return own


@shows
def versions_in_the_log(w: World) -> Any:
    records = w.logged(lambda: w.manager().request("GET", w.always().url))
    return [text for _, _, text in records if "HTTP/" in text]


@shows
def errors_can_be_pickled(w: World) -> Any:
    errors = w.exceptions
    pool = w.lib.HTTPConnectionPool("h.test")
    made = [
        errors.NewConnectionError(None, "message"),
        errors.NameResolutionError("h", None, socket.gaierror("x")),
        errors.MaxRetryError(pool, "/x", errors.ProtocolError("y")),
        errors.ReadTimeoutError(pool, "/x", "late"),
        errors.HostChangedError(None, "/x"),
    ]
    back = [pickle.loads(pickle.dumps(error)) for error in made[:-1]]
    return [(type(error).__name__, str(error), getattr(error, "url", None)) for error in back]


@shows
def text_in_chunks_is_utf_8(w: World) -> Any:
    server = w.always()
    for body in (["\u00fc"], "\u00fc", io.StringIO("\u00fc")):
        w.manager().request("POST", server.url, body=body, chunked=True)
    return [request.body for request in server.requests]


@shows
def negative_amounts(w: World) -> Any:
    answer = w.manager().request("GET", f"{w.echo.url}/bytes/9", preload_content=False)
    return (
        answer.read(4),
        answer.read(-1),
        w.manager().request("GET", f"{w.echo.url}/bytes/9", preload_content=False).read1(-1),
    )


@shows
def shutting_down_is_for_responses_under_way(w: World) -> Any:
    done = w.manager().request("GET", f"{w.echo.url}/bytes/9")
    under_way = w.manager().request("GET", f"{w.echo.url}/bytes/9", preload_content=False)
    under_way.shutdown()
    return w.error(done.shutdown, RuntimeError)


@shows
def redirects_are_limited_by_the_manager(w: World) -> Any:
    loop = w.serve(default=answering(response(b"", status=302, headers=[("Location", "/again")])))
    found = []
    for retries in (0, 1, False, w.lib.Retry(2), w.lib.Retry(redirect=1)):
        before = len(loop.requests)
        try:
            outcome: Any = w.manager(retries=retries).request("GET", loop.url).status
        except w.exceptions.MaxRetryError as error:
            outcome = type(error.reason).__name__
        found.append((outcome, len(loop.requests) - before))
    return found


@shows
def an_ipv6_proxy(w: World) -> Any:
    seen = []
    with mock.patch.object(
        w.module("connection").HTTPSConnection, "set_tunnel", lambda *args, **kw: seen.append(kw or args[1:])
    ):
        http = w.lib.ProxyManager("http://[::1]:1", retries=False)
        pool = http.connection_from_host("::1", 443, scheme="https")
        w.error(lambda: pool.request("GET", "/"))
    return seen[0]["host"], seen[0]["port"], pool.host, pool.proxy.host


# --- 2.6 to 2.8 -------------------------------------------------------------------------------------------------------


@shows
def flags_of_verification(w: World) -> Any:
    context = w.util.create_urllib3_context(verify_flags=ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_CRL_CHECK_LEAF)
    default = w.util.create_urllib3_context().verify_flags
    return bool(context.verify_flags & ssl.VERIFY_CRL_CHECK_LEAF), int(default)


@shows
def keys_of_headers_as_bytes(w: World) -> Any:
    headers = w.lib.HTTPHeaderDict({"A": "b"})
    found = headers[b"a"], b"A" in headers, headers.getlist(b"a"), headers.get(b"none")
    headers[b"C"] = "d"
    del headers[b"a"]
    return found, list(headers.items())


@shows
def connections_say_where_to(w: World) -> Any:
    conn, https = w.connection(w.echo), w.module("connection").HTTPSConnection("h.test")
    return str(conn), repr(conn), str(https)


@shows
def a_number_as_the_managers_retries(w: World) -> Any:
    http = w.manager(retries=2)
    return type(http.connection_pool_kw["retries"]).__name__, http.connection_pool_kw["retries"].total


@shows
def packed_chunks_are_left_over_nowhere(w: World) -> Any:
    packed = gzip.compress(b"a" * 5000)
    wire = chunked_response([packed[:10], packed[10:]], headers=[("Content-Encoding", "gzip")])
    answer = w.manager().request("GET", w.serve(default=[Recv(), Send(wire)]).url, preload_content=False)
    parts = list(answer.read_chunked(1000))
    return b"".join(parts) == b"a" * 5000, max(map(len, parts)) <= 1000, b"" in parts


@shows
def reading_on_after_a_part(w: World) -> Any:
    packed = zlib.compress(b"0123456789" * 100)
    server = w.always(packed, headers=[("Content-Encoding", "deflate")])
    answer = w.manager().request("GET", server.url, preload_content=False)
    return answer.read(3), len(answer.read(None)), answer.data == b"", answer.read(None)


@shows
def nothing_asked_for(w: World) -> Any:
    def answer(path: str) -> Any:
        return w.manager().request("GET", w.echo.url + path, preload_content=False)

    return (
        list(answer("/bytes/5").stream(0)),
        list(answer("/chunked?n=2").stream(0)),
        list(answer("/chunked?n=2").read_chunked(0)),
    )


@shows
def decoders_of_ones_own(w: World) -> Any:
    """The interface of decoders: how much may come out, and whether more is to come."""
    decoder = w.module("response")._get_decoder("gzip")
    packed = gzip.compress(b"x" * 1000)
    first = decoder.decompress(packed, max_length=10)
    left = decoder.has_unconsumed_tail
    rest = b""
    while decoder.has_unconsumed_tail:
        rest += decoder.decompress(b"", max_length=100)
    return first, left, len(rest + decoder.flush())


@shows
def a_port_of_zero(w: World) -> Any:
    urls = ["http://h.test:0/", "http://h.test/", "https://h.test:0"]
    return [w.lib.connection_from_url(url).port for url in urls], w.util.parse_url("http://h:0").port


@shows
def fragments_are_not_sent(w: World) -> Any:
    server, proxy = w.always(), w.proxy()
    http = w.stack.enter_context(w.lib.ProxyManager(proxy.url, timeout=5.0))
    http.request("GET", f"{server.url}/a?b#c")
    w.pool(server).urlopen("GET", f"{server.url}/a?b#c")
    w.pool(server).urlopen("GET", "/a?b#c")
    return proxy.requests[0].target, [request.target for request in server.requests]


@shows
def assertions_are_not_for_plain_pools(w: World) -> Any:
    http = w.manager(assert_hostname="x.test", assert_fingerprint="ab" * 32, server_hostname="y.test")
    pool = http.connection_from_url(w.echo.url)
    return http.request("GET", f"{w.echo.url}/bytes/1").data, sorted(pool.conn_kw)


@shows
def see_other_drops_the_body_and_its_framing(w: World) -> Any:
    server = w.serve(default=answering(response(b"", status=303, headers=[("Location", "/there")]), response(b"ok")))
    own = {"Content-Type": "text/plain", "X-Kept": "yes"}
    w.manager().request("POST", server.url, body=[b"a", b"b"], headers=own)
    return [
        (r.line, r.header("Transfer-Encoding"), r.header("Content-Type"), r.header("X-Kept")) for r in server.requests
    ]


@shows
def what_tells_but_does_not_seek(w: World) -> Any:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.left = [b"abc", b""]

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            return self.left.pop(0) if self.left else b""

        def tell(self) -> int:
            return 0

        def seek(self, *args: Any) -> int:
            raise OSError("cannot")

    lost = w.serve(default=[Recv(), Close()])
    return w.error(lambda: w.manager().request("PUT", lost.url, body=Pipe(), retries=2)), len(lost.requests)


@shows
def queues_patched_late(w: World) -> Any:
    class Late(queue.LifoQueue):  # type: ignore[type-arg]
        pass

    with mock.patch.object(queue, "LifoQueue", Late):
        answer = w.manager().request("GET", f"{w.echo.url}/bytes/1")
    own = type("Own", (w.lib.HTTPConnectionPool,), {"QueueCls": Late})
    return answer.data, type(own("h.test").pool).__name__


@shows
def addresses_in_odd_forms(w: World) -> Any:
    check = w.module("util.ssl_").is_ipaddress
    return [
        check(text) for text in ("127.0.0.1", "0x7f000001", "0177.0.0.1", "2130706433", "::1", "h.test", b"1.2.3.4")
    ]


@shows
def credentials_out_of_a_url(w: World) -> Any:
    url = w.util.parse_url("http://us%65r:p%3Aw@h/")
    return url.auth, url.auth_decoded, url.auth_decoded_joined, w.util.parse_url("http://user@h").auth_decoded_joined


@shows
def warnings_of_retries_say_which_host(w: World) -> Any:
    lost, seen = w.serve([Recv(), Close()], default=answering(response())), []
    handler = logging.Handler()
    handler.emit = seen.append  # type: ignore[assignment, method-assign]
    logger = logging.getLogger(f"{w.package}.connectionpool")
    logger.addHandler(handler)
    try:
        w.manager().request("GET", lost.url, retries=1)
    finally:
        logger.removeHandler(handler)
    return [(r.levelname, r.__dict__.get("__urllib3-retry-warning")) for r in seen if r.levelname == "WARNING"]


@shows
def folded_fields(w: World) -> Any:
    wire = b"HTTP/1.1 200 OK\r\nX-Long: one\r\n  two\r\n\tthree\r\nContent-Length: 0\r\n\r\n"
    return w.manager().request("GET", w.serve(default=[Recv(), Send(wire)]).url).headers["x-long"]


@shows
def hosts_are_checked(w: World) -> Any:
    hosts = ["h%0d%0a.test", "h%20.test", "h%.test", "h%zz.test", "Ex%41mple.test", "h\x7f.test", "a..b"]

    def host(text: str) -> Any:
        try:
            return w.util.parse_url(f"http://{text}/").host
        except w.exceptions.LocationParseError:
            return "refused"

    return [host(text) for text in hosts]


@shows
def a_bad_timeout_and_a_pool_that_blocks(w: World) -> Any:
    pool = w.pool(w.echo, maxsize=1, block=True)
    refused = [w.error(lambda value=value: pool.urlopen("GET", "/", timeout=value), ValueError) for value in (-1, "x")]  # type: ignore[misc]
    return refused, pool.urlopen("GET", "/bytes/1", pool_timeout=0.1).data


@shows
def json_that_is_not(w: World) -> Any:
    server = w.always(b"\xef\xbb\xbf{}")
    return w.error(lambda: w.manager().request("GET", server.url).json(), json.JSONDecodeError)


@shows
def http2_is_switched_on_by_name(w: World) -> Any:
    pytest.importorskip("h2")
    http2 = importlib.import_module(f"{w.package}.http2")
    before = w.module("connection").HTTPSConnection
    http2.inject_into_urllib3()
    try:
        during = w.module("connection").HTTPSConnection.__name__, list(w.util.ALPN_PROTOCOLS)
    finally:
        http2.extract_from_urllib3()
    return during, w.module("connection").HTTPSConnection is before, list(w.util.ALPN_PROTOCOLS)


@pytest.mark.parametrize("name", shows.names())
def test_as_documented(name: str, gear: str, echo: EchoServer, certs: Authority) -> None:
    shows.check(name, gear, echo, certs)
