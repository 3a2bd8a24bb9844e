"""requests on wirepool: ``WirepoolAdapter`` keeps what requests promises. What holds for both runs on both."""

from __future__ import annotations

import datetime
import http.client
import io
import pickle
import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar

import wirepool
from servers.certs import Authority
from servers.proxy import refuse
from servers.scripted import Close, Hold, Recv, RecvHead, Reset, Send, chunked_response, response
from wirepool import _fast, _gear
from wirepool.contrib.requests import WirepoolAdapter

Mount = Callable[..., Any]
errors = requests.exceptions

pytestmark = pytest.mark.usefixtures("no_environment")


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def session_on(adapter: Any) -> Any:
    session = requests.Session()
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


@pytest.fixture(params=["urllib3", "fast", "compatible"])
def mount(request: pytest.FixtureRequest) -> Iterator[Mount]:
    """``mount(**options)``: a session on an adapter with these options; of requests itself, or ours in either gear."""
    sessions = []

    def make(kind: Any = None, /, **options: Any) -> Any:
        cls = HTTPAdapter if request.param == "urllib3" else WirepoolAdapter
        sessions.append(session_on(cls(**options)))
        return sessions[-1]

    with _gear.force("compatible" if request.param == "compatible" else None):
        yield make
    for session in sessions:
        session.close()


@pytest.fixture
def session(mount: Mount) -> Any:
    return mount()


@pytest.fixture
def ours() -> Iterator[Any]:
    """A session on our adapter."""
    with session_on(WirepoolAdapter()) as it:
        yield it


OK = [Recv(), Send(response(b"hello", headers=[("Content-Type", "text/plain; charset=utf-8")])), Close()]


# --- requests and responses -------------------------------------------------------------------------------------------


def test_a_response_has_all_that_requests_makes_of_one(session: Any, scripted: Any) -> None:
    fields = [("Content-Type", "text/html; charset=koi8-r"), ("X-Two", "a"), ("x-two", "b"), ("Set-Cookie", "k=v")]
    server = scripted([Recv(), Send(response(b"body", headers=fields, reason="Fine")), Close()])
    got = session.get(server.url + "/a/b?c=d#e", params={"f": "g h"})
    assert (got.status_code, got.reason, got.ok, got.encoding) == (200, "Fine", True, "koi8-r")
    assert type(got.headers) is requests.structures.CaseInsensitiveDict
    assert list(got.headers.items())[1:3] == [("Content-Type", "text/html; charset=koi8-r"), ("X-Two", "a, b")]
    assert got.url == server.url + "/a/b?c=d&f=g+h#e"
    assert (got.content, got.text, got.cookies.get_dict()) == (b"body", "body", {"k": "v"})
    assert server.requests[0].line == "GET /a/b?c=d&f=g+h HTTP/1.1"
    assert got.request.headers["User-Agent"] == server.requests[0].header("User-Agent")
    assert got.connection is session.get_adapter(got.url)


def test_a_response_has_what_one_of_requests_has_and_no_more(scripted: Any) -> None:
    made = []
    for adapter in (HTTPAdapter(), WirepoolAdapter()):
        fields = [("Content-Type", "text/plain"), ("A", "1"), ("a", "2"), ("Set-Cookie", "k=v")]
        server = scripted([Recv(), Send(response(b"body", headers=fields)), Close()])
        with session_on(adapter) as session:
            made.append(session.get(server.url))
    theirs, ours = (vars(it) for it in made)
    assert ours.keys() == theirs.keys()
    differing = {name for name in ours if type(ours[name]) is not type(theirs[name])}
    assert differing == {"raw", "connection"}
    assert ours["headers"] == theirs["headers"]
    assert list(ours["headers"].lower_items()) == list(theirs["headers"].lower_items())
    ours["headers"]["A"] = "3"
    del ours["headers"]["set-cookie"]
    assert dict(ours["headers"].copy()) == {"Content-Length": "4", "Content-Type": "text/plain", "A": "3"}


def test_what_is_mutable_belongs_to_one_response(ours: Any, echo: Any) -> None:
    first, second = (ours.get(echo.url + "/echo") for _ in range(2))
    for name, value in vars(first).items():
        if not isinstance(value, (str, bytes, int, type(None), datetime.timedelta)) and name != "connection":
            assert value is not vars(second)[name], name


