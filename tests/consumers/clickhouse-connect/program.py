"""clickhouse-connect: queries, streams of blocks, inserts, compression, retries, and the options of its managers."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import logging
import re
import zlib
from functools import partial
from urllib.parse import parse_qsl, urlsplit

import clickhouse_connect
import lz4.frame
from backports import zstd
from clickhouse_connect import common
from clickhouse_connect.driver import httputil
from clickhouse_connect.driver.exceptions import StreamClosedError
from observing import chain, main, scene, servers

from servers._wire import decode_chunked
from servers.scripted import ScriptedServer, chunked_response, response
from servers.tls import TLSServer

SERVERS = ("certs", "squid")

TIMEOUT = 5
logging.disable(logging.CRITICAL)
common.set_setting("autogenerate_session_id", False)
common.set_setting("autogenerate_query_id", False)

CODERS = {
    "gzip": partial(gzip.compress, mtime=0),
    "deflate": zlib.compress,
    "lz4": lz4.frame.compress,
    "zstd": zstd.compress,
    "": bytes,
}
BOUNDARY = re.compile("[0-9a-f]{32}")
DECODERS = {"gzip": gzip.decompress, "lz4": lz4.frame.decompress, "zstd": zstd.decompress, None: bytes}


# --- as much of ClickHouse as its client needs ------------------------------------------------------------------------


def varint(number):
    found = b""
    while number > 127:
        found, number = found + bytes([number & 127 | 128]), number >> 7
    return found + bytes([number])


def text(value):
    return varint(len(value.encode())) + value.encode()


def native(columns):
    """A block of ClickHouse's Native format: its columns by name and type."""
    rows = len(columns[0][2])
    found = varint(len(columns)) + varint(rows)
    for name, kind, values in columns:
        found += text(name) + text(kind)
        for value in values:
            found += text(value) if kind == "String" else int(value).to_bytes(int(kind[4:]) // 8, "little")
    return found


def numbers(first, size=100):
    values = range(first, first + size)
    return native([("n", "UInt64", values), ("s", "String", [f"ö{value}" for value in values])])


SETTINGS = native(
    [
        (
            "name",
            "String",
            ["enable_http_compression", "send_progress_in_http_headers", "http_headers_progress_interval_ms"],
        ),
        ("value", "String", ["0", "0", "100"]),
        ("readonly", "UInt8", [0, 0, 0]),
    ]
)
FIELDS = [
    ("X-ClickHouse-Query-Id", "the-id"),
    ("X-ClickHouse-Timezone", "UTC"),
    ("X-ClickHouse-Summary", '{"read_rows":"3","written_rows":"2"}'),
]


class ClickHouse:
    """Answers by what the query says; ``special`` has answers for some, each used once."""

    def __init__(self, **special):
        self.special = {name: list(answers) for name, answers in special.items()}
        self.seen = []

    def __call__(self, conn):
        while True:
            request = conn.recv()
            answer = self.answer_to(request)
            if answer is None:
                return
            conn.send(answer)
            if b"Connection: close" in answer[:500] or b"X-Cut" in answer[:500]:
                return

    def answer_to(self, request):
        parameters = dict(parse_qsl(urlsplit(request.target).query))
        body = self.content(request)
        query = parameters.get("query") or body.decode("latin-1")
        query = BOUNDARY.sub("-", query)
        self.seen.append(
            (request.method, parameters, query if len(query) < 400 else len(query), self.interesting(request))
        )
        for name, answers in self.special.items():
            if name in query and answers:
                return answers.pop(0)
        coding = next((name for name in ("gzip", "lz4", "zstd") if request.header("accept-encoding") == name), "")
        return self.known(query, body, coding)

    @staticmethod
    def interesting(request):
        names = ("authorization", "accept-encoding", "content-encoding", "transfer-encoding", "content-type", "x-mine")
        return {name.lower(): BOUNDARY.sub("-", value) for name, value in request.headers if name.lower() in names}

    @staticmethod
    def content(request):
        body = request.body
        if request.header("transfer-encoding"):
            body = decode_chunked(body)
        try:
            return DECODERS[request.header("content-encoding")](body)
        except RuntimeError:  # of lz4: the client gave up
            return body

    def known(self, query, body, coding):
        fields = [*FIELDS, ("Content-Encoding", coding)] if coding else FIELDS
        code = CODERS[coding]
        if "version()" in query:
            return response(b"25.8.1.1\tUTC\n", headers=FIELDS)
        if "system.settings" in query:
            return response(code(SETTINGS), headers=fields)
        if query.startswith("INSERT"):
            return response(b"", headers=FIELDS)
        if "DESCRIBE" in query:
            kinds = [("name", ["n", "s"]), ("type", ["UInt64", "String"]), ("default_type", ["", ""])]
            more = ("default_expression", "comment", "codec_expression", "ttl_expression")
            columns = [(name, "String", values) for name, values in [*kinds, *((name, ["", ""]) for name in more)]]
            return response(code(native(columns)), headers=fields)
        if "FORMAT JSON" in query:
            meta = [{"name": "n", "type": "UInt64"}]
            return response(json.dumps({"meta": meta, "data": []}).encode(), headers=FIELDS)
        if "many" in query:
            whole = code(b"".join(numbers(first) for first in range(0, 3000, 100)))
            pieces = [whole[at : at + 7000] for at in range(0, len(whole), 7000)]
            return chunked_response(pieces, headers=fields)
        if "FORMAT Native" in query:
            return response(code(numbers(0, 3)), headers=fields)
        if "TSV" in query:
            return response(b"1\ta\n2\tb\n", headers=FIELDS)
        return response(b"1\n", headers=FIELDS)


def client(server, **more):
    options = {"username": "me", "password": "pässword", "connect_timeout": TIMEOUT, "send_receive_timeout": TIMEOUT}
    return clickhouse_connect.get_client(host="127.0.0.1", port=server.port, **{**options, **more})


# What tells how much is missing: an IncompleteRead of http.client, or of a class derived from that.
MISSING = {"urllib3.exceptions.IncompleteRead", "urllib3.exceptions.InvalidChunkLength"}


def failure(call):
    """What the call gives or raises, with what the exceptions of clickhouse-connect carry."""
    try:
        return call()
    except Exception as error:
        causes = chain(error.__cause__) if error.__cause__ else []
        alike = ["http.client.IncompleteRead" if name in MISSING else name for name in causes]
        return chain(error), getattr(error, "code", None), alike


# --- queries ----------------------------------------------------------------------------------------------------------


@scene
def queries():
    house = ClickHouse()
    with ScriptedServer(default=house) as server:
        with client(server, headers={"X-Mine": "1"}, database="d") as connection:
            result = connection.query("SELECT n, s FROM t WHERE n < {top:UInt64}", parameters={"top": 5})
            found = [
                (result.column_names, result.result_rows, result.summary, result.query_id),
                connection.query("SELECT n FROM t LIMIT 0").column_names,
                connection.command("SELECT 1"),
                connection.command("CREATE TABLE t (n UInt64) ENGINE Memory"),
                connection.raw_query("SELECT 1", fmt="TSV"),
                connection.ping(),
                connection.server_version,
                connection.query("SELECT 1", settings={"send_progress_in_http_headers": "1"}).row_count,
            ]
        return found, house.seen, len(server.connections)


@scene
def form_fields():
    from clickhouse_connect.driver.external import ExternalData

    house = ClickHouse()
    with ScriptedServer(default=house) as server:
        connection = client(server, form_encode_query_params=True)
        rows = connection.query("SELECT {a:String}", parameters={"a": "ä" * 10}).result_rows
        data = ExternalData(file_name="x.csv", data=b"1,a\n", fmt="CSV", structure=["n UInt64", "s String"])
        more = connection.query("SELECT * FROM x", external_data=data).result_rows
        return rows, more, house.seen[2:]


@scene
def compression():
    found = {}
    for coding in ("gzip", "lz4", "zstd", True, False):
        house = ClickHouse()
        with ScriptedServer(default=house) as server:
            connection = client(server, compress=coding)
            rows = connection.query("SELECT many").result_rows
            connection.insert("t", [[1, "a"], [2, "b"]], column_names=["n", "s"])
            found[coding] = len(rows), rows[-1], house.seen[-1], connection.raw_query("SELECT 1")
    return found


# --- streams ----------------------------------------------------------------------------------------------------------


@scene
def streams():
    with ScriptedServer(default=ClickHouse()) as server:
        connection = client(server)
        found = {}
        with connection.query_column_block_stream("SELECT many") as stream:
            found["columns"] = [len(block[0]) for block in stream]
        with connection.query_row_block_stream("SELECT many") as stream:
            found["rows"] = sum(len(block) for block in stream)
        with connection.query_rows_stream("SELECT many") as stream:
            found["row"] = next(iter(stream))
        with connection.raw_stream("SELECT many", fmt="Native") as stream:
            found["raw"] = type(stream), len(stream.read(1000)), len(stream.read()), stream.read()
        stream = connection.query_rows_stream("SELECT many")
        found["not entered"] = failure(lambda: next(iter(stream)))
        with stream:
            pass
        found["after"] = failure(lambda: next(iter(stream))), StreamClosedError
        return found, len(server.connections)


@scene
def broken_streams():
    whole = chunked_response([numbers(0), numbers(100)], headers=FIELDS)
    coded = lz4.frame.compress(numbers(0) + numbers(100))
    broken = {
        "cut": whole[:2000],
        "cut in a chunk size": whole.rpartition(b"\r\n0\r\n")[0],
        "no end": whole.rpartition(b"0\r\n\r\n")[0],
        "garbage": whole.replace(b"\r\n\r\n", b"\r\n\r\nzz\r\n", 1),
        "short": response(numbers(0), headers=FIELDS, length=9999),
        "coding": response(b"no gzip", headers=[*FIELDS, ("Content-Encoding", "gzip")]),
        "lz4 cut": response(coded[:-100], headers=[*FIELDS, ("Content-Encoding", "lz4")]),
    }
    found = {}
    for name, answer in broken.items():
        head, _, body = answer.partition(b"\r\n")
        house = ClickHouse(odd=[head + b"\r\nX-Cut: 1\r\n" + body] * 3)
        with ScriptedServer(default=house) as server:
            connection = client(server, query_retries=0)
            query = failure(lambda: connection.query("SELECT odd").row_count)  # noqa: B023

            def stream():
                with connection.query_column_block_stream("SELECT odd") as blocks:  # noqa: B023
                    return [len(block[0]) for block in blocks]

            found[name] = query, failure(stream), failure(lambda: len(connection.raw_query("SELECT odd")))  # noqa: B023
    return found


# --- inserts ----------------------------------------------------------------------------------------------------------


@scene
def inserts():
    house = ClickHouse()
    rows = [[number, f"ö{number}"] for number in range(20_000)]
    with ScriptedServer(default=house) as server:
        connection = client(server)
        whole = connection.insert("t", rows)
        raw = connection.raw_insert("t", ["n"], "1\n2\n", fmt="CSV")
        blocks = connection.raw_insert("t", None, (piece for piece in (b"1\n", b"2\n")), fmt="CSV")
        file = connection.raw_insert("t", None, gzip.compress(b"1\n", mtime=0), fmt="CSV", compression="gzip")
        lines = connection.raw_insert("t", None, io.BytesIO(b"1\n2\n3\n"), fmt="CSV")
        summaries = [(each.written_rows, each.query_id()) for each in (whole, raw, blocks, file, lines)]
    return summaries, house.seen[2:], len(server.connections)


@scene
def inserts_that_fail():
    refused = response(
        b"Code: 27. DB::Exception: no", status=400, reason="Bad", headers=[("X-ClickHouse-Exception-Code", "27")]
    )
    house = ClickHouse(INSERT=[refused, refused])
    with ScriptedServer(default=house) as server:
        connection = client(server)
        return (
            failure(lambda: connection.insert("t", [[1, "a"]])),
            failure(lambda: connection.raw_insert("t", None, iter([b"1\n"]), fmt="CSV")),
            failure(lambda: connection.insert("t", [["not a number", "a"]])),
            connection.command("SELECT 1"),
        )


# --- errors and retries -----------------------------------------------------------------------------------------------


@scene
def errors():
    def said(code, status=500, coding=""):
        fields = [("X-ClickHouse-Exception-Code", str(code)), *([("Content-Encoding", coding)] if coding else [])]
        body = CODERS[coding](f"Code: {code}. DB::Exception: no (NO_WAY) (version 25.8)".encode())
        return response(body, status=status, reason="No", headers=fields)

    found = {}
    for name, answer in {
        "plain": said(47, 404),
        "lz4": said(60, 404, "lz4"),
        "gzip": said(60, 404, "gzip"),
        "in a 200": said(60, 200),
        "no code": response(b"oops", status=502, reason="Bad Gateway"),
        "404": response(b"", status=404, reason="Not Found"),
    }.items():
        with ScriptedServer(default=ClickHouse(odd=[answer])) as server:
            found[name] = failure(lambda: client(server).query("SELECT odd"))
    return found, failure(lambda: clickhouse_connect.get_client(host="127.0.0.1", port=1))


BUSY = response(b"busy", status=503, reason="Busy")
CUT_HEAD = b"HTTP/1.1 200 OK\r\n" + b"".join(b'X-ClickHouse-Progress: {"n":"%d"}\r\n' % n for n in range(3))
RETRIES = {
    "busy": [BUSY, BUSY],
    "too busy": [BUSY, BUSY, BUSY],
    "lost": [None],
    "lost again": [None, None, None, None, None, None],
}


@scene
def retries():
    found = {}
    for name, answers in RETRIES.items():
        house = ClickHouse(odd=list(answers))
        with ScriptedServer(default=house) as server:
            connection = client(server, query_retries=2)
            calls = {
                "query": lambda: connection.query("SELECT odd").row_count,  # noqa: B023
                "command": lambda: connection.command("SELECT odd"),  # noqa: B023
                "insert": lambda: connection.insert("odd", [[1, "a"]], column_names=["n", "s"]).written_rows,  # noqa: B023
            }
            for kind, call in calls.items():
                house.special["odd"] = list(answers)
                found[f"{name}, {kind}"] = failure(call), len(house.seen)
    return found


@scene
def end_within_the_progress():
    """The end of the connection after nothing but progress fields, which http.client takes for the end of the head."""
    house = ClickHouse(odd=[CUT_HEAD, None])

    def serve(conn):
        while True:
            request = conn.recv()
            answer = house.answer_to(request)
            if answer is None:
                return
            conn.send(answer)
            if answer == CUT_HEAD:
                return

    with ScriptedServer(default=serve) as server:
        connection = client(server)
        return failure(lambda: connection.query("SELECT odd").row_count), len(house.seen)


@scene
def tokens():
    expired = response(b"expired", status=403, reason="No", headers=[("X-ClickHouse-Exception-Code", "516")])
    issued = iter(("first", "second"))
    house = ClickHouse(odd=[expired])
    with ScriptedServer(default=house) as server:
        options = {"username": None, "password": "", "token_provider": lambda: next(issued)}
        rows = client(server, **options).query("SELECT odd").row_count
    return rows, [seen[3]["authorization"] for seen in house.seen]


@scene
def many_fields():
    fields = [("X-ClickHouse-Progress", f'{{"read_rows":"{number}"}}') for number in range(2000)]
    house = ClickHouse(odd=[response(numbers(0, 3), headers=[*fields, *FIELDS])])
    with ScriptedServer(default=house) as server:
        result = client(server).query("SELECT odd")
    return http.client._MAXHEADERS, result.row_count, result.summary


@scene
def time_outs():
    house = ClickHouse()

    def serve(conn):
        while True:
            request = conn.recv()
            if b"odd" in request.body:
                conn.hold()
            conn.send(house.answer_to(request))

    with ScriptedServer(default=serve) as server:
        connection = client(server)
        connection.timeout = connection.timeout.clone()
        connection.timeout._read = 0.05
        return failure(lambda: connection.query("SELECT odd"))


# --- managers ---------------------------------------------------------------------------------------------------------


@scene
def managers():
    manager = httputil.get_pool_manager(keep_interval=5, keep_count=2, keep_idle=7, maxsize=3, block=True, num_pools=2)
    options = {name: value for name, value in manager.connection_pool_kw.items() if name != "ca_certs"}
    with ScriptedServer(default=ClickHouse()) as server:
        with client(server, pool_mgr=manager) as connection:
            connection.query("SELECT 1")
            pool = manager.connection_from_url(server.url)
            sock = pool.pool.queue[-1].sock
            set_ = [sock.getsockopt(level, name) for level, name, _ in options["socket_options"]]
        known = manager in httputil.all_managers, httputil.default_pool_manager() in httputil.all_managers
        httputil.all_managers[manager] = 0
        common.set_setting("max_connection_age", 1)
        httputil.check_conn_expiration(manager)
        common.set_setting("max_connection_age", 600)
        cleared = len(manager.pools), httputil.all_managers[manager] > 0
        with client(server, dedicated_pool=True) as other:
            own = other.http
            other.command("SELECT 1")
        closed = failure(lambda: own in httputil.all_managers), len(own.pools)
        httputil._close_pool_manager(manager)
        return options, set_, known, cleared, closed, len(server.connections)


@scene
def proxies():
    with ScriptedServer(default=ClickHouse()) as server:
        connection = client(server, http_proxy=servers.squid.url)
        rows = connection.query("SELECT 1").result_rows
        return rows, type(connection.http), server.requests[-1].header("via") is not None


class Shown:
    """The certificate of the TLS server below."""

    @staticmethod
    def load_into(context):
        context.load_cert_chain(servers.certs.server_cert, servers.certs.server_key)


@scene
def tls():
    certs = servers.certs

    def get(host="localhost", **more):
        client_ca = {"client_ca": certs.ca_file, "client_required": False}
        with TLSServer(default=ClickHouse(), certificate=Shown, **client_ca) as server:
            options = {"interface": "https", "username": "me", "password": "p", "connect_timeout": TIMEOUT}

            def call():
                with clickhouse_connect.get_client(host=host, port=server.port, **options, **more) as connection:
                    return connection.query("SELECT 1").result_rows

            found = failure(call)
            return found, server.connections[0].client_name, server.connections[0].sni

    ca = {"ca_cert": certs.ca_file}
    return {
        "ca": get(**ca),
        "other ca": get(ca_cert=certs.other_ca_file),
        "unverified": get(verify=False),
        "certifi": get(ca_cert="certifi"),
        "client": get(client_cert=certs.client_cert, client_cert_key=certs.client_key, **ca),
        "server name": get("127.0.0.1", server_host_name="localhost", **ca),
        "other server name": get(server_host_name="example.org", **ca),
        "proxy": get(https_proxy=servers.squid.url, **ca),
    }


main()
