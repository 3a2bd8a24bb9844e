"""minio: buckets, objects whole, in ranges and in parts, lists, presigned URLs and errors, against moto's S3."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import threading
from datetime import timedelta
from functools import partial

import urllib3
from minio import Minio, S3Error
from minio.commonconfig import ENABLED, ComposeSource, CopySource, Tags
from minio.deleteobjects import DeleteObject
from minio.versioningconfig import VersioningConfig
from observing import chain, main, scene, servers
from urllib3 import Retry, Timeout

from servers.scripted import Close, Hold, Recv, ScriptedServer, Send, response

SERVERS = ("nginx", "certs")

TIMEOUT = 10
MOTO = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


@contextlib.contextmanager
def moto():
    """A server of moto's in a process of its own, which has nothing to do with the library that is looked at."""
    process = subprocess.Popen(
        [sys.executable, "-c", MOTO],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate(timeout=TIMEOUT)


def client(port, **more):
    http = urllib3.PoolManager(
        timeout=Timeout(connect=TIMEOUT, read=TIMEOUT), maxsize=10, retries=Retry(2, backoff_factor=0), **more
    )
    return Minio(f"127.0.0.1:{port}", "access", "secret-key", secure=False, region="us-east-1", http_client=http)


def told(item):
    names = ("bucket_name", "object_name", "size", "content_type", "is_dir", "is_delete_marker", "etag", "metadata")
    found = {name: getattr(item, name, None) for name in names}
    kept = {
        name.lower(): value
        for name, value in (found["metadata"] or {}).items()
        if name.lower().startswith(("x-amz-meta", "content-"))
    }
    return {**found, "metadata": kept}


def failure(call):
    """What the call gives or raises."""
    try:
        return call()
    except S3Error as error:
        return "S3Error", error.code, error.response.status, type(error.response), error.bucket_name, error.object_name
    except Exception as error:
        return chain(error)


def data_of(size):
    return bytes(range(256)) * (size // 256) + b"x" * (size % 256)


# --- a real S3 --------------------------------------------------------------------------------------------------------


def buckets(s3):
    s3.make_bucket("first")
    s3.make_bucket("second")
    found = [
        s3.bucket_exists("first"),
        s3.bucket_exists("nowhere"),
        [bucket.name for bucket in s3.list_buckets()],
        failure(lambda: s3.make_bucket("first")),
        s3.remove_bucket("second"),
        failure(lambda: s3.remove_bucket("second")),
    ]
    s3.set_bucket_versioning("first", VersioningConfig(ENABLED))
    found.append(s3.get_bucket_versioning("first").status)
    s3.set_bucket_tags("first", _tags({"a": "1", "b": "ü"}))
    return found, dict(s3.get_bucket_tags("first")), failure(lambda: s3.get_bucket_policy("first"))


def _tags(pairs):
    tags = Tags.new_bucket_tags()
    tags.update(pairs)
    return tags


def objects(s3):
    s3.make_bucket("objects")
    put = s3.put_object(
        "objects", "a b/ü?.txt", io.BytesIO(b"hello"), 5, content_type="text/plain", metadata={"Mine": "1"}
    )
    got = s3.get_object("objects", "a b/ü?.txt")
    whole = got.read(), got.status, got.headers.get("Content-Type"), type(got)
    got.close()
    got.release_conn()
    part = s3.get_object("objects", "a b/ü?.txt", offset=1, length=3)
    stated = s3.stat_object("objects", "a b/ü?.txt")
    empty = s3.put_object("objects", "empty", io.BytesIO(), 0)
    with contextlib.closing(s3.get_object("objects", "empty")) as nothing:
        return (
            put.etag,
            whole,
            (part.status, part.data, part.headers.get("Content-Range")),
            told(stated),
            (empty.etag, nothing.read()),
            failure(lambda: s3.get_object("objects", "nowhere")),
            failure(lambda: s3.stat_object("objects", "nowhere")),
            failure(lambda: s3.get_object("objects", "empty", offset=9)),
            failure(lambda: s3.put_object("nowhere", "x", io.BytesIO(b"x"), 1)),
        )


def reading(s3):
    s3.make_bucket("reading")
    content = data_of(300_000)
    s3.put_object("reading", "big", io.BytesIO(content), len(content))
    found = {}
    with contextlib.closing(s3.get_object("reading", "big")) as got:
        found["stream"] = [len(block) for block in got.stream(64 * 1024)], got.closed
        got.release_conn()
    with contextlib.closing(s3.get_object("reading", "big")) as got:
        found["reads"] = [got.read(10), got.tell(), len(got.read1(1000) or b"") > 0, got.read(0)]
    with contextlib.closing(s3.get_object("reading", "big")) as got:
        buffer = bytearray(1000)
        found["readinto"] = got.readinto(buffer), bytes(buffer) == content[:1000], got.getheader("Content-Length")
    with contextlib.closing(s3.get_object("reading", "big")) as got:
        buffered = io.BufferedReader(got)
        found["lines"] = [len(buffered.readline()) for _ in range(9)], failure(buffered.readlines)
    path = os.path.join(os.environ["TMPDIR"], "big")
    s3.fget_object("reading", "big", path)
    with open(path, "rb") as file:
        found["file"] = file.read() == content
    again = s3.fput_object("reading", "again", path)
    found["file back"] = again.etag, s3.stat_object("reading", "again").size
    return found


def in_parts(s3):
    s3.make_bucket("parts")
    content = data_of(12 * 1024 * 1024)
    known = s3.put_object("parts", "known", io.BytesIO(content), len(content), part_size=5 * 1024 * 1024)
    unknown = s3.put_object("parts", "unknown", io.BytesIO(content), -1, part_size=5 * 1024 * 1024)
    serial = s3.put_object(
        "parts", "serial", io.BytesIO(content), len(content), part_size=5 << 20, num_parallel_uploads=1
    )
    got = s3.get_object("parts", "known")
    composed = s3.compose_object(
        "parts", "composed", [ComposeSource("parts", "known"), ComposeSource("parts", "serial")]
    )
    return (
        known.etag,
        unknown.etag,
        serial.etag,
        got.data == content,
        composed.etag,
        s3.stat_object("parts", "composed").size,
        s3.copy_object("parts", "copy", CopySource("parts", "known", offset=0, length=5 << 20)).etag is not None,
    )


def lists(s3):
    s3.make_bucket("lists")
    for number in range(12):
        s3.put_object("lists", f"dir{number % 3}/ö{number}", io.BytesIO(b"x"), 1)
    names = [item.object_name for item in s3.list_objects("lists")]
    under = [told(item) for item in s3.list_objects("lists", prefix="dir1/", recursive=True)]
    after = [item.object_name for item in s3.list_objects("lists", recursive=True, start_after="dir1/ö7")]
    old = [item.object_name for item in s3.list_objects("lists", recursive=True, use_api_v1=True)]
    errors = list(s3.remove_objects("lists", [DeleteObject(name) for name in old[:5]]))
    s3.remove_object("lists", old[5])
    left = [item.object_name for item in s3.list_objects("lists", recursive=True)]
    return names, under, after, old, errors, left


def presigned(s3):
    s3.make_bucket("presigned")
    http = urllib3.PoolManager(timeout=TIMEOUT)
    put = http.request("PUT", s3.presigned_put_object("presigned", "x", timedelta(minutes=5)), body=b"by url")
    url = s3.presigned_get_object("presigned", "x", response_headers={"response-content-type": "a/b"})
    got = http.request("GET", url)
    http.clear()
    return put.status, got.status, got.data, got.headers.get("content-type"), sorted(re.findall(r"X-Amz-\w+", url))


def threads(s3):
    s3.make_bucket("threads")
    found = {}

    def one(number):
        s3.put_object("threads", str(number), io.BytesIO(b"%d" % number), len(str(number)))
        found[str(number)] = s3.get_object("threads", str(number)).data

    workers = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return dict(sorted(found.items()))


@scene
def against_moto():
    with moto() as port:
        s3 = client(port)
        steps = (buckets, objects, reading, in_parts, lists, presigned, threads)
        found = {step.__name__: failure(lambda step=step: step(s3)) for step in steps}
        s3._http.clear()
        return found


# --- what is odd ------------------------------------------------------------------------------------------------------


@scene
def traces_and_requests():
    """What is sent, but for dates and signatures; and what minio itself writes down of it."""
    body = b"<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>"
    with ScriptedServer.always(response(body, headers=[("Content-Type", "application/xml")])) as server:
        s3 = client(server.port)
        trace = io.StringIO()
        s3.trace_on(trace)
        s3.list_buckets()
        s3.put_object("bucket", "key", io.BytesIO(b"text"), 4, metadata={"A": ["1", "2"], "B": "b"})
        lines = [line for line in trace.getvalue().splitlines() if "ate" not in line and "uthorization" not in line]
    varying = ("x-amz-date", "authorization", "host", "user-agent")
    sent = [
        (request.line, [pair for pair in request.headers if pair[0].lower() not in varying], request.body)
        for request in server.requests
    ]
    return sent, [line for line in lines if "Agent" not in line], len(server.connections)


@scene
def errors():
    xml = [("Content-Type", "application/xml")]
    denied = b"<Error><Code>AccessDenied</Code><Message>no</Message><BucketName>b</BucketName></Error>"
    found = {}
    for name, script in {
        "denied": [Recv(), Send(response(denied, status=403, reason="Forbidden", headers=xml))],
        "no xml": [Recv(), Send(response(b"oops", status=403, reason="Forbidden"))],
        "not modified": [Recv(), Send(b"HTTP/1.1 304 Not Modified\r\nContent-Type: application/xml\r\n\r\n")],
        "no body": [Recv(), Send(response(b"", status=500, reason="No", headers=xml))],
        "nothing": [Recv(), Close()],
        "garbage": [Recv(), Send(b"what is this?\r\n\r\n"), Close()],
    }.items():
        with ScriptedServer(default=script) as server:
            got = failure(partial(client(server.port).get_object, "bucket", "key"))
            stated = failure(partial(client(server.port).stat_object, "bucket", "key"))
            found[name] = got, stated, len(server.connections)
    return found


@scene
def cut_within_the_object():
    with ScriptedServer(default=[Recv(), Send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal"), Close()]) as server:
        s3 = client(server.port)
        names = failure(lambda: b"".join(s3.get_object("bucket", "key").stream(2)))
        # What tells how much is missing: an IncompleteRead of http.client, or of the class derived from it.
        return [name.replace("urllib3.exceptions.Incomplete", "http.client.Incomplete") for name in names]


@scene
def retries():
    busy = response(b"", status=503, reason="Slow Down", headers=[("Retry-After", "0")])
    good = response(b"content")
    lost = [Recv(), Close()]
    with ScriptedServer([Recv(), Send(busy), Recv(), Send(busy), Recv(), Send(good)]) as server:
        after_busy = client(server.port).get_object("bucket", "key").data, len(server.requests)
    with ScriptedServer(lost, lost, [Recv(), Send(good)]) as server:
        after_loss = client(server.port).get_object("bucket", "key").data, len(server.requests)
    http = urllib3.PoolManager(timeout=0.05, retries=Retry(1))
    with ScriptedServer(default=[Recv(), Hold()]) as server:
        s3 = Minio(f"127.0.0.1:{server.port}", "a", "secret-key", secure=False, region="r", http_client=http)
        return after_busy, after_loss, failure(lambda: s3.get_object("bucket", "key")), len(server.requests)


@scene
def secure():
    host = servers.nginx.https_url.partition("//")[2]

    def get(**more):
        http = urllib3.PoolManager(timeout=TIMEOUT, retries=Retry(0), **more)
        s3 = Minio(host, "access", "secret-key", region="us-east-1", http_client=http)
        return failure(lambda: (lambda got: (got.status, got.data))(s3.get_object("tls", "x"))), failure(
            lambda: s3.bucket_exists("tls")
        )

    return get(ca_certs=servers.certs.ca_file), get(ca_certs=servers.certs.other_ca_file)


@scene
def own_manager():
    """The manager that minio makes where none is given; SSL_CERT_FILE has its CAs."""
    os.environ["SSL_CERT_FILE"] = servers.certs.ca_file
    s3 = Minio(servers.nginx.https_url.partition("//")[2], region="us-east-1")
    manager = s3._http
    found = failure(lambda: s3.bucket_exists("json")), manager.connection_pool_kw["retries"].total
    wrong = failure(lambda: Minio("127.0.0.1:1", http_client=object()))
    return found, wrong, sorted(name for name in manager.connection_pool_kw)


main()
