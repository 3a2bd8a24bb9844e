"""sentry-sdk: envelopes through its transport, and its patches of http.client: breadcrumbs, spans and trace headers."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import time

import sentry_sdk
import urllib3
from observing import chain, main, scene, servers
from sentry_sdk.integrations.stdlib import StdlibIntegration

from servers.scripted import Close, Hold, Recv, ScriptedServer, Send, chunked_response, response
from servers.tls import TLSServer

SERVERS = ("nginx", "certs", "squid")

TIMEOUT = 5


class Sentry:
    """A server that takes envelopes; ``answers`` are given first, then 200 for each."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def __call__(self, conn):
        while True:
            conn.recv()
            conn.send(self.answers.pop(0) if self.answers else response(b'{"id": "x"}'))


def items_of(request):
    """The items of an envelope as pairs of type and document."""
    body = gzip.decompress(request.body) if request.header("content-encoding") == "gzip" else request.body
    lines = body.split(b"\n")[1:]
    found = []
    while lines and lines[0]:
        head = json.loads(lines.pop(0))
        found.append((head["type"], json.loads(lines.pop(0)) if head.get("length") else None))
    return found


def received(server):
    return [item for request in server.requests for item in items_of(request)]


def init(server, url=None, **more):
    """Sentry's client for that server, with nothing patched unless ``integrations`` say so."""
    address = (url or server.url).replace("//", "//key@")
    given = {"default_integrations": False, "shutdown_timeout": TIMEOUT, "http_proxy": "", "https_proxy": "", **more}
    sentry_sdk.init(f"{address}/42", **given)
    sentry_sdk.get_isolation_scope().clear_breadcrumbs()


def flush():
    sentry_sdk.flush(TIMEOUT)


# --- the transport ----------------------------------------------------------------------------------------------------


def failing():
    try:
        raise LookupError("ü")
    except LookupError:
        sentry_sdk.capture_exception()


@scene
def envelopes():
    with ScriptedServer(default=Sentry()) as server:
        init(server, traces_sample_rate=1.0, release="1.0")
        failing()
        sentry_sdk.capture_message("hello")
        with sentry_sdk.start_transaction(name="t", op="test"), sentry_sdk.start_span(op="step", name="one"):
            pass
        flush()
        heads = [
            (request.line, sorted(name.lower() for name, _ in request.headers), request.header("content-encoding"))
            for request in server.requests
        ]
        found = [
            (
                kind,
                each.get("message"),
                (each.get("exception") or {}).get("values", [{}])[-1].get("value"),
                each.get("spans"),
            )
            for kind, each in received(server)
        ]
        told = [(kind, message, value, spans and len(spans)) for kind, message, value, spans in found]
        return told, heads, len(server.connections), type(sentry_sdk.get_client().transport._pool)


@scene
def answers():
    """What the transport does after each: how often it is asked, and what it keeps from sending."""
    busy = response(b"", status=429, reason="Slow", headers=[("Retry-After", "60")])
    limits = response(b"", headers=[("X-Sentry-Rate-Limits", "60:error:org, 30::org")])
    found = {}
    for name, answer in {
        "good": response(b"{}"),
        "429": busy,
        "429 without": response(b"", status=429, reason="Slow"),
        "date": response(b"", status=429, reason="Slow", headers=[("Retry-After", "Fri, 31 Dec 2100 23:59:59 GMT")]),
        "limits": limits,
        "500": response(b"oops", status=500, reason="No"),
        "413": response(b"", status=413, reason="Big"),
        "moved": response(b"", status=307, reason="Moved", headers=[("Location", "/elsewhere")]),
    }.items():
        with ScriptedServer(default=Sentry(answer)) as server:
            init(server)
            sentry_sdk.capture_message("one")
            flush()
            sentry_sdk.capture_message("two")
            flush()
            disabled = sentry_sdk.get_client().transport._disabled_until
            found[name] = [request.line for request in server.requests], sorted(map(str, disabled))
    return found


@scene
def lost():
    found = {}
    for name, script in {
        "nothing": [Recv(), Close()],
        "garbage": [Recv(), Send(b"what is this?\r\n\r\n"), Close()],
        "silence": [Recv(), Hold()],
    }.items():
        with ScriptedServer(default=script) as server:
            init(server)
            transport = sentry_sdk.get_client().transport
            transport._pool.connection_pool_kw["timeout"] = urllib3.Timeout(total=0.05)
            before = time.monotonic()
            try:
                transport._request("POST", sentry_sdk.transport.EndpointType.ENVELOPE, b"{}", {})
                caught = None
            except Exception as error:
                caught = chain(error)
            found[name] = caught, len(server.requests), time.monotonic() - before < 2
    return found


class Shown:
    """The certificate of the TLS server below."""

    @staticmethod
    def load_into(context):
        context.load_cert_chain(servers.certs.server_cert, servers.certs.server_key)


