"""CacheControl over requests: what is kept, revalidated and given out again; how it sees bodies pass."""

from __future__ import annotations

import gc
import glob
import gzip
import http.client
import os
import pickle

import requests
from cachecontrol import CacheControl, CacheControlAdapter
from cachecontrol.cache import DictCache
from cachecontrol.caches.file_cache import FileCache, SeparateBodyFileCache
from cachecontrol.filewrapper import CallbackFileWrapper
from cachecontrol.heuristics import ExpiresAfter
from cachecontrol.serialize import Serializer
from observing import chain, main, scene
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

from servers.scripted import Close, Recv, ScriptedServer, Send, chunked_response, response

TIMEOUT = 5
TEXT = b"".join(b"line %d\n" % number for number in range(500))
KEEP = [("Cache-Control", "max-age=3600"), ("Date", "Fri, 01 Jan 2100 00:00:00 GMT")]


def cached(cache=None, **options):
    return CacheControl(requests.Session(), cache=cache, **options)


def told(answer):
    return answer.status_code, answer.from_cache, answer.content, list(answer.headers.items()), answer.raw.closed


def twice(answer, read=requests.Response.content.fget, cache=None, **options):
    """What two requests give, how often the server was asked, and what the cache holds afterwards."""
    cache = DictCache() if cache is None else cache
    with cached(cache) as session, ScriptedServer.always(answer) as server:
        found = []
        for _ in range(2):
            with session.get(server.url + "/thing", timeout=TIMEOUT, **options) as got:
                found.append([got.from_cache, read(got)])
        return found, len(server.requests), len(server.connections), len(getattr(cache, "data", ()))


# --- what is cached ---------------------------------------------------------------------------------------------------


@scene
def plain():
    return twice(response(TEXT, headers=KEEP)), twice(response(b"", headers=KEEP)), twice(response(TEXT))


@scene
def chunks():
    answer = chunked_response([TEXT[:5], TEXT[5:1000], TEXT[1000:]], headers=KEEP)
    return twice(answer), twice(chunked_response([], headers=KEEP))


@scene
def codings():
    fields = [*KEEP, ("Content-Encoding", "gzip")]
    packed = gzip.compress(TEXT, mtime=0)
    return twice(response(packed, headers=fields)), twice(chunked_response([packed[:9], packed[9:]], headers=fields))


