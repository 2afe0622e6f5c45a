# SPDX-License-Identifier: Apache-2.0
"""GetParametersForImport, ImportKeyMaterial, DeleteImportedKeyMaterial; and what the expiry job does.

An import token is sealed under the keyring and holds the private wrapping key: nothing of it is kept, and it is good on
every node, after every restart, for 24 hours and its own key alone.
"""

from typing import Any, Final

import msgspec

from keyquorum import api, lifecycle
from keyquorum.errors import (
    ExpiredImportTokenException,
    IncorrectKeyMaterialException,
    InvalidImportTokenException,
    KMSInvalidStateException,
    UnsupportedOperationException,
    ValidationException,
)
from keyquorum.model import Key, KeyMaterial
from keyquorum.ops.metadata import (
    CURRENT,
    DOES_NOT_EXPIRE,
    EXPIRES,
    PENDING_IMPORTS,
    PENDING_ROTATION,
    is_complete,
    own,
)
from keyquorum.ops.operation import Call, Keys, Operation, on_key
from keyquorum.ops.rules import DAY, DueKey, family, wrong_origin
from keyquorum.specs import is_symmetric
from keyquorum.store import erasures

_TOKEN_SECONDS: Final = DAY
_LONGEST: Final = 365 * DAY
_NEW: Final = "NEW_KEY_MATERIAL"
_EXISTING: Final = "EXISTING_KEY_MATERIAL"


class _Token(msgspec.Struct, frozen=True):
    """What an import token holds. ``key`` is the key's name, Region included; ``private`` PKCS #8 in DER."""

    key: str
    algorithm: str
    private: bytes
    valid_to: float

    def __repr__(self) -> str:
        return f"_Token({self.key!r})"


def _require_external(call: Call, _request: object, keys: Keys) -> None:
    if keys[0].key.origin != "EXTERNAL":
        raise wrong_origin(call, keys[0].key)


def _parameters(
    call: Call, request: api.GetParametersForImportRequest, keys: Keys
) -> api.GetParametersForImportResponse:
    key, keyring = keys[0].key, call.services.keyring
    algorithm, wrapping_spec = str(request.wrapping_algorithm), str(request.wrapping_key_spec)
    private, public = keyring.new_wrapping_key(key.spec, wrapping_spec, algorithm)
    valid_to = call.now + _TOKEN_SECONDS
    token = _Token(key.name, algorithm, private, valid_to)
    return api.GetParametersForImportResponse(
        key_id=call.arn(key),
        import_token=keyring.seal_token("import token", msgspec.msgpack.encode(token)),
        public_key=public,
        parameters_valid_to=valid_to,
    )


def _valid_to(call: Call, request: api.ImportKeyMaterialRequest) -> float | None:
    model = request.expiration_model or EXPIRES
    if model == DOES_NOT_EXPIRE:
        if request.valid_to is not None:
            raise ValidationException("A validTo date must not be set if the ExpirationModel is " + DOES_NOT_EXPIRE)
        return None
    if request.valid_to is None:
        raise ValidationException(f"A validTo date must be set if the ExpirationModel is {EXPIRES}")
    if not call.now < request.valid_to <= call.now + _LONGEST:
        raise ValidationException("The validTo date must be in the future, and at most 365 days ahead")
    return request.valid_to


def _unwrap(call: Call, request: api.ImportKeyMaterialRequest, keys: Keys) -> bytes:
    """The imported key material, in the provider's encoding: made ready outside the transaction."""
    key, keyring = keys[0].key, call.services.keyring
    if not is_symmetric(key.spec) and (
        request.import_type is not None
        or request.key_material_id is not None
        or request.key_material_description is not None
    ):
        raise UnsupportedOperationException(
            "ImportType, KeyMaterialId and KeyMaterialDescription are for symmetric encryption keys only."
        )
    _valid_to(call, request)
    opened = keyring.open_token("import token", request.import_token or b"")
    if opened is None:
        raise InvalidImportTokenException
    token = msgspec.msgpack.decode(opened, type=_Token)
    if token.key != key.name:
        raise InvalidImportTokenException
    if token.valid_to <= call.now:
        raise ExpiredImportTokenException
    return keyring.unwrap_import(key.spec, token.algorithm, token.private, request.encrypted_key_material or b"")


