"""The life of a connection with urllib3 and with each gear of wirepool, over TCP and over TLS.

A scenario notes states, values and the classes of errors; they have to be equal, and so has the number of connections
that the servers saw. Where wirepool differs on purpose the scenario stands in ``ACCEPTED``, with the reason.
"""

from __future__ import annotations

import contextlib
import gc
import http.client
import importlib
import io
import logging
import re
import socket
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from servers.certs import Authority
from servers.proxy import ProxyServer, refuse
from servers.scripted import (
    Close,
    Connection,
    Hold,
    Pause,
    Recv,
    RecvHead,
    Reset,
    ScriptedServer,
    Send,
    chunked_response,
    response,
)
from servers.tls import STALL, TLSServer
from wirepool import _gear

pytest.importorskip("urllib3", minversion="2.8")

OK = response(b"hello")
BYE = response(b"bye", headers=[("Connection", "close")])
PATIENCE, IMPATIENCE = 5.0, 0.15


# --- what is seen -----------------------------------------------------------------------------------------------------


class World:
    """One library with servers of its own, and an account of what happened."""

    def __init__(self, package: str, secure: bool, certs: Authority, stack: contextlib.ExitStack) -> None:
        self.lib: Any = importlib.import_module(package)
        self.connection: Any = importlib.import_module(f"{package}.connection")
        self.util: Any = importlib.import_module(f"{package}.util.connection")
        self.secure = secure
        self.told: list[Any] = []
        self._certs = certs
        self._stack = stack
        self._servers: list[ScriptedServer] = []

    def serve(self, *scripts: Any, default: Any = None, **options: Any) -> Any:
        if self.secure:
            options.setdefault("certificate", self._certs.localhost)
            server: ScriptedServer = TLSServer(*scripts, default=default, **options)
        else:
            server = ScriptedServer(*scripts, default=default)
        return self._started(server)

    def proxy(self, *scripts: Any) -> Any:
        return self._started(ProxyServer(*scripts))

    def _started(self, server: ScriptedServer) -> Any:
        self._servers.append(self._stack.enter_context(server))
        return server

    def conn(self, server: Any, **options: Any) -> Any:
        kind = self.connection.HTTPSConnection if self.secure else self.connection.HTTPConnection
        conn = kind(server.host, server.port, **self._with_trust(options))
        self._stack.callback(conn.close)
        return conn

    def pool(self, server: Any, **options: Any) -> Any:
        kind = self.lib.HTTPSConnectionPool if self.secure else self.lib.HTTPConnectionPool
        options.setdefault("retries", False)
        return self._stack.enter_context(kind(server.host, server.port, **self._with_trust(options)))

    def _with_trust(self, options: dict[str, Any]) -> dict[str, Any]:
        trust = {"ca_certs": self._certs.ca_file} if self.secure else {}
        return {"timeout": PATIENCE, **trust, **options}

    def tell(self, *what: Any) -> None:
        self.told.append(what[0] if len(what) == 1 else what)

    def states(self, conn: Any) -> None:
        """All that a connection says of itself, but for its liveness."""
        self.tell(
            conn.is_closed,
            conn.is_verified,
            conn.proxy_is_verified,
            conn.has_connected_to_proxy,
            conn.proxy_is_forwarding,
            conn.proxy_is_tunneling,
        )

    def attempt(self, work: Callable[[], Any]) -> Any:
        """Does that, and notes what error it ends in, with the error that it wraps or comes from."""
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                result = work()
        except Exception as error:
            self.tell(*_names(error))
            return None
        finally:
            # What gc finds in urllib3's wake is not the matter here.
            self.tell(sorted({w.category.__name__ for w in caught} - {"ResourceWarning"}))
        self.tell("done")
        return result

    def account(self) -> dict[str, Any]:
        return {"told": self.told, "connections": [_accepted(server) for server in self._servers]}


def _names(error: BaseException) -> list[str]:
    inner = getattr(error, "reason", None) or getattr(error, "original_error", None) or error.__cause__
    return [type(error).__name__, *(_names(inner) if isinstance(inner, BaseException) and inner is not error else [])]


def _accepted(server: ScriptedServer) -> int:
    # A connection that was made a moment ago may not be accepted yet.
    time.sleep(0.01)
    return len(server.connections)


def answering(*answers: bytes) -> Callable[[Connection], None]:
    def serve(conn: Connection) -> None:
        for answer in answers[:-1]:
            conn.recv()
            conn.send(answer)
        while True:
            conn.recv()
            conn.send(answers[-1])

    return serve


