# SPDX-License-Identifier: Apache-2.0
"""The front page: what is about to be deleted, how many keys there are, what was refused lately, how the server is.
What somebody may not see is not there."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from keyquorum.console.events import attributes, shown
from keyquorum.console.keys import pending
from keyquorum.console.rendering import render
from keyquorum.console.site import get
from keyquorum.console.status import lasted
from keyquorum.console.visitors import Visitor

_REFUSALS: Final = 8
_DAY: Final = 86_400.0


async def _front(request: Request, visitor: Visitor) -> Response:
    now = visitor.now
    counted = await visitor.own("CountKeys", {})
    by_state = dict(counted.members.get("ByState", {})) if counted.ok else None
    refusals = await visitor.own(
        "LookupEvents",
        {
            "LookupAttributes": attributes({"outcome": "refused"}),
            "StartTime": now - _DAY,
            "MaxResults": _REFUSALS,
        },
    )
    status = await visitor.own("GetStatus", {})
    return render(
        request,
        visitor,
        "front.html",
        pending=await pending(visitor),
        by_state=by_state,
        total=None if by_state is None else sum(by_state.values()),
        truncated=counted.ok and counted.members.get("Truncated", False),
        refusals=[shown(event) for event in refusals.members.get("Events", ())] if refusals.ok else None,
        server=_summary(status.members, now) if status.ok else None,
        now=now,
    )


def _summary(members: dict[str, Any], now: float) -> dict[str, Any]:
    server, audit = members["Server"], members["Audit"]
    verified = audit.get("Verification")
    return {
        "ready": server["Ready"],
        "wrong": [f"{name}: {said}" for name, said in server["Checks"].items() if said != "ok"],
        "version": server["Version"],
        "development": server["Development"],
        "up": lasted(now - server["StartedAt"]),
        "seal": members["Seal"].get("Kind", ""),
        "database": members["Database"].get("Kind", ""),
        "kept": audit["Kept"],
        "verified_at": None if verified is None else verified["VerifiedAt"],
        "whole": verified is not None and verified["Whole"],
    }


ROUTES: Final = [get("/", _front)]
