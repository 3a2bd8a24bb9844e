"""OpenTelemetry's instrumentations of urllib3, requests and http.client: spans, metrics, and what is sent along."""

from __future__ import annotations

import itertools
import os
from contextlib import contextmanager

import requests
import urllib3
from observing import chain, main, scene, servers
from opentelemetry import trace
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.util.http.httplib import HttpClientInstrumentor

from servers.scripted import Close, Recv, ScriptedServer, Send, response

SERVERS = ("echo", "nginx", "certs")

TIMEOUT = 5
OURSELVES = {"User-Agent": "a program"}


class Counted(IdGenerator):
    """Ids that are the same in every run."""

    def __init__(self):
        self._numbers = itertools.count(1)

    def generate_span_id(self):
        return next(self._numbers)

    def generate_trace_id(self):
        return next(self._numbers)


class Telemetry:
    """What is exported."""

    def __init__(self):
        self._spans, self._metrics = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracing = TracerProvider(id_generator=Counted())
        self.tracing.add_span_processor(SimpleSpanProcessor(self._spans))
        self.metering = MeterProvider(metric_readers=[self._metrics])

    def spans(self):
        return [
            {
                "name": span.name,
                "kind": span.kind.name,
                "attributes": self._alike(span.attributes),
                "status": span.status.status_code.name,
                "events": [(event.name, event.attributes.get("exception.type")) for event in span.events],
                "parent": span.parent and span.parent.span_id,
                "id": span.context.span_id,
            }
            for span in self._spans.get_finished_spans()
        ]

    def metrics(self):
        """Names, attributes and counts; sums of sizes, but not of durations."""
        found, data = [], self._metrics.get_metrics_data()
        for resource in data.resource_metrics if data else []:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points = [
                        (self._alike(point.attributes), point.count, None if "duration" in metric.name else point.sum)
                        for point in metric.data.data_points
                    ]
                    found.append((metric.name, metric.unit, points))
        return found

    @staticmethod
    def _alike(attributes):
        return {name: "PORT" if name.endswith("port") else value for name, value in sorted(attributes.items())}


@contextmanager
def watched(*instrumentors, conventions="default", **options):
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = conventions
    # Read once in the life of a process, unless told otherwise.
    from opentelemetry.instrumentation._semconv import _OpenTelemetrySemanticConventionStability as Stability

    Stability._initialized = False
    telemetry = Telemetry()
    for instrumentor in instrumentors:
        instrumentor.instrument(
            tracer_provider=telemetry.tracing, meter_provider=telemetry.metering, skip_dep_check=True, **options
        )
    try:
        yield telemetry
    finally:
        for instrumentor in reversed(instrumentors):
            instrumentor.uninstrument()


def failure(call):
    try:
        call()
    except Exception as error:
        return chain(error)
    return "nothing"


def sent(answer):
    """The fields that the server got, of urllib3's response or of requests'."""
    return [pair for pair in answer.json()["headers"] if pair[0] not in ("Host", "Accept-Encoding", "Accept")]


# --- urllib3 ----------------------------------------------------------------------------------------------------------


def calls_of_urllib3():
    url = servers.echo.url
    manager = urllib3.PoolManager(headers=OURSELVES)
    return [
        sent(manager.request("GET", url + "/echo?q=1", timeout=TIMEOUT)),
        sent(manager.request("POST", url + "/echo", body=b"a body", timeout=TIMEOUT)),
        sent(manager.request("POST", url + "/echo", json={"a": 1}, timeout=TIMEOUT)),
        sent(manager.request("PUT", url + "/echo", headers={**OURSELVES, "X-Own": "1"}, timeout=TIMEOUT)),
        sent(manager.urlopen("GET", url + "/echo", timeout=TIMEOUT)),
        manager.request("GET", url + "/status/404", timeout=TIMEOUT).status,
        manager.request("GET", url + "/status/500", timeout=TIMEOUT).status,
        manager.request("GET", url + "/gzip", timeout=TIMEOUT, preload_content=False).read(decode_content=True),
        manager.request("GET", url + "/redirect?to=/bytes/3", timeout=TIMEOUT).data,
        manager.request("INVENTED", url + "/bytes/1", timeout=TIMEOUT).data,
    ]


