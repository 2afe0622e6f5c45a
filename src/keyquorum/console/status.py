# SPDX-License-Identifier: Apache-2.0
"""How the server is that answers: its versions, seal, database, jobs, nodes and audit log."""

from collections import defaultdict
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from keyquorum.console.rendering import refused, render
from keyquorum.console.site import get
from keyquorum.console.visitors import Visitor

_UNITS: Final = (("days", 86_400), ("hours", 3600), ("minutes", 60))


async def _page(request: Request, visitor: Visitor) -> Response:
    outcome = await visitor.own("GetStatus", {})
    if not outcome.ok:
        return refused(request, visitor, outcome)
    found = outcome.members
    now = visitor.now
    return render(
        request,
        visitor,
        "status/index.html",
        server=_some(found.get("Server")),
        seal=_some(found.get("Seal")),
        database=_some(found.get("Database")),
        jobs=_some(found.get("Jobs"), Due={}),
        audit=_some(found.get("Audit"), Heads=[]),
        nodes=found.get("Nodes", ()),
        now=now,
        up=lasted(now - float(_some(found.get("Server"))["StartedAt"] or now)),
    )


def _some(members: dict[str, Any] | None, **absent: Any) -> dict[str, Any]:
    """Members of which those that are not there are None."""
    return defaultdict(lambda: None, {**absent, **(members or {})})


def lasted(seconds: float) -> str:
    """A length of time, for people."""
    for name, size in _UNITS:
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {name}"
    return f"{max(0, int(seconds))} seconds"


ROUTES: Final = [get("/status", _page)]
