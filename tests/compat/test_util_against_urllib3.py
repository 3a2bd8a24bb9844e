"""The helpers of urllib3 and of wirepool, given the same arguments: all combinations of tables, often odd.

Values must be equal, errors of a class of the same name. Where the difference is wanted, it stands here with its
reason; one that is no longer a difference fails as well.
"""

from __future__ import annotations

import array
import email.utils
import io
import itertools
import random
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from compat.two_libraries import OURS, THEIRS, Library, differences, outcome, plain

# --- timeout ----------------------------------------------------------------------------------------------------------

LIMITS: list[Any] = [None, "default", 1, 2.5, 7, 0, -1, True, False, "5", "x", b"1", [], float("inf")]


def limit(library: Library, value: Any) -> Any:
    return library.timeout._DEFAULT_TIMEOUT if value == "default" else value


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def read(library: Library, *values: Any) -> Any:
        nonlocal now
        timeout = library.timeout.Timeout(*(limit(library, value) for value in values))
        results = [timeout, repr(timeout), str(timeout), timeout.connect_timeout]
        for elapsed in (None, 0, 1, 3, 9):
            now = 1000.0 + (elapsed or 0)
            try:
                results.append(timeout.read_timeout)
            except library.exceptions.TimeoutStateError as error:
                results.append(type(error).__name__)
            if elapsed is None:
                timeout.start_connect()
        return [plain(result) for result in (*results, timeout.clone())]

    found = differences(read, itertools.product(LIMITS, repeat=3))
    # Theirs fails to compare a default total with a number.
    assert {case for case in found if not (case[0] == "default" and found[case][0] == "raises TypeError")} == set()
    assert ("default", 1, None) in found


def test_from_float_and_state() -> None:
    def run(library: Library, value: Any) -> Any:
        timeout = library.timeout.Timeout.from_float(limit(library, value))
        timeout.start_connect()
        timeout.start_connect()

    assert differences(run, ((value,) for value in LIMITS)) == {}
    assert differences(lambda library: library.timeout.Timeout().get_connect_duration(), [()]) == {}


# --- retry ------------------------------------------------------------------------------------------------------------

COUNTERS: list[dict[str, Any]] = [
    {"total": total, **more}
    for total in (None, False, True, 0, 1, 3)
    for more in (
        {},
        *(
            {name: value}
            for name in ("connect", "read", "redirect", "status", "other")
            for value in (0, 1, False, True)
        ),
        {"connect": 1, "read": 1, "redirect": 1, "status": 1, "other": 1},
        {"allowed_methods": None},
        {"allowed_methods": ["POST"]},
        {"allowed_methods": []},
        {"allowed_methods": False},
        {"raise_on_redirect": False, "raise_on_status": False},
        {"status_forcelist": [500, 429]},
        {"respect_retry_after_header": False},
        {"remove_headers_on_redirect": ["X-A", "x-a"]},
        {"history": ()},
        {"backoff_factor": 0.3, "backoff_max": 5, "backoff_jitter": 0, "retry_after_max": 9},
    )
]


class Response:
    def __init__(self, status: int, location: Any = False, retry_after: str | None = None) -> None:
        self.status = status
        self.location = location
        self.headers = {} if retry_after is None else {"Retry-After": retry_after}

    def get_redirect_location(self) -> Any:
        return self.location


RESPONSES = [Response(500), Response(302, "/b"), Response(302, None), Response(302, ""), Response(0), Response(200)]


def errors(library: Library) -> dict[str, Exception]:
    known = library.exceptions
    return {
        "connect timeout": known.ConnectTimeoutError("x"),
        "refused": known.NewConnectionError(None, "x"),
        "read timeout": known.ReadTimeoutError(None, "/", "x"),
        "broken": known.ProtocolError("x"),
        "tls": known.SSLError("x"),
        "proxy refused": known.ProxyError("x", known.ConnectTimeoutError("y")),
        "proxy broken": known.ProxyError("x", known.ProtocolError("y")),
        "foreign": OSError("x"),
        "incomplete": known.IncompleteRead(1, 2),
    }


