"""The gate for TLS: the fast gear serves genuine TLS sockets; whatever a program puts in their way is really called."""

from __future__ import annotations

import http.client
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

import wirepool.connection
import wirepool.connectionpool
from behaviour.talk import OK, answering, is_fast, spying
from behaviour.tls_talk import anew, connection_of, https_pool, insecure
from servers.certs import Authority, Certificate
from servers.scripted import response
from servers.tls import TLSServer
from wirepool import HTTPSConnectionPool, Timeout
from wirepool.connection import HTTPSConnection
from wirepool.util import ssl_

Serve = Callable[..., TLSServer]


@pytest.fixture
def server(scripted_tls: Serve) -> TLSServer:
    return scripted_tls(default=answering(OK))


@pytest.fixture
def pool(server: TLSServer, certs: Authority) -> Iterator[HTTPSConnectionPool]:
    with https_pool(server, ca_certs=certs.ca_file) as pool:
        yield pool


def goes_fast(pool: Any, **options: Any) -> bool:
    """Whether the fast gear served a request that succeeded."""
    answer = pool.urlopen("GET", "/", retries=False, **options)
    assert (answer.status, answer.data) == (200, b"ok")
    return is_fast(answer)


# --- fast -------------------------------------------------------------------------------------------------------------


def files_of(certificate: Certificate) -> dict[str, str]:
    return {"cert_file": certificate.cert_file, "key_file": certificate.key_file}


