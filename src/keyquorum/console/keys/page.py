# SPDX-License-Identifier: Apache-2.0
"""A key's page: all that the API tells of it, each part by its own request. A part that whoever is signed in may not
see says so in its place, and the rest is there."""

from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from keyquorum.console.keys import chart
from keyquorum.console.keys.doable import NEXT, can
from keyquorum.console.keys.fields import at, key_of
from keyquorum.console.outcome import Outcome
from keyquorum.console.rendering import refused, render
from keyquorum.console.site import get
from keyquorum.console.visitors import Visitor
from keyquorum.specs import granted_operations

_GRANTS: Final = 50
#: What the templates ask ``can`` about.
_OPERATIONS: Final = (
    "EnableKey",
    "DisableKey",
    "ScheduleKeyDeletion",
    "CancelKeyDeletion",
    "UpdateKeyDescription",
    "CreateAlias",
    "TagResource",
    "UntagResource",
    "CreateGrant",
    "EnableKeyRotation",
    "DisableKeyRotation",
    "RotateKeyOnDemand",
    "GetKeyRotationStatus",
    "ListKeyRotations",
    "GetParametersForImport",
    "DeleteImportedKeyMaterial",
    "ReplicateKey",
    "UpdatePrimaryRegion",
)


class Moment(NamedTuple):
    """A point on a key's time line. ``ahead``: it has not come yet. ``at`` is None for what has no date."""

    at: float | None
    what: str
    detail: str = ""
    ahead: bool = False
    material_id: str = ""


async def described(request: Request, visitor: Visitor) -> dict[str, Any] | Response:
    """The metadata of the page's key; or the page that says why there are none."""
    outcome = await visitor.call("DescribeKey", {"KeyId": key_of(request)})
    if not outcome.ok:
        return refused(request, visitor, outcome, back="/console/keys")
    metadata: dict[str, Any] = outcome.members["KeyMetadata"]
    return metadata


async def _show(request: Request, visitor: Visitor) -> Response:
    key = await described(request, visitor)
    if isinstance(key, Response):
        return key
    this = {"KeyId": key["KeyId"]}
    may = {operation: can(operation, key) for operation in _OPERATIONS}
    marker = request.query_params.get("grants")
    rotations = rotation = None
    if may["ListKeyRotations"]:
        rotations = await visitor.call("ListKeyRotations", {**this, "IncludeKeyMaterial": "ALL_KEY_MATERIAL"})
    if may["GetKeyRotationStatus"]:
        rotation = await visitor.call("GetKeyRotationStatus", this)
    grants = await visitor.call("ListGrants", {**this, "Limit": _GRANTS, **({"Marker": marker} if marker else {})})
    return render(
        request,
        visitor,
        "keys/key.html",
        key=key,
        here=at(key["KeyId"]),
        next=NEXT.get(key["KeyState"], ""),
        can=may,
        policy=await visitor.call("GetKeyPolicy", this),
        aliases=await visitor.call("ListAliases", {**this, "Limit": 100}),
        tags=await visitor.call("ListResourceTags", this),
        grants=grants,
        last_use=await visitor.call("GetKeyLastUsage", this),
        rotation=rotation,
        rotations=rotations,
        moments=_moments(key, rotations, rotation),
        grantable=sorted(granted_operations(key["KeySpec"], key["KeyUsage"])),
        chart=await chart.of_key(visitor, key),
    )


def _moments(key: dict[str, Any], rotations: Outcome | None, status: Outcome | None) -> list[Moment]:
    """Newest first, what is still to come before all."""
    found = [Moment(key["CreationDate"], "The key was made")]
    for entry in rotations.members.get("Rotations", []) if rotations is not None and rotations.ok else []:
        found.append(_of_material(entry))
        if "ValidTo" in entry:
            found.append(Moment(entry["ValidTo"], "Key material expires", entry["KeyMaterialId"], ahead=True))
    if status is not None and status.ok and "NextRotationDate" in status.members:
        every = f"every {status.members.get('RotationPeriodInDays', '')} days"
        found.append(Moment(status.members["NextRotationDate"], "The next rotation", every, ahead=True))
    if "ValidTo" in key and rotations is None:
        found.append(Moment(key["ValidTo"], "The key material expires", ahead=True))
    if "DeletionDate" in key:
        found.append(Moment(key["DeletionDate"], "The key is destroyed", ahead=True))
    return sorted(found, key=lambda moment: (moment.ahead, moment.at or 0.0), reverse=True)


_MATERIAL: Final = {
    "CURRENT": "encrypts, and decrypts",
    "NON_CURRENT": "decrypts what it encrypted",
    "PENDING_ROTATION": "waits for the next rotation on demand",
    "PENDING_MULTI_REGION_IMPORT_AND_ROTATION": "waits until it is imported in every Region, and for a rotation then",
}


def _of_material(entry: dict[str, Any]) -> Moment:
    kind = {"ON_DEMAND": "Rotated on demand", "AUTOMATIC": "Rotated by itself"}.get(entry.get("RotationType", ""))
    state = _MATERIAL.get(entry.get("KeyMaterialState", ""), "")
    missing = " (not imported)" if entry.get("ImportState") == "PENDING_IMPORT" else ""
    described = entry.get("KeyMaterialDescription", "")
    detail = "; ".join(part for part in (state + missing, described) if part)
    return Moment(entry.get("RotationDate"), kind or "Key material", detail, material_id=entry["KeyMaterialId"])


ROUTES: Final = [get("/keys/{key_id}", _show)]