@scene
def until_closed():
    answer = [Recv(), Send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\n\r\n" + TEXT), Close()]
    with cached() as session, ScriptedServer(default=answer) as server:
        found = [told(session.get(server.url, timeout=TIMEOUT)) for _ in range(2)]
        return found, len(server.requests)


WAYS = {
    "content": lambda got: got.content,
    "by 1": lambda got: list(got.iter_content(1))[:3],
    "by 1000": lambda got: list(got.iter_content(1000)),
    "lines": lambda got: len(list(got.iter_lines())),
    "raw": lambda got: got.raw.read(),
    "raw twice": lambda got: [got.raw.read(100), got.raw.read(), got.raw.read()],
    "raw by 512": lambda got: list(iter(lambda: got.raw.read(512), b"")),
    "raw stream": lambda got: b"".join(got.raw.stream(300, decode_content=False)),
    "readinto": lambda got: [got.raw.readinto(bytearray(100)), got.raw.read()],
    "half": lambda got: got.raw.read(10),
    "nothing": lambda got: None,
}


@scene
def streamed():
    answer = response(TEXT, headers=KEEP)
    return {name: twice(answer, way, stream=True) for name, way in WAYS.items()}


@scene
def streamed_chunks():
    answer = chunked_response([TEXT[:5], TEXT[5:1000], TEXT[1000:]], headers=KEEP)
    ways = {name: way for name, way in WAYS.items() if name not in ("raw by 512", "readinto")}
    return {name: twice(answer, way, stream=True) for name, way in ways.items()}


@scene
def chunk_by_chunk():
    """Only from the server: urllib3 goes on for ever where a response from the cache is read in this way."""
    cache = DictCache()
    with cached(cache) as session, ScriptedServer.always(chunked_response([b"one", b"two"], headers=KEEP)) as server:
        with session.get(server.url, stream=True, timeout=TIMEOUT) as got:
            parts = list(got.iter_content(None))
        return parts, session.get(server.url, timeout=TIMEOUT).content, len(server.requests)


@scene
def streamed_codings():
    packed = gzip.compress(TEXT, mtime=0)
    answers = {
        "length": response(packed, headers=[*KEEP, ("Content-Encoding", "gzip")]),
        "chunks": chunked_response([packed[:9], packed[9:]], headers=[*KEEP, ("Content-Encoding", "gzip")]),
    }
    ways = ("content", "by 1000", "lines", "raw")
    return {kind: {way: twice(answers[kind], WAYS[way], stream=True) for way in ways} for kind in answers}


@scene
def cut():
    scripts = {
        "length": b"HTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nContent-Length: 9\r\n\r\nhal",
        "chunk": b"HTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhal",
    }

    def call(data, cache, **options):
        with cached(cache) as session, ScriptedServer([Recv(), Send(data), Close()]) as server:
            try:
                return session.get(server.url, timeout=TIMEOUT, **options).content
            except Exception as error:
                return chain(error)[:2]

    found = {}
    for name, data in scripts.items():
        cache = DictCache()
        found[name] = [call(data, cache), call(data, cache, stream=True), len(cache.data)]
    return found


# --- revalidation -----------------------------------------------------------------------------------------------------


@scene
def etags():
    first = response(TEXT, headers=[("ETag", '"one"'), ("X-Which", "first")])
    same = response(b"", status=304, reason="Not Modified", headers=[("ETag", '"one"'), ("X-Which", "second")])
    other = response(b"new", headers=[("ETag", '"two"')])
    script = [Recv(), Send(first), Recv(), Send(same), Recv(), Send(same), Recv(), Send(other), Recv(), Send(other)]
    with cached() as session, ScriptedServer(script) as server:
        found = [told(session.get(server.url, timeout=TIMEOUT)) for _ in range(3)]
        with session.get(server.url, timeout=TIMEOUT, stream=True) as got:
            found.append(b"".join(got.iter_content(2)))
        asked = [request.header("If-None-Match") for request in server.requests]
        return found, asked, len(server.connections)


@scene
def last_modified():
    when = "Fri, 01 Jan 2010 00:00:00 GMT"
    first = response(TEXT, headers=[("Last-Modified", when), ("ETag", '"x"')])
    same = response(b"", status=304, reason="Not Modified")
    with cached() as session, ScriptedServer([Recv(), Send(first), Recv(), Send(same)]) as server:
        found = [told(session.get(server.url, timeout=TIMEOUT)) for _ in range(2)]
        return found, [request.header("If-Modified-Since") for request in server.requests], len(server.connections)


@scene
def asked_for_otherwise():
    with cached() as session, ScriptedServer.always(response(TEXT, headers=[*KEEP, ("Vary", "X-Kind")])) as server:
        calls = [{}, {}, {"X-Kind": "a"}, {"X-Kind": "a"}, {"X-Kind": "b"}, {"Cache-Control": "no-cache"}]
        found = [session.get(server.url, headers=each, timeout=TIMEOUT).from_cache for each in calls]
        session.put(server.url, data=b"", timeout=TIMEOUT)
        found.append(session.get(server.url, timeout=TIMEOUT).from_cache)
        return found, [request.method for request in server.requests]


@scene
def redirects():
    moved = response(b"moved", status=301, reason="Moved", headers=[("Location", "/new")])
    script = [Recv(), Send(moved), Recv(), Send(response(TEXT, headers=KEEP))]
    with cached() as session, ScriptedServer(script) as server:
        got = [session.get(server.url + "/old", timeout=TIMEOUT) for _ in range(2)]
        told_of = [(each.content, [old.from_cache for old in each.history], each.from_cache) for each in got]
        return told_of, [request.target for request in server.requests]


@scene
def heuristics():
    answer = response(TEXT, headers=[("Date", "Fri, 01 Jan 2100 00:00:00 GMT")])
    with cached(heuristic=ExpiresAfter(days=1)) as session, ScriptedServer.always(answer) as server:
        got = [session.get(server.url, timeout=TIMEOUT) for _ in range(2)]
        return [(each.from_cache, each.content, each.headers.get("warning")) for each in got]


# --- where it is kept -------------------------------------------------------------------------------------------------


def directory(name):
    return os.path.join(os.environ["TMPDIR"], name)


@scene
def files():
    kinds = {"one": FileCache, "separate": SeparateBodyFileCache}
    found = {}
    for name, kind in kinds.items():
        found[name] = [
            twice(response(TEXT, headers=KEEP), cache=kind(directory(name + "-length"))),
            twice(chunked_response([TEXT[:7], TEXT[7:]], headers=KEEP), cache=kind(directory(name + "-chunks"))),
            twice(response(TEXT, headers=KEEP), WAYS["by 1000"], kind(directory(name + "-stream")), stream=True),
        ]
    written = [os.path.getsize(path) for path in glob.glob(directory("*-length") + "/**/*.body", recursive=True)]
    return found, written


@scene
def other_sessions():
    where = directory("shared")
    with ScriptedServer.always(response(TEXT, headers=KEEP)) as server:
        with cached(FileCache(where)) as session:
            session.get(server.url, timeout=TIMEOUT)
        with cached(FileCache(where)) as session:
            return told(session.get(server.url, timeout=TIMEOUT)), len(server.requests)


@scene
def serialized():
    """By hand: a response to bytes and back."""
    with ScriptedServer.always(response(TEXT, headers=[("X-A", "1"), ("X-A", "2"), ("Vary", "Accept")])) as server:
        with requests.get(server.url, stream=True, timeout=TIMEOUT) as got:
            data = Serializer().dumps(got.request, got.raw)
            again = Serializer().loads(got.request, data)
            left = got.raw.read(5), got.raw.length_remaining, got.raw.read()
        fields = (type(again) is HTTPResponse, again.status, again.reason, again.version, dict(again.headers))
        return data, left, fields, again.read(9), again.tell(), again.data, again.closed


@scene
def pickled():
    with cached() as session, ScriptedServer.always(response(TEXT, headers=KEEP)) as server:
        got = [session.get(server.url, timeout=TIMEOUT) for _ in range(2)]
        return [pickle.loads(pickle.dumps(each)).content == TEXT for each in got]


# --- what it replaces -------------------------------------------------------------------------------------------------


@scene
def wrapped():
    answers = {"length": response(TEXT, headers=KEEP), "chunks": chunked_response([TEXT], headers=KEEP)}
    found = {}
    for name, answer in answers.items():
        with (
            cached() as session,
            ScriptedServer.always(answer) as server,
            session.get(server.url, stream=True, timeout=TIMEOUT) as got,
        ):
            raw = got.raw
            before = type(raw._fp) is CallbackFileWrapper, raw.chunked, raw.closed, raw._fp.isclosed()
            parts = [raw.read(4), raw.tell(), raw.read(1), raw.length_remaining]
            rest = raw.read()
            found[name] = (
                before,
                parts,
                rest,
                raw.closed,
                raw._fp.isclosed(),
                isinstance(raw._original_response, http.client.HTTPResponse),
            )
    return found


@scene
def chunk_lengths():
    with (
        ScriptedServer.always(chunked_response([b"abc", b"defgh", b"i"])) as server,
        requests.get(server.url, stream=True, timeout=TIMEOUT) as got,
    ):
        seen, original = [], got.raw._update_chunk_length

        def noting():
            original()
            seen.append(got.raw.chunk_left)

        got.raw._update_chunk_length = noting
        return list(got.raw.stream(4)), seen


@scene
def connections_come_back():
    answers = [response(TEXT, headers=KEEP), chunked_response([TEXT], headers=KEEP)]
    found = []
    for answer in answers:
        with requests.Session() as session, ScriptedServer.always(answer) as server:
            session.mount("http://", CacheControlAdapter(pool_maxsize=1, pool_block=True))
            for number in range(4):
                with session.get(f"{server.url}/{number}", stream=True, timeout=TIMEOUT) as got:
                    got.raw.read(10) if number == 1 else got.content
                del got
                gc.collect()
            found.append(len(server.connections))
    return found


@scene
def beside_plain_adapters():
    with cached() as session, ScriptedServer.always(response(TEXT, headers=KEEP)) as server:
        session.mount(server.url + "/plain", HTTPAdapter())
        got = [session.get(server.url + path, timeout=TIMEOUT) for path in ("/plain", "/plain", "/x", "/x")]
        return [(getattr(each, "from_cache", None), each.content == TEXT) for each in got]


main()
