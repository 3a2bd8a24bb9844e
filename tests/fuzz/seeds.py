"""First inputs for every target, made of the corpus of responses and of tables:  python -m fuzz.seeds DIRECTORY

What fuzzing finds useful in them, and beside them, is committed as ``corpus``; see run.py, --minimise.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from .inputs import EXPAND
from .targets import TARGETS

WIRE_CASES = Path(__file__).parents[1] / "data" / "wire_cases.json"
LARGEST = 4000

# At the limits, in short form (inputs.py): a line, the fields, a whole head; a size line.
LONG_HEADS = [
    b"HTTP/1.1 200 x" + b"\xfe\xff" * 4 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: x" + b"\xfe\xff" * 4 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\na:b\n\xfd\x60\xfd\x02\r\n",
    b"HTTP/1.1 200 OK\r\n" + (b"A: x" + b"\xfe\xff" * 3 + b"\r\n") * 22 + b"\r\n",
    # Two octets more than a head may have, the end of its last line.
    b"HTTP/1.1 200 OK\r\n" + (b"A: x" + b"\xfe\xff" * 3 + b"\r\n") * 21 + b"B: y\xfe\xfc" + b"y" * 43 + b"\r\n\r\n",
]
LONG_CHUNKS = [b"1;x\xfe\xff\r\na\r\n0\r\n\r\n", b"0\xfe\xff1\r\na\r\n", b"1 \xfe\x40\r\na\r\n0\r\n\r\n"]

REQUESTS = [
    b"GET\xff\xff/\xff\xffHost\xff\xffexample.org\xff\xffAccept-Encoding\xff\xffgzip, br",
    b"POST\xff\xff/a/b?c=d&e=%20\xff\xffContent-Length\xff\xff5\xff\xffX-Caf\xe9\xff\xff\xe9t\xe9",
    b"GET\xff\xff/ HTTP/1.1\r\nA: b\xff\xffA\xff\xffb\r\nC: d",
    b"M-SEARCH\xff\xff*\xff\xffUser-Agent\xff\xff\tx y\x00\xff\xffTransfer-Encoding\xff\xffchunked\xff\xff\xff\xff",
    b"CONNECT\xff\xffexample.org:443\xff\xffX\xff\xff\xe2\x82\xac\xff\xffY: z\xff\xff1",
]
URLS = [
    "http://example.org/",
    "https://user:p%40ss@EXAMPLE.org:8080/a/../b/./c?d=e f#g",
    "http://[::1]:80/",
    "http://[fe80::1%25eth0]/%zz",
    "http://[1:2:3:4:5:6:127.0.0.1]",
    "//host/path",
    "host.example:99/x?y",
    "HTTP://bücher.example/ä?ö#ü",
    "http://a\r\nb/",
    "http://a b/",
    "http://127.1:065535/",
    "http://0x7f.1/",
    "ftp://example.org:21/../x",
    "http://a%2eb%41/%c3%a4",
    "http://a:99999/",
    "http://@:80?x",
    "a/b/c/./../../g",
    "/plain/path?and=query",
    "/%41/%zz/../x y?z#f",
    "\\\\evil\\path",
    "http://good\\@evil/",
    "http://ⅷ.example/",
]


def responses() -> Iterator[tuple[bool, bytes]]:
    for case in json.loads(WIRE_CASES.read_text(encoding="utf-8")):
        wire = base64.b64decode(case["response_b64"])
        if len(wire) <= LARGEST:
            yield case["method"] == "HEAD", wire


def head() -> Iterator[bytes]:
    for is_head, wire in responses():
        yield bytes([is_head, 0]) + wire
    for wire in LONG_HEADS:
        yield bytes([EXPAND | 6, 0]) + wire
        yield bytes([EXPAND, 1]) + wire


def chunked() -> Iterator[bytes]:
    for _, wire in responses():
        fields, _, body = wire.partition(b"\r\n\r\n")
        if b"chunked" in fields.lower():
            yield b"\0\0" + body
    for body in LONG_CHUNKS:
        yield bytes([EXPAND, 3]) + body


def headers_out() -> Iterator[bytes]:
    for kinds in (0b10101010, 0b11111111, 0b00000000, 0b01100100):
        for request in REQUESTS:
            yield bytes([kinds]) + request


def url() -> Iterator[bytes]:
    for text in URLS:
        for options in (0, 1, 2):
            yield bytes([options]) + text.encode()


def decoders() -> Iterator[bytes]:
    payload = b"wirepool " * 9 + bytes(range(0, 256, 5))
    for which in range(12):
        for options in (0, 1, 3, 5, 0x81):
            yield bytes([options, which, 100, 3, 2, 255, 30]) + payload


def exchange() -> Iterator[bytes]:
    for at, (is_head, wire) in enumerate(responses()):
        options = (2 if is_head else 0) | (at & 1) | (4 if at % 5 == 0 else 0) | (128 if at % 7 == 0 else 0)
        reads = bytes([at % 8 | at % 9 << 3, 3, 9 + at % 64])
        yield bytes([options & 0x97, at & 255, at % 251, len(reads)]) + reads + wire
    again = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    for which in range(0, 128, 3):
        yield bytes([0, which, which, 2, 35, 255 if which % 4 == 0 else 1]) + again + b"\xff\xff" + again


def write(directory: Path) -> None:
    for target in TARGETS:
        place = directory / target
        place.mkdir(parents=True, exist_ok=True)
        for at, seed in enumerate(globals()[target]()):
            (place / f"seed-{at:03}").write_bytes(seed)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
