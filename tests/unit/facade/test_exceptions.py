"""The hierarchy of errors, what they say, and their way through pickle."""

from __future__ import annotations

import copy
import http.client
import pickle
import socket
import warnings
from email.errors import MissingHeaderBodySeparatorDefect
from typing import Any

import pytest

from wirepool import exceptions as e


class Unpicklable:
    """Stands for a pool, a connection or a response: prints nicely, must not be pickled."""

    def __init__(self, name: str = "Pool(host='h', port=1)") -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> Any:
        raise AssertionError("pickled together with the exception")


class Response(Unpicklable):
    length_remaining = 5

    def tell(self) -> int:
        return 17


POOL: Any = Unpicklable()
RESPONSE: Any = Response()

HIERARCHY = {
    e.HTTPError: [Exception],
    e.PoolError: [e.HTTPError],
    e.RequestError: [e.PoolError],
    e.MaxRetryError: [e.RequestError],
    e.HostChangedError: [e.RequestError],
    e.EmptyPoolError: [e.PoolError],
    e.FullPoolError: [e.PoolError],
    e.ClosedPoolError: [e.PoolError],
    e.TimeoutStateError: [e.HTTPError],
    e.TimeoutError: [e.HTTPError],
    e.ReadTimeoutError: [e.TimeoutError, e.RequestError],
    e.DeadlineExceededError: [e.ReadTimeoutError],
    e.ConnectTimeoutError: [e.TimeoutError],
    e.NewConnectionError: [e.ConnectTimeoutError],
    e.NameResolutionError: [e.NewConnectionError],
    e.SSLError: [e.HTTPError],
    e.ProxyError: [e.HTTPError],
    e.DecodeError: [e.HTTPError],
    e.ProtocolError: [e.HTTPError],
    e.ResponseNotChunked: [e.ProtocolError, ValueError],
    e.LocationValueError: [ValueError, e.HTTPError],
    e.LocationParseError: [e.LocationValueError],
    e.URLSchemeUnknown: [e.LocationValueError],
    e.ProxySchemeUnknown: [AssertionError, e.URLSchemeUnknown],
    e.ProxySchemeUnsupported: [ValueError],
    e.ResponseError: [e.HTTPError],
    e.BodyNotHttplibCompatible: [e.HTTPError],
    e.InvalidHeader: [e.HTTPError],
    e.HeaderParsingError: [e.HTTPError],
    e.UnrewindableBodyError: [e.HTTPError],
    e.IncompleteRead: [e.HTTPError, http.client.IncompleteRead],
    e.InvalidChunkLength: [e.HTTPError, http.client.IncompleteRead],
    e.HTTPWarning: [Warning],
    e.SecurityWarning: [e.HTTPWarning],
    e.DependencyWarning: [e.HTTPWarning],
    e.InsecureRequestWarning: [e.SecurityWarning],
    e.NotOpenSSLWarning: [e.SecurityWarning],
    e.SystemTimeWarning: [e.SecurityWarning],
    e.InsecurePlatformWarning: [e.SecurityWarning],
}

REFUSED = ConnectionRefusedError(111, "Connection refused")
NO_NAME = socket.gaierror(-2, "Name or service not known")

