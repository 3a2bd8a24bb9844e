"""Draws a result as SVG: ``python bench/plots/plot.py bench/results/latest.json docs/img``.

Two pictures for each scenario, user CPU and requests per second, as horizontal bars; one for what a process does only
once. Plain SVG text: no font and no library is needed, and the colours follow the reader's light or dark theme.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

WIDTH = 720
LABEL_WIDTH, LABEL_CHARACTERS = 140, 18
CHARACTER = 7
VALUE_WIDTH = 150
BAR, GAP = 20, 8
TOP, BOTTOM = 58, 28
SIDE = 16

# Chosen for a contrast of at least 4.5 (text) and 3 (bars) against white as well as against GitHub's dark #0d1117.
STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #1f2328; }
  .title { font-size: 16px; font-weight: 600; }
  .small { font-size: 11px; fill: #59636e; }
  .ours text { font-weight: 600; }
  rect { fill: #7d8996; }
  .ours rect { fill: #0a7f5a; }
  .floor rect { fill: #b08800; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .small { fill: #9198a1; }
    rect { fill: #6e7681; }
    .ours rect { fill: #2ea27a; }
    .floor rect { fill: #bb8009; }
  }
"""


@dataclass(frozen=True)
class Chart:
    """One metric and how its values are written; ``scale`` is what they are divided by."""

    metric: str
    suffix: str
    title: str
    unit: str
    lower_is_better: bool
    digits: int
    scale: float = 1.0

    def text(self, value: float) -> str:
        """A value as it stands beside its bar."""
        return f"{value / self.scale:,.{self.digits}f} {self.unit}"


# By what one figure stands for.
CHARTS = {
    "request": (
        Chart("user_us", "cpu", "User CPU per request", "µs", True, 1),
        Chart("rate", "rate", "Requests per second", "/s", False, 0),
    ),
    "connection": (
        Chart("user_us", "cpu", "User CPU per connection", "ms", True, 2, 1e3),
        Chart("rate", "rate", "Connections per second", "/s", False, 0),
    ),
    "process": (Chart("both_user_us", "cpu", "User CPU of the first request", "ms", True, 1, 1e3),),
}


def main(argv: list[str]) -> int:
    """Writes ``<scenario>-cpu.svg`` and, of scenarios that have one, ``<scenario>-rate.svg`` into the folder."""
    if len(argv) != 2:
        print("usage: plot.py RESULT.json FOLDER", file=sys.stderr)
        return 2
    document = json.loads(Path(argv[0]).read_text())
    folder = Path(argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, scenario in document["scenarios"].items():
        # Results from before there were others have nothing but requests.
        for chart in CHARTS[scenario.get("per", "request")]:
            path = folder / f"{name}-{chart.suffix}.svg"
            path.write_text(draw(chart, scenario, _origin(document)), encoding="utf-8")
            print(path)
    return 0


def draw(chart: Chart, scenario: dict[str, Any], origin: str) -> str:
    """The whole SVG document; the best client on top."""
    peers = sorted(
        scenario["peers"].items(),
        key=lambda item: item[1]["median"][chart.metric],
        reverse=not chart.lower_is_better,
    )
    most = max((peer["median"][chart.metric] for _, peer in peers), default=0) or 1
    height = TOP + len(peers) * (BAR + GAP) + BOTTOM
    better = "shorter is better" if chart.lower_is_better else "longer is better"
    start = SIDE + _label_width(peer["label"] for _, peer in peers)
    rows = [
        _row(chart, name, peer, scenario, most, start, TOP + i * (BAR + GAP)) for i, (name, peer) in enumerate(peers)
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"',
            f'role="img" aria-label="{escape(chart.title)}: {escape(_spoken(chart, peers))}">',
            f"<style>{STYLE}</style>",
            _text(SIDE, 26, chart.title, "title"),
            _text(SIDE, 44, f"{scenario['about']}; {better}; x is times wirepool's", "small"),
            *rows,
            _text(SIDE, height - 10, origin, "small"),
            "</svg>\n",
        ]
    )


def _label_width(labels: Iterable[str]) -> int:
    """Room for the longest."""
    return LABEL_WIDTH + CHARACTER * max(max(map(len, labels), default=0) - LABEL_CHARACTERS, 0)


def _row(
    chart: Chart, name: str, peer: dict[str, Any], scenario: dict[str, Any], most: float, start: int, y: int
) -> str:
    value = peer["median"][chart.metric]
    length = max(value / most * (WIDTH - start - VALUE_WIDTH - SIDE), 1.0)
    middle = y + BAR // 2 + 5
    return "\n".join(
        [
            f'<g class="{_kind(name)}">',
            _text(SIDE, middle, peer["label"]),
            f'<rect x="{start}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>',
            _text(start + length + 8, middle, chart.text(value) + _times(chart, name, peer, scenario)),
            "</g>",
        ]
    )


def _kind(name: str) -> str:
    if name.startswith("wirepool"):
        return "ours"
    return "floor" if name == "raw_socket" else "peer"


def _times(chart: Chart, name: str, peer: dict[str, Any], scenario: dict[str, Any]) -> str:
    """How many times wirepool's value that is; nothing beside wirepool's own bars."""
    base = scenario["peers"].get(peer["base"])
    if base is None or name.startswith("wirepool") or not base["median"][chart.metric]:
        return ""
    ratio = peer["median"][chart.metric] / base["median"][chart.metric]
    return f"  ({ratio:.1f} x)" if ratio >= 0.95 else f"  ({ratio:.2f} x)"


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.0f}" y="{y:.0f}"{attribute}>{escape(text)}</text>'


def _spoken(chart: Chart, peers: list[tuple[str, dict[str, Any]]]) -> str:
    return ", ".join(f"{peer['label']} {chart.text(peer['median'][chart.metric])}" for _, peer in peers)


def _origin(document: dict[str, Any]) -> str:
    machine = document["machine"]
    parts = [machine["cpu"], f"{machine['cores']} cores", document["python"], document["date"][:10]]
    if document["quick"]:
        parts.append("QUICK RUN")
    return " · ".join(parts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
