# SPDX-License-Identifier: Apache-2.0
"""Bars over time, drawn by the server as SVG: classes and presentation attributes, since no page has a style of its
own. A chart is never alone: ``rows`` say the same as a table."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from keyquorum.console.rendering import date

WIDTH: Final = 720
HEIGHT: Final = 120
_GAP: Final = 0.15


class Bar(Struct, frozen=True):
    """``ok`` and ``failed`` are heights from the bottom and from the top of ``ok``; ``says``, in words."""

    x: float
    width: float
    ok: float
    failed: float
    says: str


class Row(Struct, frozen=True):
    """An operation: how often it was allowed and refused, its most frequent refusals, and when."""

    name: str
    allowed: int
    refused: int
    codes: tuple[tuple[str, int], ...]
    bars: tuple[Bar, ...]


class Chart(Struct, frozen=True):
    """``top``: how many requests the height stands for."""

    bars: tuple[Bar, ...]
    rows: tuple[Row, ...]
    top: int
    begin: float
    end: float
    allowed: int
    refused: int


def chart(counts: Iterable[Mapping[str, Any]], begin: float, end: float, period: int) -> Chart:
    """``counts`` are CountEvents'. ``begin`` and ``end``: seconds since the epoch; ``period``: those of a bar."""
    first = int(begin // period)
    places = max(1, int(end // period) - first + 1)
    named: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    codes: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    total: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for count in counts:
        place = int(count["StartTime"] // period) - first
        if not 0 <= place < places:
            continue
        failed, number = "ErrorCode" in count, int(count["Count"])
        named[count["EventName"]][place][failed] += number
        total[place][failed] += number
        if failed:
            codes[count["EventName"]][count["ErrorCode"]] += number
    top = _round(max((sum(both) for both in total.values()), default=0))
    rows = [
        Row(
            name,
            sum(both[0] for both in found.values()),
            sum(both[1] for both in found.values()),
            tuple(sorted(codes[name].items(), key=lambda item: -item[1])[:3]),
            _bars(found, places, first, period, max(sum(both) for both in found.values())),
        )
        for name, found in named.items()
    ]
    rows.sort(key=lambda row: (-row.allowed - row.refused, row.name))
    allowed, refused = sum(row.allowed for row in rows), sum(row.refused for row in rows)
    return Chart(_bars(total, places, first, period, top), tuple(rows), top, begin, end, allowed, refused)


def _bars(found: Mapping[int, list[int]], places: int, first: int, period: int, top: int) -> tuple[Bar, ...]:
    step = WIDTH / places
    return tuple(
        Bar(
            round(step * (place + _GAP / 2), 2),
            round(step * (1 - _GAP), 2),
            round(HEIGHT * allowed / top, 2),
            round(HEIGHT * refused / top, 2),
            f"{date(float((first + place) * period))}: {allowed} allowed, {refused} refused",
        )
        for place, (allowed, refused) in sorted(found.items())
    )


def _round(most: int) -> int:
    """The next of 1, 2, 5, 10, 20 and so on."""
    if most <= 1:
        return 1
    power = 10 ** int(math.log10(most))
    return int(next(power * step for step in (1, 2, 5, 10) if power * step >= most))
