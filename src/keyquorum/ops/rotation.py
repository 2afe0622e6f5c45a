# SPDX-License-Identifier: Apache-2.0
"""EnableKeyRotation, DisableKeyRotation, GetKeyRotationStatus, RotateKeyOnDemand, ListKeyRotations; and what the
rotation job does when the date comes.

Old materials decrypt for ever; the newest encrypts. A multi-Region key is rotated at its primary, for all Regions at
once: rotation's settings are the primary's.
"""

from typing import Any, Final

import msgspec

from keyquorum import api, lifecycle
from keyquorum.errors import (
    KMSInvalidStateException,
    LimitExceededException,
    UnsupportedOperationException,
    ValidationException,
)
from keyquorum.model import Key, KeyMaterial
from keyquorum.ops.metadata import DOES_NOT_EXPIRE, EXPIRES
from keyquorum.ops.operation import Call, Keys, Operation, on_key
from keyquorum.ops.rules import DAY, DueKey, family, not_primary, paged, wrong_origin
from keyquorum.specs import is_symmetric

_DEFAULT_PERIOD: Final = 365
_PAGE_SIZES: Final = (100, 1000)


def _require_rotating_kind(key: Key) -> None:
    if not is_symmetric(key.spec):
        raise UnsupportedOperationException


def _refuse_replica(call: Call, key: Key) -> None:
    """Rotation is set at the primary; a key of a single Region has its own."""
    if key.is_replica:
        raise not_primary(call, key)


def _require_own_material(call: Call, _request: object, keys: Keys) -> None:
    """Automatic rotation makes its own material, and AWS tells so before it looks at the key's state."""
    if keys[0].key.origin != "AWS_KMS":
        raise wrong_origin(call, keys[0].key)


def _enable(call: Call, request: api.EnableKeyRotationRequest, keys: Keys) -> None:
    key = keys[0].key
    _require_rotating_kind(key)
    _refuse_replica(call, key)
    period = request.rotation_period_in_days or _DEFAULT_PERIOD
    call.services.store.keys.update(call.write(), key, rotation_period=period, next_rotation=call.now + period * DAY)


def _disable(call: Call, _request: api.DisableKeyRotationRequest, keys: Keys) -> None:
    key = keys[0].key
    _require_rotating_kind(key)
    _refuse_replica(call, key)
    call.services.store.keys.update(call.write(), key, rotation_period=None, next_rotation=None)


def _status(call: Call, _request: api.GetKeyRotationStatusRequest, keys: Keys) -> api.GetKeyRotationStatusResponse:
    key = keys[0].key
    _require_rotating_kind(key)
    settings = key
    if key.is_replica:
        call.wait()
        with call.services.store.database.read() as connection:
            members = call.services.store.keys.regions(connection, key.key_id)
        settings = next((member for member in members if member.is_primary), key)
    if settings.rotation_period is None or not lifecycle.shows_rotation(key.state):
        return api.GetKeyRotationStatusResponse(key_rotation_enabled=False, key_id=call.arn(key))
    return api.GetKeyRotationStatusResponse(
        key_rotation_enabled=True,
        key_id=call.arn(key),
        rotation_period_in_days=settings.rotation_period,
        next_rotation_date=settings.next_rotation,
    )


def _on_demand(call: Call, _request: api.RotateKeyOnDemandRequest, keys: Keys) -> api.RotateKeyOnDemandResponse:
    key = keys[0].key
    _require_rotating_kind(key)
    _refuse_replica(call, key)
    limit = call.services.quotas.on_demand_rotations_per_key
    if key.on_demand_rotations >= limit:
        raise LimitExceededException(
            "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be "
            f"performed for this key: {call.arn(key)}"
        )
    if key.origin == "EXTERNAL":
        pending = next((m for m in keys[0].materials.values() if lifecycle.awaits_rotation(m.state)), None)
        if pending is None:
            raise KMSInvalidStateException(f"No available key material pending rotation for the key: {call.arn(key)}.")
        material_id = pending.material_id
    else:
        material_id = _add_material(call, key)
    _rotate(call, key, material_id, "ON_DEMAND", on_demand_rotations=key.on_demand_rotations + 1)
    return api.RotateKeyOnDemandResponse(key_id=call.arn(key))


