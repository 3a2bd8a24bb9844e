"""The byte buffer: what goes in comes out, memory is used again and given back."""

from __future__ import annotations

import random
from typing import Any

import pytest

from wirepool._core.buffer import Buffer


def test_a_new_buffer_holds_nothing() -> None:
    buffer = Buffer()
    assert (len(buffer), bytes(buffer), buffer.capacity) == (0, b"", 0)


def test_bytes_come_out_in_order() -> None:
    buffer = Buffer()
    buffer.feed(b"abc")
    buffer.feed(bytearray(b"def"))
    buffer.feed(memoryview(b"ghi"))
    buffer.feed(b"")
    buffer.skip(4)
    assert (bytes(buffer), len(buffer)) == (b"efghi", 5)


def test_skipping_all_makes_the_whole_room_usable_again() -> None:
    buffer = Buffer()
    buffer.feed(b"x" * 400)
    room = buffer.capacity
    for _ in range(1000):
        buffer.skip(400)
        buffer.feed(b"y" * 400)
    assert (buffer.capacity, bytes(buffer)) == (room, b"y" * 400)


def test_room_at_the_front_is_used_before_the_buffer_grows() -> None:
    buffer = Buffer()
    buffer.feed(b"a" * 500)
    room = buffer.capacity
    for _ in range(100):
        buffer.skip(100)
        buffer.feed(b"b" * 100)
    assert (buffer.capacity, len(buffer)) == (room, 500)


def test_growth_is_geometric() -> None:
    buffer, rooms = Buffer(), set()
    for _ in range(10000):
        buffer.feed(b"x" * 100)
        rooms.add(buffer.capacity)
    assert len(rooms) < 16
    assert buffer.capacity < 4 * len(buffer)


def test_nothing_beyond_the_end_can_be_skipped() -> None:
    buffer = Buffer()
    buffer.feed(b"abc")
    with pytest.raises(ValueError, match="more than the buffer holds"):
        buffer.skip(4)
    with pytest.raises(OverflowError):
        buffer.skip(-1)
    assert bytes(buffer) == b"abc"


def test_clearing_gives_the_memory_back() -> None:
    buffer = Buffer()
    buffer.feed(b"x" * 100000)
    buffer.clear()
    buffer.clear()
    assert (len(buffer), buffer.capacity) == (0, 0)
    buffer.feed(b"again")
    assert bytes(buffer) == b"again"


def test_it_behaves_like_a_bytearray() -> None:
    chance, buffer, model = random.Random(1), Buffer(), bytearray()
    for _ in range(3000):
        if chance.random() < 0.6:
            data = chance.randbytes(chance.randrange(300))
            buffer.feed(data)
            model += data
        elif model:
            n = chance.randrange(len(model) + 1)
            buffer.skip(n)
            del model[:n]
        assert bytes(buffer) == model


@pytest.mark.parametrize("argument", [None, "text", 5, [1]])
def test_only_bytes_are_taken(argument: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Buffer().feed(argument)
