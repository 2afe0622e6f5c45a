# SPDX-License-Identifier: Apache-2.0
"""ReplicateKey, UpdatePrimaryRegion.

A multi-Region key is one row, and its materials, in each of its Regions. Key ID, material, spec, usage, origin and
rotation are shared; policy, grants, tags, aliases, description, state and last usage are each Region's own.
"""

import msgspec

from keyquorum import api, lifecycle
from keyquorum.errors import (
    AlreadyExistsException,
    NotFoundException,
    UnsupportedOperationException,
    ValidationException,
)
from keyquorum.model import Key, KeyRecord
from keyquorum.ops.metadata import metadata
from keyquorum.ops.operation import Call, Keys, KeyUse, Need, Operation, on_key
from keyquorum.ops.rules import acceptable_policy, check_room, merged_tags, not_primary, reconsider_pending, tagging


def _require_primary(call: Call, _request: object, keys: Keys) -> None:
    if not keys[0].key.is_primary:
        raise not_primary(call, keys[0].key)


def _replicate(call: Call, request: api.ReplicateKeyRequest, keys: Keys) -> api.ReplicateKeyResponse:
    primary, materials = keys[0].key, keys[0].materials
    region = str(request.replica_region)
    for need in _replica_needs(call, request, primary):
        call.access.account(need)
    _check_region(call, region)
    txn, store = call.write(), call.services.store
    family = store.keys.regions(txn.connection, primary.key_id)
    taken = next((member for member in family if member.region == region), None)
    if taken is not None:
        raise AlreadyExistsException(f"{call.arn(taken)} already exists")
    check_room(call, region)
    tags = merged_tags(call, {}, request.tags or [])
    policy = acceptable_policy(call, request.policy, primary.account, bypass=request.bypass_policy_lockout_safety_check)
    external = primary.origin == "EXTERNAL"
    replica = msgspec.structs.replace(
        primary,
        region=region,
        state=lifecycle.PENDING_IMPORT if external else lifecycle.AFTER["CreateKey"],
        description=request.description or "",
        created_at=call.now,
        tags=tuple(sorted(tags.items())),
        rotation_period=None,
        next_rotation=None,
        on_demand_rotations=0,
        version=1,
    )
    copies = [msgspec.structs.replace(m, region=region, version=1) for m in materials.values()]
    if external:
        # It knows all the key's materials, and has none before they are imported here too.
        copies = [msgspec.structs.replace(m, wrapped=None, valid_to=None) for m in copies]
    store.keys.insert(txn, replica, copies, policy)
    reconsider_pending(call, primary)
    txn.touch(primary.name)
    call.made.append(replica)
    record = KeyRecord(replica, {m.material_id: m for m in copies})
    return api.ReplicateKeyResponse(
        replica_key_metadata=metadata(call, record, [*family, replica]),
        replica_policy=policy.document,
        replica_tags=request.tags or None,
    )


def _replica_needs(call: Call, request: api.ReplicateKeyRequest, primary: Key) -> tuple[Need, ...]:
    """The permission to make a key in the other Region. CreateKey's conditions are about the key that is made, which
    is as its primary is."""
    region = str(request.replica_region)
    made = {
        "aws:requestedregion": region,
        "kms:customermasterkeyspec": primary.spec,
        "kms:customermasterkeyusage": primary.usage,
        "kms:keyorigin": primary.origin,
        "kms:keyspec": primary.spec,
        "kms:keyusage": primary.usage,
        "kms:multiregion": "true",
        "kms:multiregionkeytype": "REPLICA",
    }
    creating = Need("kms:CreateKey", context=tuple([(name, (value,)) for name, value in made.items()]))
    return (creating, tagging(call, region)) if request.tags else (creating,)


def _check_region(call: Call, region: str) -> None:
    regions = call.services.regions
    if regions is not None and region not in regions:
        raise ValidationException(f"Region {region} is not one of this server's")


def _update_primary(call: Call, request: api.UpdatePrimaryRegionRequest, keys: Keys) -> None:
    old = keys[0].key
    region = str(request.primary_region)
    txn, store = call.write(), call.services.store
    if region == old.region:
        raise UnsupportedOperationException(f"{call.arn(old)} is the multi-region primary key already.")
    family = store.keys.regions(txn.connection, old.key_id)
    record = store.keys.load(txn.connection, old.key_id, region)
    if record is None:
        arn = call.services.layout.key(region, old.account, old.key_id)
        raise NotFoundException(f"Key '{arn}' does not exist")
    new = call.access.key(KeyUse("kms:UpdatePrimaryRegion", old.key_id), record).key
    lifecycle.check("UpdatePrimaryRegion", new.state, call.arn(new))
    rotation = {
        "rotation_period": old.rotation_period,
        "next_rotation": old.next_rotation,
        "on_demand_rotations": old.on_demand_rotations,
    }
    nothing = {"rotation_period": None, "next_rotation": None, "on_demand_rotations": 0}
    for member in family:
        settings = rotation if member.region == region else nothing
        store.keys.update(txn, member, primary_region=region, **settings)


OPERATIONS = (
    Operation(
        name="ReplicateKey",
        run=_replicate,
        keys=on_key("kms:ReplicateKey"),
        check=_require_primary,
        changes=True,
    ),
    Operation(
        name="UpdatePrimaryRegion",
        run=_update_primary,
        keys=on_key("kms:UpdatePrimaryRegion"),
        check=_require_primary,
        changes=True,
    ),
)