def _add_material(call: Call, key: Key) -> str:
    """New key material, in every Region of the key; its ID."""
    keyring, store = call.services.keyring, call.services.store
    secret = keyring.generate(key.spec)
    material_id = ""
    for member in family(call, key):
        material = keyring.wrap_material(key.key_id, member.region, secret, call.now)
        store.keys.materials.insert(call.write(), msgspec.structs.replace(material, state=lifecycle.PENDING_ROTATION))
        material_id = material.material_id
    return material_id


def _rotate(call: Call, key: Key, material_id: str, rotation_type: str, **settings: Any) -> None:
    """Make the material that waits the current one, in every Region of the key; ``settings`` are the rotation's own,
    which ``key`` keeps."""
    txn, store = call.write(), call.services.store
    for member in family(call, key):
        materials = store.keys.materials.load(txn.connection, member.key_id, member.region)
        for material in materials.values():
            if lifecycle.is_current(material.state):
                store.keys.materials.update(txn, material, state=lifecycle.NON_CURRENT)
        store.keys.materials.update(
            txn, materials[material_id], state=lifecycle.CURRENT, rotated_at=call.now, rotation_type=rotation_type
        )
        store.keys.update(txn, member, material_id=material_id, **(settings if member.region == key.region else {}))


def _automatic(call: Call, _request: DueKey, keys: Keys) -> None:
    key = keys[0].key
    due, period = key.next_rotation, key.rotation_period
    if due is None or period is None or due > call.now:
        raise ValidationException(f"{call.arn(key)} is not due")
    following = due + period * DAY
    if following <= call.now:
        following = call.now + period * DAY  # the server, or the key, was off for longer than a period
    _rotate(call, key, _add_material(call, key), "AUTOMATIC", next_rotation=following)


def _list(call: Call, request: api.ListKeyRotationsRequest, keys: Keys) -> api.ListKeyRotationsResponse:
    key = keys[0].key
    _require_rotating_kind(key)
    everything = request.include_key_material == "ALL_KEY_MATERIAL"
    found = [m for m in keys[0].materials.values() if everything or m.rotated_at is not None]
    scope = f"ListKeyRotations {key.name} {everything}"

    def fetch(after: str, limit: int) -> list[KeyMaterial]:
        start = next((i + 1 for i, m in enumerate(found) if m.material_id == after), 0)
        return found[start : start + limit]

    shown, marker, truncated = paged(call, scope, request, _PAGE_SIZES, fetch, lambda m: m.material_id)
    return api.ListKeyRotationsResponse(
        rotations=[_entry(call, key, material) for material in shown],
        next_marker=marker,
        truncated=truncated,
    )


def _entry(call: Call, key: Key, material: KeyMaterial) -> api.RotationsListEntry:
    entry = api.RotationsListEntry(
        key_id=call.arn(key),
        key_material_id=material.material_id,
        key_material_state=material.state,
        rotation_date=material.rotated_at,
        rotation_type=material.rotation_type,
    )
    if key.origin != "EXTERNAL":
        return entry
    imported = material.wrapped is not None
    return msgspec.structs.replace(
        entry,
        key_material_description=material.description,
        import_state="IMPORTED" if imported else "PENDING_IMPORT",
        expiration_model=None if not imported else DOES_NOT_EXPIRE if material.valid_to is None else EXPIRES,
        valid_to=material.valid_to if imported else None,
    )


OPERATIONS = (
    Operation(
        name="EnableKeyRotation",
        run=_enable,
        keys=on_key("kms:EnableKeyRotation"),
        check=_require_own_material,
        changes=True,
    ),
    Operation(
        name="DisableKeyRotation",
        run=_disable,
        keys=on_key("kms:DisableKeyRotation"),
        check=_require_own_material,
        changes=True,
    ),
    Operation(name="GetKeyRotationStatus", run=_status, keys=on_key("kms:GetKeyRotationStatus")),
    Operation(name="RotateKeyOnDemand", run=_on_demand, keys=on_key("kms:RotateKeyOnDemand"), changes=True),
    Operation(name="ListKeyRotations", run=_list, keys=on_key("kms:ListKeyRotations")),
)

#: By the rotation job, under CloudTrail's name.
ROTATE_KEY: Final = Operation(name="RotateKey", run=_automatic, keys=on_key("kms:RotateKey"), changes=True)
