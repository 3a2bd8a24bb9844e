"""Response heads: what is read, what is refused, where they end, how their bodies end."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from servers.pieces import every_cut
from wirepool._core import head
from wirepool._core.errors import STATUS, ProtocolViolation

MAX_LINE = head.LIMITS["MAX_LINE"]
MAX_HEAD = head.LIMITS["MAX_HEAD"]


def made(*fields: bytes, line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """A head of these lines."""
    return b"".join(each + b"\r\n" for each in (line, *fields, b""))


def refusal(data: bytes, **options: Any) -> int:
    """The status with which the parser refuses a complete head."""
    with pytest.raises(ProtocolViolation) as caught:
        head.parse_head(data, **options)
    return caught.value.status


def scans(data: bytes, **options: Any) -> set[int | str | None]:
    """What the scan says of ``data``, cut in every way: the head's length, None, or the name of the refusal."""
    names = {value: name for name, value in STATUS.items()}
    found: set[int | str | None] = set()
    for sizes in every_cut(len(data)):
        try:
            found.add(head.head_length(data, sizes=sizes, **options))
        except ProtocolViolation as error:
            found.add(names[error.status])
    return found


# --- the status line --------------------------------------------------------------------------------------------------

GOOD_LINES = {
    b"HTTP/1.1 200 OK": (200, 11, "OK"),
    b"HTTP/1.0 404 Not Found": (404, 10, "Not Found"),
    b"HTTP/1.2 200 OK": (200, 11, "OK"),
    b"HTTP/1.9 299 x": (299, 11, "x"),
    b"HTTP/1.1 200": (200, 11, ""),
    b"HTTP/1.1 200 ": (200, 11, ""),
    b"HTTP/1.1 200  \t spaced \t": (200, 11, "spaced"),
    b"HTTP/1.1  200 OK": (200, 11, "OK"),
    b"HTTP/1.1\t200\tOK": (200, 11, "OK"),
    b"HTTP/1.1 999 Beyond": (999, 11, "Beyond"),
    b"HTTP/1.1 100 Continue": (100, 11, "Continue"),
    b"HTTP/1.1 200 200 OK": (200, 11, "200 OK"),
    b"HTTP/1.1 200 \xe9t\xe9": (200, 11, "\xe9t\xe9"),
    b"HTTP/1.1 200 \x01\x7f": (200, 11, "\x01\x7f"),
    b"HTTP/1.1 200 K": (200, 11, "K"),
    b"HTTP/1.1 200 ok": (200, 11, "ok"),
}

BAD_LINES = [
    b"",
    b" HTTP/1.1 200 OK",
    b"HTTP/1.1",
    b"HTTP/1.1 ",
    b"HTTP/1.1 2",
    b"HTTP/1.1 20",
    b"HTTP/1.1 2000",
    b"HTTP/1.1 020 x",
    b"HTTP/1.1 000 x",
    b"HTTP/1.1 +20 x",
    b"HTTP/1.1 2_0 x",
    b"HTTP/1.1 2x0 x",
    b"HTTP/1.1 200OK",
    b"HTTP/1.1 200\x0bOK",
    b"HTTP/1.1 OK 200",
    b"HTTP/1.1200 OK",
    b"HTTP/1. 200 OK",
    b"HTTP/1 200 OK",
    b"HTTP/1.x 200 OK",
    b"HTTP/1.10 200 OK",
    b"HTTP/1000 200 OK",
    b"HTTP/0.9 200 OK",
    b"HTTP/2.0 200 OK",
    b"HTTP/2 200",
    b"http/1.1 200 OK",
    b"HTTPS/1.1 200 OK",
    b"ICY 200 OK",
    b"HTTP/1.1 200 O\x00K",
    b"HTTP/1.1 200 O\rK",
    b"HTTP/1.1 200 OK\r",
    b"<html>",
    b"\x16\x03\x01\x02\x00",
    b"SSH-2.0-OpenSSH_9.2",
    b"PRI * HTTP/2.0",
]


@pytest.mark.parametrize(("line", "expected"), GOOD_LINES.items(), ids=repr)
def test_a_status_line_is_read(line: bytes, expected: tuple[int, int, str]) -> None:
    for end in (b"\r\n", b"\n"):
        data = line + end + end
        found = head.parse_head(data)
        assert (found["status"], found["version"], found["reason"]) == expected
        assert scans(data) == {len(data)}


