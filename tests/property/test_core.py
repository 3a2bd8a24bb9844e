"""Properties of the core over generated input: cuts do not matter, what is written reads back, limits hold."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from servers.replies import READERS
from servers.wires import WIRES, ObjectWire, Silence, ask
from wirepool._core import chunked, head, headers_out
from wirepool._core.errors import CoreError, ProtocolViolation, RequestRefused

# Deterministic, so that a run can be repeated; the fuzzers are for finding what nobody thought of.
settings.register_profile(
    "core",
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
PROFILE = settings.get_profile("core")

TCHAR = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
tokens = st.text(TCHAR, min_size=1, max_size=12)
values = st.text(st.characters(max_codepoint=255, exclude_characters="\0\r\n"), max_size=20)
targets = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
sizes = st.lists(st.integers(1, 40), max_size=30)
blocks = st.lists(st.binary(min_size=1, max_size=60), max_size=8)

# Scraps that heads and chunked bodies are made of, so that most of what is generated is nearly right.
scraps = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 103 Hints\r\n\r\n",
        b"HTTP/1.0 404\n",
        b"Content-Length: 3\r\n",
        b"Content-Length: 0\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"A: b\r\n c\r\n",
        b"no colon\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b":",
        b" ",
        b"3\r\nabc\r\n",
        b"2;x=y\r\nab\r\n",
        b"0\r\n\r\n",
        b"0\r\nA: b\r\n\r\n",
        b"abc",
        b"7fffffffffffffff\r\n",
    ]
)
garbage = st.lists(scraps | st.binary(max_size=4), max_size=12).map(b"".join)
responses = st.one_of(
    garbage,
    garbage.map(lambda rest: b"HTTP/1.1 200 OK\r\n" + rest),
    garbage.map(lambda rest: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + rest),
)


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    out = []
    for size in cuts:
        if size < len(data):
            out.append(data[:size])
            data = data[size:]
    return [*out, data] if data else out


def attempt(function: Any, *args: Any) -> Any:
    """The result, or the status of the refusal."""
    try:
        return function(*args)
    except ProtocolViolation as error:
        return f"refused with {error.status}"


# --- cuts -------------------------------------------------------------------------------------------------------------


@PROFILE
@given(responses, sizes)
def test_the_scan_of_a_head_does_not_depend_on_the_cut(data: bytes, cuts: list[int]) -> None:
    found = attempt(head.head_length, data, 100, [*cuts, len(data)])
    whole = attempt(head.head_length, data)
    assert found == whole
    if isinstance(whole, int):
        assert data[:whole].endswith((b"\n\n", b"\n\r\n"))
        assert attempt(head.parse_head, data[:whole]) == attempt(head.parse_head, bytes(bytearray(data[:whole])))


@PROFILE
@given(garbage, sizes)
def test_the_decoding_of_chunks_does_not_depend_on_the_cut(data: bytes, cuts: list[int]) -> None:
    found = attempt(chunked.decode_chunked, data, [*cuts, len(data)])
    assert found == attempt(chunked.decode_chunked, data)
    if not isinstance(found, str):
        body, announced, eaten, over = found
        assert len(body) <= eaten <= len(data)
        assert len(body) <= sum(announced)
        assert not over or len(body) == sum(announced)


def outcome(wire: Any, pieces: list[bytes], read: Any) -> Any:
    """What an exchange makes of it; which of two errors a late octet becomes may depend on the cut."""
    with wire(pieces, "close") as peer:
        try:
            result = ask(peer.exchange)
            return result[:4], read(peer.exchange), peer.exchange.complete
        except (CoreError, Silence) as error:
            return getattr(error, "status", "silence")
        finally:
            assert peer.exchange.trailers is None or peer.exchange.complete
            assert peer.exchange.held == 0


@PROFILE
@given(responses, sizes, st.sampled_from(sorted(READERS)))
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA\0: b\r\n\r\n", [], "read()")
def test_a_response_does_not_depend_on_the_cut_the_driver_or_the_reader(
    data: bytes, cuts: list[int], name: str
) -> None:
    expected = outcome(ObjectWire, [data] if data else [], READERS["read()"])
    for wire in WIRES.values():
        assert outcome(wire, pieces_of(data, cuts), READERS[name]) == expected


# --- identities -------------------------------------------------------------------------------------------------------


@PROFILE
@given(blocks, sizes)
def test_chunks_decode_to_what_was_encoded(data: list[bytes], cuts: list[int]) -> None:
    wire = b"".join(map(chunked.encode_chunk, [*data, b""]))
    body, announced, eaten, over = chunked.decode_chunked(wire, [*cuts, len(wire)])
    assert (body, announced) == (b"".join(data), [len(block) for block in data])
    assert (eaten, over) == (len(wire) - 2, True)


@PROFILE
@given(tokens, targets, st.lists(st.tuples(tokens, values), max_size=8))
def test_a_request_that_was_written_reads_back(method: str, target: str, fields: list[tuple[str, str]]) -> None:
    data = headers_out.serialize(method, target, fields)
    line, _, rest = data.partition(b"\r\n")
    assert line.decode("latin-1").split(" ") == [method, target, "HTTP/1.1"]
    assert rest.endswith(b"\r\n")
    assert head.parse_fields(data) == [(name, value.strip(" \t")) for name, value in fields]


@PROFILE
@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
@example("GET", "/", "A", "b\r\nC: d")
@example("GET", "/ HTTP/1.1\r\nA: b", "A", "b")
def test_a_request_never_has_more_lines_than_it_was_given(method: str, target: str, name: str, value: str) -> None:
    try:
        data = headers_out.serialize(method, target, [(name, value)])
    except (RequestRefused, UnicodeEncodeError):
        return
    assert data.count(b"\r") == data.count(b"\n") == data.count(b"\r\n") == 3
    assert data.split(b"\r\n", 1)[0].count(b" ") == 2
    assert b"\0" not in data


@PROFILE
@given(targets)
def test_a_plain_target_is_one_that_can_be_sent(target: str) -> None:
    if headers_out.is_plain_target(target):
        assert headers_out.serialize("GET", target, [])
        assert target.startswith("/")
        assert not {"%", "#"} & set(target)
        assert "/." not in target
