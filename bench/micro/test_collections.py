"""The header mapping: made of pairs, looked into, walked through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from wirepool import HTTPHeaderDict

Fields = list[tuple[str, str]]
Make = Callable[[Fields], Any]


def _wirepool(fields: Fields) -> Any:
    return HTTPHeaderDict(fields)


def _urllib3(fields: Fields) -> Any:
    return pytest.importorskip("urllib3").HTTPHeaderDict(fields)


peers = pytest.mark.parametrize("peer", [_wirepool, _urllib3])


@peers
def test_make(race: Any, response_fields: Fields, peer: Make) -> None:
    assert len(peer(response_fields)) == len({name.lower() for name, _ in response_fields})
    race(f"HTTPHeaderDict of {len(response_fields)} pairs", peer, response_fields)


@peers
def test_get(race: Any, response_fields: Fields, peer: Make) -> None:
    headers = peer(response_fields)
    assert headers.get("content-TYPE") == "application/json; charset=utf-8"
    race(f"look one of {len(response_fields)} fields up", headers.get, "content-TYPE")


@peers
def test_contains(race: Any, response_fields: Fields, peer: Make) -> None:
    headers = peer(response_fields)
    assert "retry-after" not in headers
    race(f"miss a field among {len(response_fields)}", headers.__contains__, "retry-after")


@peers
def test_items(race: Any, response_fields: Fields, peer: Make) -> None:
    headers = peer(response_fields)
    assert sorted(headers.items()) == sorted(response_fields)
    race(f"walk through {len(response_fields)} fields", lambda: list(headers.items()), calls=100)


@peers
def test_copy(race: Any, response_fields: Fields, peer: Make) -> None:
    headers = peer(response_fields)
    assert headers.copy() == headers
    race(f"copy {len(response_fields)} fields", headers.copy, calls=100)
