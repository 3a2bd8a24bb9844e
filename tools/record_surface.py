"""Writes tests/data/surface.json: what urllib3 offers to programs, in names, signatures and plain values.

Run it with the urllib3 to be recorded, and all its extras, installed:  python tools/record_surface.py
With --check it only says whether the file is what would be written (exit code 1 if not).

The file holds facts, no text of urllib3: patterns, and values that depend on the machine, are recorded by their kind
alone. tests/compat/test_surface.py, which compares the file with wirepool, describes wirepool's objects with the same
functions; hence what belongs to the package is written without the package's name: ``.connection:HTTPConnection``.
"""

from __future__ import annotations

import enum
import http.client
import importlib
import inspect
import io
import json
import logging
import re
import subprocess
import sys
import types
import typing
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parent.parent / "tests" / "data" / "surface.json"

LINE = 118

Fact = dict[str, Any]

# Extra -> modules that any one of brings it.
EXTRAS = {
    "brotli": ("brotlicffi", "brotli"),
    "h2": ("h2",),
    "pyopenssl": ("OpenSSL",),
    "socks": ("socks",),
    "zstd": ("compression.zstd", "backports.zstd"),
}
NEEDS = {
    "contrib.pyopenssl": "pyopenssl",
    "contrib.socks": "socks",
    "http2.connection": "h2",
    "response.BrotliDecoder": "brotli",
    "response.ZstdDecoder": "zstd",
    "response.brotli": "brotli",
    "response.zstd": "zstd",
}
MODULES = (
    "",
    "_base_connection",
    "_collections",
    "_request_methods",
    "_version",
    "connection",
    "connectionpool",
    "contrib",
    "contrib.pyopenssl",
    "contrib.socks",
    "exceptions",
    "fields",
    "filepost",
    "http2",
    "http2.connection",
    "http2.probe",
    "poolmanager",
    "response",
    "util",
    "util.connection",
    "util.proxy",
    "util.request",
    "util.response",
    "util.retry",
    "util.ssl_",
    "util.ssl_match_hostname",
    "util.ssltransport",
    "util.timeout",
    "util.url",
    "util.util",
    "util.wait",
)
# Values that are of the machine, of its extras or of one library; only their type is recorded.
OF_THE_MACHINE = re.compile(
    r"(.*\.)?("
    r"__version__|__author__|_version\..*|OPENSSL_VERSION|HASHFUNC_MAP|HAS_IPV6|HAS_ZSTD|HAS_NEVER_CHECK_COMMON_NAME"
    r"|ACCEPT_ENCODING|CONTENT_DECODERS|DECODER_ERROR_CLASSES|response\.(brotli|zstd)|contrib\.pyopenssl\._.*"
    r")"
)
# Texts and lists that patterns are built of.
OF_PATTERNS = re.compile(r"util\.url\._(.*_PAT|subs|variations)")

NOT_OFFERED = {"annotations", "TYPE_CHECKING", "_unused_module_brotli", "_unused_module_zstd"}
# What the namedtuple and enum machineries put into a class.
MACHINERY = {"_make", "_replace", "_asdict", "_fields", "_field_defaults", "_fields_defaults", "_abc_impl"}

# Objects whose attributes are recorded: those that programs meet, made in the simplest way.
EXAMPLES: dict[str, Callable[[Any], Any]] = {
    "HTTPHeaderDict": lambda package: package.HTTPHeaderDict(),
    "RecentlyUsedContainer": lambda package: package._collections.RecentlyUsedContainer(),
    "RequestField": lambda package: package.fields.RequestField("n", "d"),
    "Retry": lambda package: package.Retry(),
    "Timeout": lambda package: package.Timeout(),
    "HTTPConnection": lambda package: package.connection.HTTPConnection("h"),
    "HTTPSConnection": lambda package: package.connection.HTTPSConnection("h"),
    "HTTPConnectionPool": lambda package: package.HTTPConnectionPool("h"),
    "HTTPSConnectionPool": lambda package: package.HTTPSConnectionPool("h"),
    "PoolManager": lambda package: package.PoolManager(),
    "ProxyManager": lambda package: package.ProxyManager("http://p:1"),
    "HTTPResponse": lambda package: package.HTTPResponse(b"x"),
    "HTTPResponse(file)": lambda package: package.HTTPResponse(io.BytesIO(b"x"), preload_content=False),
}


