"""What ``http.client`` promises of its connection: requests in parts, states, tunnels, doubles in the place of sockets.

Every scenario runs over its connection, wirepool's and urllib3's. Wirepool must come out as the standard library does,
and as urllib3, save where ``BESIDE_STDLIB`` and ``BESIDE_URLLIB3`` say why not. What they list has to differ, so that
they stay true. Of responses: ``test_http_client_responses.py``.
"""

from __future__ import annotations

import array
import contextlib
import http.client
import io
import itertools
import mmap
import re
import socket
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from behaviour.client_sides import CHUNKED, LAST, OK, RICH, Double, Scenarios, Side, Socket, outcome, state
from servers.scripted import Recv, ScriptedServer, Send

# On Python 3.13 the finalizer of http.client's responses complains when their socket's makefile() had failed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

SCENARIOS = Scenarios()
scenario, table = SCENARIOS.add, SCENARIOS.table

# --- what goes out ----------------------------------------------------------------------------------------------------


def put_request(side: Side, case: tuple[dict[str, Any], tuple[Any, ...], dict[str, Any]]) -> Any:
    made, arguments, options = case
    conn = side.open(**made)
    came = outcome(conn.putrequest, *arguments, **options)
    return came, conn._buffer, conn._method, state(conn), outcome(conn.endheaders), conn.sock.wire


table(
    "putrequest",
    put_request,
    {
        "get": ({}, ("GET", "/a?b"), {}),
        "empty target": ({}, ("GET", ""), {}),
        "port": ({"port": 81}, ("GET", "/"), {}),
        "port in the host": ({"host": "h:82"}, ("GET", "/"), {}),
        "IPv6": ({"host": "::1", "port": 80}, ("GET", "/"), {}),
        "IPv6 with a zone and a port": ({"host": "fe80::1%2", "port": 81}, ("GET", "/"), {}),
        "IPv6 in brackets": ({"host": "[::1]:83"}, ("GET", "/"), {}),
        "international": ({"host": "b\xfccher.example"}, ("GET", "/"), {}),
        "absolute": ({}, ("GET", "http://other:84/x"), {}),
        "absolute IPv6": ({}, ("GET", "http://[fe80::1%252]:84/x"), {}),
        "asterisk": ({}, ("OPTIONS", "*"), {}),
        "skip host": ({}, ("GET", "/"), {"skip_host": True}),
        "skip encoding": ({}, ("GET", "/"), {"skip_accept_encoding": True}),
        "skip both": ({}, ("GET", "/", True, True), {}),
        "own method": ({}, ("brew", "/"), {}),
        "method with LF": ({}, ("G\nT", "/"), {}),
        "method with a blank": ({}, ("G T", "/"), {}),
        "no method": ({}, ("", "/"), {}),
        "target with a blank": ({}, ("GET", "/ x"), {}),
        "target with CR LF": ({}, ("GET", "/\r\nA: b"), {}),
        "target with NUL": ({}, ("GET", "/\0"), {}),
        "target beyond ASCII": ({}, ("GET", "/\xe9"), {}),
    },
)


def put_header(side: Side, arguments: tuple[Any, ...]) -> Any:
    conn = side.open()
    conn.putrequest("GET", "/", skip_host=True, skip_accept_encoding=True)
    return outcome(conn.putheader, *arguments), conn._buffer, state(conn)


table(
    "putheader",
    put_header,
    {
        "text": ("A", "b"),
        "bytes": (b"A", b"b"),
        "number": ("A", 3),
        "several": ("A", "b", b"c", 4),
        "no value": ("A",),
        "empty value": ("A", ""),
        "Latin-1": ("A", "\xe9"),
        "beyond Latin-1": ("A", "\u20ac"),
        "folded": ("A", "b\r\n c"),
        "LF": ("A", "b\nc"),
        "CR": ("A", "b\rc"),
        "smuggled": ("A", "b\r\nC: d"),
        "NUL": ("A", "b\0c"),
        "name with a colon": ("A:", "b"),
        "name with a blank": ("A ", "b"),
        "name beyond ASCII": ("\xe9", "b"),
        "no name": ("", "b"),
        "none": ("A", None),
        "fraction": ("A", 1.5),
    },
)


