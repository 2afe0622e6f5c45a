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
from keyquorum.ops.metadata import DOES_NOT_EXPIRE, EXPIRES
from keyquorum.ops.operation import Call, Keys, Operation, always, on_key
from keyquorum.ops.rules import DAY, DueKey, family, is_complete, reconsider_pending, wrong_origin
from keyquorum.specs import is_symmetric

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
    key, known = keys[0].key, keys[0].materials
    store, txn = call.services.store, call.write()
    arrived = call.services.keyring.wrap_material(key.key_id, key.region, call.prepared, call.now)
    valid_to, description = _valid_to(call, request), request.key_material_description
    material_id = arrived.material_id
    if _is_new(request, key, known, material_id):
        state = _state_of_new(call, key, known, arrived)
        _add_everywhere(call, key, msgspec.structs.replace(arrived, state=state, description=description))
    elif material_id not in known or request.key_material_id not in (None, material_id):
        raise IncorrectKeyMaterialException
    present = store.keys.materials.load(txn.connection, key.key_id, key.region)[material_id]
    store.keys.materials.update(
        txn,
        present,
        wrapped=arrived.wrapped,
        keyring_version=arrived.keyring_version,
        valid_to=valid_to,
        description=present.description if description is None else description,
    )
    if present.wrapped is not None:
        store.keys.erasures.note(txn, key)
    reconsider_pending(call, key)
    state = key.state
    if lifecycle.awaits_material(state) and is_complete(
        store.keys.materials.load(txn.connection, key.key_id, key.region)
    ):
        state = lifecycle.AFTER["ImportKeyMaterial"]
    changes: dict[str, Any] = {} if known else {"material_id": material_id}
    store.keys.update(txn, key, state=state, **changes)
    return api.ImportKeyMaterialResponse(
        key_id=call.arn(key), key_material_id=material_id if is_symmetric(key.spec) else None
    )


def _is_new(request: api.ImportKeyMaterialRequest, key: Key, known: dict[str, KeyMaterial], material_id: str) -> bool:
    """Whether the material is to be added to the key, rather than to be found there."""
    import_type = request.import_type or (_EXISTING if known else _NEW)
    if import_type == _EXISTING:
        return False
    if request.key_material_id is not None:
        raise ValidationException(f"A KeyMaterialId must not be set if the ImportType is {_NEW}")
    if key.is_replica:
        raise UnsupportedOperationException(
            "New key material is imported into the primary key first, then as existing material into its replicas."
        )
    if material_id in known:
        raise IncorrectKeyMaterialException
    return True


def _state_of_new(call: Call, key: Key, known: dict[str, KeyMaterial], arrived: KeyMaterial) -> str:
    if not known:
        return lifecycle.CURRENT
    waiting = next((m for m in known.values() if not lifecycle.is_own(m.state)), None)
    if waiting is not None:
        raise KMSInvalidStateException(
            f"New key material (id: {arrived.material_id}) cannot be imported into KMS key {call.arn(key)}, because "
            f"another key material (id: {waiting.material_id}) is pending rotation."
        )
    return lifecycle.PENDING_ROTATION


def _add_everywhere(call: Call, key: Key, material: KeyMaterial) -> None:
    """Make the material known in every Region of the key; in each it is still to be imported."""
    store, txn = call.services.store, call.write()
    for member in family(call, key):
        store.keys.materials.insert(txn, msgspec.structs.replace(material, region=member.region, wrapped=None))
        if lifecycle.is_current(material.state) and member.region != key.region:
            store.keys.update(txn, member, material_id=material.material_id)
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
    """Destroy imported materials. What only waits for a rotation a primary forgets, and its replicas with it; all else
    can be imported again."""
    store, txn = call.services.store, call.write()
    for material in lost:
        if lifecycle.is_own(material.state) or key.is_replica:
            store.keys.materials.update(txn, material, wrapped=None, valid_to=None)
            continue
        for member in family(call, key):
            there = store.keys.materials.load(txn.connection, member.key_id, member.region)[material.material_id]
            store.keys.materials.destroy(txn, there)
            store.keys.erasures.note(txn, member)
            txn.touch(member.name)
    reconsider_pending(call, key)
    left = store.keys.materials.load(txn.connection, key.key_id, key.region)
    state = key.state if is_complete(left) else lifecycle.after_loss_of_material(key.state)
    store.keys.update(txn, key, state=state)
    store.keys.erasures.note(txn, key)


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
        computes=always,
    ),
    Operation(
        name="ImportKeyMaterial",
        run=_import,
        keys=on_key("kms:ImportKeyMaterial"),
        check=_require_external,
        prepare=_unwrap,
        changes=True,
        computes=always,
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
