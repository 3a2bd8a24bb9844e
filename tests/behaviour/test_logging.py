"""What goes to the loggers: programs read these lines, so each is compared word by word, in both gears."""

from __future__ import annotations

import io
import logging
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

import wirepool
from servers.echo import EchoServer
from servers.scripted import Close, Recv, ScriptedServer, Send, response
from wirepool import HTTPConnectionPool, PoolManager, Retry
from wirepool.exceptions import HTTPWarning, InsecureRequestWarning, MaxRetryError
from wirepool.util.wait import wait_for_read

POOL = "wirepool.connectionpool"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[tuple[str, str, str]]]]:
    """All that wirepool logged since the last call: logger, level and text."""

    def take() -> list[tuple[str, str, str]]:
        records = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
        caplog.clear()
        return [record for record in records if record[0].startswith("wirepool")]

    with caplog.at_level(logging.DEBUG, logger="wirepool"):
        yield take


Log = Callable[[], list[tuple[str, str, str]]]


def debug(text: str) -> tuple[str, str, str]:
    return (POOL, "DEBUG", text)


def test_a_request(gear: str, echo: EchoServer, log: Log) -> None:
    with HTTPConnectionPool(echo.host, echo.port) as pool:
        pool.urlopen("GET", "/bytes/10?a=b")
        assert log() == [
            debug(f"Starting new HTTP connection (1): 127.0.0.1:{echo.port}"),
            debug(f'http://127.0.0.1:{echo.port} "GET /bytes/10?a=b HTTP/1.1" 200 0'),
        ]
        pool.urlopen("POST", "/echo", body=b"abc")
        pool.urlopen("HEAD", "/bytes/10")
        pool.urlopen("GET", "/status/404")
        assert log() == [
            debug(f'http://127.0.0.1:{echo.port} "POST /echo HTTP/1.1" 200 0'),
            debug(f'http://127.0.0.1:{echo.port} "HEAD /bytes/10 HTTP/1.1" 200 0'),
            debug(f'http://127.0.0.1:{echo.port} "GET /status/404 HTTP/1.1" 404 0'),
        ]


@pytest.mark.parametrize(
    ("path", "left"), [("/bytes/1000", "1000"), ("/chunked", "None"), ("/status/204", "0"), ("/gzip?n=10", None)]
)
def test_what_is_left_of_a_streamed_response(
    gear: str, echo: EchoServer, log: Log, path: str, left: str | None
) -> None:
    with HTTPConnectionPool(echo.host, echo.port) as pool:
        answer = pool.urlopen("GET", path, preload_content=False)
        expected = left or answer.headers["Content-Length"]
        assert log()[1:] == [debug(f'http://127.0.0.1:{echo.port} "GET {path} HTTP/1.1" {answer.status} {expected}')]
        answer.read()


def test_a_body_to_the_end_of_the_stream(gear: str, scripted: Callable[..., ScriptedServer], log: Log) -> None:
    server = scripted([Recv(), Send(b"HTTP/1.0 200 OK\r\n\r\nabc"), Close()])
    with HTTPConnectionPool(server.host, server.port) as pool:
        pool.urlopen("GET", "/").close()
    assert log()[1:] == [debug(f'http://127.0.0.1:{server.port} "GET / HTTP/1.1" 200 None')]


def test_nothing_is_formatted_unless_somebody_listens(gear: str, echo: EchoServer, caplog: Any) -> None:
    with HTTPConnectionPool(echo.host, echo.port) as pool, mock.patch.object(pool, "_log_exchange") as line:
        logging.getLogger("wirepool").setLevel(logging.INFO)
        try:
            pool.urlopen("GET", "/status/200")
        finally:
            logging.getLogger("wirepool").setLevel(logging.NOTSET)
        assert not line.called


def test_default_port(gear: str, log: Log) -> None:
    pool = HTTPConnectionPool("127.0.0.1", 80)
    pool._new_conn()
    HTTPConnectionPool("127.0.0.1")._new_conn()
    assert log() == [debug("Starting new HTTP connection (1): 127.0.0.1:80")] * 2


