"""The memory of which servers speak HTTP/2."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from wirepool.http2 import probe
from wirepool.http2.probe import _HTTP2ProbeCache


@pytest.fixture
def cache() -> _HTTP2ProbeCache:
    return _HTTP2ProbeCache()


def elsewhere(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Runs that in another thread; the list gets what comes of it."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(call()), daemon=True)
    thread.start()
    return thread, found


@pytest.mark.parametrize("value", [True, False])
def test_what_was_found_out_is_known(cache: _HTTP2ProbeCache, value: bool) -> None:
    assert cache.acquire_and_get("a", 1) is None
    cache.set_and_release("a", 1, value)
    assert cache.acquire_and_get("a", 1) is value
    thread, found = elsewhere(lambda: cache.acquire_and_get("a", 1))
    thread.join(5)
    assert found == [value]


def test_host_and_port_are_apart(cache: _HTTP2ProbeCache) -> None:
    for host, port in (("a", 1), ("a", 2), ("b", 1)):
        assert cache.acquire_and_get(host, port) is None
    cache.set_and_release("a", 2, True)
    assert cache._values() == {("a", 1): None, ("a", 2): True, ("b", 1): None}


def test_others_wait_for_who_finds_out(cache: _HTTP2ProbeCache) -> None:
    assert cache.acquire_and_get("a", 1) is None
    thread, found = elsewhere(lambda: cache.acquire_and_get("a", 1))
    thread.join(0.05)
    assert thread.is_alive()
    cache.set_and_release("a", 1, True)
    thread.join(5)
    assert found == [True]


def test_when_nothing_came_of_it_the_next_one_finds_out(cache: _HTTP2ProbeCache) -> None:
    assert cache.acquire_and_get("a", 1) is None

    def find_out() -> Any:
        known = cache.acquire_and_get("a", 1)
        cache.set_and_release("a", 1, False)
        return known

    thread, found = elsewhere(find_out)
    cache.set_and_release("a", 1, None)
    thread.join(5)
    assert found == [None]
    assert cache._values() == {("a", 1): False}


def test_the_lock_of_what_is_known_is_free(cache: _HTTP2ProbeCache) -> None:
    cache.acquire_and_get("a", 1)
    thread, found = elsewhere(lambda: (cache.acquire_and_get("a", 1), cache.acquire_and_get("a", 1)))
    cache.set_and_release("a", 1, True)
    thread.join(5)
    assert found == [(True, True)]
    with pytest.raises(RuntimeError):
        cache.set_and_release("a", 1, False)


def test_telling_without_having_asked(cache: _HTTP2ProbeCache) -> None:
    with pytest.raises(KeyError):
        cache.set_and_release("a", 1, True)
    assert cache._values() == {}


def test_noting_waits_for_nobody(cache: _HTTP2ProbeCache) -> None:
    cache.acquire_and_get("a", 1)
    thread, _ = elsewhere(lambda: cache._note("a", 1, True))
    thread.join(5)
    assert not thread.is_alive()
    assert cache._values() == {("a", 1): True}
    cache.set_and_release("a", 1, True)


def test_forgetting(cache: _HTTP2ProbeCache) -> None:
    cache.acquire_and_get("a", 1)
    cache.set_and_release("a", 1, True)
    values = cache._values()
    cache._reset()
    assert values == {("a", 1): True}
    assert cache._values() == {}
    assert cache.acquire_and_get("a", 1) is None


def test_the_one_of_the_process() -> None:
    assert probe.acquire_and_get == probe._HTTP2_PROBE_CACHE.acquire_and_get
    assert probe.set_and_release == probe._HTTP2_PROBE_CACHE.set_and_release
    assert probe._values == probe._HTTP2_PROBE_CACHE._values
    assert probe._reset == probe._HTTP2_PROBE_CACHE._reset
    assert sorted(_HTTP2ProbeCache.__slots__) == ["_cache_locks", "_cache_values", "_lock"]
