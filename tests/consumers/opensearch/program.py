"""opensearch-py: the client's calls, its bulk helpers, retries, credentials, compression and warnings, over urllib3."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import ssl
import warnings

from observing import chain, main, scene, servers
from opensearchpy import OpenSearch, Urllib3HttpConnection, helpers

from servers.scripted import Close, Hold, Recv, ScriptedServer, Send, response

SERVERS = ("nginx", "certs")

TIMEOUT = 5
JSON = ("Content-Type", "application/json; charset=UTF-8")

logging.getLogger("opensearch").setLevel(logging.CRITICAL)


def answer(value, status=200, reason="OK", headers=()):
    return response(json.dumps(value).encode(), status=status, reason=reason, headers=[JSON, *headers])


def content(request):
    coded = request.header("content-encoding") == "gzip"
    return (gzip.decompress(request.body) if coded else request.body).decode()


class Index:
    """As much of a server as the client's calls need; what it was asked is in ``requests`` of the scripted one."""

    def __init__(self):
        self.documents = {}

    def __call__(self, conn):
        while True:
            request = conn.recv()
            conn.send(self.answer_to(request, content(request)))

    def answer_to(self, request, body):
        path = request.target.partition("?")[0]
        if request.method == "HEAD":
            known = path == "/" or path.rpartition("/")[2] in self.documents
            status = b"200 OK" if known else b"404 Not Found"
            return b"HTTP/1.1 " + status + b"\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n"
        if path == "/_bulk" or path.endswith("/_bulk"):
            return self._bulk([json.loads(line) for line in body.splitlines()])
        if path.endswith("/_search") or path == "/_search/scroll":
            return self._search(first=path.endswith("_search"), method=request.method)
        if "/_doc/" in path:
            return self._document(request.method, path.rpartition("/")[2], body)
        if path == "/":
            return answer({"version": {"number": "3.2.0", "distribution": "opensearch"}, "cluster_name": "c"})
        return answer({"line": request.line, "body": body})

    def _bulk(self, lines):
        items = []
        while lines:
            ((action, meta),) = lines.pop(0).items()
            document = {} if action == "delete" else lines.pop(0)
            bad = document.get("bad")
            items.append({action: {"_id": meta.get("_id"), "status": 400 if bad else 201}})
            if bad:
                items[-1][action]["error"] = {"type": "mapper_parsing_exception"}
            self.documents[str(meta.get("_id"))] = document
        return answer(
            {"took": 1, "errors": any("error" in item for each in items for item in each.values()), "items": items}
        )

    def _search(self, first, method):
        if method == "DELETE":
            return answer({"succeeded": True})
        hits = [{"_id": str(n), "_source": {"n": n}} for n in range(10)] if first else []
        shards = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
        return answer({"_scroll_id": "s", "_shards": shards, "hits": {"total": {"value": 10}, "hits": hits}})

    def _document(self, method, name, body):
        if method == "PUT":
            self.documents[name] = json.loads(body)
            return answer({"_id": name, "result": "created"}, 201, "Created")
        if name not in self.documents:
            return answer({"_id": name, "found": False}, 404, "Not Found")
        if method == "DELETE":
            return answer({"_id": name, "result": "deleted", "found": self.documents.pop(name) is not None})
        return answer({"_id": name, "found": True, "_source": self.documents[name]})


def client(server, **more):
    return OpenSearch([{"host": "127.0.0.1", "port": server.port}], timeout=TIMEOUT, **more)


def failure(call):
    """What the call gives or raises, with the status and the error that opensearch-py passes on."""
    try:
        return call()
    except Exception as error:
        inner = [chain(each) for each in error.args if isinstance(each, Exception)]
        return chain(error), error.args[0] if inner else [str(each) for each in error.args], inner


# --- calls ------------------------------------------------------------------------------------------------------------


@scene
def documents():
    with ScriptedServer(default=Index()) as server, client(server) as search:
        found = [
            search.info()["version"],
            search.ping(),
            search.index(index="i", id="1", body={"a": "ä"}, refresh=True),
            search.get(index="i", id="1"),
            search.exists(index="i", id="1"),
            search.exists(index="i", id="2"),
            failure(lambda: search.get(index="i", id="2")),
            search.get(index="i", id="2", ignore=404),
            search.delete(index="i", id="1"),
            search.search(index="i", body={"query": {"match_all": {}}}, size=3)["hits"]["total"],
            search.indices.create(index="a b/ü", body={"settings": {}}),
            search.cluster.health(wait_for_status="yellow", request_timeout=3),
            search.transport.perform_request("POST", "/raw", params={"q": "ä&b"}, body={"x": [1, None]}),
        ]
        heads = [(request.line, request.headers[1:]) for request in server.requests]
        return found, heads, len(server.connections)


