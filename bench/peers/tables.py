"""Results as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_WIDTH = 79


@dataclass(frozen=True)
class Column:
    """One metric of all clients; ``scale`` is what its value is divided by, None for ratios to wirepool's value."""

    heads: tuple[str, str]
    metric: str
    width: int
    digits: int
    scale: float | None = 1.0

    def text(self, median: dict[str, float], base: dict[str, float] | None) -> str:
        """What stands in the column; a dash where nothing was measured."""
        value = median.get(self.metric)
        if self.scale is not None:
            value = None if value is None else value / self.scale
        elif value is not None:
            value = value / base[self.metric] if base and base[self.metric] else None
        if value is None:
            return "-"
        # A thousand and more microseconds are not known to a tenth.
        return f"{value:,.{self.digits if value < 1000 else 0}f}"


_RSS = Column(("RSS", "MB"), "rss", 7, 1, 1e6)
# By what one figure stands for; the first column that is a ratio is what the clients are sorted by.
_COLUMNS = {
    "request": (
        Column(("", "req/s"), "rate", 9, 0),
        Column(("user", "us"), "user_us", 8, 1),
        Column(("sys", "us"), "sys_us", 7, 1),
        Column(("p50", "us"), "p50_us", 7, 1),
        Column(("p99", "us"), "p99_us", 7, 1),
        _RSS,
        Column(("user", "x *"), "user_us", 8, 1, None),
        Column(("req/s", "x *"), "rate", 7, 2, None),
    ),
    "connection": (
        Column(("", "conn/s"), "rate", 9, 0),
        Column(("user", "ms"), "user_us", 9, 2, 1e3),
        Column(("sys", "ms"), "sys_us", 8, 2, 1e3),
        _RSS,
        Column(("user", "x *"), "user_us", 8, 1, None),
        Column(("conn/s", "x *"), "rate", 8, 2, None),
    ),
    "process": (
        Column(("request", "user ms"), "user_us", 9, 1, 1e3),
        Column(("", "wall ms"), "wall_us", 9, 1, 1e3),
        Column(("import", "user ms"), "import_user_us", 9, 1, 1e3),
        Column(("both", "user ms"), "both_user_us", 9, 1, 1e3),
        Column(("request", "x *"), "user_us", 9, 1, None),
        Column(("both", "x *"), "both_user_us", 7, 1, None),
    ),
}


def table(name: str, scenario: dict[str, Any]) -> list[str]:
    """The scenario's medians in lines of less than 80 columns."""
    columns, peers = _COLUMNS[scenario.get("per", "request")], scenario["peers"]
    order = next(column.metric for column in columns if column.scale is None)
    lines = ["", f"{name}: {scenario['about']}"]
    lines += [_line(columns, "client" if row else "", [column.heads[row] for column in columns]) for row in (0, 1)]
    for peer in sorted(peers.values(), key=lambda peer: peer["median"][order]):
        base = peers.get(peer["base"], {}).get("median")
        lines.append(_line(columns, peer["label"], [column.text(peer["median"], base) for column in columns]))
    lines += [f"  {peer}: not measured ({reason})" for peer, reason in scenario["skipped"].items()]
    return [*lines, "  * times wirepool's: of urlopen for clients given a path, else of request"]


def _line(columns: tuple[Column, ...], label: str, cells: list[str]) -> str:
    """The label gets what the columns leave."""
    left = min(_WIDTH - 2 - sum(column.width for column in columns), 23)
    right = (f"{cell:>{column.width}}" for column, cell in zip(columns, cells, strict=True))
    return f"  {label:<{left}}" + "".join(right)
