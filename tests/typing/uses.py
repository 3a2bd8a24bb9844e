"""Documented uses, as a type checker sees them: the same file has to pass with urllib3 in wirepool's place."""

from __future__ import annotations

import codecs
import csv
import io
import json
import logging
import socket
import ssl
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta

import wirepool
from wirepool import (
    BaseHTTPResponse,
    HTTPConnectionPool,
    HTTPHeaderDict,
    HTTPResponse,
    HTTPSConnectionPool,
    PoolManager,
    ProxyManager,
    Retry,
    Timeout,
    connection_from_url,
    encode_multipart_formdata,
    make_headers,
    proxy_from_url,
)
from wirepool.connection import HTTPConnection, HTTPSConnection, ProxyConfig
from wirepool.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    HTTPWarning,
    InsecureRequestWarning,
    LocationParseError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    PoolError,
    ProtocolError,
    ProxyError,
    SSLError,
)
from wirepool.fields import RequestField
from wirepool.filepost import choose_boundary, iter_field_objects
from wirepool.poolmanager import PoolKey
from wirepool.response import ContentDecoder, GzipDecoder
from wirepool.util import (
    SKIP_HEADER,
    Url,
    assert_fingerprint,
    create_urllib3_context,
    is_connection_dropped,
    parse_url,
    resolve_cert_reqs,
    ssl_wrap_socket,
    wait_for_read,
)
from wirepool.util.retry import RequestHistory
from wirepool.util.timeout import Timeout as SameTimeout

URL = "https://example.org/"


def policies() -> Retry:
    """Every option of a policy, and what is asked of it."""
    retries = Retry(
        total=5,
        connect=3,
        read=False,
        redirect=2,
        status=1,
        other=0,
        allowed_methods={"GET", "POST"},
        status_forcelist=frozenset({502, 503}),
        backoff_factor=0.5,
        backoff_max=30,
        raise_on_redirect=False,
        raise_on_status=False,
        history=(RequestHistory("GET", "/", None, 503, None),),
        respect_retry_after_header=True,
        remove_headers_on_redirect=["Authorization"],
        backoff_jitter=0.25,
        retry_after_max=60,
    )
    Retry(total=None, allowed_methods=None, status_forcelist=[500])
    Retry(False)
    typing.assert_type(retries.history, tuple[RequestHistory, ...])
    typing.assert_type(retries.total, int | bool | None)
    typing.assert_type(retries.backoff_factor, float)
    typing.assert_type(Retry.DEFAULT, Retry)
    typing.assert_type(Retry.DEFAULT_BACKOFF_MAX, int)
    typing.assert_type(Retry.RETRY_AFTER_STATUS_CODES, frozenset[int])
    typing.assert_type(retries.is_retry("GET", 503, has_retry_after=True), bool)
    typing.assert_type(retries.parse_retry_after("120"), float)
    typing.assert_type(Retry.from_int(False, redirect=False, default=3), Retry)
    for step in retries.history:
        typing.assert_type(step.error, Exception | None)
        typing.assert_type(step.redirect_location, str | None)
    return retries


class Patient(Retry):
    """A policy of one's own."""

    def get_backoff_time(self) -> float:
        return max(super().get_backoff_time(), timedelta(seconds=1).total_seconds())

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        return status_code >= 500 or super().is_retry(method, status_code, has_retry_after)


def limits() -> Timeout:
    Timeout(total=None, connect=1, read=2.5)
    Timeout(connect=None, read=SameTimeout.DEFAULT_TIMEOUT)
    limit = Timeout(3.0)
    limit.start_connect()
    typing.assert_type(limit.get_connect_duration(), float)
    typing.assert_type(limit.read_timeout, float | None)
    typing.assert_type(Timeout.from_float(2), Timeout)
    return limit


