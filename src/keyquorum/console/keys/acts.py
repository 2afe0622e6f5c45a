# SPDX-License-Identifier: Apache-2.0
"""What the buttons and small forms of a key's page do: one request each, by a table."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from keyquorum.console.keys.fields import alias_name, at, key_of, number, pairs, raw, tags, text, without_nothing
from keyquorum.console.rendering import refused, render, see_other
from keyquorum.console.site import form_of, post
from keyquorum.console.visitors import Visitor


class _Act(NamedTuple):
    """``members`` of the request, from the form, beside those that name the key. ``key`` is the member that does."""

    operation: str
    said: str
    members: Callable[[FormData], dict[str, Any]] = lambda _form: {}
    key: str = "KeyId"


def _alias(form: FormData) -> dict[str, Any]:
    return {"AliasName": alias_name(text(form, "alias"))}


def _grant(form: FormData) -> dict[str, Any]:
    context = pairs(raw(form, "context"))
    kind = "EncryptionContextEquals" if text(form, "match") == "equals" else "EncryptionContextSubset"
    grantee, retiring = text(form, "grantee"), text(form, "retiring")
    return without_nothing(
        {
            _principal("Grantee", grantee): grantee,
            _principal("Retiring", retiring): retiring,
            "Operations": [str(name) for name in form.getlist("operation")],
            "Name": text(form, "name"),
            "Constraints": {kind: context} if context else None,
        }
    )


def _principal(role: str, given: str) -> str:
    """A host name is a service's."""
    return f"{role}Principal" if given.startswith("arn:") or "." not in given else f"{role}ServicePrincipal"


def _period(form: FormData) -> dict[str, Any]:
    return without_nothing({"RotationPeriodInDays": number(form, "days")})


_ACTS: Final = {
    "enable": _Act("EnableKey", "The key is enabled."),
    "disable": _Act("DisableKey", "The key is disabled: nobody can use it until it is enabled again."),
    "describe": _Act(
        "UpdateKeyDescription", "The description is saved.", lambda form: {"Description": raw(form, "description")}
    ),
    "create-alias": _Act("CreateAlias", "The alias is made.", _alias, "TargetKeyId"),
    "update-alias": _Act("UpdateAlias", "The alias names this key now.", _alias, "TargetKeyId"),
    "delete-alias": _Act("DeleteAlias", "The alias is deleted.", _alias, ""),
    "tag": _Act("TagResource", "The tags are saved.", lambda form: {"Tags": tags(form)}),
    "untag": _Act("UntagResource", "The tag is removed.", lambda form: {"TagKeys": [str(form.get("tag_key", ""))]}),
    "grant": _Act("CreateGrant", "The grant is made.", _grant),
    "revoke": _Act("RevokeGrant", "The grant is revoked.", lambda form: {"GrantId": text(form, "grant_id")}),
    "rotation-on": _Act("EnableKeyRotation", "The key will be rotated by itself.", _period),
    "rotation-off": _Act("DisableKeyRotation", "The key is not rotated by itself any more."),
    "rotate": _Act("RotateKeyOnDemand", "The key is rotated: new key material encrypts from now on."),
    "replicate": _Act(
        "ReplicateKey", "The replica is made.", lambda form: {"ReplicaRegion": text(form, "replica_region")}
    ),
    "primary": _Act(
        "UpdatePrimaryRegion",
        "The primary key is in the other Region now.",
        lambda form: {"PrimaryRegion": text(form, "primary_region")},
    ),
    "delete-material": _Act(
        "DeleteImportedKeyMaterial",
        "The key material is deleted. The key waits until it is imported again.",
        lambda form: without_nothing({"KeyMaterialId": text(form, "material_id")}),
    ),
    "cancel-deletion": _Act(
        "CancelKeyDeletion", "The deletion is cancelled. The key is disabled until somebody enables it."
    ),
}


async def _do(request: Request, visitor: Visitor) -> Response:
    key_id, act = key_of(request), _ACTS.get(request.path_params["act"])
    if act is None:
        return render(request, visitor, "problem.html", status=404, title="Not here", text="There is no such action.")
    members = act.members(await form_of(request))
    if act.key:
        members[act.key] = key_id
    outcome = await visitor.call(act.operation, members)
    if not outcome.ok:
        return refused(request, visitor, outcome, back=at(key_id))
    return see_other(request, at(key_id), said=act.said)


ROUTES: Final = [post("/keys/{key_id}/do/{act}", _do)]