def incremented(library: Library, retry: Any, **happened: Any) -> Any:
    try:
        return plain(retry.increment(url="/u", _pool="pool", **happened))
    except library.exceptions.MaxRetryError as error:
        return ["MaxRetryError", str(error), str(error.reason), error.reason is error.__cause__, error.pool, error.url]


def test_construction_and_copies() -> None:
    def build(library: Library, index: int) -> Any:
        retry = library.retry.Retry(**COUNTERS[index])
        more = retry.new(total=1, history=("h",))
        return [plain(one) for one in (retry, retry.new(), more)], repr(retry), retry.is_exhausted()

    assert differences(build, ((index,) for index in range(len(COUNTERS)))) == {}


def test_counting_errors() -> None:
    def count(library: Library, index: int, method: str | None, error: str) -> Any:
        return incremented(library, library.retry.Retry(**COUNTERS[index]), method=method, error=errors(library)[error])

    cases = itertools.product(range(len(COUNTERS)), ["GET", "post", None], errors(OURS))
    assert differences(count, cases) == {}


def test_counting_responses() -> None:
    def count(library: Library, index: int, response: Response | None) -> Any:
        return incremented(library, library.retry.Retry(**COUNTERS[index]), method="GET", response=response)

    assert differences(count, itertools.product(range(len(COUNTERS)), [None, *RESPONSES])) == {}


def test_sequences_of_attempts() -> None:
    def run(library: Library, seed: int) -> Any:
        chance = random.Random(seed)
        retry = library.retry.Retry(6, connect=3, read=2, redirect=3, status=3, other=2, backoff_factor=0.7)
        results: list[Any] = []
        while True:
            event = chance.choice([*errors(library).values(), *RESPONSES])
            happened = {"error": event} if isinstance(event, Exception) else {"response": event}
            try:
                retry = retry.increment(chance.choice(["GET", "PUT"]), "/u", **happened)
            except Exception as error:
                return [*results, type(error).__name__, plain(retry)]
            results.append((repr(retry), retry.other, retry.get_backoff_time()))

    assert differences(run, ((seed,) for seed in range(300))) == {}


def test_which_responses_are_retried() -> None:
    def ask(library: Library, index: int, *question: Any) -> Any:
        return library.retry.Retry(**COUNTERS[index]).is_retry(*question)

    cases = itertools.product(
        range(len(COUNTERS)), ["GET", "get", "POST", "FROB"], [200, 302, 413, 429, 500, 503], [False, True, "5", ""]
    )
    assert differences(ask, cases) == {}


def test_from_int() -> None:
    def convert(library: Library, value: Any, redirect: Any, default: Any) -> Any:
        known = library.retry.Retry(7)
        value, default = (known if one == "policy" else one for one in (value, default))
        return library.retry.Retry.from_int(value, redirect, default)

    values = [None, 0, 1, -1, True, False, "policy", "x", 1.5]
    assert differences(convert, itertools.product(values, [True, False, None, 0, 5], values)) == {}


def test_backoff() -> None:
    def pause(library: Library, locations: tuple[Any, ...], factor: float, jitter: float, most: float) -> Any:
        history = tuple(library.retry.RequestHistory("GET", "/", None, None, location) for location in locations)
        random.seed(1)
        retry = library.retry.Retry(backoff_factor=factor, backoff_jitter=jitter, backoff_max=most, history=history)
        return retry.get_backoff_time()

    histories = [(None,) * count for count in range(9)]
    histories += [("/b",), ("/b", None, None), (None, None, "/b"), (None, "/b", None, None, None), (None, None, "")]
    assert differences(pause, itertools.product(histories, [0, 1, 0.1, 3, -1], [0, 0.5, 2], [120, 1, 0, -3])) == {}


RETRY_AFTER = [
    "0", "5", "007", " 5 ", "\t5", "5\n", "-1", "+5", "5.5", "1e3", "0x10", "1_0", "inf", "soon", "", "  ",
    "\uff11", "\xb2",
    "99999999", "Tue, 01 Jan 2030 00:01:40 GMT", "Tue, 01 Jan 2030 02:01:40 +0200",
    "Tuesday, 01-Jan-30 00:01:40 GMT",
    "Tue Jan  1 00:01:40 2030", "Tue, 01 Jan 2030 00:01:40", "Tue, 01 Jan 2030 00:01:40 -0000", "2030-01-01",
    "Mon, 31 Dec 2029 23:59:59 GMT", "Fri, 31 Dec 2100 23:59:59 GMT", "Tue, 99 Jan 2030 00:01:40 GMT", "Tue",
    "GMT", "1 Jan",
]  # fmt: skip


