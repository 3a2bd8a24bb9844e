"""Bodies of type multipart/form-data."""

from __future__ import annotations

import io
import re
from collections import OrderedDict
from email import message_from_bytes
from typing import Any

import pytest

from wirepool import filepost
from wirepool.fields import RequestField
from wirepool.filepost import choose_boundary, encode_multipart_formdata, iter_field_objects


def one_part(data: bytes, name: bytes = b"n") -> bytes:
    return b'--B\r\nContent-Disposition: form-data; name="' + name + b'"\r\n\r\n' + data + b"\r\n--B--\r\n"


def test_boundaries_are_random() -> None:
    boundaries = {choose_boundary() for _ in range(50)}
    assert len(boundaries) == 50
    assert all(re.fullmatch("[0-9a-f]{32}", boundary) for boundary in boundaries)


def test_a_boundary_is_chosen_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filepost, "choose_boundary", lambda: "chosen")
    body, content_type = encode_multipart_formdata({"n": "v"})
    assert content_type == "multipart/form-data; boundary=chosen"
    assert body.startswith(b"--chosen\r\n")
    assert encode_multipart_formdata({}, boundary="B")[1] == "multipart/form-data; boundary=B"


@pytest.mark.parametrize("fields", [{}, [], (), iter([])])
def test_no_fields_at_all(fields: Any) -> None:
    assert encode_multipart_formdata(fields, "B")[0] == b"--B--\r\n"


@pytest.mark.parametrize(
    ("data", "octets"),
    [
        ("text", b"text"),
        ("tëxt", "tëxt".encode()),
        ("", b""),
        (b"\x00\xff\r\n", b"\x00\xff\r\n"),
        (bytearray(b"x"), b"x"),
        (memoryview(b"xyz")[1:], b"yz"),
        (42, b"42"),
        (True, b"True"),
    ],
)
def test_data(data: Any, octets: bytes) -> None:
    assert encode_multipart_formdata({"n": data}, "B")[0] == one_part(octets)


@pytest.mark.parametrize("data", [None, 1.5, ["a"], {"a": "b"}, io.BytesIO(b"x"), object()])
def test_data_of_another_kind(data: Any) -> None:
    with pytest.raises(TypeError, match="bytes-like"):
        encode_multipart_formdata({"n": data}, "B")


@pytest.mark.parametrize(
    "fields", [{"n": "v"}, OrderedDict(n="v"), [("n", "v")], (("n", "v"),), iter([["n", "v"]]), {"n": "v"}.items()]
)
def test_kinds_of_forms(fields: Any) -> None:
    assert encode_multipart_formdata(fields, "B")[0] == one_part(b"v")


def test_names() -> None:
    assert encode_multipart_formdata({"nämé": "v"}, "B")[0] == one_part(b"v", "nämé".encode())
    assert encode_multipart_formdata({b"n": "v"}, "B")[0] == one_part(b"v")  # type: ignore[dict-item]
    assert encode_multipart_formdata({'a"\r\n': "v"}, "B")[0] == one_part(b"v", b"a%22%0D%0A")


def test_several_parts_and_files() -> None:
    field = RequestField("r", "4", headers={"X": "y"})
    fields = [("a", "1"), ("a", "2"), ("f", ("f.txt", "3")), field, ("g", ("g", b"5", "x/y"))]
    assert encode_multipart_formdata(fields, "B")[0] == (
        b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
        b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n2\r\n'
        b'--B\r\nContent-Disposition: form-data; name="f"; filename="f.txt"\r\nContent-Type: text/plain\r\n\r\n3\r\n'
        b"--B\r\nX: y\r\n\r\n4\r\n"
        b'--B\r\nContent-Disposition: form-data; name="g"; filename="g"\r\nContent-Type: x/y\r\n\r\n5\r\n'
        b"--B--\r\n"
    )


def test_another_parser_understands_it() -> None:
    data = {"text": "tëxt\r\n--not a boundary", "empty": "", "file": ("f.bin", bytes(range(256)), "x/y")}
    body, content_type = encode_multipart_formdata(data)  # type: ignore[arg-type]
    message = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    parts = {part.get_param("name", header="Content-Disposition"): part for part in message.get_payload()}  # type: ignore[union-attr]
    assert parts["text"].get_payload(decode=True) == "tëxt\r\n--not a boundary".encode()
    assert parts["empty"].get_payload(decode=True) == b""
    assert parts["file"].get_payload(decode=True) == bytes(range(256))
    assert (parts["file"].get_filename(), parts["file"].get_content_type()) == ("f.bin", "x/y")


def test_iter_field_objects() -> None:
    field = RequestField("r", "1")
    parts = list(iter_field_objects([("a", "2"), field]))
    assert parts[1] is field
    assert (parts[0]._name, parts[0].data) == ("a", "2")
    assert [part._name for part in iter_field_objects({"a": "1", "b": "2"})] == ["a", "b"]


def test_fields_are_taken_one_by_one() -> None:
    taken: list[int] = []

    def endless() -> Any:
        while True:
            taken.append(1)
            yield "a", "1"

    next(iter(iter_field_objects(endless())))
    assert taken == [1]


def test_a_header_with_a_line_break_is_refused() -> None:
    with pytest.raises(ValueError, match="line break"):
        encode_multipart_formdata({"f": ("f", "data", "x/y\r\nX: injected")})


def test_the_writer_is_there() -> None:
    stream = io.BytesIO()
    filepost.writer(stream).write("ü")
    assert stream.getvalue() == b"\xc3\xbc"
