"""Names that modules offer for those who are used to urllib3, and values that the standard library left folded."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import pytest

from wirepool import _messages, _reexports

# Each needs packages that need not be there.
OPTIONAL = {
    "wirepool.contrib.pyopenssl": "OpenSSL",
    "wirepool.contrib.socks": "socks",
    "wirepool.http2.connection": "h2",
}


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The names of a module that exists in this test only."""
    names: dict[str, str] = {}
    monkeypatch.setitem(sys.modules, "wirepool.test_module", ModuleType("wirepool.test_module"))
    monkeypatch.setitem(_reexports._TABLE, "wirepool.test_module", names)
    return names


@pytest.mark.parametrize("module", _reexports._TABLE)
def test_every_name_of_the_table_leads_somewhere(module: str) -> None:
    pytest.importorskip(OPTIONAL.get(module, "wirepool"))
    loaded = importlib.import_module(module)
    for name in _reexports._TABLE[module]:
        assert getattr(loaded, name) is not None
        assert name in vars(loaded), "it is an ordinary global from then on"


def test_a_name_of_a_module_and_a_module(table: dict[str, str]) -> None:
    table.update(parse="json.decoder:JSONDecoder", whole="json.decoder")
    look_up = _reexports.reexports("wirepool.test_module")
    assert look_up("whole") is sys.modules["json.decoder"]
    assert look_up("parse") is sys.modules["json.decoder"].JSONDecoder
    assert vars(sys.modules["wirepool.test_module"])["whole"] is sys.modules["json.decoder"]


@pytest.mark.parametrize("source", [None, "no_such_module_anywhere"])
def test_what_is_not_there_is_an_attribute_error(table: dict[str, str], source: str | None) -> None:
    if source:
        table["name"] = source
    with pytest.raises(AttributeError, match=r"module 'wirepool\.test_module' has no attribute 'name'"):
        _reexports.reexport("wirepool.test_module", "name")


class Double:
    """Headers of a stub: a mapping that is no message."""

    _headers = ()

    def items(self) -> Any:
        return {"A": "b\r\n c"}.items()


def test_mappings_that_are_no_messages_are_only_listed() -> None:
    assert _messages.unfold_all(Double()) == [("A", "b\r\n c")]
    assert _messages.unfold("no fold\n here") == "no fold\n here"