def _import(call: Call, request: api.ImportKeyMaterialRequest, keys: Keys) -> api.ImportKeyMaterialResponse:
    key, materials = keys[0].key, keys[0].materials
    arrived = call.services.keyring.wrap_material(key.key_id, key.region, call.prepared, call.now)
    valid_to = _valid_to(call, request)
    known = materials.get(arrived.material_id)
    if _is_new(request, known, materials):
        if key.is_replica:
            raise UnsupportedOperationException(
                "New key material is imported into the primary key first, then as existing material into its replicas."
            )
        state = _state_of_new(call, key, materials, arrived)
        material = msgspec.structs.replace(
            arrived, state=state, valid_to=valid_to, description=request.key_material_description
        )
        call.services.store.keys.materials.insert(call.write(), material)
    elif known is None and key.is_replica:
        material = _import_into_replica(call, request, key, arrived, valid_to)
    elif known is None or request.key_material_id not in (None, arrived.material_id):
        raise IncorrectKeyMaterialException
    else:
        description = request.key_material_description
        material = call.services.store.keys.materials.update(
            call.write(),
            known,
            wrapped=arrived.wrapped,
            keyring_version=arrived.keyring_version,
            valid_to=valid_to,
            description=known.description if description is None else description,
        )
        if known.wrapped is not None:
            erasures.note(call.write(), key)
    _settle(call, key, material)
    return api.ImportKeyMaterialResponse(
        key_id=call.arn(key), key_material_id=material.material_id if is_symmetric(key.spec) else None
    )


def _is_new(
    request: api.ImportKeyMaterialRequest, known: KeyMaterial | None, materials: dict[str, KeyMaterial]
) -> bool:
    """Whether the material is to be added to the key, rather than to be found there."""
    import_type = request.import_type or (_EXISTING if materials else _NEW)
    if import_type == _EXISTING:
        return False
    if request.key_material_id is not None:
        raise ValidationException(f"A KeyMaterialId must not be set if the ImportType is {_NEW}")
    if known is not None:
        raise IncorrectKeyMaterialException
    return True


def _state_of_new(call: Call, key: Key, materials: dict[str, KeyMaterial], arrived: KeyMaterial) -> str:
    if not materials:
        return CURRENT
    waiting = next((m for m in materials.values() if m.state in (PENDING_ROTATION, PENDING_IMPORTS)), None)
    if waiting is not None:
        raise KMSInvalidStateException(
            f"New key material (id: {arrived.material_id}) cannot be imported into KMS key {call.arn(key)}, because "
            f"another key material (id: {waiting.material_id}) is pending rotation."
        )
    return PENDING_IMPORTS if len(family(call, key)) > 1 else PENDING_ROTATION


def _import_into_replica(
    call: Call, request: api.ImportKeyMaterialRequest, key: Key, arrived: KeyMaterial, valid_to: float | None
) -> KeyMaterial:
    """Material that the primary has and this replica never had."""
    store, txn = call.services.store, call.write()
    theirs = store.keys.materials.load(txn.connection, key.key_id, str(key.primary_region)).get(arrived.material_id)
    if theirs is None or request.key_material_id not in (None, arrived.material_id):
        raise IncorrectKeyMaterialException
    material = msgspec.structs.replace(
        arrived,
        state=theirs.state,
        rotated_at=theirs.rotated_at,
        rotation_type=theirs.rotation_type,
        valid_to=valid_to,
        description=request.key_material_description,
        created_at=theirs.created_at,
    )
    store.keys.materials.insert(txn, material)
    return material