@pytest.mark.parametrize("where", ["class", "constructor"])
def test_responses_of_ones_own(ours: Any, echo: Any, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    class Own(requests.Response):
        def __init__(self) -> None:
            super().__init__()
            self.mine = True

    if where == "class":
        monkeypatch.setattr(requests, "Response", Own)
    else:
        start = requests.Response.__init__

        def started(self: Any) -> None:
            start(self)
            self.mine = True

        monkeypatch.setattr(requests.Response, "__init__", started)
    got = ours.get(echo.url + "/echo")
    assert got.mine
    assert got.json()["target"] == "/echo"


def test_what_is_sent_is_the_same_to_the_byte(scripted: Any) -> None:
    heads = []
    for adapter in (HTTPAdapter(), WirepoolAdapter()):
        server = scripted(OK)
        with session_on(adapter) as session:
            session.get(server.url + "/p", headers={"X-A": "ü".encode(), "x-b": "2", "Host": "h"}, auth=("u", "p"))
        heads.append(server.requests[0].head)
    assert heads[0] == heads[1]


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ({"data": b"raw"}, b"raw"),
        ({"data": {"a": "1", "b": ["2", "3"]}}, b"a=1&b=2&b=3"),
        ({"json": {"a": 1}}, b'{"a": 1}'),
        ({"data": lambda: io.BytesIO(b"file")}, b"file"),
        ({"data": lambda: iter([b"one", b"two"])}, b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"),
    ],
)
def test_bodies(session: Any, scripted: Any, body: dict[str, Any], sent: bytes) -> None:
    server = scripted(OK)
    arguments = {name: value() if callable(value) else value for name, value in body.items()}
    assert session.post(server.url, **arguments).text == "hello"
    assert server.requests[0].body == sent


def test_a_multipart_form(session: Any, echo: Any) -> None:
    got = session.post(echo.url + "/echo", files={"f": ("name.txt", b"content", "text/x-y")}, data={"k": "v"}).json()
    assert 'name="f"; filename="name.txt"' in got["body"]
    assert 'name="k"\r\n\r\nv' in got["body"]


@pytest.mark.parametrize("path", ["/gzip?n=3000", "/deflate?n=3000&raw=1", "/chunked?n=5&size=900", "/bytes/3000"])
def test_bodies_are_decoded_however_they_are_read(session: Any, echo: Any, path: str) -> None:
    whole = session.get(echo.url + path).content
    assert len(whole) >= 3000
    with session.get(echo.url + path, stream=True) as got:
        assert b"".join(got.iter_content(100)) == whole
    with session.get(echo.url + path, stream=True) as got:
        assert b"".join(got.iter_content(None)) == whole
    with session.get(echo.url + path, stream=True) as got:
        assert b"".join(got.raw.stream(512, decode_content=True)) == whole


def test_lines(session: Any, scripted: Any) -> None:
    server = scripted([Recv(), Send(chunked_response([b"one\ntw", b"o\nthree"])), Close()])
    with session.get(server.url, stream=True) as got:
        assert list(got.iter_lines(chunk_size=4)) == [b"one", b"two", b"three"]


def test_the_raw_body_is_not_decoded(session: Any, echo: Any) -> None:
    with session.get(echo.url + "/gzip?n=1000", stream=True) as got:
        assert got.raw.read(2) == b"\x1f\x8b"
        assert not got.raw.closed
        assert got.raw.headers.getlist("content-encoding") == ["gzip"]


def test_connections_are_used_again(session: Any, echo: Any) -> None:
    before = echo.connections
    for _ in range(5):
        session.get(echo.url + "/echo")
        session.head(echo.url + "/echo")
        with session.get(echo.url + "/chunked", stream=True) as got:
            assert got.content
    assert echo.connections - before == 1


def test_a_streamed_response_holds_its_connection_until_it_is_closed(session: Any, echo: Any) -> None:
    before = echo.connections
    got = session.get(echo.url + "/bytes/100000", stream=True)
    session.get(echo.url + "/echo")
    assert echo.connections - before == 2
    assert len(got.content) == 100000
    session.get(echo.url + "/echo")
    assert echo.connections - before == 2


