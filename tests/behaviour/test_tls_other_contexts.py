"""Contexts of a class that was put in the place of the standard library's and tells less, as truststore's do."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from typing import Any, NoReturn
from unittest import mock

import pytest

from behaviour.talk import OK, answering
from behaviour.tls_talk import anew, contexts_of, get, https_pool, refusal
from servers.certs import Authority
from servers.tls import TLSServer
from wirepool import HTTPSConnectionPool
from wirepool.util import ssl_

pytestmark = pytest.mark.usefixtures("gear")

Serve = Callable[..., TLSServer]


class Reticent(ssl.SSLContext):
    """Does not say which certificates it has, and trusts what the system does, asked at each handshake."""

    def cert_store_stats(self) -> NoReturn:
        raise NotImplementedError

    def get_ca_certs(self, binary_form: bool = False) -> NoReturn:  # type: ignore[override]
        raise NotImplementedError

    def wrap_socket(self, *args: Any, **kw: Any) -> ssl.SSLSocket:
        self.set_default_verify_paths()
        return super().wrap_socket(*args, **kw)


class Outspoken(ssl.SSLContext):
    """Like the standard library's."""


@pytest.fixture
def server(scripted_tls: Serve) -> TLSServer:
    return scripted_tls(default=answering(OK))


@pytest.fixture(params=[Reticent, Outspoken])
def kind(request: pytest.FixtureRequest) -> Iterator[type[ssl.SSLContext]]:
    with mock.patch.object(ssl_, "SSLContext", request.param):
        yield request.param


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has the system trust what is in a file, and nothing else."""

    def trust(ca_file: str) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", ca_file)
        monkeypatch.setenv("SSL_CERT_DIR", "")

    return trust


def pool_and_context(server: TLSServer, **options: Any) -> tuple[HTTPSConnectionPool, ssl.SSLContext]:
    pool = https_pool(server, **options)
    assert get(pool) == b"ok"
    return pool, contexts_of(pool)


def test_the_systems_roots(
    server: TLSServer, certs: Authority, kind: type[ssl.SSLContext], trusting: Callable[[str], None]
) -> None:
    trusting(certs.ca_file)
    with https_pool(server) as pool:
        assert get(pool) == b"ok"
    trusting(certs.stranger().ca_file)
    with https_pool(server) as pool:
        assert "CERTIFICATE_VERIFY_FAILED" in str(refusal(pool))


def test_what_one_connection_took_in_is_not_trusted_by_the_next(
    server: TLSServer, certs: Authority, kind: type[ssl.SSLContext], trusting: Callable[[str], None]
) -> None:
    stranger = certs.stranger().ca_file
    trusting(certs.ca_file)
    with https_pool(server, ca_certs=stranger) as pool:
        if kind is Reticent:
            assert get(pool) == b"ok"
        else:
            refusal(pool)
    trusting(stranger)
    with https_pool(server, ca_certs=stranger) as pool:
        assert "CERTIFICATE_VERIFY_FAILED" in str(refusal(pool))


def test_nobody_elses_changes(server: TLSServer, certs: Authority, kind: type[ssl.SSLContext]) -> None:
    pool, context = pool_and_context(server, ca_certs=certs.ca_file)
    with pool:
        assert type(context) is kind
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        anew(pool)
        assert get(pool) == b"ok"
        assert contexts_of(pool).verify_mode == ssl.CERT_REQUIRED
        assert contexts_of(pool) is not context


def test_shared_where_a_change_would_be_seen(server: TLSServer, certs: Authority, kind: type[ssl.SSLContext]) -> None:
    first, context = pool_and_context(server, ca_certs=certs.ca_file)
    second, other = pool_and_context(server, ca_certs=certs.ca_file)
    with first, second:
        assert (context is other) == (kind is Outspoken)
