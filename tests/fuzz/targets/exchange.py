"""The whole exchange: ``_core.exchange``. Input: options, seed, which request, reads, what the peer sends.

What the peer sends for one request ends where ``FF FF`` stands. However it is cut, whatever carries it (a descriptor or
an object) and however it is read, the first answer is the same, or the same refusal; only documented errors come out;
what was sent is one request; memory follows what was received; after an error nothing goes on.
"""

from __future__ import annotations

from typing import Any

from fuzz.inputs import random_cut, take
from fuzz.request_reader import read_request
from servers.wires import ObjectWire, Silence, SocketWire
from wirepool._core.chunked import decode_chunked
from wirepool._core.errors import ConnectionLost, CoreError, ProtocolViolation, RequestRefused, WaitTimeout
from wirepool._core.exchange import Exchange

CLOSES, HEAD, PRELOAD, DESCRIPTOR = 1, 2, 4, 128
SKIP = "leave it out"
BODIES: tuple[bytes | None, ...] = (None, None, b"", b"body", b"x" * 5000)
HEADERS: tuple[Any, ...] = (
    None,
    {"A": "b"},
    {"Host": SKIP, "User-Agent": SKIP, "Accept-Encoding": SKIP},
    {"Transfer-Encoding": "chunked"},
    {"Transfer-Encoding": "chunked", "Content-Length": "4"},
    {"A": "b\r\nC: d"},
    {"A": SKIP},
    {"host": b"x", "user-agent": "y", "accept-encoding": "z"},
)
AMOUNTS = (1, 2, 3, 7, 16, 100, 1000, 4096, 5000, 70000)
# What an exchange may hold: what it received, doubled twice by growing, the request, and room for one receive.
HELD = 4, 65536


#: Stands for the body where somebody else read it on.
DETACHED = object()


class Misuse(AssertionError):
    """Something that must not be."""


class Detached(Exception):
    """The rest was read by somebody else, who got this body."""


def need(truth: Any, what: str) -> None:
    if not truth:
        raise Misuse(what)


def check(data: bytes) -> None:
    given = take(data)
    if given is None or len(given.data) < 3:
        return
    which, n_reads = given.data[0], given.data[1] & 15
    reads = given.data[2 : 2 + n_reads]
    script = given.data[2 + n_reads :].split(b"\xff\xff")
    ask = request_of(which, bool(given.options & HEAD))
    whole = run(ObjectWire, [[part] if part else [] for part in script[:1]], given.options & CLOSES, ask, b"")
    cut = [pieces_of(part, given.seed) for part in script]
    kind = (
        SocketWire if given.options & DESCRIPTOR and sum(map(len, script)) < 30000 and len(script) < 4 else ObjectWire
    )
    if given.options & PRELOAD:
        ask["preload"] = True
    if len(script) > 1:  # what follows the first answer is no part of it, if that is not over
        run(kind, cut, given.options & CLOSES, ask, reads)
        cut = cut[:1]
    found = run(kind, cut, given.options & CLOSES, ask, reads)
    if found[1] is not DETACHED:
        need(found[:2] == whole[:2], "the same answer, or refusal, however it comes and is read")
        need(found[2] or not whole[2], "a connection that is free is so whatever the cut")
    elif isinstance(whole[1], bytes):
        need(found[0] == (*whole[0], whole[1]), "the same body, read on by somebody else")


def pieces_of(part: bytes, seed: int) -> list[bytes]:
    pieces = []
    for size in random_cut(len(part), seed) if seed else [len(part)]:
        pieces.append(part[:size])
        part = part[size:]
    return [piece for piece in pieces if piece]