def test_elapsed_does_not_count_the_body(session: Any, scripted: Any) -> None:
    late = [Recv(), Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"), Hold()]
    server = scripted(late)
    with pytest.raises(errors.ConnectionError):
        session.get(server.url, timeout=0.05)
    got = session.get(scripted(OK).url)
    assert 0 < got.elapsed.total_seconds() < 5


# --- cookies, redirects -----------------------------------------------------------------------------------------------


def test_cookies_are_kept_and_sent_back(session: Any, scripted: Any) -> None:
    fields = [("Set-Cookie", "a=1; Path=/"), ("set-cookie", "b=2; Expires=Wed, 01 Jan 2070 00:00:00 GMT; Path=/")]
    server = scripted([Recv(), Send(response(b"", headers=fields)), Recv(), Send(response(b"")), Close()])
    got = session.get(server.url)
    assert got.cookies.get_dict() == session.cookies.get_dict() == {"a": "1", "b": "2"}
    assert [cookie.expires is None for cookie in sorted(got.cookies, key=lambda it: it.name)] == [True, False]
    assert got.raw._original_response.msg.get_all("set-cookie") == [value for _, value in fields]
    session.get(server.url)
    assert server.requests[1].header("Cookie") == "a=1; b=2"


def test_a_response_without_cookies_has_its_fields_for_who_looks(session: Any, scripted: Any) -> None:
    server = scripted([Recv(), Send(response(b"hello", headers=[("X-A", "b")])), Close()])
    got = session.get(server.url, stream=True)
    original = got.raw._original_response
    assert original.msg["x-a"] == original.getheader("X-A") == "b"
    assert original.msg.get_all("Set-Cookie") is None
    assert got.content == b"hello"


def test_redirects_and_their_history(session: Any, echo: Any, scripted: Any) -> None:
    cookie = [("Set-Cookie", "seen=1; Path=/"), ("Location", "/second")]
    server = scripted(
        [Recv(), Send(response(b"x" * 50, status=302, headers=cookie)), Recv(), Send(response(b"end")), Close()]
    )
    got = session.post(server.url + "/first", data=b"form")
    assert [each.status_code for each in got.history] == [302]
    assert (got.content, got.history[0].content, got.url) == (b"end", b"x" * 50, server.url + "/second")
    assert [request.method for request in server.requests] == ["POST", "GET"]
    assert server.requests[1].header("Cookie") == "seen=1"
    fields = [("Location", "/"), ("Connection", "close")]
    endless = scripted(default=[Recv(), Send(response(b"", status=302, headers=fields)), Close()])
    with pytest.raises(errors.TooManyRedirects):
        session.get(endless.url)
    got = session.get(echo.url + "/redirect?to=/echo", allow_redirects=False)
    assert got.is_redirect
    assert got.next.url == echo.url + "/echo"


# --- errors -----------------------------------------------------------------------------------------------------------


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def failure(call: Callable[[], Any]) -> tuple[Any, Any]:
    """The exception of requests, and that of the pool it carries."""
    with pytest.raises(errors.RequestException) as caught:
        call()
    return caught.value, caught.value.args[0]


def test_a_connection_that_is_refused(session: Any) -> None:
    error, inner = failure(lambda: session.get(f"http://127.0.0.1:{closed_port()}/"))
    assert type(error) is errors.ConnectionError
    assert isinstance(inner, urllib3.exceptions.MaxRetryError)
    assert isinstance(inner.reason, urllib3.exceptions.NewConnectionError)
    assert error.request.url.startswith("http://127.0.0.1")


def test_a_name_that_is_unknown(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error, inner = failure(lambda: session.get("http://nowhere.test/"))
    assert type(error) is errors.ConnectionError
    assert isinstance(inner.reason, urllib3.exceptions.NameResolutionError)


def test_time_outs(session: Any, scripted: Any) -> None:
    error, inner = failure(lambda: session.get(scripted([Recv(), Hold()]).url, timeout=0.05))
    assert type(error) is errors.ReadTimeout
    assert isinstance(inner, urllib3.exceptions.ReadTimeoutError)
    assert "read timeout=0.05" in str(error)


def test_a_connect_time_out(session: Any, scripted_tls: Any) -> None:
    server = scripted_tls(handshake=[Hold()])
    error, _ = failure(lambda: session.get(server.url, timeout=(0.05, None), verify=False))
    assert isinstance(error, (errors.ConnectTimeout, errors.ReadTimeout))


@pytest.mark.parametrize("script", [[Recv(), Close()], [Recv(), Reset()], [Recv(), Send(b"garbage\r\n\r\n"), Close()]])
def test_a_connection_that_breaks_off(session: Any, scripted: Any, script: Any) -> None:
    error, inner = failure(lambda: session.get(scripted(script).url))
    assert type(error) is errors.ConnectionError
    assert isinstance(inner, urllib3.exceptions.ProtocolError)


CUT = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal", errors.ChunkedEncodingError, "ProtocolError"),
    "chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
        errors.ChunkedEncodingError,
        "ProtocolError",
    ),
    "chunk size": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        errors.ChunkedEncodingError,
        "ProtocolError",
    ),
    "coding": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
        errors.ContentDecodingError,
        "DecodeError",
    ),
}


