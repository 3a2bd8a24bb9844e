"""The advisories of urllib3 and its kin, one test each: what once went wrong there does not here, in either gear."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from behaviour.bombs import bomb
from behaviour.talk import OK, answering
from servers.certs import Authority
from servers.scripted import Close, Hold, Recv, ScriptedServer, Send, response
from wirepool import HTTPConnectionPool, PoolManager, ProxyManager, Retry
from wirepool.exceptions import (
    DecodeError,
    HTTPError,
    LocationParseError,
    MaxRetryError,
    ProtocolError,
    ProxyError,
    SSLError,
)

pytestmark = pytest.mark.usefixtures("gear")

Serve = Callable[..., ScriptedServer]

# What reading a little of a bomb may take: its packed bytes, buffers, and what the test itself needs.
LITTLE = 8 << 20
SECRETS = {"Authorization": "secret", "cOOkie": "secret", "Proxy-Authorization": "secret"}


def at(server: ScriptedServer) -> tuple[str, int]:
    return server.host, server.port


@contextmanager
def in_little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < LITTLE
    finally:
        tracemalloc.stop()


def packed(data: bytes, status: int = 200, **fields: str) -> bytes:
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    return response(data, status=status, headers=[("Content-Encoding", "gzip"), *headers.items()])


def moved(to: str, status: int = 302) -> bytes:
    return response(b"", status=status, headers=[("Location", to)])


# --- decompression ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", ["read", "stream", "read1", "readinto"])
def test_ghsa_2xpw_w6gg_jr37_a_read_decodes_what_it_was_asked_for(scripted: Serve, read: str) -> None:
    pool = HTTPConnectionPool(*at(scripted(answering(packed(bomb())))))
    answer: Any = pool.urlopen("GET", "/", preload_content=False)
    with in_little_memory():
        if read == "stream":
            data = next(iter(answer.stream(1000)))
        elif read == "readinto":
            data = bytearray(1000)
            answer.readinto(data)
        else:
            data = getattr(answer, read)(1000)
    assert bytes(data) == bytes(len(data))
    assert 0 < len(data) <= 1000
    answer.close()


def test_ghsa_gm62_xv2j_4w53_chains_of_codings_are_short(scripted: Serve) -> None:
    chain = response(b"x", headers=[("Content-Encoding", ", ".join(["gzip"] * 6))])
    with pytest.raises(DecodeError):
        HTTPConnectionPool(*at(scripted(answering(chain)))).urlopen("GET", "/", retries=False)


@pytest.mark.parametrize("preload", [True, False])
def test_ghsa_38jv_5279_wg99_a_redirect_is_no_way_around_the_bound(scripted: Serve, preload: bool) -> None:
    server = scripted(answering(packed(bomb(), 302, Location="/there"), OK))
    with in_little_memory():
        answer = HTTPConnectionPool(*at(server)).urlopen("GET", "/", preload_content=False)
        assert answer.read() == b"ok"


def test_ghsa_mf9v_mfxr_j63j_draining_decodes_nothing(scripted: Serve) -> None:
    pool = HTTPConnectionPool(*at(scripted(answering(packed(bomb()), OK))))
    answer = pool.urlopen("GET", "/", preload_content=False)
    with in_little_memory():
        answer.read(1)
        answer.drain_conn()
    assert pool.urlopen("GET", "/").data == b"ok"


def test_ghsa_gh4c_6fx4_qh6g_chunked_deflate_comes_to_an_end(scripted: Serve) -> None:
    data = zlib.compress(b"x" * 100_000)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: deflate\r\n\r\n"
    chunks = b"".join(b"1\r\n%b\r\n" % data[i : i + 1] for i in range(len(data)))
    pool = HTTPConnectionPool(*at(scripted(answering(head + chunks + b"0\r\n\r\n"))))
    assert pool.urlopen("GET", "/").data == b"x" * 100_000
    answer = pool.urlopen("GET", "/", preload_content=False)
    assert b"".join(answer.stream(7, decode_content=True)) == b"x" * 100_000


# --- lines without an end ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [b"1;", b"0\r\nTrailer: "], ids=["chunk size", "trailer"])
@pytest.mark.parametrize("preload", [True, False])
def test_ghsa_vxq7_64xx_v4gw_lines_around_chunks_are_bounded(scripted: Serve, before: bytes, preload: bool) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    server = scripted([Recv(), Send(head + before + b"x" * 400_000), Hold()])
    with pytest.raises(HTTPError), in_little_memory():  # noqa: PT012 (the second half is for one parameter)
        answer = HTTPConnectionPool(*at(server), timeout=5).urlopen("GET", "/", retries=False, preload_content=preload)
        for _ in answer.stream(65536):
            pass
        raise ProtocolError("a trailer that was left out")  # which is as good: its connection is not used again


@pytest.mark.parametrize("preload", [True, False])
def test_cve_2023_39326_extensions_of_chunks_are_bounded_in_sum(scripted: Serve, preload: bool) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    server = scripted([Recv(), Send(head + (b"1;" + b"x" * 200 + b"\r\nz\r\n") * 1000), Hold()])
    pool = HTTPConnectionPool(*at(server), timeout=5)
    with pytest.raises(ProtocolError):
        pool.urlopen("GET", "/", retries=False, preload_content=preload).read()


def test_but_a_small_one_in_every_chunk_is_fine(scripted: Serve) -> None:
    chunk = b"400;signature=" + b"0" * 64 + b"\r\n" + b"z" * 1024 + b"\r\n"
    wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 2000 + b"0\r\n\r\n"
    server = scripted(answering(wire))
    assert len(HTTPConnectionPool(*at(server), timeout=5).urlopen("GET", "/").data) == 2000 * 1024


# --- secrets and redirects --------------------------------------------------------------------------------------------


def seen(server: ScriptedServer) -> set[str]:
    names = {name.lower() for name in SECRETS}
    return {name.lower() for request in server.requests for name, _ in request.headers if name.lower() in names}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_cve_2018_20060_2018_25091_2023_43804_2024_37891_secrets_stay_with_their_origin(
    scripted: Serve, status: int
) -> None:
    other = scripted(answering(OK))
    first = scripted(answering(moved(f"{other.url}/", status)))
    assert PoolManager().request("GET", f"{first.url}/", headers=SECRETS).data == b"ok"
    assert seen(first) == {name.lower() for name in SECRETS}
    assert seen(other) == set()


def test_ghsa_qccp_gfcp_xxvc_also_out_of_a_pool_of_a_proxy_manager(scripted: Serve) -> None:
    proxy = scripted(answering(moved("http://b.test/"), OK))
    pool = ProxyManager(proxy.url).connection_from_url("http://a.test/")
    headers = {**SECRETS, "Host": "a.test"}
    assert pool.urlopen("GET", "http://a.test/", headers=headers, assert_same_host=False).data == b"ok"
    assert [sum(name.lower() in ("authorization", "cookie") for name, _ in r.headers) for r in proxy.requests] == [2, 0]


def test_cve_2023_45803_a_303_takes_no_body_along(scripted: Serve) -> None:
    server = scripted(answering(moved("/there", 303), OK))
    headers = {"Content-Type": "text/plain", "Content-Language": "en"}
    PoolManager().request("POST", f"{server.url}/", body=b"secret", headers=headers)
    followed = server.requests[1]
    assert (followed.method, followed.body) == ("GET", b"")
    assert not any(name.lower().startswith("content-") for name, _ in followed.headers)


@pytest.mark.parametrize("retries", [0, Retry(redirect=0), Retry(total=False)])
def test_cve_2025_50181_retries_of_the_manager_limit_redirects(scripted: Serve, retries: Any) -> None:
    server = scripted(answering(moved("/there"), OK))
    try:
        answer = PoolManager(retries=retries).request("GET", f"{server.url}/")
    except MaxRetryError:
        pass
    else:
        assert answer.status == 302
    assert len(server.requests) == 1


# --- what must not be sent --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET / HTTP/1.1\r\nX: y\r\n", "GET\r\n", "G ET", "GET\0"])
def test_cve_2020_26137_methods(scripted: Serve, method: str) -> None:
    server = scripted(answering(OK))
    with pytest.raises(ValueError, match="token"):
        HTTPConnectionPool(*at(server)).urlopen(method, "/")
    assert server.requests == []


@pytest.mark.parametrize("url", ["/a\r\nX: y", "/a b\r\n\r\nGET / HTTP/1.1\r\n", "/\n"])
def test_cve_2019_11236_2019_9740_targets(scripted: Serve, url: str) -> None:
    server = scripted(answering(OK))
    HTTPConnectionPool(*at(server)).urlopen("GET", url)
    (request,) = server.requests
    assert "x" not in {name.lower() for name, _ in request.headers}
    assert "\n" not in request.target


@pytest.mark.parametrize("host", ["a\r\nX: y", "a b", "a\0b"])
def test_bpo_22928_hosts_of_tunnels(scripted: Serve, host: str) -> None:
    proxy = scripted(answering(OK))
    with pytest.raises((LocationParseError, ValueError)):
        ProxyManager(proxy.url).connection_from_host(host, 443, "https").urlopen("GET", "/", retries=False)
    assert proxy.requests == []


# --- verification -----------------------------------------------------------------------------------------------------


def test_cve_2016_9015_2019_11324_only_the_given_authorities_count(certs: Authority, scripted_tls: Any) -> None:
    server = scripted_tls(answering(OK))
    with pytest.raises(SSLError):
        PoolManager(ca_certs=certs.stranger().ca_file).request("GET", f"{server.url}/", retries=False)
    assert server.requests == []


def test_cve_2021_28363_the_proxys_name_is_verified(certs: Authority, scripted_proxy: Any) -> None:
    proxy = scripted_proxy(tls=True, certificate=certs.server("another.test"))
    with pytest.raises(ProxyError) as caught:
        ProxyManager(proxy.url, ca_certs=certs.ca_file).request("GET", "https://a.test/", retries=False)
    assert isinstance(caught.value.original_error, SSLError)
    assert proxy.connects == []


def test_ghsa_8988_9cw3_xx77_what_is_meant_for_the_origin_does_not_vouch_for_the_proxy(
    certs: Authority, scripted_proxy: Any
) -> None:
    proxy = scripted_proxy(tls=True, certificate=certs.server("another.test"))
    options = {"assert_hostname": "another.test", "server_hostname": "another.test"}
    with pytest.raises(ProxyError):
        ProxyManager(proxy.url, ca_certs=certs.ca_file, **options).request("GET", "https://a.test/", retries=False)
    assert proxy.connects == []


def test_cve_2025_43859_chunks_end_where_they_say(scripted: Serve) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    server = scripted([Recv(), Send(head + b"2\r\nokXX0\r\n\r\n"), Close()])
    with pytest.raises(ProtocolError):
        HTTPConnectionPool(*at(server)).urlopen("GET", "/", retries=False)