@scene
def options():
    """TLS, proxies, options of sockets, compression."""
    certs = servers.certs
    found = {}
    for name, more in {
        "ca": {"ca_certs": certs.ca_file},
        "other ca": {"ca_certs": certs.other_ca_file},
        "client": {"ca_certs": certs.ca_file, "cert_file": certs.client_cert, "key_file": certs.client_key},
        "proxy": {"ca_certs": certs.ca_file, "https_proxy": servers.squid.url},
        "keep-alive": {"ca_certs": certs.ca_file, "keep_alive": True},
        "sockets": {"ca_certs": certs.ca_file, "socket_options": [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]},
        "no compression": {"ca_certs": certs.ca_file, "_experiments": {"transport_compression_level": 0}},
        "many pools": {"ca_certs": certs.ca_file, "_experiments": {"transport_num_pools": 5}},
    }.items():
        client_ca = {"client_ca": certs.ca_file, "client_required": False}
        with TLSServer(default=Sentry(), certificate=Shown, **client_ca) as server:
            init(server, server.url.replace("127.0.0.1", "localhost"), **more)
            sentry_sdk.capture_message("secret")
            flush()
            manager = sentry_sdk.get_client().transport._pool
            kept = {
                key: value for key, value in manager.connection_pool_kw.items() if not key.endswith(("certs", "file"))
            }
            kinds = [kind for kind, _ in received(server)]
            shown = [conn.client_name for conn in server.connections][:1]
            found[name] = kinds, shown, type(manager), {key: str(value) for key, value in kept.items()}
    with ScriptedServer(default=Sentry()) as server:
        init(server, http_proxy=servers.squid.url, proxy_headers={"X-Mine": "1"})
        sentry_sdk.capture_message("by proxy")
        flush()
        found["http proxy"] = [
            (each.line, each.header("via") is not None, each.header("x-mine")) for each in server.requests
        ]
    return found


# --- http.client, patched ---------------------------------------------------------------------------------------------

PORTS = ("network.peer.port", "server.port")


def data_of(data):
    return {name: value for name, value in sorted(data.items()) if name not in PORTS and not name.startswith("thread.")}


def observed(calls, **more):
    """What Sentry learns of requests: headers at the server, breadcrumbs of the scope, spans of the transaction."""
    with ScriptedServer(default=Sentry()) as sentry:
        init(sentry, integrations=[StdlibIntegration()], traces_sample_rate=1.0, **more)
        with sentry_sdk.start_transaction(name="t") as transaction:
            results = calls()
        crumbs = [
            (crumb["type"], crumb["category"], crumb.get("level"), data_of(crumb["data"]))
            for crumb in sentry_sdk.get_isolation_scope()._breadcrumbs
        ]
        flush()
        documents = [document for kind, document in received(sentry) if kind == "transaction"]
        spans = [
            (span["op"], span["description"], span.get("status"), span.get("origin"), data_of(span.get("data", {})))
            for document in documents
            for span in document["spans"]
        ]
        sentry_sdk.get_client().close(timeout=0)
        return results, crumbs, spans, transaction.trace_id


def trace_headers(server, trace):
    return [
        (
            request.line,
            (request.header("sentry-trace") or "").startswith(trace),
            sorted((request.header("baggage") or "").replace(trace, "TRACE").split(",")),
            [name for name, _ in request.headers],
        )
        for request in server.requests
    ]


def compared(script, calls, **more):
    """The same with the headers that a server of that script got."""
    with ScriptedServer(default=script) as server:
        results, crumbs, spans, trace = observed(lambda: calls(server.url), **more)
        fixed = [
            (line, good, [item for item in baggage if "sample_rand" not in item], names)
            for line, good, baggage, names in trace_headers(server, trace)
        ]
        return results, crumbs, spans, fixed


def echoing(conn):
    while True:
        request = conn.recv()
        status = 404 if "nowhere" in request.target else 200
        conn.send(response(request.body or b"body", status=status, reason="No" if status == 404 else "OK"))


MANAGER_OF_BEFORE = urllib3.PoolManager(timeout=TIMEOUT)


@scene
def requests_made_before():
    """Connections that were idle when http.client was patched are of the patched kind afterwards."""
    with ScriptedServer(default=echoing) as server:
        before = MANAGER_OF_BEFORE.request("GET", server.url + "/before").status

        def calls():
            return MANAGER_OF_BEFORE.request("GET", server.url + "/after").status

        results, crumbs, spans, trace = observed(calls)
        names = [[name for name, _ in request.headers] for request in server.requests]
        return before, results, crumbs, spans, names, len(server.connections), len(trace)