@pytest.mark.parametrize("case", CUT)
@pytest.mark.parametrize("read", ["at once", "iter_content", "iter_lines"])
def test_bodies_that_are_broken(session: Any, scripted: Any, case: str, read: str) -> None:
    wire, expected, name = CUT[case]
    url = scripted([Recv(), Send(wire), Close()]).url

    def call() -> Any:
        if read == "at once":
            return session.get(url)
        got = session.get(url, stream=True)
        return list(getattr(got, read)(10))

    error, inner = failure(call)
    assert type(error) is expected
    assert type(inner).__name__ == name
    assert isinstance(inner, getattr(urllib3.exceptions, name))


def test_a_body_that_does_not_come(session: Any, scripted: Any) -> None:
    url = scripted([Recv(), Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal"), Hold()]).url
    error, inner = failure(lambda: session.get(url, timeout=0.05))
    assert type(error) is errors.ConnectionError
    assert isinstance(inner, urllib3.exceptions.ReadTimeoutError)


def test_what_raw_raises_is_of_urllib3(session: Any, scripted: Any) -> None:
    url = scripted([Recv(), Send(CUT["length"][0]), Close()]).url
    got = session.get(url, stream=True)
    with pytest.raises(urllib3.exceptions.ProtocolError) as caught:
        got.raw.read()
    assert isinstance(caught.value.args[1], http.client.IncompleteRead)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://", errors.InvalidURL),
        ("http://.example.org/", errors.InvalidURL),
        ("http://h:99999999/", errors.InvalidURL),
        ("nothing", errors.MissingSchema),
        ("gopher://h/", errors.InvalidSchema),
    ],
)
def test_urls_that_are_none(session: Any, url: str, expected: Any) -> None:
    with pytest.raises(expected):
        session.get(url)


def test_header_fields_that_must_not_be_sent(session: Any) -> None:
    with pytest.raises(errors.InvalidHeader):
        session.get("http://127.0.0.1/", headers={"A": "b\r\nC: d"})


def test_errors_can_be_pickled(session: Any) -> None:
    error, inner = failure(lambda: session.get(f"http://127.0.0.1:{closed_port()}/"))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert isinstance(again.args[0], urllib3.exceptions.MaxRetryError)
    assert isinstance(again.args[0], type(inner).__mro__[1])


# --- ours only: whose exceptions, whose gear --------------------------------------------------------------------------


def test_the_cause_is_an_exception_of_wirepool(ours: Any, scripted: Any) -> None:
    error, inner = failure(lambda: ours.get(f"http://127.0.0.1:{closed_port()}/"))
    assert error.__cause__ is inner
    assert isinstance(inner, wirepool.exceptions.MaxRetryError)
    assert isinstance(inner.reason, wirepool.exceptions.NewConnectionError)
    got = ours.get(scripted([Recv(), Send(CUT["chunk"][0]), Close()]).url, stream=True)
    _, inner = failure(lambda: got.content)
    assert isinstance(inner, wirepool.exceptions.ProtocolError)


def test_the_fast_gear_serves_requests(ours: Any, echo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    served = []
    attempt = _fast.attempt

    def spy(*args: Any) -> Any:
        served.append(attempt(*args))
        return served[-1]

    monkeypatch.setattr(_fast, "attempt", spy)
    got = ours.get(echo.url + "/echo")
    # Not even looking for cookies changes the gear.
    assert served == [got.raw]
    assert got.raw._file is None
    assert isinstance(got.raw, wirepool.HTTPResponse)


def test_nothing_else_in_the_process_changes(ours: Any, echo: Any) -> None:
    assert type(requests.Session().get_adapter(echo.url)) is HTTPAdapter
    assert urllib3.PoolManager.__module__.startswith("urllib3")
    assert isinstance(requests.get(echo.url + "/echo").raw, urllib3.HTTPResponse)


# --- time-outs and retries of every form ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "timeout",
    [
        None, 5, 2.5, (5, 2.5), (None, 5), (5, None),
        urllib3.Timeout(5), urllib3.Timeout(connect=5, read=None), wirepool.Timeout(total=5), wirepool.Timeout(read=5),
    ],
    ids=repr,
)  # fmt: skip
def test_every_form_of_a_time_out(ours: Any, echo: Any, timeout: Any) -> None:
    assert ours.get(echo.url + "/echo", timeout=timeout).ok