@pytest.mark.parametrize("line", BAD_LINES, ids=repr)
def test_a_bad_status_line_is_refused_however_it_arrives(line: bytes) -> None:
    assert refusal(made(line=line)) == STATUS["BAD_STATUS_LINE"]
    assert scans(made(line=line)) == {"BAD_STATUS_LINE"}


@pytest.mark.parametrize("data", [b"\x15\x03", b"220 mail", b"HTTQ", b"HTTP/2", b"\r\n", b"h"])
def test_what_can_not_become_a_response_is_refused_before_its_line_ends(data: bytes) -> None:
    assert scans(data) == {"BAD_STATUS_LINE"}


@pytest.mark.parametrize("data", [b"", b"H", b"HTTP/1.", b"HTTP/1.1 200 OK", made()[:-1], made(b"A: b")[:-2]])
def test_a_head_that_may_go_on_is_waited_for(data: bytes) -> None:
    assert scans(data) == {None}


def test_an_error_says_what_came() -> None:
    with pytest.raises(ProtocolViolation, match=r"not an HTTP/1 status line: b'ICY 200") as caught:
        head.parse_head(b"ICY 200 OK\r\n\r\n")
    assert caught.value.detail == b"ICY 200 OK\r\n\r\n"
    with pytest.raises(ProtocolViolation) as caught:
        head.parse_head(b"x" * 5000 + b"\r\n\r\n")
    assert isinstance(caught.value.detail, bytes)
    assert len(caught.value.detail) == 200


# --- where the head ends ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("rest", [b"", b"body", b"\r\n", b"\n\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_the_end_is_the_first_blank_line(end: bytes, rest: bytes) -> None:
    data = b"HTTP/1.1 200 OK" + end + b"A: b" + end + b"C: d" + end + end
    assert scans(data + rest) == {len(data)}


def test_line_ends_may_be_mixed() -> None:
    data = b"HTTP/1.1 200 OK\nA: b\r\nC: d\n\r\n"
    assert scans(data) == {len(data)}
    assert head.parse_fields(data) == [("A", "b"), ("C", "d")]


def test_a_line_of_space_is_not_blank() -> None:
    data = b"HTTP/1.1 200 OK\r\nA: b\r\n \r\n"
    assert head.head_length(data) is None
    assert head.head_length(data + b"\r\n") == len(data) + 2


@pytest.mark.parametrize("limit", [0, 1, 7, 100])
def test_the_limit_on_fields_is_exact(limit: int) -> None:
    fields = [b"A: %d" % i for i in range(limit)]
    assert head.head_length(made(*fields), limit) == len(made(*fields))
    with pytest.raises(ProtocolViolation, match="more header fields than the limit") as caught:
        head.head_length(made(*fields, b"B: 1"), limit)
    assert caught.value.status == STATUS["TOO_MANY_FIELDS"]


def test_folds_count_as_lines() -> None:
    data = made(b"A: b", b" c", b" d")
    assert head.head_length(data, 3) == len(data)
    with pytest.raises(ProtocolViolation):
        head.head_length(data, 2)


def long_line(length: int) -> bytes:
    """A head whose one field line has this length, line end included."""
    return made(b"A: " + b"x" * (length - 5))


@pytest.mark.parametrize("piece", [1000, 16384, 10**6])
def test_the_limit_on_a_line_is_exact(piece: int) -> None:
    data = long_line(MAX_LINE)
    assert head.head_length(data, sizes=itertools.repeat(piece, 100)) == len(data)
    with pytest.raises(ProtocolViolation) as caught:
        head.head_length(long_line(MAX_LINE + 1), sizes=itertools.repeat(piece, 100))
    assert caught.value.status == STATUS["LINE_TOO_LONG"]


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 ", made()[:-2] + b"A: "])
def test_a_line_without_end_is_refused_at_the_limit(start: bytes) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        head.head_length(start + b"x" * (2 * MAX_LINE), sizes=itertools.repeat(4096, 40))
    assert caught.value.status == STATUS["LINE_TOO_LONG"]