@scene
def plain_requests():
    def calls(url):
        http = urllib3.PoolManager(timeout=TIMEOUT)
        return [
            http.request("GET", url + "/a?b=c#d").status,
            http.request("POST", url + "/form", fields={"a": "b"}, encode_multipart=False).data,
            http.request("PUT", url + "/raw", body=iter([b"one", b"two"])).status,
            http.request("GET", url + "/nowhere").status,
            http.request("HEAD", url + "/head", headers={"X-Mine": "1"}).status,
            http.request("GET", url + "/mine", headers={"sentry-trace": "mine", "baggage": "mine=1"}).status,
            urllib3.HTTPConnectionPool(url.partition("//")[2].partition(":")[0], int(url.rpartition(":")[2]))
            .urlopen("GET", "/pool")
            .status,
        ]

    return compared(echoing, calls)


@scene
def where_traces_go():
    return compared(
        echoing,
        lambda url: urllib3.request("GET", url + "/a", timeout=TIMEOUT).status,
        trace_propagation_targets=["elsewhere"],
    )


def repeating(answer):
    def serve(conn):
        while True:
            conn.recv()
            conn.send(answer)

    return serve


@scene
def streamed():
    """A span lasts until the body has been read, or given up."""
    chunks = [b"a" * 1000, b"b" * 1000]

    def calls(url):
        http = urllib3.PoolManager(timeout=TIMEOUT)
        found = []
        for end in ("read", "close", "drain"):
            got = http.request("GET", url + "/" + end, preload_content=False)
            open_ = [span.timestamp is None for span in _spans()]
            getattr(got, "drain_conn" if end == "drain" else end)()
            found.append((open_, [span.timestamp is None for span in _spans()]))
            got.release_conn()
        return found

    whole = compared(repeating(response(b"".join(chunks))), calls)
    return whole, compared(repeating(chunked_response(chunks)), calls)


def _spans():
    return [
        span for span in sentry_sdk.get_current_scope().transaction._span_recorder.spans if span.op == "http.client"
    ]


@scene
def failures_and_retries():
    def failing(url):
        http = urllib3.PoolManager(timeout=0.2)
        found = []
        for each in (url, "http://127.0.0.1:1/"):
            try:
                http.request("GET", each, retries=urllib3.Retry(1, backoff_factor=0))
                found.append("nothing")
            except Exception as error:
                found.append(chain(error))
        return found

    def patient(url):
        policy = urllib3.Retry(3, status_forcelist=[503])
        return urllib3.PoolManager(timeout=TIMEOUT).request("GET", url + "/x", retries=policy).data

    busy = response(b"busy", status=503, reason="Busy")
    moved = response(b"", status=302, reason="Found", headers=[("Location", "/there")])
    good = [Recv(), Send(busy), Recv(), Send(moved), Recv(), Send(response(b"good")), Hold()]
    return {
        "lost": compared([Recv(), Close()], failing),
        "garbage": compared([Recv(), Send(b"what is this?\r\n\r\n"), Close()], failing),
        "silence": compared([Recv(), Hold()], failing),
        "short": compared([Recv(), Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal"), Close()], failing),
        "recovered": compared(good, patient),
    }


@scene
def secure_and_by_proxy():
    certs, squid = servers.certs, servers.squid

    def calls():
        ca = {"ca_certs": certs.ca_file, "timeout": TIMEOUT}
        return [
            urllib3.PoolManager(**ca).request("GET", servers.nginx.https_url + "/json").status,
            urllib3.ProxyManager(squid.url, **ca).request("GET", servers.nginx.https_url + "/json").status,
            urllib3.ProxyManager(squid.url, **ca).request("GET", servers.nginx.url + "/json").status,
        ]

    return observed(calls)[:3]


@scene
def spans_that_are_streamed():
    with ScriptedServer(default=Sentry()) as sentry, ScriptedServer(default=echoing) as server:
        init(
            sentry,
            integrations=[StdlibIntegration()],
            traces_sample_rate=1.0,
            _experiments={"trace_lifecycle": "stream"},
        )
        with sentry_sdk.traces.start_span(name="outer"):
            status = urllib3.request("GET", server.url + "/a?b=c", timeout=TIMEOUT).status
        flush()
        kinds = [kind for kind, _ in received(sentry)]
        names = [[name for name, _ in request.headers] for request in server.requests]
        sentry_sdk.get_client().close(timeout=0)
        return status, kinds, names


@scene
def everything_that_is_on_by_default():
    logging.getLogger("urllib3").setLevel(logging.DEBUG)
    with ScriptedServer(default=Sentry()) as sentry, ScriptedServer(default=echoing) as server:
        init(sentry, default_integrations=True, auto_enabling_integrations=False)
        urllib3.request("GET", server.url + "/a", timeout=TIMEOUT)
        logging.getLogger("mine").warning("said")
        logging.getLogger("mine").error("failed")
        crumbs = [(crumb["type"], crumb["category"]) for crumb in sentry_sdk.get_isolation_scope()._breadcrumbs]
        flush()
        logged = [each["logentry"]["message"] for kind, each in received(sentry) if kind == "event"]
        sentry_sdk.get_client().close(timeout=0)
        return crumbs, logged


main()
