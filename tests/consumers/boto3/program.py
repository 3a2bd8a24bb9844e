"""boto3: S3, DynamoDB and SQS against moto; 100-continue, errors, retries and TLS against scripted servers."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import threading
import types
import warnings

import boto3
import botocore.endpoint
import botocore.httpsession
import urllib3
from boto3.s3.transfer import TransferConfig
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer
from observing import chain, main, scene, servers

from servers.certs import Certificate
from servers.scripted import (
    Close,
    Hold,
    Recv,
    RecvBody,
    RecvHead,
    Reset,
    ScriptedServer,
    Send,
    chunked_response,
    response,
)
from servers.tls import TLSServer

SERVERS = ("certs", "squid")

logging.getLogger("werkzeug").disabled = True
warnings.simplefilter("ignore", DeprecationWarning)

TIMEOUT = 5
LINES = b"".join(b"line %d\n" % number for number in range(2000))
BLOCK = bytes(range(256)) * 1024 * 4  # 1 MiB
os.environ.update(AWS_ACCESS_KEY_ID="id", AWS_SECRET_ACCESS_KEY="secret", AWS_DEFAULT_REGION="us-east-1")
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
botocore.endpoint.time = types.SimpleNamespace(sleep=lambda seconds: None)  # between tries


@contextlib.contextmanager
def client(url, service="s3", verify=None, **options):
    settings = {"connect_timeout": TIMEOUT, "read_timeout": TIMEOUT, "retries": {"max_attempts": 0}, **options}
    if service == "s3":
        settings.setdefault("s3", {"addressing_style": "path"})
    made = boto3.client(service, endpoint_url=url, verify=verify, config=Config(**settings))
    try:
        yield made
    finally:
        made.close()


moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
moto.start()
MOTO = "http://{}:{}".format(*moto.get_host_and_port())


def told(answer):
    """An answer without what is different each time."""
    metadata = answer.get("ResponseMetadata", {})
    kept = {name: value for name, value in answer.items() if name not in ("ResponseMetadata", "LastModified", "Body")}
    fields = [name for name in metadata.get("HTTPHeaders", {}) if name != "x-amzn-requestid"]
    return metadata.get("HTTPStatusCode"), metadata.get("RetryAttempts"), fields, sorted(kept)


def failures(*calls):
    found = []
    for call in calls:
        try:
            call()
            found.append("nothing")
        except ClientError as error:
            found.append(
                [type(error), error.response["Error"]["Code"], error.response["ResponseMetadata"]["RetryAttempts"]]
            )
        except Exception as error:
            inner = error.kwargs.get("error") if hasattr(error, "kwargs") else None
            found.append([chain(error), chain(inner) if isinstance(inner, BaseException) else inner])
    return found


# --- S3 against moto --------------------------------------------------------------------------------------------------


@scene
def objects():
    with client(MOTO) as s3:
        s3.create_bucket(Bucket="one")
        put = s3.put_object(
            Bucket="one", Key="lines ü", Body=LINES, Metadata={"kind": "text"}, ContentType="text/plain"
        )
        got = s3.get_object(Bucket="one", Key="lines ü")
        head = s3.head_object(Bucket="one", Key="lines ü")
        part = s3.get_object(Bucket="one", Key="lines ü", Range="bytes=5-12")["Body"].read()
        found = [put["ETag"], got["Metadata"], got["ContentType"], got["ContentLength"], got["Body"].read() == LINES]
        found += [head["ContentLength"], head["ETag"], part, told(put), told(got), told(head)]
        s3.copy_object(Bucket="one", Key="copy", CopySource={"Bucket": "one", "Key": "lines ü"})
        listed = s3.list_objects_v2(Bucket="one", MaxKeys=1)
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket="one", PaginationConfig={"PageSize": 1})
        keys = [item["Key"] for page in pages for item in page["Contents"]]
        gone = s3.delete_objects(Bucket="one", Delete={"Objects": [{"Key": "copy"}]})["Deleted"]
        return found, listed["KeyCount"], listed["IsTruncated"], keys, gone


BODIES = {
    "bytes": lambda: b"\x00\xff" * 1000,
    "nothing": lambda: b"",
    "text": lambda: "tëxt",
    "file": lambda: io.BytesIO(LINES),
    "half a file": lambda: halfway(io.BytesIO(LINES)),
    "a megabyte": lambda: io.BytesIO(BLOCK),
}


def halfway(file):
    file.seek(len(LINES) // 2)
    return file


@scene
def uploads():
    found = {}
    with client(MOTO) as s3:
        s3.create_bucket(Bucket="uploads")
        for name, body in BODIES.items():
            s3.put_object(Bucket="uploads", Key=name, Body=body())
            found[name] = hashlib.sha256(s3.get_object(Bucket="uploads", Key=name)["Body"].read()).hexdigest()
    return found


@scene
def transfers():
    """Uploads in parts and downloads in ranges, by threads."""
    config = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20, max_concurrency=3)
    data = BLOCK * 11
    seen = []
    with client(MOTO) as s3:
        s3.create_bucket(Bucket="transfers")
        s3.upload_fileobj(io.BytesIO(data), "transfers", "big", Config=config, Callback=seen.append)
        target = io.BytesIO()
        s3.download_fileobj("transfers", "big", target, Config=config)
        path = os.path.join(os.environ["TMPDIR"], "down")
        s3.download_file("transfers", "big", path, Config=config)
        etag = s3.head_object(Bucket="transfers", Key="big")["ETag"]
        return sum(seen), target.getvalue() == data, os.path.getsize(path), etag


@scene
def parts_by_hand():
    with client(MOTO) as s3:
        s3.create_bucket(Bucket="parts")
        upload = s3.create_multipart_upload(Bucket="parts", Key="k")["UploadId"]
        which = {"Bucket": "parts", "Key": "k", "UploadId": upload}
        sent = [s3.upload_part(**which, PartNumber=number, Body=BLOCK * 5) for number in (1, 2)]
        parts = [{"PartNumber": number, "ETag": each["ETag"]} for number, each in enumerate(sent, 1)]
        whole = s3.complete_multipart_upload(**which, MultipartUpload={"Parts": parts})
        failed = failures(lambda: s3.abort_multipart_upload(**which))
        return parts, whole["ETag"], s3.head_object(Bucket="parts", Key="k")["ContentLength"], failed


READS = {
    "read": lambda body: body.read(),
    "read some": lambda body: [body.read(10), body.tell(), body.read(0), len(body.read()), body.read()],
    "chunks": lambda body: list(body.iter_chunks(7000)),
    "lines": lambda body: [len(list(body.iter_lines(100))), body.tell()],
    "lines with ends": lambda body: next(body.iter_lines(keepends=True)),
    "readlines": lambda body: len(body.readlines()),
    "iteration": lambda body: [len(each) for each in body],
    "next": lambda body: next(body),
    "readinto": lambda body: [body.readinto(bytearray(100)), body.tell(), len(body.read())],
    "a buffer": lambda body: io.BufferedReader(body).read(20),
    "with": lambda body: entered(body),
    "time-out": lambda body: [body.set_socket_timeout(3), body.readable(), len(body.read())],
    "closed": lambda body: [body.read(5), body.close()],
}


def entered(body):
    with body as raw:
        return raw.read(5), raw.tell()


@scene
def streaming():
    with client(MOTO, max_pool_connections=1) as s3:
        s3.create_bucket(Bucket="streams")
        s3.put_object(Bucket="streams", Key="k", Body=LINES)
        return {name: read(s3.get_object(Bucket="streams", Key="k")["Body"]) for name, read in READS.items()}


@scene
def presigned():
    with client(MOTO) as s3, contextlib.closing(botocore.httpsession.URLLib3Session()), urllib3.PoolManager() as http:
        s3.create_bucket(Bucket="signed")
        put = s3.generate_presigned_url("put_object", Params={"Bucket": "signed", "Key": "a b"})
        first = http.request("PUT", put, body=b"content", timeout=TIMEOUT).status
        get = s3.generate_presigned_url("get_object", Params={"Bucket": "signed", "Key": "a b"})
        post = s3.generate_presigned_post("signed", "form")
        fields = {**post["fields"], "file": ("name", b"posted")}
        second = http.request("POST", post["url"], fields=fields, timeout=TIMEOUT).status
        return (
            first,
            http.request("GET", get, timeout=TIMEOUT).data,
            second,
            told(s3.head_object(Bucket="signed", Key="form")),
        )


@scene
def client_errors():
    with client(MOTO) as s3:
        s3.create_bucket(Bucket="errors")
        found = failures(
            lambda: s3.get_object(Bucket="errors", Key="none"),
            lambda: s3.head_object(Bucket="errors", Key="none"),
            lambda: s3.list_objects_v2(Bucket="never"),
            lambda: s3.put_object(Bucket="never", Key="k", Body=io.BytesIO(LINES)),
        )
        return found, [type(s3.exceptions.NoSuchKey).__name__, s3.get_waiter("bucket_exists").wait(Bucket="errors")]


@scene
def by_threads():
    with client(MOTO, max_pool_connections=4) as s3:
        s3.create_bucket(Bucket="threads")
        sizes = []

        def work(number):
            s3.put_object(Bucket="threads", Key=str(number), Body=BLOCK[: 1000 * number])
            sizes.append(len(s3.get_object(Bucket="threads", Key=str(number))["Body"].read()))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        return sorted(sizes)


@scene
def through_a_proxy():
    options = {"proxies": {"http": servers.squid.url, "https": servers.squid.url}}
    wrong = {"proxies": {"http": "http://127.0.0.1:1", "https": "http://127.0.0.1:1"}}
    with client(MOTO, **options) as s3, client(MOTO, **wrong) as none, ScriptedServer.always(OK) as server:
        s3.create_bucket(Bucket="proxied")
        s3.put_object(Bucket="proxied", Key="k", Body=io.BytesIO(LINES))
        with client(server.url, **options) as through:
            through.put_object(Bucket="b", Key="k", Body=LINES)
        seen = server.requests[0].target, bool(server.requests[0].header("Via"))
        return s3.get_object(Bucket="proxied", Key="k")["Body"].read() == LINES, seen, failures(none.list_buckets)


# --- DynamoDB and SQS -------------------------------------------------------------------------------------------------


@scene
def tables():
    with client(MOTO, "dynamodb") as db:
        key = {"AttributeName": "id", "KeyType": "HASH"}
        kind = {"AttributeName": "id", "AttributeType": "S"}
        db.create_table(TableName="t", KeySchema=[key], AttributeDefinitions=[kind], BillingMode="PAY_PER_REQUEST")
        for number in range(5):
            db.put_item(TableName="t", Item={"id": {"S": f"ü{number}"}, "n": {"N": str(number)}})
        got = db.get_item(TableName="t", Key={"id": {"S": "ü3"}})["Item"]
        scanned = sorted(item["n"]["N"] for item in db.scan(TableName="t")["Items"])
        failed = failures(
            lambda: db.get_item(TableName="none", Key={"id": {"S": "x"}}),
            lambda: db.put_item(
                TableName="t", Item={"id": {"S": "ü1"}}, ConditionExpression="attribute_not_exists(id)"
            ),
        )
        return got, scanned, failed


@scene
def queues():
    with client(MOTO, "sqs") as sqs:
        url = sqs.create_queue(QueueName="q")["QueueUrl"]
        sent = sqs.send_message(QueueUrl=url, MessageBody="hällo")["MD5OfMessageBody"]
        got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1, WaitTimeSeconds=1)["Messages"]
        sqs.delete_message(QueueUrl=url, ReceiptHandle=got[0]["ReceiptHandle"])
        left = sqs.receive_message(QueueUrl=url).get("Messages")
        return sent, [each["Body"] for each in got], left, failures(lambda: sqs.get_queue_url(QueueName="none"))


# --- Expect: 100-continue ---------------------------------------------------------------------------------------------

OK = response(b"", headers=[("ETag", '"e"')])
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
NO = response(b"<Error><Code>AccessDenied</Code></Error>", status=403, reason="Forbidden")
IN_CHUNKS = chunked_response([b"<Error><Code>", b"Slow</Code></Error>"]).replace(b"200 OK", b"400 Bad Request")
EXPECTATIONS = {
    "100": [RecvHead(), Send(GO_ON), RecvBody(), Send(OK)],
    "100 with fields": [
        RecvHead(),
        Send(b"HTTP/1.1 100 Continue\r\nConnection: keep-alive\r\n\r\n"),
        RecvBody(),
        Send(OK),
    ],
    "100 without reason": [RecvHead(), Send(b"HTTP/1.1 100\r\n\r\n"), RecvBody(), Send(OK)],
    "100 twice": [RecvHead(), Send(GO_ON), RecvBody(), Send(GO_ON + OK)],
    "417": [RecvHead(), Send(response(b"", status=417, reason="Expectation Failed")), Close()],
    "403": [RecvHead(), Send(NO), Close()],
    "403, kept": [RecvHead(), Send(NO), Recv(), Send(OK)],
    "200 at once": [RecvHead(), Send(OK), Close()],
    "nothing": [RecvHead(), Close()],
    "reset": [RecvHead(), Reset()],
    "chunks": [RecvHead(), Send(IN_CHUNKS), Close()],
}


@scene
def expectations():
    found = {}
    for name, script in EXPECTATIONS.items():
        with ScriptedServer(script) as server, client(server.url) as s3:
            try:
                seen = told(s3.put_object(Bucket="b", Key="k", Body=io.BytesIO(LINES)))
            except Exception as error:
                seen = failures(lambda error=error: raise_it(error))
            if name == "403, kept":
                seen = seen, failures(lambda: s3.list_objects_v2(Bucket="b")), len(server.connections)
            first = server.requests[0]
            found[name] = seen, first.header("Expect"), LINES in first.body
    return found


def raise_it(error):
    raise error


@scene
def nobody_answers_the_expectation():
    """After a second the body goes off all the same."""
    with ScriptedServer([Recv(), Send(OK)]) as server, client(server.url) as s3:
        seen = told(s3.put_object(Bucket="b", Key="k", Body=io.BytesIO(LINES)))
        return seen, LINES in server.requests[0].body


@scene
def expectations_over_tls():
    with tls_server([RecvHead(), Send(GO_ON), RecvBody(), Send(OK), RecvHead(), Send(NO), Close()]) as server:
        with client(server.url.replace("127.0.0.1", "localhost"), verify=servers.certs.ca_file) as s3:
            first = told(s3.put_object(Bucket="b", Key="k", Body=io.BytesIO(LINES)))
            second = failures(lambda: s3.put_object(Bucket="b", Key="k", Body=io.BytesIO(LINES)))
        return first, second, [LINES in request.body for request in server.requests], len(server.connections)


# --- errors and retries -----------------------------------------------------------------------------------------------


def tls_server(*scripts, **options):
    own = Certificate(servers.certs.server_cert, servers.certs.server_key)
    return TLSServer(*scripts, certificate=own, **options)


@scene
def connection_errors():
    silent = [Recv(), Hold()]
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal"
    limits = {"connect_timeout": 0.2, "read_timeout": 0.2}

    def against(*script, read=False, **options):
        def call():
            with ScriptedServer(script) as server, client(server.url, **{**limits, **options}) as s3:
                body = s3.get_object(Bucket="b", Key="k")["Body"]
                return body.read() if read else None

        return call

    def none():
        with client("http://127.0.0.1:1", **limits) as s3:
            s3.list_buckets()

    def full():
        with full_server() as url, client(url, **limits) as s3:
            s3.list_buckets()

    return failures(
        none,
        full,
        against(*silent),
        against(Recv(), Close()),
        against(Recv(), Reset()),
        against(Recv(), Send(b"what?\r\n\r\n"), Close()),
        against(Recv(), Send(half), Close(), read=True),
        against(Recv(), Send(half), Hold(), read=True),
    )


@contextlib.contextmanager
def full_server():
    """A server whose queue is full, so that connecting takes for ever."""
    import socket

    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@scene
def retries():
    def failing(status, code, reason):
        body = f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode()
        return [Recv(), Send(response(body, status=status, reason=reason, headers=[("Connection", "close")])), Close()]

    listing = [Recv(), Send(response(b"<ListAllMyBucketsResult></ListAllMyBucketsResult>"))]
    slow, broken = failing(503, "SlowDown", "Slow Down"), failing(500, "InternalError", "Internal Server Error")
    gone = [Recv(), Close()]
    found = {}
    for mode in ("legacy", "standard"):
        for name, scripts in {
            "throttled": [slow, listing],
            "broken": [broken, gone, listing],
            "never": [],
        }.items():
            policy = {"max_attempts": 2 if mode == "legacy" else 3, "mode": mode}
            with ScriptedServer(*scripts, default=broken) as server, client(server.url, retries=policy) as s3:
                seen = []
                seen += failures(lambda s3=s3, seen=seen: seen.append(told(s3.list_buckets())))
                found[f"{mode}, {name}"] = seen, len(server.requests)
    return found


@scene
def bodies_are_sent_again():
    busy = response(b"", status=503, reason="Slow Down", headers=[("Connection", "close")])
    script = [RecvHead(), Send(GO_ON), RecvBody(), Send(busy), Close()]
    good = [RecvHead(), Send(GO_ON), RecvBody(), Send(OK)]
    with ScriptedServer(script, good) as server, client(server.url, retries={"max_attempts": 1}) as s3:
        seen = told(s3.put_object(Bucket="b", Key="k", Body=io.BytesIO(LINES)))
        return seen, [LINES in request.body for request in server.requests]


@scene
def idle_connections_that_were_closed():
    once = [Recv(), Send(response(b"<ListAllMyBucketsResult></ListAllMyBucketsResult>")), Close()]
    with ScriptedServer(once, once) as server, client(server.url) as s3:
        first = told(s3.list_buckets())
        server.wait_over()
        return first, told(s3.list_buckets()), len(server.connections)


@scene
def tls():
    listing = response(b"<ListAllMyBucketsResult></ListAllMyBucketsResult>")
    certs = servers.certs
    pair = (certs.client_cert, certs.client_key)
    found = {}
    for name, verify, options in (
        ("trusted", certs.ca_file, {}),
        ("with a client certificate", certs.ca_file, {"client_cert": pair}),
        ("unverified", False, {}),
        ("another authority", certs.other_ca_file, {}),
    ):
        with (
            tls_server(
                default=[Recv(), Send(listing), Recv(), Send(listing)], client_ca=certs.ca_file, client_required=False
            ) as server,
            client(server.url.replace("127.0.0.1", "localhost"), verify=verify, **options) as s3,
            warnings.catch_warnings(record=True) as caught,
        ):
            warnings.simplefilter("always")
            calls = failures(s3.list_buckets, s3.list_buckets)
            names = [connection.client_name for connection in server.connections]
            found[name] = (
                calls,
                names,
                sorted({each.category.__name__ for each in caught} - {"ResourceWarning", "DeprecationWarning"}),
            )
    with tls_server(default=[Hold()]) as server, client(server.url, verify="/no/such/file") as s3:
        found["no such file"] = failures(s3.list_buckets)
    return found


@scene
def tls_through_a_proxy():
    listing = response(b"<ListAllMyBucketsResult></ListAllMyBucketsResult>")
    options = {"proxies": {"https": servers.squid.url}}
    with (
        tls_server(default=[Recv(), Send(listing)]) as server,
        client(server.url.replace("127.0.0.1", "localhost"), verify=servers.certs.ca_file, **options) as s3,
    ):
        return failures(s3.list_buckets), len(server.requests)


@scene
def unsigned_and_chunked():
    body = chunked_response([LINES[:7], LINES[7:]], headers=[("ETag", '"e"')])
    with ScriptedServer.always(body) as server, client(server.url, signature_version=UNSIGNED) as s3:
        found = {}
        for name in ("read", "chunks", "lines", "readlines", "iteration", "readinto", "time-out"):
            found[name] = READS[name](s3.get_object(Bucket="b", Key="k")["Body"])
        return found, server.requests[0].header("Authorization"), len(server.connections)


main()
moto.stop()
