"""The same programs through proxies with urllib3 and with each gear of wirepool.

Compared are what comes of each request (a status and a body, or the classes of the error and of what it wraps), what
proxy and origin receive, and how many connections they accept. The ``User-Agent`` is left out, and of CONNECT the
version and the ``Host``, which depend on the version of Python with urllib3. Where wirepool differs on purpose the case
stands in ``ACCEPTED``, with the reason.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import socket
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from servers.certs import Authority
from servers.proxy import ESTABLISHED, ProxyServer, TLSProxyServer, refuse, tunnel_after
from servers.scripted import Close, Connection, Hold, Recv, RecvHead, Reset, ScriptedServer, Send, response
from servers.tls import PLAIN_HTTP, TLSServer
from wirepool import _gear

pytest.importorskip("urllib3", minversion="2.8")

OK = response(b"ok")
# Long enough for what is to succeed on a busy machine, short enough for what is to fail.
PATIENCE, IMPATIENCE = 5.0, 0.3


# --- what is seen -----------------------------------------------------------------------------------------------------


class World:
    """One library with servers of its own, and an account of all that happened."""

    def __init__(self, package: str, certs: Authority, stack: contextlib.ExitStack) -> None:
        self.lib: Any = importlib.import_module(package)
        self.certs = certs
        self.told: list[Any] = []
        self._servers: dict[str, ScriptedServer] = {}
        self._stack = stack

    def proxy(self, *scripts: Any, tls: bool = False, **options: Any) -> Any:
        """A proxy that does its work, but for connections with a script."""
        if tls:
            options.setdefault("certificate", self.certs.localhost)
        return self._start("proxy", (TLSProxyServer if tls else ProxyServer)(*scripts, **options))

    def origin(self, *answers: bytes, tls: bool = False, name: str = "origin", **options: Any) -> Any:
        """An origin that gives these answers on each connection, the last one again and again."""
        serve = every(*(answers or (OK,)))
        if not tls:
            return self._start(name, ScriptedServer(default=serve))
        options.setdefault("certificate", self.certs.localhost)
        return self._start(name, TLSServer(default=serve, **options))

    def _start(self, name: str, server: ScriptedServer) -> ScriptedServer:
        self._servers[name] = self._stack.enter_context(server)
        return server

    def through(self, proxy: Any, **options: Any) -> Any:
        """A manager whose requests go that way."""
        options = {"ca_certs": self.certs.ca_file, "timeout": PATIENCE, "retries": False, **options}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._stack.enter_context(self.lib.ProxyManager(getattr(proxy, "url", proxy), **options))

    def ask(self, client: Any, method: str, url: str, **keywords: Any) -> None:
        """Makes a request and notes what comes of it."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                answer = client.urlopen(method, url, **keywords)
            self.told.append((answer.status, answer.data))
        except Exception as error:
            self.told.append(" < ".join(_classes(error)))

    def account(self) -> dict[str, Any]:
        """All of it, by topic."""
        return {
            "told": self.told,
            "received": {
                name: [self._seen(bytes(r)) for r in server.requests] for name, server in self._servers.items()
            },
            "connections": {name: _accepted(server) for name, server in self._servers.items()},
        }

    def _seen(self, request: bytes) -> list[str]:
        text = request.decode("latin-1")
        for name, server in self._servers.items():
            text = text.replace(str(server.port), name.upper())
        if text.startswith("CONNECT "):
            text = re.sub(r"\r\nHost: [^\r]*", "", re.sub(r" HTTP/1\.[01]\r", " \r", text))
        return re.sub(r"\r\nUser-Agent: [^\r]*", "", text).split("\r\n")


def _classes(error: BaseException | None) -> list[str]:
    """Of an error and of what it says is the reason."""
    found = []
    while error is not None:
        found.append(type(error).__name__)
        inner = getattr(error, "reason", None) or getattr(error, "original_error", None)
        inner = inner or next((part for part in error.args if isinstance(part, Exception)), None)
        error = inner if isinstance(inner, BaseException) else None
    return found