def idle(pool: Any) -> list[str]:
    """What is in a pool's queue."""
    items = list(pool.pool.queue)
    return ["slot" if item is None else "closed" if item.is_closed else "open" for item in items]


def wait_for_bytes(conn: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while conn.is_connected and time.monotonic() < deadline:
        time.sleep(0.002)


# --- scenarios --------------------------------------------------------------------------------------------------------


def connected_by_hand(world: World) -> None:
    conn = world.conn(world.serve(default=answering(OK)))
    world.states(conn)
    world.attempt(conn.connect)
    world.states(conn)
    world.attempt(lambda: conn.request("GET", "/"))
    world.tell(world.attempt(conn.getresponse).data)
    world.states(conn)
    world.tell(conn.is_connected)
    conn.close()
    conn.close()
    world.states(conn)
    world.tell(conn.is_connected, conn.sock)


def connected_by_requests(world: World) -> None:
    conn = world.conn(world.serve(default=answering(OK)))
    for body in (None, b"abc", iter([b"a", b"b"])):
        world.attempt(lambda body=body: conn.request("POST", "/", body=body))  # type: ignore[misc]
        world.tell(world.attempt(conn.getresponse).data)
        world.states(conn)


def closed_and_used_again(world: World) -> None:
    conn = world.conn(world.serve(default=answering(OK)))
    for _ in range(3):
        conn.request("GET", "/")
        world.tell(conn.getresponse().data)
        conn.close()
        world.states(conn)


def nobody_listens(world: World) -> None:
    class Nobody:
        host, port = "127.0.0.1", 1

    conn = world.conn(Nobody)
    world.attempt(conn.connect)
    world.attempt(lambda: conn.request("GET", "/"))
    world.states(conn)
    pool = world.pool(Nobody, block=True)
    world.attempt(lambda: pool.urlopen("GET", "/"))
    world.attempt(lambda: pool.urlopen("GET", "/", retries=1))
    world.tell(idle(pool), pool.num_connections)


def unknown_name(world: World) -> None:
    class Nowhere:
        host, port = "nowhere.test", 1

    def getaddrinfo(*question: Any) -> Any:
        asked.append(question[0])
        raise socket.gaierror(socket.EAI_NONAME, "no")

    asked: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        conn = world.conn(Nowhere)
        world.attempt(conn.connect)
        pool = world.pool(Nowhere, block=True)
        world.attempt(lambda: pool.urlopen("POST", "/", retries=2))
    world.tell(asked, idle(pool), pool.num_connections)


def name_that_cannot_be(world: World) -> None:
    class Impossible:
        host, port = "a." + "x" * 64, 1

    conn = world.conn(Impossible)
    world.attempt(conn.connect)
    pool = world.pool(Impossible, block=True)
    world.attempt(lambda: pool.urlopen("GET", "/", retries=2))
    world.tell(idle(pool), pool.num_connections)


def stalled_handshake(world: World) -> None:
    if not world.secure:
        return
    server = world.serve(handshake=STALL)
    conn = world.conn(server, timeout=IMPATIENCE)
    world.attempt(conn.connect)
    world.states(conn)
    pool = world.pool(server, timeout=IMPATIENCE, block=True)
    world.attempt(lambda: pool.urlopen("GET", "/"))
    world.attempt(lambda: pool.urlopen("POST", "/", retries=1))
    world.attempt(lambda: pool.urlopen("GET", "/", retries=1))
    world.tell(idle(pool), pool.num_connections)


def unverified(world: World) -> None:
    if not world.secure:
        return
    server = world.serve(default=answering(OK), certificate=world._certs.stranger().localhost)
    conn = world.conn(server)
    world.attempt(conn.connect)
    world.states(conn)
    pool = world.pool(server, block=True)
    world.attempt(lambda: pool.urlopen("GET", "/"))
    world.attempt(lambda: pool.urlopen("GET", "/", retries=1))
    world.tell(idle(pool))
    careless = world.pool(server, cert_reqs="CERT_NONE")
    for _ in range(2):
        world.attempt(lambda: careless.urlopen("GET", "/"))
    world.states(careless.pool.queue[-1])


def time_outs_on_the_way(world: World) -> None:
    conn = world.conn(world.serve([Recv(), Send(OK), Recv(), Hold()]))
    conn.connect()
    world.tell(conn.sock.gettimeout())
    conn.timeout = 3
    conn.request("GET", "/")
    world.tell(conn.sock.gettimeout())
    conn.timeout = None
    world.tell(conn.getresponse().data, conn.sock.gettimeout())
    conn.timeout = IMPATIENCE
    conn.request("GET", "/")
    world.attempt(conn.getresponse)
    world.tell(conn.is_closed)


def request_before_reading(world: World) -> None:
    conn = world.conn(world.serve(default=answering(OK)))
    conn.request("GET", "/", preload_content=False)
    first = conn.getresponse()
    world.attempt(lambda: conn.request("GET", "/2", preload_content=False))
    world.attempt(conn.getresponse)
    world.tell(first.read())


def request_before_getting(world: World) -> None:
    conn = world.conn(world.serve(default=answering(OK)))
    world.attempt(conn.getresponse)
    conn.request("GET", "/")
    world.attempt(lambda: conn.request("GET", "/2"))
    world.attempt(lambda: conn.putheader("A", "b"))
    world.attempt(conn.endheaders)
    world.tell(conn.getresponse().data)
    world.attempt(conn.getresponse)


def low_level_calls(world: World) -> None:
    server = world.serve(default=answering(OK))
    conn = world.conn(server)
    conn.putrequest("PUT", "/low", skip_accept_encoding=True)
    conn.putheader("Content-Length", 4)
    conn.putheader("X-Two", "a", "b")
    conn.endheaders(b"ab")
    conn.send(io.BytesIO(b"cd"))
    answer = http.client.HTTPConnection.getresponse(conn)
    world.tell(answer.status, answer.read(), answer.isclosed())
    (request,) = server.requests
    world.tell(request.line, request.body, [name for name, _ in request.headers])
    world.attempt(lambda: conn.putrequest("bad method", "/"))
    world.attempt(lambda: conn.request("GET", "/bad target"))


def tunnel_of_ones_own(world: World) -> None:
    server = world.serve(default=answering(OK))
    proxy = world.proxy()
    conn = world.conn(proxy)
    world.attempt(lambda: conn.set_tunnel(server.host, server.port, scheme="ftp"))
    world.states(conn)
    conn.set_tunnel(server.host, server.port, headers={"X-A": "b"})
    world.states(conn)
    world.attempt(lambda: conn.request("GET", "/"))
    world.tell(conn.getresponse().data)
    world.states(conn)
    world.attempt(lambda: conn.set_tunnel("other.test", 443))
    conn.close()
    world.states(conn)
    world.tell(proxy.requests[0].header("X-A"), server.requests[0].header("X-A"))


def tunnel_refused(world: World) -> None:
    conn = world.conn(world.proxy(refuse(407), refuse(403)))
    for _ in range(2):
        conn.set_tunnel("origin.test", 443)
        world.attempt(conn.connect)
        world.states(conn)


def streamed_to_the_end(world: World) -> None:
    server = world.serve(default=answering(OK, chunked_response([b"a", b"b"]), BYE))
    pool = world.pool(server, block=True)
    for _ in range(3):
        answer = pool.urlopen("GET", "/", preload_content=False)
        world.tell(answer.connection is not None, idle(pool))
        world.tell(answer.read(), answer.connection, idle(pool))
        world.attempt(answer.release_conn)
        world.attempt(answer.close)
        world.tell(idle(pool))


def streamed_and_given_up(world: World) -> None:
    server = world.serve(default=answering(OK))
    for end in ("close", "release_conn", "drain_conn"):
        pool = world.pool(server)
        answer = pool.urlopen("GET", "/", preload_content=False)
        getattr(answer, end)()
        world.tell(end, answer.connection is None, idle(pool))
        world.attempt(lambda pool=pool: pool.urlopen("GET", "/").data)  # type: ignore[misc]


def streamed_and_closed_in_a_blocking_pool(world: World) -> None:
    pool = world.pool(world.serve(default=answering(OK)), block=True)
    pool.urlopen("GET", "/", preload_content=False).close()
    world.attempt(lambda: pool.urlopen("GET", "/", pool_timeout=0.05))


def streamed_and_forgotten(world: World) -> None:
    pool = world.pool(world.serve(default=answering(OK)), block=True)
    pool.urlopen("GET", "/", preload_content=False)
    gc.collect()
    world.attempt(lambda: pool.urlopen("GET", "/", pool_timeout=0.05))


def closed_by_the_server_while_idle(world: World) -> None:
    for end in (Close(), Reset(), Send(b"unasked")):
        server = world.serve([Recv(), Send(OK), Pause(0.02), end, Hold()], default=answering(OK))
        pool = world.pool(server, block=True)
        pool.urlopen("GET", "/")
        conn = pool.pool.queue[-1]
        wait_for_bytes(conn)
        world.states(conn)
        world.tell(pool.urlopen("POST", "/").data, pool.pool.queue[-1] is conn, pool.num_connections)
        world.states(conn)


def closed_by_the_server_with_the_request(world: World) -> None:
    for method, retries in (("GET", 1), ("POST", 1), ("POST", False)):
        pool = world.pool(world.serve([Recv(), Send(OK), RecvHead(), Close()], default=answering(OK)), block=True)
        pool.urlopen("GET", "/")
        world.attempt(lambda: pool.urlopen(method, "/", retries=retries))  # noqa: B023
        world.tell(idle(pool))


def lost_on_reuse_without_retries(world: World) -> None:
    pool = world.pool(world.serve([Recv(), Send(OK), RecvHead(), Close()], default=answering(OK)), block=True)
    pool.urlopen("GET", "/")
    world.attempt(lambda: pool.urlopen("GET", "/"))


def closed_with_the_response(world: World) -> None:
    pool = world.pool(world.serve(default=answering(BYE)), block=True)
    for _ in range(2):
        world.tell(pool.urlopen("GET", "/").data, idle(pool))
        world.states(pool.pool.queue[-1])


def closed_behind_the_pools_back(world: World) -> None:
    pool = world.pool(world.serve(default=answering(OK)), block=True)
    pool.urlopen("GET", "/")
    conn = pool.pool.queue[-1]
    conn.close()
    world.tell(pool.urlopen("GET", "/").data, pool.pool.queue[-1] is conn, pool.num_connections)


def lent_by_a_pool(world: World) -> None:
    pool = world.pool(world.serve(default=answering(OK)), block=True)
    conn = pool._get_conn()
    world.states(conn)
    conn.request("GET", "/")
    world.tell(conn.getresponse().data)
    pool._put_conn(conn)
    world.tell(pool.urlopen("GET", "/").data, idle(pool), pool.num_connections)


def early_answer(world: World) -> None:
    def serve(conn: Connection) -> None:
        conn.recv_head()
        conn.send(response(b"too much", status=413, headers=[("Connection", "close")]))
        conn.wait_eof()

    pool = world.pool(world.serve(serve, default=answering(OK)), block=True)
    answer = world.attempt(lambda: pool.urlopen("PUT", "/", body=b"x" * 3_000_000))
    world.tell(answer.status, answer.data, idle(pool))


def early_answer_with_a_reset(world: World) -> None:
    def serve(conn: Connection) -> None:
        conn.recv_head()
        conn.send(response(b"too much", status=413, headers=[("Connection", "close")]))
        conn.recv_bytes()

    pool = world.pool(world.serve(serve, default=answering(OK)), block=True)
    answer = world.attempt(lambda: pool.urlopen("PUT", "/", body=(b"x" * 65536 for _ in range(500))))
    world.tell(answer and (answer.status, answer.data))


def closed_pool(world: World) -> None:
    pool = world.pool(world.serve(default=answering(OK)), maxsize=2)
    streamed = pool.urlopen("GET", "/", preload_content=False)
    pool.urlopen("GET", "/")
    conns = [conn for conn in pool.pool.queue if conn]
    pool.close()
    pool.close()
    world.tell([conn.is_closed for conn in conns], pool.pool)
    world.attempt(lambda: pool.urlopen("GET", "/"))
    world.tell(streamed.read())


def no_connection_class(world: World) -> None:
    if not world.secure:
        return
    pool = world.pool(world.serve(), block=True)
    pool.ConnectionCls = None
    world.attempt(lambda: pool.urlopen("GET", "/"))
    world.tell(idle(pool))


def options_of_the_socket(world: World) -> None:
    server = world.serve(default=answering(OK))
    default = world.connection.HTTPConnection.default_socket_options
    world.tell(default)
    for options in (default, None, [], [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]):
        conn = world.conn(server, socket_options=options)
        conn.connect()
        world.tell(
            bool(conn.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)),
            bool(conn.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)),
        )
    conn = world.conn(server, source_address=("203.0.113.1", 0))
    world.attempt(conn.connect)
    conn = world.conn(server, blocksize=3)
    conn.request("PUT", "/", body=io.BytesIO(b"abcdefgh"))
    world.tell(conn.getresponse().data, server.requests[-1].body)