def mapped(content: bytes) -> mmap.mmap:
    memory = mmap.mmap(-1, len(content))
    memory.write(content)
    memory.seek(0)
    return memory


BODIES: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "bytes": lambda: b"abc",
    "empty bytes": lambda: b"",
    "bytearray": lambda: bytearray(b"abc"),
    "memoryview": lambda: memoryview(b"abc"),
    "array": lambda: array.array("B", b"abc"),
    "mmap": lambda: mapped(b"abc"),
    "list": lambda: [b"ab", b"", b"c"],
    "generator": lambda: (piece for piece in (b"ab", b"c")),
    "binary file": lambda: io.BytesIO(b"abcdefg"),
    "text file": lambda: io.StringIO("ab\xe9"),
    "text": lambda: "abc",
    "number": lambda: 5,
}


def end_headers(side: Side, make: Callable[[], Any], **options: Any) -> Any:
    conn = side.open(blocksize=3)
    conn.putrequest("PUT", "/", True, True)
    return outcome(conn.endheaders, make(), **options), conn.sock.sent, state(conn)


def end_headers_chunked(side: Side, make: Callable[[], Any]) -> Any:
    return end_headers(side, make, encode_chunked=True)


def send(side: Side, make: Callable[[], Any]) -> Any:
    conn = side.open(blocksize=3)
    return outcome(conn.send, make()), conn.sock.sent


table("endheaders", end_headers, BODIES)
table("endheaders in chunks", end_headers_chunked, BODIES)
table("send", send, BODIES)


def one_zero(side: Side, case: tuple[dict[str, Any], Any, dict[str, Any]]) -> Any:
    conn = side.open()
    conn._http_vsn, conn._http_vsn_str = 10, "HTTP/1.0"
    options, body, more = case
    conn.putrequest("PUT", "/", **options)
    conn.endheaders(body, **more)
    return conn.sock.wire


table(
    "HTTP/1.0",
    one_zero,
    {
        "bare": ({}, None, {}),
        "body": ({"skip_host": True}, b"abc", {}),
        "never chunked": ({}, [b"a", b"b"], {"encode_chunked": True}),
    },
)


def request(side: Side, case: dict[str, Any]) -> Any:
    conn = side.open()
    made = {name: value() if callable(value) else value for name, value in case.items()}
    came = outcome(lambda: side.ask(conn, **made))
    head, blank, body = conn.sock.wire.partition(b"\r\n\r\n")
    return came, sorted(head.split(b"\r\n")), blank, body, state(conn)


table(
    "request",
    request,
    {
        "get": {},
        "post nothing": {"method": "POST"},
        "post bytes": {"method": "POST", "body": b"abc"},
        "post Latin-1 text": {"method": "POST", "body": "\xe9"},
        "post a generator": {"method": "POST", "body": lambda: (piece for piece in (b"ab", b"c"))},
        "length given": {"method": "PUT", "body": lambda: iter([b"ab", b"c"]), "headers": {"content-length": "3"}},
        "host given": {"headers": {"HOST": "other"}},
        "encoding given": {"headers": {"accept-encoding": "br"}},
        "bad header": {"headers": {"A": "b\nc"}},
        "bad method": {"method": "A B"},
        "bad target": {"url": "/ "},
    },
)


# --- states -----------------------------------------------------------------------------------------------------------


class Talk:
    """Steps on one connection, by name."""

    def __init__(self, side: Side, *, keep: bool = True) -> None:
        self.side = side
        self.double = Socket(*[OK if keep else LAST] * 4)
        self.conn = side.over(self.double)
        self.conn.auto_open = 0
        self.answer: Any = None

    def do(self, name: str) -> Any:
        return outcome(getattr(self, name)), state(self.conn)

    def request(self) -> None:
        self.side.ask(self.conn)

    def putrequest(self) -> None:
        self.conn.putrequest("GET", "/")

    def putheader(self) -> None:
        self.conn.putheader("A", "b")

    def endheaders(self) -> None:
        self.conn.endheaders()

    def getresponse(self) -> int:
        self.answer = self.conn.getresponse()
        return self.answer.status  # type: ignore[no-any-return]

    def read(self) -> Any:
        return self.answer and (self.answer.read(), self.answer.isclosed())

    def close(self) -> bool:
        self.conn.close()
        return self.conn.sock is None

    def reopen(self) -> None:
        self.conn.sock = self.double


