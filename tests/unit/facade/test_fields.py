"""Parts of a form and the headers in front of them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from wirepool import fields
from wirepool.fields import RequestField, format_multipart_header_param, guess_content_type

DEPRECATED = ["format_header_param", "format_header_param_html5", "format_header_param_rfc2231"]


@pytest.mark.parametrize(
    ("filename", "guess"),
    [
        ("a.txt", "text/plain"),
        ("a.JPG", "image/jpeg"),
        ("dir/page.html", "text/html"),
        ("no-ending", "application/octet-stream"),
        ("a.nosuchending", "application/octet-stream"),
        ("", "application/octet-stream"),
        (None, "application/octet-stream"),
    ],
)
def test_guess_content_type(filename: str | None, guess: str) -> None:
    assert guess_content_type(filename) == guess


@pytest.mark.parametrize("filename", ["a.nosuchending", None])
def test_guess_content_type_has_a_default(filename: str | None) -> None:
    assert guess_content_type(filename, "x/y") == "x/y"
    assert guess_content_type("a.txt", default="x/y") == "text/plain"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", 'n="plain"'),
        ("", 'n=""'),
        ('a"b', 'n="a%22b"'),
        ("a\r\nb", 'n="a%0D%0Ab"'),
        ("back\\slash", 'n="back\\slash"'),
        ("50%", 'n="50%"'),
        ("a;b=c", 'n="a;b=c"'),
        ("näïve \N{SNOWMAN}", 'n="näïve \N{SNOWMAN}"'),
        ("näïve".encode(), 'n="näïve"'),
        (b'a"b', 'n="a%22b"'),
    ],
)
def test_format_multipart_header_param(value: str | bytes, written: str) -> None:
    assert format_multipart_header_param("n", value) == written


def test_bytes_must_be_utf8() -> None:
    with pytest.raises(UnicodeDecodeError):
        format_multipart_header_param("n", b"\xff")


@pytest.mark.parametrize("name", DEPRECATED)
def test_deprecated_names_warn_where_they_are_called(name: str) -> None:
    with pytest.warns(FutureWarning, match=name) as caught:
        assert getattr(fields, name)("n", "plain") == 'n="plain"'
    assert caught[0].filename == __file__


@pytest.mark.parametrize("name", DEPRECATED[:2])
def test_two_of_them_are_only_old_names(name: str) -> None:
    with pytest.warns(FutureWarning, match=name):
        assert getattr(fields, name)("n", 'ü"\n') == 'n="ü%22%0A"'


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a;b%", 'n="a;b%"'),
        ("ü", "n*=utf-8''%C3%BC"),
        ("ü".encode(), "n*=utf-8''%C3%BC"),
        ('a"b', "n*=utf-8''a%22b"),
        ("a\\b", "n*=utf-8''a%5Cb"),
        ("a\r\nb", "n*=utf-8''a%0D%0Ab"),
    ],
)
def test_rfc2231_notation(value: str | bytes, written: str) -> None:
    with pytest.warns(FutureWarning):
        assert fields.format_header_param_rfc2231("n", value) == written


# --- RequestField -----------------------------------------------------------------------------------------------------


def test_a_field_keeps_what_it_is_given() -> None:
    headers = {"X": "1"}
    field = RequestField("n", b"data", filename="f", headers=headers)
    assert (field._name, field._filename, field.data) == ("n", "f", b"data")
    assert field.header_formatter is format_multipart_header_param
    field.headers["Y"] = "2"
    assert headers == {"X": "1"}


def test_a_field_needs_no_more_than_name_and_data() -> None:
    field = RequestField("n", "data")
    assert (field._filename, field.headers) == (None, {})
    assert field.render_headers() == "\r\n"


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        ("data", ['form-data; name="n"']),
        (b"data", ['form-data; name="n"']),
        (("f.txt", "data"), ['form-data; name="n"; filename="f.txt"', "text/plain"]),
        (("f", "data"), ['form-data; name="n"; filename="f"', "application/octet-stream"]),
        (("", "data"), ['form-data; name="n"; filename=""', "application/octet-stream"]),
        ((None, "data"), ['form-data; name="n"', "application/octet-stream"]),
        ((None, "data", None), ['form-data; name="n"']),
        (("f.txt", "data", "x/y"), ['form-data; name="n"; filename="f.txt"', "x/y"]),
        (("f.txt", "data", None), ['form-data; name="n"; filename="f.txt"']),
        (('f".txt', "data"), ['form-data; name="n"; filename="f%22.txt"', "text/plain"]),
    ],
)
def test_from_tuples(value: Any, headers: list[str]) -> None:
    field = RequestField.from_tuples("n", value)
    assert field.data in {"data", b"data"}
    names = ["Content-Disposition", "Content-Type"]
    lines = [f"{name}: {header}\r\n" for name, header in zip(names, headers, strict=False)]
    assert field.render_headers() == "".join([*lines, "\r\n"])


@pytest.mark.parametrize("value", [(), ("f",), ("f", "data", "x/y", "more")])
def test_from_tuples_of_a_wrong_length(value: Any) -> None:
    with pytest.raises(ValueError, match="unpack"):
        RequestField.from_tuples("n", value)


def test_from_tuples_makes_the_class_it_is_called_on() -> None:
    class Mine(RequestField):
        pass

    assert type(Mine.from_tuples("n", "data")) is Mine


def test_a_formatter_of_ones_own_is_deprecated_but_works() -> None:
    with pytest.warns(FutureWarning, match="header_formatter") as caught:
        field = RequestField("n", "d", "f", header_formatter=lambda name, value: f"{name}!{value!s}")
    assert caught[0].filename == __file__
    field.make_multipart()
    assert field.headers["Content-Disposition"] == "form-data; name!n; filename!f"
    with pytest.warns(FutureWarning, match="header_formatter"):
        field = RequestField.from_tuples("n", "d", header_formatter=lambda name, value: name.upper())
    assert field.headers["Content-Disposition"] == "form-data; NAME"


def test_render_part_may_be_overridden() -> None:
    class Mine(RequestField):
        def _render_part(self, name: str, value: str | bytes) -> str:
            return f"<{name} {value!s}>"

    field = Mine("n", "d", "f")
    field.make_multipart()
    assert field.headers["Content-Disposition"] == "form-data; <name n>; <filename f>"


def test_render_parts() -> None:
    field = RequestField("n", "d")
    assert field._render_part("a", 'b"') == 'a="b%22"'
    assert field._render_parts({"a": "1", "b": None, "c": ""}) == 'a="1"; c=""'
    assert field._render_parts((("a", "1"), ("b", None))) == 'a="1"'
    assert field._render_parts([]) == ""


def test_make_multipart() -> None:
    field = RequestField("n", "d", filename="f")
    field.make_multipart("attachment", "x/y", "/where")
    assert field.render_headers() == (
        'Content-Disposition: attachment; name="n"; filename="f"\r\n'
        "Content-Type: x/y\r\nContent-Location: /where\r\n\r\n"
    )
    field.make_multipart(content_type="z/z")
    assert field.headers == {
        "Content-Disposition": 'form-data; name="n"; filename="f"',
        "Content-Type": "z/z",
        "Content-Location": None,
    }


def test_headers_are_rendered_in_order_and_without_the_empty_ones() -> None:
    headers = {"X": "1", "Content-Location": "l", "Y": "", "Content-Type": "t", "Content-Disposition": "d", "Z": "2"}
    field = RequestField("n", "d", headers=headers)
    field.headers["W"] = None
    assert field.render_headers() == (
        "Content-Disposition: d\r\nContent-Type: t\r\nContent-Location: l\r\nX: 1\r\nZ: 2\r\n\r\n"
    )


@pytest.mark.parametrize(
    "headers", [{"X": "a\nb"}, {"X": "a\r\nB: c"}, {"X\r": "a"}, {"Content-Type": "x/y\r\n\r\ndata"}]
)
def test_line_breaks_do_not_get_into_headers(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="line break"):
        RequestField("n", "d", headers=headers).render_headers()


def test_the_table_of_media_types_is_loaded_on_demand() -> None:
    script = (
        "import sys; from wirepool import filepost; "
        "filepost.encode_multipart_formdata({'a': 'b', 'c': ('f', 'd', 'x/y')}); "
        "assert 'mimetypes' not in sys.modules; "
        "filepost.encode_multipart_formdata({'c': ('f', 'd')}); "
        "assert 'mimetypes' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
