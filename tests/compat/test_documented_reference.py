"""What the reference of urllib3 says of each class and function, with either library.

Signatures are compared in test_surface.py, the hierarchy of exceptions in test_exceptions_against_urllib3.py; here are
the sentences about behaviour.
"""

from __future__ import annotations

import datetime
import email.utils
import io
import socket
import ssl
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from compat.documented import Programs, World, answering
from servers.certs import Authority
from servers.echo import EchoServer, pattern
from servers.scripted import Close, Recv, Send, chunked_response, response

shows = Programs()


# --- managers ---------------------------------------------------------------------------------------------------------


@shows
def ways_to_a_pool(w: World) -> Any:
    http = w.manager(maxsize=3)
    by_host = http.connection_from_host("h.test")
    given = http.connection_from_url("http://h.test/path", pool_kwargs={"maxsize": 7})
    context = {"scheme": "http", "host": "h.test", "port": 80, **http.connection_pool_kw}
    key = w.module("poolmanager").key_fn_by_scheme["http"](dict(context))
    return [
        [by_host.host, by_host.port, type(by_host).__name__, http.connection_from_url("http://H.test:80") is by_host],
        [
            http.connection_from_context(dict(context)) is by_host,
            http.connection_from_pool_key(key, context) is by_host,
        ],
        [given is by_host, given.pool.maxsize, by_host.pool.maxsize, given.timeout.connect_timeout],
        [http.connection_from_host("h.test", scheme="https").port, http.connection_from_host("h.test", 81).port],
        w.error(lambda: http.connection_from_host("", scheme="http")),
        w.error(lambda: http.connection_from_host("h.test", scheme="gopher")),
        len(http.pools),
    ]


@shows
def clearing_a_manager(w: World) -> Any:
    server = w.always()
    http = w.manager()
    held = http.request("GET", server.url, preload_content=False)
    http.clear()
    return len(http.pools), held.data, http.request("GET", server.url).data, len(server.connections)


@shows
def options_of_pools(w: World) -> Any:
    pool = w.lib.HTTPConnectionPool("h.test", timeout=3, headers={"A": "b"}, retries=2, maxsize=4, block=True)
    by_url = w.lib.connection_from_url("https://h.test:8443/x", maxsize=2, timeout=w.lib.Timeout(1))
    return [
        [pool.host, pool.port, pool.scheme, pool.headers, pool.retries, pool.block, str(pool)],
        [type(pool.timeout).__name__, pool.timeout.connect_timeout, pool.num_connections, pool.num_requests],
        [type(by_url).__name__, by_url.port, by_url.timeout.total, str(by_url)],
        [w.lib.connection_from_url("http://h.test").port, w.lib.connection_from_url("http://h.test:0").port],
    ]


@shows
def which_urls_belong_to_a_pool(w: World) -> Any:
    plain, secure = w.lib.HTTPConnectionPool("h.test"), w.lib.HTTPSConnectionPool("h.test", 444)
    urls = ["/x", "http://h.test", "http://H.test:80/x", "https://h.test", "http://other.test", "https://h.test:444/"]
    return [(plain.is_same_host(url), secure.is_same_host(url)) for url in urls]


@shows
def pools_keep_to_their_host(w: World) -> Any:
    elsewhere, server = w.always(b"elsewhere"), w.always(b"here")
    pool = w.pool(server)
    return [
        w.error(lambda: pool.urlopen("GET", elsewhere.url + "/x", retries=False)),
        pool.urlopen("GET", elsewhere.url + "/x", assert_same_host=False).data,
        server.requests[0].line,
        pool.urlopen("GET", f"{server.url}/y").data,
    ]


@shows
def headers_of_a_pool(w: World) -> Any:
    server = w.always()
    pool = w.pool(server, headers={"A": "b"})
    pool.request("GET", "/")
    pool.request("GET", "/", headers={"C": "d"})
    pool.request("GET", "/", headers={})
    return [[name for name, _ in request.headers if len(name) == 1] for request in server.requests]


@shows
def targets_of_a_pool(w: World) -> Any:
    server = w.always()
    pool = w.pool(server)
    for target in ("/a b", "/%zz", "/\u00fc?\u00fc=1#f", "/../x", "/a/./b", "/x//y", "/%41"):
        pool.urlopen("GET", target)
    return [request.target for request in server.requests]


