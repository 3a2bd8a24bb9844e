"""What urllib3's guides say of streaming, codings, TLS, proxies and mocking, with either library."""

from __future__ import annotations

import codecs
import gzip
import io
import itertools
import json
import os
import ssl
import tempfile
import zlib
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from compat.documented import Programs, World, answering
from servers.certs import Authority
from servers.echo import EchoServer, pattern
from servers.proxy import refuse
from servers.scripted import Close, Hold, Recv, Send, response
from servers.tls import PLAIN_HTTP

shows = Programs()


# --- streaming --------------------------------------------------------------------------------------------------------


def streamed(w: World, path: str = "/bytes/1024", **options: Any) -> Any:
    return w.manager().request("GET", w.echo.url + path, preload_content=False, **options)


@shows
def chunks_of_a_stream(w: World) -> Any:
    answer = streamed(w)
    sizes = [len(chunk) for chunk in answer.stream(100)]
    answer.release_conn()
    return sizes, answer.closed, answer.tell(), [len(chunk) for chunk in streamed(w, "/chunked?n=3&size=10").stream()]


@shows
def lazily(w: World) -> Any:
    """Only what is asked for is read off the socket."""
    slow = w.serve([Recv(), Send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc"), Hold()])
    answer = w.manager(timeout=0.2).request("GET", slow.url, preload_content=False)
    return answer.status, answer.read(3), w.error(lambda: answer.read(3))


@shows
def like_a_file(w: World) -> Any:
    answer = streamed(w)
    first = answer.read(4), answer.readable(), answer.writable(), answer.seekable()
    return first, io.BufferedReader(streamed(w), 8).read(4), len(answer.read()), answer.read(), answer.closed


@shows
def decoded_by_codecs(w: World) -> Any:
    reader = codecs.getreader("utf-8")
    answer = w.manager().request("GET", w.always('{"a": "\u00fc"}'.encode()).url, preload_content=False)
    return json.load(reader(answer)), json.load(streamed(w, "/echo"))["method"]


@shows
def reading_into_a_buffer(w: World) -> Any:
    answer, buffer = streamed(w), bytearray(10)
    sizes = [answer.readinto(buffer), answer.readinto(memoryview(buffer)[:3])]
    return sizes, bytes(buffer)


@shows
def lines(w: World) -> Any:
    server = w.always(b"one\ntwo\r\n\nlast")
    answer = w.manager().request("GET", server.url, preload_content=False)
    return list(answer), list(w.manager().request("GET", server.url, preload_content=False))


@shows
def draining_and_releasing(w: World) -> Any:
    server = w.always(pattern(5000))
    pool = w.pool(server)
    answer = pool.urlopen("GET", "/", preload_content=False)
    answer.read(10)
    answer.drain_conn()
    answer.release_conn()
    kept = pool.urlopen("GET", "/").status, len(server.connections)
    closed = pool.urlopen("GET", "/", preload_content=False)
    closed.close()
    return kept, closed.closed, pool.urlopen("GET", "/").status, len(server.connections)


@shows
def in_a_with_block(w: World) -> Any:
    with streamed(w) as answer:
        first = answer.read(3)
    return first, answer.closed


@shows
def releasing_by_hand(w: World) -> Any:
    server = w.always(b"abc")
    pool = w.pool(server, maxsize=1, block=True)
    answer = pool.urlopen("GET", "/", release_conn=False)
    held = w.error(lambda: pool.urlopen("GET", "/", pool_timeout=0.02))
    answer.release_conn()
    return held, pool.urlopen("GET", "/", pool_timeout=1).data, answer.data


@shows
def stopping_from_elsewhere(w: World) -> Any:
    server = w.serve([Recv(), Send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc"), Hold()])
    answer = w.manager().request("GET", server.url, preload_content=False)
    first = answer.read(3)
    answer.shutdown()
    done = w.manager().request("GET", w.always(b"x").url)
    return (
        first,
        w.error(lambda: answer.read()),
        w.error(done.shutdown, RuntimeError),
        w.error(w.lib.HTTPResponse(b"").shutdown, ValueError),
    )


# --- codings ----------------------------------------------------------------------------------------------------------


def coded(w: World, coding: str, body: bytes, **options: Any) -> Any:
    server = w.always(body, headers=[("Content-Encoding", coding)])
    return w.manager().request("GET", server.url, **options)


@shows
def codings_are_undone(w: World) -> Any:
    text = b"hello " * 50
    raw = zlib.compressobj(wbits=-15)
    bare = raw.compress(text) + raw.flush()
    twice = zlib.compress(gzip.compress(text))
    bodies = {"gzip": gzip.compress(text), "x-gzip": gzip.compress(text), "deflate": zlib.compress(text)}
    return [
        [coded(w, coding, body).data == text for coding, body in bodies.items()],
        coded(w, "deflate", bare).data == text,
        coded(w, "gzip, deflate", twice).data == text,
        coded(w, "compress", text).data == text,
        coded(w, "gzip", bodies["gzip"], decode_content=False).data[:2],
        b"".join(coded(w, "gzip", bodies["gzip"], preload_content=False).stream(7)) == text,
        coded(w, "gzip", bodies["gzip"], preload_content=False).read(5),
        w.error(lambda: coded(w, "gzip", b"not gzip at all")),
        w.error(lambda: coded(w, ", ".join(["gzip"] * 6), bodies["gzip"])),
    ]


@shows
def brotli(w: World) -> Any:
    library = pytest.importorskip("brotli")
    text = b"hello " * 50
    told = w.told(headers={"Accept-Encoding": "br"})
    return (
        told,
        coded(w, "br", library.compress(text)).data == text,
        "br" in w.util.make_headers(accept_encoding=True)["accept-encoding"],
    )


@shows
def zstandard(w: World) -> Any:
    library = pytest.importorskip("backports.zstd")
    text = b"hello " * 50
    frames = library.compress(text) + library.compress(b"again")
    return coded(w, "zstd", frames).data, w.util.make_headers(accept_encoding=True)


@shows
def raw_and_decoded_reading_do_not_mix(w: World) -> Any:
    answer = coded(w, "gzip", gzip.compress(b"hello"), preload_content=False)
    first = answer.read(2)
    return first, w.error(lambda: answer.read(2, decode_content=False), RuntimeError)


@shows
def coding_turned_off_for_good(w: World) -> Any:
    answer = coded(w, "gzip", gzip.compress(b"hello"), preload_content=False, decode_content=False)
    return answer.decode_content, answer.read()[:2]


# --- TLS --------------------------------------------------------------------------------------------------------------


@shows
def verified_by_default(w: World) -> Any:
    server = w.serve_tls()
    unverified, warned = w.warned(lambda: w.manager(cert_reqs="CERT_NONE").request("GET", server.url))
    return [
        w.error(lambda: w.manager().request("GET", server.url, retries=False)),
        w.error(lambda: w.manager().request("GET", server.url, retries=0)),
        w.secure().request("GET", server.url).data,
        w.manager(cert_reqs="CERT_REQUIRED", ca_certs=w.certs.ca_file).request("GET", server.url).data,
        (unverified.data, warned),
    ]


@shows
def an_expired_certificate(w: World) -> Any:
    server = w.serve_tls(certificate=w.certs.expired())
    return w.error(lambda: w.secure().request("GET", server.url)), server.requests


@shows
def by_address_with_another_name(w: World) -> Any:
    server = w.serve_tls(certificate=w.certs.server("example.test"))
    pool = w.pool(server, ca_certs=w.certs.ca_file, server_hostname="example.test")
    answer = pool.request("GET", "/", headers={"Host": "example.test"}, assert_same_host=False)
    wrong = w.pool(server, ca_certs=w.certs.ca_file)
    refused = w.error(lambda: wrong.request("GET", "/", retries=False))
    return answer.data, server.connections[0].sni, server.requests[0].header("Host"), refused


@shows
def a_name_asserted(w: World) -> Any:
    server = w.serve_tls(certificate=w.certs.server("example.test"))

    def ask(**options: Any) -> Any:
        return w.secure(**options).request("GET", server.url, retries=False).data

    own = {"assert_fingerprint": w.certs.localhost.fingerprint()}
    return [
        ask(assert_hostname="example.test"),
        ask(assert_hostname=False),
        w.error(lambda: ask(assert_hostname="wrong.test")),
        w.error(lambda: ask(**own)),
    ]


@shows
def client_certificates(w: World) -> Any:
    server = w.serve_tls(client_ca=w.certs.ca_file)
    plain, locked = w.certs.client("anna"), w.certs.client("anna", password="sesame")

    def ask(certificate: Any, **options: Any) -> Any:
        files = {"cert_file": certificate.cert_file, "key_file": certificate.key_file}
        return w.secure(**files, **options).request("GET", server.url, retries=False).data

    return (
        ask(plain),
        ask(locked, key_password="sesame"),
        w.error(lambda: ask(locked, key_password="wrong")),
        server.connections[0].client_name,
    )


@shows
def versions(w: World) -> Any:
    v12, v13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
    server, old = w.serve_tls(), w.serve_tls(maximum=v12)
    for options in ({}, {"ssl_maximum_version": v12}, {"ssl_minimum_version": v13}):
        w.secure(**options).request("GET", server.url)
    refused = w.error(lambda: w.secure(ssl_minimum_version=v13).request("GET", old.url, retries=0))
    return [conn.version for conn in server.connections[:3]], refused, w.secure().request("GET", old.url).status


@shows
def the_exact_version_is_deprecated(w: World) -> Any:
    server = w.serve_tls()
    http = w.secure(ssl_version=ssl.PROTOCOL_TLSv1_2)
    answer, warned = w.warned(lambda: http.request("GET", server.url))
    return answer.data, sorted(set(warned)), server.connections[0].version


@shows
def contexts_of_ones_own(w: World) -> Any:
    server = w.serve_tls()
    context = w.util.create_urllib3_context()
    context.load_verify_locations(w.certs.ca_file)
    context.options |= ssl.OP_ENABLE_MIDDLEBOX_COMPAT
    chosen = w.util.create_urllib3_context(ciphers="ECDHE+AESGCM", ssl_maximum_version=ssl.TLSVersion.TLSv1_2)
    chosen.load_verify_locations(w.certs.ca_file)
    strict = ssl.create_default_context(cafile=w.certs.ca_file)
    answers = [w.manager(ssl_context=c).request("GET", server.url).data for c in (context, chosen, strict)]
    facts = [
        context.minimum_version.name,
        context.verify_mode.name,
        context.check_hostname,
        len(context.get_ca_certs()),
    ]
    return answers, facts, bool(context.options & ssl.OP_NO_COMPRESSION), server.connections[1].version


@shows
def options_that_are_replaced(w: World) -> Any:
    context = w.util.create_urllib3_context(options=ssl.OP_NO_RENEGOTIATION)
    return bool(context.options & ssl.OP_NO_RENEGOTIATION), bool(context.options & ssl.OP_NO_TICKET)


@shows
def the_log_of_keys(w: World) -> Any:
    server, directory = w.serve_tls(), tempfile.mkdtemp(dir=w.certs.directory)
    with mock.patch.dict(os.environ, SSLKEYLOGFILE=f"{directory}/keys.log"):
        w.secure().request("GET", server.url)
        noted = Path(directory, "keys.log").read_text()
    with mock.patch.dict(os.environ, SSLKEYLOGFILE=""):
        empty = w.util.create_urllib3_context().keylog_filename
    return "CLIENT_TRAFFIC_SECRET_0" in noted, empty


@shows
def what_is_offered_over_tls(w: World) -> Any:
    server = w.serve_tls()
    w.secure().request("GET", f"https://localhost:{server.port}/")
    conn = server.connections[0]
    return conn.alpn, conn.sni


# --- proxies ----------------------------------------------------------------------------------------------------------


def through(w: World, proxy: Any, **options: Any) -> Any:
    options.setdefault("ca_certs", w.certs.ca_file)
    return w.stack.enter_context(w.lib.ProxyManager(proxy.url, timeout=5.0, **options))


@shows
def http_by_an_http_proxy(w: World) -> Any:
    # The proxy forwards one request on each connection, until the server closes.
    one, two = (w.serve(default=[Recv(), Send(response(body)), Close()]) for body in (b"1", b"2"))
    proxy = w.proxy()
    http = through(w, proxy, proxy_headers={"X-Proxy": "p"})
    answers = [http.request("GET", f"{server.url}/a?b").data for server in (one, two)]
    lines = [request.line for request in proxy.requests]
    fields = [name for name, _ in proxy.requests[0].headers]
    return answers, lines, fields, len(http.pools)


@shows
def https_by_an_http_proxy(w: World) -> Any:
    server, other, proxy = w.serve_tls(), w.serve_tls(), w.proxy()
    http = through(w, proxy, proxy_headers={"X-Proxy": "p"})
    answers = [http.request("GET", target.url).data for target in (server, server, other)]
    told = [(request.method, request.target, request.header("X-Proxy")) for request in proxy.requests]
    return answers, told, server.requests[0].header("X-Proxy"), len(http.pools), len(server.connections)


@shows
def http_by_an_https_proxy(w: World) -> Any:
    server, proxy = w.always(b"1"), w.proxy(tls=True)
    return through(w, proxy).request("GET", server.url).data, [r.line for r in proxy.requests]


@shows
def https_by_an_https_proxy(w: World) -> Any:
    server, proxy = w.serve_tls(), w.proxy(tls=True)
    context = ssl.create_default_context(cafile=w.certs.ca_file)
    by_context = through(w, proxy, proxy_ssl_context=context).request("GET", server.url).data
    return through(w, proxy).request("GET", server.url).data, by_context, [r.target for r in proxy.connects]


@shows
def https_forwarded_by_an_https_proxy(w: World) -> Any:
    proxy = w.proxy(tls=True, default=answering(response(b"by the proxy")))
    answer = through(w, proxy, use_forwarding_for_https=True).request("GET", "https://example.test/a")
    return answer.data, [request.line for request in proxy.requests], len(proxy.connects)


@shows
def whose_context_is_for_an_https_proxy(w: World) -> Any:
    """Its own, else the manager's if it forwards; in a tunnel that is for the origin only."""
    stranger = w.certs.stranger()
    rules: list[dict[str, Any]] = [
        {"ssl_context": trusting(w.certs)},
        {"ssl_context": trusting(stranger), "ca_certs": w.certs.ca_file},
        {"ssl_context": trusting(w.certs), "proxy_ssl_context": trusting(stranger)},
        {"ssl_context": trusting(w.certs), "proxy_assert_hostname": "wrong.test"},
        {"ssl_context": trusting(w.certs), "assert_hostname": "wrong.test", "server_hostname": "wrong.test"},
    ]
    proxies = [w.proxy(tls=True, default=refuse(403), certificate=by.localhost) for by in (w.certs, stranger)]
    ways = [("http", False), ("http", True), ("https", True), ("https", False)]
    return [asked(w, *case) for case in itertools.product(proxies, rules, ways)]


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.ca_file)


def asked(w: World, proxy: Any, rule: dict[str, Any], way: tuple[str, bool]) -> Any:
    """The answer or the kind of error, and warnings."""
    scheme, forwards = way
    options = {**rule, "use_forwarding_for_https": forwards, "retries": False, "timeout": 5.0}

    def ask() -> Any:
        with w.lib.ProxyManager(proxy.url, **options) as http:
            try:
                return http.request("GET", f"{scheme}://h.test/").status
            except w.exceptions.ProxyError as error:
                return "certificate" in str(error), type(error.original_error).__name__

    return w.warned(ask)


@shows
def a_proxy_that_speaks_only_http(w: World) -> Any:
    proxy, server = w.proxy(default=PLAIN_HTTP), w.serve_tls()
    http = w.stack.enter_context(w.lib.ProxyManager(f"https://127.0.0.1:{proxy.port}", timeout=5.0))
    try:
        http.request("GET", server.url, retries=False)
    except w.exceptions.ProxyError as error:
        return "HTTP and not HTTPS" in str(error), type(error.original_error).__name__
    raise AssertionError


@shows
def what_a_proxys_certificate_has_to_be_for(w: World) -> Any:
    certificate = w.certs.server("proxy.test")
    proxy, server = w.proxy(tls=True, certificate=certificate), w.serve_tls()

    def ask(**options: Any) -> Any:
        return through(w, proxy, **options).request("GET", server.url, retries=False).data

    return [
        w.error(ask),
        ask(proxy_assert_hostname="proxy.test"),
        ask(proxy_assert_fingerprint=certificate.fingerprint()),
        w.error(lambda: ask(proxy_assert_hostname="other.test")),
    ]


@shows
def credentials_for_a_proxy(w: World) -> Any:
    server, proxy = w.always(), w.proxy()
    headers = w.util.make_headers(proxy_basic_auth="user:pass word")
    through(w, proxy, proxy_headers=headers).request("GET", server.url)
    return headers, proxy.requests[0].header("Proxy-Authorization"), server.requests[0].header("Proxy-Authorization")


@shows
def nobody_at_the_proxy(w: World) -> Any:
    http = w.lib.ProxyManager("http://127.0.0.1:1")
    return [w.error(lambda url=url: http.request("GET", url, retries=1)) for url in ("http://h.test", "https://h.test")]


@shows
def a_manager_from_a_url(w: World) -> Any:
    proxy, server = w.proxy(), w.always()
    http = w.stack.enter_context(w.lib.proxy_from_url(proxy.url, maxsize=2))
    return type(http).__name__, http.request("GET", server.url).data, http.proxy.host, http.proxy_headers


@shows
def socks_proxies(w: World) -> Any:
    pytest.importorskip("socks")
    manager, server, secure = w.module("contrib.socks").SOCKSProxyManager, w.always(), w.serve_tls()
    found = []
    for scheme in ("socks4", "socks4a", "socks5", "socks5h"):
        proxy = w.socks()
        http = w.stack.enter_context(manager(proxy.socks_url(scheme), ca_certs=w.certs.ca_file, timeout=5.0))
        answers = http.request("GET", server.url).data, http.request("GET", secure.url).data
        name = http.request("GET", f"http://localhost:{server.port}/").data
        asked = proxy.asked[2]
        found.append((scheme, answers, name, asked.version, asked.address_type))
    return found


@shows
def credentials_for_a_socks_proxy(w: World) -> Any:
    pytest.importorskip("socks")
    manager, server = w.module("contrib.socks").SOCKSProxyManager, w.always()
    proxy = w.socks(users={"kim": "p:ss"})

    def ask(url: str, **options: Any) -> Any:
        return (
            w.stack.enter_context(manager(url, timeout=5.0, **options)).request("GET", server.url, retries=False).data
        )

    place = f"127.0.0.1:{proxy.port}"
    return [
        ask(f"socks5h://kim:p%3Ass@{place}"),
        ask(f"socks5://{place}", username="kim", password="p:ss"),
        w.error(lambda: ask(f"socks5h://kim:wrong@{place}")),
        ask(f"socks4a://kim@{place}"),
        [(asked.user, asked.password) for asked in proxy.asked],
        w.error(lambda: manager("http://127.0.0.1:1"), ValueError),
    ]


# --- in the tests of programs -----------------------------------------------------------------------------------------


@shows
def managers_can_be_mocked(w: World) -> Any:
    canned = w.lib.HTTPResponse(b'{"a": 1}', status=201, headers={"X": "y"}, reason="Created")
    with mock.patch.object(w.lib.PoolManager, "request", return_value=canned) as request:
        answer = w.manager().request("POST", "http://nowhere.test/", json={})
    with mock.patch.object(w.lib.HTTPConnectionPool, "urlopen", return_value=canned) as urlopen:
        http = w.manager()
        other = http.request("GET", "http://nowhere.test/path")
        http.request("GET", "http://nowhere.test/path")
    with mock.patch.object(w.lib.PoolManager, "urlopen", return_value=canned) as upper:
        w.manager().request("GET", "http://nowhere.test/", fields={"a": "b"})
    calls = [*urlopen.call_args_list, upper.call_args]
    return (
        answer.json(),
        answer.status,
        request.call_args.args,
        other.data,
        [(call.args, sorted(call.kwargs)) for call in calls],
    )


@shows
def pools_by_which_arguments_are_known_by_name(w: World) -> Any:
    seen = []

    class Own(w.lib.HTTPConnectionPool):  # type: ignore[misc, name-defined]
        def urlopen(self, method: str, url: str, **keywords: Any) -> Any:
            seen.append((method, url, keywords["redirect"], keywords["headers"]))
            return super().urlopen(method, url, **keywords)

    http = w.manager(headers={"A": "b"})
    http.pool_classes_by_scheme = {"http": Own}
    return [http.request("GET", f"{w.echo.url}/bytes/1").data for _ in range(2)], seen


@shows
def connections_can_be_mocked(w: World) -> Any:
    made = []

    class Recorded(w.module("connection").HTTPConnection):  # type: ignore[misc, name-defined]
        def request(self, method: str, url: str, *args: Any, **keywords: Any) -> None:
            made.append((method, url))
            super().request(method, url, *args, **keywords)

    server = w.always(b"ok")
    with mock.patch.object(w.lib.HTTPConnectionPool, "ConnectionCls", Recorded):
        answer = w.manager().request("GET", f"{server.url}/a")
    return answer.data, made


@shows
def responses_made_by_hand(w: World) -> Any:
    make = w.lib.HTTPResponse
    packed = make(io.BytesIO(gzip.compress(b"abc")), headers={"content-encoding": "gzip"}, preload_content=False)
    text = make("t\u00ebxt")
    return [
        make(b"abc").data,
        make(io.BytesIO(b"abc")).data,
        packed.read(2),
        packed.read(),
        text.data,
        list(make(io.BytesIO(b"abcdef"), preload_content=False).stream(4)),
        make(b"", status=303, headers={"Location": "/x"}).get_redirect_location(),
        make(b"", status=303).get_redirect_location(),
        make(b"", status=200, headers={"Location": "/x"}).get_redirect_location(),
        make(b"{}").json(),
    ]


@shows
def names_can_be_pinned_by_hand(w: World) -> Any:
    server, util = w.always(), w.module("util.connection")
    original = util.create_connection

    def pinned(address: Any, *args: Any, **keywords: Any) -> Any:
        return original(("127.0.0.1", address[1]), *args, **keywords)

    with mock.patch.object(util, "create_connection", pinned):
        answer = w.manager().request("GET", f"http://pinned.test:{server.port}/")
    return answer.data, server.requests[0].header("Host")


@pytest.mark.parametrize("name", shows.names())
def test_as_documented(name: str, gear: str, echo: EchoServer, certs: Authority) -> None:
    shows.check(name, gear, echo, certs)
