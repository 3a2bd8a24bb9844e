"""TLS sessions: resumed where that is as good as a whole handshake, and nowhere else; contexts: shared likewise."""

from __future__ import annotations

import os
import shutil
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from behaviour.talk import OK, answering, is_fast, wait_until
from behaviour.tls_talk import anew, connection_of, contexts_of, get, https_pool, insecure, once_closing, refusal
from servers.certs import Authority
from servers.nginx import TLSListeners
from servers.tls import TLSServer
from wirepool import HTTPSConnectionPool, PoolManager, _tls, connection
from wirepool.connection import HTTPSConnection

pytestmark = pytest.mark.usefixtures("gear")

Serve = Callable[..., TLSServer]
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
CLOSING = once_closing()


@pytest.fixture
def server(scripted_tls: Serve) -> TLSServer:
    """Closes after each response, and says so."""
    return scripted_tls(default=CLOSING)


def resumed(server: TLSServer) -> list[bool | None]:
    """Of each connection whose handshake succeeded, whether it went on with a session."""
    return [conn.session_reused for conn in server.connections if conn.version is not None]


# --- resumed ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["tls12", "tls13"])
def test_at_a_real_server(nginx_tls: TLSListeners, certs: Authority, version: str) -> None:
    url = getattr(nginx_tls, version).url + "/tls"
    with PoolManager(ca_certs=certs.ca_file, timeout=5) as manager:
        answers = [manager.request("GET", url, headers={"Connection": "close"}).json() for _ in range(4)]
    assert [answer["reused"] for answer in answers] == [False, True, True, True]


@pytest.mark.parametrize("tickets", [False, True])
def test_with_session_identifiers_as_well_as_with_tickets(scripted_tls: Serve, certs: Authority, tickets: bool) -> None:
    server = scripted_tls(default=CLOSING, tickets=tickets, maximum=V12)
    with https_pool(server, ca_certs=certs.ca_file) as pool:
        assert [get(pool) for _ in range(3)] == [b"ok"] * 3
    assert resumed(server) == [False, True, True]


def test_a_server_without_tickets(scripted_tls: Serve, certs: Authority) -> None:
    server = scripted_tls(default=CLOSING, tickets=False, minimum=V13)
    with https_pool(server, ca_certs=certs.ca_file) as pool:
        assert [get(pool) for _ in range(2)] == [b"ok"] * 2
    assert resumed(server) == [False, False]


@pytest.mark.parametrize(
    "options",
    [
        lambda certs: {"ca_cert_dir": certs.hashed_directory()},
        lambda certs: {"ca_cert_data": certs.ca_data},
        lambda certs: {"ssl_context": ssl.create_default_context(cafile=certs.ca_file)},
        lambda certs: {"ssl_context": ssl.create_default_context(capath=certs.hashed_directory())},
        lambda certs: {"ca_certs": certs.ca_file, "cert_reqs": "CERT_NONE"},
        lambda certs: {"ca_certs": certs.ca_file, "assert_hostname": "localhost"},
        lambda certs: {"ca_certs": certs.ca_file, "assert_fingerprint": certs.localhost.fingerprint()},
    ],
    ids=["directory", "data", "context", "context with a directory", "unverified", "name", "fingerprint"],
)
@pytest.mark.filterwarnings("ignore::wirepool.exceptions.InsecureRequestWarning")
def test_with_all_kinds_of_options(server: TLSServer, certs: Authority, options: Any) -> None:
    with https_pool(server, **options(certs)) as pool:
        assert [get(pool) for _ in range(4)] == [b"ok"] * 4
    # What OpenSSL finds in a directory during the first handshake changes the context.
    assert resumed(server)[2:] == [True, True]
    assert resumed(server)[0] is False