def _accepted(server: ScriptedServer) -> int:
    """How many connections the client made. They are accepted in order: when ours was, all of them were."""
    import time

    with socket.create_connection((server.host, server.port), 5) as last:
        own = last.getsockname()
        while not any(conn.peer == own[:2] for conn in list(server.connections)):
            time.sleep(0.001)
    return len(server.connections) - 1


def every(*answers: bytes) -> Callable[[Connection], None]:
    """Gives these answers, the last one again and again, on each connection."""

    def serve(conn: Connection) -> None:
        left = list(answers)
        while True:
            request = conn.recv()
            answer = left.pop(0) if len(left) > 1 else left[0]
            conn.send(answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if request.method == "HEAD" else answer)

    return serve


def to(location: str, status: int = 302) -> bytes:
    return response(b"elsewhere", status=status, headers=[("Location", location)])


# --- cases ------------------------------------------------------------------------------------------------------------

Program = Callable[[World], None]
SECRETS = {"Authorization": "a", "Cookie": "c=d", "X-Kept": "k"}
FOR_PROXY = {"Proxy-Authorization": "Basic cHJveHk=", "X-Proxy": "p"}


def forwarding(*calls: tuple[str, str, dict[str, Any]], answers: Any = (OK,), tls: bool = False, **options: Any) -> Any:
    """A program whose proxy answers by itself what it should forward."""

    def program(world: World) -> None:
        client = world.through(world.proxy(default=every(*answers), tls=tls), **options)
        for method, url, keywords in calls:
            world.ask(client, method, url, **keywords)

    return program


def tunnelling(
    *calls: tuple[str, str, dict[str, Any]], answers: Any = (OK,), tls: bool = False, **options: Any
) -> Program:
    """A program that talks with a TLS origin through a proxy that works."""

    def program(world: World) -> None:
        origin = world.origin(*answers, tls=True)
        client = world.through(world.proxy(tls=tls), **options)
        for method, path, keywords in calls:
            world.ask(client, method, origin.url + path, **keywords)

    return program


def connecting(*scripts: Any, method: str = "GET", default: Any = None, **keywords: Any) -> Program:
    """A program that asks for one tunnel, of a proxy with these scripts."""

    def program(world: World) -> None:
        client = world.through(world.proxy(*scripts, default=default), **keywords.pop("options", {}))
        made = {name: value(world.lib) if callable(value) else value for name, value in keywords.items()}
        world.ask(client, method, "https://target.test/", **made)

    return program


def opening(answer: bytes) -> Program:
    """A program that uses a tunnel which a proxy opens with this answer."""

    def program(world: World) -> None:
        origin = world.origin(tls=True)
        script = tunnel_after(answer)
        client = world.through(world.proxy(script, script))
        world.ask(client, "GET", origin.url + "/")
        world.ask(client, "GET", origin.url + "/")

    return program


def says(answer: bytes, then: Any = None) -> list[Any]:
    return [RecvHead(), Send(answer), then or Close()]