STEPS = ["request", "putrequest", "putheader", "endheaders", "getresponse", "read", "close", "reopen"]


def steps(side: Side, names: Iterable[str]) -> Any:
    talk = Talk(side)
    return [talk.do(name) for name in names]


def last_steps(side: Side, names: Iterable[str]) -> Any:
    talk = Talk(side, keep=False)
    return [(talk.do(name), talk.double.closed) for name in names]


SEQUENCES = {
    text: text.split()
    for text in [
        "request putrequest",
        "request request",
        "putrequest putrequest",
        "putheader",
        "endheaders",
        "request putheader",
        "request endheaders",
        "getresponse",
        "putrequest getresponse",
        "request getresponse getresponse",
        "request getresponse read getresponse",
        "request getresponse request getresponse read getresponse read",
        "request getresponse read request getresponse read",
        "request close request reopen request getresponse read",
        "putrequest close putrequest putheader",
        "putrequest putheader endheaders getresponse read",
        "putrequest endheaders getresponse putrequest endheaders getresponse read getresponse read",
        "request getresponse close read",
        "close close getresponse",
    ]
}
table("steps", steps, SEQUENCES)
table("steps to a last response", last_steps, SEQUENCES)


def every_order_of_steps() -> Iterable[tuple[str, ...]]:
    return itertools.product(STEPS, repeat=4)


def test_every_order_of_steps_as_the_standard_library() -> None:
    theirs, ours = Side("http.client"), Side("wirepool.connection")
    for names in every_order_of_steps():
        assert (names, steps(ours, names)) == (names, steps(theirs, names))


def test_every_order_of_steps_as_urllib3() -> None:
    pytest.importorskip("urllib3", minversion="2.8")
    theirs, ours = Side("urllib3.connection"), Side("wirepool.connection")
    for names in every_order_of_steps():
        asked = names.count("getresponse")
        if asked == 0 or (asked == 1 and not {"putrequest", "endheaders"} & {*names}):  # see IN_PARTS
            assert (names, steps(ours, names)) == (names, steps(theirs, names))


@scenario
def nothing_opens_by_itself(side: Side) -> Any:
    conn = side.cls("h")
    conn.auto_open = 0
    sent = outcome(conn.send, b"x")
    conn.putrequest("GET", "/")
    return sent, outcome(conn.endheaders), state(conn), conn.sock


@scenario
def opens_by_itself(side: Side) -> Any:
    double = Socket(OK)
    conn = side.dialing(double, "h")
    answer = side.get(conn)
    return conn.sock is double, conn.auto_open, answer.read(), double.wire


@scenario
def opens_again_after_a_last_response(side: Side) -> Any:
    double = Socket(LAST, OK)
    conn = side.dialing(double, "h")
    first = side.get(conn)
    between = conn.sock
    return first.read(), between, side.get(conn).read(), conn.sock is double, double.closed


@scenario
def connect_and_close(side: Side) -> Any:
    double = Socket()
    conn = side.dialing(double, "h")
    seen = [conn.sock, outcome(conn.connect), conn.sock is double, outcome(conn.close), conn.sock, double.closed]
    return [*seen, outcome(conn.close)]


@scenario
def an_empty_answer(side: Side) -> Any:
    conn = side.open(b"")
    return outcome(side.get, conn), conn.sock, state(conn)


@scenario
def an_answer_after_the_timeout(side: Side) -> Any:
    near, far = socket.socketpair()
    with near, far:
        near.settimeout(0.01)
        conn = side.over(near, timeout=0.01)  # type: ignore[arg-type]
        side.ask(conn)
        late = outcome(conn.getresponse)
        far.sendall(OK)
        return late, state(conn), outcome(lambda: conn.getresponse().read()), conn.close()