@scene
def bulk():
    actions = [{"_index": "i", "_id": n, "_source": {"n": n, "bad": n == 7}} for n in range(50)]
    with ScriptedServer(default=Index()) as server:
        search = client(server)
        whole = helpers.bulk(search, actions[:5])
        errors = failure(lambda: helpers.bulk(search, actions, chunk_size=10, raise_on_error=False))
        raised = failure(lambda: helpers.bulk(search, actions, chunk_size=10))
        streamed = [ok for ok, _ in helpers.streaming_bulk(search, actions, chunk_size=7, raise_on_error=False)]
        deletes = list(helpers.streaming_bulk(search, [{"_op_type": "delete", "_index": "i", "_id": 1}]))
        parallel = sorted(ok for ok, _ in helpers.parallel_bulk(search, actions[:5], thread_count=2, chunk_size=2))
        bodies = [request.body for request in server.requests[:3]]
    return whole, errors, raised[0] if isinstance(raised, tuple) else raised, streamed, deletes, parallel, bodies


@scene
def scan():
    with ScriptedServer(default=Index()) as server:
        hits = list(helpers.scan(client(server), index="i", query={"query": {"match_all": {}}}, size=10))
        return [hit["_id"] for hit in hits], [request.line for request in server.requests]


@scene
def credentials_and_headers():
    def sign(method, url, body):
        return {"X-Signed": f"{method} {len(body or b'')}"}

    found = {}
    for name, more in {
        "pair": {"http_auth": ("me", "pässword")},
        "text": {"http_auth": "me:secret"},
        "function": {"http_auth": sign},
        "headers": {"headers": {"X-Mine": "1"}, "opaque_id": "o"},
        "compression": {"http_compress": True},
    }.items():
        with ScriptedServer(default=Index()) as server:
            call = lambda: client(server, **more).index(index="i", id="1", body={"a": 1}, headers={"x-once": "2"})  # noqa: B023, E731
            found[name] = failure(call), [request.headers[1:] for request in server.requests]
            found[f"{name} body"] = [content(request) for request in server.requests]
    return found


@scene
def coded_answer():
    coded = gzip.compress(json.dumps({"hits": list(range(999))}).encode(), mtime=0)
    with ScriptedServer.always(response(coded, headers=[JSON, ("Content-Encoding", "gzip")])) as server:
        return client(server, http_compress=True).search(index="i")


@scene
def warnings_of_the_server():
    fields = [
        ("Warning", '299 OpenSearch-3.2.0-abc "one is deprecated" "Mon, 01 Jan 2026 00:00:00 GMT"'),
        ("Warning", '299 OpenSearch-3.2.0-abc "two is \\"deprecated\\""'),
    ]
    with ScriptedServer.always(answer({}, headers=fields)) as server, warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        client(server).indices.get(index="i")
    return [(warning.category, str(warning.message)) for warning in seen]


@scene
def surrogates():
    with ScriptedServer.always(response(b'{"a": "\xed\xa0\x80"}', headers=[JSON])) as server:
        got = client(server).transport.perform_request("GET", "/")
        return [hex(ord(char)) for char in got["a"]]


# --- errors and retries -----------------------------------------------------------------------------------------------


@scene
def statuses():
    found = {}
    for status in (400, 401, 403, 404, 409, 429, 500):
        error = {"error": {"type": "t", "reason": "r"}, "status": status}
        with ScriptedServer.always(answer(error, status, "No")) as server:
            found[status] = failure(lambda: client(server, max_retries=0).search(index="i"))
    return found