def available(extra: str) -> bool:
    """Whether what brings an extra is installed."""
    for name in EXTRAS[extra]:
        try:
            importlib.import_module(name)
            return True
        except ImportError:
            pass
    return False


def is_open(cls: type) -> bool:
    """Whether instances take attributes of any name, and weak references."""
    return bool(cls.__dictoffset__ and cls.__weakrefoffset__)


def can_describe(name: str) -> bool:
    """Whether the extra that a module, or a name in one, needs is there."""
    return name not in NEEDS or available(NEEDS[name])


def load(package: str, module: str) -> Any:
    """A module by its name within the package."""
    return importlib.import_module(f"{package}.{module}" if module else package)


class Describer:
    """Turns what one package offers into facts."""

    def __init__(self, package: str) -> None:
        self.package = package

    # --- references and values ---------------------------------------------------------------------------------------

    def belongs(self, thing: Any) -> bool:
        """Whether a class or function was defined in the package."""
        module = getattr(thing, "__module__", None) or ""
        return str(module).split(".")[0] == self.package

    def reference(self, thing: Any) -> str:
        """Module and name of a class or function; without the package's name if it belongs to it."""
        module = getattr(thing, "__module__", None) or "builtins"
        if self.belongs(thing):
            module = module.removeprefix(self.package)
        return f"{module or '.'}:{thing.__qualname__}"

    def plain(self, value: Any) -> str:
        """A value as text that is the same wherever the value is."""
        if isinstance(value, enum.Enum) and not isinstance(value, int):
            return f"<{type(value).__name__}.{value.name}>"
        if isinstance(value, int) and not isinstance(value, bool):
            return str(int(value))
        if isinstance(value, (str, bytes, float, bool, type(None))):
            return repr(value)
        if isinstance(value, (list, tuple, set, frozenset, dict)):
            return self._plain_container(value)
        if isinstance(value, types.ModuleType):
            return f"<module {value.__name__.replace(self.package, '', 1)}>"
        if inspect.isclass(value) or inspect.isroutine(value):
            return f"<{self.reference(value)}>"
        if type(value).__module__ == "datetime":
            return repr(value)
        return f"<a {type(value).__qualname__}>"

    def _plain_container(self, value: Any) -> str:
        if isinstance(value, dict):
            items = [f"{self.plain(key)}: {self.plain(item)}" for key, item in value.items()]
        else:
            items = [self.plain(item) for item in value]
            items = sorted(items) if isinstance(value, (set, frozenset)) else items
        return f"{type(value).__name__}({', '.join(items)})"

    def takes(self, function: Callable[..., Any]) -> list[str]:
        """The parameters of a callable, as they are written in Python, without annotations."""
        shown: list[str] = []
        keywords_only = False
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind is parameter.POSITIONAL_ONLY:
                raise NotImplementedError(f"{function!r} has parameters that are positional only")
            if parameter.kind is parameter.VAR_POSITIONAL:
                keywords_only = True
            elif parameter.kind is parameter.KEYWORD_ONLY and not keywords_only:
                keywords_only = True
                shown.append("*")
            shown.append(self._parameter(parameter))
        return shown

    def _parameter(self, parameter: inspect.Parameter) -> str:
        stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(parameter.kind.name, "")
        given = "" if parameter.default is parameter.empty else f"={self.plain(parameter.default)}"
        return f"{stars}{parameter.name}{given}"

    # --- names of a module -------------------------------------------------------------------------------------------

    def name(self, path: str, value: Any, home: str) -> Fact:
        """What a name of a module stands for. ``home`` is the module's full name."""
        if isinstance(value, types.ModuleType):
            return {"kind": "module"} if OF_THE_MACHINE.fullmatch(path) else {"kind": "module", "of": self.plain(value)}
        if inspect.isclass(value):
            return self._class_name(path, value, home)
        if inspect.isroutine(value):
            return self._function_name(path, value, home)
        if isinstance(value, logging.Logger):
            return {"kind": "logger", "name": value.name.replace(self.package, "", 1)}
        if type(value).__module__ in ("typing", "types"):
            return {"kind": "type"}
        return self.value(path, value)

    def value(self, path: str, value: Any) -> Fact:
        """A constant."""
        if isinstance(value, re.Pattern):
            return {"kind": "pattern"}
        if OF_PATTERNS.fullmatch(path):
            return {"kind": "part of a pattern", "type": type(value).__name__}
        if OF_THE_MACHINE.fullmatch(path):
            return {"kind": "value"}
        return {"kind": "value", "value": self.plain(value)}

    def _class_name(self, path: str, value: type, home: str) -> Fact:
        if typing.get_origin(value) is not None:
            return {"kind": "type"}
        if value.__module__ != home:
            return {"kind": "import", "of": self.reference(value)}
        if value.__name__ != path.rpartition(".")[2]:
            return {"kind": "alias", "of": self.reference(value)}
        return self.cls(path, value)

    def _function_name(self, path: str, value: Any, home: str) -> Fact:
        if getattr(value, "__module__", None) == home and value.__name__ == path.rpartition(".")[2]:
            return {"kind": "function", "takes": self.takes(value)}
        if inspect.ismethod(value) and self.belongs(value.__func__):
            return {"kind": "function", "takes": self.takes(value)}
        return {"kind": "import", "of": self.reference(value)}

    # --- classes -----------------------------------------------------------------------------------------------------

    def cls(self, path: str, cls: type) -> Fact:
        """A class: its ancestors, how it is called and what it defines itself."""
        ancestors = list(dict.fromkeys(self.reference(parent) for parent in cls.__mro__))
        fact: Fact = {"kind": "class", "mro": ancestors[1:], "open": is_open(cls)}
        if issubclass(cls, enum.Enum):
            return {**fact, "enum": {member.name: self.plain(member.value) for member in cls}}
        if self.has_constructor(cls):
            fact["takes"] = self.takes(cls)
        if hasattr(cls, "_fields") and "_fields" in vars(cls):
            fact["fields"] = list(cls._fields)
        fact["members"] = {
            name: self.member(f"{path}.{name}", value) for name, value in vars(cls).items() if self._is_own(cls, name)
        }
        return fact

    def has_constructor(self, cls: type) -> bool:
        """Whether the package says how the class is called, and not only its foreign ancestors."""
        return any(self.belongs(k) and {"__init__", "__new__"} & set(vars(k)) for k in cls.__mro__)

    def _is_own(self, cls: type, name: str) -> bool:
        value = vars(cls)[name]
        if "_fields" in vars(cls) and (name in cls._fields or name.startswith("__")):  # type: ignore[attr-defined]
            return False
        if name in ("__init__", "__new__"):
            return False  # what it takes is what the class takes
        if name.startswith("__") and name.endswith("__"):
            return isinstance(value, types.FunctionType) or (name == "__hash__" and value is None)
        return name not in MACHINERY

    def member(self, path: str, value: Any) -> Fact:
        """A member as it stands in the class."""
        if isinstance(value, staticmethod):
            if isinstance(value.__func__, types.FunctionType):
                return {"kind": "staticmethod", "takes": self.takes(value.__func__)}
            return {"kind": "staticmethod"}
        if isinstance(value, classmethod):
            return {"kind": "classmethod", "takes": self.takes(value.__func__)}
        if isinstance(value, types.FunctionType):
            return {"kind": "method", "takes": self.takes(value)}
        if isinstance(value, property):
            return {"kind": "property", "settable": value.fset is not None}
        if inspect.isdatadescriptor(value):
            return {"kind": "attribute"}
        return self.value(path, value)

    # --- instances ---------------------------------------------------------------------------------------------------

    def attributes(self, instance: Any) -> dict[str, str]:
        """What an object has of its own, with values; without what is private to the standard library."""
        foreign = {name for name in vars(http.client.HTTPConnection("h")) if name.startswith("_")}
        return {name: self.plain(value) for name, value in vars(instance).items() if name not in foreign}