# --- what else a connection has ---------------------------------------------------------------------------------------


@scenario
def attributes_of_connections(side: Side) -> Any:
    names = "host port debuglevel auto_open default_port _http_vsn _http_vsn_str _method sock _buffer"
    conn = side.cls("h", 81, timeout=3, source_address=("127.0.0.1", 0), blocksize=99)
    return [getattr(conn, name) for name in f"{names} timeout source_address blocksize".split()]


@scenario
def response_classes(side: Side) -> Any:
    return issubclass(side.cls.response_class, http.client.HTTPResponse), issubclass(
        side.cls, http.client.HTTPConnection
    )


@scenario
def hosts_and_ports(side: Side) -> Any:
    hosts = ["h", "h:81", "h:", "[::1]", "[::1]:81", "[::1]:", "::1", "1.2.3.4:5", "h:x", "h i", "h\n", "h\0"]
    return [outcome(lambda host: (c := side.cls(host)) and (c.host, c.port), host) for host in hosts]


@scenario
def bare_double(side: Side) -> Any:
    double = Double(OK, CHUNKED)
    conn = side.over(double)
    first = outcome(lambda: side.get(conn).read())
    return first, outcome(lambda: side.get(conn).read()), double.wire


@scenario
def bare_double_in_parts(side: Side) -> Any:
    double = Double(OK)
    conn = side.over(double)
    conn.putrequest("POST", "/x", skip_accept_encoding=True)
    conn.putheader("Content-Length", "3")
    conn.endheaders(b"abc")
    return double.wire, outcome(lambda: conn.getresponse().read())


@scenario
def bare_double_that_cannot_close(side: Side) -> Any:
    conn = side.over(Double(OK))
    return outcome(conn.close), conn.sock


@scenario
def replaced_response_class(side: Side) -> Any:
    seen = []

    class Answer(http.client.HTTPResponse):
        def _read_status(self) -> tuple[str, int, str]:
            seen.append("status")
            version, status, reason = super()._read_status()  # type: ignore[misc]
            return version, status + 1, reason + "!"

    conn = side.open(OK)
    conn.response_class = Answer
    answer = side.get(conn)
    return answer.status, answer.reason, answer.read(), seen


@scenario
def replaced_response_class_gets(side: Side) -> Any:
    seen = []

    class Answer(http.client.HTTPResponse):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            seen.append((type(arguments[0]).__name__, arguments[1:], options))
            super().__init__(*arguments, **options)

    conn = side.open(OK, OK)
    conn.response_class = Answer
    side.get(conn, "HEAD").read()
    conn.set_debuglevel(1)
    with contextlib.redirect_stdout(io.StringIO()):
        side.get(conn).read()
    return seen


def expecting(cls: Any) -> Any:
    """As botocore does: the body is sent once the server said to go on."""

    class Expecting(cls):  # type: ignore[misc]
        def _send_output(self, message_body: Any = None, *arguments: Any, **options: Any) -> None:
            self._buffer.extend((b"", b""))
            head = b"\r\n".join(self._buffer)
            del self._buffer[:]
            self.send(head)
            line = self.sock.makefile("rb").readline()
            self.went_on = line.startswith(b"HTTP/1.1 100")
            if self.went_on and message_body is not None:
                self.send(message_body)

    return Expecting


@scenario
def expect_continue(side: Side) -> Any:
    conn = expecting(side.cls)("h")
    conn.sock = Socket(b"HTTP/1.1 100 Continue\r\n\r\n", OK)
    conn.putrequest("PUT", "/", True, True)
    conn.putheader("Expect", "100-continue")
    conn.endheaders(b"abc")
    return conn.went_on, conn.sock.sent


@scenario
def expect_continue_by_request(side: Side) -> Any:
    conn = expecting(side.cls)("h")
    conn.sock = Socket(b"HTTP/1.1 100 Continue\r\n\r\n", OK)
    side.ask(conn, "PUT", "/", b"abc", {"Expect": "100-continue"})
    return conn.went_on, conn.sock.sent[-1], conn.getresponse().read()