def request_of(which: int, head: bool) -> dict[str, Any]:
    return {
        "method": "HEAD" if head else "GET",
        "headers": HEADERS[which % len(HEADERS)],
        "body": BODIES[which // 8 % len(BODIES)],
        "in_blocks": which // 8 % 16 >= 12,
        "preload": False,
    }


# --- one run ----------------------------------------------------------------------------------------------------------


def run(wire: Any, script: list[list[bytes]], closes: int, ask: dict[str, Any], reads: bytes) -> tuple[Any, Any, bool]:
    """(what came of the first request, its body or error, whether another could follow)."""
    received = sum(len(piece) for part in script for piece in part)
    with wire([piece for part in script for piece in part], "close" if closes else "open") as peer:
        carrier = peer if wire is ObjectWire else peer.ours.fileno()
        exchange = Exchange(carrier, "example.org", "fuzz", SKIP, wire is ObjectWire)
        first = one_request(exchange, peer, ask, reads, received)
        free = exchange.idle
        if first[1] == "refused":
            need(not peer.sent, "nothing of a refused request is sent")
        elif free:
            check_request(peer.sent, ask)
        for _ in script[1:]:
            if exchange.idle:
                one_request(exchange, peer, ask, reads, received)
    return (*first, free)


def one_request(exchange: Exchange, peer: Any, ask: dict[str, Any], reads: bytes, received: int) -> tuple[Any, Any]:
    result: Any = None
    try:
        result = send(exchange, ask)
        body = result[4] if ask["preload"] else read_all(exchange, peer, reads, received)
        need(exchange.complete and exchange.held <= 2 * received + 1024, "a body ends with its exchange")
        need(exchange.received == len(body), "what was received is counted")
        return result[:4], body
    except RequestRefused:
        need(exchange.idle and exchange.held == 0, "a refused request leaves nothing")
        return None, "refused"
    except (ProtocolViolation, ConnectionLost, WaitTimeout, Silence) as error:
        check_broken(exchange, ask)
        return None, "silence" if isinstance(error, (WaitTimeout, Silence)) else error.status
    except Detached as error:
        return (*result[:4], error.args[0]), DETACHED


def send(exchange: Exchange, ask: dict[str, Any]) -> Any:
    method, headers, body = ask["method"], ask["headers"], ask["body"]
    if not ask["in_blocks"]:
        return exchange.request(method, "/", headers, body, ask["preload"], 1.0, 0.0, 100, False)
    length = -1 if body is None else len(body)
    need(exchange.begin(method, "/", headers, length, 100, False), "nobody asked whether it is alive")
    for block in (b"", b"block") if body is None else (body[:3], body[3:]):
        exchange.send(block, 1.0)
    return exchange.finish(ask["preload"], 1.0, 0.0)


def check_broken(exchange: Exchange, ask: dict[str, Any]) -> None:
    need(not exchange.idle and not exchange.reusable and exchange.held == 0, "after an error it is over")
    need(exchange.failed_while in ("head", "body"), "and it is known where it came")
    need(exchange.trailers is None, "without trailers")
    for again in (lambda: send(exchange, ask), exchange.read):
        try:
            again()
        except (RuntimeError, CoreError):
            continue
        raise Misuse("a broken exchange goes on")


def check_request(sent: Any, ask: dict[str, Any]) -> None:
    """What went out is one request: the fields that were asked for, and the body."""
    request = read_request(bytes(sent))
    body = ask["body"] or b""
    need(request.method == ask["method"].encode() and request.target == b"/", "the request line")
    need(request.body == (b"block" if ask["in_blocks"] and ask["body"] is None else body), "the body")


# --- reading ----------------------------------------------------------------------------------------------------------


def read_all(exchange: Exchange, peer: Any, reads: bytes, received: int) -> bytes:
    """The body, by the calls that ``reads`` says, over and over."""
    if not reads:
        return exchange.read()
    out = b""
    at = 0
    while True:
        before = exchange.complete
        piece = one_read(exchange, reads[at % len(reads)])
        if piece is None:
            raise Detached(out + rest_of(exchange, peer))
        out += piece
        at += 1
        need(exchange.held <= HELD[0] * received + HELD[1], "memory follows what was received")
        need(not (before and piece), "nothing comes behind the end")
        if not piece:
            need(exchange.complete, "only the end is empty")
            return out


def one_read(exchange: Exchange, how: int) -> bytes | None:
    amount = AMOUNTS[(how >> 3) % len(AMOUNTS)]
    kind = how & 7
    if kind == 0:
        return exchange.read()
    if kind in (1, 2):
        piece = exchange.read(amount)
        need(len(piece) == amount or exchange.complete, "read() gives all that was asked for")
    elif kind == 3:
        piece = exchange.read1(amount)
    elif kind == 4:
        piece = exchange.read_chunk(amount)
    elif kind == 5:
        room = bytearray(amount)
        piece = bytes(room[: exchange.readinto(room)])
    elif kind == 6:
        return exchange.read1()
    else:
        return None if how >> 3 == 31 else exchange.read_chunk()
    need(len(piece) <= amount, "no more than asked for")
    return piece


def rest_of(exchange: Exchange, peer: Any) -> bytes:
    """Takes the exchange apart; what it gives back, and what is still to come, read by other means."""
    over = exchange.complete
    rest, framing, left, chunk_left = exchange.detach()
    need(not exchange.idle and exchange.held == 0, "nothing goes on after that")
    if over:
        need((rest, framing, left, chunk_left) == (b"", "none", 0, None), "nothing is given back behind the end")
        return b""
    data = rest + peer.rest()
    if framing == "length":
        return data[:left]
    return data if framing == "close" else rest_of_chunks(data, chunk_left)


def rest_of_chunks(data: bytes, chunk_left: int | None) -> bytes:
    if chunk_left is not None:  # in the middle of a chunk, whose size line is made up here
        data = (b"%x\r\n" % chunk_left if chunk_left else b"1\r\nx") + data
    try:
        body = decode_chunked(data)[0]
    except ProtocolViolation:
        return b""
    return body[1:] if chunk_left == 0 else body
