# SPDX-License-Identifier: Apache-2.0
"""Making a key, in two steps that explain each choice: what for, then all the rest, which depends on it."""

from typing import Any, Final

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from keyquorum.console.keys.fields import alias_name, at, raw, tags, text, without_nothing
from keyquorum.console.keys.words import SPEC_WORDS, USAGES
from keyquorum.console.outcome import Outcome
from keyquorum.console.rendering import render, see_other
from keyquorum.console.site import form_of, get, post
from keyquorum.console.visitors import Visitor
from keyquorum.specs import SPECS

_TAGS: Final = 4


async def _choose(request: Request, visitor: Visitor) -> Response:
    usage = request.query_params.get("usage", "")
    if usage not in USAGES:
        return render(request, visitor, "keys/create.html", usages=USAGES)
    return _form(request, visitor, usage, FormData(), None)


def _form(request: Request, visitor: Visitor, usage: str, form: FormData, trouble: Outcome | None) -> Response:
    specs = [(name, SPEC_WORDS.get(name, "")) for name, spec in SPECS.items() if usage in spec.usages]
    given = [(tag["TagKey"], tag["TagValue"]) for tag in tags(form)]
    return render(
        request,
        visitor,
        "keys/create_form.html",
        status=200 if trouble is None else 400,
        usage=usage,
        words=USAGES[usage],
        specs=specs,
        importable=any(spec.imported for spec in SPECS.values() if usage in spec.usages),
        given={name: str(form.get(name, "")) for name in ("spec", "origin", "regions", "alias", "description")},
        policy=raw(form, "policy"),
        tags=given + [("", "")] * (max(1, _TAGS - len(given))),
        trouble=trouble,
    )


async def _create(request: Request, visitor: Visitor) -> Response:
    form = await form_of(request)
    usage = text(form, "usage")
    if usage not in USAGES:
        return render(request, visitor, "keys/create.html", usages=USAGES)
    outcome = await visitor.call("CreateKey", _members(form, usage))
    if not outcome.ok:
        return _form(request, visitor, usage, form, outcome)
    key = outcome.members["KeyMetadata"]
    said, alias = "The key is made.", alias_name(text(form, "alias"))
    if alias:
        named = await visitor.call("CreateAlias", {"AliasName": alias, "TargetKeyId": key["KeyId"]})
        if not named.ok:
            said = f"The key is made, but not its alias: {named.code}. {named.message}"
    rest = "/import" if key["Origin"] == "EXTERNAL" else ""
    return see_other(request, at(key["KeyId"], rest), said=said)


def _members(form: FormData, usage: str) -> dict[str, Any]:
    return without_nothing(
        {
            "KeyUsage": usage,
            "KeySpec": text(form, "spec"),
            "Origin": text(form, "origin"),
            "MultiRegion": True if text(form, "regions") == "multi" else None,
            "Description": raw(form, "description"),
            "Tags": tags(form),
            "Policy": raw(form, "policy").strip(),
            "BypassPolicyLockoutSafetyCheck": True if "bypass" in form else None,
        }
    )


ROUTES: Final = [get("/keys/create", _choose), post("/keys/create", _create)]