def managers(context: ssl.SSLContext) -> None:
    """What managers take for their pools."""
    with PoolManager(
        10,
        {"User-Agent": "own/1.0"},
        maxsize=4,
        block=True,
        timeout=Timeout(1.0),
        retries=Patient(3),
        source_address=("127.0.0.1", 0),
        socket_options=HTTPConnection.default_socket_options + [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)],
        blocksize=65536,
        cert_reqs="CERT_REQUIRED",
        ca_certs="ca.pem",
        ca_cert_dir="/certs",
        ca_cert_data=b"data",
        cert_file="client.pem",
        key_file="client.key",
        key_password="secret",
        assert_hostname="example.org",
        assert_fingerprint="ab:cd",
        server_hostname="example.org",
        ssl_minimum_version=ssl.TLSVersion.TLSv1_2,
        ssl_maximum_version=ssl.TLSVersion.TLSv1_3,
        ssl_context=context,
    ) as http:
        typing.assert_type(http.connection_pool_kw, dict[str, typing.Any])
        typing.assert_type(http.connection_from_url(URL, pool_kwargs={"timeout": 1}), HTTPConnectionPool)
        typing.assert_type(http.connection_from_host("example.org", 80, scheme="http"), HTTPConnectionPool)
        typing.assert_type(len(http.pools), int)
        typing.assert_type(http.headers, Mapping[str, str])
    ProxyManager(
        "https://proxy.example:3128",
        num_pools=2,
        headers=make_headers(user_agent="own"),
        proxy_headers=make_headers(proxy_basic_auth="user:password", proxy_basic_auth_encoding="utf-8"),
        proxy_ssl_context=context,
        use_forwarding_for_https=True,
        proxy_assert_hostname=False,
        proxy_assert_fingerprint="abcd",
        timeout=3,
    )
    typing.assert_type(proxy_from_url("http://proxy.example", maxsize=2), ProxyManager)
    typing.assert_type(connection_from_url("https://example.org", timeout=1), HTTPConnectionPool)
    typing.assert_type(PoolKey._fields.index("key_blocksize"), int)


def a_pool(http: PoolManager) -> HTTPConnectionPool:
    """Nothing that is returned may be of any type: strict programs would not pass."""
    return http.connection_from_url(URL) or http.connection_from_host("example.org") or http.connection_from_context({})


def context() -> ssl.SSLContext:
    return create_urllib3_context(cert_reqs=resolve_cert_reqs("REQUIRED"))


def pools(context: ssl.SSLContext) -> HTTPSConnectionPool:
    HTTPConnectionPool("example.org", 80, 2.5, 3, True, {"A": "b"}, Retry(1), socket_options=None)
    return HTTPSConnectionPool(
        "example.org",
        port=443,
        timeout=Timeout(connect=1),
        maxsize=1,
        block=False,
        headers=HTTPHeaderDict(),
        retries=False,
        cert_reqs=ssl.CERT_REQUIRED,
        ca_certs="ca.pem",
        assert_hostname=False,
        ssl_context=context,
    )


def requests(http: PoolManager) -> BaseHTTPResponse:
    """Every way to give fields, headers and bodies."""
    headers = HTTPHeaderDict({"Accept": "text/plain"})
    headers.add("Accept", "application/json")
    http.request("GET", URL, fields={"q": "x", "page": "2"})
    http.request("GET", URL, fields=[("q", "x"), ("q", "y")], headers=headers)
    http.request("POST", URL, fields={"file": ("name.txt", b"data", "text/plain"), "other": ("name", "text")})
    http.request("POST", URL, fields=[RequestField("n", b"data", filename="f"), ("a", "b")])
    http.request("POST", URL, fields={"a": "b"}, encode_multipart=False)
    http.request("PUT", URL, body="text")
    http.request("PUT", URL, body=["text", b"data"])
    with open("file", "rb") as file:
        http.request("PUT", URL, body=file, headers={"User-Agent": SKIP_HEADER})
    http.request("PUT", URL, body=(part for part in (b"a", b"b")), chunked=True)
    http.request("PATCH", URL, json={"key": ["value", None, 1.5]}, headers={"A": "b"})
    http.request("GET", URL, timeout=2, retries=5, redirect=False, assert_same_host=False, pool_timeout=1)
    http.request_encode_url("GET", URL, fields={"a": "b"})
    http.request_encode_body("POST", URL, fields={"a": "b"}, multipart_boundary=choose_boundary())
    wirepool.request("POST", URL, body=io.BytesIO(b"x"), preload_content=False, decode_content=False, redirect=False)
    return http.urlopen("GET", URL, redirect=True, preload_content=False)


def reading(answer: BaseHTTPResponse) -> Iterator[bytes]:
    """A response in every way that the interface has."""
    typing.assert_type(answer.data, bytes)
    typing.assert_type(answer.url, str | None)
    typing.assert_type(answer.version, int)
    typing.assert_type(answer.version_string, str)
    typing.assert_type(answer.decode_content, bool)
    typing.assert_type(answer.retries, Retry | None)
    typing.assert_type(answer.chunked, bool)
    typing.assert_type(answer.length_remaining, int | None)
    typing.assert_type(answer.read(10, decode_content=False, cache_content=False), bytes)
    typing.assert_type(answer.read1(10), bytes)
    typing.assert_type(answer.readinto(bytearray(5)), int)
    typing.assert_type(answer.geturl(), str | None)
    typing.assert_type(answer.getheader("A", default="b"), str | None)
    typing.assert_type(answer.headers.getlist("Set-Cookie"), list[str])
    typing.assert_type(answer.get_redirect_location(), str | None | typing.Literal[False])
    answer.drain_conn()
    answer.shutdown()
    answer.release_conn()
    answer.close()
    yield from answer.stream(2**16)
    yield from answer.read_chunked(decode_content=True)


