"""What a user's program looks like to a type checker. Checked, never run: see test_typing.py beside it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any, assert_type

import wirepool
from wirepool import (
    BaseHTTPResponse,
    HTTPConnectionPool,
    HTTPHeaderDict,
    HTTPResponse,
    PoolManager,
    Retry,
    Timeout,
)
from wirepool.connection import HTTPConnection
from wirepool.exceptions import HTTPError, MaxRetryError, ReadTimeoutError
from wirepool.util import Url, make_headers, parse_url


def one_function() -> bytes:
    answer = wirepool.request("GET", "http://example.org/", timeout=2.5, retries=False)
    assert_type(answer, BaseHTTPResponse)
    assert_type(answer.status, int)
    assert_type(answer.reason, str | None)
    assert_type(answer.headers, HTTPHeaderDict)
    return answer.data


def manager() -> Iterator[bytes]:
    with PoolManager(
        num_pools=5, headers={"A": "b"}, maxsize=4, block=True, timeout=Timeout(connect=1, read=2)
    ) as http:
        assert_type(http, PoolManager)
        answer = http.request("POST", "http://example.org/", fields={"a": "b"}, headers=HTTPHeaderDict({"C": "d"}))
        assert_type(answer, BaseHTTPResponse)
        http.request("POST", "http://example.org/", body=io.BytesIO(b"abc"), retries=Retry(3, backoff_factor=0.1))
        http.request("PUT", "http://example.org/", body=[b"a", b"b"], chunked=True)
        http.request("POST", "http://example.org/", json={"a": [1, 2]})
        streamed = http.urlopen("GET", "http://example.org/", preload_content=False)
        yield from streamed.stream(1000, decode_content=True)
        streamed.release_conn()
        assert_type(http.clear(), None)


def pool() -> HTTPConnectionPool:
    with HTTPConnectionPool("example.org", 80, timeout=3, maxsize=2, retries=2) as one:
        answer = one.urlopen("GET", "/", None, {"A": "b"}, Retry(1), False, True)
        assert_type(answer, BaseHTTPResponse)
        assert_type(one.num_connections, int)
        assert_type(one.num_requests, int)
        assert_type(one.timeout, Timeout)
        assert_type(one.is_same_host("/path"), bool)
    return wirepool.connection_from_url("http://example.org/", maxsize=3)


def connection() -> HTTPResponse:
    conn = HTTPConnection("example.org", timeout=5.0)
    conn.request("GET", "/", headers={"A": "b"})
    assert_type(conn.is_connected, bool)
    assert_type(conn.is_closed, bool)
    answer = conn.getresponse()
    assert_type(answer.read(), bytes)
    assert_type(answer.read1(10), bytes)
    assert_type(answer.tell(), int)
    assert_type(answer.closed, bool)
    return answer


def headers(fields: HTTPHeaderDict) -> Mapping[str, str]:
    assert_type(fields["A"], str)
    assert_type(fields.get("A"), str | None)
    assert_type(fields.getlist("A"), list[str])
    assert_type(fields.copy(), HTTPHeaderDict)
    for name, value in fields.items():
        assert_type(name, str)
        assert_type(value, str)
    fields.add("A", "b", combine=True)
    assert_type(make_headers(keep_alive=True, basic_auth="a:b"), dict[str, str])
    return fields


def helpers() -> tuple[bytes, str]:
    url = parse_url("http://example.org/")
    assert_type(url, Url)
    assert_type(url.host, str | None)
    assert_type(url.port, int | None)
    assert_type(url.request_uri, str)
    body, content_type = wirepool.encode_multipart_formdata({"a": ("name.txt", b"abc", "text/plain")})
    assert_type(body, bytes)
    assert_type(content_type, str)
    return body, content_type


def policies() -> Retry:
    retries = Retry(total=3, status_forcelist=[500], allowed_methods=None, backoff_max=10)
    assert_type(retries.increment("GET", "/"), Retry)
    assert_type(retries.new(total=2), Retry)
    assert_type(Retry.from_int(3), Retry)
    assert_type(retries.get_backoff_time(), float)
    assert_type(retries.is_exhausted(), bool)
    assert_type(Timeout(connect=1.0, read=None, total=5).clone(), Timeout)
    return retries


def failures() -> str:
    try:
        wirepool.request("GET", "http://example.org/")
    except MaxRetryError as error:
        assert_type(error.reason, Exception | None)
        return str(error)
    except ReadTimeoutError as error:
        return str(error.url)
    except HTTPError:
        pass
    return ""


class Own(HTTPConnectionPool):
    """Overriding what is meant to be overridden."""

    def urlopen(self, method: str, url: str, *args: Any, **kw: Any) -> BaseHTTPResponse:
        return super().urlopen(method, url, *args, **kw)