def test_a_dropped_connection(gear: str, scripted: Callable[..., ScriptedServer], log: Log) -> None:
    server = scripted(default=[Recv(), Send(response(b"abc")), Close()])
    with HTTPConnectionPool(server.host, server.port) as pool:
        pool.urlopen("GET", "/1")
        wait_for_read(pool.pool.queue[0].sock, 5)
        log()
        pool.urlopen("GET", "/2")
        assert log() == [
            debug("Resetting dropped connection: 127.0.0.1"),
            debug(f'http://127.0.0.1:{server.port} "GET /2 HTTP/1.1" 200 0'),
        ]
        wait_for_read(pool.pool.queue[0].sock, 5)
        pool.urlopen("POST", "/3", body=b"x")
        assert log()[0] == debug("Resetting dropped connection: 127.0.0.1")


def test_a_connection_that_was_closed_after_its_response(gear: str, echo: EchoServer, log: Log) -> None:
    with HTTPConnectionPool(echo.host, echo.port) as pool:
        pool.urlopen("GET", "/close")
        log()
        pool.urlopen("GET", "/status/200")
        assert log() == [
            debug("Resetting dropped connection: 127.0.0.1"),
            debug(f'http://127.0.0.1:{echo.port} "GET /status/200 HTTP/1.1" 200 0'),
        ]


def test_a_full_pool(gear: str, echo: EchoServer, log: Log) -> None:
    with HTTPConnectionPool(echo.host, echo.port) as pool:
        held = [pool.urlopen("GET", "/bytes/5", preload_content=False) for _ in range(2)]
        log()
        for answer in held:
            answer.read()
    text = "Connection pool is full, discarding connection: 127.0.0.1. Connection pool size: 1"
    assert log() == [(POOL, "WARNING", text)]


def test_redirects(gear: str, echo: EchoServer, log: Log) -> None:
    origin = f"http://127.0.0.1:{echo.port}"
    with HTTPConnectionPool(echo.host, echo.port) as pool:
        pool.urlopen("GET", "/redirect?to=/status/200")
    lines = log()
    assert debug("Redirecting /redirect?to=/status/200 -> /status/200") in lines
    assert lines[1] == debug(f'{origin} "GET /redirect?to=/status/200 HTTP/1.1" 302 0')
    with PoolManager() as manager:
        manager.request("GET", f"{origin}/redirect?to=/status/200")
    text = f"Redirecting {origin}/redirect?to=/status/200 -> {origin}/status/200"
    assert ("wirepool.poolmanager", "INFO", text) in log()


def test_retry_after_a_status(gear: str, echo: EchoServer, log: Log) -> None:
    target = f"/retry-after?times=1&key=logging-{gear}"
    with HTTPConnectionPool(echo.host, echo.port) as pool:
        assert pool.urlopen("GET", target).status == 200
    lines = log()
    assert debug(f"Retry: {target}") in lines
    retry = Retry(total=2, connect=None, read=None, redirect=None, status=None)
    assert ("wirepool.util.retry", "DEBUG", f"Incremented Retry for (url='{target}'): {retry!r}") in lines


def test_retries_converted(gear: str, echo: EchoServer, log: Log) -> None:
    with HTTPConnectionPool(echo.host, echo.port) as pool:
        pool.urlopen("GET", "/status/200", retries=2)
    retry = Retry(total=2, connect=None, read=None, redirect=None, status=None)
    assert ("wirepool.util.retry", "DEBUG", f"Converted retries value: 2 -> {retry!r}") in log()