OPTIONS: dict[str, Callable[[Authority], dict[str, Any]]] = {
    "roots": lambda certs: {"ca_certs": certs.ca_file},
    "a context": lambda certs: {"ssl_context": ssl.create_default_context(cafile=certs.ca_file)},
    "a name": lambda certs: {"ca_certs": certs.ca_file, "assert_hostname": "localhost"},
    "a fingerprint": lambda certs: {"ca_certs": certs.ca_file, "assert_fingerprint": certs.localhost.fingerprint()},
    "a client certificate": lambda certs: {"ca_certs": certs.ca_file, **files_of(certs.client())},
    "TLS 1.2": lambda certs: {"ca_certs": certs.ca_file, "ssl_maximum_version": ssl.TLSVersion.TLSv1_2},
    "time-outs": lambda certs: {"ca_certs": certs.ca_file, "timeout": Timeout(connect=3, read=4)},
    "a total time-out": lambda certs: {"ca_certs": certs.ca_file, "timeout": Timeout(total=4)},
    "no time-out": lambda certs: {"ca_certs": certs.ca_file, "timeout": None},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_ordinary_options(server: TLSServer, certs: Authority, options: Any) -> None:
    with https_pool(server, **options(certs)) as pool:
        assert goes_fast(pool)
        assert goes_fast(pool)
        assert goes_fast(pool, preload_content=False)
        assert pool.num_connections == 1


def test_unverified(server: TLSServer) -> None:
    with https_pool(server, cert_reqs="CERT_NONE") as pool, insecure(2):
        assert goes_fast(pool)
        assert goes_fast(pool)


def test_a_subclass_of_the_context(server: TLSServer, certs: Authority) -> None:
    """It decides about the handshake; what comes after it is a socket like any other."""

    class Context(ssl.SSLContext):
        pass

    context = Context(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certs.ca_file)
    with https_pool(server, ssl_context=context) as pool:
        assert goes_fast(pool)


def test_no_method_of_the_socket_is_called(pool: HTTPSConnectionPool) -> None:
    """Were one called, a Python frame per record would be paid for."""
    assert goes_fast(pool)
    sock = connection_of(pool).sock
    entered: list[str] = []

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename == ssl.__file__:
            entered.append(frame.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        assert goes_fast(pool)
    finally:
        sys.setprofile(before)
    assert connection_of(pool).sock is sock
    assert entered == []


# --- compatible -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["recv_into", "sendall", "read", "write", "send", "pending", "shutdown", "recv"])
def test_methods_of_ssl_sockets(pool: HTTPSConnectionPool, server: TLSServer, name: str) -> None:
    """Those that the compatible gear calls are called, also of a connection that was there before."""
    assert goes_fast(pool)
    with spying(ssl.SSLSocket, name) as spy:
        assert not goes_fast(pool)
        assert (spy.calls > 0) == (name not in ("recv", "shutdown", "write"))
        anew(pool)
        assert not goes_fast(pool)
    anew(pool)
    assert goes_fast(pool)
    assert len(server.connections) == 3


def test_a_connection_made_while_a_method_was_replaced_is_fast_afterwards(pool: HTTPSConnectionPool) -> None:
    with spying(ssl.SSLSocket, "read"):
        assert not goes_fast(pool)
    assert goes_fast(pool)
    assert pool.num_connections == 1


def test_a_method_of_one_socket(pool: HTTPSConnectionPool) -> None:
    assert goes_fast(pool)
    conn = connection_of(pool)
    with mock.patch.object(conn, "sock", Wrapper(conn.sock)):
        assert not goes_fast(pool)
        assert conn.sock.calls
    assert connection_of(pool) is conn
    assert goes_fast(pool)


class Wrapper:
    """Not a TLS socket, but all that one does."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.calls.append(name)
        return getattr(self.sock, name)


def test_a_socket_that_somebody_put_there(server: TLSServer, certs: Authority, pool: HTTPSConnectionPool) -> None:
    assert goes_fast(pool)
    conn = connection_of(pool)
    conn.sock.close()
    context = ssl.create_default_context(cafile=certs.ca_file)
    # The session tickets of TLS 1.3, unread, would look like a response to nothing.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    raw = socket.create_connection((server.host, server.port), 5)
    conn.sock = context.wrap_socket(raw, server_hostname="localhost")
    assert not goes_fast(pool)
    assert len(server.connections) == 2


def test_a_subclass_of_the_connection(pool: HTTPSConnectionPool) -> None:
    class Mine(HTTPSConnection):
        connects = 0

        def connect(self) -> None:
            type(self).connects += 1
            super().connect()

    pool.ConnectionCls = Mine  # type: ignore[misc]
    assert not goes_fast(pool)
    assert not goes_fast(pool)
    assert Mine.connects == 1
    assert connection_of(pool).is_verified


def test_ssl_wrap_socket_replaced(pool: HTTPSConnectionPool) -> None:
    """As programs do that look at each handshake; after it the connection is an ordinary one."""
    with spying(wirepool.connection, "ssl_wrap_socket") as spy:
        goes_fast(pool)
        anew(pool)
        goes_fast(pool)
        assert spy.calls == 2
    assert goes_fast(pool)


def test_ssl_wrap_socket_replaced_by_something_else(pool: HTTPSConnectionPool) -> None:
    original = ssl_.ssl_wrap_socket

    def wrapping(*args: Any, **kw: Any) -> Any:
        return Wrapper(original(*args, **kw))

    with mock.patch.object(wirepool.connection, "ssl_wrap_socket", wrapping):
        assert not goes_fast(pool)
        assert type(connection_of(pool).sock) is Wrapper
        anew(pool)
    assert goes_fast(pool)


def test_a_context_with_a_socket_class_of_its_own(server: TLSServer, certs: Authority) -> None:
    class Socket(ssl.SSLSocket):
        reads = 0

        def recv_into(self, *args: Any, **kw: Any) -> int:
            type(self).reads += 1
            return super().recv_into(*args, **kw)

    context = ssl.create_default_context(cafile=certs.ca_file)
    context.sslsocket_class = Socket
    with https_pool(server, ssl_context=context) as pool:
        assert not goes_fast(pool)
        assert Socket.reads


def test_another_context_class_is_used(pool: HTTPSConnectionPool) -> None:
    """Replaced in ``util.ssl_``, as truststore does."""
    made: list[Any] = []

    class Context(ssl.SSLContext):
        def __init__(self, *args: Any) -> None:
            made.append(self)

    with mock.patch.object(ssl_, "SSLContext", Context):
        assert goes_fast(pool)
        assert [connection_of(pool).sock.context] == made
        anew(pool)
    assert goes_fast(pool)
    assert type(connection_of(pool).sock.context) is ssl.SSLContext


@pytest.mark.parametrize("name", ["create_urllib3_context", "_match_hostname", "_assert_fingerprint"])
def test_functions_of_the_module(server: TLSServer, certs: Authority, name: str) -> None:
    options: dict[str, Any] = {"ca_certs": certs.ca_file, "assert_hostname": "localhost"}
    if name == "_assert_fingerprint":
        options["assert_fingerprint"] = certs.localhost.fingerprint()
    with spying(wirepool.connection, name) as spy, https_pool(server, **options) as pool:
        goes_fast(pool)
        assert spy.calls == 1


POOL_METHODS = ["_validate_conn", "_make_request", "_get_conn", "_put_conn", "_prepare_proxy"]


@pytest.mark.parametrize("name", POOL_METHODS)
def test_methods_of_the_pool(pool: HTTPSConnectionPool, name: str) -> None:
    assert goes_fast(pool)
    with spying(HTTPSConnectionPool, name) as spy:
        assert not goes_fast(pool)
        assert spy.calls or name == "_prepare_proxy"
    assert goes_fast(pool)
    with spying(pool, name):
        assert not goes_fast(pool)
    assert goes_fast(pool)


@pytest.mark.parametrize("owner", [HTTPSConnection, http.client.HTTPConnection])
@pytest.mark.parametrize("name", ["putrequest", "endheaders", "getresponse", "send"])
def test_methods_of_the_connection(pool: HTTPSConnectionPool, owner: Any, name: str) -> None:
    assert goes_fast(pool)
    with spying(owner, name) as spy:
        assert not goes_fast(pool)
        assert spy.calls
    assert goes_fast(pool)
    assert pool.num_connections == 1


def test_connect_replaced(pool: HTTPSConnectionPool) -> None:
    """Programs time it; the request after it may take either gear."""
    with spying(HTTPSConnection, "connect") as spy:
        goes_fast(pool)
        assert spy.calls == 1
    with spying(HTTPSConnection, "_new_conn") as spy:
        anew(pool)
        goes_fast(pool)
        assert spy.calls == 1


def test_from_one_gear_to_the_other_in_the_middle_of_a_body(scripted_tls: Serve, certs: Authority) -> None:
    server = scripted_tls(default=answering(response(b"0123456789" * 5000), OK))
    with https_pool(server, ca_certs=certs.ca_file) as pool:
        answer = pool.urlopen("GET", "/", preload_content=False)
        assert answer.read(5) == b"01234"
        assert answer._original_response.length == 49_995  # type: ignore[attr-defined]
        assert answer.read() == (b"0123456789" * 5000)[5:]
        assert goes_fast(pool)
        assert pool.num_connections == 1
