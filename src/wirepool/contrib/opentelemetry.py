"""Spans and metrics for OpenTelemetry, after its stable conventions for HTTP clients.

::

    from wirepool.contrib.opentelemetry import WirepoolInstrumentor

    WirepoolInstrumentor().instrument()           # every pool of this process, whether it exists already or not
    WirepoolInstrumentor().instrument(http)       # or one pool or manager

Each attempt is a span of kind CLIENT, named after its method, with the context injected into its header fields; what
follows a redirect or a failure is a span of its own with ``http.request.resend_count``. Nothing is patched: this is
built on :mod:`wirepool.hooks`. Needs opentelemetry-api (extra ``opentelemetry``); without an SDK it does nothing.

Sources: "Semantic conventions for HTTP spans" and "... HTTP metrics", 1.27 and later. Threading: shared.
"""

from __future__ import annotations

import functools
import os
import re
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

try:
    from opentelemetry import context as _context
    from opentelemetry import metrics, propagate, trace
except ImportError as error:
    raise ImportError(
        "wirepool.contrib.opentelemetry needs opentelemetry-api: pip install 'wirepool[opentelemetry]'",
        name="opentelemetry",
    ) from error

from wirepool import hooks
from wirepool._version import wirepool_version

if TYPE_CHECKING:
    from typing import Self

    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import Span, TracerProvider

    from wirepool.hooks import ConnectEvent, RequestEvent, ResponseEvent

    _Attributes = dict[str, str | int]

__all__ = ["WirepoolInstrumentor"]

_SCHEMA = "https://opentelemetry.io/schemas/1.27.0"

# The buckets that the conventions ask for; seconds.
_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_CONNECTION_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)

# RFC 9110 9.3 and RFC 5789; any other is "_OTHER", so that nobody can make up as many time series as he likes.
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})

_VERSIONS = {9: "0.9", 10: "1.0", 11: "1.1", 20: "2"}

# Parts of a query that are credentials, as the conventions list them.
_SECRETS = re.compile(r"(?<![^&])(AWSAccessKeyId|Signature|sig|X-Goog-Signature)=[^&]*")

_SUPPRESSING = tuple(
    key
    for name in ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY")
    if (key := getattr(_context, name, None)) is not None
) + ("suppress_instrumentation",)

_RequestHook = Callable[["Span", "RequestEvent"], object]
_ResponseHook = Callable[["Span", "ResponseEvent"], object]

_EVERYWHERE = "everywhere"


class WirepoolInstrumentor:
    """Switches spans and metrics on and off; there is one of it in a process, whoever makes it."""

    _only: WirepoolInstrumentor | None = None
    _active: weakref.WeakKeyDictionary[Any, _Instrumentation]
    _everywhere: _Instrumentation | None

    def __new__(cls) -> Self:
        if cls._only is None:
            cls._only = super().__new__(cls)
            cls._only._active = weakref.WeakKeyDictionary()
            cls._only._everywhere = None
        return cls._only  # type: ignore[return-value]

    @property
    def is_instrumented_by_opentelemetry(self) -> bool:
        """Whether all pools are instrumented."""
        return self._everywhere is not None

    def instrumentation_dependencies(self) -> tuple[str, ...]:
        """What has to be installed for this to make sense."""
        return ("wirepool",)

    def instrument(
        self,
        to: Any = None,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        request_hook: _RequestHook | None = None,
        response_hook: _ResponseHook | None = None,
        excluded_urls: str | Iterable[str] | None = None,
        **_: Any,
    ) -> None:
        """Begin. What is instrumented already stays as it is; an attempt is never recorded twice.

        :param to: a pool or a manager; None for all there are and will be.
        :param tracer_provider: the global one if not given, and so on.
        :param request_hook: called with the span and the :class:`~wirepool.hooks.RequestEvent` before each attempt.
        :param response_hook: called with the span and the :class:`~wirepool.hooks.ResponseEvent` after it, if the span
            is recorded.
        :param excluded_urls: regular expressions, searched for in whole URLs; text is split at commas. By default those
            of the environment: ``OTEL_PYTHON_WIREPOOL_EXCLUDED_URLS``, else ``OTEL_PYTHON_EXCLUDED_URLS``.
        :raises TypeError: ``to`` is neither a pool nor a manager of wirepool.

        Other keywords, which instrumentations of OpenTelemetry have, are ignored.
        """
        if (self._everywhere if to is None else self._active.get(to)) is not None:
            return
        made = _Instrumentation(
            trace.get_tracer(__name__, wirepool_version, tracer_provider, _SCHEMA),
            metrics.get_meter(__name__, wirepool_version, meter_provider, _SCHEMA),
            request_hook,
            response_hook,
            _exclusion(excluded_urls),
        )
        made.begin(to)
        if to is None:
            self._everywhere = made
        else:
            self._active[to] = made

    def uninstrument(self, to: Any = None, **_: Any) -> None:
        """Stop; attempts under way are still recorded.

        :param to: as for :meth:`instrument`. None ends what was begun for all, not what was begun for one.
        """
        if to is None:
            made, self._everywhere = self._everywhere, None
        else:
            made = self._active.pop(to, None)
        if made is not None:
            made.end()