def test_retry_after_a_failure(gear: str, caplog: pytest.LogCaptureFixture) -> None:
    """The extra attribute lets a program put a text of its own in place of this one (pip does)."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with HTTPConnectionPool("127.0.0.1", port) as pool, pytest.raises(MaxRetryError):
        pool.urlopen("GET", "/x", retries=2)
    found = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(found) == 2
    for record, left in zip(found, (1, 0), strict=True):
        retry = Retry(total=left, connect=None, read=None, redirect=None, status=None)
        text = record.getMessage()
        assert record.name == POOL
        assert text.startswith(f"Retrying ({retry!r}) after connection broken by 'NewConnectionError(")
        assert "Failed to establish a new connection: " in text
        assert text.endswith("': /x")
        assert getattr(record, "__urllib3-retry-warning") == {"host": "127.0.0.1"}


@pytest.mark.parametrize("line", ["no field at all", ": without a name"])
def test_a_line_that_is_no_field(line: str, gear: str, scripted: Callable[..., ScriptedServer], caplog: Any) -> None:
    fields = f"Content-Length: 2\r\n{line}\r\nX-After: kept"
    answer = b"HTTP/1.1 200 OK\r\n" + fields.encode() + b"\r\n\r\nok"
    server = scripted(default=[Recv(), Send(answer), Close()])
    with HTTPConnectionPool(server.host, server.port) as pool:
        assert pool.urlopen("GET", "/path").headers["X-After"] == "kept"
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("wirepool.connection", "WARNING")
    assert record.getMessage().startswith(f"Failed to parse headers (url=http://127.0.0.1:{server.port}/path): ")
    assert line in record.getMessage()
    assert record.exc_info is not None


def test_both_lengths(gear: str, scripted: Callable[..., ScriptedServer], caplog: Any) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    server = scripted(default=[Recv(), Send(answer), Close()])
    with HTTPConnectionPool(server.host, server.port) as pool:
        assert pool.urlopen("GET", "/").data == b"ok"
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("wirepool.response", "WARNING")
    assert "Content-Length" in record.getMessage()
    assert "Transfer-Encoding" in record.getMessage()


def test_an_uneventful_request_is_not_worth_a_word(gear: str, echo: EchoServer, caplog: Any) -> None:
    with PoolManager() as manager:
        for path in ("/status/200", "/gzip", "/chunked", "/status/500"):
            manager.request("GET", echo.url + path)
    assert [record for record in caplog.records if record.name.startswith("wirepool")] == []


# ---------------------------------------------------------------- the helpers of the package


@pytest.fixture
def package_logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("wirepool")
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


def test_add_stderr_logger(package_logger: logging.Logger, echo: EchoServer) -> None:
    stream = io.StringIO()
    with mock.patch.object(sys, "stderr", stream):
        handler = wirepool.add_stderr_logger()
    assert handler in package_logger.handlers
    assert package_logger.level == logging.DEBUG
    assert "Added a stderr logging handler to logger: wirepool" in stream.getvalue()
    with PoolManager() as manager:
        manager.request("GET", echo.url + "/status/200")
    package_logger.removeHandler(handler)
    assert '"GET /status/200 HTTP/1.1" 200 0' in stream.getvalue()
    assert " DEBUG " in stream.getvalue()


def test_add_stderr_logger_with_a_level(package_logger: logging.Logger) -> None:
    stream = io.StringIO()
    with mock.patch.object(sys, "stderr", stream):
        wirepool.add_stderr_logger(logging.ERROR)
    assert package_logger.level == logging.ERROR
    assert stream.getvalue() == ""


def test_the_package_is_silent_by_itself() -> None:
    """Without any handler Python would print warnings to stderr."""
    code = "import logging, wirepool; logging.getLogger('wirepool.connectionpool').warning('noise')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert result.stderr == ""


@pytest.mark.parametrize("category", [None, InsecureRequestWarning])
def test_disable_warnings(category: type[Warning] | None) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if category is None:
            wirepool.disable_warnings()
        else:
            wirepool.disable_warnings(category)
        warnings.warn("one", InsecureRequestWarning, stacklevel=1)
        warnings.warn("two", HTTPWarning, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ([] if category is None else ["two"])
