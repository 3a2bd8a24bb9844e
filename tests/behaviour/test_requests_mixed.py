"""``WirepoolAdapter`` where the parts of requests and urllib3 get between: requests' own ``send`` on our pools (as with
``responses``, which replaces it and lets requests pass), urllib3's pools in our adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests
import urllib3
from requests.adapters import HTTPAdapter

import wirepool
from behaviour.test_requests_adapter import closed_port, session_on
from servers.certs import Authority
from servers.scripted import Close, Hold, Recv, Send, chunked_response, response
from wirepool import _gear
from wirepool.contrib.requests import WirepoolAdapter

Mount = Callable[..., Any]
errors = requests.exceptions

LAST = [("Connection", "close")]
OK = [Recv(), Send(response(b"hello", headers=LAST)), Close()]

pytestmark = pytest.mark.usefixtures("no_environment")


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def ours(either_gear: None) -> Iterator[Any]:
    """A session on our adapter."""
    with session_on(WirepoolAdapter()) as it:
        yield it


@pytest.fixture(params=["fast", "compatible"])
def either_gear(request: pytest.FixtureRequest) -> Iterator[None]:
    with _gear.force("compatible" if request.param == "compatible" else None):
        yield


@pytest.fixture
def passed_on(monkeypatch: pytest.MonkeyPatch, either_gear: None) -> None:
    """Every request goes to what stands in the place of requests' send, which lets it pass: as with ``responses``."""
    send = HTTPAdapter.send
    monkeypatch.setattr(HTTPAdapter, "send", lambda adapter, *args, **options: send(adapter, *args, **options))


class OnUrllib3(WirepoolAdapter):
    """Makes its manager itself, as adapters on the net do."""

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        self.poolmanager = urllib3.PoolManager(num_pools=connections, maxsize=maxsize, block=block, **options)


@pytest.fixture(params=["their send", "their pools", "both"])
def mixed(request: pytest.FixtureRequest, either_gear: None) -> Iterator[Mount]:
    """``mixed(**options)``: a session on our adapter, and something of the others in it."""
    with ExitStack() as stack:
        if request.param != "their pools":
            request.getfixturevalue("passed_on")
        kind = WirepoolAdapter if request.param == "their send" else OnUrllib3
        yield lambda **options: stack.enter_context(session_on(kind(**options)))


@pytest.mark.parametrize("timeout", [None, 5, (5, 5), urllib3.Timeout(connect=5, read=5), wirepool.Timeout(total=5)])
def test_a_request_passed_on(mixed: Mount, scripted: Any, timeout: Any) -> None:
    server = scripted([Recv(), Send(response(b"one")), Recv(), Send(chunked_response([b"t", b"wo"])), Close()])
    session = mixed()
    got = session.get(server.url, timeout=timeout)
    assert (got.status_code, got.content) == (200, b"one")
    assert session.post(server.url, data=b"body", timeout=timeout, stream=True).content == b"two"
    assert len(server.connections) == 1
    assert server.requests[1].body == b"body"


def test_a_request_passed_on_by_tls(mixed: Mount, scripted_tls: Any, certs: Authority) -> None:
    server = scripted_tls(default=OK)
    session = mixed()
    assert session.get(server.url, verify=certs.ca_file).text == "hello"
    assert session.get(server.url, verify=certs.ca_file).text == "hello"
    with pytest.raises(errors.SSLError):
        session.get(server.url, verify=certs.stranger().ca_file)
    with pytest.warns(urllib3.exceptions.InsecureRequestWarning):
        session.get(server.url, verify=False)


def test_a_request_passed_on_through_a_proxy(mixed: Mount, scripted: Any, scripted_proxy: Any) -> None:
    server, proxy = scripted(OK), scripted_proxy()
    session = mixed()
    session.proxies = {"http": proxy.url}
    assert session.get(server.url).text == "hello"
    session.proxies = {"http": f"http://127.0.0.1:{closed_port()}"}
    with pytest.raises(errors.ProxyError):
        session.get(server.url)


