"""The alias's parts on their own: names, finder, distribution, who holds what. The whole: behaviour/test_alias."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import wirepool
from wirepool import _dropin, _identity, _version
from wirepool._dropin import children, imports, metadata, presence

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"


def module(name: str, **attributes: Any) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(attributes)
    return made


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("urllib3", True),
        ("urllib3.util.retry", True),
        ("urllib3x", False),
        ("urllib3_future.util", False),
        ("urllib", False),
        ("wirepool.urllib3", False),
        ("", False),
    ],
)
def test_what_is_urllib3s(name: str, expected: bool) -> None:
    assert _identity.is_alias_name(name) is expected


def test_names_of_modules_translate_both_ways() -> None:
    for ours, alias in (("wirepool", "urllib3"), ("wirepool.util.retry", "urllib3.util.retry")):
        assert _identity.own_name(alias) == ours
        assert _identity.alias_name(ours) == alias


def test_loggers_and_version_follow_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _identity.logger_name("wirepool.response") == "wirepool.response"
    assert (_version.version, _version.version_tuple[:2]) == (_version.wirepool_version, (0, 1))
    try:
        monkeypatch.setattr(_identity.Presented, "name", "urllib3")
        _version.refresh()
        assert _identity.logger_name("wirepool") == "urllib3"
        assert _identity.logger_name("wirepool.response") == "urllib3.response"
        assert (_version.__version__, _version.__version_tuple__) == ("2.8.0", (2, 8, 0))
    finally:
        monkeypatch.undo()
        _version.refresh()
    assert _version.__version__ == _version.wirepool_version


# --- the finder -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["json", "wirepool", "wirepool.util", "urllib3x", "urllib"])
def test_the_finder_leaves_other_modules_alone(name: str) -> None:
    assert imports.Finder().find_spec(name) is None


def test_the_finder_finds_without_loading() -> None:
    spec = imports.Finder().find_spec("urllib3")
    assert spec is not None
    assert (spec.name, spec.origin) == ("urllib3", wirepool.__spec__.origin)
    assert spec.submodule_search_locations == wirepool.__path__


def test_modules_of_a_package_that_is_not_ours_are_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "urllib3.util", module("urllib3.util"))
    assert imports.Finder().find_spec("urllib3.util.retry") is None


def test_a_stand_in_reads_through() -> None:
    stand_in = imports.StandIn("urllib3.util.retry", "wirepool.util.retry")
    assert stand_in.Retry is wirepool.Retry
    assert imports.is_ours("urllib3.util.retry", stand_in)
    with pytest.raises(AttributeError):
        _ = stand_in.nonsense


def test_starting_twice_is_starting_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    before = list(sys.meta_path)
    imports.start()
    imports.start()
    assert len(sys.meta_path) == len(before) + 1
    assert imports.is_active()
    imports.stop()
    assert sys.meta_path == before


# --- the distribution -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [None, "urllib3", "URLLIB3"])
def test_the_distribution_is_found(name: str | None) -> None:
    (found,) = imports.Finder().find_distributions(SimpleNamespace(name=name))  # type: ignore[arg-type]
    assert (found.version, found.metadata["Name"]) == (_version.urllib3_version, "urllib3")
    assert found.read_text("RECORD") is None


def test_it_is_not_installed_in_any_folder() -> None:
    """Or pip, run under the alias, would take urllib3 for installed."""
    context = SimpleNamespace(name="urllib3", path=[sys.path[-1]])
    assert list(imports.Finder().find_distributions(context)) == []  # type: ignore[arg-type]


def test_other_distributions_are_not_ours() -> None:
    assert list(metadata.distributions("requests")) == []


def test_requirements_are_those_of_our_extras() -> None:
    """What ``pip install wirepool[socks]`` brings is what ``urllib3[socks]`` is said to need."""
    extras = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    (stand_in,) = metadata.distributions("urllib3")
    said: dict[str, set[str]] = {}
    for line in stand_in.requires or []:
        requirement, _, marker = line.partition("; ")
        said.setdefault(marker.split('"')[-2], set()).add(requirement)
    assert said.keys() == {"brotli", "zstd", "socks", "h2"}
    for extra, requirements in said.items():
        ours = {requirement.partition(";")[0] for requirement in extras[extra]}
        assert {frozenset(line.split(",")) for line in requirements} == {frozenset(line.split(",")) for line in ours}


# --- who holds what ---------------------------------------------------------------------------------------------------


def test_holders_are_named_by_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    other = module("urllib3.util")
    kind = type("Retry", (), {"__module__": "urllib3.util.retry"})

    class Proxy:
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(f"{name} was asked for")

    for name, attributes in {
        "holds_module.inner": {"util": other},
        "holds_class": {"Retry": kind},
        "holds_nothing": {"proxy": Proxy(), "number": 3},
    }.items():
        monkeypatch.setitem(sys.modules, name, module(name, **attributes))
    held = presence.holders({"urllib3.util": other})
    assert {"holds_module", "holds_class"} <= set(held)
    assert "holds_nothing" not in held
    assert "wirepool" not in held


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        (
            {"urllib3": module("urllib3", __version__="1.26.5", __file__="/a/b.py")},
            "urllib3 1.26.5 from /a/b.py",
        ),
        ({"urllib3": module("urllib3")}, "urllib3 of an unknown version from nowhere"),
        ({"urllib3.b": module("b"), "urllib3.a": module("a")}, "urllib3.a, urllib3.b"),
    ],
)
def test_another_urllib3_is_described(modules: dict[str, ModuleType], expected: str) -> None:
    assert presence.describe(modules) == expected


def test_an_installation_that_is_refused_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "urllib3", module("urllib3"))
    entries, finders = dict(sys.modules), list(sys.meta_path)
    with pytest.raises(RuntimeError, match="is imported already"):
        _dropin.install()
    assert (dict(sys.modules), sys.meta_path) == (entries, finders)


# --- children ---------------------------------------------------------------------------------------------------------


def test_what_children_are_told_is_added_once() -> None:
    told = {"init_main_from_path": "/p.py", "sys_path": ["/"]}
    spawn = SimpleNamespace(get_preparation_data=lambda name: dict(told, name=name))
    children._prepare(spawn)
    first = spawn.get_preparation_data
    children._prepare(spawn)
    assert spawn.get_preparation_data is first
    data = first("Process-1")
    assert data.pop("wirepool").__reduce__() == (children.adopt, ())
    assert data == {**told, "name": "Process-1"}
    # The server of "forkserver" would import the program before it could be told.
    assert "init_main_from_path" not in first("ignore")