def test_retry_after(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "time", lambda: 1893456000.0)
    monkeypatch.setattr(time, "sleep", slept.append)

    def wait(library: Library, value: str | None, arguments: tuple[tuple[str, Any], ...]) -> Any:
        slept.clear()
        retry = library.retry.Retry(**dict(arguments))
        parsed = retry.get_retry_after(Response(503, retry_after=value))
        retry.sleep(Response(503, retry_after=value))
        return parsed, *slept, retry.sleep_for_retry(Response(503, retry_after=value))

    policies = [(), (("retry_after_max", 30),), (("respect_retry_after_header", False),)]
    assert differences(wait, itertools.product([None, *RETRY_AFTER], policies)) == {}


def test_retry_after_beyond_all_bounds() -> None:
    # Theirs fail with a ValueError of int() or datetime instead of an InvalidHeader or the longest pause.
    found = differences(
        lambda library, value: library.retry.Retry().parse_retry_after(value),
        [("9" * 5000,), ("Mon, 01 Jan 99999 00:00:00 GMT",)],
    )
    assert list(found.values()) == [("raises ValueError", 21600), ("raises ValueError", "raises InvalidHeader")]


def test_the_zone_of_asctime_is_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(email.utils.time, "mktime", None)  # which is what looks at the local zone
    dates = [("Thu Jan  1 00:01:40 1970",), ("Thu, 01 Jan 1970 00:01:40",)]
    assert differences(lambda library, date: library.retry.Retry().parse_retry_after(date), dates) == {}


# --- request ----------------------------------------------------------------------------------------------------------


def test_make_headers() -> None:
    credentials = [None, "", "u:p", "\xfc:p", "\u65e5:p"]
    cases = itertools.product(
        [None, True, False],
        [None, True, False, "", "br", ["a", "b"], [], ("a",), 5],
        [None, "", "agent", "a\nb"],
        credentials,
        credentials,
        [None, True],
        ["latin-1", "utf-8"],
    )

    def make(library: Library, *arguments: Any) -> Any:
        *positional, encoding = arguments
        headers = library.request.make_headers(
            *positional, basic_auth_encoding=encoding, proxy_basic_auth_encoding=encoding
        )
        return list(headers.items())

    cases = ((*case[:1], tuple(case[1]) if isinstance(case[1], list) else case[1], *case[2:]) for case in cases)
    assert differences(make, cases) == {}


@pytest.mark.parametrize("codings", [["a", "b"], [], ["gzip"]])
def test_make_headers_with_a_list(codings: list[str]) -> None:
    assert OURS.request.make_headers(accept_encoding=codings) == THEIRS.request.make_headers(accept_encoding=codings)


class Reader:
    def __init__(self, *blocks: Any) -> None:
        self.blocks = list(blocks)

    def read(self, size: int) -> Any:
        return self.blocks.pop(0) if self.blocks else b""


class TextReader(io.TextIOBase):
    def __init__(self) -> None:
        self.blocks = ["\xe9", "x"]

    def read(self, size: int | None = None) -> str:
        return self.blocks.pop(0) if self.blocks else ""


class OldSequence:
    def __getitem__(self, index: int) -> bytes:
        if index > 2:
            raise IndexError
        return b"x"


def partly_used() -> Iterator[bytes]:
    used = iter([b"a", b"b"])
    next(used)
    return used


