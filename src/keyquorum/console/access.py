# SPDX-License-Identifier: Apache-2.0
"""Access: could somebody do something, and why was a request refused, or allowed. The answers are the evaluator's own,
on the policies as they are now, for those who may know them."""

from typing import Any, Final

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from keyquorum.console.events import find, moment
from keyquorum.console.outcome import Outcome
from keyquorum.console.questions import Question, questions_of
from keyquorum.console.rendering import refused, render
from keyquorum.console.site import get
from keyquorum.console.visitors import Visitor
from keyquorum.reference import PAGES

_PICKED: Final = 100
_ACTIONS: Final = sorted(
    {permission.action for page in PAGES.values() for permission in page.permissions}
    | {"cloudtrail:LookupEvents", "keyquorum:GetStatus", "iam:SimulatePrincipalPolicy", "sts:AssumeRole"}
)


class _Statement(Struct, frozen=True):
    """A statement in its policy: the text before it, itself, and after it. ``has``: condition keys, and what the
    request has of them."""

    policy: str
    number: int
    sid: str
    before: str
    marked: str
    after: str
    has: tuple[tuple[str, str], ...]
    withheld: str


class _Told(Struct, frozen=True):
    """An answer of ExplainAccess, or why there is none."""

    question: Question
    outcome: Outcome
    part: _Statement | None
    let_in: _Statement | None
    nearly: tuple[_Statement, ...]


async def _page(request: Request, visitor: Visitor) -> Response:
    query = request.query_params
    fields = {name: query.get(name, "").strip() for name in ("principal", "action", "resource", "pairs", "context")}
    told = None
    if fields["principal"] and fields["action"]:
        pairs = dict(_lines(fields["pairs"]))
        context: dict[str, list[str]] = {}
        for name, value in _lines(fields["context"]):
            context.setdefault(name, []).append(value)
        told = await _ask(visitor, Question(fields["principal"], fields["action"], fields["resource"], pairs, context))
    principals, resources = await _principals(visitor), await _resources(visitor)
    return render(
        request,
        visitor,
        "access/index.html",
        fields=fields,
        told=told,
        principals=principals,
        resources=resources,
        actions=_ACTIONS,
    )


async def _why(request: Request, visitor: Visitor) -> Response:
    request_id = request.query_params.get("request_id", "").strip()
    if not request_id:
        return render(request, visitor, "access/why.html", request_id="", event=None, answers=[], looked=False)
    found, outcome = await find(visitor, "RequestId", request_id, moment(request.query_params.get("at", "")))
    if not outcome.ok:
        return refused(request, visitor, outcome, back="/console/access")
    answers = []
    if found is not None:
        answers = [await _ask(visitor, question, found.region) for question in questions_of(found)]
    return render(request, visitor, "access/why.html", request_id=request_id, event=found, answers=answers, looked=True)


async def _ask(visitor: Visitor, question: Question, region: str = "") -> _Told:
    outcome = await visitor.own("ExplainAccess", question.members(), region=region or None)
    members = outcome.members if outcome.ok else {}
    return _Told(
        question,
        outcome,
        _statement(members.get("Part")),
        _statement(members.get("LetIn")),
        tuple(one for part in members.get("Nearly", ()) if (one := _statement(part)) is not None),
    )


def _statement(part: dict[str, Any] | None) -> _Statement | None:
    if part is None:
        return None
    document = str(part.get("Document", ""))
    start, end = int(part.get("Start", 0)), int(part.get("End", 0))
    return _Statement(
        policy=str(part.get("Policy", "")),
        number=int(part.get("Index", 0)) + 1,
        sid=str(part.get("Sid", "")),
        before=document[:start],
        marked=document[start:end],
        after=document[end:],
        has=tuple((entry["ContextKeyName"], _values(entry)) for entry in part.get("Has", ())),
        withheld=str(part.get("Withheld", "")),
    )


def _values(entry: dict[str, Any]) -> str:
    if "Withheld" in entry:
        return f"(to see it takes {entry['Withheld']})"
    return ", ".join(entry["ContextKeyValues"]) if entry.get("ContextKeyValues") else "absent"


def _lines(text: str) -> list[tuple[str, str]]:
    """``name=value``, one a line."""
    pairs = [line.partition("=") for line in text.splitlines() if "=" in line]
    return [(name.strip(), value.strip()) for name, _, value in pairs if name.strip()]


async def _principals(visitor: Visitor) -> list[str]:
    """Who can be picked: a first page, as far as the visitor may list them."""
    found = [f"arn:aws:iam::{visitor.account}:root"]
    for operation, list_name in (("ListUsers", "Users"), ("ListRoles", "Roles")):
        outcome = await visitor.query("iam", operation, {"MaxItems": str(_PICKED)})
        found += [each["Arn"] for each in outcome.members.get(list_name, ())] if outcome.ok else []
    return found


async def _resources(visitor: Visitor) -> list[str]:
    aliases = await visitor.call("ListAliases", {"Limit": _PICKED})
    keys = await visitor.call("ListKeys", {"Limit": _PICKED})
    return [
        *(alias["AliasName"] for alias in aliases.members.get("Aliases", ())),
        *(key["KeyArn"] for key in keys.members.get("Keys", ())),
    ]


ROUTES: Final = [get("/access", _page), get("/access/why", _why)]
