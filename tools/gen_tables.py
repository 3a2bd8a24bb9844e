"""Writes ext/include/wp_tables.h: the character classes of RFC 9110/9112 as one bit mask per octet.

Run it after changing a class:  python tools/gen_tables.py
With --check it only says whether the file is up to date (exit code 1 if not).
"""

from __future__ import annotations

import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "ext" / "include" / "wp_tables.h"

ALPHA = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
DIGIT = b"0123456789"
HEX = b"0123456789ABCDEFabcdef"

# name, bit, octets, source
CLASSES: list[tuple[str, int, set[int], str]] = [
    ("WP_TCHAR", 1, set(b"!#$%&'*+-.^_`|~" + DIGIT + ALPHA), "tchar, RFC 9110 5.6.2"),
    ("WP_TARGET", 2, set(range(0x21, 0x7F)), "what a request target may hold: VCHAR, RFC 9112 3.2"),
    (
        "WP_VALUE",
        4,
        set(range(256)) - {0x00, 0x0A, 0x0D},
        "a field value without NUL, CR, LF, the octets RFC 9110 5.5 calls dangerous",
    ),
    ("WP_HEXDIG", 8, set(HEX), "HEXDIG, RFC 5234, either case"),
    ("WP_DIGIT", 16, set(DIGIT), "DIGIT, RFC 5234"),
    (
        "WP_PLAIN",
        32,
        set(b"-._~!$&'()*+,;=:@/" + DIGIT + ALPHA) | {ord("?")},
        "octets of a path and query that normalisation leaves as they are (RFC 3986 3.3, 3.4), so no %, no #",
    ),
    ("WP_NAME_CTL", 64, set(range(0x21)) | {0x7F}, "controls and space, never inside a field name"),
]


def table(name: str, kind: str, values: list[int]) -> list[str]:
    rows = [", ".join(f"{value:3d}" for value in values[i : i + 16]) for i in range(0, 256, 16)]
    return [f"static const {kind} {name}[256] = {{", *(f"    {row}," for row in rows), "};"]


def render() -> str:
    masks = [sum(bit for _, bit, octets, _ in CLASSES if octet in octets) for octet in range(256)]
    hexes = [int(chr(octet), 16) if octet in HEX else 255 for octet in range(256)]
    lowers = [octet + 32 if 65 <= octet <= 90 else octet for octet in range(256)]
    lines = ["/* Made by tools/gen_tables.py; do not edit. */", "#ifndef WP_TABLES_H", "#define WP_TABLES_H", ""]
    for name, bit, _, source in CLASSES:
        lines.append(f"#define {name} {bit} /* {source} */")
    lines += ["", *table("wp_class", "unsigned char", masks)]
    lines += ["", "/* the value of a hex digit, 255 for anything else */", *table("wp_hex", "unsigned char", hexes)]
    lines += ["", "/* ASCII lower case */", *table("wp_lower", "unsigned char", lowers), "", "#endif", ""]
    return "\n".join(lines)


def main() -> int:
    text = render()
    if "--check" in sys.argv[1:]:
        current = TARGET.read_text() if TARGET.exists() else ""
        if current != text:
            print(f"{TARGET.name} is out of date: run python tools/gen_tables.py", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