@shows
def bodies_in_chunks(w: World) -> Any:
    server = w.always()
    pool = w.pool(server)
    bodies: list[tuple[Any, bool]] = [(b"abc", True), (b"abc", False), (iter(["a", b"b"]), False), ("\u00fc", False)]
    bodies += [(io.BytesIO(b"abc"), False), (io.StringIO("\u00fc"), False), (bytearray(b"abc"), False)]
    for body, chunked in bodies:
        pool.urlopen("POST", "/", body=body, chunked=chunked)
    framing = [(r.header("Content-Length"), r.header("Transfer-Encoding"), r.body) for r in server.requests]
    return framing, w.error(lambda: pool.urlopen("POST", "/", body=5), TypeError)


@shows
def a_position_in_a_file(w: World) -> Any:
    lost = w.serve([Recv(), Close()], default=answering(response()))
    file = io.BytesIO(b"0123456789")
    file.seek(4)
    w.manager().request("PUT", lost.url, body=file, retries=1)
    other = w.serve([Recv(), Close()], default=answering(response()))
    file.seek(4)
    w.manager().request("PUT", other.url, body=file, retries=1, body_pos=8)
    return [request.body for request in (*lost.requests, *other.requests)]


@shows
def options_of_the_socket(w: World) -> Any:
    defaults = w.module("connection").HTTPConnection.default_socket_options
    alive = (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def facts(**options: Any) -> list[bool]:
        conn = w.connection(w.echo, **options)
        conn.connect()
        levels = [(socket.IPPROTO_TCP, socket.TCP_NODELAY), (socket.SOL_SOCKET, socket.SO_KEEPALIVE)]
        return [bool(conn.sock.getsockopt(*level)) for level in levels]

    return [list(map(int, option)) for option in defaults], [
        facts(),
        facts(socket_options=[*defaults, alive]),
        facts(socket_options=[]),
        facts(socket_options=None),
    ]


@shows
def the_source_address(w: World) -> Any:
    server = w.always()
    w.manager(source_address=("127.0.0.2", 0)).request("GET", server.url)
    w.connection(server, source_address=("127.0.0.3", 0)).connect()
    server.wait_over(0) if not server.connections else None
    return server.connections[0].peer[0]


@shows
def states_of_a_connection(w: World) -> Any:
    conn = w.connection(w.echo)

    def state() -> list[Any]:
        return [conn.is_closed, conn.is_connected, conn.is_verified, conn.has_connected_to_proxy, str(conn)]

    seen = [state()]
    conn.request("GET", "/bytes/3", headers={"A": "b"})
    answer = conn.getresponse()
    seen += [state(), answer.data, type(answer).__name__]
    conn.close()
    return [*seen, state(), conn.proxy_is_forwarding, conn.proxy_is_tunneling, conn.proxy_is_verified]


@shows
def tunnels_of_connections(w: World) -> Any:
    conn = w.connection(w.echo)
    conn.set_tunnel("h.test", 443, scheme="https")
    tunnel = conn.proxy_is_tunneling
    return tunnel, w.error(lambda: conn.set_tunnel("h.test", scheme="ftp"), ValueError)


# --- responses --------------------------------------------------------------------------------------------------------


def streamed(w: World, wire: bytes | None = None, path: str = "/bytes/20", **options: Any) -> Any:
    url = w.echo.url + path if wire is None else w.serve(default=[Recv(), Send(wire), Recv()]).url
    return w.manager().request("GET", url, preload_content=False, **options)


@shows
def reading_is_cached_or_not(w: World) -> Any:
    whole, part, kept = streamed(w), streamed(w), streamed(w)
    return [
        [whole.read()[:2], whole.read(), whole.data],
        [part.read(4), len(part.data), part.data == b"", part.read(4)],
        [kept.read(cache_content=True)[:2], kept.data[:2], kept.read()],
        [streamed(w).read(0), streamed(w).read(-1) == pattern(20), streamed(w).read(None) == pattern(20)],
    ]


@shows
def reading_what_is_there(w: World) -> Any:
    answer, chunks = streamed(w), streamed(w, chunked_response([b"abc", b"de"]))
    return [answer.read1(3), len(answer.read1()), answer.read1()], [chunks.read1(), chunks.read1(), chunks.read1()]


@shows
def chunk_by_chunk(w: World) -> Any:
    wire = chunked_response([b"abc", b"defg"], trailers=[("X-Late", "y")])
    return [
        list(streamed(w, wire).read_chunked()),
        list(streamed(w, wire).read_chunked(2)),
        list(streamed(w, wire).stream()),
        list(streamed(w, wire).stream(None)),
        streamed(w, wire).supports_chunked_reads(),
        streamed(w, wire).chunked,
        w.error(lambda: list(streamed(w).read_chunked())),
        w.error(lambda: list(w.lib.HTTPResponse(io.BytesIO(b"x"), preload_content=False).read_chunked())),
    ]


@shows
def what_a_file_object_tells(w: World) -> Any:
    answer = streamed(w)
    before = answer.fileno() > 0, answer.readable(), answer.tell(), answer.closed, answer.flush(), answer.isclosed()
    answer.read(5)
    told = answer.tell()
    answer.close()
    answer.close()
    by_hand = w.lib.HTTPResponse(io.BytesIO(b"x"), preload_content=False)
    return (
        before,
        told,
        answer.closed,
        w.error(by_hand.fileno, OSError),
        w.error(w.lib.HTTPResponse(b"x").fileno, OSError),
    )


@shows
def lengths_are_enforced(w: World) -> Any:
    short = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nabc"
    url = w.serve(default=[Recv(), Send(short)]).url
    loose = w.pool(w.serve(default=[Recv(), Send(short)]))
    return [
        w.error(lambda: w.manager().request("GET", url, retries=False)),
        w.error(lambda: w.manager().request("GET", url, preload_content=False).read()),
        list(loose.urlopen("GET", "/", preload_content=False, enforce_content_length=False).stream(2)),
        w.error(lambda: list(w.manager().request("GET", url, preload_content=False).stream(2))),
    ]


@shows
def what_is_left(w: World) -> Any:
    answer = streamed(w)
    seen = [answer.length_remaining, answer.read(5), answer.length_remaining]
    head = w.manager().request("HEAD", f"{w.echo.url}/bytes/20", preload_content=False)
    none = w.manager().request("GET", f"{w.echo.url}/status/204", preload_content=False)
    return seen, head.length_remaining, head.read(), none.length_remaining, none.read()


@shows
def where_a_redirect_leads(w: World) -> Any:
    def location(status: int, **headers: str) -> Any:
        return w.lib.HTTPResponse(b"", status=status, headers=headers).get_redirect_location()

    return [location(status, Location="/x") for status in (200, 300, 301, 302, 303, 304, 305, 307, 308)], location(302)


@shows
def the_policy_of_a_response(w: World) -> Any:
    flaky = w.serve([Recv(), Close()], default=answering(response(b"", status=500), response(b"ok")))
    policy = w.lib.Retry(3, status_forcelist=[500])
    answer = w.manager().request("GET", f"{flaky.url}/p", retries=policy)
    steps = [(step.method, step.url, type(step.error).__name__, step.status) for step in answer.retries.history]
    return answer.data, steps, answer.retries.total, policy.history, policy.total


# --- headers ----------------------------------------------------------------------------------------------------------


@shows
def a_container_of_headers(w: World) -> Any:
    make = w.lib.HTTPHeaderDict
    headers = make({"foo": "bar"}, X="y")
    headers.add("Foo", "baz")
    joined = headers["FOO"], list(headers.items()), len(headers), list(headers)
    headers.add("foo", "quz", combine=True)
    combined = list(headers.items())
    headers["FOO"] = "one"
    headers.extend([("a", "1"), ("A", "2")], b="3")
    merged = make({"a": "1"}) | {"A": "2", "c": "3"}
    return [
        joined,
        combined,
        list(headers.iteritems()),
        list(headers.itermerged()),
        [headers.getlist("a"), headers.getlist("none"), headers.getlist("none", None), headers.get("none", 5)],
        [headers.setdefault("foo", "z"), headers.setdefault("new", "z"), headers.pop("new"), "new" in headers],
        [headers == {"FOO": "one", "a": "1, 2", "x": "y", "B": "3"}, headers != {}, headers.discard("none")],
        [repr(merged), merged.copy() == merged, merged[b"a"], b"A" in merged, list(merged.items())],
        [w.error(lambda: headers["none"], KeyError), sorted(dict(headers).items())],
        list(make([("k", "1"), ("K", "2")]).items()),
    ]


# --- retries ----------------------------------------------------------------------------------------------------------


@shows
def counters_of_a_policy(w: World) -> Any:
    broken, refused = w.serve(default=[Recv(), Close()]), "http://127.0.0.1:1/"
    unhappy = w.serve(default=answering(response(b"", status=503)))

    def tries(url: str, server: Any, **options: Any) -> Any:
        before = len(server.requests) if server else 0
        names = w.error(lambda: w.manager().request("GET", url, retries=w.lib.Retry(**options)))
        return names, (len(server.requests) - before) if server else 0

    return [
        tries(refused, None, connect=1),
        tries(broken.url, broken, read=1),
        tries(broken.url, broken, total=None, read=2),
        tries(broken.url, broken, total=0, read=5),
        tries(broken.url, broken, total=False),
        tries(broken.url, broken, read=False),
        tries(unhappy.url, unhappy, status=1, status_forcelist=[503]),
        tries(unhappy.url, unhappy, total=2, status_forcelist={503}, redirect=0),
    ]


@shows
def statuses_that_are_tried_again(w: World) -> Any:
    unhappy = w.serve(default=answering(response(b"no", status=500)))

    def ask(verb: str = "GET", **options: Any) -> Any:
        before = len(unhappy.requests)
        policy = w.lib.Retry(2, **{"status_forcelist": [500], "raise_on_status": False, **options})
        return w.manager().request(verb, unhappy.url, retries=policy).status, len(unhappy.requests) - before

    return [
        ask(),
        ask("POST"),
        ask("POST", allowed_methods=None),
        ask("POST", allowed_methods={"POST"}),
        ask("GET", allowed_methods=frozenset({"POST"})),
        ask(status_forcelist=None),
        w.manager().request("GET", unhappy.url).status,
    ]


@shows
def how_long_it_waits(w: World) -> Any:
    slept: list[float] = []

    def waits(times: int, **options: Any) -> list[float]:
        unhappy = w.serve(default=answering(response(b"", status=500)))
        policy = w.lib.Retry(times, status_forcelist=[500], raise_on_status=False, **options)
        slept.clear()
        with mock.patch("time.sleep", slept.append):
            w.manager().request("GET", unhappy.url, retries=policy)
        return [round(seconds, 3) for seconds in slept]

    jittered = w.lib.Retry(5, backoff_factor=0.1, backoff_jitter=0.5)
    for _ in range(3):
        jittered = jittered.increment("GET", "/", error=w.exceptions.ProtocolError())
    bounds = {0.4 <= jittered.get_backoff_time() <= 0.9 for _ in range(50)}
    return waits(5, backoff_factor=0.1), waits(5, backoff_factor=1, backoff_max=3), waits(3), bounds == {True}


@shows
def when_the_server_says_how_long(w: World) -> Any:
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=100)
    slept: list[float] = []

    def waits(value: str, status: int = 503, **options: Any) -> list[float]:
        fields = [("Retry-After", value)]
        server = w.serve(default=answering(response(b"", status=status, headers=fields), response(b"ok")))
        slept.clear()
        with mock.patch("time.sleep", slept.append):
            w.manager().request("GET", server.url, retries=w.lib.Retry(2, **options))
        return [round(seconds / 10) for seconds in slept]

    return [
        waits("20"),
        waits("20", 429),
        waits("20", 413),
        waits("20", 500),
        waits("20", 500, status_forcelist=[500]),
        waits(email.utils.format_datetime(later, usegmt=True)),
        waits("999999"),
        waits("999999", retry_after_max=50),
        waits("20", respect_retry_after_header=False),
        w.error(lambda: waits("soon")),
    ]