MESSAGES = [
    (e.PoolError(POOL, "why"), "Pool(host='h', port=1): why"),
    (e.RequestError(POOL, "/u", "why"), "Pool(host='h', port=1): why"),
    (e.EmptyPoolError(POOL, "why"), "Pool(host='h', port=1): why"),
    (e.FullPoolError(POOL, "why"), "Pool(host='h', port=1): why"),
    (e.ClosedPoolError(POOL, "why"), "Pool(host='h', port=1): why"),
    (
        e.MaxRetryError(POOL, "/u", ValueError("bad")),
        "Pool(host='h', port=1): Max retries exceeded with url: /u (Caused by ValueError('bad'))",
    ),
    (
        e.MaxRetryError(POOL, None),
        "Pool(host='h', port=1): Max retries exceeded with url: None (Caused by None)",
    ),
    (e.HostChangedError(POOL, "http://x/"), "Pool(host='h', port=1): Tried to open a foreign host with url: http://x/"),
    (e.ReadTimeoutError(POOL, "/u", "Read timed out."), "Pool(host='h', port=1): Read timed out."),
    (e.DeadlineExceededError(POOL, "/u", "over"), "Pool(host='h', port=1): over"),
    (e.NewConnectionError(POOL, "refused"), "Pool(host='h', port=1): refused"),
    (
        e.NameResolutionError("h", POOL, NO_NAME),
        "Pool(host='h', port=1): Failed to resolve 'h' ([Errno -2] Name or service not known)",
    ),
    (e.ProxyError("no", REFUSED), "('no', ConnectionRefusedError(111, 'Connection refused'))"),
    (e.LocationParseError("a b"), "Failed to parse: a b"),
    (e.URLSchemeUnknown("gopher"), "Not supported URL scheme gopher"),
    (e.ProxySchemeUnknown("ftp"), "Proxy URL had unsupported scheme ftp, should use http:// or https://"),
    (e.ProxySchemeUnknown("localhost"), "Proxy URL had no scheme, should start with http:// or https://"),
    (e.ProxySchemeUnknown(None), "Proxy URL had no scheme, should start with http:// or https://"),
    (e.HeaderParsingError([], b"left"), "Unknown, unparsed data: b'left'"),
    (
        e.HeaderParsingError([MissingHeaderBodySeparatorDefect()], None),
        "[MissingHeaderBodySeparatorDefect()], unparsed data: None",
    ),
    (e.IncompleteRead(3, 4), "IncompleteRead(3 bytes read, 4 more expected)"),
    (e.InvalidChunkLength(RESPONSE, b"zz"), "InvalidChunkLength(got length b'zz', 17 bytes read)"),
    (e.SSLError(REFUSED), "[Errno 111] Connection refused"),
    (e.ProtocolError("Connection aborted.", REFUSED), f"('Connection aborted.', {REFUSED!r})"),
    (e.TimeoutStateError("why"), "why"),
]