def as_a_file(answer: HTTPResponse) -> list[list[str]]:
    """A response where the io module expects a file."""
    answer.auto_close = False
    typing.assert_type(answer.readable(), bool)
    typing.assert_type(answer.fileno(), int)
    typing.assert_type(answer.isclosed(), bool)
    for line in answer:
        typing.assert_type(line, bytes)
    io.BufferedReader(answer, 8).read(4)
    json.load(answer)
    with answer:
        return list(csv.reader(codecs.getreader("utf-8")(answer)))


def by_hand() -> HTTPResponse:
    return HTTPResponse(
        io.BytesIO(b"body"),
        headers={"content-encoding": "gzip"},
        status=200,
        version=11,
        version_string="HTTP/1.1",
        reason="OK",
        preload_content=False,
        decode_content=True,
        retries=Retry(1),
        enforce_content_length=False,
        request_method="GET",
        request_url="/",
        auto_close=False,
    )


class Upper(ContentDecoder):
    """A decoder of one's own."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return data.upper()

    @property
    def has_unconsumed_tail(self) -> bool:
        return False

    def flush(self) -> bytes:
        return GzipDecoder().flush()


def connections(config: ProxyConfig) -> None:
    conn = HTTPConnection("example.org", 80, timeout=1, source_address=("127.0.0.1", 0), blocksize=100)
    conn.set_tunnel("example.org", 443, headers={"A": "b"}, scheme="https")
    conn.request("POST", "/", body=[b"a"], headers={"A": "b"}, chunked=True, preload_content=False)
    typing.assert_type(conn.getresponse(), HTTPResponse)
    typing.assert_type(conn.has_connected_to_proxy, bool)
    typing.assert_type(conn.proxy_is_verified, bool | None)
    typing.assert_type(is_connection_dropped(conn), bool)
    secure = HTTPSConnection("example.org", cert_reqs="CERT_NONE", assert_hostname=False, proxy_config=config)
    typing.assert_type(secure.is_verified, bool)
    secure.connect()
    secure.close()


def helpers(sock: socket.socket) -> None:
    url = parse_url("http://user:pw@example.org/path?q#f")
    typing.assert_type(url, Url)
    typing.assert_type(url._replace(scheme="https").url, str)
    typing.assert_type(url.auth_decoded_joined, str | None)
    typing.assert_type(url.authority, str | None)
    context = create_urllib3_context(ciphers="DEFAULT", options=ssl.OP_NO_TICKET, verify_flags=0)
    typing.assert_type(context, ssl.SSLContext)
    ssl_wrap_socket(sock, ssl_context=context, server_hostname="example.org")
    typing.assert_type(wait_for_read(sock, timeout=1.0), bool)
    assert_fingerprint(b"der", "ab" * 32)
    typing.assert_type(wirepool.add_stderr_logger(logging.INFO), "logging.StreamHandler[typing.TextIO]")
    wirepool.disable_warnings(InsecureRequestWarning)
    wirepool.disable_warnings()
    typing.assert_type(make_headers(accept_encoding=["gzip", "br"], disable_cache=True), dict[str, str])
    body, kind = encode_multipart_formdata([("a", "b")], boundary="B")
    for field in iter_field_objects({"a": ("n", b"x")}):
        typing.assert_type(field, RequestField)
        field.make_multipart(content_type="text/plain", content_location=None)
        typing.assert_type(field.render_headers(), str)
    print(body, kind)


def containers(fields: HTTPHeaderDict, pairs: Iterable[tuple[str, str]], mapping: Mapping[str, str]) -> HTTPHeaderDict:
    fields.extend(pairs, X="y")
    fields.extend(mapping)
    fields.discard("a")
    fields |= {"c": "d"}
    typing.assert_type(fields | {"a": "b"}, HTTPHeaderDict)
    typing.assert_type(fields.setdefault("a", "b"), str)
    typing.assert_type(list(fields.iteritems()), list[tuple[str, str]])
    typing.assert_type(dict(fields), dict[str, str])
    return HTTPHeaderDict(pairs, own="value")


def failing(work: Callable[[], BaseHTTPResponse]) -> str | None:
    try:
        work()
    except MaxRetryError as error:
        typing.assert_type(error.url, str | None)
        reason = error.reason
        return reason.args[0] if isinstance(reason, (ConnectTimeoutError, ProtocolError)) else None
    except NameResolutionError as error:
        return str(error.conn) if isinstance(error, NewConnectionError) else None
    except ProxyError as error:
        typing.assert_type(error.original_error, Exception)
    except LocationParseError as error:
        return error.location
    except PoolError as error:
        return str(error.pool.host)
    except SSLError as error:
        return str(error)
    except HTTPError:
        return HTTPWarning.__name__
    return None
