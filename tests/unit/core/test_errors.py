"""The core's exceptions: one status, one class, one message."""

from __future__ import annotations

import pytest

from wirepool._core import errors
from wirepool._core.chunked import parse_chunk_size
from wirepool._core.head import head_length, parse_head
from wirepool._core.headers_out import check_field, check_method


def test_every_status_has_its_own_value_and_errors_are_negative() -> None:
    assert len(set(errors.STATUS.values())) == len(errors.STATUS)
    assert [name for name, value in errors.STATUS.items() if value >= 0] == ["OK", "NEED_MORE"]


def test_the_classes() -> None:
    for cls in (errors.ProtocolViolation, errors.ConnectionLost, errors.WaitTimeout, errors.RequestRefused):
        assert issubclass(cls, errors.CoreError)
        assert issubclass(cls, ValueError) == (cls is errors.RequestRefused)


def test_an_error_carries_status_and_detail() -> None:
    error = errors.ProtocolViolation(errors.STATUS["BAD_FIELD"], b"A : b")
    assert (error.status, error.detail) == (errors.STATUS["BAD_FIELD"], b"A : b")
    assert str(error) == "a header field that cannot be read safely: b'A : b'"
    assert str(errors.WaitTimeout(errors.STATUS["TIMED_OUT"])) == "timed out"


def test_a_status_without_a_message_shows_its_name() -> None:
    assert str(errors.CoreError(errors.STATUS["STALE"])) == "STALE"
    assert str(errors.CoreError(12345)) == "unknown status"


@pytest.mark.parametrize(
    ("call", "cls", "status"),
    [
        (lambda: parse_head(b"x"), errors.ProtocolViolation, "BAD_STATUS_LINE"),
        (lambda: head_length(b"HTTP/1.1 200 OK\r\nA: b\r\n", 0), errors.ProtocolViolation, "TOO_MANY_FIELDS"),
        (lambda: parse_chunk_size(b"x"), errors.ProtocolViolation, "BAD_CHUNK_SIZE"),
        (lambda: check_method("G T"), errors.RequestRefused, "BAD_METHOD"),
        (lambda: check_field("A:", "b"), errors.RequestRefused, "BAD_NAME"),
        (lambda: check_field("A", "b\nc"), errors.RequestRefused, "BAD_VALUE"),
    ],
)
def test_a_status_becomes_the_class_of_who_is_to_blame(call, cls, status) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(cls) as caught:
        call()
    assert type(caught.value) is cls
    assert caught.value.status == errors.STATUS[status]
