# SPDX-License-Identifier: Apache-2.0
"""How often a key was used, day by day, and by whom, from the audit trail: as much of it as whoever is signed in may
look up. To use a key is to have it encrypt, sign and so on; who only looks at it is not counted."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from keyquorum.console.visitors import Visitor
from keyquorum.ops.registry import KMS

_DAY: Final = 86_400
_DAYS: Final = 30
_USES: Final = frozenset(name for name, operation in KMS.items() if operation.tracked)
_PAGES: Final = 4


class Bar(NamedTuple):
    """A day: when it began, how many requests succeeded and failed, and how high that is, out of 100."""

    day: float
    succeeded: int
    failed: int
    high: float
    high_failed: float


class Chart(NamedTuple):
    """``uses`` of all days together. ``since``: what is older was not counted. ``refusal`` is the code of the error
    that it was refused with. ``users``: who used it, most often first, among the newest events."""

    bars: Sequence[Bar] = ()
    uses: int = 0
    since: float | None = None
    refusal: str = ""
    users: Sequence[tuple[str, int]] = ()

    @property
    def days(self) -> int:
        return len(self.bars)


def _asked(visitor: Visitor, key: dict[str, Any]) -> dict[str, Any]:
    this = {"AttributeKey": "ResourceName", "AttributeValue": key["Arn"]}
    return {"LookupAttributes": [this], "StartTime": _first(visitor.now)}


def _first(now: float) -> float:
    return now - now % _DAY - (_DAYS - 1) * _DAY


async def of_key(visitor: Visitor, key: dict[str, Any]) -> Chart:
    """Of the last 30 days."""
    outcome = await visitor.own("CountEvents", {**_asked(visitor, key), "Period": _DAY})
    if not outcome.ok:
        return Chart(refusal=outcome.code or "Error")
    counts: Counter[tuple[float, bool]] = Counter()
    for entry in outcome.members.get("Counts", []):
        if entry.get("EventName") in _USES:
            at = float(entry.get("StartTime", 0.0))
            counts[at - at % _DAY, "ErrorCode" in entry] += int(entry.get("Count", 0))
    days = [_first(visitor.now) + number * _DAY for number in range(_DAYS)]
    most = max((counts[day, False] + counts[day, True] for day in days), default=0) or 1
    bars = [
        Bar(day, counts[day, False], counts[day, True], 100 * counts[day, False] / most, 100 * counts[day, True] / most)
        for day in days
    ]
    return Chart(bars, counts.total(), outcome.members.get("LookedBackTo"))


async def with_users(visitor: Visitor, key: dict[str, Any]) -> Chart:
    """The same, and who it was, among at most 200 of the newest events."""
    chart = await of_key(visitor, key)
    asked = {**_asked(visitor, key), "MaxResults": 50}
    users: Counter[str] = Counter()
    for _ in range(_PAGES):
        outcome = await visitor.own("LookupEvents", asked)
        events = outcome.members.get("Events", []) if outcome.ok else []
        users.update(str(event.get("Username") or "?") for event in events if event.get("EventName") in _USES)
        token = outcome.members.get("NextToken") if outcome.ok else None
        if token is None:
            break
        asked["NextToken"] = token
    return chart._replace(users=users.most_common(10))
