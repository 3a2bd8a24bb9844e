"""The docker SDK over a unix socket and over TCP: streams by chunks, multiplexed frames, hijacked connections, builds.

The daemon is one of a few lines that answers by the path, in this process.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import re
import socket
import struct
import tarfile
import tempfile
import threading

import docker
from docker.errors import DockerException
from docker.tls import TLSConfig
from docker.transport import UnixHTTPAdapter
from docker.utils.socket import frames_iter, read_exactly
from observing import chain, main, scene, servers

from servers.certs import Certificate
from servers.scripted import Close, Connection, Recv, ScriptedServer, Send, chunked_response, response
from servers.tls import TLSServer

SERVERS = ("certs",)

TIMEOUT = 5
JSON = [("Content-Type", "application/json")]
RAW = "application/vnd.docker.raw-stream"


def frame(stream, data):
    return struct.pack(">BxxxL", stream, len(data)) + data


FRAMES = [frame(1, b"out one\n"), frame(2, b"err\n"), frame(1, b"out two\n"), frame(1, b"x" * 70_000)]
EVENTS = [
    json.dumps({"Type": "container", "Action": action, "Actor": {"ID": "ü"}}) + "\n" for action in ("create", "die")
]
STEPS = [{"stream": "Step 1/1 : FROM scratch\n"}, {"aux": {"ID": "sha256:" + "a" * 64}}, {"stream": "built\n"}]
PULLED = [{"status": "Pulling"}, {"status": "Downloading", "progressDetail": {"current": 1, "total": 2}}]
VERSION = {"Version": "28.0", "ApiVersion": "1.48", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64"}
CONTAINERS = [{"Id": "c" * 64, "Names": ["/one"], "State": "running", "Labels": {}, "Image": "scratch"}]
ARCHIVE = io.BytesIO()
with tarfile.open(fileobj=ARCHIVE, mode="w") as archive:
    archive.addfile(tarfile.TarInfo("file"), io.BytesIO(b""))
TAR = ARCHIVE.getvalue()


# --- the daemon -------------------------------------------------------------------------------------------------------


def answer(value, **options):
    return response(json.dumps(value).encode(), headers=JSON, **options)


def lines(values):
    return [json.dumps(value).encode() + b"\r\n" for value in values]


def start_chunked(conn, media_type="application/json"):
    conn.send(f"HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())


def send_chunk(conn, data):
    conn.send(b"%x\r\n%s\r\n" % (len(data), data))


def follow_logs(conn):
    """One frame in two chunks, and two frames in one; then there is nothing for a while."""
    start_chunked(conn, RAW)
    for data in (FRAMES[0][:5], FRAMES[0][5:], FRAMES[1] + FRAMES[2], FRAMES[3]):
        send_chunk(conn, data)
    conn.send(b"0\r\n\r\n")


def events_for_ever(conn):
    start_chunked(conn)
    for event in EVENTS:
        send_chunk(conn, event.encode())
    conn.hold()


def cut_events(conn):
    start_chunked(conn)
    send_chunk(conn, EVENTS[0].encode())
    conn.send(b"ff\r\n{")
    conn.close()


def hijack(conn, first=b"HTTP/1.1 101 UPGRADED"):
    """The head, and nothing before the SDK has the socket: what comes with the head is lost in a buffer beside it."""
    HIJACKED.clear()
    conn.send(first + f"\r\nContent-Type: {RAW}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
    HIJACKED.wait(TIMEOUT)


def hijacked(conn):
    """A program that says hello, repeats what it is told to its end, and says good-bye."""
    hijack(conn)
    repeat(conn)


def hijacked_as_before(conn):
    """In the way of old daemons: 200, and no length."""
    hijack(conn, b"HTTP/1.1 200 OK")
    repeat(conn)


def repeat(conn):
    conn.send(frame(1, b"hello\n"))
    while data := conn.recv_bytes():
        conn.send(frame(1, b"you said " + data))
    conn.send(frame(2, b"bye\n"))


def attached(conn):
    hijack(conn)
    for data in FRAMES[:3]:
        conn.send(data)


def terminal(conn):
    hijack(conn)
    conn.send(b"$ ls\r\nfile\r\n")


def container(name, tty=False):
    return answer({"Id": name, "Name": "/" + name, "Config": {"Tty": tty}, "State": {"Status": "running"}})


ANSWERS = {
    "GET /version": answer(VERSION),
    "GET /_ping": response(b"OK", headers=[("Api-Version", "1.48")]),
    "HEAD /_ping": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
    "GET /info": answer({"Name": "daemon", "Containers": 1}),
    "GET /containers/json": answer(CONTAINERS),
    "GET /containers/plain/json": container("plain"),
    "GET /containers/tty/json": container("tty", True),
    "GET /containers/lost/json": answer({"message": "No such container: lost"}, status=404, reason="Not Found"),
    "GET /containers/lost/logs": answer({"message": "No such container: lost"}, status=404, reason="Not Found"),
    "GET /containers/plain/logs": response(b"".join(FRAMES), headers=[("Content-Type", RAW)]),
    "GET /containers/plain/logs?follow": follow_logs,
    "GET /containers/tty/logs?follow": chunked_response([b"a line\r\n", b"and another\r\n"]),
    "GET /containers/plain/stats": chunked_response(lines([{"read": 1}, {"read": 2}])),
    "GET /containers/plain/archive": response(TAR * 20, headers=[("X-Docker-Container-Path-Stat", "e30=")]),
    "PUT /containers/plain/archive": response(b""),
    "POST /containers/create": answer({"Id": "new", "Warnings": []}, status=201, reason="Created"),
    "POST /containers/new/start": b"HTTP/1.1 204 No Content\r\n\r\n",
    "POST /containers/plain/wait": answer({"StatusCode": 3}),
    "POST /containers/plain/kill": answer({"message": "is not running"}, status=409, reason="Conflict"),
    "POST /containers/plain/attach": attached,
    "POST /containers/tty/attach": terminal,
    "DELETE /containers/plain": response(b"broken", status=500, reason="Internal Server Error"),
    "POST /containers/plain/exec": answer({"Id": "exec"}, status=201, reason="Created"),
    "POST /exec/exec/start": hijacked,
    "POST /exec/old/start": hijacked_as_before,
    "POST /exec/output/start": attached,
    "POST /exec/detached/start": response(b""),
    "GET /exec/exec/json": answer({"ID": "exec", "ExitCode": 0, "Running": False}),
    "GET /events": events_for_ever,
    "GET /events?cut": cut_events,
    "POST /build": chunked_response(lines(STEPS)),
    "POST /build?fails": chunked_response(lines([STEPS[0], {"error": "no", "errorDetail": {"message": "no"}}])),
    "POST /images/create": chunked_response(lines(PULLED)),
    "GET /images/scratch/json": answer({"Id": "sha256:" + "a" * 64, "RepoTags": ["scratch:latest"]}),
    "GET /images/scratch:latest/json": answer({"Id": "sha256:" + "a" * 64, "RepoTags": ["scratch:latest"]}),
    "GET /images/scratch/get": chunked_response([TAR[:100], TAR[100:]]),
    "POST /images/load": chunked_response(lines([{"stream": "Loaded image: scratch:latest\n"}])),
    "GET /networks": Close(),
    "GET /volumes": lambda conn: conn.hold(),
}


HIJACKED = threading.Event()


def noticed(api):
    """Has the daemon told when the SDK takes the socket."""
    take = api._get_raw_response_socket

    def taking(answer):
        sock = take(answer)
        HIJACKED.set()
        return sock

    api._get_raw_response_socket = taking
    return contextlib.closing(api)


def daemon(conn):
    while True:
        request = conn.recv()
        path, _, query = request.target.partition("?")
        path = re.sub(r"^/v[0-9.]+", "", path)
        mode = "?follow" if "follow=1" in query else "?cut" if "cut" in query else "?fails" if "fails" in query else ""
        found = ANSWERS.get(f"{request.method} {path}{mode}") or ANSWERS[f"{request.method} {path}"]
        if isinstance(found, bytes):
            conn.send(found)
        elif isinstance(found, Close):
            return
        else:
            found(conn)
            if found is not follow_logs:
                return


class UnixServer(ScriptedServer):
    """The scripted server on a unix socket."""

    def _listen(self):
        self._directory = tempfile.TemporaryDirectory()
        self.path = os.path.join(self._directory.name, "docker.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen(self.backlog)
        return listener

    def _connection(self, sock, peer):
        return Connection(sock, ("unix", 0), self._stop, self._arrivals)

    def close(self):
        super().close()
        self._directory.cleanup()


@contextlib.contextmanager
def client(**options):
    """A low-level client at a daemon, and the daemon."""
    with (
        UnixServer(default=daemon) as server,
        noticed(docker.APIClient(f"unix://{server.path}", **{"version": "1.48", "timeout": TIMEOUT, **options})) as api,
    ):
        yield api, server


def failures(*calls):
    found = []
    for call in calls:
        try:
            found.append(["nothing", call()])
        except Exception as error:
            found.append(chain(error))
    return found


# --- plain requests ---------------------------------------------------------------------------------------------------


@scene
def plain():
    with client() as (api, server):
        found = [api.version(), api.ping(), api.info(), api.containers(all=True), api.inspect_container("plain")]
        heads = [[request.target, request.header("Host"), request.header("User-Agent")] for request in server.requests]
        return found, heads, len(server.connections), api.api_version


@scene
def version_is_asked_for():
    with client(version="auto") as (api, server):
        return api.api_version, [request.target for request in server.requests]


@scene
def over_tcp():
    with ScriptedServer(default=daemon) as server:
        with noticed(docker.APIClient(f"tcp://127.0.0.1:{server.port}", version="1.48")) as api:
            logs = list(api.logs("plain", stream=True, follow=True))
            sock = api.exec_start("exec", socket=True)
            first = read_exactly(sock, 14)
            sock._sock.sendall(b"hi")
            second = read_exactly(sock, 19)
            sock.close()
        return logs[:3], first, second, isinstance(sock, socket.SocketIO), len(server.connections)


@scene
def over_tls():
    certs = servers.certs
    own = Certificate(certs.server_cert, certs.server_key)
    config = TLSConfig(client_cert=(certs.client_cert, certs.client_key), ca_cert=certs.ca_file, verify=True)
    with TLSServer(default=daemon, certificate=own, client_ca=certs.ca_file) as server:
        url = f"tcp://localhost:{server.port}"
        with noticed(docker.APIClient(url, version="1.48", tls=config, timeout=TIMEOUT)) as api:
            info = api.info()
            logs = list(api.logs("plain", stream=True, follow=True))
            output = api.exec_start("output")
            sock = api.exec_start("exec", socket=True)
            first = sock.recv(14)
            sock.sendall(b"hi")
            second = read_exactly(sock, 19)
            sock.close()
        names = [connection.client_name for connection in server.connections]
    wrong = TLSConfig(ca_cert=certs.other_ca_file, verify=True)
    with TLSServer(default=daemon, certificate=own) as server:
        url = f"tcp://localhost:{server.port}"
        with noticed(docker.APIClient(url, version="1.48", tls=wrong, timeout=TIMEOUT)) as api:
            refused = failures(api.info)
    return info, logs[:3], output, first, second, names, refused


@scene
def the_high_level_client():
    with UnixServer(default=daemon) as server:
        with contextlib.closing(
            docker.DockerClient(f"unix://{server.path}", version="1.48", timeout=TIMEOUT)
        ) as client:
            noticed(client.api)
            one = client.containers.get("plain")
            found = [client.ping(), [each.name for each in client.containers.list(ignore_removed=True, sparse=True)]]
            found += [one.status, one.logs()[:8], one.wait(), list(one.logs(stream=True, follow=True))[:2]]
            found += [one.exec_run("cat", socket=True).output.read(8)]
            found += [client.images.get("scratch").tags, client.images.pull("scratch", tag="latest").id]
        return found, [f"{request.method} {request.target.partition('?')[0]}" for request in server.requests]


@scene
def creating():
    with client() as (api, server):
        made = api.create_container("scratch", ["cmd"], environment={"A": "ü"}, host_config=api.create_host_config())
        api.start(made["Id"])
        seen = [[request.method, request.target, json.loads(request.body or "{}")] for request in server.requests]
        return made, seen, api.wait("plain"), len(server.connections)


@scene
def archives():
    with client() as (api, server):
        stream, stat = api.get_archive("plain", "/file", chunk_size=1000)
        sizes = [len(part) for part in stream]
        put = [api.put_archive("plain", "/", TAR), api.put_archive("plain", "/", iter([TAR[:9], TAR[9:]]))]
        sent = [request.header("Transfer-Encoding") for request in server.requests if request.method == "PUT"]
        image = [len(part) for part in api.get_image("scratch", chunk_size=None)]
        loaded = list(api.load_image(io.BytesIO(TAR)))
        return sizes, stat, put, sent, image, loaded, len(server.connections)


# --- streams ----------------------------------------------------------------------------------------------------------


@scene
def logs():
    with client() as (api, server):
        whole = api.logs("plain")
        followed = list(api.logs("plain", stream=True, follow=True))
        terminal_whole = api.logs("tty", follow=True, stream=False)
        terminal_lines = b"".join(api.logs("tty", follow=True, stream=True))
        return whole, followed, terminal_whole, terminal_lines, len(server.connections)


@scene
def stats():
    with client() as (api, _):
        return list(api.stats("plain", decode=True)), list(api.stats("plain"))


@scene
def events():
    with client() as (api, server):
        decoded = api.events(decode=True)
        found = [next(decoded), next(decoded)]
        decoded.close()
        undecoded = api.events()
        found.append(next(undecoded))
        undecoded.close()
        return found, list(undecoded), list(decoded), len(server.connections)


@scene
def events_ended_by_another_thread():
    with client(timeout=None) as (api, _):
        stream = api.events(decode=True)
        seen = []

        def follow():
            for event in stream:
                seen.append(event)
                if len(seen) == 2:
                    ready.set()

        ready = threading.Event()
        thread = threading.Thread(target=follow)
        thread.start()
        ready.wait(TIMEOUT)
        stream.close()
        thread.join(TIMEOUT)
        return seen, thread.is_alive()


@scene
def events_that_are_cut():
    with client() as (api, _):
        undecoded = api.events(filters={"label": "cut"})
        return list(itertools.islice(undecoded, 5))


@scene
def building():
    with client() as (api, server):
        steps = list(api.build(fileobj=io.BytesIO(b"FROM scratch\n"), decode=True))
        raw = list(api.build(fileobj=io.BytesIO(b"FROM scratch\n")))
        context = list(api.build(fileobj=io.BytesIO(TAR), custom_context=True, decode=True))
        failed = list(api.build(fileobj=io.BytesIO(b"FROM x\n"), tag="fails", decode=True))
        bodies = [request.body == TAR for request in server.requests]
        return steps, raw, context, failed, bodies, len(server.connections)


@scene
def pulling():
    with client() as (api, server):
        return list(api.pull("scratch", stream=True, decode=True)), api.pull("scratch"), len(server.connections)


# --- hijacked connections ---------------------------------------------------------------------------------------------


@scene
def executing():
    with client() as (api, server):
        made = api.exec_create("plain", ["cat"], stdin=True)
        output = api.exec_start("output"), api.exec_start("output", demux=True)
        streamed = list(api.exec_start("output", stream=True)), list(api.exec_start("output", stream=True, demux=True))
        detached = api.exec_start("detached", detach=True)
        asked = [(request.header("Connection"), request.header("Upgrade")) for request in server.requests]
        return made, output, streamed, detached, asked, api.exec_inspect("exec")["ExitCode"]


@scene
def sockets():
    found = {}
    with client() as (api, _):
        for name in ("exec", "old"):
            sock = api.exec_start(name, socket=True)
            kind = type(sock), sock.readable(), sock.closed, sock.fileno() > 0
            first = read_exactly(sock, 14)
            under = sock._sock
            under.sendall(b"one")
            second = under.recv(100)
            under.sendall(b"two")
            third = read_exactly(sock, 20)
            under.shutdown(socket.SHUT_WR)
            rest = list(frames_iter(sock, tty=False))
            sock.close()
            found[name] = kind, first, second, third, rest, sock.closed
    return found


@scene
def sockets_keep_the_connection():
    """What holds the socket is all that is left of the response."""
    with client() as (api, server):
        sock = api.exec_start("exec", socket=True)
        info = api.info()
        sock._sock.sendall(b"still there?")
        answers = read_exactly(sock, 14), read_exactly(sock, 8 + 9 + 12)
        sock.close()
        return info, answers, len(server.connections)


@scene
def attaching():
    with client() as (api, _):
        whole = api.attach("plain", stream=False, logs=True), api.attach("plain", demux=True)
        streamed = list(api.attach("plain", stream=True)), b"".join(api.attach("tty", stream=True))
        sock = api.attach_socket("tty", params={"stdin": 1, "stream": 1})
        text = b"".join(iter(lambda: sock.read(100), b""))
        sock.close()
        ended = api.attach("plain", stream=True)
        first = next(ended)
        ended.close()
        return whole, streamed, text, first


# --- errors -----------------------------------------------------------------------------------------------------------


@scene
def errors():
    with client(timeout=0.2) as (api, _):
        return failures(
            lambda: api.inspect_container("lost"),
            lambda: api.kill("plain"),
            lambda: api.remove_container("plain"),
            lambda: api.networks(),
            lambda: api.volumes(),
            lambda: list(api.logs("lost", stream=True)),
        )


@scene
def no_daemon():
    gone = os.path.join(os.environ["TMPDIR"], "gone.sock")
    return failures(
        lambda: docker.APIClient(f"unix://{gone}", version="1.48").ping(),
        lambda: docker.APIClient(f"unix://{gone}", version="auto"),
        lambda: docker.APIClient("tcp://127.0.0.1:1", version="1.48").ping(),
        lambda: docker.DockerClient("nonsense://x"),
    )


@scene
def a_daemon_that_hangs_up():
    """An idle connection is closed by the daemon between two requests."""
    once = [Recv(), Send(answer(VERSION)), Close()]
    with (
        UnixServer(once, once) as server,
        noticed(docker.APIClient(f"unix://{server.path}", version="1.48", timeout=TIMEOUT)) as api,
    ):
        first = api.version()["Version"]
        server.wait_over()
        return first, api.version()["Version"], len(server.connections)


@scene
def adapters():
    with UnixServer(default=daemon) as server:
        adapter = UnixHTTPAdapter(f"http+unix://{server.path}", timeout=TIMEOUT)
        pool = adapter.get_connection("http+docker://localhost")
        got = pool.urlopen("GET", "/version", timeout=TIMEOUT, preload_content=False)
        conn = got.connection
        told = type(got._fp.fp.raw), got._fp.fp.raw._sock.family == socket.AF_UNIX, conn.unix_socket == server.path
        body = json.loads(got.read())
        again = pool.request("GET", "/version", timeout=TIMEOUT).json()
        adapter.close()
        return told, body == again, len(server.connections), issubclass(DockerException, Exception)


main()