class _Recorded(NamedTuple):
    """What is kept between the beginning and the end of an attempt."""

    span: Span
    context: Any
    shared: _Attributes
    """Attributes of the span that metrics have, too."""


class _Instrumentation:
    """The hooks, with what they write to."""

    def __init__(
        self,
        tracer: trace.Tracer,
        meter: metrics.Meter,
        request_hook: _RequestHook | None,
        response_hook: _ResponseHook | None,
        is_excluded: Callable[[str], object],
    ) -> None:
        self._tracer = tracer
        self._request_hook = request_hook
        self._response_hook = response_hook
        self._is_excluded = is_excluded
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_REQUEST_BUCKETS,
        )
        self._request_size = meter.create_histogram(
            "http.client.request.body.size", unit="By", description="Size of HTTP client request bodies."
        )
        self._response_size = meter.create_histogram(
            "http.client.response.body.size", unit="By", description="Size of HTTP client response bodies."
        )
        self._active = meter.create_up_down_counter(
            "http.client.active_requests", unit="{request}", description="Number of active HTTP requests."
        )
        self._connections = _Connections(meter)

    def begin(self, to: Any) -> None:
        self.end = hooks.add(
            to, on_request=self._on_request, on_response=self._on_response, on_connect=self._connections.opened
        )

    # ------------------------------------------------------------ an attempt

    def _on_request(self, event: RequestEvent) -> None:
        self._connections.tell_of_closed()
        if _recorded_in(event) is not None or _is_suppressed() or self._is_excluded(event.url):
            return
        shared = _shared_attributes(event)
        span = self._tracer.start_span(
            event.method if shared["http.request.method"] != "_OTHER" else "HTTP",
            kind=trace.SpanKind.CLIENT,
            attributes={**shared, **_attributes(event)},
        )
        context = trace.set_span_in_context(span)
        event.state[_Recorded] = self, _Recorded(span, context, shared)
        self._active.add(1, shared, context)
        propagate.inject(event.headers, context)
        if self._request_hook is not None:
            self._request_hook(span, event)

    def _on_response(self, event: ResponseEvent) -> None:
        recorded = _recorded_in(event.request, self)
        if recorded is None:
            return
        span, context, shared = recorded
        outcome = _outcome(event)
        self._active.add(-1, shared, context)
        self._duration.record(event.duration, {**shared, **outcome}, context)
        self._record_sizes(event, {**shared, **outcome}, context)
        try:
            if span.is_recording():
                self._describe(span, event, outcome)
        finally:
            span.end()

    def _record_sizes(self, event: ResponseEvent, attributes: _Attributes, context: Any) -> None:
        for instrument, size in (
            (self._request_size, event.request.body_length if event.request.body is not None else None),
            (self._response_size, event.body_length),
        ):
            if size is not None:
                instrument.record(size, attributes, context)

    def _describe(self, span: Span, event: ResponseEvent, outcome: _Attributes) -> None:
        span.set_attributes(outcome)
        if event.error is not None:
            span.record_exception(event.error)
        if "error.type" in outcome:
            span.set_status(trace.Status(trace.StatusCode.ERROR, None if event.error is None else str(event.error)))
        if self._response_hook is not None:
            self._response_hook(span, event)


def _recorded_in(event: RequestEvent, by: _Instrumentation | None = None) -> _Recorded | None:
    """What was recorded of an attempt, by whomever or by one of several."""
    owner, recorded = event.state.get(_Recorded, (None, None))
    return recorded if by is None or owner is by else None


def _is_suppressed() -> bool:
    return any(_context.get_value(key) for key in _SUPPRESSING)


def _shared_attributes(event: RequestEvent) -> _Attributes:
    attributes: _Attributes = {
        "http.request.method": event.method if event.method in _METHODS else "_OTHER",
        "server.address": event.host,
        "url.scheme": event.scheme,
    }
    if event.port is not None:
        attributes["server.port"] = event.port
    return attributes


def _attributes(event: RequestEvent) -> _Attributes:
    """Those of spans alone: too many values for metrics."""
    attributes: _Attributes = {"url.full": _redacted(event.url)}
    if event.method not in _METHODS:
        attributes["http.request.method_original"] = event.method
    if event.attempt > 1:
        attributes["http.request.resend_count"] = event.attempt - 1
    return attributes


def _outcome(event: ResponseEvent) -> _Attributes:
    response = event.response
    if response is None:
        return {"error.type": _name_of(event.error)}
    attributes: _Attributes = {"http.response.status_code": response.status}
    if response.version in _VERSIONS:
        attributes["network.protocol.version"] = _VERSIONS[response.version]
    if response.status >= 400:
        attributes["error.type"] = str(response.status)
    return attributes