def debug_output(side: Side, talk: Callable[[Side, Any], Any]) -> Any:
    conn = side.open(RICH, OK)
    conn.set_debuglevel(1)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        came = outcome(talk, side, conn)
    return came, conn.debuglevel, re.sub("0x[0-9a-f]+", "somewhere", out.getvalue())


def through(side: Side, conn: Any) -> Any:
    conn.putrequest("PUT", "/", True, True)
    conn.endheaders([b"a", b""])
    conn.send(io.StringIO("b"))


def whole(side: Side, conn: Any) -> Any:
    conn.sock.replies.insert(0, b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n" + OK)
    conn.putrequest("GET", "/", True, True)
    conn.endheaders()
    return conn.getresponse().read()


table(
    "debug output",
    debug_output,
    {
        "request": through,
        "response": lambda side, conn: side.get(conn).read(),
        "interim response": whole,
        "response that is none": lambda side, conn: conn.sock.replies.insert(0, b"nonsense\r\n\r\n") or side.get(conn),
        "no response": lambda side, conn: conn.sock.replies.insert(0, b"") or side.get(conn),
        "level of the response": lambda side, conn: side.get(conn).debuglevel,
    },
)


# --- tunnels ----------------------------------------------------------------------------------------------------------


def tunnel(side: Side, case: tuple[bytes, tuple[Any, ...]]) -> Any:
    reply, arguments = case
    double = Socket(reply, OK)
    conn = side.dialing(double)
    conn.set_tunnel(*arguments)
    named = conn._tunnel_host, conn._tunnel_port, dict(conn._tunnel_headers)
    return named, outcome(lambda: side.get(conn).read()), double.wire, double.closed


OPENED = b"HTTP/1.1 200 Connection established\r\nA: b\r\n\r\n"
table(
    "tunnel",
    tunnel,
    {
        "port": (OPENED, ("o", 443)),
        "no port": (OPENED, ("o",)),
        "port in the host": (OPENED, ("o:44",)),
        "headers": (OPENED, ("o", 44, {"P": "q"})),
        "refused": (b"HTTP/1.1 403 No\r\n\r\n", ("o", 44)),
        "no answer": (b"", ("o", 44)),
        "no HTTP": (b"hello\r\n", ("o", 44)),
    },
)


@scenario
def tunnel_after_connecting(side: Side) -> Any:
    return outcome(side.open().set_tunnel, "o", 1)


@scenario
def tunnel_headers_are_forgotten(side: Side) -> Any:
    conn = side.cls("p")
    conn.set_tunnel("o", 1, {"A": "b"})
    conn.set_tunnel("o", 1)
    return conn._tunnel_headers


@scenario
def tunnel_over_a_bare_double(side: Side) -> Any:
    double = Double(OPENED, OK)
    if side.is_stdlib:
        double.setsockopt = lambda *option: None  # type: ignore[attr-defined]
    conn = side.dialing(double)
    conn.set_tunnel("o", 443)
    return outcome(lambda: side.get(conn).read()), double.wire


@scenario
def over_tls_the_default_port_goes_without_saying(side: Side) -> Any:
    secure = Side("http.client" if side.is_stdlib else side.name, "HTTPSConnection")
    seen = [secure.cls.default_port]
    for port in (None, 443, 80):
        conn = secure.open(OK, port=port)
        conn.putrequest("GET", "/", skip_accept_encoding=True)
        seen += [conn.port, conn._buffer]
    return seen


@scenario
def a_request_over_tls_to_a_double(side: Side) -> Any:
    secure = Side(side.name, "HTTPSConnection")
    conn = secure.open(OK, LAST)
    return secure.get(conn).read(), secure.get(conn).read(), conn.sock


@scenario
def arguments_by_position(side: Side) -> Any:
    return outcome(lambda: side.cls("h", 81, 3).timeout)


@scenario
def chunks_asked_for_by_the_name_of_the_standard_library(side: Side) -> Any:
    conn = side.open()
    return outcome(conn.request, "PUT", "/", [b"a"], {"Transfer-Encoding": "chunked"}, encode_chunked=True)


def test_what_a_tunnel_prints(scripted: Callable[..., ScriptedServer], capsys: pytest.CaptureFixture[str]) -> None:
    """Over sockets wirepool opens tunnels in its own way, but says what it got as the standard library does."""
    seen = []
    for module in ("http.client", "wirepool.connection"):
        server = scripted([Recv(), Send(OPENED), Recv(), Send(OK)])
        conn = Side(module).cls(server.host, server.port, timeout=5)
        conn.set_tunnel("o", 44)
        conn.set_debuglevel(1)
        conn.connect()
        conn.close()
        seen.append([line for line in capsys.readouterr().out.splitlines() if line.startswith("header: ") and line[8:]])
    assert seen == [["header: A: b"]] * 2


# --- what may differ --------------------------------------------------------------------------------------------------

REFUSED = "what RFC 9110 and 9112 let nobody send is refused before any of it is noted down"
CLOSED = "a connection whose tunnel failed is closed at once"
OWN_NAMES = "keyword-only, or named, as in urllib3"

# That it differs may end with a later Python, which then refuses as much.
CHANGING = {"putrequest: method with a blank", "putrequest: no method", "request: bad method", "putheader: NUL"} | {
    "putheader: folded",
    "putheader: name with a blank",
    "putheader: name beyond ASCII",
    "tunnel: no answer",
    "tunnel: no HTTP",
}

BESIDE_BOTH = {
    "putrequest: no method": REFUSED,
    "putheader: folded": REFUSED,
    "putheader: NUL": REFUSED,
    "putheader: name with a blank": REFUSED,
    "putheader: name beyond ASCII": REFUSED + "; always a ValueError, but not always a UnicodeEncodeError",
    "tunnel: no answer": CLOSED,
    "tunnel: no HTTP": CLOSED,
}

BESIDE_STDLIB = BESIDE_BOTH | {
    "putrequest: method with LF": REFUSED,
    "putrequest: method with a blank": REFUSED,
    "request: bad method": REFUSED,
    "request: post Latin-1 text": "text is sent as UTF-8, as by urllib3",
    "arguments_by_position": OWN_NAMES,
    "chunks_asked_for_by_the_name_of_the_standard_library": OWN_NAMES,
}

IN_PARTS = "urllib3 has an answer only for what request() sent, and only if that was asked for once"
NO_TIMEOUT = "urllib3 sets a time-out on whatever it is given"
NOT_THERE = "urllib3 leaves it out"

BESIDE_URLLIB3 = BESIDE_BOTH | {
    "bare_double": NO_TIMEOUT,
    "bare_double_in_parts": IN_PARTS,
    "an_answer_after_the_timeout": IN_PARTS,
    "tunnel_over_a_bare_double": NO_TIMEOUT,
    "debug output: interim response": IN_PARTS,
    "debug output: level of the response": NOT_THERE,
}
for _sequence in SEQUENCES:
    if _sequence in {
        "request getresponse request getresponse read getresponse read",
        "putrequest putheader endheaders getresponse read",
        "putrequest endheaders getresponse putrequest endheaders getresponse read getresponse read",
    }:
        BESIDE_URLLIB3 |= {f"steps: {_sequence}": IN_PARTS, f"steps to a last response: {_sequence}": IN_PARTS}


@pytest.mark.parametrize("name", SCENARIOS)
def test_as_the_standard_library(name: str) -> None:
    SCENARIOS.compare(name, "http.client", BESIDE_STDLIB, CHANGING)


@pytest.mark.parametrize("name", SCENARIOS)
def test_as_urllib3(name: str) -> None:
    pytest.importorskip("urllib3", minversion="2.8")
    SCENARIOS.compare(name, "urllib3.connection", BESIDE_URLLIB3, CHANGING)


def test_what_differs_is_a_scenario() -> None:
    assert {*BESIDE_STDLIB, *BESIDE_URLLIB3, *CHANGING} <= {*SCENARIOS}
    assert len(SCENARIOS) > 150
