"""The ``wirepool`` command: what it prints where, what it saves, and its exit codes."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest

from servers.certs import Authority
from servers.echo import EchoServer, pattern
from servers.nginx import TLSListeners
from servers.proxy import ProxyServer
from wirepool.cli import _clients, _loopback, _output, demo, main


class Result(NamedTuple):
    code: int
    out: bytes
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    def call(*argv: str) -> Result:
        code = main(argv)
        captured = capsysbinary.readouterr()
        err = captured.err.decode()
        assert "Traceback" not in err
        return Result(code, captured.out, err)

    return call


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses connections: bound, so that nobody else gets it, but not listened on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


# --- get: what is printed ---------------------------------------------------------------------------------------------


def test_status_line_and_raw_body_go_to_stdout(run: Run, echo: EchoServer) -> None:
    result = run("get", f"{echo.url}/bytes/600")
    assert result.code == 0
    assert result.out == b"HTTP/1.1 200 OK\n" + pattern(600)


def test_timing_goes_to_stderr(run: Run, echo: EchoServer) -> None:
    url = f"{echo.url}/bytes/600"
    line = run("get", url).err
    assert re.fullmatch(rf"GET {re.escape(url)}: \d+\.\d ms, new connection, 600 bytes\n", line)


def test_urls_share_connections(run: Run, echo: EchoServer) -> None:
    before = echo.connections
    result = run("get", f"{echo.url}/bytes/1", f"{echo.url}/chunked", f"{echo.url}/bytes/2")
    assert result.code == 0
    assert echo.connections == before + 1
    assert [line.split(", ")[1] for line in result.err.splitlines()] == [
        "new connection",
        "connection reused",
        "connection reused",
    ]


def test_include_prints_the_header(run: Run, echo: EchoServer) -> None:
    head, _, body = run("get", "-i", f"{echo.url}/headers?n=2").out.partition(b"\n\n")
    lines = head.decode().split("\n")
    assert lines[0] == "HTTP/1.1 200 OK"
    assert {"X-Header-0: value 0", "X-Header-1: value 1"} <= set(lines)
    assert body == b"ok"


def test_the_scheme_may_be_left_out(run: Run, echo: EchoServer) -> None:
    assert run("get", f"{echo.url.removeprefix('http://')}/bytes/3").out.endswith(pattern(3))


def test_coded_content_is_passed_on_as_it_is(run: Run, echo: EchoServer) -> None:
    assert run("get", f"{echo.url}/gzip").out.startswith(b"HTTP/1.1 200 OK\n\x1f\x8b")


def test_every_url_is_fetched_after_a_failure(run: Run, echo: EchoServer) -> None:
    result = run("get", f"{echo.url}/status/404", f"{echo.url}/bytes/5")
    assert result.code == 22
    assert result.out == b"HTTP/1.1 404 Not Found\nNot Found\nHTTP/1.1 200 OK\n" + pattern(5) + b"\n"


# --- get: what is sent ------------------------------------------------------------------------------------------------


def told(result: Result) -> dict[str, object]:
    body = json.loads(result.out.partition(b"\n")[2])
    assert isinstance(body, dict)
    return body


def test_method_and_header_fields(run: Run, echo: EchoServer) -> None:
    sent = told(run("get", "-X", "PATCH", "-H", "X-One: 1", "-H", "X-Two:2", f"{echo.url}/echo"))
    assert sent["method"] == "PATCH"
    assert isinstance(sent["headers"], list)
    assert [pair for pair in sent["headers"] if pair[0].startswith("X-")] == [["X-One", "1"], ["X-Two", "2"]]


def test_data_makes_a_post_with_the_type_of_a_form(run: Run, echo: EchoServer) -> None:
    sent = told(run("get", "-d", "a=1&b=é", f"{echo.url}/echo"))
    assert (sent["method"], sent["body"]) == ("POST", "a=1&b=é".encode().decode("latin-1"))
    assert isinstance(sent["headers"], list)
    assert ["Content-Type", "application/x-www-form-urlencoded"] in sent["headers"]


def test_a_type_of_the_users_own_stays(run: Run, echo: EchoServer) -> None:
    sent = told(run("get", "-d", "{}", "-H", "content-type: application/json", f"{echo.url}/echo"))
    assert isinstance(sent["headers"], list)
    assert [pair[1] for pair in sent["headers"] if pair[0].lower() == "content-type"] == ["application/json"]


def test_data_from_a_file(run: Run, echo: EchoServer, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"\x00\xff\n")
    assert told(run("get", "-X", "PUT", "-d", f"@{tmp_path / 'body'}", f"{echo.url}/echo"))["body"] == "\x00\xff\n"


# --- get: redirects ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", [[], ["-L"]])
def test_redirects_are_followed(run: Run, echo: EchoServer, option: list[str]) -> None:
    result = run("get", *option, f"{echo.url}/redirect?to=/bytes/4")
    assert (result.code, result.out) == (0, b"HTTP/1.1 200 OK\n" + pattern(4))


def test_a_redirect_can_be_shown_instead(run: Run, echo: EchoServer) -> None:
    result = run("get", "-i", "--no-redirect", f"{echo.url}/redirect?to=/bytes/4")
    assert result.code == 0
    assert result.out.startswith(b"HTTP/1.1 302 Found\n")
    assert b"\nLocation: /bytes/4\n" in result.out


def test_redirects_without_end_are_given_up(run: Run, echo: EchoServer) -> None:
    target = "/bytes/4"
    for _ in range(11):
        target = f"/redirect?to={quote(target)}"
    result = run("get", echo.url + target)
    assert (result.code, result.out) == (7, b"")
    assert "too many redirects" in result.err


# --- get: saving ------------------------------------------------------------------------------------------------------


def test_output_is_saved_and_nothing_else_is_left(run: Run, echo: EchoServer, tmp_path: Path) -> None:
    target = tmp_path / "body"
    target.write_bytes(b"older and longer than what replaces it" * 100)
    result = run("get", "-o", str(target), f"{echo.url}/bytes/100")
    assert (result.code, result.out) == (0, b"HTTP/1.1 200 OK\n")
    assert target.read_bytes() == pattern(100)
    assert os.listdir(tmp_path) == ["body"]
    assert "\r" not in result.err


def test_progress_is_drawn_on_demand(run: Run, echo: EchoServer, tmp_path: Path) -> None:
    result = run("get", "--progress", "-o", str(tmp_path / "body"), f"{echo.url}/bytes/200000")
    bar = result.err.split("\n")[0]
    assert bar.startswith("\r[")
    assert "100%" in bar
    assert "200.0 kB/200.0 kB" in bar


def test_an_error_page_does_not_replace_the_file(run: Run, echo: EchoServer, tmp_path: Path) -> None:
    target = tmp_path / "body"
    target.write_bytes(b"precious")
    result = run("get", "-o", str(target), f"{echo.url}/status/503")
    assert result.code == 22
    assert "not written, status 503" in result.err
    assert target.read_bytes() == b"precious"


def test_half_a_body_does_not_replace_the_file(run: Run, echo: EchoServer, tmp_path: Path) -> None:
    target = tmp_path / "body"
    target.write_bytes(b"precious")
    result = run("get", "-o", str(target), "--timeout", "0.2", f"{echo.url}/drip?n=100&delay=0.3")
    assert result.code == 7
    assert target.read_bytes() == b"precious"
    assert os.listdir(tmp_path) == ["body"]


@pytest.mark.skipif(not hasattr(os, "symlink") or sys.platform == "win32", reason="needs symbolic links")
def test_a_symbolic_link_stays_one(run: Run, echo: EchoServer, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real")
    run("get", "-o", str(link), f"{echo.url}/bytes/9")
    assert link.is_symlink()
    assert (tmp_path / "real").read_bytes() == pattern(9)


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="needs a device file")
def test_a_device_is_written_to_and_stays(run: Run, echo: EchoServer) -> None:
    assert run("get", "-o", "/dev/null", f"{echo.url}/bytes/9").code == 0
    assert not os.path.isfile("/dev/null")


def test_a_file_that_cannot_be_made(run: Run, echo: EchoServer, tmp_path: Path) -> None:
    result = run("get", "-o", str(tmp_path / "no" / "such" / "folder"), f"{echo.url}/bytes/9")
    assert result.code == 23
    assert "No such file or directory" in result.err


# --- get: errors ------------------------------------------------------------------------------------------------------


def test_a_refused_connection(run: Run, closed_port: int) -> None:
    result = run("get", "--retries", "0", f"http://127.0.0.1:{closed_port}/")
    assert (result.code, result.out) == (7, b"")
    assert result.err.count("\n") == 1
    assert "refused" in result.err
    assert "object at" not in result.err
    assert "Max retries" not in result.err


def test_a_timeout_covers_the_whole_request(run: Run, echo: EchoServer) -> None:
    result = run("get", "--timeout", "0.2", "--retries", "0", f"{echo.url}/slow?delay=2")
    assert result.code == 7
    assert result.err.count("\n") == 1
    assert "timed out" in result.err.lower() or "deadline" in result.err.lower()


def test_a_connection_error_outweighs_an_http_error(run: Run, echo: EchoServer, closed_port: int) -> None:
    assert run("get", "--retries", "0", f"http://127.0.0.1:{closed_port}/", f"{echo.url}/status/404").code == 7


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "required"),
        (["fetch"], "invalid choice"),
        (["get"], "required: URL"),
        (["get", "--timeout", "0", "http://127.0.0.1/"], "not a positive number"),
        (["get", "--timeout", "soon", "http://127.0.0.1/"], "invalid"),
        (["get", "--retries", "-1", "http://127.0.0.1/"], "negative"),
        (["get", "-H", "no colon", "http://127.0.0.1/"], "'no colon': expected 'Name: value'"),
        (["get", "-H", ": b", "http://127.0.0.1/"], "': b': expected 'Name: value'"),
        (["get", "-H", "X: a\r\nY: b", "http://127.0.0.1/"], "CR, LF or NUL"),
        (["get", "-H", "X Y: b", "http://127.0.0.1/"], "not a token"),
        (["get", "-X", "G ET", "http://127.0.0.1/"], "not a token"),
        (["get", "-d", "@/no/such/file", "http://127.0.0.1/"], "@/no/such/file: No such file or directory"),
        (["get", "-o", "x", "http://127.0.0.1/", "http://127.0.0.1/"], "one URL"),
        (["get", "gopher://127.0.0.1/"], "gopher"),
        (["get", "http://127.0.0.1:port/"], "http://127.0.0.1:port/"),
        (["get", "http://"], "http://"),
        (["demo", "-n", "0"], "--requests must be between"),
        (["demo", "-t", "100000"], "--threads must be between"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run: Run, argv: list[str], message: str) -> None:
    result = run(*argv)
    assert (result.code, result.out) == (2, b"")
    assert result.err.startswith("wirepool")
    assert result.err.count("\n") == 1
    assert message in result.err


def test_help_and_version(run: Run) -> None:
    assert b"--no-redirect" in run("get", "--help").out
    assert run("--version").out.startswith(b"wirepool ")


def test_the_module_runs(echo: EchoServer) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "wirepool", "get", f"{echo.url}/bytes/3"], capture_output=True, timeout=20
    )
    assert (ended.returncode, ended.stdout) == (0, b"HTTP/1.1 200 OK\n" + pattern(3))


def test_a_reader_that_left_is_no_traceback(echo: EchoServer) -> None:
    command = [sys.executable, "-m", "wirepool", "get", f"{echo.url}/bytes/3000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(20) == 23
        assert process.stderr.read() == b""


# --- progress ---------------------------------------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_bar_fits_and_tells_share_size_and_speed() -> None:
    clock = Clock()
    progress = _output.Progress(io.StringIO(), 10_000_000, clock)
    clock.now = 2.0
    progress.add(5_000_000)
    line = progress.line(2.0, 60)
    assert len(line) == 60
    assert line.endswith("]  50%  5.0 MB/10.0 MB  2.5 MB/s")
    assert line.count("#") == line.index(" ") - 1


def test_without_a_length_there_is_no_bar() -> None:
    progress = _output.Progress(io.StringIO(), None, Clock())
    progress.add(1500)
    assert progress.line(1.0, 79) == "1.5 kB  1.5 kB/s"


def test_narrow_terminals_get_the_start_of_it() -> None:
    progress = _output.Progress(io.StringIO(), 100, Clock())
    assert len(progress.line(1.0, 12)) <= 12


def test_the_line_is_not_drawn_more_often_than_anyone_sees() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = _output.Progress(stream, 100, clock)
    for _ in range(50):
        clock.now += 0.01
        progress.add(1)
    assert stream.getvalue().count("\r") <= 6


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_950, "1.0 MB"), (5e13, "50.0 TB")]
)
def test_sizes(count: float, text: str) -> None:
    assert _output.size(count) == text


# --- demo -------------------------------------------------------------------------------------------------------------


def test_the_demo_checks_every_response(run: Run) -> None:
    result = run("demo", "--requests", "64", "--threads", "4")
    out = result.out.decode()
    assert result.code == 0, out
    assert max(map(len, out.splitlines())) <= 80
    rows = [line.split() for line in out.splitlines() if line.startswith(("  wirepool", "  http.client"))]
    assert [row[0] for row in rows] == ["wirepool", "http.client"] * 2
    assert [int(row[-3]) for row in rows[:2]] == [1, 1]
    assert re.search(r"\n\d+ responses checked, 0 wrong; ", out)


class Crossed(_clients.Plain):
    """Gives each answer to the request after it."""

    def session(self) -> _clients.Get:
        get = super().session()
        kept: list[tuple[int, str | None, bytes]] = [(200, "0", b"")]

        def delayed(nonce: str) -> tuple[int, str | None, bytes]:
            kept.append(get(nonce))
            return kept[-2]

        return delayed


def test_the_demo_notices_crossed_responses(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "contestants", lambda: [Crossed])
    result = run("demo", "--requests", "5", "--threads", "1")
    assert result.code == 1
    assert b"WRONG" in result.out


def test_the_demo_notices_a_dead_server(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unreachable(_clients.Plain):
        def __init__(self, port: int, threads: int) -> None:
            super().__init__(1, threads)

    monkeypatch.setattr(demo, "contestants", lambda: [Unreachable])
    result = run("demo", "--requests", "5", "--threads", "2")
    assert result.code == 1
    assert b"0 responses checked" in result.out


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent differently there")
def test_the_demo_can_be_interrupted() -> None:
    command = [sys.executable, "-m", "wirepool", "demo", "-n", "1000000"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while "client" not in process.stdout.readline().split():
            pass
        # As a terminal does it: to the whole group.
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 130
        # The server has a session of its own, but the same standard error, which ends when both have.
        assert process.stderr.read() == "wirepool demo: interrupted\n"
    assert is_gone(process.pid)


def is_gone(group: int) -> bool:
    """Whether nothing of a process group is left, or will be after a moment."""
    for _ in range(750):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_the_demos_answer_is_what_it_says() -> None:
    head, _, body = _loopback.answer(b"GET /json HTTP/1.1\r\nx-NONCE: 0123456789abcdef\r\n", 1).partition(b"\r\n\r\n")
    assert head.count(b"\r\n") == 12
    assert len(body) == _loopback.BODY_LENGTH == 142
    assert json.loads(body)["nonce"] == "0123456789abcdef"
    assert body == _loopback.body_for(b"0123456789abcdef")
    assert b"X-Nonce: 0123456789abcdef" in head


def test_the_demos_server_ends_when_it_is_left() -> None:
    with demo.loopback_server() as port:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


# --- get: TLS and proxies ---------------------------------------------------------------------------------------------


def test_a_tls_server_is_verified(run: Run, nginx_tls: TLSListeners, certs: Authority) -> None:
    url = f"{nginx_tls.both.url}/json"
    refused = run("get", "--retries", "0", url)
    assert refused.code == 7
    assert "certificate verify failed" in refused.err
    assert run("get", "--cacert", certs.ca_file, url).code == 0


def test_verification_can_be_turned_off(run: Run, nginx_tls: TLSListeners) -> None:
    assert run("get", "-k", f"{nginx_tls.both.url}/json").code == 0


def test_a_client_certificate_is_shown(run: Run, nginx_tls: TLSListeners, certs: Authority) -> None:
    client = certs.client()
    result = run(
        "get", "--cacert", certs.ca_file, "--cert", client.cert_file, "--key", client.key_file,
        f"{nginx_tls.client.url}/tls",
    )  # fmt: skip
    assert result.code == 0
    assert b"CN=client" in result.out


@pytest.mark.parametrize("option", ["--cacert", "--cert", "--key"])
def test_a_missing_file_is_bad_usage(run: Run, tmp_path: Path, option: str) -> None:
    result = run("get", option, str(tmp_path / "missing.pem"), "https://127.0.0.1:1/")
    assert result.code == 2
    assert "no such file" in result.err


def test_a_proxy_is_used(run: Run, scripted_proxy: Callable[..., ProxyServer], echo: EchoServer) -> None:
    proxy = scripted_proxy()
    assert run("get", "--proxy", proxy.url, f"{echo.url}/bytes/1").code == 0
    assert len(proxy.requests) == 1


def test_the_environment_names_a_proxy_unless_told_otherwise(
    run: Run, scripted_proxy: Callable[..., ProxyServer], echo: EchoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = scripted_proxy()
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert run("get", f"{echo.url}/bytes/1").code == 0
    assert len(proxy.requests) == 1
    assert run("get", "--proxy", "", f"{echo.url}/bytes/1").code == 0
    assert len(proxy.requests) == 1


@pytest.mark.parametrize("proxy", ["ftp://127.0.0.1:1", "http://", "socks9://127.0.0.1:1"])
def test_a_proxy_that_cannot_be_is_bad_usage(run: Run, proxy: str) -> None:
    result = run("get", "--proxy", proxy, "http://127.0.0.1:1/")
    assert result.code == 2
    assert proxy in result.err
