"""elastic-transport: its urllib3 node alone and under a Transport; TLS by CA and by fingerprint, retries, sniffing."""

from __future__ import annotations

import gzip
import hashlib
import json
import ssl
import time
import warnings
from importlib import metadata

import urllib3
from elastic_transport import NodeConfig, Transport, Urllib3HttpNode
from elastic_transport.client_utils import DEFAULT
from observing import chain, main, scene, servers

from servers.scripted import Close, Hold, Recv, Reset, ScriptedServer, Send, response

SERVERS = ("nginx", "certs")

TIMEOUT = 5
JSON = ("Content-Type", "application/json")


def answer(value, status=200, reason="OK", headers=()):
    return response(json.dumps(value).encode(), status=status, reason=reason, headers=[JSON, *headers])


def mirror(conn):
    """Answers with what came."""
    while True:
        request = conn.recv()
        body = request.body
        if request.header("content-encoding") == "gzip":
            body = gzip.decompress(body)
        fields = [pair for pair in request.headers if pair[0].lower() not in ("host", "content-length")]
        conn.send(answer({"line": request.line, "headers": fields, "body": body.decode()}))


def node(server, **more):
    return NodeConfig("http", "127.0.0.1", server.port, request_timeout=TIMEOUT, **more)


def secure(**more):
    port = int(servers.nginx.https_url.rpartition(":")[2])
    return NodeConfig("https", "localhost", port, request_timeout=TIMEOUT, **more)


def told(got):
    headers = {name: value for name, value in got.meta.headers.items() if name.lower() not in ("date", "server")}
    body = got.body if hasattr(got, "body") else got.raw_data
    return got.meta.status, got.meta.http_version, headers, body


# What tells how much is missing: an IncompleteRead of http.client, or of the class derived from it.
MISSING = {"urllib3.exceptions.IncompleteRead": "http.client.IncompleteRead"}


def failure(call):
    """What the call raises, with the errors that elastic-transport keeps of the library's."""
    try:
        return told(call())
    except Exception as error:
        kept = [[MISSING.get(name, name) for name in chain(each)] for each in getattr(error, "errors", ())]
        return chain(error), kept


# --- the node ---------------------------------------------------------------------------------------------------------


@scene
def node_calls():
    with ScriptedServer(default=mirror) as server:
        each = Urllib3HttpNode(node(server, path_prefix="/prefix", headers={"x-mine": "1"}))
        found = [
            told(each.perform_request("GET", "/a?b=c")),
            told(each.perform_request("POST", "/%C3%A4/_search?q=a b")),
            told(each.perform_request("PUT", "/doc", body=b'{"a": 1}', headers={"content-type": "application/json"})),
            told(each.perform_request("DELETE", "/doc", request_timeout=None)),
        ]
        each.close()
        return found, len(server.connections), each.pool.num_connections, each.pool.num_requests


