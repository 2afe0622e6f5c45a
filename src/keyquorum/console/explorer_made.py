# SPDX-License-Identifier: Apache-2.0
"""The keys that were made for examples, and one button that schedules the deletion of all of them. They are known by
their description: whoever puts one to use says so there, and then it is none of these any more. Before each deletion
that is looked at again, so that no form can name a key of another kind."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from keyquorum.console.keys.fields import at
from keyquorum.console.rendering import refused, render, see_other
from keyquorum.console.site import form_of, get, post
from keyquorum.console.visitors import Visitor
from keyquorum.lifecycle import PENDING_DELETION, PENDING_REPLICA_DELETION, STATES
from keyquorum.reference import MADE

#: Keys on a page, each of which is a request or two when it is deleted.
_MOST: Final = 50
_DAYS: Final = 7
_STATES: Final = [state for state in STATES if state not in (PENDING_DELETION, PENDING_REPLICA_DELETION)]
_HERE: Final = "/console/api/examples"


async def _list(request: Request, visitor: Visitor) -> Response:
    asked: dict[str, Any] = {"Text": MADE, "KeyStates": _STATES, "Limit": _MOST}
    marker = request.query_params.get("marker")
    outcome = await visitor.own("SearchKeys", {**asked, "Marker": marker} if marker else asked)
    if not outcome.ok:
        return refused(request, visitor, outcome, back="/console/api")
    found = [key for key in outcome.members.get("Keys", ()) if key["KeyMetadata"]["Description"] == MADE]
    keys = [(at(key["KeyId"]), key["KeyMetadata"], key.get("LastUsage")) for key in found]
    more = outcome.members.get("NextMarker")
    return render(request, visitor, "explorer/made.html", keys=keys, days=_DAYS, marker=more, here=_HERE)


async def _delete(request: Request, visitor: Visitor) -> Response:
    scheduled, kept = 0, dict[str, int]()
    for key_id in (await form_of(request)).getlist("key_id")[:_MOST]:
        outcome = await visitor.call("DescribeKey", {"KeyId": str(key_id)})
        if outcome.ok and outcome.members["KeyMetadata"]["Description"] != MADE:
            kept["not made for an example"] = kept.get("not made for an example", 0) + 1
            continue
        if outcome.ok:
            members = {"KeyId": str(key_id), "PendingWindowInDays": _DAYS}
            outcome = await visitor.call("ScheduleKeyDeletion", members)
        if outcome.ok:
            scheduled += 1
        else:
            kept[outcome.code] = kept.get(outcome.code, 0) + 1
    said = f"{scheduled} keys will be destroyed in {_DAYS} days. Until then the front page has a button to keep each."
    rest = ", ".join(f"{count} ({why})" for why, count in kept.items())
    return see_other(request, _HERE, said=f"{said} Others stay as they are: {rest}." if rest else said)


#: Before what takes any operation in its place.
ROUTES: Final = [get("/api/examples", _list), post("/api/examples/delete", _delete)]
