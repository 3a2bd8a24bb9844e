"""What programs replace in ``wirepool.connection`` is called, wherever the code that calls it lives."""

from __future__ import annotations

import datetime
import inspect
import pickle
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

import wirepool.connection
from behaviour.talk import OK, answering, spying
from behaviour.tls_talk import https_pool
from servers.certs import Authority
from servers.tls import TLSServer
from wirepool import HTTPConnectionPool
from wirepool.connection import HTTPConnection, HTTPSConnection
from wirepool.exceptions import SystemTimeWarning
from wirepool.util import connection as util_connection

Serve = Callable[..., Any]


@pytest.mark.parametrize("name", ["body_to_chunks", "assert_header_parsing", "_get_default_user_agent"])
def test_of_a_request(scripted: Serve, name: str) -> None:
    conn = HTTPConnection("127.0.0.1", scripted(answering(OK)).port, timeout=5)
    conn.connect()
    with spying(wirepool.connection, name) as spy:
        conn.request("GET", "/")
        assert conn.getresponse().data == b"ok"
    assert spy.calls == 1
    conn.close()


def test_of_a_connection_that_is_looked_at(scripted: Serve) -> None:
    conn = HTTPConnection("127.0.0.1", scripted(answering(OK)).port, timeout=5)
    conn.connect()
    with spying(wirepool.connection, "wait_for_read") as spy:
        assert conn.is_connected
    assert spy.calls == 1
    conn.close()


def test_the_module_that_opens_connections(scripted: Serve) -> None:
    double = mock.Mock(wraps=util_connection)
    with (
        mock.patch.object(wirepool.connection, "connection", double),
        HTTPConnectionPool("127.0.0.1", scripted(answering(OK)).port, timeout=5) as pool,
    ):
        assert pool.request("GET", "/").data == b"ok"
    double.create_connection.assert_called_once()


STEPS = [
    "_ssl_wrap_socket_and_match_hostname",
    "_match_hostname",
    "create_urllib3_context",
    "match_hostname",
    "resolve_cert_reqs",
    "ssl_wrap_socket",
]


@pytest.mark.parametrize("name", STEPS)
def test_of_a_handshake(scripted_tls: Serve, certs: Authority, gear: str, name: str) -> None:
    server: TLSServer = scripted_tls(answering(OK))
    with https_pool(server, ca_certs=certs.ca_file, assert_hostname="localhost", cert_reqs="CERT_REQUIRED") as pool:
        with spying(wirepool.connection, name) as spy:
            assert pool.urlopen("GET", "/").data == b"ok"
        assert spy.calls == 1


def test_the_log(scripted_tls: Serve, certs: Authority) -> None:
    conn = HTTPSConnection("localhost", scripted_tls().port, ca_certs=certs.ca_file, assert_hostname="other", timeout=5)
    with mock.patch.object(wirepool.connection, "log") as log, pytest.raises(wirepool.connection.CertificateError):
        conn.connect()
    log.warning.assert_called_once()


def test_the_clock(scripted_tls: Serve, certs: Authority) -> None:
    """A warning that names the line that connects."""
    conn = HTTPSConnection("localhost", scripted_tls(answering(OK)).port, ca_certs=certs.ca_file, timeout=5)
    with mock.patch.object(wirepool.connection, "datetime") as clock:
        clock.date.today.return_value = datetime.date(1970, 1, 1)
        with pytest.warns(SystemTimeWarning) as caught:
            conn.connect()
    assert caught[0].filename == __file__
    conn.close()


@pytest.mark.parametrize("cls", [HTTPConnection, HTTPSConnection])
def test_the_classes_are_at_home_there(cls: type) -> None:
    assert cls.__module__ == "wirepool.connection"
    assert inspect.getsourcefile(cls) == wirepool.connection.__file__
    assert pickle.loads(pickle.dumps(cls)) is cls
