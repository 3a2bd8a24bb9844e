"""Text and bytes, and raising again."""

from __future__ import annotations

import gc
import weakref
from types import TracebackType

import pytest

from wirepool.util.util import reraise, to_bytes, to_str


def test_bytes_are_left_alone() -> None:
    data = b"\xff"
    assert to_bytes(data, "ascii") is data


def test_text_is_encoded_as_utf8_by_default() -> None:
    assert to_bytes("é") == b"\xc3\xa9"


def test_encoding_and_error_handling_are_passed_on() -> None:
    assert to_bytes("é", "latin-1") == b"\xe9"
    assert to_bytes("aé", "ascii", "ignore") == b"a"
    with pytest.raises(UnicodeEncodeError):
        to_bytes("é", "ascii")


def test_text_is_left_alone() -> None:
    text = "é"
    assert to_str(text, "ascii") is text


def test_bytes_are_decoded_as_utf8_by_default() -> None:
    assert to_str(b"\xc3\xa9") == "é"
    with pytest.raises(UnicodeDecodeError):
        to_str(b"\xe9")


def test_decoding_follows_encoding_and_errors() -> None:
    assert to_str(b"\xe9", "latin-1") == "é"
    assert to_str(b"a\xe9", None, "ignore") == "a"


@pytest.mark.parametrize("wrong", [5, None, bytearray(b"x"), memoryview(b"x")])
def test_other_types_are_refused(wrong: object) -> None:
    with pytest.raises(TypeError, match=type(wrong).__name__):
        to_bytes(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=type(wrong).__name__):
        to_str(wrong)  # type: ignore[arg-type]


def caught() -> tuple[ZeroDivisionError, TracebackType | None]:
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError as error:
        return error, error.__traceback__
    raise AssertionError("division by zero worked")


def test_an_error_is_raised_as_it_is() -> None:
    error = KeyError("x")
    with pytest.raises(KeyError) as info:
        reraise(ValueError, error)
    assert info.value is error


def test_the_traceback_given_is_part_of_the_new_one() -> None:
    _, earlier = caught()
    with pytest.raises(ValueError, match="later") as info:
        reraise(None, ValueError("later"), earlier)
    frames = []
    step = info.value.__traceback__
    while step is not None:
        frames.append(step.tb_frame.f_code.co_name)
        step = step.tb_next
    assert frames[-1] == "caught"


def test_raising_again_with_its_own_traceback_keeps_it() -> None:
    error, earlier = caught()
    with pytest.raises(ZeroDivisionError) as info:
        reraise(type(error), error, earlier)
    assert info.value is error


def test_no_reference_cycle_is_left_behind() -> None:
    class Marked(Exception):
        pass

    gc.disable()
    try:
        alive = weakref.ref(error := Marked())
        with pytest.raises(Marked):
            reraise(None, error)
        del error
        gc.collect()
        assert alive() is None
    finally:
        gc.enable()