def _settle(call: Call, key: Key, material: KeyMaterial) -> None:
    """What an import changes beside the material: the key's state, and what its family waits for."""
    store, txn = call.services.store, call.write()
    materials = store.keys.materials.load(txn.connection, key.key_id, key.region)
    changes: dict[str, Any] = {}
    if material.state == CURRENT:
        changes["material_id"] = material.material_id
    if lifecycle.awaits_material(key.state) and is_complete(materials):
        changes["state"] = lifecycle.AFTER["ImportKeyMaterial"]
    store.keys.update(txn, key, **changes)
    if material.state != PENDING_IMPORTS:
        return
    members = family(call, key)
    theirs = [store.keys.materials.load(txn.connection, k.key_id, k.region).get(material.material_id) for k in members]
    if all(m is not None and m.wrapped is not None for m in theirs):
        for member, theirs_ in zip(members, theirs, strict=True):
            assert theirs_ is not None
            store.keys.materials.update(txn, theirs_, state=PENDING_ROTATION)
            txn.touch(member.name)


def _delete(
    call: Call, request: api.DeleteImportedKeyMaterialRequest, keys: Keys
) -> api.DeleteImportedKeyMaterialResponse:
    key, materials = keys[0].key, keys[0].materials
    material_id = request.key_material_id or key.material_id
    material = materials.get(material_id)
    if request.key_material_id is not None and material is None:
        raise ValidationException(f"KeyMaterialId {material_id} is not associated with {call.arn(key)}")
    if material is not None and material.wrapped is not None:
        _lose(call, key, [material])
    return api.DeleteImportedKeyMaterialResponse(
        key_id=call.arn(key), key_material_id=material_id if material_id and is_symmetric(key.spec) else None
    )


def _lose(call: Call, key: Key, lost: list[KeyMaterial]) -> None:
    """Destroy imported materials. What waits for a rotation is forgotten, on a primary in the replicas too."""
    store, txn = call.services.store, call.write()
    for material in lost:
        if material.state not in (PENDING_ROTATION, PENDING_IMPORTS):
            store.keys.materials.update(txn, material, wrapped=None, valid_to=None)
            continue
        for member in [key] if key.is_replica else family(call, key):
            there = store.keys.materials.load(txn.connection, member.key_id, member.region).get(material.material_id)
            if there is not None:
                store.keys.materials.destroy(txn, there)
                erasures.note(txn, member)
                txn.touch(member.name)
    left = store.keys.materials.load(txn.connection, key.key_id, key.region)
    state = key.state
    if any(m.wrapped is None for m in own(left)):
        state = lifecycle.after_loss_of_material(state)
    store.keys.update(txn, key, state=state)
    erasures.note(txn, key)


def _expire(call: Call, _request: DueKey, keys: Keys) -> None:
    key = keys[0].key
    expired = [
        m
        for m in keys[0].materials.values()
        if m.wrapped is not None and m.valid_to is not None and m.valid_to <= call.now
    ]
    if not expired:
        raise ValidationException(f"no key material of {call.arn(key)} is due")
    _lose(call, key, expired)


OPERATIONS = (
    Operation(
        name="GetParametersForImport",
        run=_parameters,
        keys=on_key("kms:GetParametersForImport"),
        check=_require_external,
        waits=True,
    ),
    Operation(
        name="ImportKeyMaterial",
        run=_import,
        keys=on_key("kms:ImportKeyMaterial"),
        check=_require_external,
        prepare=_unwrap,
        changes=True,
    ),
    Operation(
        name="DeleteImportedKeyMaterial",
        run=_delete,
        keys=on_key("kms:DeleteImportedKeyMaterial"),
        check=_require_external,
        changes=True,
    ),
)

#: By the expiry job, under CloudTrail's name.
DELETE_EXPIRED_KEY_MATERIAL: Final = Operation(
    name="DeleteExpiredKeyMaterial",
    run=_expire,
    keys=on_key("kms:DeleteExpiredKeyMaterial"),
    changes=True,
)