@shows
def a_policy_by_itself(w: World) -> Any:
    policy = w.lib.Retry(3, redirect=1, status_forcelist=[500])
    next_one = policy.increment("GET", "/x", error=w.exceptions.ProtocolError("x"))
    moved = w.lib.HTTPResponse(b"", status=302, headers={"Location": "/y"})
    last = next_one.increment("GET", "/x", response=moved)
    numbers: list[Any] = [5, 0, None, True, False, policy]
    return [
        [policy.total, next_one.total, last.total, last.redirect, last.is_exhausted()],
        [(step.url, step.status, step.redirect_location) for step in last.history],
        w.error(lambda: last.increment("GET", "/x", response=moved)),
        [policy.is_retry("GET", 500), policy.is_retry("POST", 500), policy.is_retry("GET", 503, has_retry_after=True)],
        [(made.total, made.redirect) for made in map(w.lib.Retry.from_int, numbers)],
        [w.lib.Retry.from_int(2, redirect=False).redirect, w.lib.Retry.from_int(None, default=7).total],
        [policy.new(total=9).total, repr(policy), w.lib.Retry.DEFAULT.total, w.lib.Retry.DEFAULT_BACKOFF_MAX],
        [w.lib.Retry(False).redirect, w.lib.Retry(False).raise_on_redirect, w.lib.Retry(redirect=False).redirect],
    ]