# --- the file -----------------------------------------------------------------------------------------------------


def names_of(module: Any) -> Iterator[str]:
    """The names a module binds that are worth a fact: not Python's own, not submodules that happen to be loaded."""
    for name, value in vars(module).items():
        is_dunder = name.startswith("__") and name.endswith("__")
        if is_dunder and name not in ("__version__", "__author__", "__license__", "__version_tuple__", "__commit_id__"):
            continue
        if name not in NOT_OFFERED and not is_submodule(module, name, value):
            yield name


def is_submodule(module: Any, name: str, value: Any) -> bool:
    return isinstance(value, types.ModuleType) and value.__name__ == f"{module.__name__}.{name}"


def describe_module(describer: Describer, module: str) -> Fact:
    loaded = load(describer.package, module)
    names = {}
    for name in sorted(names_of(loaded)):
        path = f"{module}.{name}" if module else name
        if can_describe(path):
            names[name] = describer.name(path, getattr(loaded, name), loaded.__name__)
    public = getattr(loaded, "__all__", None)
    return {"all": None if public is None else sorted(public), "names": names}


def submodules_after_import(package: str) -> list[str]:
    """What ``import package`` makes reachable as attributes, from a fresh interpreter."""
    script = f"import sys, {package}; print(*(m for m in sys.modules if m.startswith({package + '.'!r})))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return sorted(name.removeprefix(package) for name in run.stdout.split())