def test_a_head_without_end_is_refused_at_the_limit() -> None:
    line = b"A: " + b"x" * 20000 + b"\r\n"
    data = made()[:-2] + line * (MAX_HEAD // len(line) + 2)
    assert head.head_length(data[: MAX_HEAD - 10]) is None
    for sizes in ([len(data)], itertools.repeat(16384, 100)):
        with pytest.raises(ProtocolViolation) as caught:
            head.head_length(data, sizes=sizes)
        assert caught.value.status == STATUS["HEAD_TOO_LARGE"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("size", range(MAX_HEAD - 3, MAX_HEAD + 4))
def test_at_the_limit_of_a_head_a_cut_decides_nothing(size: int, end: bytes) -> None:
    line = b"A: " + b"x" * 20000 + b"\r\n"
    data = made()[:-2] + line * (MAX_HEAD // len(line) - 1)
    data += b"B: ".ljust(size - len(data) - len(end) - 2, b"y") + b"\r\n" + end
    for first in (len(data), len(data) - 1, len(data) - 2, MAX_HEAD, MAX_HEAD + 1):
        sizes = (first, 1, 1, 1, 1, 1, 1)
        if size <= MAX_HEAD:
            assert head.head_length(data, sizes=sizes) == size
            continue
        with pytest.raises(ProtocolViolation) as caught:
            head.head_length(data, sizes=sizes)
        assert caught.value.status == STATUS["HEAD_TOO_LARGE"]


@pytest.mark.parametrize("length", [MAX_LINE - 20, MAX_LINE + 20])
@pytest.mark.parametrize("room", [MAX_LINE - 5, MAX_LINE + 5])
def test_which_limit_is_broken_does_not_depend_on_the_cut(length: int, room: int) -> None:
    """A last line that goes beyond the limit of a head, and beyond that of a line, in one order or in the other."""
    line = b"A: " + b"x" * 20000 + b"\r\n"
    data = made()[:-2] + line * ((MAX_HEAD - room) // len(line) - 1)
    data += b"B: ".ljust(MAX_HEAD - room - len(data) - 2, b"y") + b"\r\n"
    data += b"C: ".ljust(length, b"z") + b"\r\n" + b"D: e\r\n" * 5000
    statuses = set()
    for sizes in ([len(data)], itertools.repeat(4096, 300), itertools.repeat(1000, 1100)):
        with pytest.raises(ProtocolViolation) as caught:
            head.head_length(data, sizes=sizes)
        statuses.add(caught.value.status)
    assert len(statuses) == 1


def test_who_asks_for_more_fields_gets_room_for_them() -> None:
    data = made(*[b"A: " + b"x" * 1000] * 2000)
    assert len(data) > MAX_HEAD
    assert head.head_length(data, 2000) == len(data)


# --- fields -----------------------------------------------------------------------------------------------------------

FIELDS = {
    b"A: b": [("A", "b")],
    b"A:b": [("A", "b")],
    b"A: \t b \t ": [("A", "b")],
    b"A:": [("A", "")],
    b"A:   ": [("A", "")],
    b"A: b: c": [("A", "b: c")],
    b"a-B_c!#$%&'*+.^`|~09: x": [("a-B_c!#$%&'*+.^`|~09", "x")],
    b"A: \xe9\xff\x80": [("A", "\xe9\xff\x80")],
    b"A: x\x01\x0b\x7fy": [("A", "x\x01\x0b\x7fy")],
    b"A: one\r\n two": [("A", "one two")],
    b"A: one  \r\n\t  two": [("A", "one two")],
    b"A: one\n two\r\n\tthree": [("A", "one two three")],
    b"A:\r\n one": [("A", "one")],
    b"A: one\r\n ": [("A", "one")],
    b"A: 1\r\na: 2\r\nA: 3": [("A", "1"), ("a", "2"), ("A", "3")],
}

# A line that is no field is left out, whatever stands around it.
SKIPPED = {
    b"no colon": [],
    b": no name": [],
    b":": [],
    b"A: 1\r\nno colon\r\nB: 2": [("A", "1"), ("B", "2")],
    b"no colon \r\nB: 2": [("B", "2")],
    b"no colon\r\n with: fold\r\nB: 2": [("B", "2")],
}

ODD_NAMES = {
    b"A B: c": [("A B", "c")],
    b"A\tB: c": [("A\tB", "c")],
    b"\xe9: c": [("\xe9", "c")],
    b"A(B): c": [("A(B)", "c")],
    b"[x]: c": [("[x]", "c")],
}

UNSAFE = {
    "space before the colon": b"A : b",
    "tab before the colon": b"A\t: b",
    "space before the colon of a length": b"Content-Length : 5",
    "bare CR in a value": b"A: b\rc",
    "bare CR before the line end": b"A: b\r",
    "bare CR that hides a field": b"A: b\rSet-Cookie: c",
    "bare CR in a name": b"A\rB: c",
    "bare CR without colon": b"A\rB",
    "NUL in a value": b"A: b\x00c",
    "NUL in a name": b"A\x00B: c",
    "NUL without colon": b"A\x00B",
    "control in a name": b"A\x01B: c",
    "DEL in a name": b"A\x7f: c",
    "bare CR in a fold": b"A: b\r\n c\rd",
    "NUL in a skipped line's value": b": \x00",
}


@pytest.mark.parametrize(("lines", "expected"), FIELDS.items(), ids=repr)
def test_fields_are_read(lines: bytes, expected: list[tuple[str, str]]) -> None:
    data = made(lines)
    assert head.parse_fields(data) == expected
    found = head.parse_head(data)
    assert (found["n_fields"], found["doubtful"], found["skipped"]) == (len(expected), False, False)


@pytest.mark.parametrize(("lines", "expected"), SKIPPED.items(), ids=repr)
def test_a_line_that_is_no_field_is_left_out_and_told(lines: bytes, expected: list[tuple[str, str]]) -> None:
    assert head.parse_fields(made(lines)) == expected
    found = head.parse_head(made(lines))
    assert (found["n_fields"], found["doubtful"], found["skipped"]) == (len(expected), True, True)


@pytest.mark.parametrize(("lines", "expected"), ODD_NAMES.items(), ids=repr)
def test_a_name_that_is_no_token_makes_the_connection_doubtful(lines: bytes, expected: list[tuple[str, str]]) -> None:
    assert head.parse_fields(made(lines)) == expected
    found = head.parse_head(made(lines))
    assert (found["doubtful"], found["skipped"]) == (True, False)


@pytest.mark.parametrize("lines", UNSAFE.values(), ids=UNSAFE.keys())
def test_what_another_reader_would_read_differently_is_refused(lines: bytes) -> None:
    for data in (made(lines), made(b"A: 1", lines), made(lines, b"B: 2")):
        assert refusal(data) == STATUS["BAD_FIELD"]
        with pytest.raises(ProtocolViolation):
            head.parse_fields(data)


def test_a_fold_of_nothing_is_refused() -> None:
    assert refusal(made(b" A: b")) == STATUS["BAD_FIELD"]
    assert refusal(made(b"\tA: b")) == STATUS["BAD_FIELD"]


def test_a_trailer_section_has_no_status_line() -> None:
    assert head.parse_fields(b"A: b\r\nC: d\r\n\r\n", False) == [("A", "b"), ("C", "d")]
    assert head.parse_fields(b"\r\n", False) == []
    assert head.parse_fields(b"", False) == []
    assert head.parse_fields(b"A: b", has_status_line=False) == [("A", "b")]


# --- fields by name ---------------------------------------------------------------------------------------------------

GROUPS = {
    "as they came": (b"Server", b"X-Own", b"Date"),
    "several times": (b"Set-Cookie", b"A", b"set-cookie", b"SET-COOKIE", b"a"),
    "known names, in other letters": (b"SERVER", b"content-type", b"eTag", b"Www-Authenticate"),
    "names that share a place": (b"X-RateLimit-Limit", b"X-RateLimit-Reset", b"x-ratelimit-limit"),
    "no ASCII": (b"\xc0-Name", b"\xe0-name", b"\xd7", b"\xdf"),
    "short and long": (b"A", b"b", b"x" * 63, b"X" * 64, b"x" * 65, b"Y" * 300),
}


def by_name(data: bytes) -> dict[str, list[str]]:
    """Of the plain list, the slow way."""
    found: dict[str, list[str]] = {}
    for name, value in head.parse_fields(data):
        found.setdefault(name.lower(), [name]).append(value)
    return found


def require_same_by_name(data: bytes) -> None:
    expected = by_name(data)
    assert head.grouped(data) == expected
    assert list(head.grouped(data)) == list(expected)
    assert head.joined(data) == {key: (name, ", ".join(values)) for key, (name, *values) in expected.items()}
    assert list(head.joined(data)) == list(expected)
    for key in (*expected, "absent", "a", "", " ", "b: c", "\n", "\xe4"):
        assert head.values_of(data, key) == expected.get(key, [None])[1:]


@pytest.mark.parametrize("names", GROUPS.values(), ids=GROUPS.keys())
def test_fields_by_name(names: tuple[bytes, ...]) -> None:
    require_same_by_name(made(*(name + b": %d" % i for i, name in enumerate(names))))


@pytest.mark.parametrize("lines", [*FIELDS, *SKIPPED, *ODD_NAMES], ids=repr)
def test_fields_by_name_are_the_fields(lines: bytes) -> None:
    for data in (made(lines), made(b"A: 1", lines, b"B: 2"), made(lines, lines)):
        require_same_by_name(data)


def test_a_fold_is_no_field_whatever_is_asked_for() -> None:
    data = made(b"A: 1", b" b: 2", b"\tb: 3", b"B: 4")
    assert head.values_of(data, "b") == ["4"]
    assert head.values_of(data, " b") == head.values_of(data, "\tb") == []
    assert head.values_of(data, "a") == ["1 b: 2 b: 3"]


def test_a_name_with_a_colon_is_no_name() -> None:
    assert head.values_of(made(b"a:b: c"), "a:b") == []
    assert head.values_of(made(b"a:b: c"), "a") == ["b: c"]


def test_names_that_are_often_sent_are_not_made_anew() -> None:
    first, second = (head.grouped(made(b"Server: %d" % i, b"X-Nobodys: 1")) for i in range(2))
    assert first["server"][0] is second["server"][0]
    assert first["x-nobodys"][0] is not second["x-nobodys"][0]


def test_no_head_has_no_fields() -> None:
    assert head.grouped(b"") == head.joined(b"") == {}
    assert head.values_of(b"", "a") == []


@pytest.mark.parametrize("octet", range(256))
def test_every_octet_in_a_value_and_in_a_name(octet: int) -> None:
    byte = bytes([octet])
    if octet in b"\x00\r\n":
        value_ok = octet == 0x0A  # an LF ends the line; what follows is a line without colon
    else:
        value_ok = True
        assert head.parse_fields(made(b"A: x" + byte + b"y")) == [("A", f"x{chr(octet)}y")]
    assert (head_outcome(made(b"A: x" + byte + b"y")) == "read") == value_ok
    name_ok = octet in b"\t\n :" or (octet > 0x20 and octet != 0x7F)
    assert (head_outcome(made(b"x" + byte + b"y: z")) == "read") == name_ok


def head_outcome(data: bytes) -> str:
    try:
        head.parse_head(data)
    except ProtocolViolation:
        return "refused"
    return "read"


@pytest.mark.parametrize(
    ("field", "flag"),
    [
        (b"Content-Encoding: gzip", "has_content_encoding"),
        (b"LOCATION: /", "has_location"),
        (b"retry-after: 1", "has_retry_after"),
    ],
)
def test_fields_that_the_facade_asks_for_are_flagged(field: bytes, flag: str) -> None:
    flags = {name: value for name, value in head.parse_head(made(field)).items() if name.startswith("has_")}
    assert flags == {name: name == flag for name in flags}
    assert not any(
        value for name, value in head.parse_head(made(b"X" + field[1:])).items() if str(name).startswith("has_")
    )


# --- how the body ends ------------------------------------------------------------------------------------------------

# fields -> framing, length, doubtful
FRAMING = {
    (): ("close", 0, False),
    (b"Content-Length: 5",): ("length", 5, False),
    (b"content-length:5",): ("length", 5, False),
    (b"CONTENT-LENGTH: \t5 ",): ("length", 5, False),
    (b"Content-Length: 0",): ("none", 0, False),
    (b"Content-Length: 000",): ("none", 0, False),
    (b"Content-Length: 0000000000000000000000005",): ("length", 5, False),
    (b"Content-Length: 999999999999999999",): ("length", 10**18 - 1, False),
    (b"Content-Length: 5, 5",): ("length", 5, False),
    (b"Content-Length: 5,05 , 5",): ("length", 5, False),
    (b"Content-Length: 5", b"Content-Length: 5"): ("length", 5, False),
    (b"Content-Length:\r\n 5",): ("length", 5, False),
    (b"Transfer-Encoding: chunked",): ("chunked", 0, False),
    (b"transfer-encoding:\tCHUNKED\t",): ("chunked", 0, False),
    (b"Transfer-Encoding: identity, chunked",): ("chunked", 0, True),
    (b"Transfer-Encoding: , chunked",): ("chunked", 0, True),
    (b"Transfer-Encoding: identity",): ("close", 0, True),
    (b"Transfer-Encoding:",): ("close", 0, True),
    (b"Transfer-Encoding: identity", b"Content-Length: 5"): ("length", 5, True),
    (b"Transfer-Encoding: chunked", b"Content-Length: 5"): ("chunked", 0, True),
    (b"Content-Length: 5", b"Transfer-Encoding: chunked"): ("chunked", 0, True),
    (b"Content-Length: 5, 6", b"Transfer-Encoding: chunked"): ("chunked", 0, True),
    (b"Content-Length: x", b"Transfer-Encoding: chunked"): ("chunked", 0, True),
    (b"X-Content-Length: 5",): ("close", 0, False),
}

BAD_FRAMING = {
    (b"Content-Length:",): "BAD_CONTENT_LENGTH",
    (b"Content-Length: x",): "BAD_CONTENT_LENGTH",
    (b"Content-Length: +5",): "BAD_CONTENT_LENGTH",
    (b"Content-Length: -5",): "BAD_CONTENT_LENGTH",
    (b"Content-Length: -0",): "BAD_CONTENT_LENGTH",
    (b"Content-Length: 5.0",): "BAD_CONTENT_LENGTH",
    (b"Content-Length: 0x5",): "BAD_CONTENT_LENGTH",
    (b"Content-Length: 1_0",): "BAD_CONTENT_LENGTH",
    (b"Content-Length: 1 0",): "BAD_CONTENT_LENGTH",
    (b"Content-Length: 1\r\n 0",): "BAD_CONTENT_LENGTH",
    (b"Content-Length: 5;",): "BAD_CONTENT_LENGTH",
    (b"Content-Length: 5,",): "BAD_CONTENT_LENGTH",
    (b"Content-Length: ,5",): "BAD_CONTENT_LENGTH",
    (b"Content-Length: 5,x",): "BAD_CONTENT_LENGTH",
    (b"Content-Length: 1000000000000000000",): "BAD_CONTENT_LENGTH",
    (b"Content-Length: 18446744073709551621",): "BAD_CONTENT_LENGTH",
    (b"Content-Length: \xb2",): "BAD_CONTENT_LENGTH",
    (b"Content-Length: x", b"Content-Length: 5"): "BAD_CONTENT_LENGTH",
    (b"Content-Length: 5, 6",): "CONFLICTING_LENGTH",
    (b"Content-Length: 0, 5",): "CONFLICTING_LENGTH",
    (b"Content-Length: 5", b"Content-Length: 6"): "CONFLICTING_LENGTH",
    (b"Content-Length: 5", b"A: b", b"content-length: 0"): "CONFLICTING_LENGTH",
    (b"Transfer-Encoding: gzip",): "BAD_TRANSFER_ENCODING",
    (b"Transfer-Encoding: gzip, chunked",): "BAD_TRANSFER_ENCODING",
    (b"Transfer-Encoding: chunked, gzip",): "BAD_TRANSFER_ENCODING",
    (b"Transfer-Encoding: chunked, chunked",): "BAD_TRANSFER_ENCODING",
    (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"): "BAD_TRANSFER_ENCODING",
    (b"Transfer-Encoding: chunked, identity",): "BAD_TRANSFER_ENCODING",
    (b"Transfer-Encoding: xchunked",): "BAD_TRANSFER_ENCODING",
    (b"Transfer-Encoding: chunked;q=1",): "BAD_TRANSFER_ENCODING",
    (b'Transfer-Encoding: "chunked"',): "BAD_TRANSFER_ENCODING",
    (b"Transfer-Encoding: chunked\x0b",): "BAD_TRANSFER_ENCODING",
    (b"Transfer-Encoding: gzip", b"Content-Length: 5"): "BAD_TRANSFER_ENCODING",
}


@pytest.mark.parametrize(("fields", "expected"), FRAMING.items(), ids=repr)
def test_framing(fields: tuple[bytes, ...], expected: tuple[str, int, bool]) -> None:
    found = head.parse_head(made(*fields))
    assert (found["framing"], found["length"], found["doubtful"]) == expected


@pytest.mark.parametrize(("fields", "expected"), BAD_FRAMING.items(), ids=repr)
def test_framing_that_can_not_be_trusted_is_refused(fields: tuple[bytes, ...], expected: str) -> None:
    assert refusal(made(*fields)) == STATUS[expected]


@pytest.mark.parametrize("fields", [*FRAMING, *BAD_FRAMING], ids=repr)
@pytest.mark.parametrize("line", [b"HTTP/1.1 204 No", b"HTTP/1.1 304 No", b"HTTP/1.1 101 Up", b"HTTP/1.1 103 Hi"])
def test_some_statuses_have_no_body_whatever_their_fields(line: bytes, fields: tuple[bytes, ...]) -> None:
    assert head.parse_head(made(*fields, line=line))["framing"] == "none"


@pytest.mark.parametrize("fields", [*FRAMING, *BAD_FRAMING], ids=repr)
def test_the_answer_to_head_has_no_body(fields: tuple[bytes, ...]) -> None:
    assert head.parse_head(made(*fields), head_request=True)["framing"] == "none"


def test_chunked_from_http_1_0_is_read_but_doubtful() -> None:
    found = head.parse_head(made(b"Transfer-Encoding: chunked", b"Connection: keep-alive", line=b"HTTP/1.0 200 OK"))
    assert (found["framing"], found["doubtful"]) == ("chunked", True)


# --- persistence ------------------------------------------------------------------------------------------------------

PERSISTENCE = [
    (11, (), True),
    (10, (), False),
    (11, (b"Connection: close",), False),
    (11, (b"connection:CLOSE",), False),
    (11, (b"Connection: keep-alive",), True),
    (10, (b"Connection: keep-alive",), True),
    (10, (b"Connection: Keep-Alive",), True),
    (10, (b"Connection: upgrade , keep-alive",), True),
    (10, (b"Connection: keep-alive, close",), False),
    (11, (b"Connection: keep-alive", b"Connection: close"), False),
    (11, (b"Connection: ,, close ,",), False),
    (11, (b"Connection: closed",), True),
    (11, (b"Connection: x-close",), True),
    (11, (b"Connection: foo", b"Connection: bar, close"), False),
    (11, (b"Proxy-Connection: close",), True),
    (10, (b"Proxy-Connection: keep-alive",), False),
    (11, (b"Connection:\r\n close",), False),
]


@pytest.mark.parametrize(("version", "fields", "keep_alive"), PERSISTENCE)
def test_persistence(version: int, fields: tuple[bytes, ...], keep_alive: bool) -> None:
    line = b"HTTP/1.%d 200 OK" % (version - 10)
    assert head.parse_head(made(*fields, line=line))["keep_alive"] is keep_alive


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [head.parse_head, head.parse_fields, head.head_length])
@pytest.mark.parametrize("argument", [None, "text", bytearray(b"x"), 5])
def test_only_bytes_are_taken(function: Any, argument: Any) -> None:
    with pytest.raises(TypeError):
        function(argument)


@pytest.mark.parametrize("data", [made(b"A: b")[:n] for n in range(len(made(b"A: b")))], ids=len)
def test_a_head_that_is_cut_is_no_crash(data: bytes) -> None:
    if data.find(b"\n") < 0:
        assert refusal(data) == STATUS["BAD_STATUS_LINE"]
        return
    assert head_outcome(data) == ("refused" if data.endswith(b"\r") else "read")