@scene
def retries():
    busy = answer({"error": "busy"}, 503, "Service Unavailable")
    good = answer({"ok": True})
    found = []
    with ScriptedServer([Recv(), Send(busy), Recv(), Send(busy), Recv(), Send(good)]) as server:
        found.append(failure(lambda: client(server, retry_backoff_factor=0).search(index="i")))
    with ScriptedServer([Recv(), Close()], [Recv(), Send(good)]) as server:
        found.append(failure(lambda: client(server).search(index="i")))
        found.append([request.line for request in server.requests])
    with ScriptedServer([Recv(), Hold()], [Recv(), Send(good)]) as server:
        call = lambda: client(server, retry_on_timeout=True).search(index="i", request_timeout=0.05)  # noqa: E731
        found.append(failure(call))
    with ScriptedServer(default=[Recv(), Hold()]) as server:
        found.append(failure(lambda: client(server, max_retries=1).search(index="i", request_timeout=0.05)))
    return found


@scene
def two_nodes():
    hosts = [{"host": "127.0.0.1", "port": 1}]
    with ScriptedServer(default=Index()) as server:
        hosts.append({"host": "127.0.0.1", "port": server.port})
        search = OpenSearch(hosts, timeout=TIMEOUT, randomize_hosts=False, max_retries=3)
        return [search.ping() for _ in range(3)], len(server.requests)


@scene
def broken_answers():
    # What tells how much is missing: an IncompleteRead of http.client, or of the class derived from it.
    missing = {"urllib3.exceptions.IncompleteRead": "http.client.IncompleteRead"}
    found = {}
    for name, script in {
        "nothing": [Recv(), Close()],
        "garbage": [Recv(), Send(b"what is this?\r\n\r\n"), Close()],
        "short": [Recv(), Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal"), Close()],
        "coding": [Recv(), Send(response(b"no gzip", headers=[("Content-Encoding", "gzip")])), Close()],
        "text": [Recv(), Send(response(b"not json", headers=[JSON])), Close()],
    }.items():
        with ScriptedServer(script) as server:
            names, status, _ = failure(lambda: client(server, max_retries=0).search(index="i"))
            found[name] = [missing.get(each, each) for each in names], status
    gone = OpenSearch([{"host": "127.0.0.1", "port": 1}], max_retries=0, timeout=TIMEOUT)
    return found, failure(gone.info)


# --- TLS --------------------------------------------------------------------------------------------------------------


@scene
def tls():
    certs, port = servers.certs, int(servers.nginx.https_url.rpartition(":")[2])
    with open(certs.server_cert) as file:
        pem = file.read()
    pem = pem[: pem.index("-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----")]
    pin = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()

    def get(host="localhost", **more):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            search = OpenSearch([{"host": host, "port": port}], use_ssl=True, max_retries=0, timeout=TIMEOUT, **more)
            found = [failure(lambda: search.transport.perform_request("GET", "/tls")) for _ in range(2)]
            pool = search.transport.get_connection().pool
        return found, pool.num_connections, [warning.category for warning in seen]

    ca = {"ca_certs": certs.ca_file}
    return {
        "ca": get(**ca),
        "other ca": get(ca_certs=certs.other_ca_file),
        "unverified": get(verify_certs=False),
        "unverified, quiet": get(verify_certs=False, ssl_show_warn=False),
        "context": get(ssl_context=ssl.create_default_context(cafile=certs.ca_file)),
        "context and options": get(ssl_context=ssl.create_default_context(cafile=certs.ca_file), verify_certs=True),
        "fingerprint": get(verify_certs=False, ssl_assert_fingerprint=pin, **ca),
        "other fingerprint": get(ssl_assert_fingerprint="0" * 64, **ca),
        "address": get("127.0.0.1", **ca),
        "hostname": get(ssl_assert_hostname="example.org", **ca),
        "no hostname": get(ssl_assert_hostname=False, **ca),
    }


# --- the connection class ---------------------------------------------------------------------------------------------


@scene
def connection_class():
    with ScriptedServer(default=Index()) as server:
        connection = Urllib3HttpConnection("127.0.0.1", server.port, pool_maxsize=3, timeout=TIMEOUT)
        status, headers, text = connection.perform_request("GET", "/x", params={"a": 1}, timeout=2, ignore=(404,))
        first = status, type(headers), dict(headers), text, connection.pool.pool.maxsize
        connection.close()
        again = connection.pool, connection.perform_request("HEAD", "/i/_doc/1", ignore=(404,))[0]
        return first, again, failure(lambda: connection.perform_request("GET", "/", headers={"a": "b\r\nc: d"}))


main()