def record(package: str) -> Fact:
    """All facts about an installed package."""
    describer = Describer(package)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        modules = {module: describe_module(describer, module) for module in MODULES if can_describe(module)}
        whole = load(package, "")
        return {
            "version": whole.__version__,
            "python": f"{sys.version_info.major}.{sys.version_info.minor}",
            "submodules": submodules_after_import(package),
            "modules": modules,
            "instances": {name: describer.attributes(make(whole)) for name, make in EXAMPLES.items()},
        }


def dump(value: Any, indent: str = "") -> str:
    """JSON in which whatever fits in a line is one."""
    line = json.dumps(value)
    if len(indent) + len(line) <= LINE or not isinstance(value, (dict, list)):
        return line
    inner = indent + " "
    if isinstance(value, list):
        return _filled([json.dumps(item) for item in value], inner)
    items = [f"{inner}{json.dumps(name)}: {dump(item, inner)}" for name, item in value.items()]
    return "{\n" + ",\n".join(items) + f"\n{indent}}}"


def _filled(items: list[str], indent: str) -> str:
    lines = [""]
    for item in items:
        if lines[-1] and len(lines[-1]) + len(item) > LINE - len(indent):
            lines.append("")
        lines[-1] += f" {item}," if lines[-1] else f"{item},"
    return "[\n" + "\n".join(indent + line for line in lines).rstrip(",") + "]"


def without_missing_extras(facts: Fact) -> Fact:
    """The facts that can be compared where some extras are not installed."""
    modules = {}
    for module, fact in facts["modules"].items():
        if can_describe(module):
            names = {name: of for name, of in fact["names"].items() if can_describe(f"{module}.{name}")}
            modules[module] = {**fact, "names": names}
    return {**facts, "modules": modules}


def differences(recorded: Any, found: Any, path: str) -> Iterator[str]:
    """Where two trees of facts differ."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        for name in recorded.keys() | found.keys():
            yield from differences(recorded.get(name), found.get(name), f"{path} / {name}")
    elif recorded != found:
        yield f"{path}: {recorded} was recorded, {found} is there"


def main() -> int:
    missing = [extra for extra in EXTRAS if not available(extra)]
    if "--check" in sys.argv[1:]:
        recorded = json.loads(TARGET.read_text(encoding="utf-8"))
        different = list(differences(without_missing_extras(recorded), record("urllib3"), ""))
        if different:
            print(f"{TARGET.name} is out of date: run {Path(__file__).name}. It differs in", file=sys.stderr)
            print(*different, sep="\n", file=sys.stderr)
        return 1 if different else 0
    if missing:
        print(f"record_surface: install what brings these extras first: {', '.join(missing)}", file=sys.stderr)
        return 2
    TARGET.write_text(dump(record("urllib3")) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
