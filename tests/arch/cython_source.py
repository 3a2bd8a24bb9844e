"""Reads Cython sources just well enough to check rules: statements without comments and strings, imports, declarations.

Every function here takes text, so that the rules can be tested on wrong examples too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_OPAQUE = re.compile(
    r"""(?P<quotes>\"\"\"|''')(?:\\.|(?!(?P=quotes)).)*(?P=quotes)   # long strings
      | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'                    # short strings
      | \#[^\n]*                                                     # comments""",
    re.VERBOSE | re.DOTALL,
)


def without_text(source: str) -> str:
    """The source with strings emptied and comments removed; line numbers stay as they are."""

    def blank(match: re.Match[str]) -> str:
        text = match.group()
        return "" if text.startswith("#") else '""' + "\n" * text.count("\n")

    return _OPAQUE.sub(blank, source)


def statements(source: str) -> Iterator[tuple[int, str]]:
    """Number of the first line and text of every statement, continuation lines joined."""
    joined, first, depth = "", 0, 0
    for number, line in enumerate(without_text(source).splitlines(), 1):
        if not joined:
            first = number
        depth += sum(map(line.count, "([{")) - sum(map(line.count, ")]}"))
        joined += line.removesuffix("\\") + " "
        if depth <= 0 and not line.endswith("\\"):
            if joined.strip():
                yield first, joined.rstrip()
            joined, depth = "", 0


_FROM = re.compile(r"\s*from\s+(?P<module>[\w.]+)\s+c?import\s+(?P<names>.+)")
_PLAIN = re.compile(r"\s*c?import\s+(?P<modules>.+)")


def imported_modules(source: str, package: str) -> set[str]:
    """Absolute names of what is imported or cimported; of ``from package cimport name``, ``package.name``."""
    found: set[str] = set()
    for _, text in statements(source):
        if match := _FROM.match(text):
            module = _absolute(match["module"], package)
            found |= {f"{module}.{name}" for name in _names(match["names"])} if module == package else {module}
        elif match := _PLAIN.match(text):
            found |= set(_names(match["modules"]))
    return found


def _absolute(module: str, package: str) -> str:
    """Resolves leading dots against the package that the source is in."""
    stem = module.lstrip(".")
    dots = len(module) - len(stem)
    if not dots:
        return module
    base = package.split(".")[: len(package.split(".")) - dots + 1]
    return ".".join([*base, stem] if stem else base)


def _names(text: str) -> Iterator[str]:
    """The names of an import list, without ``as`` and parentheses."""
    for part in text.strip(" ();").split(","):
        if part.strip():
            yield part.split()[0]


FORBIDDEN = {
    "textual include": re.compile(r"^\s*include\s+\"\""),
    "compile-time DEF or IF": re.compile(r"^\s*(?:DEF|IF|ELIF|ELSE)\b"),
    "cpdef": re.compile(r"\bcpdef\b"),
    "except *": re.compile(r"\bexcept\s*\*"),
    "with gil": re.compile(r"\bwith\s+gil\b"),
}


def forbidden_words(source: str) -> list[str]:
    """``line: what`` for each use of a construct that the house does without."""
    return [
        f"{number}: {what}"
        for number, text in statements(source)
        for what, pattern in FORBIDDEN.items()
        if pattern.search(text)
    ]


def header_lines(source: str) -> int:
    """Length in lines of the docstring or comment block that the file opens with."""
    if match := re.match(r"\s*(\"\"\"|''')(.*?)\1", source, re.DOTALL):
        return len(match[2].strip().splitlines())
    lines = source.lstrip().splitlines()
    block = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return sum(not re.match(r"#\s*(?:cython|distutils):", line) for line in lines[:block])


_FUNCTION = re.compile(r"^\s*cdef\s+(?:inline\s+)?(?P<type>\w[\w\s.]*?[\s*]+)(?P<name>\w+)\s*\(")


def status_functions(sources: Iterable[str]) -> set[str]:
    """Names of all C functions that return a wp_status, and never anything else."""
    types: dict[str, set[str]] = {}
    for source in sources:
        for _, text in statements(source):
            if match := _FUNCTION.match(text):
                types.setdefault(match["name"], set()).add(match["type"].strip().removeprefix("inline "))
    return {name for name, returned in types.items() if returned == {"wp_status"}}


def ignored_statuses(source: str, functions: set[str]) -> list[str]:
    """``line: name`` for each statement that calls one of the functions and drops what it returns."""
    if not functions:
        return []
    names = "|".join(sorted(map(re.escape, functions)))
    # At the start of a statement, after a semicolon, or as the whole suite of a one-line if, else, for ...
    call = re.compile(
        rf"(?:^|;|^\s*(?:if|elif|else|for|while|with|try|except|finally)\b[^;]*:)\s*(?:\w+\.)*({names})\s*\(.*"
    )
    return [f"{number}: {match[1]}" for number, text in statements(source) if (match := call.search(text))]
