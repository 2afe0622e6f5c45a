# SPDX-License-Identifier: Apache-2.0
"""Bars and ranges as SVG, in the reader's light or dark colours; nothing is fetched by them, and nothing runs."""

import math
from collections.abc import Sequence
from html import escape
from typing import Final

_WIDTH, _LABEL, _VALUE, _ROW, _TOP = 760, 190, 130, 26, 44
_STYLE: Final = """
  .paper { fill: #ffffff } .ink { fill: #1f2328 } .soft { fill: #59636e } .line { stroke: #d1d9e0 }
  .bar { fill: #8c959f } .own { fill: #1f6feb } .range { stroke: #8c959f } .range.own { stroke: #1f6feb }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 } .ink { fill: #e6edf3 } .soft { fill: #9198a1 } .line { stroke: #3d444d }
    .bar { fill: #656c76 } .own { fill: #4493f8 } .range { stroke: #656c76 } .range.own { stroke: #4493f8 }
  }
  text { font: 13px system-ui, sans-serif } .title { font-weight: 600; font-size: 14px }
"""


def bars(title: str, rows: Sequence[tuple[str, float, str, bool]]) -> str:
    """A bar for each (label, value, what is written beside it, whether it is ours)."""
    most = max(value for _, value, _, _ in rows)
    room = _WIDTH - _LABEL - _VALUE
    parts = []
    for number, (label, value, text, own) in enumerate(rows):
        y, length = _TOP + number * _ROW, max(1.0, value / most * room)
        parts.append(_text(_LABEL - 10, y + 17, label, "ink", "end"))
        kind = "own" if own else "bar"
        parts.append(f'<rect class="{kind}" x="{_LABEL}" y="{y + 4}" width="{length:.1f}" height="18" rx="2"/>')
        parts.append(_text(_LABEL + length + 8, y + 17, text, "soft"))
    return _whole(title, _TOP + len(rows) * _ROW + 12, parts)


def ranges(title: str, unit: str, rows: Sequence[tuple[str, Sequence[float], bool]]) -> str:
    """A line from the least to the most of each row's values, with a dot at each, on a logarithmic scale."""
    values = [value for _, row, _ in rows for value in row]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    room, bottom = _WIDTH - _LABEL - 40, _TOP + len(rows) * _ROW

    def x(value: float) -> float:
        return _LABEL + (math.log10(value) - low) / max(1, high - low) * room

    parts = []
    for power in range(low, high + 1):
        at = x(10.0**power)
        parts.append(f'<line class="line" x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{bottom}"/>')
        parts.append(_text(at, bottom + 18, f"{10.0**power:g} {unit}", "soft", "middle"))
    for number, (label, row, own) in enumerate(rows):
        y, kind = _TOP + number * _ROW + 13, "own" if own else "bar"
        parts.append(_text(_LABEL - 10, y + 4, label, "ink", "end"))
        ends = f'x1="{x(row[0]):.1f}" y1="{y}" x2="{x(row[-1]):.1f}" y2="{y}"'
        parts.append(f'<line class="range {kind}" {ends} stroke-width="3"/>')
        parts += [f'<circle class="{kind}" cx="{x(value):.1f}" cy="{y}" r="5"/>' for value in row]
    return _whole(title, bottom + 32, parts)


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _whole(title: str, height: int, parts: list[str]) -> str:
    size = f'viewBox="0 0 {_WIDTH} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(title)}">'
    paper = f'<rect class="paper" width="{_WIDTH}" height="{height}" rx="6"/>'
    heading = f'<text class="ink title" x="16" y="26">{escape(title)}</text>'
    return "\n".join([head, f"<style>{_STYLE}</style>", paper, heading, *parts, "</svg>", ""])