@shows
def headers_left_behind(w: World) -> Any:
    elsewhere = w.always()

    def kept(**options: Any) -> list[str]:
        start = w.serve(default=answering(moved_to(f"http://localhost:{elsewhere.port}/")))
        fields = {"Authorization": "a", "X-Token": "b", "Cookie": "c"}
        w.manager().request("GET", start.url, headers=fields, retries=w.lib.Retry(3, **options))
        return [name for name, _ in elsewhere.requests[-1].headers if name in fields]

    return kept(), kept(remove_headers_on_redirect=["x-token"]), kept(remove_headers_on_redirect=[])


def moved_to(url: str, status: int = 302) -> bytes:
    return response(b"", status=status, headers=[("Location", url)])


# --- time-outs --------------------------------------------------------------------------------------------------------


@shows
def a_timeout_by_itself(w: World) -> Any:
    make = w.lib.Timeout
    total = make(connect=2, read=7, total=5)
    short = make(connect=8, total=5)
    before = w.error(make(total=3).get_connect_duration), make(total=3, read=1).read_timeout
    clone = total.clone()
    clone.start_connect()
    return [
        [total.connect_timeout, short.connect_timeout, make(3).connect_timeout, make(read=3).read_timeout],
        [round(clone.read_timeout, 1), clone.get_connect_duration() < 1, w.error(clone.start_connect), before],
        [make.from_float(4).connect_timeout, make.from_float(4).read_timeout, make.from_float(None).read_timeout],
        [repr(total), str(make(1)), make(connect=None).connect_timeout],
    ]