def pinned_addresses(world: World) -> None:
    server = world.serve(default=answering(OK))
    calls: list[Any] = []

    def pinned(address: Any, *args: Any, **kw: Any) -> socket.socket:
        calls.append((address[0], args, kw))
        return genuine((server.host, server.port), *args, **kw)  # type: ignore[no-any-return]

    genuine = world.util.create_connection
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.util, "create_connection", pinned)
        conn = world.conn(server, source_address=("127.0.0.1", 0))
        conn.connect()
        world.tell(calls)


def names_of_hosts(world: World) -> None:
    kind = world.connection.HTTPSConnection if world.secure else world.connection.HTTPConnection
    for host in ("a.test", "a.test.", "a.test...", "A.test", "127.0.0.1", "a.test:81", "[::1]:81", "[::1]", "a.test:"):
        conn = kind(host)
        world.tell(conn.host, conn.port, conn._dns_host, str(conn), conn.timeout)
    for host in ("a.test:x", "::1x"):
        world.attempt(lambda host=host: kind(host))  # type: ignore[misc]


def what_is_logged(world: World) -> None:
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger(f"{world.lib.__name__}.connectionpool")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        server = world.serve([Recv(), Send(OK), Pause(0.02), Close()], default=answering(OK))
        pool = world.pool(server)
        pool.urlopen("GET", "/1")
        wait_for_bytes(pool.pool.queue[-1])
        pool.urlopen("GET", "/2")
        pool.pool.queue[-1].close()
        pool.urlopen("GET", "/3")
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
    world.tell([re.sub(r":\d+", ":PORT", text) for text in records])