@pytest.mark.parametrize(
    "timeout", [0.05, (None, 0.05), urllib3.Timeout(0.05), urllib3.Timeout(read=0.05), wirepool.Timeout(total=0.05)]
)
def test_every_form_of_a_time_out_is_one(ours: Any, scripted: Any, timeout: Any) -> None:
    with pytest.raises(errors.ReadTimeout):
        ours.get(scripted([Recv(), Hold()]).url, timeout=timeout)


@pytest.mark.parametrize("timeout", [(1, 2, 3), (1,), 0, -1, "soon", (1, "soon"), True])
def test_what_is_no_time_out(session: Any, timeout: Any) -> None:
    with pytest.raises(ValueError, match=r"timeout|Timeout"):
        session.get("http://127.0.0.1/", timeout=timeout)


def retrying(cls: Any, **more: Any) -> Any:
    return cls(total=3, status_forcelist=[503], allowed_methods=None, **more)


FAILS = [
    Recv(),
    Send(response(b"", status=503)),
    Recv(),
    Send(response(b"", status=503)),
    Recv(),
    Send(response(b"ok")),
    Close(),
]


@pytest.mark.parametrize("cls", [urllib3.Retry, wirepool.Retry])
def test_a_retry_policy_of_either_library(scripted: Any, cls: Any) -> None:
    server = scripted(FAILS)
    policy = retrying(cls)
    with session_on(WirepoolAdapter(max_retries=policy)) as session:
        got = session.post(server.url, data=b"x")
        assert session.get_adapter(server.url).max_retries is policy
    assert got.content == b"ok"
    assert [type(each).__name__ for each in got.raw.retries.history] == ["RequestHistory"] * 2


def test_a_policy_that_is_set_or_changed_later(ours: Any, scripted: Any) -> None:
    adapter = ours.get_adapter("http://h/")
    adapter.max_retries = urllib3.Retry(1)
    ours.get(scripted(OK).url)
    adapter.max_retries.total = 0
    with pytest.raises(errors.ConnectionError, match="Max retries exceeded"):
        ours.get(f"http://127.0.0.1:{closed_port()}/")
    adapter.max_retries = retrying(urllib3.Retry)
    assert ours.get(scripted(FAILS).url).content == b"ok"