BODIES: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "bytes": lambda: b"abc",
    "no bytes": lambda: b"",
    "text": lambda: "\xe9bc",
    "no text": lambda: "",
    "lone surrogate": lambda: "\ud800",
    "bytearray": lambda: bytearray(b"abc"),
    "memoryview": lambda: memoryview(b"abcdef")[::2].tobytes(),
    "array": lambda: array.array("H", [1, 2]),
    "file": lambda: io.BytesIO(b"abcdefghij"),
    "text file": lambda: io.StringIO("\xe9bcdefg"),
    "reader": lambda: Reader(b"ab", b"c"),
    "reader of text": lambda: Reader("\xe9", "c"),
    "reader of none": lambda: Reader(b"a", None, b"b"),
    "text reader": lambda: TextReader(),
    "generator": lambda: (part for part in (b"a", "b", b"")),
    "list": lambda: [b"a", "b", b""],
    "empty list": list,
    "tuple": lambda: (b"a",),
    "dict": lambda: {"a": 1},
    "range": lambda: range(3),
    "map": lambda: map(str, [1, 2]),
    "old sequence": OldSequence,
    "partly used": partly_used,
    "int": lambda: 5,
    "float": lambda: 1.5,
    "bool": lambda: True,
    "object": object,
}


def test_bodies() -> None:
    def cut(library: Library, name: str, method: str, blocksize: int) -> Any:
        chunks, length = library.request.body_to_chunks(BODIES[name](), method, blocksize)
        return None if chunks is None else [bytes(c) if isinstance(c, array.array) else c for c in chunks], length

    cases = itertools.product(BODIES, ["GET", "get", "POST", "DELETE", "FROB", ""], [1, 4, 16384, -1])
    assert differences(cut, cases) == {}


def test_a_used_up_generator() -> None:
    def send(library: Library) -> Any:
        body = (part for part in (b"a",))
        list(body)
        return list(library.request.body_to_chunks(body, "POST", 4).chunks)

    # Theirs sends an empty body instead of what the caller meant.
    assert differences(send, [()]) == {(): ((), "raises UnrewindableBodyError")}


class Place:
    """A body with as much of a position as it is told to have."""

    def __init__(self, told: Any, sought: Any) -> None:
        if told is not None:
            self.tell = lambda: fail_or_give(told)
        if sought is not None:
            self.seek = lambda position: fail_or_give(sought)


def fail_or_give(what: Any) -> Any:
    if isinstance(what, Exception):
        raise what
    return what


def test_positions() -> None:
    def move(library: Library, function: str, told: Any, sought: Any, position: Any) -> Any:
        if position == "failed":
            position = library.request._FAILEDTELL
        return getattr(library.request, function)(Place(told, sought), position)

    behaviours = [None, 5, OSError("no"), io.UnsupportedOperation("no"), ValueError("closed")]
    positions = [None, 0, 3, True, "failed", "x", 1.5]
    cases = itertools.product(["set_file_position", "rewind_body"], behaviours, behaviours, positions)
    assert differences(move, cases) == {}


def test_constants_of_request() -> None:
    names = [("SKIP_HEADER",), ("SKIPPABLE_HEADERS",), ("ACCEPT_ENCODING",), ("_METHODS_NOT_EXPECTING_BODY",)]
    for (name,) in names:
        assert getattr(OURS.request, name) == getattr(THEIRS.request, name)


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_conversions() -> None:
    values = ["", "a", "\xe9", "\ud800", b"", b"a", b"\xc3\xa9", b"\xe9", bytearray(b"x"), None, 5]
    cases = itertools.product(
        ["to_bytes", "to_str"], range(len(values)), [None, "latin-1", "ascii"], [None, "ignore", "replace"]
    )

    def convert(library: Library, name: str, index: int, *how: Any) -> Any:
        return getattr(library.util, name)(values[index], *how)

    assert differences(convert, cases) == {}


def test_tunnels() -> None:
    def ask(library: Library, proxy: str | None, forwarding: bool | None, scheme: str | None) -> Any:
        url = proxy and library.url.parse_url(proxy)
        config = None if forwarding is None else library.ProxyConfig(None, forwarding, None, None)
        return library.proxy.connection_requires_http_tunnel(url, config, scheme)

    proxies = [None, "http://p", "https://p", "socks5://p", "p"]
    schemes = [None, "http", "https", "HTTP", "ftp", ""]
    assert differences(ask, itertools.product(proxies, [None, True, False], schemes)) == {}