# --- helpers ----------------------------------------------------------------------------------------------------------


@shows
def headers_made(w: World) -> Any:
    make = w.util.make_headers
    return [
        make(keep_alive=True, user_agent="Batman/1.0"),
        make(accept_encoding="identity"),
        make(accept_encoding=["a", "b"]),
        make(accept_encoding=True),
        make(basic_auth="user:p\u00e4ss"),
        make(basic_auth="user:p\u00e4ss", basic_auth_encoding="utf-8"),
        make(proxy_basic_auth="user:\u20ac", proxy_basic_auth_encoding="utf-8"),
        w.error(lambda: make(basic_auth="\u20ac:x"), UnicodeEncodeError),
        make(disable_cache=True),
        make(),
    ]


@shows
def urls_parsed(w: World) -> Any:
    url = w.util.parse_url("HTTP://User:p%40ss@ExAmple.test:8080/a/../b c?q=\u00fc#f")
    bare, name = w.util.parse_url("/path?q"), w.util.parse_url("example.test:80")
    return [
        tuple(url),
        [url.hostname, url.request_uri, url.netloc, url.authority, url.url, str(url)],
        [url.auth_decoded, url.auth_decoded_joined, bare.auth_decoded_joined],
        [tuple(bare), bare.request_uri, tuple(name)],
        [tuple(w.util.Url("http", host="h", port=1, path="p")), w.util.Url("http", host="h", path="p").url],
        w.error(lambda: w.util.parse_url("http://h:99999")),
    ]


@shows
def looking_at_sockets(w: World) -> Any:
    one, other = socket.socketpair()
    with one, other:
        quiet = w.util.wait_for_read(one, timeout=0), w.util.wait_for_write(one, timeout=0)
        other.send(b"x")
        loud = w.util.wait_for_read(one, timeout=1)
    conn = w.connection(w.serve([Close()]))
    before = w.util.is_connection_dropped(conn)
    conn.connect()
    dropped = w.util.wait_for_read(conn.sock, timeout=2) and w.util.is_connection_dropped(conn)
    return (
        quiet,
        loud,
        before,
        dropped,
        w.util.is_fp_closed(io.BytesIO()),
        w.error(lambda: w.util.is_fp_closed(5), ValueError),
    )