def test_what_a_request_passed_on_raises(mixed: Mount, scripted: Any) -> None:
    session = mixed()
    with pytest.raises(errors.ConnectionError, match="refused"):
        session.get(f"http://127.0.0.1:{closed_port()}/")
    with pytest.raises(errors.ReadTimeout):
        session.get(scripted([Recv(), Hold()]).url, timeout=(5, 0.05))
    with pytest.raises(errors.ConnectionError):
        session.get(scripted([Recv(), Close()]).url)
    cut = session.get(scripted([Recv(), Send(response(b"x" * 9)[:-3]), Close()]).url, stream=True)
    with pytest.raises(errors.ChunkedEncodingError):
        _ = cut.content
    with pytest.raises(errors.InvalidURL):
        session.get("http://.example/")


class Counting(urllib3.Retry):
    increments = 0

    def increment(self, *args: Any, **options: Any) -> Any:
        Counting.increments += 1
        return super().increment(*args, **options)


class CountingOurs(wirepool.Retry):
    increments = 0

    def increment(self, *args: Any, **options: Any) -> Any:
        CountingOurs.increments += 1
        return super().increment(*args, **options)


@pytest.mark.parametrize("kind", [urllib3.Retry, wirepool.Retry, Counting, CountingOurs])
def test_retries_of_a_request_passed_on(mixed: Mount, scripted: Any, kind: Any) -> None:
    busy = [Recv(), Send(response(b"", status=503, reason="Busy", headers=LAST)), Close()]
    session = mixed(max_retries=kind(2, status_forcelist=[503]))
    kind.increments = 0
    server = scripted(busy, busy, OK)
    assert session.get(server.url).text == "hello"
    assert len(server.requests) == 3
    with pytest.raises(errors.RetryError, match="too many 503"):
        session.get(scripted(default=busy).url)
    if "Counting" in kind.__name__:
        assert kind.increments == 5


def test_limits_of_a_request_passed_on(mixed: Mount, scripted: Any) -> None:
    for limits in (urllib3.Timeout(total=0.1), wirepool.Timeout(connect=5, read=0.1)):
        with pytest.raises(errors.ReadTimeout):
            mixed().get(scripted([Recv(), Hold()]).url, timeout=limits)


def test_a_deadline_is_not_for_urllib3s_pools(scripted: Any) -> None:
    with session_on(OnUrllib3()) as session, pytest.raises(ValueError, match="deadline needs wirepool's pools"):
        session.get(scripted(OK).url, timeout=wirepool.Timeout(deadline=5))


def test_an_adapter_on_urllib3s_pools_runs_on_them(scripted: Any) -> None:
    with session_on(OnUrllib3()) as session:
        got = session.get(scripted(OK).url, stream=True)
        assert type(got.raw) is urllib3.HTTPResponse
        assert got.text == "hello"
        pool = session.get_adapter("http://").poolmanager.connection_from_url(got.url)
        assert isinstance(pool, urllib3.HTTPConnectionPool)
        assert type(pool).__name__ == "HTTPConnectionPool"


def test_raw_of_a_request_passed_on_raises_for_both(ours: Any, passed_on: None, scripted: Any) -> None:
    server = scripted([Recv(), Send(response(b"x" * 9)[:-3]), Close()])
    got = ours.get(server.url, stream=True)
    assert isinstance(got.raw, wirepool.HTTPResponse)
    with pytest.raises(urllib3.exceptions.ProtocolError) as caught:
        got.raw.read()
    assert isinstance(caught.value, wirepool.exceptions.ProtocolError)


def test_a_pools_replaced_urlopen_is_called(ours: Any, scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    urlopen = wirepool.HTTPConnectionPool.urlopen

    def replaced(pool: Any, *args: Any, **options: Any) -> Any:
        calls.append(args[0])
        return urlopen(pool, *args, **options)

    server = scripted(OK, OK)
    ours.get(server.url)
    monkeypatch.setattr(wirepool.HTTPConnectionPool, "urlopen", replaced)
    assert ours.get(server.url).text == "hello"
    assert calls == ["GET"]
