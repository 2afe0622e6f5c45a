# SPDX-License-Identifier: Apache-2.0
"""The audit log: what was asked of this server and how it was answered, as a table, a chart, one event, and as it
comes. It shows what the log says; whether that is whole, ``keyquorum audit verify`` finds out."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from keyquorum.console.charts import HEIGHT, WIDTH, chart
from keyquorum.console.events import attributes, find, moment, shown
from keyquorum.console.rendering import refused, render
from keyquorum.console.site import get
from keyquorum.console.visitors import Visitor

_HOUR: Final = 3600
_DAY: Final = 24 * _HOUR
_PAGE: Final = 50
#: What is looked at -> (its name, seconds, seconds of a bar).
_RANGES: Final = {
    "1h": ("The last hour", _HOUR, 60),
    "24h": ("The last day", _DAY, 1800),
    "7d": ("The last 7 days", 7 * _DAY, 4 * _HOUR),
    "30d": ("The last 30 days", 30 * _DAY, _DAY),
}
#: Seconds by which a look for what is new goes back: of two requests, the later may be recorded first.
_OVERLAP: Final = 5.0


async def _page(request: Request, visitor: Visitor) -> Response:
    query = request.query_params
    chosen = query.get("range", "24h") if query.get("range") in _RANGES else "24h"
    _, length, period = _RANGES[chosen]
    now = visitor.now
    begin, end = moment(query.get("from", "")), moment(query.get("to", ""))
    own_times = begin is not None or end is not None
    if not own_times:
        begin = now - length
    asked = _asked(query, begin, end)
    looked = await visitor.own(
        "LookupEvents", {**asked, "MaxResults": _PAGE, **({"NextToken": query["next"]} if "next" in query else {})}
    )
    if not looked.ok:
        return refused(request, visitor, looked)
    drawn = None
    if "next" not in query:
        until = end if end is not None else now
        since = begin if begin is not None else until - length
        period = period if not own_times else max(60, int((until - since) / 48))
        counted = await visitor.own("CountEvents", {**asked, "StartTime": since, "Period": period})
        if counted.ok:
            since = max(since, counted.members.get("LookedBackTo", since))
            drawn = chart(counted.members.get("Counts", ()), since, until, period)
    status = await visitor.own("GetStatus", {}) if "next" not in query else None
    return render(
        request,
        visitor,
        "audit/list.html",
        events=[shown(event) for event in looked.members.get("Events", ())],
        back_to=looked.members.get("LookedBackTo"),
        next_token=looked.members.get("NextToken"),
        fields={name: query.get(name, "") for name in ("name", "user", "key", "outcome", "from", "to")},
        all_of_them="all" in query,
        chosen=chosen,
        ranges=[(name, label) for name, (label, _, _) in _RANGES.items()],
        chart=drawn,
        size=(WIDTH, HEIGHT),
        audit=status.members.get("Audit") if status is not None and status.ok else None,
        now=now,
    )


def _asked(query: Any, begin: float | None, end: float | None) -> dict[str, Any]:
    asked: dict[str, Any] = {"LookupAttributes": attributes(query, all_of_them="all" in query)}
    if begin is not None:
        asked["StartTime"] = begin
    if end is not None:
        asked["EndTime"] = end
    return asked


async def _tail(request: Request, visitor: Visitor) -> Response:
    """What came after a moment, for audit.js: it may tell of some again, and the script knows them by their IDs."""
    query = request.query_params
    after = moment(query.get("after", "")) or visitor.now
    asked = _asked(query, max(0.0, after - _OVERLAP), None)
    outcome = await visitor.own("LookupEvents", {**asked, "MaxResults": _PAGE})
    if not outcome.ok:
        return JSONResponse({"trouble": outcome.message or outcome.code}, 403)
    events = [shown(event) for event in outcome.members.get("Events", ())]
    newest = max((event.at for event in events), default=after)
    # The newest are told; with more than one page of them, some between are not.
    missed = "NextToken" in outcome.members and len(events) >= _PAGE
    told = [event.row() for event in reversed(events)]
    return JSONResponse({"events": told, "after": max(after, newest), "missed": missed})


async def _event(request: Request, visitor: Visitor) -> Response:
    event_id = request.path_params["event_id"]
    found, outcome = await find(visitor, "EventId", event_id, moment(request.query_params.get("at", "")))
    if not outcome.ok:
        return refused(request, visitor, outcome, back="/console/audit")
    if found is None:
        text = "There is no such event in the part of the log that was looked through, or it is not yours to see."
        return render(request, visitor, "problem.html", status=404, title="Not here", text=text)
    return render(request, visitor, "audit/event.html", event=found)


ROUTES: Final = [get("/audit", _page), get("/audit/tail", _tail), get("/audit/{event_id}", _event)]
