"""Compares wirepool with the recorded surface of urllib3: data/surface.json, which tools/record_surface.py writes."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import logging
import re
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RECORDER = ROOT / "tools" / "record_surface.py"
PACKAGE = "wirepool"

Fact = dict[str, Any]


def _load_recorder() -> Any:
    spec = importlib.util.spec_from_file_location("record_surface", RECORDER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


recorder: Any = _load_recorder()
FACTS: Fact = json.loads((ROOT / "tests" / "data" / "surface.json").read_text(encoding="utf-8"))
OURS = recorder.Describer(PACKAGE)
MISSING = object()


def load(module: str) -> Any:
    """Our module of that name; some warn when they are imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return recorder.load(PACKAGE, module)


def resolve(reference: str) -> Any:
    """What a recorded reference means for us; MISSING if it cannot be reached by its name."""
    module, _, name = reference.partition(":")
    try:
        found: Any = load(module.lstrip(".")) if module.startswith(".") else importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return MISSING
    return found


def facts_about(module: str) -> dict[str, Fact]:
    """The recorded names of a module, as far as the extras they need are installed."""
    names = FACTS["modules"][module]["names"]
    return {name: fact for name, fact in names.items() if recorder.can_describe(f"{module}.{name}")}


def differences(module: str) -> Iterator[tuple[str, str]]:
    """What does not hold of the recorded facts about a module: path and what is the matter."""
    ours = load(module)
    for name, fact in facts_about(module).items():
        path = f"{module}.{name}".lstrip(".")
        value = getattr(ours, name, MISSING)
        if value is MISSING:
            yield path, "is missing"
        else:
            yield from CHECKS[fact["kind"]](path, fact, value)


# --- one check for each kind of fact ----------------------------------------------------------------------------------


def _check_module(path: str, fact: Fact, value: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(value, types.ModuleType):
        yield path, f"is {value!r}, no module"
    elif OURS.plain(value) != fact.get("of", OURS.plain(value)):
        yield path, f"is {value!r}, not {fact['of']}"


def _check_reference(path: str, fact: Fact, value: Any) -> Iterator[tuple[str, str]]:
    expected = resolve(fact["of"])
    if expected is not MISSING and value is not expected:
        yield path, f"is {value!r}, not {expected!r}"


def _check_logger(path: str, fact: Fact, value: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(value, logging.Logger) or value.name != PACKAGE + fact["name"]:
        yield path, f"is {value!r}"


def _check_pattern(path: str, fact: Fact, value: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(value, re.Pattern):
        yield path, f"is {value!r}, no pattern"


def _check_part(path: str, fact: Fact, value: Any) -> Iterator[tuple[str, str]]:
    if type(value).__name__ != fact["type"]:
        yield path, f"is a {type(value).__name__}, not a {fact['type']}"


def _check_type(path: str, fact: Fact, value: Any) -> Iterator[tuple[str, str]]:
    return iter(())  # that there is one is enough


def _check_value(path: str, fact: Fact, value: Any) -> Iterator[tuple[str, str]]:
    if OURS.plain(value) != fact.get("value", OURS.plain(value)):
        yield path, f"is {OURS.plain(value)}, not {fact['value']}"


def _check_function(path: str, fact: Fact, value: Any) -> Iterator[tuple[str, str]]:
    if not callable(value):
        yield path, f"is {value!r}, no function"
    elif not takes_the_same(fact["takes"], OURS.takes(value)):
        yield path, f"takes {OURS.takes(value)}, not {fact['takes']}"


def takes_the_same(theirs: list[str], ours: list[str]) -> bool:
    """Whether parameters are equal but for additional ones that can be given by name only."""
    starts = [index for index, parameter in enumerate(ours) if re.match(r"\*\w*$", parameter)]
    positional = starts[0] if starts else len(ours)
    known = [*ours[:positional], *(p for p in ours[positional:] if p in theirs or p.startswith("*"))]
    if "*" in known and "*" not in theirs and (known.index("*") == len(known) - 1 or "**" in known[-1]):
        known.remove("*")
    return known == theirs


# --- classes ----------------------------------------------------------------------------------------------------------


def _check_class(path: str, fact: Fact, value: Any) -> Iterator[tuple[str, str]]:
    if not inspect.isclass(value):
        yield path, f"is {value!r}, no class"
        return
    yield from _check_ancestors(path, fact, value)
    if "enum" in fact and {member.name: OURS.plain(member.value) for member in value} != fact["enum"]:
        yield path, f"has the members {list(value)}"
    if "fields" in fact and list(value._fields) != fact["fields"]:
        yield path, f"has the fields {value._fields}"
    if fact["open"] and not recorder.is_open(value):
        yield path, "has instances without a __dict__ or without weak references"
    if "takes" in fact and not takes_the_same(fact["takes"], OURS.takes(value)):
        yield path, f"takes {OURS.takes(value)}, not {fact['takes']}"
    for name, member in fact.get("members", {}).items():
        yield from _check_member(f"{path}.{name}", member, inspect.getattr_static(value, name, MISSING))


def _check_ancestors(path: str, fact: Fact, value: type) -> Iterator[tuple[str, str]]:
    expected = [resolve(reference) for reference in fact["mro"]]
    if MISSING in expected:
        yield path, f"one of its ancestors is missing: {fact['mro']}"
    elif [parent for parent in value.__mro__[1:] if parent in expected] != expected:
        yield path, f"has the ancestors {value.__mro__[1:]}"


def _check_member(path: str, fact: Fact, member: Any) -> Iterator[tuple[str, str]]:
    if member is MISSING:
        yield path, "is missing"
        return
    ours = OURS.member(path, member)
    kind = "attribute" if fact["kind"] in ("attribute", "value") and ours["kind"] == "property" else fact["kind"]
    if kind == "attribute":
        return
    if ours["kind"] != kind:
        yield path, f"is a {ours['kind']}, not a {kind}"
    elif "takes" in fact and not takes_the_same(fact["takes"], ours["takes"]):
        yield path, f"takes {ours['takes']}, not {fact['takes']}"
    elif fact.get("settable") and not ours["settable"]:
        yield path, "cannot be set"
    elif "value" in fact and ours["value"] != fact["value"]:
        yield path, f"is {ours['value']}, not {fact['value']}"


CHECKS = {
    "alias": _check_reference,
    "class": _check_class,
    "function": _check_function,
    "import": _check_reference,
    "logger": _check_logger,
    "module": _check_module,
    "part of a pattern": _check_part,
    "pattern": _check_pattern,
    "type": _check_type,
    "value": _check_value,
}


# --- instances --------------------------------------------------------------------------------------------------------


def instance_differences(example: str) -> Iterator[tuple[str, str]]:
    """What our object of that kind lacks, or has another value for."""
    made = recorder.EXAMPLES[example](load(""))
    for name, expected in FACTS["instances"][example].items():
        path = f"{example}().{name}"
        value = getattr(made, name, MISSING)
        if value is MISSING:
            yield path, "is missing"
        elif OURS.plain(value) != expected:
            yield path, f"is {OURS.plain(value)}, not {expected}"