def test_by_several_connections_at_a_time(server: TLSServer, certs: Authority) -> None:
    with https_pool(server, ca_certs=certs.ca_file, maxsize=4) as pool:
        assert get(pool) == b"ok"
        threads = [threading.Thread(target=get, args=(pool,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert resumed(server) == [False, True, True, True, True]


def test_after_the_pool_threw_the_connection_away(server: TLSServer, certs: Authority) -> None:
    with https_pool(server, ca_certs=certs.ca_file) as pool:
        for _ in range(3):
            pool.urlopen("GET", "/", retries=False, preload_content=False).close()
    assert resumed(server) == [False, True, True]


def test_by_a_connection_without_a_pool(server: TLSServer, certs: Authority) -> None:
    conn = HTTPSConnection("localhost", server.port, timeout=5, ca_certs=certs.ca_file)
    for _ in range(3):
        conn.request("GET", "/")
        assert conn.getresponse().data == b"ok"
        conn.close()
    assert resumed(server) == [False, True, True]


def test_in_the_same_gear(server: TLSServer, certs: Authority, gear: str) -> None:
    with https_pool(server, ca_certs=certs.ca_file) as pool:
        gears = [is_fast(pool.request("GET", "/", retries=False)) for _ in range(3)]
    assert gears == [gear == "fast"] * 3
    assert resumed(server) == [False, True, True]


# --- not resumed ------------------------------------------------------------------------------------------------------


def test_not_when_switched_off(server: TLSServer, certs: Authority) -> None:
    with PoolManager(ca_certs=certs.ca_file, ssl_resumption=False, timeout=5) as manager:
        assert [manager.request("GET", server.url).data for _ in range(2)] == [b"ok"] * 2
    assert resumed(server) == [False, False]


def test_not_by_another_pool(server: TLSServer, certs: Authority) -> None:
    for _ in range(2):
        with https_pool(server, ca_certs=certs.ca_file) as pool:
            assert get(pool) == b"ok"
    assert resumed(server) == [False, False]


@pytest.mark.parametrize(
    "change",
    [
        {"ssl_maximum_version": V12},
        {"ssl_minimum_version": V13},
        {"cert_reqs": "CERT_NONE"},
        {"assert_hostname": "127.0.0.1"},
        {"ca_certs": None, "ca_cert_dir": True},
    ],
    ids=lambda change: next(iter(change)),
)
@pytest.mark.filterwarnings("ignore::wirepool.exceptions.InsecureRequestWarning")
def test_not_after_the_pools_options_changed(server: TLSServer, certs: Authority, change: dict[str, Any]) -> None:
    with https_pool(server, ca_certs=certs.ca_file) as pool:
        assert get(pool) == b"ok"
        for name, value in change.items():
            setattr(pool, name, certs.hashed_directory() if value is True else value)
        pool.pool.get()
        pool.pool.put(None)
        assert get(pool) == b"ok"
    assert resumed(server) == [False, False]


def loosen(context: ssl.SSLContext, certs: Authority) -> None:
    context.check_hostname = False


def lower(context: ssl.SSLContext, certs: Authority) -> None:
    floors = ssl.TLSVersion.MINIMUM_SUPPORTED, V12  # some systems have no other floor than OpenSSL's
    context.minimum_version = next(version for version in floors if version != context.minimum_version)


def demand_strictness(context: ssl.SSLContext, certs: Authority) -> None:
    context.verify_flags |= ssl.VerifyFlags.VERIFY_ALLOW_PROXY_CERTS


def load_crl(context: ssl.SSLContext, certs: Authority) -> None:
    context.load_verify_locations(certs.crl())


def trust_others(context: ssl.SSLContext, certs: Authority) -> None:
    context.load_verify_locations(certs.stranger().ca_file)


@pytest.mark.parametrize("change", [loosen, lower, demand_strictness, load_crl, trust_others])
@pytest.mark.parametrize("own_context", [False, True], ids=["our context", "the user's"])
def test_not_after_the_contexts_policy_changed(
    scripted_tls: Serve, certs: Authority, change: Any, own_context: bool
) -> None:
    server = scripted_tls(answering(OK), default=CLOSING)
    context = ssl.create_default_context(cafile=certs.ca_file)
    options: dict[str, Any] = {"ssl_context": context} if own_context else {"ca_certs": certs.ca_file}
    with https_pool(server, **options) as pool:
        assert get(pool) == b"ok"
        used = contexts_of(pool)
        change(used, certs)
        anew(pool)
        assert get(pool) == get(pool) == b"ok"
        if not own_context:
            assert _tls.policy(next(reversed(_tls._contexts.values())).context) != _tls.policy(used)
    assert resumed(server) == [False, False, True]


def test_an_unverified_session_is_not_resumed_by_who_verifies(scripted_tls: Serve, certs: Authority) -> None:
    """The rules change between the handshake and the response that makes the session known."""
    server = scripted_tls(default=CLOSING, certificate=certs.stranger().localhost, maximum=V12)
    context = ssl.create_default_context(cafile=certs.ca_file)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with https_pool(server, ssl_context=context) as pool:
        conn = pool._get_conn()
        conn.connect()
        pool._put_conn(conn)
        context.verify_mode = ssl.CERT_REQUIRED
        context.check_hostname = True
        with insecure(1):
            assert get(pool) == b"ok"
        pool.cert_reqs = "CERT_REQUIRED"
        pool.pool.get()
        pool.pool.put(None)
        refusal(pool)
    assert len(server.requests) == 1


def test_not_by_subclasses_of_the_connection(server: TLSServer, certs: Authority) -> None:
    class Mine(HTTPSConnection):
        pass

    with https_pool(server, ca_certs=certs.ca_file) as pool:
        pool.ConnectionCls = Mine  # type: ignore[misc]
        assert get(pool) == get(pool) == b"ok"
    assert resumed(server) == [False, False]


def test_not_with_a_subclass_of_the_context(server: TLSServer, certs: Authority) -> None:
    class Mine(ssl.SSLContext):
        pass

    context = Mine(ssl.PROTOCOL_TLS_CLIENT)
    with https_pool(server, ssl_context=context, ca_certs=certs.ca_file) as pool:
        assert get(pool) == get(pool) == b"ok"
    assert resumed(server) == [False, False]


def test_not_with_another_name(scripted_tls: Serve, certs: Authority) -> None:
    server = scripted_tls(default=CLOSING, certificate=certs.server("a.test", "b.test"))
    context = ssl.create_default_context(cafile=certs.ca_file)
    with https_pool(server, ssl_context=context, server_hostname="a.test") as pool:
        assert get(pool) == b"ok"
        pool.conn_kw["server_hostname"] = "b.test"
        pool.pool.get()
        pool.pool.put(None)
        assert get(pool) == b"ok"
    assert resumed(server) == [False, False]


# --- what is checked after the handshake is checked again -------------------------------------------------------------


@pytest.fixture
def reused(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each handshake went on with a session, as seen on this side: of a connection that is refused at once the
    server may see nothing but a reset."""
    seen: list[bool] = []
    original = connection.ssl_wrap_socket

    def noting(**options: Any) -> Any:
        secured = original(**options)
        seen.append(bool(secured.session_reused))
        return secured

    monkeypatch.setattr(connection, "ssl_wrap_socket", noting)
    return seen


@pytest.mark.parametrize("version", [V12, V13])
def test_a_resumed_session_does_not_excuse_a_wrong_fingerprint(
    scripted_tls: Serve, certs: Authority, version: Any, reused: list[bool]
) -> None:
    server = scripted_tls(default=CLOSING, minimum=version, maximum=version)
    context = ssl.create_default_context(cafile=certs.ca_file)
    with https_pool(server, ssl_context=context, assert_fingerprint=certs.localhost.fingerprint()) as pool:
        assert get(pool) == get(pool) == b"ok"
        pool.assert_fingerprint = "0" * 64
        pool.pool.get()
        pool.pool.put(None)
        refusal(pool)
    assert reused[:2] == [False, True]
    assert True in reused[2:]
    assert len(server.requests) == 2


@pytest.mark.parametrize("version", [V12, V13])
def test_a_resumed_session_does_not_excuse_a_wrong_name(
    scripted_tls: Serve, certs: Authority, version: Any, reused: list[bool]
) -> None:
    server = scripted_tls(default=CLOSING, minimum=version, maximum=version)
    context = ssl.create_default_context(cafile=certs.ca_file)
    with https_pool(server, ssl_context=context, assert_hostname="localhost") as pool:
        assert get(pool) == get(pool) == b"ok"
        pool.assert_hostname = "other.test"
        pool.pool.get()
        pool.pool.put(None)
        assert "doesn't match" in str(refusal(pool))
    assert reused[:2] == [False, True]
    assert True in reused[2:]
    assert len(server.requests) == 2


@pytest.mark.parametrize("version", [V12, V13])
def test_a_server_restarted_with_another_certificate(certs: Authority, version: Any) -> None:
    options = {"default": CLOSING, "minimum": version, "maximum": version}
    with (
        TLSServer(certificate=certs.localhost, **options) as server,
        https_pool(server, ca_certs=certs.ca_file) as pool,
    ):
        assert get(pool) == get(pool) == b"ok"
        server.wait_over()
        for good, certificate in ((True, certs.server()), (False, certs.server("other.test"))):
            # The same server to the client: another key for tickets, and another certificate.
            with TLSServer(certificate=certificate, **options) as restarted:
                server.context = restarted.context
            if good:
                assert get(pool) == get(pool) == b"ok"
            else:
                refusal(pool)
    assert resumed(server)[:4] == [False, True, False, True]
    assert len(server.requests) == 4


def test_what_is_remembered_is_bounded(scripted_tls: Serve, certs: Authority) -> None:
    names = [f"{number}.test" for number in range(12)]
    server = scripted_tls(default=CLOSING, certificate=certs.server(*names))
    context = ssl.create_default_context(cafile=certs.ca_file)
    with https_pool(server, ssl_context=context) as pool:
        for name in names:
            pool.conn_kw["server_hostname"] = name
            pool.pool.get()
            pool.pool.put(None)
            assert get(pool) == b"ok"
        assert len(pool._sessions) == _tls._MAX_SESSIONS < len(names)
        assert get(pool) == b"ok"
    assert resumed(server) == [False] * 12 + [True]


# --- contexts ---------------------------------------------------------------------------------------------------------


def keep_alive(certs: Authority, nginx_tls: TLSListeners, **options: Any) -> HTTPSConnectionPool:
    """A pool that has made a request."""
    pool = https_pool(nginx_tls.both, **options)
    assert pool.request("GET", "/json").status == 200
    return pool


def test_one_context_for_equal_options(nginx_tls: TLSListeners, certs: Authority) -> None:
    options = {"ca_certs": certs.ca_file, "ssl_minimum_version": V12}
    pools = [keep_alive(certs, nginx_tls, **options) for _ in range(2)]
    others = [
        keep_alive(certs, nginx_tls, **options, **more)
        for more in ({"assert_hostname": "localhost"}, {"ca_cert_data": certs.ca_data})
    ]
    contexts = [contexts_of(pool) for pool in pools + others]
    assert contexts[0] is contexts[1]
    assert len(set(map(id, contexts))) == 3
    for pool in pools + others:
        pool.close()


def test_one_context_with_a_directory(nginx_tls: TLSListeners, certs: Authority) -> None:
    directory = certs.hashed_directory()
    with keep_alive(certs, nginx_tls, ca_cert_dir=directory) as first:
        with keep_alive(certs, nginx_tls, ca_cert_dir=directory) as second:
            context = contexts_of(first)
            assert context is contexts_of(second)
        context.load_verify_locations(certs.stranger().ca_file)
        with keep_alive(certs, nginx_tls, ca_cert_dir=directory) as third:
            assert context is not contexts_of(third)


def test_a_new_context_when_the_file_changed(nginx_tls: TLSListeners, certs: Authority, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    shutil.copy(certs.ca_file, path)
    os.utime(path, (1, 1))
    with keep_alive(certs, nginx_tls, ca_certs=str(path)) as first:
        shutil.copy(certs.stranger().ca_file, path)
        with https_pool(nginx_tls.both, ca_certs=str(path)) as second:
            refusal(second)
        shutil.copy(certs.ca_file, path)
        with keep_alive(certs, nginx_tls, ca_certs=str(path)) as third:
            assert contexts_of(first) is not contexts_of(third)


def allow_everybody(context: ssl.SSLContext) -> None:
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE


@pytest.mark.parametrize(
    "change",
    [
        allow_everybody,
        lambda context: setattr(context, "check_hostname", False),
        lambda context: setattr(context, "minimum_version", ssl.TLSVersion.MINIMUM_SUPPORTED),
        lambda context: setattr(context, "verify_flags", ssl.VERIFY_DEFAULT | ssl.VERIFY_ALLOW_PROXY_CERTS),
        lambda context: setattr(context, "options", context.options & ~ssl.OP_NO_COMPRESSION),
        lambda context: setattr(context, "hostname_checks_common_name", True),
    ],
    ids=["verify_mode", "check_hostname", "minimum_version", "verify_flags", "options", "common name"],
)
def test_what_somebody_loosened_is_not_shared(nginx_tls: TLSListeners, certs: Authority, change: Any) -> None:
    options = {"ca_certs": certs.ca_file, "ssl_maximum_version": V13}
    with keep_alive(certs, nginx_tls, **options) as first:
        before = _tls.policy(contexts_of(first))
        change(contexts_of(first))
        assert _tls.policy(contexts_of(first)) != before, "no change at all"
        with keep_alive(certs, nginx_tls, **options) as second:
            assert contexts_of(second) is not contexts_of(first)
            assert _tls.policy(contexts_of(second)) == before
            assert connection_of(second).is_verified


def test_the_number_of_contexts_is_bounded(nginx_tls: TLSListeners, certs: Authority) -> None:
    with keep_alive(certs, nginx_tls, ca_certs=certs.ca_file, ssl_maximum_version=V12) as first:
        for number in range(_tls._MAX_CONTEXTS + 1):
            with https_pool(nginx_tls.both, ca_cert_data=certs.ca_data + "\n" * number) as pool:
                connect(pool)
        assert len(_tls._contexts) == _tls._MAX_CONTEXTS
        with keep_alive(certs, nginx_tls, ca_certs=certs.ca_file, ssl_maximum_version=V12) as second:
            assert contexts_of(first) is not contexts_of(second)


def connect(pool: Any) -> None:
    conn = pool._get_conn()
    conn.connect()
    conn.close()


def test_the_users_context_is_the_users(nginx_tls: TLSListeners, certs: Authority) -> None:
    context = ssl.create_default_context(cafile=certs.ca_file)
    count = len(_tls._contexts)
    with keep_alive(certs, nginx_tls, ssl_context=context) as pool:
        assert contexts_of(pool) is context
    assert len(_tls._contexts) == count
    wait_until(lambda: context not in [kept.context for kept in _tls._contexts.values()])