def test_closed_files() -> None:
    values: list[dict[str, Any]] = [
        dict(zip(names, given, strict=True))
        for count in range(4)
        for names in itertools.combinations(("isclosed", "closed", "fp"), count)
        for given in itertools.product((True, False, None), repeat=count)
    ]

    def ask(library: Library, index: int) -> Any:
        attributes = dict(values[index])
        if "isclosed" in attributes:
            attributes["isclosed"] = lambda answer=attributes["isclosed"]: answer
        return library.response.is_fp_closed(types.SimpleNamespace(**attributes))

    assert differences(ask, ((index,) for index in range(len(values)))) == {}


HEADERS = [
    b"\r\n", b"A: b\r\n\r\n", b"A: b\r\nno colon\r\nC: d\r\n\r\n", b": x\r\nA: b\r\n\r\n", b" x\r\nA: b\r\n\r\n",
    b"A: b\r\n x\r\n\r\n", b"Content-Type: multipart/mixed\r\n\r\n", b"Content-Type: message/rfc822\r\n\r\n",
    b"Content-Type: multipart/mixed; boundary=x\r\n\r\n",
    b"Content-Type: multipart/mixed; boundary=x\r\n?\r\nA: b\r\n\r\n",
    b"Content-Type: multipart/mixed; boundary=x\r\nContent-Transfer-Encoding: base64\r\n\r\n", b"A\x00: b\r\n\r\n",
    b"A : b\r\n\r\n", b"A: b\nC: d\n\n",
]  # fmt: skip


def test_header_defects() -> None:
    import http.client

    def check(library: Library, raw: bytes, payload: Any) -> Any:
        message = http.client.parse_headers(io.BytesIO(raw))
        if payload is not None:
            message.set_payload(payload)
        try:
            library.response.assert_header_parsing(message)
        except library.exceptions.HeaderParsingError as error:
            return str(error)
        return "fine"

    assert differences(check, itertools.product(HEADERS, [None, "", "left over", b"left over"])) == {}
    wrong = [(None,), ({},), (5,)]
    assert differences(lambda library, what: library.response.assert_header_parsing(what), wrong) == {}


def test_labels_of_host_names(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    asked: list[Any] = []

    def getaddrinfo(*question: Any) -> list[Any]:
        asked.append(question)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    def connect(library: Library, host: Any) -> Any:
        asked.clear()
        try:
            library.connection.create_connection((host, 80))
        except library.exceptions.LocationParseError as error:
            return str(error), asked
        except OSError as error:
            return type(error).__name__, str(error), list(asked)

    hosts = [
        "", ".", "a", "a.", "a..", ".a", "a..b", "a" * 63, "a" * 64, "a" * 63 + ".b",
        "b." + "a" * 64, "a" * 300, "xn--" * 30,
        "127.0.0.1", "::1", "[::1]", "[::1", "[fe80::1%eth0]", "\xe9", "\xe9" * 60, "\xe9..a", "\xe9.", "a\u3002b",
        "\xdf" * 40,
        "\u200b", "\ud800", "a b", None, b"h",
    ]  # fmt: skip
    assert differences(connect, ((host,) for host in hosts)) == {}


def test_stricter_than_theirs() -> None:
    """What theirs lets through, or fails at in an unexpected way, each with its reason."""
    cases: dict[str, tuple[Callable[[Library], Any], Any, Any]] = {
        "an address that is none is no match, not a failure": (
            lambda library: library.ssl_match_hostname.match_hostname(
                {"subjectAltName": (("IP Address", "<invalid>"),)}, "1.2.3.4"
            ),
            "raises ValueError",
            "raises CertificateError",
        ),
        "XN-- is xn--": (
            lambda library: bool(library.ssl_match_hostname._dnsname_match("XN--f*.com", "XN--foo.com")),
            True,
            False,
        ),
        "backoff after a thousand failures": (
            lambda library: library.retry.Retry(
                backoff_factor=0.5, history=(library.retry.RequestHistory(None, None, None, None, None),) * 1100
            ).get_backoff_time(),
            "raises OverflowError",
            120.0,
        ),
        "a protocol version that does not exist does not lower the minimum": (
            lambda library: int(library.ssl_.create_urllib3_context(99).minimum_version),
            -2,
            0x0303,
        ),
    }
    for reason, (scenario, theirs, ours) in cases.items():
        assert (reason, outcome(THEIRS, scenario), outcome(OURS, scenario)) == (reason, theirs, ours)