@scene
def empty_answers():
    with ScriptedServer(
        [
            Recv(),
            Send(b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n"),
            Recv(),
            Send(b"HTTP/1.1 204 No Content\r\n\r\n"),
            Recv(),
            Send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"),
        ]
    ) as server:
        each = Urllib3HttpNode(node(server))
        return [told(each.perform_request(*what)) for what in (("HEAD", "/"), ("DELETE", "/x"), ("GET", "/y"))]


@scene
def compression():
    text = json.dumps({"hits": list(range(500))}).encode()
    coded = response(gzip.compress(text, mtime=0), headers=[JSON, ("Content-Encoding", "gzip")])
    with ScriptedServer([Recv(), Send(coded)], default=mirror) as server:
        each = Urllib3HttpNode(node(server, http_compress=True))
        received = told(each.perform_request("GET", "/"))
        each.pool.close()
        each = Urllib3HttpNode(node(server, http_compress=True))
        sent = told(each.perform_request("POST", "/_bulk", body=text, headers={"content-type": "application/json"}))
        return received, sent, [request.header("content-encoding") for request in server.requests]


@scene
def client_meta():
    pool_version = metadata.version("urllib3") == urllib3.__version__
    with ScriptedServer(default=mirror) as server:
        transport = Transport([node(server)], client_meta_service=("et", "9.4.2"))
        got = transport.perform_request("GET", "/")
    return pool_version, Urllib3HttpNode._CLIENT_META_HTTP_CLIENT, dict(got.body["headers"])["x-elastic-client-meta"]


# --- TLS --------------------------------------------------------------------------------------------------------------


def fingerprint_of(path, algorithm):
    with open(path) as file:
        der = ssl.PEM_cert_to_DER_cert(_first(file.read()))
    return hashlib.new(algorithm, der).hexdigest()


def _first(pem):
    end = "-----END CERTIFICATE-----"
    return pem[pem.index("-----BEGIN") : pem.index(end) + len(end)]


@scene
def tls():
    certs = servers.certs

    def get(path="/tls", **more):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            each = Urllib3HttpNode(secure(**more))
            found = failure(lambda: each.perform_request("GET", path))
            again = failure(lambda: each.perform_request("GET", path))
            each.close()
        return found, again == found, each.pool.num_connections, [warning.category for warning in seen]

    context = ssl.create_default_context(cafile=certs.ca_file)
    return {
        "ca": get(ca_certs=certs.ca_file),
        "other ca": get(ca_certs=certs.other_ca_file),
        "directory": get(ca_certs=certs.ca_directory),
        "default roots": get(),
        "context": get(ssl_context=context),
        "unverified": get(verify_certs=False),
        "unverified, quiet": get(verify_certs=False, ssl_show_warn=False),
        "name": get(ca_certs=certs.ca_file, ssl_assert_hostname="localhost"),
        "other name": get(ca_certs=certs.ca_file, ssl_assert_hostname="example.org"),
        "no name": get(ca_certs=certs.ca_file, ssl_assert_hostname=False),
        "minimum": get(ca_certs=certs.ca_file, ssl_version=ssl.TLSVersion.TLSv1_3),
        "big": get("/10mb", ca_certs=certs.ca_file)[0][0],
    }


@scene
def client_certificates():
    port = int(servers.nginx.client_url.rpartition(":")[2])
    ca = {"ca_certs": servers.certs.ca_file, "request_timeout": TIMEOUT}
    shown = {"client_cert": servers.certs.client_cert, "client_key": servers.certs.client_key}
    found = []
    for more in (shown, {}):
        each = Urllib3HttpNode(NodeConfig("https", "localhost", port, **ca, **more))
        status, _, _, body = told(each.perform_request("GET", "/tls"))
        found.append((status, body if status == 200 else None))
    return found


@scene
def fingerprints():
    certs = servers.certs
    found = {}
    for name, path in (("leaf", certs.server_cert), ("root", certs.ca_file), ("other root", certs.other_ca_file)):
        for algorithm in ("md5", "sha1", "sha256"):
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                each = Urllib3HttpNode(secure(ssl_assert_fingerprint=fingerprint_of(path, algorithm)))
                calls = [failure(lambda: each.perform_request("GET", "/json")) for _ in range(2)]  # noqa: B023
                each.close()
            found[f"{name} {algorithm}"] = calls, each.pool.num_connections, [str(warning.message) for warning in seen]
    return found


@scene
def fingerprints_with_the_chain_at_hand():
    """A root's fingerprint is found if the context has that root, so that there is a chain."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(servers.certs.ca_file)
    root = fingerprint_of(servers.certs.ca_file, "sha256")
    colons = ":".join(root[at : at + 2] for at in range(0, 64, 2)).upper()
    found = []
    for pin in (root, colons):
        each = Urllib3HttpNode(secure(ssl_context=context, ssl_assert_fingerprint=pin))
        found.append(failure(lambda: each.perform_request("GET", "/json")))  # noqa: B023
    return found, type(each.pool), each.pool.ConnectionCls


@scene
def bad_tls_options():
    wrong = (
        {"ssl_assert_fingerprint": "abc"},
        {"ssl_assert_fingerprint": "a" * 64, "ssl_assert_hostname": "x"},
        {"ca_certs": "/nowhere.pem"},
        {"client_cert": "/nowhere.pem"},
    )
    return [failure(lambda more=more: Urllib3HttpNode(secure(**more)).perform_request("GET", "/")) for more in wrong]


# --- errors -----------------------------------------------------------------------------------------------------------


BROKEN = {
    "nothing": [Recv(), Close()],
    "reset": [Recv(), Reset()],
    "garbage": [Recv(), Send(b"what is this?\r\n\r\n"), Close()],
    "short": [Recv(), Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal"), Close()],
    "coding": [Recv(), Send(response(b"no gzip", headers=[("Content-Encoding", "gzip")])), Close()],
}


@scene
def broken_answers():
    found = {}
    for name, script in BROKEN.items():
        with ScriptedServer(script) as server:
            found[name] = failure(lambda: Urllib3HttpNode(node(server)).perform_request("GET", "/"))
    return found


@scene
def time_outs():
    found = []
    for config, call in ((0.05, DEFAULT), (5, 0.05), (None, 0.05)):
        with ScriptedServer([Recv(), Hold()]) as server:
            each = Urllib3HttpNode(NodeConfig("http", "127.0.0.1", server.port, request_timeout=config))
            start = time.monotonic()
            found.append(failure(lambda: each.perform_request("GET", "/", request_timeout=call)))  # noqa: B023
            found.append(time.monotonic() - start < 1)
    return found


@scene
def refused_and_unknown():
    gone = Urllib3HttpNode(NodeConfig("http", "127.0.0.1", 1, request_timeout=TIMEOUT))
    wrong = failure(lambda: gone.perform_request("GET", "/", headers={"a": "b\r\nc: d"}))
    return failure(lambda: gone.perform_request("GET", "/")), wrong


# --- the transport ----------------------------------------------------------------------------------------------------


@scene
def retries():
    busy = answer({"error": "busy"}, 503, "Service Unavailable")
    good = answer({"ok": True})
    with ScriptedServer([Recv(), Send(busy), Recv(), Send(busy), Recv(), Send(good)]) as server:
        transport = Transport([node(server)], max_retries=3, dead_node_backoff_factor=0.001)
        recovered = told(transport.perform_request("GET", "/a"))
    with ScriptedServer([Recv(), Hold()], [Recv(), Send(good)]) as server:
        transport = Transport([node(server)], retry_on_timeout=True, dead_node_backoff_factor=0.001)
        after_time_out = told(transport.perform_request("GET", "/b", request_timeout=0.05))
    with ScriptedServer([Recv(), Close()], [Recv(), Send(good)]) as server:
        config = NodeConfig("http", "127.0.0.1", 1, request_timeout=TIMEOUT)
        in_order = {"randomize_nodes_in_pool": False, "dead_node_backoff_factor": 0.001}
        transport = Transport([config, node(server)], max_retries=3, **in_order)
        after_loss = told(transport.perform_request("GET", "/c"))
        requests = [request.line for request in server.requests]
    with ScriptedServer.always(busy) as server:
        transport = Transport([node(server)], max_retries=2, dead_node_backoff_factor=0.001)
        given_up = told(transport.perform_request("GET", "/d"))
        tries = len(server.requests)
    return recovered, after_time_out, after_loss, requests, given_up, tries


@scene
def sniffing():
    with ScriptedServer(default=mirror) as first, ScriptedServer(default=mirror) as second:
        transport = Transport(
            [node(first)],
            sniff_on_start=True,
            randomize_nodes_in_pool=False,
            sniff_callback=lambda transport, options: [node(first), node(second)],
        )
        lines = [transport.perform_request("GET", f"/{n}").body["line"] for n in range(4)]
        transport.close()
        return lines, len(first.requests), len(second.requests)


@scene
def formats():
    lines = b'{"a": 1}\n{"b": "\xc3\xa9"}\n'
    kinds = (
        ("application/x-ndjson", lines),
        ("text/plain; charset=utf-8", b"t\xc3\xa9xt"),
        ("application/json", b"[1]"),
    )
    found = []
    for kind, body in kinds:
        with ScriptedServer.always(response(body, headers=[("Content-Type", kind)])) as server:
            transport = Transport([node(server)])
            sent = {"content-type": "application/x-ndjson"}
            got = transport.perform_request("POST", "/_bulk", headers=sent, body=[{"index": {}}, {"a": "é"}])
            found.append((told(got), server.requests[0].body))
    return found


main()
