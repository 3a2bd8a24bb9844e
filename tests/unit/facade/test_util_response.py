"""Closed files, defective headers, answers to HEAD."""

from __future__ import annotations

import http.client
import io
from email.message import Message
from types import SimpleNamespace
from typing import Any

import pytest

from wirepool.exceptions import HeaderParsingError
from wirepool.util.response import assert_header_parsing, is_fp_closed, is_response_to_head


class TestIsFpClosed:
    @pytest.mark.parametrize(
        ("attributes", "expected"),
        [
            ({"isclosed": lambda: True, "closed": False, "fp": 1}, True),
            ({"isclosed": lambda: False, "closed": True, "fp": None}, False),
            ({"closed": True, "fp": 1}, True),
            ({"closed": False, "fp": None}, False),
            ({"fp": None}, True),
            ({"fp": object()}, False),
        ],
    )
    def test_the_first_that_is_there_counts(self, attributes: dict[str, Any], expected: bool) -> None:
        assert is_fp_closed(SimpleNamespace(**attributes)) is expected

    def test_files(self) -> None:
        file = io.BytesIO()
        assert is_fp_closed(file) is False
        file.close()
        assert is_fp_closed(file) is True

    @pytest.mark.parametrize("unknowable", [None, object(), SimpleNamespace()])
    def test_nothing_to_go_by(self, unknowable: object) -> None:
        with pytest.raises(ValueError, match="cannot tell whether"):
            is_fp_closed(unknowable)


def header(text: bytes) -> http.client.HTTPMessage:
    return http.client.parse_headers(io.BytesIO(text))


class TestAssertHeaderParsing:
    @pytest.mark.parametrize(
        "text",
        [
            b"\r\n",
            b"A: b\r\nC: d\r\n\r\n",
            b"A: b\r\n folded\r\n\r\n",
            b"Content-Type: multipart/mixed; boundary=x\r\n\r\n",
            b"Content-Type: message/rfc822\r\n\r\n",
        ],
    )
    def test_well_formed(self, text: bytes) -> None:
        assert_header_parsing(header(text))

    @pytest.mark.parametrize(
        ("text", "defect", "rest"),
        [
            (b"A: b\r\nno colon\r\nC: d\r\n\r\n", "MissingHeaderBodySeparatorDefect", r"no colon\r\nC: d"),
            (b": no name\r\nA: b\r\n\r\n", "InvalidHeaderDefect", "''"),
            (b" folded at the start\r\nA: b\r\n\r\n", "FirstHeaderLineIsContinuationDefect", "''"),
            (b"Content-Type: multipart/mixed\r\n\r\n", "NoBoundaryInMultipartDefect", "''"),
        ],
    )
    def test_defects_are_reported_with_what_was_not_read(self, text: bytes, defect: str, rest: str) -> None:
        with pytest.raises(HeaderParsingError) as info:
            assert_header_parsing(header(text))
        assert defect in str(info.value)
        assert rest in str(info.value)

    def test_text_after_the_header_is_reported(self) -> None:
        message = header(b"A: b\r\n\r\n")
        message.set_payload("left over")
        with pytest.raises(HeaderParsingError, match="left over"):
            assert_header_parsing(message)

    @pytest.mark.parametrize("wrong", [None, {}, Message()])
    def test_other_types_are_refused(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match="HTTPMessage"):
            assert_header_parsing(wrong)


@pytest.mark.parametrize(("method", "expected"), [("HEAD", True), ("head", True), ("GET", False), ("", False)])
def test_is_response_to_head(method: str, expected: bool) -> None:
    assert is_response_to_head(SimpleNamespace(_method=method)) is expected  # type: ignore[arg-type]