@scene
def managers():
    with watched(URLLib3Instrumentor()) as telemetry:
        seen = calls_of_urllib3()
    return seen, telemetry.spans(), telemetry.metrics()


@scene
def managers_by_the_new_conventions():
    with watched(URLLib3Instrumentor(), conventions="http/dup") as telemetry:
        seen = calls_of_urllib3()
    return seen, telemetry.spans(), telemetry.metrics()


@scene
def pools():
    with watched(URLLib3Instrumentor()) as telemetry:
        with urllib3.connection_from_url(servers.echo.url, headers=OURSELVES, maxsize=1, block=True) as pool:
            seen = [
                sent(pool.request("GET", "/echo", timeout=TIMEOUT)),
                sent(pool.urlopen("GET", "/echo", headers=dict(OURSELVES), timeout=TIMEOUT)),
                sent(pool.urlopen("POST", "/echo", b"body", dict(OURSELVES), timeout=TIMEOUT)),
            ]
        with urllib3.HTTPSConnectionPool(
            "localhost", int(servers.nginx.https_url.rpartition(":")[2]), ca_certs=servers.certs.ca_file
        ) as pool:
            seen.append(pool.request("GET", "/json", timeout=TIMEOUT).status)
    return seen, telemetry.spans()


@scene
def retries_and_errors():
    retry = urllib3.Retry(3, status_forcelist=[503], backoff_factor=0)
    later = [Recv(), Send(response(b"", status=503, headers=[("Connection", "close")])), Close()]
    served = [Recv(), Send(response(b"ok")), Close()]
    with (
        watched(URLLib3Instrumentor()) as telemetry,
        ScriptedServer(later, served) as busy,
        ScriptedServer(default=[Recv(), Close()]) as closing,
    ):
        manager = urllib3.PoolManager(headers=OURSELVES)
        url = servers.echo.url
        seen = [
            manager.request("GET", busy.url, retries=retry, timeout=TIMEOUT).status,
            failure(lambda: manager.request("GET", closing.url, retries=2, timeout=TIMEOUT)),
            failure(lambda: manager.request("GET", closing.url, retries=False, timeout=TIMEOUT)),
            failure(lambda: manager.request("GET", "http://127.0.0.1:1/", retries=False, timeout=TIMEOUT)),
            failure(lambda: manager.request("GET", url + "/slow?delay=2", retries=False, timeout=0.1)),
        ]
    return seen, telemetry.spans()


@scene
def hooks_and_filters():
    told = []

    def on_request(span, pool, info):
        told.append([type(pool), info.method, info.url, list(info.headers), info.body])
        span.set_attribute("own", "1")

    def on_response(span, pool, response):
        told.append([type(pool), type(response), response.status, response.headers.get("Content-Length")])

    options = {
        "request_hook": on_request,
        "response_hook": on_response,
        "url_filter": lambda url: url.partition("?")[0],
        "excluded_urls": "/status",
        "captured_request_headers": ["x-own", "user-agent"],
        "captured_response_headers": ["content-type", "content-length"],
    }
    with watched(URLLib3Instrumentor(), **options) as telemetry:
        manager = urllib3.PoolManager(headers={**OURSELVES, "X-Own": "2"})
        manager.request("POST", servers.echo.url + "/bytes/3?secret=1", body=b"x", timeout=TIMEOUT)
        manager.request("GET", servers.echo.url + "/status/200", timeout=TIMEOUT)
    return told, telemetry.spans()


@scene
def on_and_off():
    """A pool that has connections when it is switched on, and goes on when it is switched off."""
    manager = urllib3.PoolManager(headers=OURSELVES, maxsize=1, block=True)
    url = servers.echo.url + "/echo"
    seen = [sent(manager.request("GET", url, timeout=TIMEOUT))]
    with watched(URLLib3Instrumentor()) as telemetry:
        seen.append(sent(manager.request("GET", url, timeout=TIMEOUT)))
    seen.append(sent(manager.request("GET", url, timeout=TIMEOUT)))
    return seen, telemetry.spans(), manager.connection_from_url(url).num_connections


