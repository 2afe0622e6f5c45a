# SPDX-License-Identifier: Apache-2.0
"""Editing a key policy: it is checked, shown as a difference, and only then put. A policy that would lock out who puts
it is put only if they say so; the server sees to that whatever a form says (BypassPolicyLockoutSafetyCheck)."""

import difflib
import json
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from keyquorum.console.keys.fields import at, key_of, raw
from keyquorum.console.outcome import Outcome
from keyquorum.console.rendering import refused, render, see_other
from keyquorum.console.site import form_of, get, post
from keyquorum.console.visitors import Visitor


async def _edit(request: Request, visitor: Visitor) -> Response:
    outcome = await visitor.call("GetKeyPolicy", {"KeyId": key_of(request)})
    if not outcome.ok:
        return refused(request, visitor, outcome, back=at(key_of(request)))
    return _form(request, visitor, pretty(outcome.members["Policy"]))


async def _save(request: Request, visitor: Visitor) -> Response:
    form, key_id = await form_of(request), key_of(request)
    text = raw(form, "policy")
    step = str(form.get("step", ""))
    if step == "edit":
        return _form(request, visitor, text)
    if step == "put":
        members = {"KeyId": key_id, "Policy": text, "BypassPolicyLockoutSafetyCheck": "bypass" in form}
        outcome = await visitor.call("PutKeyPolicy", members)
        if outcome.ok:
            return see_other(request, at(key_id), said="The key policy is saved, and in force.")
        return _form(request, visitor, text, outcome)
    checked = await visitor.own("CheckKeyPolicy", {"KeyId": key_id, "Policy": text})
    if not checked.ok:
        return _form(request, visitor, text, checked)
    present = await visitor.call("GetKeyPolicy", {"KeyId": key_id})
    return render(
        request,
        visitor,
        "keys/policy_review.html",
        key_id=key_id,
        here=at(key_id),
        text=text,
        difference=difference(pretty(present.members["Policy"]), pretty(text)) if present.ok else None,
        locks_out=checked.members.get("LocksOut", True),
    )


def _form(request: Request, visitor: Visitor, text: str, trouble: Outcome | None = None) -> Response:
    key_id = key_of(request)
    status = 400 if trouble is not None else 200
    context: dict[str, Any] = {"key_id": key_id, "here": at(key_id), "text": text}
    return render(
        request, visitor, "keys/policy.html", status=status, trouble=trouble, fault=_fault(text, trouble), **context
    )


def _fault(text: str, trouble: Outcome | None) -> str:
    """Where a text stops being JSON, if that is what is wrong."""
    if trouble is not None:
        try:
            json.loads(text)
        except ValueError as error:
            if isinstance(error, json.JSONDecodeError):
                return f"Line {error.lineno}, column {error.colno}: {error.msg}."
        except RecursionError:
            return "It is nested too deeply."
    return ""


def pretty(policy: str) -> str:
    """The policy with a line for each value; as it is, if it is no JSON, or would not be the same afterwards."""
    try:
        return json.dumps(json.loads(policy, object_pairs_hook=_once), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return policy


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def difference(old: str, new: str) -> list[tuple[str, str]]:
    """(class, line) of each line; the class says whether it was added or removed, and is empty for one that stays."""
    kinds = {"+": "added", "-": "removed", " ": ""}
    lines = difflib.ndiff(old.splitlines(), new.splitlines())
    return [(kinds[line[0]], line) for line in lines if line[0] in kinds]


ROUTES: Final = [get("/keys/{key_id}/policy", _edit), post("/keys/{key_id}/policy", _save)]