@shows
def helpers_of_tls(w: World) -> Any:
    certificate = w.certs.localhost
    check = w.util.assert_fingerprint
    good = certificate.fingerprint()
    colons = ":".join(good[i : i + 2] for i in range(0, len(good), 2)).upper()
    context = w.util.create_urllib3_context()

    def exact() -> Any:
        v12 = ssl.TLSVersion.TLSv1_2
        return w.util.create_urllib3_context(ssl_version=ssl.PROTOCOL_TLSv1_2, ssl_minimum_version=v12)

    unverified = w.util.create_urllib3_context(cert_reqs=ssl.CERT_NONE)
    return [
        [check(certificate.der, fingerprint) for fingerprint in (good, colons, certificate.fingerprint("sha1"))],
        w.error(lambda: check(certificate.der, "ab" * 32)),
        w.error(lambda: check(certificate.der, "abc")),
        [w.util.resolve_cert_reqs(name).name for name in (None, "REQUIRED", "CERT_NONE", ssl.CERT_OPTIONAL)],
        [w.util.resolve_ssl_version(name).name for name in (None, "TLSv1_2", "PROTOCOL_TLSv1_2", ssl.PROTOCOL_TLS)],
        [context.minimum_version.name, context.verify_mode.name, context.check_hostname, context.post_handshake_auth],
        [unverified.verify_mode.name, unverified.check_hostname, w.util.ALPN_PROTOCOLS, w.util.IS_PYOPENSSL],
        w.error(exact, ValueError),
    ]


@shows
def a_socket_wrapped_by_hand(w: World) -> Any:
    server = w.serve_tls()
    with socket.create_connection((server.host, server.port), 5) as plain:
        secure = w.util.ssl_wrap_socket(plain, ca_certs=w.certs.ca_file, server_hostname="localhost")
        with secure:
            return type(secure).__name__, secure.version(), secure.selected_alpn_protocol()


@shows
def forms_made(w: World) -> Any:
    fields, post = w.module("fields"), w.module("filepost")
    field = fields.RequestField("n", "data", filename="f.txt", headers={"X": "y"})
    field.make_multipart(content_type="text/plain")
    body, kind = w.lib.encode_multipart_formdata([("a", "1"), field], boundary="B")
    typed = fields.RequestField.from_tuples("k", ("b.bin", b"\0", "image/jpeg"))
    return [
        [body, kind, len(post.choose_boundary())],
        [field.render_headers(), typed.headers, typed._filename],
        [fields.guess_content_type(name) for name in ("a.json", "a", None)],
        [fields.guess_content_type("a.nothing", "x/y"), fields.format_multipart_header_param("n", 'a"\n\u00fc')],
        [made._name for made in post.iter_field_objects({"a": "1", "b": ("f", "2")})],
    ]


def deprecated(w: World, work: Callable[[], Any]) -> list[str]:
    return w.warned(work)[1]


@shows
def what_is_deprecated(w: World) -> Any:
    fields, conn = w.module("fields"), w.module("connection")
    https = conn.HTTPSConnection("h.test")
    plain = w.connection(w.echo)
    http = w.manager()
    context = {"scheme": "http", "host": "h.test", "port": 80, "strict": True}
    lost = w.exceptions.NewConnectionError(plain, "x")
    return [
        deprecated(w, lambda: fields.format_header_param("n", "v")),
        deprecated(w, lambda: fields.format_header_param_html5("n", "v")),
        deprecated(w, lambda: fields.format_header_param_rfc2231("n", "v")),
        deprecated(w, lambda: fields.RequestField("n", "d", header_formatter=lambda name, value: "")),
        deprecated(w, lambda: https.set_cert(cert_reqs="CERT_NONE")),
        deprecated(w, lambda: plain.request_chunked("POST", "/echo", body=[b"a"])),
        deprecated(w, lambda: http.connection_from_context(context)),
        deprecated(w, lambda: lost.pool),
        deprecated(w, lambda: http.request("GET", f"{w.echo.host}:{w.echo.port}/bytes/1")),
        deprecated(w, lambda: w.lib.HTTPResponse(b"").getheaders()),
        deprecated(w, lambda: w.lib.Retry(allowed_methods=[])),
        deprecated(w, lambda: w.lib.Retry(allowed_methods=False)),
    ]


@shows
def without_pysocks(w: World) -> Any:
    import importlib
    import sys

    name = f"{w.package}.contrib.socks"
    kept = sys.modules.pop(name, None)

    def load() -> Any:
        with mock.patch.dict(sys.modules, {"socks": None}):
            return w.error(lambda: importlib.import_module(name), ImportError)

    try:
        return w.warned(load)
    finally:
        sys.modules.pop(name, None)
        if kept is not None:
            sys.modules[name] = kept
            sys.modules[f"{w.package}.contrib"].__dict__["socks"] = kept


@pytest.mark.parametrize("name", shows.names())
def test_as_documented(name: str, gear: str, echo: EchoServer, certs: Authority) -> None:
    shows.check(name, gear, echo, certs)
