# SPDX-License-Identifier: Apache-2.0
"""The list of keys, with search and filters; and the keys whose deletion is pending. One request for a page: what it
shows of each key, and of whether there are more, is what SearchKeys told."""

import math
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from keyquorum import arns
from keyquorum.console.keys.fields import ALIAS, at, without_nothing
from keyquorum.console.rendering import refused, render
from keyquorum.console.site import get
from keyquorum.console.visitors import Visitor
from keyquorum.lifecycle import PENDING_DELETION, PENDING_REPLICA_DELETION, STATES
from keyquorum.specs import SPECS

_PAGE: Final = 50
_DAY: Final = 86_400

#: Value -> what it says, and the member of SearchKeys that says it.
_USED: Final[dict[str, tuple[str, str, int]]] = {
    "within-1": ("within a day", "UsedWithinDays", 1),
    "within-7": ("within 7 days", "UsedWithinDays", 7),
    "within-30": ("within 30 days", "UsedWithinDays", 30),
    "within-90": ("within 90 days", "UsedWithinDays", 90),
    "not-30": ("not for 30 days", "UnusedForDays", 30),
    "not-90": ("not for 90 days", "UnusedForDays", 90),
    "not-365": ("not for a year", "UnusedForDays", 365),
    "never": ("never", "UnusedForDays", 36_500),
}
_LISTS: Final = (("state", "KeyStates"), ("spec", "KeySpecs"), ("usage", "KeyUsages"), ("origin", "Origins"))
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "state": STATES,
    "spec": tuple(SPECS),
    "usage": tuple(dict.fromkeys(usage for spec in SPECS.values() for usage in spec.usages)),
    "origin": ("AWS_KMS", "EXTERNAL"),
}
_FILTERS: Final = ("q", "state", "spec", "usage", "origin", "manager", "tag_key", "tag_value", "used")


class Row(NamedTuple):
    """A key as a list shows it. ``known``: whether more than its ID may be seen. ``days``: until it is deleted."""

    key_id: str
    path: str
    known: bool
    aliases: list[str] | None
    metadata: dict[str, Any]
    tags: dict[str, str] | None
    last_usage: dict[str, Any] | None
    days: int | None

    @property
    def name(self) -> str:
        return self.aliases[0] if self.aliases else self.key_id


def _row(found: dict[str, Any], now: float) -> Row:
    metadata = found.get("KeyMetadata", {})
    date = metadata.get("DeletionDate")
    days = None if date is None else max(0, math.ceil((date - now) / _DAY))
    key_id = found["KeyId"]
    return Row(
        key_id,
        at(key_id),
        "KeyMetadata" in found,
        found.get("Aliases"),
        metadata,
        found.get("Tags"),
        found.get("LastUsage"),
        days,
    )


async def _list(request: Request, visitor: Visitor) -> Response:
    asked = {name: request.query_params.get(name, "").strip() for name in _FILTERS}
    named = await _named(request, visitor, asked["q"])
    if named is not None:
        return named
    rows: list[Row] = []
    answer: dict[str, Any] = {}
    if asked["manager"] != "AWS":  # which are the keys of AWS's own services
        outcome = await visitor.own("SearchKeys", _members(asked, request.query_params.get("marker", "")))
        if not outcome.ok:
            return refused(request, visitor, outcome)
        answer = outcome.members
        rows = [_row(found, visitor.now) for found in answer.get("Keys", [])]
    filters = {name: value for name, value in asked.items() if value}
    return render(
        request,
        visitor,
        "keys/list.html",
        rows=rows,
        asked=asked,
        filters=filters,
        choices=_CHOICES,
        used={value: said for value, (said, _, _) in _USED.items()},
        marker=answer.get("NextMarker"),
        looked_at=answer.get("LookedAt"),
        first="marker" not in request.query_params,
    )


def _members(asked: dict[str, str], marker: str) -> dict[str, Any]:
    lists = {member: [asked[name]] for name, member in _LISTS if asked[name]}
    used = {member: days for _, member, days in [_USED[asked["used"]]]} if asked["used"] in _USED else {}
    return without_nothing(
        {
            "Limit": _PAGE,
            "Marker": marker,
            "Text": asked["q"],
            "TagKey": asked["tag_key"],
            "TagValue": asked["tag_value"],
            **lists,
            **used,
        }
    )


async def _named(request: Request, visitor: Visitor, text: str) -> Response | None:
    """To the page of the key that ``text`` names, if it is a whole ID, ARN or alias of one that may be seen."""
    if not (text.startswith(("arn:", ALIAS)) or arns.is_key_id(text)):
        return None
    parts = text.split(":")
    region = parts[3] if text.startswith("arn:aws:kms:") and len(parts) > 4 and arns.is_region(parts[3]) else None
    outcome = await visitor.call("DescribeKey", {"KeyId": text}, region=region)
    if not outcome.ok:
        return refused(request, visitor, outcome, back="/console/keys") if text.startswith("arn:") else None
    metadata = outcome.members["KeyMetadata"]
    # Those of other accounts have no page: who shares one uses it by its ARN, and has nothing to administer.
    if metadata["AWSAccountId"] != visitor.account:
        return None
    chosen = region or request.query_params.get("region")
    return RedirectResponse(at(metadata["KeyId"]) + (f"?region={chosen}" if chosen else ""), 303)


async def pending(visitor: Visitor) -> list[Row]:
    """The keys of the visitor's Region that will be deleted and that they may see, those first whose day is nearest, at
    most 100 of each state; empty if they may not list keys. For ``keys/_pending.html``."""
    rows: list[Row] = []
    for state in (PENDING_DELETION, PENDING_REPLICA_DELETION):
        outcome = await visitor.own("SearchKeys", {"KeyStates": [state], "Limit": 100})
        if outcome.ok:
            rows += [_row(found, visitor.now) for found in outcome.members.get("Keys", [])]
    return sorted(rows, key=lambda row: row.metadata.get("DeletionDate", math.inf))


ROUTES: Final = [get("/keys", _list)]