class Patient(urllib3.Retry):
    """A subclass as programs write them: own arguments, own state, own rules."""

    def __init__(self, *args: Any, log: Any = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.log = [] if log is None else log

    def new(self, **options: Any) -> Any:
        return super().new(log=self.log, **options)

    def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
        return status_code == 503

    def increment(self, method: Any, url: Any, response: Any = None, error: Any = None, *more: Any, **rest: Any) -> Any:
        self.log.append(type(error).__name__)
        return super().increment(method, url, response, error, *more, **rest)


def test_a_subclass_of_urllib3s_policy_keeps_its_methods(mount: Mount, scripted: Any) -> None:
    policy = Patient(3)
    server = scripted([Recv(), Close()], FAILS)
    assert mount(max_retries=policy).get(server.url).content == b"ok"
    assert policy.log == ["ProtocolError", "NoneType", "NoneType"]


@pytest.mark.parametrize("policy", [2, urllib3.Retry(2, status_forcelist=[503]), Patient(2)], ids=repr)
def test_when_retries_run_out(mount: Mount, scripted: Any, policy: Any) -> None:
    session = mount(max_retries=policy)
    error, inner = failure(lambda: session.get(f"http://127.0.0.1:{closed_port()}/"))
    assert type(error) is errors.ConnectionError
    assert isinstance(inner, urllib3.exceptions.MaxRetryError)
    if policy != 2:
        unavailable = [Recv(), Send(response(b"", status=503))] * 3
        error, inner = failure(lambda: session.get(scripted([*unavailable, Close()]).url))
        assert type(error) is errors.RetryError
        assert isinstance(inner.reason, urllib3.exceptions.ResponseError)


# --- TLS --------------------------------------------------------------------------------------------------------------


def test_certificates_are_verified(session: Any, scripted_tls: Any, certs: Authority) -> None:
    server = scripted_tls(OK, OK, OK, OK)
    error, inner = failure(lambda: session.get(server.url))
    assert type(error) is errors.SSLError
    assert isinstance(inner.reason, urllib3.exceptions.SSLError)
    assert session.get(server.url, verify=certs.ca_file).text == "hello"
    assert session.get(server.url, verify=certs.hashed_directory()).text == "hello"
    session.verify = certs.ca_file
    assert session.get(server.url).text == "hello"


def test_verification_can_be_switched_off(session: Any, scripted_tls: Any) -> None:
    server = scripted_tls([*OK[:-1], *OK])  # on one connection: no library notices the end of one in time for sure
    with pytest.warns(urllib3.exceptions.InsecureRequestWarning):
        assert session.get(server.url, verify=False).text == "hello"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", urllib3.exceptions.HTTPWarning)
        assert session.get(server.url, verify=False).text == "hello"


def test_what_does_not_verify_shares_no_connection_with_what_does(ours: Any, scripted_tls: Any) -> None:
    server = scripted_tls(default=[Recv(), Send(response(b"one")), Recv(), Send(response(b"two")), Close()])
    adapter = ours.get_adapter(server.url)
    request = requests.Request("GET", server.url).prepare()
    for verify in (False, None):
        with pytest.warns(wirepool.exceptions.InsecureRequestWarning):
            adapter.send(request, verify=verify)
        with pytest.raises(errors.SSLError):
            adapter.send(request, verify=True)


def test_attributes_set_on_a_pool_do_not_outlive_the_next_request(ours: Any, scripted_tls: Any, certs: Any) -> None:
    ours.verify = certs.ca_file
    server = scripted_tls(OK, OK, OK)
    request = ours.get(server.url).request
    pool = ours.get_adapter(server.url).get_connection_with_tls_context(request, certs.ca_file)
    pool.cert_reqs = "CERT_NONE"
    ours.get(server.url)
    assert pool.cert_reqs == "CERT_REQUIRED"


def test_client_certificates(session: Any, scripted_tls: Any, certs: Authority, tmp_path: Path) -> None:
    client = certs.client("kim")
    both = tmp_path / "both.pem"
    both.write_text(Path(client.cert_file).read_text() + Path(client.key_file).read_text())
    server = scripted_tls(OK, OK, client_ca=certs.ca_file)
    session.verify = certs.ca_file
    assert session.get(server.url, cert=(client.cert_file, client.key_file)).text == "hello"
    assert session.get(server.url, cert=str(both)).text == "hello"
    assert [conn.client_name for conn in server.connections] == ["kim", "kim"]


@pytest.mark.parametrize("options", [{"verify": "/no/such/file"}, {"cert": "/no/such/file"}, {"cert": ("/no", "/no")}])
def test_files_that_are_not_there(session: Any, options: dict[str, Any]) -> None:
    with pytest.raises(OSError, match="/no"):
        session.get("https://127.0.0.1:1/", **options)


# --- proxies ----------------------------------------------------------------------------------------------------------


def test_a_proxy_that_forwards(session: Any, scripted_proxy: Any, echo: Any) -> None:
    proxy = scripted_proxy()
    session.proxies = {"http": proxy.url.replace("//", "//us%40er:pass@")}
    assert session.get(echo.url + "/echo").json()["target"] == "/echo"
    assert proxy.requests[0].line == f"GET {echo.url}/echo HTTP/1.1"
    assert proxy.requests[0].header("Proxy-Authorization") == "Basic dXNAZXI6cGFzcw=="


def test_a_tunnel(session: Any, scripted_proxy: Any, scripted_tls: Any, certs: Authority) -> None:
    proxy, server = scripted_proxy(), scripted_tls(OK)
    session.proxies = {"https": proxy.url.replace("//", "//user:pass@")}
    assert session.get(server.url, verify=certs.ca_file).text == "hello"
    assert proxy.connects[0].header("Proxy-Authorization") == "Basic dXNlcjpwYXNz"
    assert server.requests[0].header("Proxy-Authorization") is None


def test_a_proxy_of_the_environment(
    session: Any, scripted_proxy: Any, echo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = scripted_proxy()
    session.get(echo.url + "/echo")
    monkeypatch.setenv("http_proxy", proxy.url)
    session.get(echo.url + "/echo")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    session.get(echo.url + "/echo")
    assert len(proxy.requests) == 1


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4", "socks4a"])
def test_socks(session: Any, scripted_socks: Any, echo: Any, scheme: str) -> None:
    pytest.importorskip("socks")
    proxy = scripted_socks()
    session.proxies = {"http": proxy.socks_url(scheme)}
    assert session.get(echo.url + "/echo").json()["target"] == "/echo"
    assert len(proxy.connections) == 1


def test_socks_with_credentials(session: Any, scripted_socks: Any, echo: Any) -> None:
    pytest.importorskip("socks")
    proxy = scripted_socks(users={"us er": "p@ss"})
    session.proxies = {"http": proxy.socks_url("socks5").replace("//", "//us%20er:p%40ss@")}
    assert session.get(echo.url + "/echo").ok


def test_a_proxy_that_fails(session: Any, scripted_proxy: Any, scripted: Any) -> None:
    session.proxies = {"http": f"http://127.0.0.1:{closed_port()}", "https": scripted_proxy(refuse(407)).url}
    error, inner = failure(lambda: session.get("http://127.0.0.1:1/"))
    assert type(error) is errors.ProxyError
    assert isinstance(inner.reason, urllib3.exceptions.ProxyError)
    error, inner = failure(lambda: session.get("https://127.0.0.1:1/"))
    assert type(error) is errors.ProxyError


@pytest.mark.parametrize(("proxy", "expected"), [("http:", errors.InvalidProxyURL), ("gopher://h", errors.InvalidURL)])
def test_proxies_that_are_none(session: Any, proxy: str, expected: Any) -> None:
    with pytest.raises(expected):
        session.get("http://127.0.0.1/", proxies={"http": proxy})


def test_socks_without_its_package(ours: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wirepool.contrib.socks", None)
    with pytest.raises(errors.InvalidSchema, match=r"pip install 'wirepool\[socks\]'"):
        ours.get("http://127.0.0.1/", proxies={"http": "socks5://127.0.0.1:1"})


# --- the adapter as a class to derive from, to keep and to close ------------------------------------------------------


class Overriding(WirepoolAdapter):
    """Overrides all that an HTTPAdapter's subclass may."""

    def __init__(self, **options: Any) -> None:
        self.called: list[str] = []
        super().__init__(**options)


def _overridden(name: str) -> Any:
    def method(self: Any, *args: Any, **options: Any) -> Any:
        self.called.append(name)
        return getattr(super(Overriding, self), name)(*args, **options)

    return method


HOOKS = [
    "init_poolmanager",
    "get_connection_with_tls_context",
    "build_connection_pool_key_attributes",
    "cert_verify",
    "request_url",
    "add_headers",
    "send",
    "build_response",
]
for _name in HOOKS:
    setattr(Overriding, _name, _overridden(_name))


def test_what_a_subclass_overrides_is_called_each_time(echo: Any) -> None:
    adapter = Overriding()
    with session_on(adapter) as session:
        for _ in range(2):
            adapter.called.clear()
            session.get(echo.url + "/echo")
            assert set(HOOKS) - set(adapter.called) == {"init_poolmanager"}


def test_what_is_replaced_on_an_adapter_is_called(ours: Any, echo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ours.get(echo.url + "/echo")
    called = []
    monkeypatch.setattr(ours.get_adapter(echo.url), "cert_verify", lambda *args: called.append(args))
    ours.get(echo.url + "/echo")
    assert len(called) == 1


def test_an_ssl_context_of_a_subclass(scripted_tls: Any, certs: Authority) -> None:
    class WithContext(WirepoolAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, **options, ssl_context=ssl.create_default_context(cafile=certs.ca_file))

    with session_on(WithContext()) as session:
        assert session.get(scripted_tls(OK).url).text == "hello"


def test_options_of_wirepool(scripted: Any) -> None:
    server = scripted(OK)
    adapter = WirepoolAdapter(resolve={f"elsewhere.test:{server.port}": ["127.0.0.1"]}, pool_maxsize=3)
    with session_on(pickle.loads(pickle.dumps(adapter))) as session:
        assert session.get(f"http://elsewhere.test:{server.port}/").text == "hello"
    with pytest.raises(TypeError, match="unheard_of"):
        session_on(WirepoolAdapter(unheard_of=1)).get(server.url)


def test_a_session_can_be_pickled(mount: Mount, echo: Any) -> None:
    session = pickle.loads(pickle.dumps(mount(pool_connections=3, pool_maxsize=4, max_retries=2, pool_block=True)))
    with session:
        assert session.get(echo.url + "/echo").ok
        adapter = session.get_adapter(echo.url)
        assert (adapter._pool_connections, adapter._pool_maxsize, adapter._pool_block) == (3, 4, True)
        assert adapter.max_retries.total == 2


def test_a_response_can_be_pickled(session: Any, echo: Any) -> None:
    got = session.get(echo.url + "/echo", stream=True)
    again = pickle.loads(pickle.dumps(got))
    assert (again.content, again.headers, again.status_code) == (got.content, got.headers, 200)


def test_close_closes_all(session: Any, echo: Any, no_leaks: None) -> None:
    session.get(echo.url + "/echo")
    session.get(echo.url.replace("127.0.0.1", "localhost") + "/echo")
    session.close()
    # And the adapter goes on working, as requests' does.
    assert session.get(echo.url + "/echo").ok
    session.close()


def test_more_origins_than_pools(mount: Mount, scripted: Any) -> None:
    session = mount(pool_connections=1)
    two = [
        scripted(default=[Recv(), Send(response(b"x", headers=[("Connection", "close")])), Close()]) for _ in range(2)
    ]
    for server in two * 2:
        assert session.get(server.url).content == b"x"


def test_a_pool_that_had_to_go_closes_its_connections(echo: Any, no_leaks: None) -> None:
    with session_on(WirepoolAdapter(pool_connections=1)) as session:
        for host in ("127.0.0.1", "localhost") * 2:
            session.get(echo.url.replace("127.0.0.1", host) + "/echo")
        adapter = session.get_adapter(echo.url)
        assert len(adapter._known) == len(adapter.poolmanager.pools) == 1


def test_threads_share_a_blocking_pool(mount: Mount, echo: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    session = mount(pool_maxsize=2, pool_block=True)
    before = echo.connections
    with ThreadPoolExecutor(8) as threads:
        bodies = list(threads.map(lambda n: session.get(f"{echo.url}/bytes/{n}").content, range(40)))
    assert [len(body) for body in bodies] == list(range(40))
    assert echo.connections - before <= 2


def test_a_replaced_send_of_requests_is_called(ours: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mocked = requests.Response()
    monkeypatch.setattr(HTTPAdapter, "send", lambda self, request, *args, **options: mocked)
    assert ours.get("http://nowhere.test/") is mocked


def test_hooks_and_authentication(session: Any, echo: Any) -> None:
    seen = []
    got = session.get(
        echo.url + "/echo", hooks={"response": lambda it, **options: seen.append(it.status_code)}, auth=("u", "p")
    )
    assert seen == [200]
    assert ["Authorization", "Basic dTpw"] in got.json()["headers"]
    assert isinstance(got.cookies, RequestsCookieJar)


def test_a_target_that_needs_a_second_look(session: Any, scripted: Any) -> None:
    targets = ["/a b", "/a/../b", "/%7Ex?%20", "/?", "?q=1", "/ä?ö", "//two", "/a?b?c", "/;p"]
    server = scripted(default=[RecvHead(), Send(response(b"", headers=[("Connection", "close")])), Close()])
    for target in targets:
        session.get(server.url + target)
    assert [request.target for request in server.requests] == [
        "/a%20b", "/b", "/~x?%20", "/", "/?q=1", "/%C3%A4?%C3%B6", "//two", "/a?b?c", "/;p",
    ]  # fmt: skip


# --- beside the alias, and without requests ---------------------------------------------------------------------------

ON_THE_ALIAS = """
import sys
import wirepool
wirepool.install_as_urllib3()
import requests, urllib3
from wirepool.contrib.requests import WirepoolAdapter

session = requests.Session()
session.mount("http://", WirepoolAdapter(max_retries=urllib3.Retry(1, status_forcelist=[500])))
got = session.get(sys.argv[1] + "/echo", timeout=urllib3.Timeout(5))
assert got.ok and got.raw._file is None and isinstance(got.raw, urllib3.HTTPResponse)
try:
    session.get("http://127.0.0.1:1/")
except requests.ConnectionError as error:
    assert type(error.args[0]) is urllib3.exceptions.MaxRetryError is wirepool.exceptions.MaxRetryError
session.close()
"""


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def test_with_the_alias_the_classes_coincide(echo: Any) -> None:
    done = run(ON_THE_ALIAS, echo.url)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "absent", ["sys.modules['requests'] = None", "del requests.adapters.HTTPAdapter.get_connection_with_tls_context"]
)
def test_without_requests_or_with_an_old_one(absent: str) -> None:
    done = run(f"import sys, requests.adapters\n{absent}\nimport wirepool.contrib.requests")
    assert "ImportError: wirepool.contrib.requests needs requests 2.32 or newer" in done.stderr
