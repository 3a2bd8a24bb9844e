"""The kubernetes client against a scripted API server: lists, changes, watches and their end, TLS, exec beside it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import threading
import time

import yaml
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient
from kubernetes.stream import stream
from observing import chain, main, scene, servers
from urllib3.exceptions import HTTPError

from servers.certs import Certificate
from servers.scripted import Close, Hold, Recv, ScriptedServer, Send, chunked_response, response
from servers.tls import TLSServer

SERVERS = ("certs", "squid")

TIMEOUT = 5
JSON = [("Content-Type", "application/json")]


def pod(name, version="1", **more):
    return {"metadata": {"name": name, "namespace": "default", "resourceVersion": version}, **more}


def answer(value, **options):
    return response(json.dumps(value).encode(), headers=JSON, **options)


def status(code, reason, message="no"):
    return {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}


LIST = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": [pod("a"), pod("ü", "2")]}
EVENTS = [
    {"type": kind, "object": {"kind": "Pod", **pod(name, version)}}
    for kind, name, version in (
        ("ADDED", "a", "8"),
        ("MODIFIED", "ü", "9"),
        ("BOOKMARK", "", "10"),
        ("DELETED", "a", "11"),
    )
]
LINES = [json.dumps(event).encode() + b"\n" for event in EVENTS]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def endless(conn):
    """Two events, each a chunk, and then nothing."""
    conn.recv()
    conn.send(HEAD + chunk(LINES[0]))
    conn.send(chunk(LINES[1]))
    conn.hold()


def ending(*chunks):
    return [Recv(), Send(HEAD + b"".join(map(chunk, chunks)) + b"0\r\n\r\n")]


def settings(url, **options):
    made = client.Configuration()
    made.host = url
    made.retries = False
    for name, value in options.items():
        setattr(made, name, value)
    return made


@contextlib.contextmanager
def core(*scripts, default=None, **options):
    """The core API at a scripted server, and that server."""
    with (
        ScriptedServer(*scripts, default=default) as server,
        client.ApiClient(settings(server.url, **options)) as api,
    ):
        yield client.CoreV1Api(api), server


def chained(error):
    """Without what tells how much of a body is missing, which is of another class."""
    return [name for name in chain(error) if not name.endswith(".IncompleteRead")]


def failures(*calls):
    found = []
    for call in calls:
        try:
            call()
            found.append("nothing")
        except ApiException as error:
            found.append([type(error), error.status, error.reason, error.body, dict(error.headers or {})])
        except Exception as error:
            found.append(chained(error))
    return found


# --- plain calls ------------------------------------------------------------------------------------------------------


@scene
def lists():
    with core(
        [Recv(), Send(answer(LIST)), Recv(), Send(chunked_response([json.dumps(LIST).encode()], headers=JSON))]
    ) as (
        api,
        server,
    ):
        first = api.list_namespaced_pod("default", label_selector="app in (a, ü)", limit=2, _request_timeout=TIMEOUT)
        second = api.list_pod_for_all_namespaces(_request_timeout=(1, TIMEOUT))
        asked = [[request.line, request.header("Accept"), request.header("User-Agent")] for request in server.requests]
        names = [[item.metadata.name for item in each.items] for each in (first, second)]
        return names, first.metadata.resource_version, asked, len(server.connections)


@scene
def changes():
    made = answer(pod("new"), status=201, reason="Created")
    gone = answer(pod("new", "4"))
    script = [
        step for each in (made, answer(pod("new", "2")), answer(pod("new", "3")), gone) for step in (Recv(), Send(each))
    ]
    with core(script) as (api, server):
        body = client.V1Pod(metadata=client.V1ObjectMeta(name="new", labels={"a": "ü"}))
        created, code, fields = api.create_namespaced_pod_with_http_info("default", body)[:3]
        patched = api.patch_namespaced_pod("new", "default", {"metadata": {"labels": {"a": None}}})
        replaced = api.replace_namespaced_pod("new", "default", body)
        deleted = api.delete_namespaced_pod("new", "default", grace_period_seconds=0)
        sent = [
            [request.method, request.header("Content-Type"), json.loads(request.body or "null")]
            for request in server.requests
        ]
        versions = [each.metadata.resource_version for each in (created, patched, replaced)]
        return code, sorted(fields), versions, deleted.metadata.name, sent, len(server.connections)


@scene
def unread():
    with core([Recv(), Send(answer(LIST)), Recv(), Send(answer(LIST))]) as (api, server):
        raw = api.list_namespaced_pod("default", _preload_content=False)
        told = [
            raw.status,
            raw.reason,
            raw.headers.get("content-type"),
            raw.read(9),
            raw.tell(),
            raw.connection is not None,
        ]
        rest = len(raw.data), len(raw.read()), raw.closed, raw.connection is None
        raw.release_conn()
        thread = api.list_namespaced_pod("default", async_req=True)
        return told, rest, len(thread.get(TIMEOUT).items), len(server.connections)


@scene
def errors():
    missing = answer(status(404, "NotFound"), status=404, reason="Not Found")
    conflict = answer(status(409, "Conflict"), status=409, reason="Conflict")
    broken = response(b"<html>", status=500, reason="Oops", headers=[("X-Thing", "1")])
    refused = answer(status(401, "Unauthorized"), status=401, reason="Unauthorized")
    script = [step for each in (missing, conflict, broken, refused) for step in (Recv(), Send(each))]
    with core(script, default=[Recv(), Hold()]) as (api, server):
        first = failures(
            lambda: api.read_namespaced_pod("none", "default"),
            lambda: api.create_namespaced_pod("default", client.V1Pod()),
            lambda: api.list_namespace(),
            lambda: api.list_namespace(),
        )
        connections = len(server.connections)
    with core(default=[Recv(), Hold()]) as (api, _):
        second = failures(
            lambda: api.list_namespace(_request_timeout=0.05),
            lambda: api.list_namespace(_request_timeout=(TIMEOUT, 0.05)),
            lambda: api.read_namespaced_pod(None, "default"),
        )
    with client.ApiClient(settings("http://127.0.0.1:1")) as none:
        third = failures(client.CoreV1Api(none).list_namespace)
    with core([Recv(), Close()], [Recv(), Send(b"what?\r\n\r\n"), Close()]) as (api, _):
        return first, connections, second, third, failures(api.list_namespace, api.list_namespace)


@scene
def retries():
    busy = [Recv(), Send(response(b"", status=503, headers=[("Retry-After", "0"), ("Connection", "close")])), Close()]
    gone = [Recv(), Close()]
    with core(busy, gone, [Recv(), Send(answer(LIST))], retries=3) as (api, server):
        return len(api.list_namespaced_pod("default").items), len(server.requests)


# --- watches ----------------------------------------------------------------------------------------------------------


def told(event):
    made = event["object"]
    kept = made.metadata.name if hasattr(made, "metadata") else made
    return event["type"], kept, event["raw_object"]["metadata"]["resourceVersion"]


@scene
def watching():
    split = b"".join(LINES)
    scripts = {
        "a chunk each": ending(*LINES),
        "in one chunk": ending(split),
        "in pieces": ending(*(split[start : start + 37] for start in range(0, len(split), 37))),
        "without chunks": [Recv(), Send(response(split, headers=JSON))],
        "nothing": ending(),
    }
    found = {}
    for name, script in scripts.items():
        with core(script) as (api, server):
            watcher = watch.Watch()
            events = [told(each) for each in watcher.stream(api.list_namespaced_pod, "default", timeout_seconds=1)]
            found[name] = events, watcher.resource_version, server.requests[0].target
    return found


@scene
def watches_go_on():
    """The server ends each watch; the next begins where it was, on the same connection."""
    with core([*ending(*LINES[:2]), *ending(LINES[3])]) as (api, server):
        watcher, events = watch.Watch(), []
        for event in watcher.stream(api.list_namespaced_pod, "default", resource_version="7"):
            events.append(told(event))
            if len(events) == 3:
                watcher.stop()
        return events, [request.target for request in server.requests], len(server.connections)


@scene
def events_come_at_once():
    """Each event is there as soon as its chunk is: the server waits for the reader."""
    seen = threading.Semaphore(0)

    def serve(conn):
        conn.recv()
        conn.send(HEAD)
        for line in LINES:
            conn.send(chunk(line))
            seen.acquire(timeout=TIMEOUT)
        conn.send(b"0\r\n\r\n")

    with core(serve) as (api, _):
        start, events = time.monotonic(), []
        for event in watch.Watch().stream(api.list_namespaced_pod, "default", timeout_seconds=9):
            events.append(told(event))
            seen.release()
        return events, time.monotonic() - start < TIMEOUT


@scene
def watches_that_fail():
    gone = json.dumps({"type": "ERROR", "object": status(410, "Expired")}).encode() + b"\n"
    wrong = json.dumps({"type": "ERROR", "object": status(500, "Broken")}).encode() + b"\n"
    cut = [Recv(), Send(HEAD + chunk(LINES[0]) + b"ff\r\n{"), Close()]
    silent = [Recv(), Send(HEAD + chunk(LINES[0])), Hold()]

    def follow(*scripts, **options):
        """Whether the next watch is on the same connection depends on whether the end of this one was there already."""
        found, to_do = [], iter(scripts)

        def serve(conn):
            while True:
                conn.recv()
                _, *answer = next(to_do)
                conn.run(answer)
                if isinstance(answer[-1], Close):
                    return

        with core(default=serve) as (api, server):
            try:
                for event in watch.Watch().stream(api.list_namespaced_pod, "default", **options):
                    found.append(told(event))
            except Exception as error:
                found.append([chained(error), isinstance(error, HTTPError), getattr(error, "status", None)])
            return found, len(server.requests)

    return {
        "expired twice": follow(ending(gone), ending(gone), resource_version="1"),
        "expired once": follow(ending(gone), ending(wrong), resource_version="1"),
        "cut": follow(cut, timeout_seconds=1),
        "silent": follow(silent, _request_timeout=0.05),
        "refused": follow([Recv(), Send(answer(status(403, "Forbidden"), status=403, reason="Forbidden"))]),
    }


@scene
def stopped_by_another_thread():
    found = []
    for tls in (False, True):
        with contextlib.ExitStack() as stack:
            if tls:
                own = Certificate(servers.certs.server_cert, servers.certs.server_key)
                server = stack.enter_context(TLSServer(endless, certificate=own))
                made = settings(f"https://localhost:{server.port}", ssl_ca_cert=servers.certs.ca_file)
            else:
                made = settings(stack.enter_context(ScriptedServer(endless)).url)
            api = client.CoreV1Api(stack.enter_context(client.ApiClient(made)))
            found.append(stopped(api))
    return found


def stopped(api):
    watcher, events, ready, ended = watch.Watch(), [], threading.Event(), []

    def follow():
        try:
            for event in watcher.stream(api.list_namespaced_pod, "default"):
                events.append(told(event))
                if len(events) == 2:
                    ready.set()
        except Exception as error:
            ended.append(isinstance(error, HTTPError))

    thread = threading.Thread(target=follow)
    thread.start()
    ready.wait(TIMEOUT)
    watcher.stop()
    thread.join(TIMEOUT)
    return events, thread.is_alive(), ended


@scene
def shut_down_by_hand():
    """As programs did before the client could: by the socket, or by the response."""
    ways = {
        "socket": lambda raw: raw.connection.sock.shutdown(socket.SHUT_RDWR),
        "response": lambda raw: raw.shutdown(),
    }
    found = {}
    for name, way in ways.items():
        with core(endless) as (api, _):
            raw = api.list_namespaced_pod("default", watch=True, _preload_content=False)
            parts = raw.stream(amt=None, decode_content=False)
            seen = [next(parts), next(parts), type(raw.connection.sock)]
            timer = threading.Timer(0.05, way, (raw,))
            timer.start()
            seen.append(failures(lambda parts=parts: next(parts)))
            timer.join()
            raw.close()
            raw.release_conn()
            found[name] = seen, raw.closed, raw.connection is None
    return found


@scene
def logs():
    text = [b"line one\n", b"line ", b"two\n\nthree"]
    script = [Recv(), Send(chunked_response(text, headers=[("Content-Type", "text/plain")]))] * 3
    with core(script) as (api, server):
        whole = api.read_namespaced_pod_log("a", "default")
        followed = list(watch.Watch().stream(api.read_namespaced_pod_log, "a", "default"))
        raw = api.read_namespaced_pod_log("a", "default", follow=True, _preload_content=False)
        parts = list(raw.stream())
        return whole, followed, parts, raw.closed, len(server.connections)


# --- TLS, proxies, configuration --------------------------------------------------------------------------------------


@contextlib.contextmanager
def tls_server(**options):
    own = Certificate(servers.certs.server_cert, servers.certs.server_key)
    more = {"client_ca": servers.certs.ca_file, "client_required": False, **options}
    with TLSServer(default=[Recv(), Send(answer(LIST)), Recv(), Send(answer(LIST))], certificate=own, **more) as server:
        yield server, f"https://localhost:{server.port}"


@scene
def tls():
    certs = servers.certs
    pair = {"cert_file": certs.client_cert, "key_file": certs.client_key}
    with open(certs.ca_file) as file:
        text = file.read()
    ways = {
        "trusted": {"ssl_ca_cert": certs.ca_file},
        "with a client certificate": {"ssl_ca_cert": certs.ca_file, **pair},
        "authority as text": {"ca_cert_data": text},
        "another authority": {"ssl_ca_cert": certs.other_ca_file},
        "unverified": {"verify_ssl": False},
        "another name": {"ssl_ca_cert": certs.ca_file, "assert_hostname": "other"},
        "any name": {"ssl_ca_cert": certs.ca_file, "assert_hostname": False},
        "named": {"ssl_ca_cert": certs.ca_file, "tls_server_name": "localhost"},
    }
    found = {}
    for name, options in ways.items():
        with tls_server() as (server, url):
            host = url.replace("localhost", "127.0.0.1") if name == "named" else url
            with client.ApiClient(settings(host, **options)) as made:
                api = client.CoreV1Api(made)
                seen = failures(api.list_namespace, api.list_namespace)
            names = [[connection.client_name, connection.sni] for connection in server.connections]
            found[name] = seen, names if seen[0] == "nothing" else None
    return found


@scene
def proxies():
    with tls_server() as (server, url), ScriptedServer.always(answer(LIST)) as plain:
        seen = []
        for host in (url, plain.url):
            with client.ApiClient(settings(host, ssl_ca_cert=servers.certs.ca_file, proxy=servers.squid.url)) as made:
                seen.append(len(client.CoreV1Api(made).list_pod_for_all_namespaces().items))
        with client.ApiClient(settings(url, proxy="http://127.0.0.1:1")) as made:
            seen.append(failures(client.CoreV1Api(made).list_namespace))
        return seen, len(server.requests), bool(plain.requests[0].header("Via"))


@scene
def from_a_file():
    certs = servers.certs
    with tls_server(client_required=True) as (server, url):
        document = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": url, "certificate-authority": certs.ca_file}}],
            "users": [{"name": "u", "user": {"client-certificate": certs.client_cert, "client-key": certs.client_key}}],
        }
        path = os.path.join(os.environ["TMPDIR"], "config.yaml")
        with open(path, "w") as file:
            yaml.safe_dump(document, file)
        with config.new_client_from_config(path) as made:
            items = client.CoreV1Api(made).list_pod_for_all_namespaces().items
        return [item.metadata.name for item in items], [connection.client_name for connection in server.connections]


@scene
def dynamic():
    answers = {
        "/version": {"major": "1", "minor": "33"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "groups": []},
        "/api/v1": {
            "kind": "APIResourceList",
            "groupVersion": "v1",
            "resources": [
                {
                    "name": "pods",
                    "kind": "Pod",
                    "singularName": "pod",
                    "namespaced": True,
                    "verbs": ["get", "list", "watch"],
                }
            ],
        },
        "/api/v1/namespaces/default/pods": LIST,
    }

    def serve(conn):
        while True:
            request = conn.recv()
            path = request.target.partition("?")[0]
            if "watch=true" in request.target.lower():
                conn.send(HEAD + b"".join(map(chunk, LINES)) + b"0\r\n\r\n")
            else:
                conn.send(answer(answers[path]))

    with ScriptedServer(default=serve) as server, client.ApiClient(settings(server.url)) as made:
        dynamic = DynamicClient(made, cache_file=os.path.join(os.environ["TMPDIR"], "discovered"))
        pods = dynamic.resources.get(api_version="v1", kind="Pod")
        items = [item.metadata.name for item in pods.get(namespace="default").items]
        events = [each["type"] for each in pods.watch(namespace="default", timeout=1)]
        return (
            items,
            events,
            [re.sub(r"\?.*", "", request.target) for request in server.requests],
            len(server.connections),
        )


@scene
def exec_beside():
    """By websocket-client, which has sockets of its own."""
    import base64
    import hashlib

    def frame(channel, data):
        return bytes([0x82, len(data) + 1, channel]) + data

    def serve(conn):
        request = conn.recv()
        key = request.header("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accepted = base64.b64encode(hashlib.sha1(key.encode()).digest())
        conn.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        conn.send(b"Sec-WebSocket-Protocol: v4.channel.k8s.io\r\nSec-WebSocket-Accept: " + accepted + b"\r\n\r\n")
        conn.send(frame(1, b"out\n") + frame(2, b"err\n") + frame(3, b'{"status":"Success"}') + b"\x88\x02\x03\xe8")
        conn.wait_eof()

    with core(serve, [Recv(), Send(answer(LIST))]) as (api, server):
        output = stream(api.connect_get_namespaced_pod_exec, "a", "default", command=["ls"], stdout=True, stderr=True)
        again = len(api.list_namespaced_pod("default").items)
        return output, again, re.sub(r"\?.*", "", server.requests[0].target)


main()