# --- requests, and both -----------------------------------------------------------------------------------------------


def calls_of_requests():
    url = servers.echo.url
    with requests.Session() as session:
        session.headers = OURSELVES
        with session.get(url + "/chunked?n=3&size=10", stream=True, timeout=TIMEOUT) as got:
            pieces = list(got.iter_content(7))
        return [
            sent(session.get(url + "/echo?q=1", timeout=TIMEOUT)),
            sent(session.post(url + "/echo", data={"a": "1"}, timeout=TIMEOUT)),
            session.get(url + "/redirect?to=/bytes/3", timeout=TIMEOUT).content,
            session.get(url + "/status/503", timeout=TIMEOUT).status_code,
            session.get(servers.nginx.https_url + "/json", verify=servers.certs.ca_file, timeout=TIMEOUT).json(),
            pieces,
            failure(lambda: session.get("http://127.0.0.1:1/", timeout=TIMEOUT)),
            failure(lambda: session.get(url + "/slow?delay=2", timeout=0.1)),
        ]


@scene
def sessions():
    with watched(RequestsInstrumentor(), conventions="http") as telemetry:
        seen = calls_of_requests()
    return seen, telemetry.spans(), telemetry.metrics()


@scene
def sessions_over_pools():
    with watched(RequestsInstrumentor(), URLLib3Instrumentor()) as telemetry:
        seen = calls_of_requests()
    return seen, telemetry.spans()


@scene
def sessions_seen_from_below():
    with watched(URLLib3Instrumentor()) as telemetry:
        seen = calls_of_requests()
    return seen, telemetry.spans()


@scene
def within_a_span():
    with watched(URLLib3Instrumentor()) as telemetry:
        tracer = trace.get_tracer("program", tracer_provider=telemetry.tracing)
        with tracer.start_as_current_span("outer"):
            seen = sent(urllib3.request("GET", servers.echo.url + "/echo", headers=OURSELVES, timeout=TIMEOUT))
    return seen, telemetry.spans()


# --- http.client ------------------------------------------------------------------------------------------------------


@scene
def addresses():
    """Its patch of http.client finds out the address of the peer, of new connections and of reused ones."""
    with watched(HttpClientInstrumentor(), URLLib3Instrumentor(), RequestsInstrumentor()) as telemetry:
        manager = urllib3.PoolManager(headers=OURSELVES, ca_certs=servers.certs.ca_file)
        for _ in range(2):
            manager.request("GET", servers.echo.url + "/bytes/1", timeout=TIMEOUT)
            manager.request("POST", servers.echo.url + "/bytes/1", body=b"body", timeout=TIMEOUT)
            manager.request("GET", servers.nginx.https_url + "/json", timeout=TIMEOUT)
            requests.get(servers.echo.url + "/bytes/2", timeout=TIMEOUT)
    return telemetry.spans()


@scene
def addresses_on_a_pool_made_before():
    with urllib3.connection_from_url(servers.echo.url, headers=OURSELVES) as pool:
        pool.request("GET", "/bytes/1", timeout=TIMEOUT)
        with watched(HttpClientInstrumentor(), URLLib3Instrumentor()) as telemetry:
            pool.request("GET", "/bytes/1", timeout=TIMEOUT)
        pool.request("GET", "/bytes/1", timeout=TIMEOUT)
        return telemetry.spans(), pool.num_connections


@scene
def a_broken_answer():
    script = [Recv(), Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal"), Close()]
    with watched(URLLib3Instrumentor()) as telemetry, ScriptedServer(script) as server:
        seen = failure(lambda: urllib3.request("GET", server.url, retries=False, timeout=TIMEOUT))
    # The second is an IncompleteRead, of http.client or derived from that.
    return seen[0], telemetry.spans()


main()