SCENARIOS = [
    connected_by_hand,
    connected_by_requests,
    closed_and_used_again,
    nobody_listens,
    unknown_name,
    name_that_cannot_be,
    stalled_handshake,
    unverified,
    time_outs_on_the_way,
    request_before_reading,
    request_before_getting,
    low_level_calls,
    tunnel_of_ones_own,
    tunnel_refused,
    streamed_to_the_end,
    streamed_and_given_up,
    streamed_and_closed_in_a_blocking_pool,
    streamed_and_forgotten,
    closed_by_the_server_while_idle,
    closed_by_the_server_with_the_request,
    lost_on_reuse_without_retries,
    closed_with_the_response,
    closed_behind_the_pools_back,
    lent_by_a_pool,
    early_answer,
    early_answer_with_a_reset,
    closed_pool,
    no_connection_class,
    options_of_the_socket,
    pinned_addresses,
    names_of_hosts,
    what_is_logged,
]

#: Scenarios that differ on purpose, and why.
ACCEPTED = {
    "streamed_and_given_up": "leftovers must never reach another request",
    "streamed_and_closed_in_a_blocking_pool": "the slot comes back",
    "streamed_and_forgotten": "the slot comes back",
    "lost_on_reuse_without_retries": "an idempotent request that nobody answered is made again",
    "stalled_handshake": "after a handshake that failed the connection is closed, and says so",
    "unverified": "after a handshake that failed the connection is closed, and says so",
    "early_answer_with_a_reset": "over TLS, too, the early answer is read",
}
# Later versions of Python tell a write that failed from the end of the stream, and then urllib3 does, too.
DEPENDS_ON_PYTHON = {"early_answer_with_a_reset"}
ONLY_OVER_TLS = {"stalled_handshake", "unverified", "early_answer_with_a_reset"}


# --- the comparison ---------------------------------------------------------------------------------------------------


def seen(package: str, scenario: Callable[[World], None], secure: bool, certs: Authority) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        world = World(package, secure, certs, stack)
        scenario(world)
        return world.account()


_THEIRS: dict[Any, Any] = {}


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_the_same_comes_of_it(scenario: Callable[[World], None], secure: bool, gear: str, certs: Authority) -> None:
    with _gear.force("compatible" if gear == "compatible" else None):
        ours = seen("wirepool", scenario, secure, certs)
    if (scenario, secure) not in _THEIRS:
        _THEIRS[scenario, secure] = seen("urllib3", scenario, secure, certs)
    theirs = _THEIRS[scenario, secure]
    name = scenario.__name__
    if name in ACCEPTED and (secure or name not in ONLY_OVER_TLS):
        assert ours != theirs or name in DEPENDS_ON_PYTHON, "equal by now: strike it off the list"
    else:
        assert ours == theirs