@pytest.mark.parametrize(("cls", "parents"), HIERARCHY.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_every_class_has_its_parents(cls: type, parents: list[type]) -> None:
    assert all(issubclass(cls, parent) for parent in parents)
    related = {other for other in HIERARCHY if issubclass(cls, other)}
    assert related == {cls} | {other for parent in parents for other in HIERARCHY if issubclass(parent, other)}


def test_no_class_is_missing_from_the_table() -> None:
    ours = {cls for cls in vars(e).values() if isinstance(cls, type) and cls.__module__ == e.__name__}
    assert ours == set(HIERARCHY)
    assert all(cls.__doc__ for cls in ours)


def test_timeouts_and_connection_errors_are_not_the_builtin_ones() -> None:
    assert e.ConnectionError is e.ProtocolError
    assert not issubclass(e.TimeoutError, OSError)
    assert not issubclass(e.ProtocolError, OSError)


@pytest.mark.parametrize(("error", "message"), MESSAGES, ids=lambda value: type(value).__name__)
def test_message(error: Exception, message: str) -> None:
    assert str(error) == message


@pytest.mark.parametrize("error", [error for error, _ in MESSAGES], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_keeps_all_but_the_live_objects(error: Exception, protocol: int) -> None:
    twin = pickle.loads(pickle.dumps(error, protocol))
    assert type(twin) is type(error)
    assert str(twin) == str(error).replace("Pool(host='h', port=1)", "None")
    assert vars(twin).keys() == vars(error).keys()
    for name, value in vars(error).items():
        expected = None if isinstance(value, Unpicklable) else value
        assert repr(vars(twin)[name]) == repr(expected), name


def test_pickling_twice_changes_nothing_more() -> None:
    for error, _ in MESSAGES:
        once = pickle.loads(pickle.dumps(error))
        assert str(pickle.loads(pickle.dumps(once))) == str(once)


def test_pickling_a_retry_error_with_an_error_in_it() -> None:
    inner = e.NewConnectionError(POOL, "refused")
    twin = pickle.loads(pickle.dumps(e.MaxRetryError(POOL, "/u", inner)))
    assert isinstance(twin.reason, e.NewConnectionError)
    assert twin.reason.conn is None


def test_subclasses_with_the_same_constructor_pickle() -> None:
    twin = copy.copy(Strict(POOL, "/u", "why"))
    assert type(twin) is Strict
    assert (twin.pool, twin.url) == (None, "/u")


class Strict(e.ReadTimeoutError):
    pass


def test_pool_errors_know_their_pool() -> None:
    assert e.PoolError(POOL, "why").pool is POOL
    assert e.MaxRetryError(POOL, "/u").pool is POOL
    error = e.RequestError(pool=POOL, url="/u", message="why")
    assert (error.pool, error.url, error.args) == (POOL, "/u", ("Pool(host='h', port=1): why",))


def test_max_retry_error_has_its_reason() -> None:
    assert e.MaxRetryError(POOL, "/u", REFUSED).reason is REFUSED
    assert e.MaxRetryError(POOL, "/u").reason is None


def test_host_changed_error_has_the_retries() -> None:
    assert e.HostChangedError(POOL, "/u").retries == 3
    assert e.HostChangedError(POOL, "/u", retries=7).retries == 7
    assert pickle.loads(pickle.dumps(e.HostChangedError(POOL, "/u", 7))).retries == 7


def test_deadline_error_says_where_time_went() -> None:
    error = e.DeadlineExceededError(POOL, "/u", "over", phase="dns", timings=(1.0, 2.0))
    assert (error.phase, error.timings) == ("dns", (1.0, 2.0))
    twin = pickle.loads(pickle.dumps(error))
    assert (twin.phase, twin.timings, twin.url, twin.pool) == ("dns", (1.0, 2.0), "/u", None)


def test_deadline_error_may_not_know() -> None:
    error = e.DeadlineExceededError(None, None, "over")
    assert (error.phase, error.timings) == (None, None)
    with pytest.raises(TypeError):
        e.DeadlineExceededError(POOL, "/u", "over", "dns")  # type: ignore[misc]


def test_new_connection_error_has_its_connection() -> None:
    error = e.NewConnectionError(POOL, "refused")
    assert error.conn is POOL
    with pytest.warns(FutureWarning, match="conn") as caught:
        assert error.pool is POOL
    assert caught[0].filename == __file__


def test_nothing_warns_unless_the_old_name_is_used() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        error = e.NewConnectionError(POOL, "refused")
        repr(error)
        pickle.loads(pickle.dumps(error))


def test_proxy_error_has_the_original_one() -> None:
    error = e.ProxyError("no", REFUSED)
    assert error.original_error is REFUSED
    assert error.args == ("no", REFUSED)
    with pytest.raises(TypeError):
        e.ProxyError("no")  # type: ignore[call-arg]


def test_url_errors_have_the_offending_text() -> None:
    assert e.LocationParseError("a b").location == "a b"
    assert e.URLSchemeUnknown("gopher").scheme == "gopher"
    assert e.ProxySchemeUnknown("gopher").scheme == "gopher"
    assert e.ProxySchemeUnknown(None).scheme is None


def test_incomplete_read_counts_bytes() -> None:
    error = e.IncompleteRead(partial=3, expected=4)
    assert (error.partial, error.expected, error.args) == (3, 4, ())
    assert repr(error) == str(error)
    assert e.IncompleteRead(3, 4).args == (3, 4)


def test_invalid_chunk_length_tells_how_far_it_got() -> None:
    error = e.InvalidChunkLength(RESPONSE, b"zz")
    assert (error.response, error.length, error.partial, error.expected) == (RESPONSE, b"zz", 17, 5)
    twin = pickle.loads(pickle.dumps(error))
    assert (twin.response, twin.length, twin.partial, twin.expected) == (None, b"zz", 17, 5)


def test_response_error_templates() -> None:
    assert e.ResponseError.GENERIC_ERROR == "too many error responses"
    assert e.ResponseError.SPECIFIC_ERROR.format(status_code=503) == "too many 503 error responses"
