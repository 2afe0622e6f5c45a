# SPDX-License-Identifier: Apache-2.0
"""Scheduling a deletion: after a look at who used the key, and with its name typed in."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from keyquorum.console.keys import chart
from keyquorum.console.keys.doable import can
from keyquorum.console.keys.fields import ALIAS, at, number, text
from keyquorum.console.keys.page import described
from keyquorum.console.outcome import Outcome
from keyquorum.console.rendering import day, render, see_other
from keyquorum.console.site import form_of, get, post
from keyquorum.console.visitors import Visitor

_DAYS: Final = (7, 30)


async def _ask(request: Request, visitor: Visitor) -> Response:
    key = await described(request, visitor)
    return key if isinstance(key, Response) else await _form(request, visitor, key)


async def _schedule(request: Request, visitor: Visitor) -> Response:
    key = await described(request, visitor)
    if isinstance(key, Response):
        return key
    form = await form_of(request)
    days = number(form, "days") or 0
    names = await _names(visitor, key)
    if text(form, "name") not in {name for given in names for name in (given, given.removeprefix(ALIAS))}:
        return await _form(request, visitor, key, problem="That is not this key's name. Nothing was scheduled.")
    if not _DAYS[0] <= days <= _DAYS[1]:
        return await _form(request, visitor, key, problem="The waiting period has 7 to 30 days. Nothing was scheduled.")
    outcome = await visitor.call("ScheduleKeyDeletion", {"KeyId": key["KeyId"], "PendingWindowInDays": days})
    if not outcome.ok:
        return await _form(request, visitor, key, trouble=outcome)
    date = outcome.members.get("DeletionDate")
    when = f"on {day(date)}" if date is not None else f"{days} days after its last replica"
    return see_other(
        request, at(key["KeyId"]), said=f"The key will be destroyed {when}. Until then this can be undone."
    )


async def _names(visitor: Visitor, key: dict[str, Any]) -> list[str]:
    """What is to be typed: one of the key's aliases, or its ID where it has none that can be seen."""
    outcome = await visitor.call("ListAliases", {"KeyId": key["KeyId"], "Limit": 100})
    names = [entry["AliasName"] for entry in outcome.members.get("Aliases", [])] if outcome.ok else []
    return names or [key["KeyId"]]


async def _form(
    request: Request, visitor: Visitor, key: dict[str, Any], problem: str = "", trouble: Outcome | None = None
) -> Response:
    return render(
        request,
        visitor,
        "keys/deletion.html",
        status=200 if not problem and trouble is None else 400,
        key=key,
        here=at(key["KeyId"]),
        names=await _names(visitor, key),
        last_use=await visitor.call("GetKeyLastUsage", {"KeyId": key["KeyId"]}),
        chart=await chart.with_users(visitor, key),
        possible=can("ScheduleKeyDeletion", key),
        problem=problem,
        trouble=trouble,
    )


ROUTES: Final = [get("/keys/{key_id}/delete", _ask), post("/keys/{key_id}/delete", _schedule)]