def _name_of(error: BaseException | None) -> str:
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _redacted(url: str) -> str:
    """A URL without credentials and fragment."""
    if "@" not in url and "?" not in url and "#" not in url:
        return url
    parts = urlsplit(url)
    place = parts.netloc
    if "@" in place:
        user, _, host = place.rpartition("@")
        place = f"{'REDACTED:REDACTED' if ':' in user else 'REDACTED'}@{host}"
    return urlunsplit((parts.scheme, place, parts.path, _SECRETS.sub(r"\1=REDACTED", parts.query), ""))


def _exclusion(given: str | Iterable[str] | None) -> Callable[[str], object]:
    if given is None:
        everybodys = os.environ.get("OTEL_PYTHON_EXCLUDED_URLS", "")
        given = os.environ.get("OTEL_PYTHON_WIREPOOL_EXCLUDED_URLS", everybodys)
    patterns = [part.strip() for part in given.split(",")] if isinstance(given, str) else list(given)
    patterns = [pattern for pattern in patterns if pattern]
    return re.compile("|".join(patterns)).search if patterns else _nothing


def _nothing(url: str) -> None:
    """Excludes no URL."""


# ---------------------------------------------------------------- connections


class _Open(NamedTuple):
    """A connection as long as its socket lives."""

    pool: weakref.ref[Any]
    connection: weakref.ref[Any]
    attributes: _Attributes
    since: float


class _Connections:
    """Connections that were made while somebody was told, until their sockets are gone.

    A socket may go in the garbage collector, which may run inside an SDK that holds its locks. So nothing is recorded
    there: the end of a connection is noted, and recorded with the next request or connection.
    """

    def __init__(self, meter: metrics.Meter) -> None:
        self._open: dict[int, _Open] = {}
        self._closed: deque[tuple[float, _Attributes]] = deque()
        self._duration = meter.create_histogram(
            "http.client.connection.duration",
            unit="s",
            description="The duration of the successfully established outbound HTTP connections.",
            explicit_bucket_boundaries_advisory=_CONNECTION_BUCKETS,
        )
        meter.create_observable_up_down_counter(
            "http.client.open_connections",
            # The meter may outlive this object, and would keep it.
            callbacks=[functools.partial(_observe, weakref.ref(self))],
            unit="{connection}",
            description="Number of outbound HTTP connections that are currently active or idle on the client.",
        )

    def opened(self, event: ConnectEvent) -> None:
        """The hook for ``on_connect``."""
        self.tell_of_closed()
        sock = getattr(event.connection, "sock", None)
        if event.error is not None or sock is None or _is_suppressed():
            return
        opened = _Open(weakref.ref(event.pool), weakref.ref(event.connection), _place(event), perf_counter())
        try:
            weakref.finalize(sock, _gone, self._open, self._closed, id(opened)).atexit = False
        except TypeError:  # a class of somebody's that has no weak references
            return
        self._open[id(opened)] = opened

    def tell_of_closed(self) -> None:
        """Record the connections that were closed meanwhile."""
        while self._closed:
            try:
                seconds, attributes = self._closed.popleft()
            except IndexError:  # another thread was faster
                return
            self._duration.record(seconds, attributes)

    def observe(self) -> Iterator[Observation]:
        """How many are open now, by where they lead and whether they are idle."""
        counts: dict[tuple[tuple[str, str | int], ...], int] = {}
        idle = _Idle()
        for each in list(self._open.values()):
            state = "idle" if idle.has(each.pool(), each.connection()) else "active"
            key = (*each.attributes.items(), ("http.connection.state", state))
            counts[key] = counts.get(key, 0) + 1
        for key, count in counts.items():
            yield metrics.Observation(count, dict(key))


def _observe(of: weakref.ref[_Connections], options: CallbackOptions) -> Iterable[Observation]:
    connections = of()
    return () if connections is None else connections.observe()


def _gone(open_: dict[int, _Open], closed: deque[tuple[float, _Attributes]], number: int) -> None:
    """A socket is no more. May run in the garbage collector."""
    it = open_.pop(number, None)
    if it is not None:
        closed.append((perf_counter() - it.since, it.attributes))


class _Idle:
    """Which connections wait in their pools' queues; each queue is looked at once."""

    def __init__(self) -> None:
        self._by_pool: dict[int, set[int]] = {}

    def has(self, pool: Any, connection: Any) -> bool:
        """Whether a connection waits in its pool."""
        queue = getattr(pool, "pool", None)
        if queue is None:
            return False
        if id(pool) not in self._by_pool:
            self._by_pool[id(pool)] = {id(conn) for conn in list(queue.queue)}
        return id(connection) in self._by_pool[id(pool)]


def _place(event: ConnectEvent) -> _Attributes:
    host, port = event.tunnel or (event.host, event.port)
    attributes: _Attributes = {"server.address": host, "url.scheme": event.pool.scheme or "http"}
    if port is not None:
        attributes["server.port"] = port
    if isinstance(event.address, tuple) and event.address:
        attributes["network.peer.address"] = event.address[0]
    return attributes
