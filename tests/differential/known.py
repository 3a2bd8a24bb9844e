"""Where readers of responses are known to differ from ours, and why ours is right.

A difference that no entry explains fails a test; so does an entry that explains nothing (``test_responses``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from differential.readers import Reading, is_complete
from wirepool._core.head import head_length, parse_fields, parse_head

__all__ = ["ALONE", "KNOWN", "Known", "Sketch"]

_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


@dataclass
class Sketch:
    """A response that we accepted, taken apart as far as reasons need it."""

    data: bytes
    head_request: bool
    lines: list[bytes] = field(init=False)
    """Of the final head, the status line left out, folds on their own."""
    body: bytes = field(init=False)
    status: int = field(init=False)
    chunked: bool = field(init=False)
    interim: list[bytes] = field(init=False)
    """The heads before it."""

    def __post_init__(self) -> None:
        rest, self.interim = self.data, []
        while True:
            end = head_length(rest)
            assert end is not None
            facts = parse_head(rest[:end], self.head_request)
            if facts["status"] >= 200 or facts["status"] == 101:
                break
            self.interim.append(rest[:end])
            rest = rest[end:]
        self.status, self.chunked = facts["status"], facts["framing"] == "chunked"
        self.body = rest[end:]
        self.lines = _lines(rest[:end])
        self._head = rest[:end]

    def values(self, name: str) -> list[str]:
        return [value for each, value in parse_fields(self._head) if each.lower() == name]

    def raw_values(self, name: bytes) -> list[bytes]:
        """As they are on their first lines, folds left out."""
        return [line.split(b":", 1)[1] for line in self.lines if line.lower().startswith(name + b":")]

    @property
    def has_bad_line(self) -> bool:
        return any(_is_bad(line) for line in self.lines)

    @property
    def has_bad_interim(self) -> bool:
        return any(_is_bad(line) for head in self.interim for line in _lines(head))

    @property
    def has_folds(self) -> bool:
        return any(line[:1] in (b" ", b"\t") for line in self.lines)


def _lines(head: bytes) -> list[bytes]:
    return head.replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")[1:]


def _is_bad(line: bytes) -> bool:
    """Neither a field with a token for a name nor a fold."""
    name, colon, _ = line.partition(b":")
    return line[:1] not in (b" ", b"\t") and (not colon or not name or not _TOKEN.issuperset(name))


@dataclass(frozen=True)
class Known:
    why: str
    applies: Callable[[Sketch, Reading], bool]


def _is_interim(sketch: Sketch, theirs: Reading) -> bool:
    return theirs.status < 200 and theirs.status != 101


def _other_coding(sketch: Sketch, theirs: Reading) -> bool:
    values = sketch.raw_values(b"transfer-encoding")
    return bool(values) and values[0].decode("latin-1").lstrip(" \t").lower() != "chunked"


def _other_length(sketch: Sketch, theirs: Reading) -> bool:
    return any(not value.strip(b" \t").isdigit() for value in sketch.raw_values(b"content-length"))


def _no_body(sketch: Sketch, theirs: Reading) -> bool:
    return sketch.status in (101, 204, 304) and bool(sketch.values("transfer-encoding"))


def _no_body_at_all(sketch: Sketch, theirs: Reading) -> bool:
    framed = sketch.values("transfer-encoding") or sketch.values("content-length")
    return bool(framed) and (sketch.head_request or sketch.status in (101, 204, 304))


def _empty_items(sketch: Sketch, theirs: Reading) -> bool:
    return any(not item.strip() for value in sketch.values("transfer-encoding") for item in value.split(","))


def _interim_framed(sketch: Sketch, theirs: Reading) -> bool:
    names = {name.lower() for head in sketch.interim for name, _ in parse_fields(head)}
    return not names.isdisjoint({"content-length", "transfer-encoding"})


def _needs_the_end(sketch: Sketch, theirs: Reading) -> bool:
    return sketch.chunked and not is_complete(sketch.data, sketch.head_request)


def _identity(sketch: Sketch, theirs: Reading) -> bool:
    items = [item.strip().lower() for value in sketch.values("transfer-encoding") for item in value.split(",")]
    return "identity" in items


def _controls(sketch: Sketch, theirs: Reading) -> bool:
    """http.client takes these, but counts the blank line as a field: it has 99."""
    control = any((octet < 0x20 and octet != 9) or octet == 0x7F for line in sketch.lines for octet in line)
    return control and len(sketch.lines) >= 100


def _tab_behind(sketch: Sketch, theirs: Reading) -> bool:
    return any(value.rstrip(b" ").endswith(b"\t") for value in sketch.raw_values(b"transfer-encoding"))


def _folded(sketch: Sketch, theirs: Reading) -> bool:
    return sketch.has_folds and bool(sketch.values("transfer-encoding") or sketch.values("content-length"))


def _trailer_cut(sketch: Sketch, theirs: Reading) -> bool:
    """The stream ends within the trailer section, or with it: both of us say so, and that the body is complete."""
    return sketch.chunked and theirs.end == len(sketch.data) and sketch.body.count(b"\n") > 0


def _many_folds(sketch: Sketch, theirs: Reading) -> bool:
    """http.client counts lines, not fields; h11 and llhttp refuse what is wrong in the trailer section."""
    return sketch.chunked and sketch.has_folds and len(sketch.lines) >= 100


def _length_beyond_all(sketch: Sketch, theirs: Reading) -> bool:
    """h11 and llhttp refuse such a length; http.client goes by it if there is white space behind 'chunked'."""
    lengths = sketch.values("content-length")
    return sketch.chunked and any(value.isdigit() and len(value) > 18 for value in lengths)


KNOWN: dict[str, list[Known]] = {
    "http.client": [
        Known("takes 1xx other than 100 for the answer: RFC 9110 15.2", _is_interim),
        Known("loses all fields after a line that is none; we leave out that line", lambda s, t: s.has_bad_line),
        Known("knows 'chunked' alone, in the first field, without white space: RFC 9112 6.1, 7", _other_coding),
        Known("takes a length that int() does not take, a list too, for none: RFC 9112 6.3 item 5", _other_length),
        Known("keeps the line end of a fold in the value: RFC 9112 5.2", _folded),
        Known("a trailer section that is cut: neither waits for more", _trailer_cut),
        Known("reads the chunks of a response that has no body: RFC 9112 6.3 item 1", _no_body),
    ],
    "h11": [],
    "llhttp": [
        Known("an empty item ends the list of codings: RFC 9110 5.6.1.2 has them ignored", _empty_items),
        Known("a tab behind 'chunked' makes it another coding: RFC 9110 5.5", _tab_behind),
    ],
}

# What only we accept.
ALONE: list[Known] = [
    Known("no body, whatever the fields say: RFC 9112 6.3 item 1; the connection is not used again", _no_body_at_all),
    Known("a line that is no field is left out, as urllib3's users need it", lambda s, t: s.has_bad_line),
    Known("the same in an interim response", lambda s, t: s.has_bad_interim),
    Known("an interim response ends with its head, whatever its fields say: RFC 9110 15.2", _interim_framed),
    Known("empty items are ignored: RFC 9110 5.6.1.2; the connection is not used again", _empty_items),
    Known("identity is no coding: RFC 2616 3.6; the connection is not used again", _identity),
    Known(
        "other controls than CR, LF, NUL stay in values: RFC 9110 5.5; a 100th field, as http.client has it", _controls
    ),
    Known("a fold is no field: RFC 9112 5.2; what is none is left out of a trailer section too", _many_folds),
    Known("chunked wins over any length: RFC 9112 6.3 item 3; the connection is not used again", _length_beyond_all),
    Known("the stream ends in the trailer section, all data are there: as urllib3", _needs_the_end),
]