def dead(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    client = world.through(f"http://127.0.0.1:{port}")
    for url in ("http://target.test/", "https://target.test/"):
        world.ask(client, "GET", url)
        world.ask(client, "GET", url, retries=0)
        world.ask(client, "POST", url, body=b"b", retries=world.lib.Retry(connect=1, total=5))


def unresolved(world: World) -> None:
    client = world.through("http://proxy.test:3128")

    def look_up(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", look_up)
        for url in ("http://target.test/", "https://target.test/"):
            world.ask(client, "GET", url)
            world.ask(client, "GET", url, retries=0)


def low_level(*answers: bytes, url: str = "http://a.test/x") -> Program:
    """A program that asks a pool, not a manager."""

    def program(world: World) -> None:
        client = world.through(world.proxy(default=every(*answers)), proxy_headers=FOR_PROXY)
        pool = client.connection_from_url("http://a.test/")
        world.ask(pool, "GET", url, headers=SECRETS, assert_same_host=False, retries=3)

    return program


def low_level_out_of_the_tunnel(world: World) -> None:
    origin = world.origin(to("http://b.test/"), OK, tls=True)
    pool = world.through(world.proxy(), proxy_headers=FOR_PROXY).connection_from_url(origin.url)
    world.ask(pool, "GET", "/", headers=SECRETS, assert_same_host=False, retries=3)


def hanging_up(world: World) -> None:
    client = world.through(world.proxy(default=[Recv(), Close()]))
    world.ask(client, "GET", A)
    world.ask(client, "GET", A, retries=1)
    world.ask(client, "POST", A, body=b"abc", retries=1)


def low_level_to_the_proxy(world: World) -> None:
    proxy: Any = None

    def serve(conn: Connection) -> None:
        conn.recv()
        conn.send(to(f"{proxy.url}/admin"))
        conn.recv()
        conn.send(OK)

    proxy = world.proxy(default=serve)
    pool = world.through(proxy, proxy_headers=FOR_PROXY).connection_from_url("http://a.test/")
    world.ask(pool, "GET", "http://a.test/x", headers=SECRETS, assert_same_host=False, retries=3)


def reconnecting(world: World) -> None:
    """Each answer ends the connection, so each request needs a tunnel of its own."""
    origin = world.origin(response(b"ok", headers=[("Connection", "close")]), tls=True)
    client = world.through(world.proxy(), proxy_headers=FOR_PROXY)
    for _ in range(2):
        world.ask(client, "GET", origin.url + "/")


def certificates(*, of_proxy: str = "", of_origin: str = "", **options: Any) -> Program:
    def program(world: World) -> None:
        bad = {
            "unknown": lambda: world.certs.stranger().server(),
            "expired": world.certs.expired,
            "other": lambda: world.certs.server("other.test"),
        }
        proxy_options = {"certificate": bad[of_proxy]()} if of_proxy else {}
        origin = world.origin(tls=True, **({"certificate": bad[of_origin]()} if of_origin else {}))
        proxy = world.proxy(tls=bool(of_proxy), **proxy_options)
        made = {name: value(world) if callable(value) else value for name, value in options.items()}
        client = world.through(proxy, **made)
        world.ask(client, "GET", origin.url + "/")
        world.ask(client, "GET", origin.url + "/", retries=0)
        if of_proxy:
            world.ask(client, "GET", "http://a.test/")

    return program


def forwarding_by_context(world: World) -> None:
    """The context trusts the proxy, and nothing else does."""
    context = world.lib.util.create_urllib3_context()
    context.load_verify_locations(world.certs.ca_file)
    proxy = world.proxy(default=every(OK), tls=True)
    world.ask(world.through(proxy, ca_certs=None, ssl_context=context), "GET", A)


def wrong_scheme(world: World) -> None:
    proxy = world.proxy(default=PLAIN_HTTP)
    for url in ("http://target.test/", "https://target.test/"):
        world.ask(world.through(proxy.url.replace("http:", "https:")), "GET", url)


def wrong_scheme_of_a_tls_proxy(world: World) -> None:
    proxy = world.proxy(tls=True)
    for url in ("http://target.test/", "https://target.test/"):
        world.ask(world.through(proxy.url.replace("https:", "http:"), timeout=1), "GET", url)


def crossing(world: World) -> None:
    """From http to https and back, through the same proxy."""
    plain: Any = world.origin(name="plain")
    secure = world.origin(to(f"{plain.url}/last"), tls=True)
    client = world.through(world.proxy([Recv(), Send(to(f"{secure.url}/next")), Close()]), proxy_headers=FOR_PROXY)
    world.ask(client, "GET", "http://a.test/first", headers=SECRETS, retries=3)


def odd_hosts(world: World) -> None:
    client = world.through(world.proxy(default=refuse(502)))
    for url in ("https://[::1]:8443/", "https://b\u00fccher.test/", "https://Upper.test./", "https://127.0.0.1:0/"):
        world.ask(client, "GET", url)


def odd_fields(world: World) -> None:
    proxy = world.proxy(default=refuse(502))
    for fields in ({"X-A": "b\r\nC: d"}, {"X\r\nA": "b"}, {"X A": "b"}, {"": "b"}, {b"X-B": b"\xfc"}, {"X-C": "\xfc"}):
        world.ask(world.through(proxy, proxy_headers=fields), "GET", "https://target.test/")


def stalled(method: str, **keywords: Any) -> Program:
    def program(world: World) -> None:
        client = world.through(world.proxy(default=[RecvHead(), Hold()]), timeout=IMPATIENCE)
        world.ask(client, method, "https://target.test/", **keywords)

    return program


def stalled_handshake(world: World) -> None:
    proxy = world.proxy(tls=True, handshake=[Hold()])
    for url in ("http://target.test/", "https://target.test/"):
        world.ask(world.through(proxy, timeout=IMPATIENCE), "GET", url)


def stalled_origin(world: World) -> None:
    """The tunnel stands, and nobody speaks TLS at its end."""
    proxy = world.proxy(default=[RecvHead(), Send(ESTABLISHED), Hold()])
    world.ask(world.through(proxy, timeout=IMPATIENCE), "GET", "https://target.test/")


def get(url: str, **keywords: Any) -> tuple[str, str, dict[str, Any]]:
    return "GET", url, keywords


def post(url: str, **keywords: Any) -> tuple[str, str, dict[str, Any]]:
    return "POST", url, keywords


def retry(**counts: Any) -> Callable[[Any], Any]:
    return lambda lib: lib.Retry(**counts)


A, B = "http://a.test/x", "http://b.test/y"

CASES: dict[str, Program] = {
    # forwarded
    "forwarded": forwarding(get(A), get(B), get(A)),
    "forwarded bodies": forwarding(
        post(A, body=b"abc"), ("HEAD", A, {}), ("PUT", A, {"body": b"abc", "chunked": True}), post(A)
    ),
    "forwarded, with fields for the proxy": forwarding(get(A), get(A, headers={"X-A": "1"}), proxy_headers=FOR_PROXY),
    "fields of the user and of the proxy": forwarding(
        get(A, headers={"X-Proxy": "mine", "Accept": "text/plain", "Host": "c.test"}), proxy_headers=FOR_PROXY
    ),
    "fields of the user in lower case": forwarding(get(A, headers={"host": "c.test", "accept": "text/plain"})),
    "forwarded targets": forwarding(
        *[
            get(f"http://{rest}")
            for rest in ("a.test", "a.test?q#f", "a.test/\u00fc b", "A.test:80/../x", "[::1]:8/", "b\u00fccher.test/")
        ]
    ),
    "user and password for the origin": forwarding(get("http://user:pass@a.test/")),
    "redirect to another origin": forwarding(get(A, headers=SECRETS, retries=3), answers=(to(B), OK)),
    "redirect to the same origin": forwarding(
        get(A, headers=SECRETS, retries=3), answers=(to("/z"), to("http://a.test:80/"), OK), proxy_headers=FOR_PROXY
    ),
    "redirect, keeping the proxy's fields": forwarding(
        get(A, headers=SECRETS, retries=3), answers=(to(B), OK), proxy_headers=FOR_PROXY
    ),
    "redirect of a POST": forwarding(post(A, body=b"abc", retries=3), answers=(to(B, 303), to(A, 307), OK)),
    "redirect between http and https": crossing,
    "the proxy wants to know who we are": forwarding(get(A), get(A, retries=1), answers=(response(status=407),)),
    "the proxy cannot reach it": forwarding(get(A), get(A, retries=1), answers=(response(status=502),)),
    "no answer to what is forwarded": forwarding(get(A), get(A, retries=0), answers=(b"who?\r\n\r\n",)),
    "forwarded over TLS": forwarding(get(A), get(B), post(A, body=b"abc"), tls=True, proxy_headers=FOR_PROXY),
    "https forwarded": forwarding(
        get("https://a.test/x"),
        get("https://b.test/y"),
        post("https://a.test/x", body=b"abc"),
        tls=True,
        proxy_headers=FOR_PROXY,
        use_forwarding_for_https=True,
    ),
    "hung up on what is forwarded": hanging_up,
    "low level": low_level(OK),
    "low level, a path": low_level(OK, url="/x"),
    "low level, redirect to https": low_level(to("https://b.test/"), OK),
    "low level, redirect out of the tunnel": low_level_out_of_the_tunnel,
    "low level, redirect to another origin": low_level(to(B), OK),
    "low level, redirect to a path": low_level(to("/z"), OK),
    "low level, redirect to the proxy": low_level_to_the_proxy,
    # tunnels
    "tunnelled": tunnelling(get("/a"), get("/b?c"), post("/d", body=b"abc")),
    "tunnelled bodies": tunnelling(
        ("HEAD", "/", {}), ("PUT", "/", {"body": b"abc", "chunked": True}), post("/", body=b"x" * 100_000)
    ),
    "tunnelled, with fields for the proxy": tunnelling(get("/a", headers={"X-A": "1"}), proxy_headers=FOR_PROXY),
    "tunnelled over TLS": tunnelling(get("/a"), post("/b", body=b"abc"), tls=True, proxy_headers=FOR_PROXY),
    "a redirect within the tunnel": tunnelling(get("/a", headers=SECRETS, retries=3), answers=(to("/b"), OK)),
    "tunnelled again": reconnecting,
    "odd hosts": odd_hosts,
    "odd fields": odd_fields,
    # answers to CONNECT
    "201": opening(b"HTTP/1.1 201 Created\r\n\r\n"),
    "old version": opening(b"HTTP/1.0 200 OK\r\n\r\n"),
    "no reason": opening(b"HTTP/1.1 200\r\n\r\n"),
    "bare line feeds": opening(b"HTTP/1.1 200 OK\nVia: p\n\n"),
    "a length of nothing": opening(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "403": connecting(default=refuse(403, body=b"no"), retries=1),
    "407": connecting(refuse(407), headers={"Proxy-Authorization": "x"}),
    "502": connecting(refuse(502), retries=0),
    "302": connecting(default=refuse(302, headers=[("Location", "https://b.test/")]), retries=3),
    "garbage": connecting(says(b"who are you?\r\n\r\n")),
    "old HTTP": connecting(says(b"<html>hello</html>")),
    "the end": connecting([RecvHead(), Close()]),
    "the end within": connecting(says(b"HTTP/1.1 200 O")),
    "a reset": connecting([RecvHead(), Reset()]),
    "an interim response": connecting(says(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 No\r\n\r\n")),
    "more than an answer": connecting(says(ESTABLISHED + b"more")),
    "silence": stalled("GET"),
    "silence, once more": stalled("POST", body=b"b", retries=1),
    "refused, connect retries": connecting(default=refuse(502), retries=retry(total=5, connect=1)),
    "refused, other retries": connecting(default=refuse(502), retries=retry(total=5, other=1)),
    "refused, a POST": connecting(default=refuse(502), method="POST", body=b"b", retries=retry(total=2, read=False)),
    # TLS
    "a proxy that nobody knows": certificates(of_proxy="unknown"),
    "a proxy of another name": certificates(of_proxy="other"),
    "a proxy of another name, asserted": certificates(of_proxy="other", proxy_assert_hostname="other.test"),
    "a proxy of any name": certificates(of_proxy="other", proxy_assert_hostname=False),
    "a proxy that is not verified for its name is, for the origin's": certificates(
        of_proxy="other", assert_hostname="other.test"
    ),
    "an expired proxy": certificates(of_proxy="expired"),
    "an origin that nobody knows": certificates(of_origin="unknown"),
    "an origin of another name": certificates(of_origin="other"),
    "nobody is verified": certificates(of_proxy="unknown", of_origin="unknown", cert_reqs="CERT_NONE"),
    "an origin's context": certificates(
        of_proxy="unknown", ca_certs=None, ssl_context=lambda world: world.lib.util.create_urllib3_context()
    ),
    "an origin's context, forwarded": forwarding_by_context,
    "a proxy's context": certificates(
        of_proxy="unknown", proxy_ssl_context=lambda world: world.lib.util.create_urllib3_context()
    ),
    "TLS with a proxy that has none": wrong_scheme,
    "no TLS with a proxy that wants it": wrong_scheme_of_a_tls_proxy,
    "silence in place of TLS": stalled_handshake,
    "silence in the tunnel": stalled_origin,
    # nobody there
    "a dead proxy": dead,
    "a proxy without address": unresolved,
}

HOST = "Host is that of the request's own URL, also after a redirect (RFC 9112 3.2); theirs stays the first one's"
SPOILT = (
    "what is no response to CONNECT is the proxy's failure: ProxyError, and retried like other errors of connecting"
)
STALLED = "a CONNECT without an answer is a connection that timed out: ProxyError with ConnectTimeoutError, and retried"
ANY_2XX = "any 2xx opens the tunnel (RFC 9110 9.3.6)"
ONCE = "a field that the user gives in lower case replaces the automatic one; Host must be there once (RFC 9112 3.2)"
CHECKED = "fields for CONNECT are checked like all others, and names may be bytes like all others"
SAME = "credentials stay with the origin that they are for, however often it redirects to itself"
BASE = "a redirect to a path is one to that path of the origin, not of the proxy"
NOT_OURS = "the proxy is another origin than the one that is asked through it: credentials do not go there"
ORDER = "fields for the proxy come in the order in which they were given"
REACHED = "a proxy that hangs up on a forwarded request was reached: ProtocolError, so a POST is not sent again"
MIXED = (
    "a pool to a proxy that forwards does not send it in clear what a tunnel is for, nor an origin what the proxy gets"
)

ACCEPTED: dict[str, tuple[set[str], str]] = {
    "fields of the user in lower case": ({"received"}, ONCE),
    "redirect to another origin": ({"received"}, HOST),
    "redirect to the same origin": ({"received"}, SAME),
    "redirect, keeping the proxy's fields": ({"received"}, HOST),
    "redirect of a POST": ({"received"}, HOST),
    "redirect between http and https": ({"received"}, HOST),
    "low level, redirect to another origin": ({"received"}, ORDER),
    "low level, redirect to a path": ({"received"}, BASE),
    "low level, redirect to the proxy": ({"received"}, NOT_OURS),
    "low level, redirect to https": ({"told", "received"}, MIXED),
    "low level, redirect out of the tunnel": ({"received"}, MIXED),
    "odd fields": ({"told", "received"}, CHECKED),
    "201": ({"told", "received", "connections"}, ANY_2XX),
    "garbage": ({"told"}, SPOILT),
    "old HTTP": ({"told"}, SPOILT),
    "the end": ({"told"}, SPOILT),
    "the end within": ({"told"}, SPOILT),
    "a reset": ({"told"}, SPOILT),
    "more than an answer": ({"told"}, SPOILT),
    "silence": ({"told"}, STALLED),
    "silence, once more": ({"told", "received", "connections"}, STALLED),
    "hung up on what is forwarded": ({"told", "received", "connections"}, REACHED),
    "no TLS with a proxy that wants it": ({"told"}, REACHED),
}


def run(name: str, package: str, certs: Authority, gear: str | None) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(_gear.force(gear))
        world = World(package, certs, stack)
        CASES[name](world)
        return world.account()


@pytest.fixture(scope="module")
def theirs(certs: Authority) -> Callable[[str], dict[str, Any]]:
    """What urllib3 does in a case; each is run once."""
    known: dict[str, dict[str, Any]] = {}

    def account(name: str) -> dict[str, Any]:
        if name not in known:
            known[name] = run(name, "urllib3", certs, None)
        return known[name]

    return account


@pytest.mark.parametrize("name", CASES)
def test_the_same_comes_of_it(name: str, gear: str, theirs: Callable[[str], dict[str, Any]], certs: Authority) -> None:
    expected = theirs(name)
    found = run(name, "wirepool", certs, gear if gear == "compatible" else None)
    differing = {topic for topic in expected if expected[topic] != found[topic]}
    accepted, reason = ACCEPTED.get(name, (set(), ""))
    for topic in sorted(differing - accepted):
        assert found[topic] == expected[topic], topic
    assert differing == accepted, "this difference is gone: take it off the list"
    assert bool(accepted) == bool(reason)


def test_every_accepted_difference_is_of_a_case() -> None:
    assert ACCEPTED.keys() <= CASES.keys()
