"""Spans and metrics as OpenTelemetry's conventions for HTTP clients want them, in both gears."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY, _SUPPRESS_INSTRUMENTATION_KEY
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from behaviour.talk import OK, answering, answering_once, idle_connections, is_fast
from behaviour.tls_talk import https_pool
from servers.certs import Authority
from servers.scripted import Close, Recv, ScriptedServer, chunked_response, response
from wirepool import HTTPConnectionPool, PoolManager, ProxyManager, Retry
from wirepool.contrib.opentelemetry import WirepoolInstrumentor, _redacted
from wirepool.exceptions import NewConnectionError

pytestmark = pytest.mark.usefixtures("gear")

Start = Callable[..., ScriptedServer]


class Telemetry:
    """An SDK that keeps everything in memory."""

    def __init__(self, **options: Any) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider(**options)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider([self._reader])

    def shutdown(self) -> None:
        self.tracers.shutdown()
        self.meters.shutdown()

    @property
    def providers(self) -> dict[str, Any]:
        return {"tracer_provider": self.tracers, "meter_provider": self.meters}

    @property
    def spans(self) -> list[Any]:
        """Those that have ended, in the order in which they began."""
        return sorted(self._spans.get_finished_spans(), key=lambda span: span.start_time or 0)

    def points(self, name: str) -> list[Any]:
        """The data points of one metric."""
        data = self._reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else [])
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def units(self) -> dict[str, str]:
        data = self._reader.get_metrics_data()
        assert data is not None
        return {m.name: m.unit for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics}


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    it = Telemetry()
    yield it
    it.shutdown()


@pytest.fixture
def instrumentor() -> Iterator[WirepoolInstrumentor]:
    it = WirepoolInstrumentor()
    assert not it.is_instrumented_by_opentelemetry
    yield it
    it.uninstrument()
    for target in list(it._active):
        it.uninstrument(target)


@pytest.fixture
def client(manager: PoolManager, instrumentor: WirepoolInstrumentor, telemetry: Telemetry) -> PoolManager:
    """A manager that is instrumented, and nothing else is."""
    instrumentor.instrument(manager, **telemetry.providers)
    return manager


# ---------------------------------------------------------------- spans


def test_a_span(client: PoolManager, scripted: Start, telemetry: Telemetry, gear: str) -> None:
    server = scripted(answering(OK))
    assert is_fast(client.request("GET", f"{server.url}/x?q=1#part")) == (gear == "fast")
    (span,) = telemetry.spans
    assert (span.name, span.kind, span.status.status_code) == ("GET", SpanKind.CLIENT, StatusCode.UNSET)
    assert dict(span.attributes) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
        "server.address": server.host,
        "server.port": server.port,
        "url.full": f"{server.url}/x?q=1",
        "url.scheme": "http",
    }
    assert span.instrumentation_scope.name == "wirepool.contrib.opentelemetry"
    assert span.instrumentation_scope.schema_url == "https://opentelemetry.io/schemas/1.27.0"


def test_over_tls(
    instrumentor: WirepoolInstrumentor, scripted_tls: Start, certs: Authority, telemetry: Telemetry, gear: str
) -> None:
    server = scripted_tls(default=answering(OK))
    with https_pool(server, ca_certs=certs.ca_file) as pool:
        instrumentor.instrument(pool, **telemetry.providers)
        assert is_fast(pool.request("GET", "/x")) == (gear == "fast")
        assert is_fast(pool.request("GET", "/y")) == (gear == "fast")
        (point,) = telemetry.points("http.client.open_connections")
        assert (point.attributes["url.scheme"], point.value) == ("https", 1)
    assert [span.attributes["url.full"] for span in telemetry.spans] == [
        f"https://{server.host}:{server.port}/{path}" for path in "xy"
    ]


def test_the_context_goes_along(client: PoolManager, scripted: Start, telemetry: Telemetry) -> None:
    server = scripted(answering(OK))
    given = {"A": "b", "TraceParent": "00-stale"}
    token = context.attach(baggage.set_baggage("user", "me"))
    with telemetry.tracers.get_tracer("test").start_as_current_span("outer") as outer:
        client.request("GET", server.url, headers=given)
        assert trace.get_current_span() is outer
    context.detach(token)
    inner = telemetry.spans[1]
    assert inner.parent.span_id == outer.get_span_context().span_id
    sent = server.requests[0]
    ids = inner.context
    assert sent.header("traceparent") == f"00-{ids.trace_id:032x}-{ids.span_id:016x}-{ids.trace_flags:02x}"
    assert ids.trace_flags.sampled
    assert sent.header("baggage") == "user=me"
    assert sent.header("a") == "b"
    assert given == {"A": "b", "TraceParent": "00-stale"}


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_what_the_server_refuses_is_an_error(
    client: PoolManager, scripted: Start, telemetry: Telemetry, status: int
) -> None:
    client.request("GET", scripted(answering(response(b"", status=status))).url)
    (span,) = telemetry.spans
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert span.attributes["error.type"] == str(status)
    (point,) = telemetry.points("http.client.request.duration")
    assert (point.attributes["error.type"], point.attributes["http.response.status_code"]) == (str(status), status)


def test_a_failure(client: PoolManager, telemetry: Telemetry) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = "http://{}:{}/".format(*nobody.getsockname())
        with pytest.raises(NewConnectionError) as raised:
            client.request("GET", url, retries=False)
    (span,) = telemetry.spans
    assert span.attributes["error.type"] == "wirepool.exceptions.NewConnectionError"
    assert "http.response.status_code" not in span.attributes
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, str(raised.value))
    assert [event.name for event in span.events] == ["exception"]
    assert telemetry.points("http.client.active_requests")[0].value == 0
    assert telemetry.points("http.client.open_connections") == []


def test_an_error_of_python_has_its_bare_name(client: PoolManager, scripted: Start, telemetry: Telemetry) -> None:
    with pytest.raises(ValueError):
        client.request("GET", scripted(answering(OK)).url, headers={"X": "a\nb"}, retries=False)
    assert telemetry.spans[0].attributes["error.type"] == "ValueError"


def test_each_attempt_is_a_span(client: PoolManager, scripted: Start, telemetry: Telemetry) -> None:
    there = scripted([Recv(), Close()], answering(response(b"", status=503), OK))
    here = scripted(answering(response(b"", status=302, headers=[("Location", f"{there.url}/2")])))
    client.request("GET", f"{here.url}/1", retries=Retry(5, status_forcelist=[503]))
    first, second, third, fourth = telemetry.spans
    assert [span.attributes.get("http.request.resend_count") for span in telemetry.spans] == [None, 1, 2, 3]
    assert [span.attributes.get("http.response.status_code") for span in telemetry.spans] == [302, None, 503, 200]
    assert first.attributes["url.full"] == f"{here.url}/1"
    assert {span.attributes["url.full"] for span in (second, third, fourth)} == {f"{there.url}/2"}
    assert second.attributes["error.type"].endswith(("RemoteDisconnected", "ConnectionResetError"))
    sent = [request.header("traceparent") for request in (*here.requests, *there.requests)]
    assert len(set(sent)) == 4


def test_a_streamed_response_ends_its_span_at_the_head(
    client: PoolManager, scripted: Start, telemetry: Telemetry
) -> None:
    answer = client.request("GET", scripted(answering(chunked_response([b"hello"]))).url, preload_content=False)
    assert len(telemetry.spans) == 1
    assert telemetry.points("http.client.response.body.size") == []
    assert answer.read() == b"hello"
    assert len(telemetry.spans) == 1


def test_methods_of_ones_own(client: PoolManager, scripted: Start, telemetry: Telemetry) -> None:
    client.request("PURGE", scripted(answering(OK)).url)
    (span,) = telemetry.spans
    assert span.name == "HTTP"
    assert span.attributes["http.request.method"] == "_OTHER"
    assert span.attributes["http.request.method_original"] == "PURGE"
    assert telemetry.points("http.client.request.duration")[0].attributes["http.request.method"] == "_OTHER"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h/p", "http://h/p"),
        ("http://me:secret@h:1/p?a=b", "http://REDACTED:REDACTED@h:1/p?a=b"),
        ("http://token@h/p#f", "http://REDACTED@h/p"),
        ("http://h/p?a=%20&sig=s&b=c&Signature=x", "http://h/p?a=%20&sig=REDACTED&b=c&Signature=REDACTED"),
        (
            "http://h/?X-Goog-Signature=1&AWSAccessKeyId=2",
            "http://h/?X-Goog-Signature=REDACTED&AWSAccessKeyId=REDACTED",
        ),
        ("http://h/?design=1", "http://h/?design=1"),
        ("http://[::1]:80/@", "http://[::1]:80/@"),
    ],
)
def test_urls_are_told_without_secrets(url: str, expected: str) -> None:
    assert _redacted(url) == expected


def test_through_a_proxy_the_origin_counts(
    instrumentor: WirepoolInstrumentor, scripted_proxy: Start, scripted: Start, telemetry: Telemetry
) -> None:
    proxy, server = scripted_proxy(), scripted(answering_once(OK))
    with ProxyManager(proxy.url) as manager:
        instrumentor.instrument(manager, **telemetry.providers)
        manager.request("GET", f"http://me:secret@{server.host}:{server.port}/x", retries=False)
    (span,) = telemetry.spans
    assert (span.attributes["server.address"], span.attributes["server.port"]) == (server.host, server.port)
    assert "secret" not in span.attributes["url.full"]


# ---------------------------------------------------------------- metrics


def test_units(client: PoolManager, scripted: Start, telemetry: Telemetry) -> None:
    with client:
        client.request("POST", scripted(answering(OK)).url, body=b"x", headers={"Connection": "close"})
    client.request("POST", scripted(answering(OK)).url, body=b"x")
    assert telemetry.units() == {
        "http.client.active_requests": "{request}",
        "http.client.connection.duration": "s",
        "http.client.open_connections": "{connection}",
        "http.client.request.body.size": "By",
        "http.client.request.duration": "s",
        "http.client.response.body.size": "By",
    }


def test_durations(client: PoolManager, scripted: Start, telemetry: Telemetry) -> None:
    server = scripted(answering(OK))
    for _ in range(3):
        client.request("GET", server.url)
    (point,) = telemetry.points("http.client.request.duration")
    assert (point.count, 0 < point.sum < 5) == (3, True)
    assert point.explicit_bounds == (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
    assert dict(point.attributes) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
        "server.address": server.host,
        "server.port": server.port,
        "url.scheme": "http",
    }


def test_sizes(client: PoolManager, scripted: Start, telemetry: Telemetry) -> None:
    server = scripted(answering(response(b"12345")))
    client.request("POST", server.url, body=b"abc")
    client.request("GET", server.url)
    assert [(point.count, point.sum) for point in telemetry.points("http.client.request.body.size")] == [(1, 3)]
    assert [(point.count, point.sum) for point in telemetry.points("http.client.response.body.size")] == [
        (1, 5),
        (1, 5),
    ]


def test_active_requests(client: PoolManager, scripted: Start, telemetry: Telemetry) -> None:
    seen: list[int] = []
    client.on_request = (*client.on_request, lambda _: seen.append(active()))

    def active() -> int:
        (point,) = telemetry.points("http.client.active_requests")
        assert set(point.attributes) == {"http.request.method", "server.address", "server.port", "url.scheme"}
        value: int = point.value
        return value

    client.request("GET", scripted(answering(OK)).url)
    assert (seen, active()) == ([1], 0)


def test_connections(client: PoolManager, scripted: Start, telemetry: Telemetry) -> None:
    server = scripted(answering(response(b"hello")), answering(OK))

    def states() -> dict[str, int]:
        points = telemetry.points("http.client.open_connections")
        assert all(point.attributes["network.peer.address"] == server.host for point in points)
        return {point.attributes["http.connection.state"]: point.value for point in points}

    answer = client.request("GET", server.url, preload_content=False)
    assert states() == {"active": 1}
    answer.read()
    assert states() == {"idle": 1}
    idle_connections(client.connection_from_url(server.url))[0].close()
    answer = None
    assert states() == {}
    assert telemetry.points("http.client.connection.duration") == []  # told with what comes next
    client.request("GET", server.url)
    (point,) = telemetry.points("http.client.connection.duration")
    assert (point.count, point.attributes["server.port"]) == (1, server.port)
    assert point.explicit_bounds[:3] == (0.01, 0.02, 0.05)
    assert states() == {"idle": 1}


# ---------------------------------------------------------------- on and off


def test_everything(instrumentor: WirepoolInstrumentor, scripted: Start, telemetry: Telemetry) -> None:
    server = scripted(default=answering(OK))
    with HTTPConnectionPool(server.host, server.port) as old, PoolManager() as manager:
        instrumentor.instrument(**telemetry.providers, skip_dep_check=True)
        assert WirepoolInstrumentor() is instrumentor
        assert instrumentor.is_instrumented_by_opentelemetry
        with HTTPConnectionPool(server.host, server.port) as new:
            for pool in (old, new):
                pool.request("GET", "/")
            manager.request("GET", server.url)
            assert len(telemetry.spans) == 3
            instrumentor.uninstrument()
            assert not instrumentor.is_instrumented_by_opentelemetry
            for pool in (old, new):
                pool.request("GET", "/")
            manager.request("GET", server.url)
            assert len(telemetry.spans) == 3
        assert old._hooks is None
    assert instrumentor.instrumentation_dependencies() == ("wirepool",)


def test_one_and_everything_do_not_tell_twice(
    client: PoolManager, instrumentor: WirepoolInstrumentor, scripted: Start, telemetry: Telemetry
) -> None:
    server = scripted(answering(OK))
    instrumentor.instrument(**telemetry.providers)
    instrumentor.instrument(**telemetry.providers)
    instrumentor.instrument(client, **telemetry.providers)
    client.request("GET", server.url)
    assert len(telemetry.spans) == 1
    instrumentor.uninstrument()
    client.request("GET", server.url)
    assert len(telemetry.spans) == 2
    instrumentor.uninstrument(client)
    instrumentor.uninstrument(client)
    client.request("GET", server.url)
    assert len(telemetry.spans) == 2
    assert client.on_request == ()


def test_what_is_neither_pool_nor_manager(instrumentor: WirepoolInstrumentor) -> None:
    with pytest.raises(TypeError, match="pools and managers"):
        instrumentor.instrument(str)
    assert len(instrumentor._active) == 0


@pytest.mark.parametrize(
    "key",
    [_SUPPRESS_INSTRUMENTATION_KEY, _SUPPRESS_HTTP_INSTRUMENTATION_KEY, "suppress_instrumentation"],
    ids=["all", "http", "all, by its old name"],  # the keys themselves are random
)
def test_suppression(client: PoolManager, scripted: Start, telemetry: Telemetry, key: str) -> None:
    server = scripted(answering(OK))
    token = context.attach(context.set_value(key, True))
    try:
        client.request("GET", server.url)
    finally:
        context.detach(token)
    assert telemetry.spans == []
    assert telemetry.points("http.client.request.duration") == []
    assert server.requests[0].header("traceparent") is None
    client.request("GET", server.url)
    assert len(telemetry.spans) == 1


@pytest.mark.parametrize("given", ["", "health,/ping$", ["health", "/ping$"], None])
def test_excluded_urls(
    manager: PoolManager,
    instrumentor: WirepoolInstrumentor,
    scripted: Start,
    telemetry: Telemetry,
    given: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_PYTHON_EXCLUDED_URLS", "everything")
    monkeypatch.setenv("OTEL_PYTHON_WIREPOOL_EXCLUDED_URLS", "health, /ping$")
    instrumentor.instrument(manager, excluded_urls=given, **telemetry.providers)
    url = scripted(answering(OK)).url
    for path in ("healthy", "ping", "pings"):
        manager.request("GET", f"{url}/{path}")
    told = [span.attributes["url.full"].rpartition("/")[2] for span in telemetry.spans]
    assert told == (["pings"] if given != "" else ["healthy", "ping", "pings"])


def test_hooks_for_spans(
    manager: PoolManager, instrumentor: WirepoolInstrumentor, scripted: Start, telemetry: Telemetry
) -> None:
    instrumentor.instrument(
        manager,
        request_hook=lambda span, event: span.set_attribute("asked", event.headers["X-Asked"]),
        response_hook=lambda span, event: span.set_attribute("told", event.headers["X-Told"]),
        **telemetry.providers,
    )
    server = scripted(answering(response(b"", headers=[("X-Told", "2")])))
    manager.request("GET", server.url, headers={"X-Asked": "1"})
    (span,) = telemetry.spans
    assert (span.attributes["asked"], span.attributes["told"]) == ("1", "2")


@pytest.mark.parametrize("which", ["request_hook", "response_hook"])
def test_a_span_ends_whatever_hooks_raise(
    manager: PoolManager, instrumentor: WirepoolInstrumentor, scripted: Start, telemetry: Telemetry, which: str
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("of the hook")

    instrumentor.instrument(manager, **{which: fails}, **telemetry.providers)
    with pytest.raises(RuntimeError, match="of the hook"):
        manager.request("GET", scripted(answering(OK)).url)
    assert len(telemetry.spans) == 1
    assert telemetry.points("http.client.active_requests")[0].value == 0


def test_what_is_not_sampled_still_hands_the_context_on(
    manager: PoolManager, instrumentor: WirepoolInstrumentor, scripted: Start
) -> None:
    telemetry = Telemetry(sampler=ALWAYS_OFF)
    called: list[Any] = []
    instrumentor.instrument(manager, response_hook=lambda *_: called.append(1), **telemetry.providers)
    server = scripted(answering(OK))
    manager.request("GET", server.url)
    assert (telemetry.spans, called) == ([], [])
    flags = int((server.requests[0].header("traceparent") or "")[-2:], 16)
    assert not flags & trace.TraceFlags.SAMPLED
    assert telemetry.points("http.client.request.duration")[0].count == 1
    telemetry.shutdown()


def test_without_an_sdk_nothing_happens(
    manager: PoolManager, instrumentor: WirepoolInstrumentor, scripted: Start
) -> None:
    instrumentor.instrument(manager)
    server = scripted(answering(OK))
    assert manager.request("GET", server.url).status == 200
    assert server.requests[0].header("traceparent") is None


def test_without_the_api_it_says_what_to_do() -> None:
    script = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "try:\n import wirepool.contrib.opentelemetry\nexcept ImportError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert "pip install 'wirepool[opentelemetry]'" in run.stdout
